//! What becomes of a feed whose reader does not keep up.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::model::{DataType, Nature};

/// What becomes of events that come faster than they are read. Chosen for each feed. With every policy, no reader makes the
/// socket or another reader wait, and what is not delivered is counted in [`FeedCounts`](super::FeedCounts).
///
/// Policies that keep events, `DropOldest` and `DropNewest`, tell a loss in band: an [`Item::Gap`](super::Item::Gap) in the
/// place of the missing events says how many. Policies that keep newest values, `Conflate` and `Throttle`, have no gaps.
/// They tell by the [version](super::Update::version) of an update how many older values it replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// What suits the type of each stream: of trades each one counts, so `DropNewest` with [`CAPACITY`](Self::CAPACITY);
    /// tickers, order books and candles are states, of which the newest replaces the others, so `Conflate`.
    #[default]
    ByType,
    /// The oldest events go. The reader follows a ring that all readers of the connection share: publishing costs the
    /// same for one and for a thousand of them, and no memory is the feed's own. Price: the ring holds the events of all
    /// streams that are read this way, [`Builder::broadcast_capacity`](crate::engine::Builder::broadcast_capacity) of
    /// each type, so busy neighbours shorten what is kept; and while one of these readers sleeps in `wait`, the connection's
    /// thread looks at each such reader of what has changed, once for each batch, and wakes those that sleep.
    DropOldest,
    /// The newest events go. A ring of the feed's own for each connection that carries some of its streams: what has
    /// come in stays until it is read. Choose the capacity for the longest pause of the reader, and nothing is lost.
    DropNewest {
        /// Updates that may wait. A trade takes 208 bytes, an order book or any event 1.1 KB.
        capacity: usize,
    },
    /// Older values of a stream go. At most one update of each stream waits, the reader sees the newest value when it
    /// comes, and streams take turns in the order in which they changed. Older values are counted as conflated.
    Conflate,
    /// As `Conflate`, and an update of each stream at most this often. What changes in between comes at its end.
    Throttle(Duration),
    /// Nothing goes: the writer waits. For sources that can wait, see [`blocking`](super::blocking); a live engine
    /// refuses it, because the exchange would not wait.
    Block,
}

/// The largest interval of [`Overflow::Throttle`].
const THROTTLE_MAX: Duration = Duration::from_secs(3600);

impl Overflow {
    /// Updates that may wait, unless said otherwise.
    pub const CAPACITY: usize = 4096;

    /// The most updates that may wait.
    pub const CAPACITY_MAX: usize = 1 << 20;

    /// `DropNewest` with [`CAPACITY`](Self::CAPACITY).
    pub const DROP_NEWEST: Self = Self::DropNewest { capacity: Self::CAPACITY };

    /// What it means for a stream of this type: never [`ByType`](Self::ByType).
    pub fn of(self, data_type: DataType) -> Self {
        match (self, data_type.nature()) {
            (Self::ByType, Nature::Occurrence) => Self::DROP_NEWEST,
            (Self::ByType, Nature::State) => Self::Conflate,
            (chosen, _) => chosen,
        }
    }

    /// Updates that may wait in a ring of the feed's own, if it may have one.
    pub fn capacity(self) -> Option<usize> {
        match self {
            Self::DropNewest { capacity } => Some(capacity),
            Self::ByType => Some(Self::CAPACITY),
            _ => None,
        }
    }

    /// Why no live feed can work this way, and what to do.
    pub fn problem(self) -> Option<String> {
        match self {
            Self::Block => Some(
                "overflow: block would make the exchange wait, and it does not; choose another policy, or feed::blocking \
                 for sources that can wait"
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

    /// The ring of its own that a feed needs for streams of these types, in updates.
    pub(super) fn own_ring(self, data_types: impl IntoIterator<Item = DataType>) -> Option<usize> {
        data_types.into_iter().find_map(|data_type| match self.of(data_type) {
            Self::DropNewest { capacity } => Some(capacity),
            _ => None,
        })
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

/// A text that names no policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidOverflow(String);

impl fmt::Display for InvalidOverflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is no overflow policy: by-type, drop-oldest, drop-newest[:CAPACITY], conflate, \
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
        // Bounded: a megabyte of garbage must not come back in an error.
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
    fn every_policy_reads_back_what_it_writes() {
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
    fn what_names_no_policy_is_refused_with_a_list_of_those_there_are() {
        for text in ["", "drop_newest", "coalesce", "drop-newest:x", "throttle", "throttle:5", "throttle:ms", "block:1"]
        {
            let error = text.parse::<Overflow>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("drop-oldest"), "{error}");
        }
        assert!("\u{1b}[2J".parse::<Overflow>().unwrap_err().to_string().is_ascii());
    }

    #[test]
    fn what_cannot_work_says_why() {
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
    fn trades_are_kept_and_states_are_conflated_unless_said_otherwise() {
        let states = [DataType::Ticker, DataType::Orderbook, DataType::Candle(Interval::Minute1)];
        assert!(states.iter().all(|state| Overflow::default().of(*state) == Overflow::Conflate));
        assert_eq!(Overflow::default().of(DataType::Trade), Overflow::DROP_NEWEST);
        assert_eq!(Overflow::DropOldest.of(DataType::Trade), Overflow::DropOldest);
    }
}
