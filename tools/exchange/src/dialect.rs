//! Upbit, or a near-clone of it: what each understands, and how each prints what differs.

use crate::format::Format;
use crate::limits::Limits;
use crate::number::ONE;
use crate::refusal::{ErrorName, Refusal};
use crate::request::Kind;
use std::time::Duration;

/// Which exchange is simulated.
///
/// Of Bithumb: the spelling of flags, units, levels, formats, missing candles, errors of content, limits, microseconds
/// and key order of order books, keys of trades, `delisting_date`. Not of Bithumb: its spelling of numbers, repeated
/// frames, days that begin in Korea, 19-digit ids, snapshots that come late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Upbit Korea.
    #[default]
    Upbit,
    /// Bithumb.
    Bithumb,
}

impl Dialect {
    /// How much it allows.
    pub fn limits(self) -> Limits {
        match self {
            Self::Upbit => Limits::default(),
            Self::Bithumb => Limits {
                connects_per_second: 10,
                first_block: Duration::from_secs(600),
                // None is documented; these only bound what is remembered.
                requests_per_second: 1_000,
                requests_per_minute: 60_000,
                ..Limits::default()
            },
        }
    }

    /// Spellings of the flag for a snapshot and nothing more.
    pub(crate) fn only_snapshot(self) -> &'static [&'static str] {
        match self {
            Self::Upbit => &["is_only_snapshot", "isOnlySnapshot"],
            Self::Bithumb => &["isOnlySnapshot"],
        }
    }

    /// Spellings of the flag for no snapshot.
    pub(crate) fn only_realtime(self) -> &'static [&'static str] {
        match self {
            Self::Upbit => &["is_only_realtime", "isOnlyRealtime"],
            Self::Bithumb => &["isOnlyRealtime"],
        }
    }

    /// A code without its `.n`, and how many units of a book it asks for.
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

    /// The grouping that `level`, fixed point, asks for; zero is none. `None` when the value is refused outright.
    pub(crate) fn grouping(self, level: Option<i64>) -> Option<i64> {
        match (self, level) {
            (Self::Upbit, level) => Some(level.unwrap_or(0)),
            (Self::Bithumb, None | Some(ONE)) => Some(0),
            // Which values it knows was not recorded: powers of ten, here.
            (Self::Bithumb, Some(level)) => (1..10).any(|power| ONE * 10i64.pow(power) == level).then_some(level),
        }
    }

    /// The `level` that a book of that grouping prints.
    pub(crate) fn level(self, grouping: i64) -> i64 {
        if self == Self::Bithumb && grouping == 0 { ONE } else { grouping }
    }

    /// The public type of that name.
    pub(crate) fn kind(self, name: &str) -> Option<Kind> {
        Kind::named(name).filter(|kind| self == Self::Upbit || !matches!(kind, Kind::Candle(_)))
    }

    /// The format of that name; an unknown name is the default one.
    pub(crate) fn format(self, name: &str) -> Format {
        let format = Format::named(name);
        if self == Self::Bithumb && format.is_list() { Format::Default } else { format }
    }

    /// What a request without a type earns.
    pub(crate) fn no_type(self) -> Refusal {
        match self {
            Self::Upbit => ErrorName::NoType.into(),
            Self::Bithumb => ErrorName::WrongFormat.into(),
        }
    }

    /// What empty `codes` earn. Upbit's answer is not known.
    pub(crate) fn no_codes(self) -> Refusal {
        match self {
            Self::Upbit => ErrorName::NoCodes.into(),
            Self::Bithumb => Refusal::empty_codes(),
        }
    }
}
