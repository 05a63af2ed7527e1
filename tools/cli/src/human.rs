//! Prints lines for people: aligned columns, times in UTC, numbers with all their digits.

use std::fmt::{self, Display, Write};

use hoga::feed::{FeedCounts, Update};
use hoga::model::{Candle, Event, Level, Market, Maybe, Nanos, Orderbook, Side, StreamKey, Ticker, Trade};
use hoga::monitor::{HealthChange, StreamGap};
use hoga::pool::HealthReason;

use crate::breakdown::Breakdown;
use crate::latency::short;
use crate::line::{Gap, Line, NewSocket, Problem, StreamGaps, Summary, Transition};
use crate::tally::Tally;

/// Appends a line. Writing to a `String` cannot fail.
pub fn write(out: &mut String, line: &Line) {
    let _ = match line {
        Line::Data(update) => data(out, update),
        Line::State(transition) => state(out, transition),
        Line::Error(problem) => error(out, problem),
        Line::Drift(connection, drift) => writeln!(out, "{:12} -- connection {connection}: {drift}", ""),
        Line::UnknownType { connection, name, sample } => {
            writeln!(out, "{:12} -- connection {connection}: messages of the unknown type {name}: {sample}", "")
        }
        Line::Health(HealthChange { stream, to, at, .. }) => {
            let reason = to.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
            writeln!(out, "{} -- {stream} is {to}{reason}", time_of_day(*at))
        }
        Line::Gap(Gap::FeedFull { missed }) => {
            writeln!(out, "{:12} -- {missed} events are missing here: the output is too slow, see --overflow", "")
        }
        Line::Gap(Gap::NewSocket(socket)) => new_socket(out, socket),
        Line::StreamGap(gap) => stream_gap(out, gap),
        Line::Summary(total) => summary(out, total),
    };
}

fn data(out: &mut String, update: &Update) -> fmt::Result {
    write!(out, "{} ", time_of_day(update.stamps.received))?;
    match &update.value {
        Event::Ticker(value) => ticker(out, value),
        Event::Trade(value) => trade(out, value),
        Event::Orderbook(value) => orderbook(out, value),
        Event::Candle(value) => candle(out, value),
        other => writeln!(out, "{other:?}"),
    }
}

fn name(out: &mut String, data_type: impl Display, market: Market) -> fmt::Result {
    write!(out, "{data_type:<11} {market:<11} ")
}

fn ticker(out: &mut String, t: &Ticker) -> fmt::Result {
    name(out, "ticker", t.market)?;
    let price = grouped(t.trade_price);
    let (change, day) = (cell(t.signed_change_rate, percent), cell(t.acc_trade_volume_24h, grouped));
    writeln!(out, "{price:>14} {change:>8}  24h {day} {}", t.market.base())
}

fn trade(out: &mut String, t: &Trade) -> fmt::Result {
    name(out, "trade", t.market)?;
    writeln!(
        out,
        "{:>14} {:>8}  {} {}",
        grouped(t.trade_price),
        t.ask_bid.map_or(ABSENT, Side::as_str),
        cell(t.trade_volume, grouped),
        t.market.base()
    )
}

fn orderbook(out: &mut String, book: &Orderbook) -> fmt::Result {
    name(out, "orderbook", book.market)?;
    // A side may be empty.
    let cells =
        |level: Option<Level>| level.map_or((ABSENT.into(), ABSENT.into()), |l| (grouped(l.price), grouped(l.size)));
    let ((bid, bid_size), (ask, ask_size)) = (cells(book.best_bid()), cells(book.best_ask()));
    writeln!(out, "{bid:>14} {:>8}  {bid_size} {base}, ask {ask}  {ask_size} {base}", "bid", base = book.market.base())
}

fn candle(out: &mut String, c: &Candle) -> fmt::Result {
    name(out, hoga::model::DataType::Candle(c.interval), c.market)?;
    let [open, high, low, close] = [c.opening_price, c.high_price, c.low_price, c.trade_price].map(grouped);
    let (start, volume) = (c.candle_date_time_utc.time, cell(c.candle_acc_trade_volume, grouped));
    writeln!(out, "{close:>14} {start:>8}  open {open}, high {high}, low {low}, {volume} {}", c.market.base())
}

fn state(out: &mut String, transition: &Transition) -> fmt::Result {
    let Transition { connection, epoch, from, to, at, disconnected } = transition;
    write!(out, "{} -- connection {connection}, epoch {epoch}: {from} -> {to}", time_of_day(*at))?;
    if let Some(disconnected) = disconnected {
        write!(out, ": {}", disconnected.reason)?;
        if let Some(retry_at) = disconnected.retry_at {
            write!(out, "; next attempt in {}", short(retry_at.since(*at)))?;
        }
    }
    writeln!(out)
}

fn error(out: &mut String, problem: &Problem) -> fmt::Result {
    let Problem { connection, count, reason, message } = problem;
    write!(out, "{:12} -- connection {connection}: {reason}: ", "")?;
    if *count > 1 {
        write!(out, "{} more, the last one: ", grouped(*count as f64))?;
    }
    writeln!(out, "{message}")
}

fn new_socket(out: &mut String, socket: &NewSocket) -> fmt::Result {
    let NewSocket { connection, old, new, last, first, disconnect } = socket;
    let (at, time) = (time_of_day(*first), short(first.since(*last)));
    write!(out, "{at} -- connection {connection}: epoch {new} follows epoch {old} after {time}")?;
    if let Some(disconnect) = disconnect {
        write!(out, " ({disconnect})")?;
    }
    writeln!(out, "; data that was sent in between is missing")
}

/// Prints a gap, unless its cause is a new socket: one line about the connection reports that.
fn stream_gap(out: &mut String, gap: &StreamGap) -> fmt::Result {
    let StreamGap { stream, cause, from, to, .. } = gap;
    let Some(to) = to.filter(|_| *cause != HealthReason::NewSocket) else { return Ok(()) };
    let (from, to) = (time_of_day(from.received), time_of_day(to.received));
    writeln!(out, "{to} -- {stream}: messages since {from} may be missing: {cause}")
}

fn summary(out: &mut String, total: &Summary) -> fmt::Result {
    let types: Vec<_> = total.by_type.iter().map(|(data_type, count)| format!("{count} {data_type}")).collect();
    let of = if types.is_empty() { String::new() } else { format!(" ({})", types.join(", ")) };
    let FeedCounts { received, delivered, dropped, conflated, filtered, queued } = total.counts;
    writeln!(out, "-- {}: {delivered} events{of} in {}", total.end.replace('_', " "), short(total.duration))?;
    writeln!(
        out,
        "-- {received} received = {delivered} printed + {dropped} dropped + {conflated} conflated + {filtered} filtered \
         + {queued} queued"
    )?;
    writeln!(
        out,
        "-- {}: at most {} events waited; {} KB for this feed, {} KB shared",
        total.overflow,
        total.queue_max,
        grouped(kilobytes(total.feed_bytes)),
        grouped(kilobytes(total.shared_bytes)),
    )?;
    writeln!(out, "-- {}", losses(&total.tally.losses(total.gaps)))?;
    if let Some(gaps) = stream_gaps(&total.stream_gaps) {
        writeln!(out, "-- times in which messages of a stream may be missing: {gaps}")?;
    }
    if let Some(drift) = drift(&total.tally) {
        writeln!(out, "-- drift from the documentation: {drift}")?;
    }
    let plan = &total.plan;
    writeln!(
        out,
        "-- {} streams on the wire for {} stream demands, {} requests for {} changes",
        plan.wire_streams, plan.stream_demands, plan.requests, plan.changes
    )?;
    for (name, value) in total.latencies.iter().flat_map(Breakdown::rows) {
        writeln!(out, "-- {name:<17} {value}")?;
    }
    // If nothing was received at all, the error that follows has the reason.
    if received > 0 { no_data(out, &total.tally) } else { Ok(()) }
}

/// Prints which streams have no data, and why.
fn no_data(out: &mut String, tally: &Tally) -> fmt::Result {
    for (stream, refused) in &tally.refused {
        writeln!(out, "-- no data for {stream}: {refused}")?;
    }
    let is_refused = |stream: &&StreamKey| tally.refused.iter().any(|(refused, _)| refused == *stream);
    let unknown: Vec<_> = tally.silent.iter().filter(|stream| !is_refused(stream)).map(ToString::to_string).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    writeln!(out, "-- no data for {}: does the market exist?", unknown.join(", "))
}

fn kilobytes(bytes: u64) -> f64 {
    (bytes as f64 / 1e3).ceil()
}

/// `gaps 0, missed 0, …`
pub fn losses(kinds: &[(&str, u64)]) -> String {
    let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{} {count}", kind.replace('_', " "))).collect();
    kinds.join(", ")
}

/// `new socket 3, refused 1, of these 1 still open`. `None` if there are none.
fn stream_gaps(gaps: &StreamGaps) -> Option<String> {
    let mut kinds: Vec<_> = gaps.by_cause.iter().map(|(cause, count)| (*cause, *count)).collect();
    kinds.extend((gaps.cut > 0).then_some(("earlier", gaps.cut)));
    let open = if gaps.open > 0 { format!(", of these {} still open", gaps.open) } else { String::new() };
    (!kinds.is_empty()).then(|| losses(&kinds) + &open)
}

/// `unknown keys 1, unknown words 3`: how the messages differed from the documented ones. `None` if they did not.
pub fn drift(tally: &Tally) -> Option<String> {
    let kinds: Vec<_> = tally.drift().into_iter().filter(|(_, count)| *count > 0).collect();
    (!kinds.is_empty()).then(|| losses(&kinds))
}

/// Stands for a field that the message does not have.
const ABSENT: &str = "-";

fn cell(value: Maybe<f64>, print: fn(f64) -> String) -> String {
    value.get().map_or(ABSENT.to_owned(), print)
}

/// `+0.42%`
pub fn percent(rate: f64) -> String {
    format!("{:+.2}%", rate * 100.0)
}

/// All digits of a number, with a comma between thousands.
pub fn grouped(value: f64) -> String {
    let text = value.to_string();
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

/// `HH:mm:ss.mmm`, UTC.
fn time_of_day(at: Nanos) -> String {
    let ms = at.as_millis() % 86_400_000;
    let (seconds, ms) = (ms / 1000, ms % 1000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_all_their_digits() {
        let texts = [116_539_000.0, -1234.5, 0.000_001_13, 999.0, 0.0].map(grouped);
        assert_eq!(texts, ["116,539,000", "-1,234.5", "0.00000113", "999", "0"]);
    }

    #[test]
    fn the_time_of_day_is_utc() {
        assert_eq!(time_of_day(Nanos::from_millis(1_618_678_262_712)), "16:51:02.712");
    }
}
