//! Which message format a connection asks for.

use std::time::Duration;

use super::problems::Problems;
use crate::model::{Format, NounKind};

/// Which message format a connection asks for.
#[allow(clippy::large_enum_variant, reason = "there is one for an engine, and none is kept")]
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FormatChoice {
    /// Always this one.
    Fixed(Format),
    /// The format that costs least by this rule. An engine begins with [`Format::Default`]; a connection that changes to
    /// this begins with the format that it has.
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

    /// Everything that is wrong with it at an exchange that writes these `formats`.
    pub(crate) fn problems(&self, formats: &[Format]) -> Vec<String> {
        match self {
            Self::Fixed(format) if formats.contains(format) => Vec::new(),
            Self::Fixed(format) => {
                let known = formats.iter().map(|format| format.as_str()).collect::<Vec<_>>().join(", ");
                vec![format!("format is {}, which this exchange does not write: choose from {known}", format.as_str())]
            }
            Self::Auto(rule) => {
                let mut problems = Problems::default();
                rule.check(&mut problems);
                problems.into_texts()
            }
        }
    }
}

/// When a connection's format is changed. A change costs one request of the exchange's budget, which is sent like any
/// other, and nothing else: what runs goes on. So it has to pay for some time before it is made, and is not made often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FormatRule {
    /// What a message costs in each format.
    pub costs: FormatCosts,
    /// Length of one evaluation window. Default: 10 s. Longer switches less often.
    pub window: Duration,
    /// How many windows in a row another format must have been cheaper by `gain`. Default: 3. The cheapest over all of
    /// them is chosen.
    pub windows: u32,
    /// The part of the cost that has to be saved, from 0 to less than 1. Default: 0.05.
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
    fn check(&self, problems: &mut Problems) {
        let reads = self.costs.read_ns.iter().flat_map(|read| read.messages.into_iter().chain([read.unit]));
        let mut costs = reads.chain([self.costs.byte_ns]);
        if let Some(cost) = costs.find(|cost| !cost.is_finite() || *cost < 0.0) {
            let value = format_args!("{cost:?} for a cost");
            problems.require(false, "format.costs", value, "to finite numbers, 0 or more");
        }
        problems.require((0.0..1.0).contains(&self.gain), "format.gain", self.gain, "to at least 0 and less than 1");
        problems.require(!self.window.is_zero(), "format.window", self.window, "to more than zero");
        problems.require(self.windows > 0, "format.windows", self.windows, "to at least 1");
    }
}
