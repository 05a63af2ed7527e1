//! What clients send: frames into messages, messages into subscriptions.

use super::{ConnId, Exchange, Flow, nanos};
use crate::connection::{Stale, State};
use crate::format::Format;
use crate::frame::{self, Incoming, Violation};
use crate::message;
use crate::refusal::ErrorName;
use crate::request::{Request, Want};
use crate::subscription::Subscription;
use std::time::Duration;

/// How long frames of a replaced subscription can still come.
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
                    connection.outbox.push_control(frame::PONG, &payload);
                }
                Ok(Some(Incoming::Close(code))) => {
                    connection.closed_by_client(code);
                    self.floor_is_stale = true;
                }
                Ok(Some(Incoming::Message(message))) if connection.is_open() => self.read_message(conn, &message),
                // After an error nothing is read any more, as nothing is after a close.
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
        // What follows a broken frame cannot be read, so an echo is not waited for.
        connection.finish(Flow::Close);
        self.floor_is_stale = true;
    }

    fn read_message(&mut self, conn: ConnId, message: &[u8]) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if message == b"PING" {
            // Whether it counts as a request is not known; it does not here.
            self.stats.text_pings += 1;
            return connection.start_status(self.now);
        }
        if let Some(observer) = &mut self.observer {
            observer.received(self.now, conn, message);
        }
        if !connection.requests.try_record(self.now) {
            self.stats.requests_over_limit += 1;
            return self.fail(conn, &ErrorName::TooManyRequest.into());
        }
        match Request::parse(message) {
            Ok(Request::List { ticket, format }) => self.list(conn, &ticket, format),
            Ok(Request::Subscribe { wants, format, .. }) => self.subscribe(conn, wants, format),
            Err(refusal) => {
                self.stats.malformed_requests += 1;
                self.fail(conn, &refusal);
            }
        }
    }

    fn list(&mut self, conn: ConnId, ticket: &str, format: Format) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        self.stats.requests += 1;
        let mut wants: &[Want] = &[];
        if let Some(subscription) = &mut connection.subscription {
            subscription.format = format;
            wants = &subscription.wants;
        }
        connection.outbox.push_notice(message::subscriptions(format, wants, ticket));
    }

    fn subscribe(&mut self, conn: ConnId, wants: Vec<Want>, format: Format) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        self.stats.requests += 1;
        self.floor_is_stale = true;
        let replay = self.config.replay.as_deref();
        if let Some(replay) = replay {
            connection.cursor.subscribe(replay, &wants, self.now);
        }
        let snapshots_at = self.config.snapshot_delays.map(|delay| self.now + nanos(delay));
        let subscription = Subscription::new(wants, format, &self.floor.listings, replay, snapshots_at);
        // In the order of the request, so that the same inputs wake the markets in the same order.
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
