//! Data types, candle intervals and wire formats.

use std::fmt;

use super::nouns::{Access, Nature, Noun, NounKind};

/// The price step of a grouped order book, in quote currency (KRW). Levels within the same step are added up.
///
/// Only KRW markets have grouped books. The exchange lists the steps of each market as `supported_levels` of its
/// order-book instruments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grouping {
    // In 1e-8 KRW: exact, comparable, and finer than any price.
    units: u64,
}

impl Grouping {
    const PER_KRW: f64 = 1e8;
    const MAX: f64 = 1e10;

    /// Creates a step of this size, in KRW. Returns `None` unless it is more than 0 and at most 10 billion, with at
    /// most 8 decimals.
    pub fn krw(step: f64) -> Option<Self> {
        let units = (step * Self::PER_KRW).round();
        let exact = units / Self::PER_KRW == step;
        (exact && step > 0.0 && step <= Self::MAX).then_some(Self { units: units as u64 })
    }

    /// The step in KRW.
    pub fn to_krw(self) -> f64 {
        self.units as f64 / Self::PER_KRW
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_krw())
    }
}

/// The type of data that a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DataType {
    /// Last price and the day's statistics of a market.
    Ticker,
    /// Single executions.
    Trade,
    /// The whole visible order book, best levels first.
    Orderbook,
    /// The order book with prices grouped by a step.
    GroupedOrderbook(Grouping),
    /// Open, high, low, close and volume of one interval.
    Candle(Interval),
}

impl DataType {
    /// Every data type except grouped order books, of which there is one for each step. The order is fixed.
    pub const ALL: [Self; COUNT] = all();

    /// The kind of its messages.
    pub const fn kind(self) -> NounKind {
        match self {
            Self::Ticker => NounKind::Ticker,
            Self::Trade => NounKind::Trade,
            Self::Orderbook | Self::GroupedOrderbook(_) => NounKind::Orderbook,
            Self::Candle(_) => NounKind::Candle,
        }
    }

    /// How one of its messages relates to earlier ones.
    pub fn nature(self) -> Nature {
        with_noun!(self.kind(), T => T::NATURE)
    }

    /// Expected bytes per second of one stream in a busy market.
    pub fn bytes_per_second(self) -> f64 {
        with_noun!(self.kind(), T => T::BYTES_PER_SECOND)
    }

    /// The access that it requires. It decides which endpoint of the exchange serves it.
    pub fn access(self) -> Access {
        with_noun!(self.kind(), T => T::ACCESS)
    }

    /// The exchange's name for it, as in requests and frames.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ticker => "ticker",
            Self::Trade => "trade",
            Self::Orderbook | Self::GroupedOrderbook(_) => "orderbook",
            Self::Candle(Interval::Second1) => "candle.1s",
            Self::Candle(Interval::Minute1) => "candle.1m",
            Self::Candle(Interval::Minute3) => "candle.3m",
            Self::Candle(Interval::Minute5) => "candle.5m",
            Self::Candle(Interval::Minute10) => "candle.10m",
            Self::Candle(Interval::Minute15) => "candle.15m",
            Self::Candle(Interval::Minute30) => "candle.30m",
            Self::Candle(Interval::Minute60) => "candle.60m",
            Self::Candle(Interval::Minute240) => "candle.240m",
        }
    }

    /// Parses the exchange's name. Case-sensitive, as on the exchange. Never returns a grouped order book, which has no
    /// separate name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == name)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GroupedOrderbook(step) => f.pad(&format!("orderbook@{step}")),
            _ => f.pad(self.as_str()),
        }
    }
}

/// The number of data types, without grouped order books.
const COUNT: usize = {
    let (mut count, mut kind) = (0, 0);
    while kind < NounKind::COUNT {
        count += NounKind::ALL[kind].data_types().len();
        kind += 1;
    }
    count
};

/// Returns the data types of each kind, one kind after another.
const fn all() -> [DataType; COUNT] {
    let mut all = [DataType::Ticker; COUNT];
    let (mut count, mut kind) = (0, 0);
    while kind < NounKind::COUNT {
        let mut of_kind = NounKind::ALL[kind].data_types();
        while let [first, others @ ..] = of_kind {
            all[count] = *first;
            (count, of_kind) = (count + 1, others);
        }
        kind += 1;
    }
    all
}

/// The length of a candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are clear")]
#[non_exhaustive]
pub enum Interval {
    Second1,
    Minute1,
    Minute3,
    Minute5,
    Minute10,
    Minute15,
    Minute30,
    Minute60,
    Minute240,
}

impl Interval {
    /// Length in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second1 => 1,
            Self::Minute1 => 60,
            Self::Minute3 => 180,
            Self::Minute5 => 300,
            Self::Minute10 => 600,
            Self::Minute15 => 900,
            Self::Minute30 => 1_800,
            Self::Minute60 => 3_600,
            Self::Minute240 => 14_400,
        }
    }
}

/// Whether a message is a snapshot or reports a change: `stream_type` of the exchange.
///
/// A message without a `stream_type`, or with one that this version cannot read, counts as
/// [`Realtime`](Self::Realtime): the documentation has examples of books without it, and feeds of changes must not miss
/// a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamType {
    /// `SNAPSHOT`: the state at the time of the request.
    Snapshot,
    /// `REALTIME`: something changed.
    Realtime,
}

impl StreamType {
    /// The exchange's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "SNAPSHOT",
            Self::Realtime => "REALTIME",
        }
    }
}

/// The JSON format of the messages on one connection. All four decode to the same values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Format {
    /// Each message is an object with long keys.
    #[default]
    Default,
    /// Each message is an object with short keys: about a third fewer bytes.
    Simple,
    /// Each message is a list of objects with long keys.
    JsonList,
    /// Each message is a list of objects with short keys.
    SimpleList,
}

impl Format {
    /// Every format, in a fixed order.
    pub const ALL: [Self; 4] = [Self::Default, Self::Simple, Self::JsonList, Self::SimpleList];

    /// Returns the format with short or long keys, as lists or single objects.
    pub const fn of(is_short: bool, is_list: bool) -> Self {
        match (is_short, is_list) {
            (false, false) => Self::Default,
            (true, false) => Self::Simple,
            (false, true) => Self::JsonList,
            (true, true) => Self::SimpleList,
        }
    }

    /// Whether keys are abbreviated.
    pub const fn is_short(self) -> bool {
        matches!(self, Self::Simple | Self::SimpleList)
    }

    /// Whether messages are lists.
    pub const fn is_list(self) -> bool {
        matches!(self, Self::JsonList | Self::SimpleList)
    }

    /// The exchange's spelling in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "DEFAULT",
            Self::Simple => "SIMPLE",
            Self::JsonList => "JSON_LIST",
            Self::SimpleList => "SIMPLE_LIST",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_types_have_unique_names_and_the_expected_access_and_nature() {
        let names: std::collections::BTreeSet<_> = DataType::ALL.iter().map(|data_type| data_type.as_str()).collect();
        assert_eq!(names.len(), DataType::ALL.len());
        assert!(DataType::ALL.iter().all(|data_type| data_type.access() == Access::Public));
        let occurrences: Vec<_> = DataType::ALL.iter().filter(|t| t.nature() == Nature::Occurrence).collect();
        assert_eq!(occurrences, [&DataType::Trade]);
    }

    #[test]
    fn inexact_steps_are_refused() {
        for step in [0.00000001, 0.1, 1.0, 10_000.0, 100_000_000.0] {
            assert_eq!(Grouping::krw(step).unwrap().to_krw(), step);
        }
        for bad in [0.0, -1.0, 1e-9, 0.000000015, 1e11, f64::NAN, f64::INFINITY] {
            assert_eq!(Grouping::krw(bad), None, "{bad}");
        }
    }
}
