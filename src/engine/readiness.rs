//! Determines why streams have no current data.

use super::control::Control;
use super::status::ConnectionStatus;
use crate::error::{Error, NotReady, NotReadyReason};
use crate::model::{Clock, Nanos, StreamKey};
use crate::plan::Confirmation;

impl Control {
    /// Returns the error of a wait that ended without success.
    pub fn not_ready(&self, streams: Vec<StreamKey>, awaits_markets: bool) -> Error {
        let now = self.clock.now();
        let ended = self.is_stopped() || !self.is_alive();
        let planned: Vec<_> = self.with_planner(|planner| {
            let planned = |key| {
                let home = planner.is_wanted(key).then(|| planner.home(key));
                (key, home, planner.confirmation(key), planner.refusal(key).map(Box::from))
            };
            streams.into_iter().map(planned).collect()
        });
        let connections: Vec<_> = self.connections.iter().map(|one| one.handles.status.read()).collect();
        let reason = |(key, home, confirmation, refusal): (_, Option<usize>, _, Option<Box<str>>)| {
            let reason = match home {
                _ if ended => NotReadyReason::Stopped,
                _ if refusal.is_some() => NotReadyReason::RefusedByExchange(refusal.unwrap_or_default()),
                None => NotReadyReason::NoRoom,
                Some(home) => reason(&connections[home], key, confirmation, now),
            };
            (key, reason)
        };
        let market_list = if awaits_markets { self.market_list().failure } else { None };
        Error::NotReady(NotReady { streams: planned.into_iter().map(reason).collect(), awaits_markets, market_list })
    }
}

fn reason(status: &ConnectionStatus, key: StreamKey, confirmation: Option<Confirmation>, now: Nanos) -> NotReadyReason {
    let (connection, is_open) = (status.id, status.state.is_open());
    let by = if is_open { None } else { status.last_disconnect.clone() };
    if let Some(until) = status.blocked_until.filter(|until| *until > now) {
        return NotReadyReason::HeldBack { connection, until, by };
    }
    if let Some(until) = status.dial_held_until.filter(|until| *until > now) {
        return NotReadyReason::ConnectBudget { connection, wait: until.since(now) };
    }
    if !is_open {
        return NotReadyReason::Disconnected { connection, last: by };
    }
    // Messages that name another stream explain nothing. Those that name none may be of this stream.
    match status.refused.of(key).or(status.refused.unnamed()) {
        Some(refused) => NotReadyReason::RefusedMessages { connection, refused },
        None if confirmation == Some(Confirmation::Unconfirmed) => NotReadyReason::UnknownMarket,
        None => NotReadyReason::NoDataYet,
    }
}
