//! Sends messages to clients: snapshots, events of the markets, status messages, replayed lines.

use super::{ConnId, Exchange, Flow, STATUS, has_room, nanos};
use crate::connection::{Connection, Stale, State};
use crate::dialect::Dialect;
use crate::fault::Switches;
use crate::format::Format;
use crate::market::{Event, Market};
use crate::message::{self, Print};
use crate::request::Kind;
use crate::subscription::{Stream, Subscription};
use std::iter;

impl Exchange {
    pub(super) fn handle_connections(&mut self) {
        for id in self.connections.keys().copied().collect::<Vec<ConnId>>() {
            self.send_snapshots(id);
            self.pump_replay(id);
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            if connection.stale.as_ref().is_some_and(|stale| stale.until <= self.now || stale.frames == 0) {
                connection.stale = None;
                self.floor_is_stale = true;
            }
            if connection.is_open() && connection.take_status(self.now) {
                self.stats.status_frames += 1;
                connection.outbox.push_notice(STATUS.to_vec());
            }
            self.handle_end(id);
        }
    }

    fn handle_end(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match connection.state {
            State::Failing { close_at } if close_at <= self.now => connection.close(1000, self.now),
            State::Closing { until } if until <= self.now => connection.finish(Flow::Close),
            State::Upgrading | State::Open if connection.last_traffic + nanos(self.config.idle_timeout) <= self.now => {
                self.stats.idle_closes += 1;
                self.floor_is_stale = true;
                connection.finish(Flow::Close);
            }
            _ => {}
        }
    }

    fn send_snapshots(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let Some(subscription) = &mut connection.subscription else { return };
        while let Some((index, stream)) = subscription.take_snapshot(self.now) {
            let is_mute = self.switches.mute || self.switches.mute_streams.contains(&(stream.kind, index));
            let Some(market) = self.floor.market(index).filter(|_| !is_mute) else { continue };
            let print = print(subscription.format, true, &self.switches, self.config.dialect);
            if let Some(payload) = snapshot(print, market, &stream) {
                connection.outbox.push_data(payload, &self.switches);
            }
        }
    }

    pub(super) fn dispatch(&mut self, index: usize, event: &Event) {
        let Some(market) = self.floor.market(index).filter(|_| !self.switches.mute) else { return };
        let (switches, dialect) = (&self.switches, self.config.dialect);
        let copies = |kind| if switches.duplicate_trades && kind == Kind::Trade { 2 } else { 1 };
        for connection in self.connections.values_mut().filter(|connection| connection.is_open()) {
            let Connection { subscription, stale, outbox, .. } = connection;
            for kind in kinds(event).into_iter().filter(|kind| !switches.mute_streams.contains(&(*kind, index))) {
                let source = subscription_for(subscription.as_ref(), stale.as_mut(), index, kind);
                let Some((subscription, mut frames_left)) = source else { continue };
                let print = print(subscription.format, false, switches, dialect);
                let live = subscription.live(index, kind);
                let payloads = live.flat_map(|stream| realtime(print, market, event, stream));
                for payload in payloads.flat_map(|payload| iter::repeat_n(payload, copies(kind))) {
                    if let Some(left) = &mut frames_left {
                        let Some(rest) = left.checked_sub(1) else { break };
                        **left = rest;
                    }
                    outbox.push_data(payload, switches);
                }
            }
        }
    }

    fn pump_replay(&mut self, conn: ConnId) {
        let Some(replay) = self.config.replay.as_deref().filter(|_| !self.switches.mute) else { return };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        // Recorded lines are sent unchanged, never merged into lists.
        let switches = Switches { multi_element_lists: false, ..self.switches.clone() };
        while has_room(connection)
            && let Some(line) = connection.cursor.take(replay, self.config.pace, self.config.replay_loops, self.now)
        {
            connection.outbox.push_data(line.to_vec(), &switches);
        }
    }
}

/// Returns the subscription that an event is sent for: the present one if it has the stream, otherwise the one that it
/// replaced, with the number of frames that may still be sent for that one. `None` if there is neither.
fn subscription_for<'a>(
    present: Option<&'a Subscription>,
    stale: Option<&'a mut Stale>,
    market: usize,
    kind: Kind,
) -> Option<(&'a Subscription, Option<&'a mut u64>)> {
    let present = present?;
    if present.has(market, kind) {
        return Some((present, None));
    }
    stale.map(|stale| (&stale.subscription, Some(&mut stale.frames)))
}

/// Returns the types of messages for an event, in the order in which they are sent.
fn kinds(event: &Event) -> Vec<Kind> {
    match event {
        Event::Trade(_) => vec![Kind::Trade, Kind::Ticker],
        Event::Book => vec![Kind::Orderbook],
        Event::Candles(changed) => {
            let mut units: Vec<Kind> = changed.iter().map(|(unit, _)| Kind::Candle(*unit)).collect();
            units.dedup();
            units
        }
    }
}

fn print(format: Format, snapshot: bool, switches: &Switches, dialect: Dialect) -> Print {
    let (microseconds, unknown_keys) = (switches.microseconds, switches.unknown_keys);
    Print { format, snapshot, dialect, microseconds, unknown_keys }
}

fn snapshot(print: Print, market: &Market, stream: &Stream) -> Option<Vec<u8>> {
    Some(match stream.kind {
        Kind::Ticker => message::ticker(print, market),
        Kind::Trade => message::trade(print, market, &market.last_trade),
        Kind::Orderbook => message::orderbook(print, market, stream.units, stream.level),
        Kind::Candle(unit) => message::candle(print, market, unit, market.candles.newest(unit)?),
    })
}

fn realtime(print: Print, market: &Market, event: &Event, stream: &Stream) -> Vec<Vec<u8>> {
    match (event, stream.kind) {
        (Event::Trade(trade), Kind::Trade) => vec![message::trade(print, market, trade)],
        (Event::Trade(_), Kind::Ticker) => vec![message::ticker(print, market)],
        (Event::Book, Kind::Orderbook) => vec![message::orderbook(print, market, stream.units, stream.level)],
        (Event::Candles(changed), Kind::Candle(unit)) => {
            let of_unit = changed.iter().filter(|(changed, _)| *changed == unit);
            of_unit.map(|(unit, candle)| message::candle(print, market, *unit, candle)).collect()
        }
        _ => Vec::new(),
    }
}
