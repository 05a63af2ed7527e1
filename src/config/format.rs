//! Which message format a connection asks for.

use std::time::Duration;

use crate::model::{Format, NounKind};

/// Which message format a connection asks for.
#[allow(clippy::large_enum_variant, reason = "there is one for an engine, and none is kept")]
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FormatChoice {
    /// Always like this.
    Fixed(Format),
    /// In whichever format of the exchange costs least, by this rule. Begins with the one that the connection has, and an
    /// engine with [`Format::Default`].
    Auto(FormatRule),
}

impl Default for FormatChoice {
    fn default() -> Self {
        Self::Fixed(Format::Default)
    }
}

impl From<Format> for FormatChoice {
    fn from(format: Format) -> Self {
        Self::Fixed(format)
    }
}

impl From<FormatRule> for FormatChoice {
    fn from(rule: FormatRule) -> Self {
        Self::Auto(rule)
    }
}

impl FormatChoice {
    /// The format to begin with.
    pub(crate) fn first(&self) -> Format {
        match self {
            Self::Fixed(format) => *format,
            Self::Auto(_) => Format::Default,
        }
    }

    /// Why it cannot be.
    pub(crate) fn problems(&self, formats: &[Format]) -> Vec<String> {
        match self {
            Self::Fixed(format) if formats.contains(format) => Vec::new(),
            Self::Fixed(format) => vec![format!("format: this exchange does not write {}", format.as_str())],
            Self::Auto(rule) => rule.problems(),
        }
    }
}

/// When a connection's format is changed. A change costs one request of the exchange's budget, which is sent like any
/// other, and nothing else: what runs goes on. So it has to pay for some time before it is made, and is not made often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FormatRule {
    /// What a message costs in each format.
    pub costs: FormatCosts,
    /// What came is added up over so long. Default: 10 s. Longer is calmer.
    pub window: Duration,
    /// For how many windows in a row another format must have been cheaper by `gain`. Default: 3. The one that would
    /// have been cheapest over all of them is taken.
    pub windows: u32,
    /// The part of the cost that has to be saved, from 0 to 1. Default: 0.05.
    pub gain: f64,
    /// The shortest time between two changes. Default: 5 min.
    pub rest: Duration,
}

/// What a message costs: its bytes, times what a byte costs, and the time it takes to read. All in ns, so that the two
/// can be added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FormatCosts {
    /// What a byte costs before it is read. Default: 80, the time that it takes on a line of 100 Mbit/s. For a line that
    /// is shared or paid for, more; 0 where only the time of this machine counts.
    pub byte_ns: f64,
    /// What reading takes, in the order of [`Format::ALL`]. Default: about what it took on one machine, which need not be
    /// yours; `hoga bench formats` measures it.
    pub read_ns: [ReadCosts; 4],
}

/// The time that reading takes in one format, in ns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadCosts {
    /// A message of each type, in the order of [`NounKind::ALL`]; an order book without its units.
    pub messages: [f64; NounKind::COUNT],
    /// A unit of an order book.
    pub unit: f64,
}

impl Default for FormatRule {
    fn default() -> Self {
        Self {
            costs: FormatCosts::default(),
            window: Duration::from_secs(10),
            windows: 3,
            gain: 0.05,
            rest: Duration::from_secs(300),
        }
    }
}

impl Default for FormatCosts {
    fn default() -> Self {
        let read_ns = Format::ALL.map(|format| ReadCosts {
            messages: NounKind::ALL.map(|kind| kind.decode_ns()[format as usize]),
            unit: 38.0,
        });
        Self { byte_ns: 80.0, read_ns }
    }
}

impl FormatRule {
    fn problems(&self) -> Vec<String> {
        let reads = self.costs.read_ns.iter().flat_map(|read| read.messages.into_iter().chain([read.unit]));
        let is_cost = |cost: f64| cost.is_finite() && cost >= 0.0;
        let mut problems = Vec::new();
        if !is_cost(self.costs.byte_ns) || !reads.into_iter().all(is_cost) {
            problems.push("format: a cost must be a number, and not negative".to_owned());
        }
        if !(0.0..1.0).contains(&self.gain) {
            problems.push(format!("format: gain must be at least 0 and less than 1, not {}", self.gain));
        }
        if self.window.is_zero() || self.windows == 0 {
            problems.push("format: window must be longer than zero, and there must be at least one".to_owned());
        }
        problems
    }
}
