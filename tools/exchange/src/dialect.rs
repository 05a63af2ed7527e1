//! The differences between Upbit and Bithumb: the requests that each accepts, and how each prints messages.

use crate::format::Format;
use crate::limits::Limits;
use crate::number::ONE;
use crate::refusal::{ErrorName, Refusal};
use crate::request::Kind;
use std::time::Duration;

/// The exchange that is simulated.
///
/// Simulated for Bithumb: the spelling of flags, units, levels, formats, missing candles, errors about the content of
/// requests, limits, microseconds and key order of order books, keys of trades, `delisting_date`. Not simulated: its
/// spelling of numbers, repeated frames, days that start at midnight in Korea, 19-digit ids, late snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Upbit Korea.
    #[default]
    Upbit,
    /// Bithumb.
    Bithumb,
}

impl Dialect {
    /// The limits of the exchange.
    pub fn limits(self) -> Limits {
        match self {
            Self::Upbit => Limits::default(),
            Self::Bithumb => Limits {
                connects_per_second: 10,
                first_block: Duration::from_secs(600),
                // No limit is documented. These only bound the memory.
                requests_per_second: 1_000,
                requests_per_minute: 60_000,
                ..Limits::default()
            },
        }
    }

    /// The spellings of the flag that requests only a snapshot.
    pub(crate) fn only_snapshot(self) -> &'static [&'static str] {
        match self {
            Self::Upbit => &["is_only_snapshot", "isOnlySnapshot"],
            Self::Bithumb => &["isOnlySnapshot"],
        }
    }

    /// The spellings of the flag that requests no snapshot.
    pub(crate) fn only_realtime(self) -> &'static [&'static str] {
        match self {
            Self::Upbit => &["is_only_realtime", "isOnlyRealtime"],
            Self::Bithumb => &["isOnlyRealtime"],
        }
    }

    /// Splits a code into the code without its `.n` and the number of order-book units that it requests.
    pub(crate) fn split_units(self, code: &str) -> (&str, usize) {
        let (code, suffix) = code.split_once('.').unwrap_or((code, ""));
        let count = match (self, suffix) {
            (Self::Upbit, "1") => 1,
            (Self::Upbit, "5") => 5,
            (Self::Upbit, "15") => 15,
            (Self::Upbit, _) => 30,
            (Self::Bithumb, count) => count.parse().ok().filter(|count| (1..=15).contains(count)).unwrap_or(15),
        };
        (code, count)
    }

    /// Returns the grouping that the fixed-point `level` requests; zero is none. `None` if the exchange refuses the
    /// value.
    pub(crate) fn grouping(self, level: Option<i64>) -> Option<i64> {
        match (self, level) {
            (Self::Upbit, level) => Some(level.unwrap_or(0)),
            (Self::Bithumb, None | Some(ONE)) => Some(0),
            // The accepted values were not recorded. Powers of ten are a guess.
            (Self::Bithumb, Some(level)) => (1..10).any(|power| ONE * 10i64.pow(power) == level).then_some(level),
        }
    }

    /// Returns the `level` that a book with this grouping prints.
    pub(crate) fn level(self, grouping: i64) -> i64 {
        if self == Self::Bithumb && grouping == 0 { ONE } else { grouping }
    }

    /// Returns the public type with this name.
    pub(crate) fn kind(self, name: &str) -> Option<Kind> {
        Kind::named(name).filter(|kind| self == Self::Upbit || !matches!(kind, Kind::Candle(_)))
    }

    /// Returns the format with this name; an unknown name is the default format.
    pub(crate) fn format(self, name: &str) -> Format {
        let format = Format::named(name);
        if self == Self::Bithumb && format.is_list() { Format::Default } else { format }
    }

    /// The error for a request without a type.
    pub(crate) fn no_type(self) -> Refusal {
        match self {
            Self::Upbit => ErrorName::NoType.into(),
            Self::Bithumb => ErrorName::WrongFormat.into(),
        }
    }

    /// The error for empty `codes`. Upbit's answer is not known.
    pub(crate) fn no_codes(self) -> Refusal {
        match self {
            Self::Upbit => ErrorName::NoCodes.into(),
            Self::Bithumb => Refusal::empty_codes(),
        }
    }
}
