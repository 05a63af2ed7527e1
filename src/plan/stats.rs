//! What a planner counts.

use std::collections::VecDeque;

use super::{ClientStatus, ConflictKind};
use crate::model::{Nanos, StreamKey};

/// How far what is wanted has got. All three count changes of what the wire shall carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Revisions {
    /// The newest.
    pub desired: u64,
    /// Everything up to here is on the current sockets. Falls back when a socket is lost, until the next one carries it.
    pub sent: u64,
    /// Everything up to here has brought data, was listed by the exchange, or is known as unconfirmed.
    pub confirmed: u64,
}

/// What is wanted, what is carried, and what it took. One moment.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlanStats {
    /// Components, in the order in which they came.
    pub clients: Vec<ClientStatus>,
    /// Holders of demand.
    pub holders: usize,
    /// Streams asked for by all holders together; the same stream counts for each.
    pub wishes: usize,
    /// Different streams that the connections were told to carry, those in their grace period included.
    pub wire_streams: usize,
    /// How they are spread.
    pub streams_per_connection: Vec<usize>,
    /// Additions and removals of demand.
    pub changes: u64,
    /// The same over the last minute, per second.
    pub changes_per_second: f64,
    /// Subscription requests sent.
    pub requests: u64,
    /// Conflicts of each kind.
    pub conflicts: [(ConflictKind, u64); ConflictKind::ALL.len()],
    /// How far what is wanted has got.
    pub revisions: Revisions,
    /// Streams that were asked for twice and stay silent.
    pub unconfirmed: Vec<StreamKey>,
}

impl PlanStats {
    /// How many wishes one stream on the wire serves; 0 without streams.
    pub fn dedupe_ratio(&self) -> f64 {
        if self.wire_streams == 0 { 0.0 } else { self.wishes as f64 / self.wire_streams as f64 }
    }

    /// Requests that a client would have sent that writes one for each change.
    pub fn requests_saved(&self) -> u64 {
        self.changes.saturating_sub(self.requests)
    }
}

/// Counts changes, second by second for the last minute.
#[derive(Debug, Default)]
pub(super) struct ChangeRate {
    total: u64,
    seconds: VecDeque<(u64, u64)>,
}

impl ChangeRate {
    const SECONDS: u64 = 60;

    pub fn count(&mut self, now: Nanos) {
        self.total += 1;
        let second = now.0 / 1_000_000_000;
        match self.seconds.back_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => self.seconds.push_back((second, 1)),
        }
        if self.seconds.len() as u64 > Self::SECONDS {
            self.seconds.pop_front();
        }
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn per_second(&self, now: Nanos) -> f64 {
        let first = (now.0 / 1_000_000_000).saturating_sub(Self::SECONDS);
        let recent: u64 = self.seconds.iter().filter(|(second, _)| *second > first).map(|(_, count)| count).sum();
        recent as f64 / Self::SECONDS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_per_second_are_those_of_the_last_minute() {
        let at = |second: u64| Nanos::from_millis(second * 1000);
        let mut rate = ChangeRate::default();
        assert_eq!(rate.per_second(at(0)), 0.0);
        (0..120).for_each(|n| rate.count(at(100 + n / 60)));
        assert_eq!(rate.per_second(at(101)), 2.0);
        // Of a minute with two busy seconds, the first has passed, then both.
        assert_eq!(rate.per_second(at(160)), 1.0);
        assert_eq!(rate.per_second(at(161)), 0.0);
        assert_eq!(rate.total(), 120);
        // One change each second, for much longer than is remembered.
        (200..500).for_each(|second| rate.count(at(second)));
        assert_eq!(rate.per_second(at(499)), 1.0);
        assert_eq!(rate.total(), 420);
    }
}
