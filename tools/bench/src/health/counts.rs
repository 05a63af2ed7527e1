//! What became of the faults of a run, by kind.

use std::collections::{BTreeMap, BTreeSet};

use hoga::model::StreamKey;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    TickerForgotten,
    TickerMute,
    TradesForgotten,
    TradesMute,
    BookForgotten,
    BookMute,
    /// The second fault of a market, and the first from then on.
    SecondOfMarket,
    /// All streams of the connection.
    ConnectionMute,
}

impl Kind {
    /// All kinds, in the order of the report.
    pub const ALL: [Self; 8] = [
        Self::TickerForgotten,
        Self::TickerMute,
        Self::TradesForgotten,
        Self::TradesMute,
        Self::BookForgotten,
        Self::BookMute,
        Self::SecondOfMarket,
        Self::ConnectionMute,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::TickerForgotten => "ticker, forgotten",
            Self::TickerMute => "ticker, mute",
            Self::TradesForgotten => "trades, forgotten",
            Self::TradesMute => "trades, mute",
            Self::BookForgotten => "book, forgotten",
            Self::BookMute => "book, mute",
            Self::SecondOfMarket => "two in a market",
            Self::ConnectionMute => "connection, mute",
        }
    }
}

/// The faults of one kind.
#[derive(Default)]
pub struct Outcomes {
    /// For each fault that was found, the time from the first withheld message until the value was not live, in ms.
    pub found: Vec<u64>,
    pub missed: u64,
    /// Not found in streams that are not judged: nothing shows their faults.
    pub unjudged: u64,
    /// Ended before a message was withheld.
    pub harmless: u64,
}

/// The counts of a run.
#[derive(Default)]
pub struct Counts {
    outcomes: BTreeMap<Kind, Outcomes>,
    /// Suspicions of streams without a fault.
    pub false_suspects: BTreeSet<(StreamKey, u64)>,
    /// Questions about each stream.
    pub asks: BTreeMap<StreamKey, u64>,
    /// Questions about streams without a fault.
    pub vain_asks: u64,
    /// Looks at streams without a fault, and those at which one was quiet.
    pub looks: u64,
    pub quiet_looks: u64,
}

impl Counts {
    pub fn of(&mut self, kind: Kind) -> &mut Outcomes {
        self.outcomes.entry(kind).or_default()
    }

    pub fn all(&self) -> impl Iterator<Item = &Outcomes> {
        self.outcomes.values()
    }

    /// Returns the number of faults that were found.
    pub fn found(&self) -> f64 {
        self.all().map(|outcomes| outcomes.found.len()).sum::<usize>() as f64
    }

    /// Returns the part of the judged faults that was found.
    pub fn recall(&self) -> f64 {
        self.found() / (self.found() + self.all().map(|outcomes| outcomes.missed).sum::<u64>() as f64)
    }

    /// Returns the part of the suspicions that was right.
    pub fn precision(&self) -> f64 {
        self.found() / (self.found() + self.false_suspects.len() as f64)
    }
}
