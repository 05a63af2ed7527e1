//! Handles the start and the end of connections: upgrades and their limits, errors, the end of a stall, slow readers.

use super::{ConnId, Exchange, Flow, STATUS, nanos};
use crate::calendar::MS;
use crate::connection::{Connection, State};
use crate::limits::Verdict;
use crate::refusal::Refusal;
use crate::rest;
use crate::upgrade::{Answer, Opening, Upgrade};
use std::time::Duration;

impl Exchange {
    pub(super) fn open(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        // The accepted upgrade, or the response that ends the connection.
        let answer = match Opening::parse(&connection.inbox) {
            Ok(None) => return,
            Ok(Some(Opening::Upgrade(upgrade))) => {
                self.check_upgrade(conn, &upgrade).map(|remaining| (upgrade, remaining))
            }
            Ok(Some(Opening::Rest(target))) => {
                self.stats.rest_requests += 1;
                Err(self.market_list_fault(&target).unwrap_or_else(|| rest::answer(&target, &self.floor.listings)))
            }
            Err(refusal) => {
                self.stats.malformed_upgrades += 1;
                Err(refusal)
            }
        };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let mut bytes = Vec::new();
        match answer {
            Err(last) => {
                last.write(&mut bytes);
                connection.outbox.push_raw(bytes);
                connection.finish(Flow::Close);
            }
            Ok((upgrade, remaining)) => {
                self.stats.upgrades += 1;
                upgrade.accept(&mut bytes, remaining, self.now / MS);
                connection.outbox.push_raw(bytes);
                if self.switches.early_data {
                    connection.outbox.push_notice(STATUS.to_vec());
                }
                connection.state = State::Open;
                let frames = connection.inbox.split_off(upgrade.length);
                connection.inbox = Vec::new();
                connection.reader.feed(&frames);
                self.read_frames(conn);
            }
        }
    }

    /// Returns the answer to a REST request that [`Fault::MarketList`](crate::Fault::MarketList) sets.
    fn market_list_fault(&self, target: &str) -> Option<Answer> {
        self.market_list.clone().filter(|_| target.starts_with(rest::MARKET_LIST))
    }

    /// Checks a well-formed upgrade against the limits. Returns the number of further upgrades allowed this second.
    fn check_upgrade(&mut self, conn: ConnId, upgrade: &Upgrade) -> Result<u64, Answer> {
        if let Some(rejection) = self.rejections.pop_front() {
            self.stats.faulted_upgrades += 1;
            return Err(rejection);
        }
        let ip = self.connections[&conn].ip;
        let refused = |status, message: &str| Answer::refuse(status, "too_many_requests", message);
        match self.connects.check(&self.config.limits, self.now, ip, upgrade.has_origin) {
            Verdict::Allowed { remaining } => self.check_path(&upgrade.path).map(|()| remaining),
            Verdict::TooMany => {
                self.stats.connects_over_limit += 1;
                Err(refused(429, "Too many connection requests."))
            }
            Verdict::OriginTooMany => {
                self.stats.origins_over_limit += 1;
                Err(refused(429, "Too many requests with an Origin header."))
            }
            Verdict::Blocked { for_ns } => {
                self.stats.connects_while_blocked += 1;
                // The documentation says that the body contains the block time; the wording is a guess.
                let seconds = Duration::from_nanos(for_ns).as_secs_f64().ceil();
                Err(refused(418, &format!("Too many connection requests. Blocked for {seconds} seconds.")))
            }
        }
    }

    fn check_path(&mut self, path: &str) -> Result<(), Answer> {
        match path {
            "/websocket/v1" => Ok(()),
            // Authenticated types are not simulated: every token is invalid.
            "/websocket/v1/private" | "/websocket/v1/info" => {
                Err(Answer::refuse(401, "invalid_access_key", "잘못된 엑세스 키입니다."))
            }
            _ => {
                self.stats.malformed_upgrades += 1;
                Err(Answer::refuse(404, "not_found", "no such path"))
            }
        }
    }

    pub(super) fn fail(&mut self, conn: ConnId, refusal: &Refusal) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        self.stats.errors += 1;
        self.floor_is_stale = true;
        connection.fail(refusal, self.now + nanos(self.config.error_close_delay));
    }

    pub(super) fn for_each_open(&mut self, mut act: impl FnMut(&mut Connection, u64)) {
        for connection in self.connections.values_mut().filter(|connection| connection.is_open()) {
            act(connection, self.now);
        }
    }

    pub(super) fn end_stall(&mut self) {
        self.floor_is_stale = true;
        for id in self.connections.keys().copied().collect::<Vec<ConnId>>() {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            connection.last_traffic = self.now;
            if connection.state == State::Upgrading {
                self.open(id);
            } else {
                let held = std::mem::take(&mut connection.inbox);
                connection.reader.feed(&held);
                self.read_frames(id);
            }
        }
    }

    pub(super) fn drop_slow_readers(&mut self) {
        for connection in self.connections.values_mut() {
            if connection.outbox.len() > self.config.output_limit {
                self.stats.slow_readers += 1;
                self.floor_is_stale = true;
                connection.finish(Flow::Drop);
            }
        }
    }
}
