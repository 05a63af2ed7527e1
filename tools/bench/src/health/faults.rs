//! The faults of the model: when they begin and end, and what became of them.

use super::counts::Kind;
use super::market::{BOOK, TICKER, TRADE, key};
use super::model::{HOUR_MS, Model};

/// A mute stream stays mute for this long. A forgotten one that is never asked for counts as missed after this time.
const FAULT_MS: u64 = 900_000;
/// One in this many steps begins a fault of a stream, about one in twenty seconds.
const FAULT_ONE_IN: usize = 200;
/// One in this many steps halts a market.
const HALT_ONE_IN: usize = 5000;
/// One in this many steps mutes the connection, about one in twenty minutes.
const MUTE_ONE_IN: usize = 12_000;
/// One in this many faults may begin in a market that has a fault already.
const SECOND_ONE_IN: usize = 5;

/// A fault of one stream, or of the connection.
#[derive(Clone, Copy)]
pub struct Fault {
    pub kind: Kind,
    /// Answers no question; otherwise a question repairs it.
    pub is_mute: bool,
    pub began: u64,
    /// When a message was first withheld, and the value became wrong.
    pub harmful: Option<u64>,
    /// When the value was first not live after that.
    pub doubted: Option<u64>,
    /// The monitor knows what is usual for the stream, or can compare it with another.
    pub is_judged: bool,
}

impl Fault {
    pub fn new(kind: Kind, is_mute: bool, began: u64, is_judged: bool) -> Self {
        Self { kind, is_mute, began, harmful: None, doubted: None, is_judged }
    }
}

fn kind(stream: usize, is_mute: bool) -> Kind {
    match (stream, is_mute) {
        (TICKER, false) => Kind::TickerForgotten,
        (TICKER, true) => Kind::TickerMute,
        (TRADE, false) => Kind::TradesForgotten,
        (TRADE, true) => Kind::TradesMute,
        (_, false) => Kind::BookForgotten,
        (_, true) => Kind::BookMute,
    }
}

impl Model {
    /// Ends faults that have lasted long enough, and begins others.
    pub fn begin_and_end_faults(&mut self) {
        for market in 0..self.markets.len() {
            for stream in 0..3 {
                let is_over = |fault: Fault| self.ms - fault.harmful.unwrap_or(fault.began) >= FAULT_MS;
                if self.markets[market].faults[stream].is_some_and(is_over) {
                    self.end_fault(market, stream);
                    // The stream works again.
                    self.send(market, stream, self.ms);
                }
            }
        }
        if self.connection_fault.is_some() {
            return;
        }
        if self.random.chance(FAULT_ONE_IN) {
            self.begin_fault();
        }
        if self.random.chance(HALT_ONE_IN) {
            let market = self.random.below(self.markets.len());
            let length = 600_000 + self.random.below(HOUR_MS as usize) as u64;
            if self.markets[market].faults.iter().all(Option::is_none) {
                self.markets[market].halted_until = self.ms + length;
            }
        }
        if self.random.chance(MUTE_ONE_IN) {
            self.connection_fault = Some(Fault::new(Kind::ConnectionMute, true, self.ms, true));
        }
    }

    /// Begins a fault of a random stream. The last market never trades, so it has none.
    fn begin_fault(&mut self) {
        let (market, stream) = (self.random.below(self.markets.len() - 1), self.random.below(3));
        let (is_mute, may_be_second) = (self.random.chance(2), self.random.chance(SECOND_ONE_IN));
        let m = &self.markets[market];
        let others = m.faults.iter().flatten().count();
        if m.halted_until >= self.ms || m.faults[stream].is_some() || others > usize::from(may_be_second) {
            return;
        }
        let mut fault = Fault::new(kind(stream, is_mute), is_mute, self.ms, self.is_judged(market, stream));
        if others > 0 {
            fault.kind = Kind::SecondOfMarket;
            let other = m.faults.iter().position(Option::is_some).unwrap_or_default();
            // From now on, the two may not show each other's faults.
            let is_judged = self.is_judged(market, other) && !self.is_pair(stream, other);
            if let Some(other) = &mut self.markets[market].faults[other] {
                (other.kind, other.is_judged) = (Kind::SecondOfMarket, other.is_judged && is_judged);
            }
            fault.is_judged &= is_judged;
        }
        self.markets[market].faults[stream] = Some(fault);
    }

    /// Returns true if one of the streams shows faults of the other.
    fn is_pair(&self, one: usize, other: usize) -> bool {
        one != BOOK && other != BOOK
    }

    /// Returns true if the monitor knows what is usual for the stream, or can compare it with another that works.
    fn is_judged(&self, market: usize, stream: usize) -> bool {
        let m = &self.markets[market];
        let usual = self.usual.get(&key(m.market, stream)).copied().flatten();
        let has_witness = match stream {
            TICKER => m.faults[TRADE].is_none(),
            TRADE => m.faults[TICKER].is_none(),
            _ => false,
        };
        has_witness || usual.is_some()
    }

    pub fn end_fault(&mut self, market: usize, stream: usize) {
        if let Some(fault) = self.markets[market].faults[stream].take() {
            self.count(fault);
        }
    }

    /// Counts what became of a fault that has ended.
    pub fn count(&mut self, fault: Fault) {
        let outcomes = self.counts.of(fault.kind);
        let Some(harmful) = fault.harmful else {
            outcomes.harmless += 1;
            return;
        };
        match fault.doubted {
            // A question that a quiet stream causes repairs the fault in the same step.
            None if !fault.is_mute && self.ms - harmful < FAULT_MS => outcomes.found.push(self.ms - harmful),
            None if !fault.is_judged => outcomes.unjudged += 1,
            None => outcomes.missed += 1,
            Some(doubted) => outcomes.found.push(doubted - harmful),
        }
    }
}
