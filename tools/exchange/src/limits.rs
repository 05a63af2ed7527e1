//! Rate limits as exact sliding logs: connects per address, requests per connection, upgrades with `Origin`.

use crate::calendar::SECOND;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

/// At most `limit` events in any `window`.
#[derive(Debug)]
pub(crate) struct Log {
    limit: usize,
    window: u64,
    times: VecDeque<u64>,
}

impl Log {
    pub fn new(limit: usize, window: u64) -> Self {
        Self { limit, window, times: VecDeque::new() }
    }

    /// Returns the number of further events that are allowed now.
    pub fn remaining(&mut self, now: u64) -> usize {
        while self.times.front().is_some_and(|time| time + self.window <= now) {
            self.times.pop_front();
        }
        self.limit.saturating_sub(self.times.len())
    }

    pub fn record(&mut self, now: u64) {
        self.times.push_back(now);
    }

    fn try_record(&mut self, now: u64) -> bool {
        let allowed = self.remaining(now) > 0;
        if allowed {
            self.record(now);
        }
        allowed
    }
}

/// The rate limits. The defaults are Upbit's.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Upgrades per second and address. Default: 5.
    pub connects_per_second: usize,
    /// Refused upgrades (429) within ten seconds that an address may have. One more blocks the address. Default: 5.
    pub refusals_until_block: usize,
    /// Length of the first block; each further one is twice as long. Default: 10 s. Upbit's value is not known.
    pub first_block: Duration,
    /// Requests per second and connection. Default: 5.
    pub requests_per_second: usize,
    /// Requests per minute and connection. Default: 100.
    pub requests_per_minute: usize,
    /// Minimum time between two upgrades with an `Origin` header from one address. Default: 10 s.
    pub origin_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connects_per_second: 5,
            refusals_until_block: 5,
            first_block: Duration::from_secs(10),
            requests_per_second: 5,
            requests_per_minute: 100,
            origin_interval: Duration::from_secs(10),
        }
    }
}

/// The result of checking an upgrade against the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Allowed. `remaining` more are allowed this second.
    Allowed { remaining: u64 },
    /// Refused with 429.
    TooMany,
    /// Refused with 429, because of the `Origin` header.
    OriginTooMany,
    /// Refused with 418, for this time.
    Blocked { for_ns: u64 },
}

/// The upgrades of one address.
#[derive(Debug)]
struct Address {
    connects: Log,
    origins: Log,
    refusals: Log,
    blocks: u32,
    blocked_until: u64,
}

/// The upgrades of all addresses.
#[derive(Debug, Default)]
pub(crate) struct Connects(HashMap<IpAddr, Address>);

impl Connects {
    pub fn check(&mut self, limits: &Limits, now: u64, ip: IpAddr, has_origin: bool) -> Verdict {
        let address = self.0.entry(ip).or_insert_with(|| Address {
            connects: Log::new(limits.connects_per_second, SECOND),
            origins: Log::new(1, limits.origin_interval.as_nanos() as u64),
            refusals: Log::new(limits.refusals_until_block, 10 * SECOND),
            blocks: 0,
            blocked_until: 0,
        });
        if now < address.blocked_until {
            return Verdict::Blocked { for_ns: address.blocked_until - now };
        }
        if !address.connects.try_record(now) {
            return address.refuse(limits, now, Verdict::TooMany);
        }
        if has_origin && !address.origins.try_record(now) {
            return address.refuse(limits, now, Verdict::OriginTooMany);
        }
        Verdict::Allowed { remaining: address.connects.remaining(now) as u64 }
    }
}

impl Address {
    fn refuse(&mut self, limits: &Limits, now: u64, verdict: Verdict) -> Verdict {
        if self.refusals.try_record(now) {
            return verdict;
        }
        let for_ns = (limits.first_block.as_nanos() as u64) << self.blocks.min(10);
        self.blocks += 1;
        self.blocked_until = now + for_ns;
        Verdict::Blocked { for_ns }
    }
}

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Requests {
    second: Log,
    minute: Log,
}

impl Requests {
    pub fn new(limits: &Limits) -> Self {
        Self {
            second: Log::new(limits.requests_per_second, SECOND),
            minute: Log::new(limits.requests_per_minute, 60 * SECOND),
        }
    }

    pub fn try_record(&mut self, now: u64) -> bool {
        let allowed = self.second.remaining(now) > 0 && self.minute.remaining(now) > 0;
        if allowed {
            self.second.record(now);
            self.minute.record(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_log_allows_exactly_its_limit_in_every_window() {
        let mut log = Log::new(2, 10);
        assert!(log.try_record(100) && log.try_record(105) && !log.try_record(109));
        assert!(log.try_record(110) && !log.try_record(114) && log.try_record(115));
    }

    #[test]
    fn each_block_doubles_and_addresses_are_independent() {
        let (limits, mut connects) = (Limits::default(), Connects::default());
        let mut provoke = |now| (0..11).map(|_| connects.check(&limits, now, HOME, false)).last().unwrap();
        assert_eq!(provoke(0), Verdict::Blocked { for_ns: 10 * SECOND });
        assert_eq!(provoke(20 * SECOND), Verdict::Blocked { for_ns: 20 * SECOND });
        let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(connects.check(&limits, 20 * SECOND, elsewhere, false), Verdict::Allowed { remaining: 4 });
    }
}
