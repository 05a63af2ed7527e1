//! Prints lines for scripts, one JSON object each. Data has the exchange's DEFAULT keys in the documented order,
//! followed by `_hoga` with the connection, epoch, version and stamps. A field that a message does not have, or that cannot
//! be read, is left out; only `delisting_date` is then `null`, as the exchange writes it. A word that this version does not
//! know is `UNKNOWN`. The field `_event` names the kind of all other lines.

use std::time::Duration;

use hoga::engine::ConnectionStatus;
use hoga::feed::Update;
use hoga::model::{
    self, Candle, ConnectionId, DataType, Date, Event, MarketState, MarketWarning, Nanos, Orderbook, Side, Ticker,
    Time, Trade, Unit,
};
use hoga::monitor::{HealthChange, StreamGap};
use hoga::session::Disconnect;
use hoga::wire::Drift;

use crate::line::{Gap, Line, NewSocket, Problem, Summary, Transition};
use crate::object::Object;

/// Appends a line.
pub fn write(out: &mut String, line: &Line) {
    match line {
        Line::Data(update) => data(out, update),
        Line::State(transition) => Object::line(out, |object| state(object, transition)),
        Line::Error(problem) => Object::line(out, |object| error(object, problem)),
        Line::Drift(connection, drift) => Object::line(out, |object| drifted(object, *connection, drift)),
        Line::UnknownType { connection, name, sample } => Object::line(out, |object| {
            object.word("_event", "drift").plain("conn", connection).text("data_type", &name.to_string());
            object.word("kind", "unknown_type").text("sample", &sample.to_string());
        }),
        Line::Health(change) => Object::line(out, |object| health(object, change)),
        Line::Gap(gap) => Object::line(out, |object| missing(object, gap)),
        Line::StreamGap(gap) => Object::line(out, |object| stream_gap(object, gap)),
        Line::Summary(total) => Object::line(out, |object| summary(object, total)),
    }
}

fn state(object: &mut Object, transition: &Transition) {
    object
        .word("_event", "state")
        .plain("conn", transition.connection)
        .plain("epoch", transition.epoch)
        .word("from", transition.from)
        .word("to", transition.to)
        .plain("at_ns", transition.at.0);
    if let Some(disconnected) = &transition.disconnected {
        object.word("reason", disconnected.reason.code()).text("message", &disconnected.reason.to_string());
        object.optional("retry_at_ns", disconnected.retry_at.map(|at| at.0));
    }
}

fn missing(object: &mut Object, gap: &Gap) {
    object.word("_event", "gap");
    match gap {
        Gap::FeedFull { missed } => object.word("reason", "feed_full").plain("missed", missed),
        Gap::NewSocket(socket) => object
            .word("reason", "new_socket")
            .plain("conn", socket.connection)
            .plain("old_epoch", socket.old)
            .plain("new_epoch", socket.new)
            .plain("last_recv_ns", socket.last.0)
            .plain("first_recv_ns", socket.first.0),
    };
    if let Gap::NewSocket(NewSocket { disconnect: Some(disconnect), .. }) = gap {
        // `reason` is why there is a gap: the new socket. `disconnect` is why the socket before it ended.
        object.word("disconnect", disconnect.as_str());
    }
}

fn stream_gap(object: &mut Object, gap: &StreamGap) {
    object
        .word("_event", "stream_gap")
        .word("stream", gap.stream)
        .word("cause", gap.cause.as_str())
        .plain("from_ns", gap.from.received.0)
        .optional("from_exchange_ms", gap.from.exchange_ms)
        .plain("from_epoch", gap.from.epoch);
    if let Some(to) = gap.to {
        object.plain("to_ns", to.received.0).optional("to_exchange_ms", to.exchange_ms).plain("to_epoch", to.epoch);
    }
}

fn error(object: &mut Object, problem: &Problem) {
    object
        .word("_event", "error")
        .plain("conn", problem.connection)
        .plain("count", problem.count)
        .text("reason", &problem.reason)
        .text("message", &problem.message);
}

fn drifted(object: &mut Object, connection: ConnectionId, drift: &Drift) {
    object
        .word("_event", "drift")
        .plain("conn", connection)
        // Not `type`, because scripts select data by it.
        .word("data_type", drift.data_type)
        .word("format", drift.format.as_str())
        .word("kind", drift.kind)
        .text("field", &drift.field.to_string())
        .text("sample", &drift.sample.to_string());
}

fn health(object: &mut Object, change: &HealthChange) {
    object
        .word("_event", "health")
        .word("stream", change.stream)
        .word("from", change.from.as_str())
        .word("to", change.to.as_str());
    if let Some(reason) = change.to.reason() {
        object.word("reason", reason.as_str());
    }
    if let Some(since) = change.to.since() {
        object.plain("since_ns", since.0);
    }
    object.plain("at_ns", change.at.0);
}

fn summary(object: &mut Object, total: &Summary) {
    object
        .word("_event", "summary")
        .word("end", total.end)
        .plain("duration_ms", total.duration.as_millis())
        .word("overflow", total.overflow)
        .plain("received", total.counts.received)
        .plain("delivered", total.counts.delivered)
        .object("by_type", |types| {
            for (data_type, count) in &total.by_type {
                types.plain(data_type.as_str(), count);
            }
        });
    object
        .plain("dropped", total.counts.dropped)
        .plain("conflated", total.counts.conflated)
        .plain("filtered", total.counts.filtered)
        .plain("queued", total.counts.queued)
        .plain("queue_max", total.queue_max)
        .plain("feed_bytes", total.feed_bytes)
        .plain("shared_bytes", total.shared_bytes);
    let plan = &total.plan;
    object.object("subscriptions", |stats| {
        stats
            .plain("stream_demands", plan.stream_demands)
            .plain("wire_streams", plan.wire_streams)
            .plain("dedupe_ratio", plan.dedupe_ratio())
            .plain("changes", plan.changes)
            .plain("requests", plan.requests)
            .plain("requests_saved", plan.requests_saved())
            .words("unconfirmed", plan.unconfirmed.iter());
        for (kind, count) in plan.conflicts {
            stats.plain(&format!("conflicts_{}", kind.as_str()), count);
        }
    });
    object.objects("connections", total.connections.iter(), |object, connection| {
        connection_status(object, connection, total.ended_at);
    });
    object.object("network", |network| {
        network.optional_word("proxy", total.network.proxy.as_ref()).text("roots", &total.network.roots);
    });
    object.object("stream_gaps", |gaps| {
        for (cause, count) in &total.stream_gaps.by_cause {
            gaps.plain(cause, count);
        }
        gaps.plain("open", total.stream_gaps.open).plain("cut", total.stream_gaps.cut);
    });
    if let Some(latencies) = &total.latencies {
        object.object("latencies", |object| latencies.fields(object));
    }
    total.tally.fields(object, total.gaps);
}

/// One connection. Times are ages at the end of the command, or durations, in ns.
fn connection_status(object: &mut Object, connection: &ConnectionStatus, now: Nanos) {
    let ConnectionStatus { opening, counters, .. } = connection;
    let age = |at: Option<Nanos>| at.map(|at| now.since(at).as_nanos());
    let ns = |time: Option<Duration>| time.map(|time| time.as_nanos());
    object
        .plain("connection", connection.id)
        .word("state", connection.state)
        .plain("epoch", connection.epoch)
        .optional("uptime_ns", age(connection.opened_at))
        .optional("last_heard_ns", age(connection.last_heard))
        .optional("round_trip_ns", ns(counters.round_trip))
        .optional("resolve_ns", ns(opening.resolve))
        .optional("connect_ns", ns(opening.connect))
        .optional("tunnel_ns", ns(opening.tunnel))
        .optional("tls_ns", ns(opening.tls))
        .optional("upgrade_ns", ns(opening.upgrade))
        .optional_word("last_disconnect", connection.last_disconnect.as_ref().map(Disconnect::code))
        .plain("bytes", counters.bytes)
        .plain("messages", counters.messages)
        .plain("data", counters.data)
        .plain("requests", counters.requests)
        .plain("dials", counters.dials)
        .plain("opened", counters.opened)
        .plain("disconnects", counters.disconnects)
        .plain("malformed", counters.malformed)
        .plain("server_errors", counters.server_errors)
        .plain("panics", counters.panics);
}

fn data(out: &mut String, update: &Update) {
    Object::line(out, |object| {
        match &update.value {
            Event::Ticker(value) => ticker(object, value),
            Event::Trade(value) => trade(object, value),
            Event::Orderbook(value) => orderbook(object, value),
            Event::Candle(value) => candle(object, value),
            other => {
                object.word("type", other.key().data_type);
            }
        }
        object.object("_hoga", |stamps| {
            stamps
                .plain("conn", update.connection)
                .plain("epoch", update.epoch)
                .plain("version", update.version)
                .plain("recv_ns", update.stamps.received.0)
                .plain("publish_ns", update.stamps.published.0);
        });
    });
}

fn ticker(object: &mut Object, t: &Ticker) {
    object
        .word("type", "ticker")
        .word("code", t.market)
        .optional("opening_price", t.opening_price.get())
        .optional("high_price", t.high_price.get())
        .optional("low_price", t.low_price.get())
        .plain("trade_price", t.trade_price)
        .optional("prev_closing_price", t.prev_closing_price.get())
        .optional("acc_trade_price", t.acc_trade_price.get())
        .optional_word("change", t.change.map(model::Change::as_str))
        .optional("change_price", t.change_price.get())
        .optional("signed_change_price", t.signed_change_price.get())
        .optional("change_rate", t.change_rate.get())
        .optional("signed_change_rate", t.signed_change_rate.get())
        .optional_word("ask_bid", t.ask_bid.map(Side::as_str))
        .optional("trade_volume", t.trade_volume.get())
        .optional("acc_trade_volume", t.acc_trade_volume.get())
        .optional_word("trade_date", t.trade_date.get().map(Date::compact))
        .optional_word("trade_time", t.trade_time.get().map(Time::compact))
        .optional("trade_timestamp", t.trade_timestamp.get())
        .optional("acc_ask_volume", t.acc_ask_volume.get())
        .optional("acc_bid_volume", t.acc_bid_volume.get())
        .optional("highest_52_week_price", t.highest_52_week_price.get())
        .optional_word("highest_52_week_date", t.highest_52_week_date.get())
        .optional("lowest_52_week_price", t.lowest_52_week_price.get())
        .optional_word("lowest_52_week_date", t.lowest_52_week_date.get())
        .optional_word("market_state", t.market_state.map(MarketState::as_str))
        .optional("is_trading_suspended", t.is_trading_suspended);
    match t.delisting_date.get() {
        Some(date) => object.word("delisting_date", date),
        None => object.plain("delisting_date", "null"),
    };
    object
        .optional_word("market_warning", t.market_warning.map(MarketWarning::as_str))
        .plain("timestamp", t.timestamp)
        .optional("acc_trade_price_24h", t.acc_trade_price_24h.get())
        .optional("acc_trade_volume_24h", t.acc_trade_volume_24h.get())
        .word("stream_type", t.stream_type.as_str());
}

fn trade(object: &mut Object, t: &Trade) {
    object
        .word("type", "trade")
        .word("code", t.market)
        .plain("timestamp", t.timestamp)
        .optional_word("trade_date", t.trade_date.get())
        .optional_word("trade_time", t.trade_time.get())
        .optional("trade_timestamp", t.trade_timestamp.get())
        .plain("trade_price", t.trade_price)
        .optional("trade_volume", t.trade_volume.get())
        .optional_word("ask_bid", t.ask_bid.map(Side::as_str))
        .optional("prev_closing_price", t.prev_closing_price.get())
        .optional_word("change", t.change.map(model::Change::as_str))
        .optional("change_price", t.change_price.get())
        .optional("sequential_id", t.sequential_id.get())
        .optional("best_ask_price", t.best_ask_price.get())
        .optional("best_ask_size", t.best_ask_size.get())
        .optional("best_bid_price", t.best_bid_price.get())
        .optional("best_bid_size", t.best_bid_size.get())
        .word("stream_type", t.stream_type.as_str());
}

fn orderbook(object: &mut Object, book: &Orderbook) {
    object
        .word("type", "orderbook")
        .word("code", book.market)
        .plain("timestamp", book.timestamp)
        .optional("total_ask_size", book.total_ask_size.get())
        .optional("total_bid_size", book.total_bid_size.get())
        .objects("orderbook_units", book.units(), unit)
        .word("stream_type", book.stream_type.as_str())
        .optional("level", book.level.get());
}

/// Pads the shorter side with zeros, as the exchange does.
fn unit(object: &mut Object, unit: Unit) {
    let (ask, bid) = (unit.ask.unwrap_or_default(), unit.bid.unwrap_or_default());
    object
        .plain("ask_price", ask.price)
        .plain("bid_price", bid.price)
        .plain("ask_size", ask.size)
        .plain("bid_size", bid.size);
}

fn candle(object: &mut Object, c: &Candle) {
    object
        .word("type", DataType::Candle(c.interval))
        .word("code", c.market)
        .word("candle_date_time_utc", c.candle_date_time_utc)
        .optional_word("candle_date_time_kst", c.candle_date_time_kst.get())
        .plain("opening_price", c.opening_price)
        .plain("high_price", c.high_price)
        .plain("low_price", c.low_price)
        .plain("trade_price", c.trade_price)
        .optional("candle_acc_trade_volume", c.candle_acc_trade_volume.get())
        .optional("candle_acc_trade_price", c.candle_acc_trade_price.get())
        .plain("timestamp", c.timestamp)
        .word("stream_type", c.stream_type.as_str());
}
