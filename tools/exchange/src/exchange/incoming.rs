//! Handles what clients send: turns frames into messages, and messages into subscriptions.

use super::{ConnId, Exchange, Flow, nanos};
use crate::connection::{Stale, State};
use crate::format::Format;
use crate::frame::{Incoming, Violation};
use crate::message;
use crate::received::Received;
use crate::refusal::{ErrorName, Refusal};
use crate::request::{Request, Want};
use crate::subscription::{Context, Subscription};
use std::time::Duration;

/// The maximum time that frames of a replaced subscription still arrive.
const STALE_FOR: Duration = Duration::from_millis(100);

impl Exchange {
    pub(super) fn read_frames(&mut self, conn: ConnId) {
        loop {
            let Some(connection) = self.connections.get_mut(&conn) else { return };
            if matches!(connection.state, State::Finished(_)) {
                return;
            }
            match connection.reader.next() {
                Ok(None) => return,
                Ok(Some(Incoming::Pong)) => {}
                Ok(Some(Incoming::Ping(payload))) => {
                    self.stats.ping_frames += 1;
                    connection.outbox.push_pong(&payload);
                }
                Ok(Some(Incoming::Close(code))) => {
                    connection.closed_by_client(code);
                    self.floor_is_stale = true;
                }
                Ok(Some(Incoming::Message(message))) if connection.is_open() => self.read_message(conn, &message),
                // After an error, as after a close, messages are ignored.
                Ok(Some(Incoming::Message(_))) => {}
                Err(violation) => self.violated(conn, violation),
            }
        }
    }

    fn violated(&mut self, conn: ConnId, violation: Violation) {
        match violation {
            Violation::Unmasked => self.stats.unmasked_frames += 1,
            _ => self.stats.malformed_frames += 1,
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.close(violation.code(), self.now);
        // Bytes after an invalid frame cannot be parsed, so do not wait for an echo.
        connection.finish(Flow::Close);
        self.floor_is_stale = true;
    }

    fn read_message(&mut self, conn: ConnId, message: &[u8]) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if message == b"PING" {
            // Whether the real exchange counts it as a request is not known; it does not count here.
            self.stats.text_pings += 1;
            return connection.start_status(self.now);
        }
        if let Some(observer) = &mut self.observer {
            observer.received(self.now, conn, message);
        }
        let request = match connection.requests.try_record(self.now) {
            true => self.parse(message).inspect_err(|_| self.stats.malformed_requests += 1),
            false => {
                self.stats.requests_over_limit += 1;
                Err(ErrorName::TooManyRequest.into())
            }
        };
        self.record(conn, message, request.as_ref().err());
        match request {
            Ok(Request::List { ticket, format }) => self.list(conn, &ticket, format),
            Ok(Request::Subscribe { wants, format, .. }) => self.subscribe(conn, wants, format),
            Err(refusal) => self.fail(conn, &refusal),
        }
    }

    fn parse(&self, message: &[u8]) -> Result<Request, Refusal> {
        let request = Request::parse(message, self.config.dialect)?;
        match &request {
            Request::Subscribe { wants, .. } if self.switches.refuses(wants) => Err(ErrorName::InvalidParam.into()),
            _ => Ok(request),
        }
    }

    fn record(&mut self, conn: ConnId, message: &[u8], refusal: Option<&Refusal>) {
        let text = String::from_utf8_lossy(message).into_owned();
        let refused = refusal.map(|refusal| refusal.name);
        self.received.push(Received { at_ns: self.now, conn, text, refused }, self.config.received_kept);
    }

    fn list(&mut self, conn: ConnId, ticket: &str, format: Format) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        self.stats.requests += 1;
        let mut wants: &[Want] = &[];
        if let Some(subscription) = &mut connection.subscription {
            subscription.format = format;
            wants = &subscription.wants;
        }
        connection.outbox.push_notice(message::subscriptions(format, wants, ticket, self.config.dialect));
    }

    fn subscribe(&mut self, conn: ConnId, wants: Vec<Want>, format: Format) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        self.stats.requests += 1;
        self.floor_is_stale = true;
        let replay = self.config.replay.as_deref();
        if let Some(replay) = replay {
            connection.cursor.subscribe(replay, &wants, self.config.replay_loops, self.now);
        }
        let snapshots_at = self.config.snapshot_delays.map(|delay| self.now + nanos(delay));
        let context = Context { listings: &self.floor.listings, replay, dialect: self.config.dialect };
        let subscription = Subscription::new(wants, format, &context, snapshots_at);
        // In a fixed order, so that the same inputs wake the markets in the same order.
        let mut markets: Vec<usize> = subscription.markets().collect();
        markets.sort_unstable();
        for market in markets {
            self.floor.wake(market, self.now);
        }
        let frames = self.rng.between(0, self.config.stale_frames);
        let until = self.now + nanos(STALE_FOR);
        let old = connection.subscription.replace(subscription);
        connection.stale = old.map(|subscription| Stale { subscription, frames, until });
    }
}
