//! A model of an exchange with one connection, and the engine's monitor, under virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hoga::model::{Clock, ConnectionId, DisconnectKind, Epoch, Nanos, StreamKey};
use hoga::monitor::{Look, Monitor};
use hoga::plan::Mode;
use hoga::pool::{self, DataPool, Health, HealthReason};
use hoga::sync::connection::ConnectionState;
use hoga_testing::Rng;

use super::counts::Counts;
use super::faults::Fault;
use super::market::{BOOK, ModelMarket, TICKER, TRADE, at, key};
use super::pauses::Pauses;

pub const STEP_MS: u64 = 100;
pub const HOUR_MS: u64 = 3_600_000;
/// How long the planner waits for an answer to its two requests.
const UNANSWERED_MS: u64 = 6000;
/// After this time without data, the session probes the connection.
const QUIET_AFTER: Duration = Duration::from_secs(10);
/// How long the session waits for the answer to a probe before it replaces the socket, and how long that takes.
const PROBE_MS: u64 = 5000;
const REPLACED_MS: u64 = 300;

struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Relaxed))
    }
}

/// An answer of the exchange that is under way.
struct Answer {
    due: u64,
    market: usize,
    stream: usize,
    /// No answer will come: this is when the planner gives up.
    is_none: bool,
}

pub struct Model {
    clock: Arc<TestClock>,
    pool: DataPool,
    connection: Arc<ConnectionState>,
    monitor: Monitor,
    pauses: Pauses,
    pub random: Rng,
    pub ms: u64,
    pub markets: Vec<ModelMarket>,
    /// The market and the stream of each key.
    places: BTreeMap<StreamKey, (usize, usize)>,
    /// The usual silence of each stream, as far as it is known.
    pub usual: BTreeMap<StreamKey, Option<Duration>>,
    answers: Vec<Answer>,
    /// The connection is mute: pings are answered, and nothing else arrives.
    pub connection_fault: Option<Fault>,
    /// The session does not probe again before this time.
    probe_after: u64,
    /// When the probe of a mute connection counts as unanswered.
    replaced_at: Option<u64>,
    pub counts: Counts,
}

impl Model {
    pub fn new(seed: u64, markets: usize, pauses: Pauses) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(at(0).0)));
        let pool = pool::empty(clock.clone(), DataPool::STALE_AFTER);
        let connection = Arc::new(ConnectionState::new(ConnectionId(0), at(0)));
        connection.opened(Epoch(1), at(0), None);
        let mut random = Rng::new(seed);
        let market = |n| ModelMarket::new(n, n + 1 == markets, &pauses, &mut random, &pool, &connection);
        let markets: Vec<_> = (0..markets).map(market).collect();
        let streams = markets.iter().enumerate().flat_map(|(n, m)| (0..3).map(move |s| (key(m.market, s), (n, s))));
        let places = streams.collect();
        let mut model = Self {
            clock,
            pool,
            connection,
            monitor: Monitor::new(1),
            pauses,
            random,
            ms: 0,
            markets,
            places,
            usual: BTreeMap::new(),
            answers: Vec::new(),
            connection_fault: None,
            probe_after: 0,
            replaced_at: None,
            counts: Counts::default(),
        };
        model.send_all(1);
        model
    }

    /// Sends the present state of a stream at this time.
    pub fn send(&mut self, market: usize, stream: usize, ms: u64) {
        self.clock.0.store(at(ms).0, Relaxed);
        self.connection.heard_data(at(ms));
        self.markets[market].publish(stream, self.connection.epoch(), at(ms));
    }

    fn send_all(&mut self, ms: u64) {
        for market in 0..self.markets.len() {
            (0..3).for_each(|stream| self.send(market, stream, ms));
        }
    }

    /// Sends a message, unless a fault withholds it.
    fn emit(&mut self, market: usize, stream: usize, ms: u64) {
        let own = self.markets[market].faults[stream].as_mut();
        let faults = own.into_iter().chain(&mut self.connection_fault);
        let withheld = faults.map(|fault| fault.harmful.get_or_insert(ms)).count();
        if withheld == 0 {
            self.send(market, stream, ms);
        }
    }

    /// Lets one step pass: arrivals, answers, a look, and faults.
    pub fn step(&mut self) {
        let end = self.ms + STEP_MS;
        for market in 0..self.markets.len() {
            self.trade_until(market, end);
        }
        self.answer(end);
        self.ms = end;
        self.clock.0.store(at(end).0, Relaxed);
        if self.replaced_at.is_some_and(|replaced_at| replaced_at <= end) {
            self.replace_socket();
        }
        self.look();
        self.begin_and_end_faults();
    }

    fn trade_until(&mut self, market: usize, end: u64) {
        // A tenth of the rate at night: every second half hour.
        let slow = if (self.ms / (HOUR_MS / 2)) % 2 == 1 { 10.0 } else { 1.0 };
        loop {
            let m = &self.markets[market];
            let ticker = m.ticker_due.unwrap_or(u64::MAX);
            let due = m.next_trade.min(m.next_book).min(ticker);
            if due > end {
                return;
            }
            let mean = m.mean_ms * slow;
            if due == ticker {
                self.markets[market].ticker_due = None;
                self.emit(market, TICKER, due);
            } else if due < m.halted_until {
                let resumes = m.halted_until + self.random.below(1000) as u64;
                let m = &mut self.markets[market];
                (m.next_trade, m.next_book) = (m.next_trade.max(resumes), m.next_book.max(resumes));
            } else if due == m.next_trade {
                let (pause, delay) = (self.pauses.of_trades(&mut self.random, mean), self.random.below(300) as u64);
                let m = &mut self.markets[market];
                (m.last_trade, m.trades, m.next_trade) = (due, m.trades + 1, due + pause);
                // A ticker that is due already shows this trade too.
                m.ticker_due.get_or_insert(due + delay);
                self.emit(market, TRADE, due);
            } else {
                let pause = self.pauses.of_books(&mut self.random, mean / 4.0);
                self.markets[market].next_book = due + pause;
                self.emit(market, BOOK, due);
            }
        }
    }

    fn answer(&mut self, end: u64) {
        let (due, later): (Vec<_>, _) = std::mem::take(&mut self.answers).into_iter().partition(|a| a.due <= end);
        self.answers = later;
        for Answer { due, market, stream, is_none } in due {
            let (is_faulty, is_mute) = (self.markets[market].faults[stream].is_some(), self.connection_fault.is_some());
            if is_none && (is_faulty || is_mute) {
                pool::doubt(&self.pool, key(self.markets[market].market, stream), HealthReason::Unanswered);
            } else if !is_none && !is_mute {
                self.send(market, stream, due.max(self.ms));
            }
            // If the fault has ended, a message has arrived since the request.
        }
    }

    fn ask(&mut self, market: usize, stream: usize) {
        let fault = self.markets[market].faults[stream];
        self.counts.vain_asks += u64::from(fault.is_none() && self.connection_fault.is_none());
        let is_none = fault.is_some_and(|fault| fault.is_mute) || self.connection_fault.is_some();
        let wait = if is_none { UNANSWERED_MS } else { 50 + self.random.below(250) as u64 };
        self.answers.push(Answer { due: self.ms + wait, market, stream, is_none });
        if !is_none {
            self.end_fault(market, stream);
        }
    }

    /// Answers a probe of the connection with the state of each stream that works.
    fn probe(&mut self) {
        if self.connection_fault.is_some() {
            self.replaced_at.get_or_insert(self.ms + PROBE_MS);
            return;
        }
        for market in 0..self.markets.len() {
            for stream in 0..3 {
                if self.markets[market].faults[stream].is_none() {
                    let due = self.ms + 50 + self.random.below(250) as u64;
                    self.answers.push(Answer { due, market, stream, is_none: false });
                }
            }
        }
    }

    /// Replaces the socket, as the session does if a probe is not answered. All requests are sent again.
    fn replace_socket(&mut self) {
        self.replaced_at = None;
        if let Some(fault) = self.connection_fault.take() {
            self.count(fault);
        }
        self.answers.clear();
        self.connection.disconnected(at(self.ms));
        self.connection.opened(self.connection.epoch().next(), at(self.ms), Some(DisconnectKind::Mute));
        for market in 0..self.markets.len() {
            for stream in 0..3 {
                let is_mute = self.markets[market].faults[stream].is_some_and(|fault| fault.is_mute);
                if !is_mute {
                    self.end_fault(market, stream);
                }
                let due = self.ms + if is_mute { UNANSWERED_MS } else { REPLACED_MS };
                self.answers.push(Answer { due, market, stream, is_none: is_mute });
            }
        }
    }

    fn look(&mut self) {
        let glances = pool::glances(&self.pool);
        let look = |glance| Look { connection: 0, mode: Mode::All, glance };
        let mut looks: Vec<_> = glances.into_iter().map(look).collect();
        // The pool returns them in any order, and the order decides which stream is asked about first.
        looks.sort_unstable_by_key(|look| look.glance.stream);
        self.judge(&looks);
        let findings = self.monitor.judge(at(self.ms), &looks);
        for (key, usual) in findings.usual {
            pool::set_usual_silence(&self.pool, key, usual);
            self.usual.insert(key, usual);
        }
        for (_, usual) in findings.usual_of_connections {
            self.connection.set_usual_silence(usual);
        }
        // The session also probes a silent connection by itself.
        let is_quiet = at(self.ms).since(self.connection.snapshot().heard) >= QUIET_AFTER;
        if (is_quiet && self.ms >= self.probe_after) || !findings.probes.is_empty() {
            self.probe_after = self.ms + PROBE_MS;
            self.probe();
        }
        for (key, reason) in findings.doubts {
            pool::doubt(&self.pool, key, reason);
        }
        for key in findings.asks {
            *self.counts.asks.entry(key).or_default() += 1;
            let (market, stream) = self.places[&key];
            self.ask(market, stream);
        }
    }

    /// Compares the health of all streams with the truth.
    fn judge(&mut self, looks: &[Look]) {
        if let Some(fault) = self.connection_fault.as_mut().filter(|fault| fault.harmful.is_some())
            && looks.iter().all(|look| !look.glance.health.is_live())
        {
            fault.doubted.get_or_insert(self.ms);
        }
        for look in looks {
            let (market, stream) = self.places[&look.glance.stream];
            self.judge_stream(market, stream, look.glance.health);
        }
    }

    fn judge_stream(&mut self, market: usize, stream: usize, health: Health) {
        let (ms, counts) = (self.ms, &mut self.counts);
        if let Some(fault) = &mut self.markets[market].faults[stream] {
            if fault.harmful.is_some() && !health.is_live() {
                fault.doubted.get_or_insert(ms);
            }
            return;
        }
        if self.connection_fault.is_some() {
            return;
        }
        counts.looks += 1;
        counts.quiet_looks += u64::from(matches!(health, Health::Quiet { .. }));
        // After the end of a fault, the answer is still under way.
        let is_suspect = matches!(health, Health::Suspect { .. } | Health::Stale { .. });
        let since = health.since().filter(|_| is_suspect);
        let is_answered = !self.answers.iter().any(|answer| (answer.market, answer.stream) == (market, stream));
        if let Some(since) = since.filter(|_| is_answered) {
            counts.false_suspects.insert((key(self.markets[market].market, stream), since.0));
        }
    }

    /// Returns the number of questions about the market that never trades.
    pub fn asks_about_the_dead(&self) -> u64 {
        let dead = self.markets.last().map(|dead| dead.market);
        let streams = dead.into_iter().flat_map(|dead| (0..3).map(move |stream| key(dead, stream)));
        streams.filter_map(|key| self.counts.asks.get(&key)).sum()
    }
}
