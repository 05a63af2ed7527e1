//! The choice of a connection's message format.

use std::time::Duration;

use super::problems::Problems;
use crate::model::{Format, NounKind};

/// The message format that a connection requests.
#[allow(clippy::large_enum_variant, reason = "one per engine, never stored in bulk")]
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum FormatChoice {
    /// Always this format.
    Fixed(Format),
    /// The format that costs least by this rule. An engine starts with [`Format::Default`]; a connection that switches
    /// to this choice starts with its current format.
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
    /// The format to start with.
    pub(crate) fn first(&self) -> Format {
        match self {
            Self::Fixed(format) => *format,
            Self::Auto(_) => Format::Default,
        }
    }

    /// Returns the problems with this choice at an exchange that supports these `formats`.
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

/// The rule by which a connection changes its format. A change costs one request of the exchange's budget and nothing
/// else: running streams go on. So another format has to be cheaper for some time before a change, and changes are
/// rare.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FormatRule {
    /// The cost of a message in each format.
    pub costs: FormatCosts,
    /// Length of one evaluation window. Default: 10 s. Longer switches less often.
    pub window: Duration,
    /// The number of consecutive windows in which another format must be cheaper by `gain`. Default: 3. The format that
    /// is cheapest over all of them is chosen.
    pub windows: u32,
    /// The fraction of the cost that a change must save, from 0 to less than 1. Default: 0.05.
    pub gain: f64,
    /// The minimum time between two changes. Default: 5 min.
    pub rest: Duration,
}

/// The cost of a message: its size times the cost of a byte, plus the time to read it. All costs are in ns, so that
/// they can be added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FormatCosts {
    /// The cost of a byte before it is read, in ns. Default: 80, the transfer time at 100 Mbit/s. Set more for a
    /// connection that is shared or paid for, or 0 if only the time of this machine counts.
    pub byte_ns: f64,
    /// The time to read, in the order of [`Format::ALL`]. The defaults were measured on one machine; `hoga bench
    /// formats` measures them on yours.
    pub read_ns: [ReadCosts; 4],
}

/// The time to read messages in one format, in ns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadCosts {
    /// The time for a message of each type, in the order of [`NounKind::ALL`]. For an order book, without its units.
    pub messages: [f64; NounKind::COUNT],
    /// The time for one unit of an order book.
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
