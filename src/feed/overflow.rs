//! The overflow policies of feeds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::ring_bytes;
use crate::model::{DataType, Nature};

/// A feed's policy for events that arrive faster than they are read. With every policy of a live feed, no reader makes
/// the socket or another reader wait, and [`FeedCounts`](super::FeedCounts) counts the updates that are not delivered.
///
/// The policies that keep events, `DropOldest` and `DropNewest`, report losses in band: an
/// [`Item::Gap`](super::Item::Gap) in place of the missing events has their number. The policies that keep newest
/// values, `Conflate` and `Throttle`, have no gaps. The [version](super::Update::version) of an update shows how many
/// older values it replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// A policy for each type of stream. Every trade counts, so trades get `DropNewest` with as many updates as fit into
    /// [`BY_TYPE_BYTES`](Self::BY_TYPE_BYTES): 1489 trades, or 240 of a feed of events. Tickers, order books and candles
    /// are states, whose newest value replaces older ones, so they get `Conflate`.
    #[default]
    ByType,
    /// Drops the oldest events. The reader follows a ring that all readers of the connection share, so publishing costs
    /// the same for one reader and for a thousand, without a ring for each feed. There is one ring for each type. It holds
    /// the last events of all streams that are read this way, as many as
    /// [`Builder::broadcast_capacity`](crate::engine::Builder::broadcast_capacity) says, so busy streams shorten the
    /// history of the others. While one of these readers sleeps in `wait`, the connection's thread checks after each
    /// batch all such readers of the changed streams, and wakes those that sleep.
    DropOldest,
    /// Drops the newest events. The feed has its own ring for each connection that carries its streams, and events in
    /// the ring stay until they are read. Nothing is lost if the capacity covers the reader's longest pause.
    DropNewest {
        /// The number of updates that may wait. A trade takes 176 bytes, an order book or any event 1.1 KB.
        capacity: usize,
    },
    /// Drops the older values of each stream. At most one update of each stream waits, and the reader gets the newest
    /// value. The streams are read in the order in which they changed. Older values are counted as conflated.
    Conflate,
    /// Same as `Conflate`, with at most one update of each stream per interval. A change during the interval is
    /// delivered at its end. The interval is more than zero and at most an hour.
    Throttle(Duration),
    /// Drops nothing: the writer waits. For sources that can wait, see [`blocking`](super::blocking). A live engine
    /// refuses this policy, because the exchange does not wait.
    Block,
}

/// The largest interval of [`Overflow::Throttle`].
const THROTTLE_MAX: Duration = Duration::from_secs(3600);

impl Overflow {
    /// The number of updates that may wait with [`DROP_NEWEST`](Self::DROP_NEWEST).
    pub const CAPACITY: usize = 4096;

    /// The size of the ring for trades with [`ByType`](Self::ByType), for each connection that may carry the feed's
    /// streams, in bytes. So that fifty feeds of a program take megabytes, and a reader may pause for about a second
    /// while a busy market trades.
    pub const BY_TYPE_BYTES: usize = 256 << 10;

    /// The largest number of updates that may wait.
    pub const CAPACITY_MAX: usize = 1 << 20;

    /// `DropNewest` with [`CAPACITY`](Self::CAPACITY).
    pub const DROP_NEWEST: Self = Self::DropNewest { capacity: Self::CAPACITY };

    /// Returns the policy for a stream of this type. Never returns [`ByType`](Self::ByType).
    pub fn of(self, data_type: DataType) -> Self {
        match (self, data_type.nature()) {
            (Self::ByType, Nature::Occurrence) => Self::DROP_NEWEST,
            (Self::ByType, Nature::State) => Self::Conflate,
            (chosen, _) => chosen,
        }
    }

    /// Returns the number of updates that may wait, if the policy sets it.
    pub fn capacity(self) -> Option<usize> {
        if let Self::DropNewest { capacity } = self { Some(capacity) } else { None }
    }

    /// Returns why a live feed cannot use this policy and how to fix it, or `None` if it can.
    pub fn problem(self) -> Option<String> {
        match self {
            Self::Block => Some(
                "overflow: block would make the exchange wait, but the exchange never waits; choose another policy, or \
                 use offline::blocking for a source that can wait"
                    .to_owned(),
            ),
            Self::DropNewest { capacity } if !(1..=Self::CAPACITY_MAX).contains(&capacity) => {
                Some(format!("overflow: a feed holds from 1 to {} updates, not {capacity}", Self::CAPACITY_MAX))
            }
            Self::Throttle(interval) if interval.is_zero() || interval > THROTTLE_MAX => {
                Some("overflow: throttle needs an interval of more than zero and at most an hour".to_owned())
            }
            _ => None,
        }
    }

    /// Returns the capacity of the ring that a feed of `T` needs for streams of these types, in updates.
    pub(super) fn own_ring<T>(self, data_types: impl IntoIterator<Item = DataType>) -> Option<usize> {
        let capacity = data_types.into_iter().find_map(|data_type| self.of(data_type).capacity());
        if self == Self::ByType { capacity.map(|_| Self::BY_TYPE_BYTES / ring_bytes::<T>(1)) } else { capacity }
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByType => f.write_str("by-type"),
            Self::DropOldest => f.write_str("drop-oldest"),
            Self::DropNewest { capacity } => write!(f, "drop-newest:{capacity}"),
            Self::Conflate => f.write_str("conflate"),
            Self::Throttle(interval) if interval.subsec_nanos() % 1_000_000 == 0 => {
                write!(f, "throttle:{}ms", interval.as_millis())
            }
            Self::Throttle(interval) => write!(f, "throttle:{}us", interval.as_micros()),
            Self::Block => f.write_str("block"),
        }
    }
}

/// The error of parsing an [`Overflow`]. Contains the start of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidOverflow(String);

impl fmt::Display for InvalidOverflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is not an overflow policy; expected by-type, drop-oldest, drop-newest[:CAPACITY], conflate, \
             throttle:INTERVAL (50ms, 2s) or block",
            self.0.escape_debug()
        )
    }
}

impl std::error::Error for InvalidOverflow {}

impl FromStr for Overflow {
    type Err = InvalidOverflow;

    fn from_str(text: &str) -> Result<Self, InvalidOverflow> {
        let (name, argument) = text.split_once(':').map_or((text, None), |(name, argument)| (name, Some(argument)));
        let policy = match (name, argument) {
            ("by-type", None) => Some(Self::ByType),
            ("drop-oldest", None) => Some(Self::DropOldest),
            ("drop-newest", None) => Some(Self::DROP_NEWEST),
            ("drop-newest", Some(capacity)) => capacity.parse().ok().map(|capacity| Self::DropNewest { capacity }),
            ("conflate", None) => Some(Self::Conflate),
            ("throttle", Some(interval)) => parse_interval(interval).map(Self::Throttle),
            ("block", None) => Some(Self::Block),
            _ => None,
        };
        // Bounded: an error must not repeat a megabyte of garbage.
        policy.ok_or_else(|| InvalidOverflow(text.chars().take(64).collect()))
    }
}

fn parse_interval(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number = number.parse().ok()?;
    match unit {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        _ => None,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::model::Interval;

    #[test]
    fn every_policy_parses_its_own_display() {
        let throttles = [50, 1_500, 2_000_000].map(|us| Overflow::Throttle(Duration::from_micros(us)));
        let others =
            [Overflow::ByType, Overflow::DropOldest, Overflow::DROP_NEWEST, Overflow::Conflate, Overflow::Block];
        for policy in throttles.into_iter().chain(others) {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert_eq!("drop-newest".parse(), Ok(Overflow::DROP_NEWEST));
        assert_eq!("throttle:2s".parse(), Ok(Overflow::Throttle(Duration::from_secs(2))));
    }

    #[test]
    fn an_unknown_policy_is_refused_with_a_list_of_policies() {
        for text in ["", "drop_newest", "coalesce", "drop-newest:x", "throttle", "throttle:5", "throttle:ms", "block:1"]
        {
            let error = text.parse::<Overflow>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("drop-oldest"), "{error}");
        }
        assert!("\u{1b}[2J".parse::<Overflow>().unwrap_err().to_string().is_ascii());
    }

    #[test]
    fn a_policy_that_cannot_work_has_a_problem() {
        let bad = [
            Overflow::Block,
            Overflow::DropNewest { capacity: 0 },
            Overflow::DropNewest { capacity: Overflow::CAPACITY_MAX + 1 },
            Overflow::Throttle(Duration::ZERO),
            Overflow::Throttle(Duration::MAX),
        ];
        for policy in bad {
            assert!(policy.problem().is_some_and(|why| why.starts_with("overflow: ")), "{policy:?}");
        }
        let good = [Overflow::ByType, Overflow::DropOldest, Overflow::DROP_NEWEST, Overflow::Conflate];
        assert!(good.into_iter().all(|policy| policy.problem().is_none()));
    }

    #[test]
    fn trades_are_kept_and_states_are_conflated_by_default() {
        let states = [DataType::Ticker, DataType::Orderbook, DataType::Candle(Interval::Minute1)];
        assert!(states.iter().all(|state| Overflow::default().of(*state) == Overflow::Conflate));
        assert_eq!(Overflow::default().of(DataType::Trade), Overflow::DROP_NEWEST);
        assert_eq!(Overflow::DropOldest.of(DataType::Trade), Overflow::DropOldest);
    }
}
