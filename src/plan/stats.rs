//! The planner's statistics.

use std::collections::VecDeque;

use super::{ClientStatus, ConflictKind};
use crate::model::{Nanos, StreamKey};

/// The progress of changes of demand. Changes of the streams that the connections must carry are numbered from 1, and
/// so are changes of the format and repetitions of a request. Each field is the number of a change; 0 is before the
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Revisions {
    /// The newest change that is wanted.
    pub desired: u64,
    /// The current sockets carry all changes up to this one. It goes back when a socket ends, until the next socket
    /// carries them.
    pub sent: u64,
    /// All streams of changes up to this one have brought data, are listed by the exchange, or are unconfirmed. A
    /// stream that is requested again before it has brought data counts as part of the later change.
    pub confirmed: u64,
}

/// A snapshot of demand, of the carried streams and of the requests for them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlanStats {
    /// The clients, in the order in which they were opened.
    pub clients: Vec<ClientStatus>,
    /// The number of subscriptions that are held.
    pub holders: usize,
    /// The number of streams of all subscriptions; a stream counts once for each subscription.
    pub stream_demands: usize,
    /// The number of different streams that the connections carry or will carry with their next request, including
    /// those in their grace period.
    pub wire_streams: usize,
    /// The number of streams on each connection.
    pub streams_per_connection: Vec<usize>,
    /// The number of times that demand was added, removed or changed.
    pub changes: u64,
    /// The average number of such changes per second, over the last minute.
    pub changes_per_second: f64,
    /// The number of subscription requests sent.
    pub requests: u64,
    /// The number of panics of the engine's control plane. Each is a bug in hoga; the control plane was then rebuilt from
    /// the subscriptions that are held.
    pub panics: u64,
    /// The number of conflicts of each kind.
    pub conflicts: [(ConflictKind, u64); ConflictKind::ALL.len()],
    /// The progress of changes of demand.
    pub revisions: Revisions,
    /// Streams that were requested twice and have brought no data.
    pub unconfirmed: Vec<StreamKey>,
}

impl PlanStats {
    /// Returns the average number of subscriptions that share a stream of a connection; 0 without streams.
    pub fn dedupe_ratio(&self) -> f64 {
        if self.wire_streams == 0 { 0.0 } else { self.stream_demands as f64 / self.wire_streams as f64 }
    }

    /// Returns the number of requests saved compared with a client that sends one for each change.
    pub fn requests_saved(&self) -> u64 {
        self.changes.saturating_sub(self.requests)
    }
}

/// Counts changes per second over the last minute.
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
        // The first of the two busy seconds is now more than a minute ago, then the second.
        assert_eq!(rate.per_second(at(160)), 1.0);
        assert_eq!(rate.per_second(at(161)), 0.0);
        assert_eq!(rate.total(), 120);
        // One change each second, for much longer than is remembered.
        (200..500).for_each(|second| rate.count(at(second)));
        assert_eq!(rate.per_second(at(499)), 1.0);
        assert_eq!(rate.total(), 420);
    }
}
