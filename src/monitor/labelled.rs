//! Runs the monitor against a model of an exchange whose faults are known, and counts how many it finds. Time is virtual.
//!
//! `HOGA_LABELLED_HOURS=24 HOGA_LABELLED_MARKETS=200 cargo test --release --lib labelled -- --nocapture` prints the table
//! of a longer run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Look, Monitor};
use crate::model::{
    Clock, ConnectionId, DataType, Epoch, Market, Nanos, Orderbook, Receipt, StreamKey, StreamType, Ticker, Trade,
    Words,
};
use crate::plan::Mode;
use crate::pool::{self, DataPool, Health, HealthReason, Publisher, Timeline};
use crate::sync::connection::ConnectionState;

const STEP_MS: u64 = 100;
const HOUR_MS: u64 = 3_600_000;
/// A mute stream stays mute for this long. A forgotten one that is never asked for counts as missed after this time.
const FAULT_MS: u64 = 900_000;
/// How long the planner waits for an answer to its two requests.
const UNANSWERED_MS: u64 = 6000;

/// After this time without data, the session probes the connection.
const QUIET_AFTER: Duration = Duration::from_secs(10);

struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Relaxed))
    }
}

/// A generator of random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 to 1, never 0.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Returns a pause with this mean and a heavy tail: each 8 times as long is 22 times as rare.
    fn pause(&mut self, mean_ms: f64) -> u64 {
        (mean_ms * 0.5 * (self.unit().powf(-1.0 / 1.5) - 1.0)).max(1.0) as u64
    }
}

/// The three streams of a market, as indexes.
const TICKER: usize = 0;
const TRADE: usize = 1;
const BOOK: usize = 2;

/// A market of the model, with its publishers.
struct ModelMarket {
    market: Market,
    /// The mean pause between two trades.
    mean_ms: f64,
    next_trade: u64,
    next_book: u64,
    /// A ticker that follows a trade: when it is sent, and the time of the trade.
    ticker_due: Option<(u64, u64)>,
    halted_until: u64,
    last_trade: u64,
    trades: u64,
    ticker: Publisher<Ticker>,
    trade: Publisher<Trade>,
    book: Publisher<Orderbook>,
    faults: [Option<Fault>; 3],
}

#[derive(Clone, Copy)]
struct Fault {
    /// Answers no question; otherwise a question repairs it.
    is_mute: bool,
    began: u64,
    /// When a message was first withheld, and the value became wrong.
    harmful: Option<u64>,
    /// When the value was first not live after that, and first suspect.
    doubted: Option<u64>,
    suspect: Option<u64>,
    /// The monitor knew what is usual for the stream, or can compare it with another.
    is_judged: bool,
}

#[derive(Default)]
struct Counts {
    found: Vec<u64>,
    suspect: Vec<u64>,
    missed: u32,
    unjudged: u32,
    harmless: u32,
    false_suspects: BTreeSet<(StreamKey, u64)>,
    asks: BTreeMap<StreamKey, u32>,
    quiet_steps: u64,
    steps: u64,
}

struct Model {
    clock: Arc<TestClock>,
    pool: DataPool,
    state: Arc<ConnectionState>,
    monitor: Monitor,
    random: Random,
    ms: u64,
    markets: Vec<ModelMarket>,
    /// The market and the stream of each key.
    places: BTreeMap<StreamKey, (usize, usize)>,
    usual: BTreeMap<StreamKey, Option<Duration>>,
    /// Answers under way: when they arrive, and for which stream. `true`: no answer will come.
    answers: Vec<(u64, usize, usize, bool)>,
    counts: Counts,
}

fn at(ms: u64) -> Nanos {
    Nanos::from_millis(1_790_000_000_000 + ms)
}

fn key(market: Market, stream: usize) -> StreamKey {
    StreamKey::of([DataType::Ticker, DataType::Trade, DataType::Orderbook][stream], market)
}

impl Model {
    fn new(seed: u64, markets: usize) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(at(0).0)));
        let pool = pool::empty(clock.clone(), DataPool::STALE_AFTER);
        let state = Arc::new(ConnectionState::new(ConnectionId(0), at(0)));
        state.opened(Epoch(1), at(0), None);
        let mut random = Random(seed);
        let market = |n: usize| {
            let market: Market = format!("KRW-M{n}").parse().unwrap();
            // From five trades a second to two an hour. The last market never trades.
            let mean_ms = if n + 1 == markets { f64::INFINITY } else { 200.0 * 9000f64.powf(random.unit()) };
            ModelMarket {
                market,
                mean_ms,
                next_trade: if mean_ms.is_finite() { random.pause(mean_ms) } else { u64::MAX },
                next_book: if mean_ms.is_finite() { random.pause(mean_ms / 4.0) } else { u64::MAX },
                ticker_due: None,
                halted_until: 0,
                last_trade: 0,
                trades: 0,
                ticker: pool::open(&pool, key(market, TICKER), state.clone()),
                trade: pool::open(&pool, key(market, TRADE), state.clone()),
                book: pool::open(&pool, key(market, BOOK), state.clone()),
                faults: [None; 3],
            }
        };
        let markets: Vec<_> = (0..markets).map(market).collect();
        let streams = markets.iter().enumerate().flat_map(|(n, m)| (0..3).map(move |s| (key(m.market, s), (n, s))));
        let places = streams.collect();
        let (monitor, counts) = (Monitor::new(1), Counts::default());
        let (usual, answers) = (BTreeMap::new(), Vec::new());
        let mut model = Self { clock, pool, state, monitor, random, ms: 0, markets, places, usual, answers, counts };
        for market in 0..model.markets.len() {
            (0..3).for_each(|stream| model.send(market, stream, 1));
        }
        model
    }

    /// Sends the present state of a stream at this time.
    fn send(&mut self, market: usize, stream: usize, ms: u64) {
        self.clock.0.store(at(ms).0, Relaxed);
        self.state.heard_data(at(ms));
        let receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(1), received: at(ms) };
        let m = &mut self.markets[market];
        let (timestamp, trade_timestamp) = (at(ms).as_millis(), Some(at(m.last_trade).as_millis()).into());
        let (market, timeline, stream_type) = (m.market, Timeline::new(), StreamType::Realtime);
        let published = || at(ms);
        match stream {
            TICKER => {
                let blank = Words::take(&mut || 0);
                let value = Ticker { market, timestamp, trade_timestamp, stream_type, ..blank };
                m.ticker.publish(&receipt, &value, &timeline, published);
            }
            TRADE => {
                let blank = Words::take(&mut || 0);
                let sequential_id = Some(m.trades).into();
                let timestamp = at(m.last_trade).as_millis();
                let value = Trade { market, timestamp, trade_timestamp, sequential_id, stream_type, ..blank };
                m.trade.publish(&receipt, &value, &timeline, published);
            }
            _ => {
                let blank: Orderbook = Words::take(&mut || 0);
                let value = Orderbook { market, timestamp, stream_type, ..blank };
                m.book.publish(&receipt, &value, &timeline, published);
            }
        }
    }

    /// Sends a message, unless a fault withholds it.
    fn emit(&mut self, market: usize, stream: usize, ms: u64) {
        match &mut self.markets[market].faults[stream] {
            Some(fault) => _ = fault.harmful.get_or_insert(ms),
            None => self.send(market, stream, ms),
        }
    }

    /// Lets one step pass: arrivals, answers, faults, and a look.
    fn step(&mut self) {
        let end = self.ms + STEP_MS;
        for market in 0..self.markets.len() {
            self.trade_until(market, end);
        }
        self.answer(end);
        self.ms = end;
        self.clock.0.store(at(end).0, Relaxed);
        self.look();
        self.begin_and_end_faults();
    }

    fn trade_until(&mut self, market: usize, end: u64) {
        // A tenth of the rate at night: every second half hour.
        let slow = if (self.ms / (HOUR_MS / 2)) % 2 == 1 { 10.0 } else { 1.0 };
        loop {
            let m = &self.markets[market];
            let ticker = m.ticker_due.map_or(u64::MAX, |(due, _)| due);
            let due = m.next_trade.min(m.next_book).min(ticker);
            if due > end {
                return;
            }
            let mean = m.mean_ms * slow;
            if due == ticker {
                self.markets[market].ticker_due = None;
                self.emit(market, TICKER, due);
            } else if due < m.halted_until {
                let resumes = m.halted_until + self.random.below(1000);
                let m = &mut self.markets[market];
                (m.next_trade, m.next_book) = (m.next_trade.max(resumes), m.next_book.max(resumes));
            } else if due == m.next_trade {
                let (pause, delay) = (self.random.pause(mean), self.random.below(300));
                let m = &mut self.markets[market];
                (m.last_trade, m.trades, m.next_trade) = (due, m.trades + 1, due + pause);
                // A ticker that is due already shows this trade too.
                m.ticker_due.get_or_insert((due + delay, due));
                self.emit(market, TRADE, due);
            } else {
                let pause = self.random.pause(mean / 4.0);
                self.markets[market].next_book = due + pause;
                self.emit(market, BOOK, due);
            }
        }
    }

    fn answer(&mut self, end: u64) {
        let (due, later) = std::mem::take(&mut self.answers).into_iter().partition(|(ms, ..)| *ms <= end);
        self.answers = later;
        let due: Vec<_> = due;
        for (ms, market, stream, is_none) in due {
            if is_none && self.markets[market].faults[stream].is_none() {
                // The fault has ended, and a message has arrived since the request.
            } else if is_none {
                pool::doubt(&self.pool, key(self.markets[market].market, stream), HealthReason::Unanswered);
            } else {
                self.send(market, stream, ms.max(self.ms));
            }
        }
    }

    fn ask(&mut self, market: usize, stream: usize) {
        let is_mute = self.markets[market].faults[stream].is_some_and(|fault| fault.is_mute);
        let wait = if is_mute { UNANSWERED_MS } else { 50 + self.random.below(250) };
        self.answers.push((self.ms + wait, market, stream, is_mute));
        if !is_mute {
            self.end_fault(market, stream);
        }
    }

    /// Answers a probe of the connection with the state of each stream that works.
    fn answer_probe(&mut self) {
        for market in 0..self.markets.len() {
            for stream in 0..3 {
                if self.markets[market].faults[stream].is_none() {
                    self.answers.push((self.ms + 50 + self.random.below(250), market, stream, false));
                }
            }
        }
    }

    fn look(&mut self) {
        let glances = pool::glances(&self.pool);
        let looks: Vec<_> = glances.into_iter().map(|glance| Look { connection: 0, mode: Mode::All, glance }).collect();
        for look in &looks {
            let (market, stream) = self.places[&look.glance.stream];
            self.judge(market, stream, look.glance.health);
        }
        let findings = self.monitor.judge(at(self.ms), &looks);
        for (key, usual) in findings.usual {
            pool::set_usual_silence(&self.pool, key, usual);
            self.usual.insert(key, usual);
        }
        for (_, usual) in findings.usual_of_connections {
            self.state.set_usual_silence(usual);
        }
        // The session also probes a silent connection by itself.
        let is_quiet = at(self.ms).since(self.state.snapshot().heard) >= QUIET_AFTER;
        if (is_quiet && self.answers.is_empty()) || !findings.probes.is_empty() {
            self.answer_probe();
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

    /// Compares the health of a stream with the truth.
    fn judge(&mut self, market: usize, stream: usize, health: Health) {
        let (ms, counts) = (self.ms, &mut self.counts);
        let is_suspect = matches!(health, Health::Suspect { .. } | Health::Stale { .. });
        counts.steps += 1;
        match &mut self.markets[market].faults[stream] {
            Some(fault) if fault.harmful.is_some() => {
                if !health.is_live() {
                    fault.doubted.get_or_insert(ms);
                }
                if is_suspect {
                    fault.suspect.get_or_insert(ms);
                }
            }
            Some(_) => {}
            None => {
                counts.quiet_steps += u64::from(matches!(health, Health::Quiet { .. }));
                // After the end of a fault, the answer is still under way.
                let since = health.since().filter(|_| is_suspect);
                let is_answered = !self.answers.iter().any(|(_, m, s, _)| (*m, *s) == (market, stream));
                if let Some(since) = since.filter(|_| is_answered) {
                    counts.false_suspects.insert((key(self.markets[market].market, stream), since.0));
                }
            }
        }
    }

    fn begin_and_end_faults(&mut self) {
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
        // About one in twenty seconds.
        if self.random.below(200) == 0 {
            let (market, stream) =
                (self.random.below(self.markets.len() as u64 - 1) as usize, self.random.below(3) as usize);
            let usual = self.usual.get(&key(self.markets[market].market, stream)).copied().flatten();
            let m = &mut self.markets[market];
            // One fault at a time in a market: its other streams are the evidence.
            if m.faults.iter().all(Option::is_none) && m.halted_until < self.ms {
                let (is_mute, is_judged) = (self.random.below(2) == 0, stream != BOOK || usual.is_some());
                let (began, harmful, doubted, suspect) = (self.ms, None, None, None);
                m.faults[stream] = Some(Fault { is_mute, began, harmful, doubted, suspect, is_judged });
            }
        }
        // Now and then all trading of a market is halted.
        if self.random.below(5000) == 0 {
            let market = self.random.below(self.markets.len() as u64) as usize;
            let length = 600_000 + self.random.below(HOUR_MS);
            if self.markets[market].faults.iter().all(Option::is_none) {
                self.markets[market].halted_until = self.ms + length;
            }
        }
    }

    fn end_fault(&mut self, market: usize, stream: usize) {
        let Some(fault) = self.markets[market].faults[stream].take() else { return };
        let Some(harmful) = fault.harmful else {
            self.counts.harmless += 1;
            return;
        };
        match fault.doubted {
            // A question that a quiet stream causes repairs the fault in the same step.
            None if !fault.is_mute && self.ms - harmful < FAULT_MS => self.counts.found.push(self.ms - harmful),
            None if !fault.is_judged => self.counts.unjudged += 1,
            None => self.counts.missed += 1,
            Some(doubted) => self.counts.found.push(doubted - harmful),
        }
        self.counts.suspect.extend(fault.suspect.map(|suspect| suspect - harmful));
    }
}

fn seconds(times: &[u64], part: f64) -> f64 {
    times
        .get(((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1)))
        .map_or(0.0, |ms| *ms as f64 / 1000.0)
}

#[test]
fn faults_are_found_and_quiet_streams_are_not_suspected() {
    let setting = |name, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (hours, markets) = (setting("HOGA_LABELLED_HOURS", 1), setting("HOGA_LABELLED_MARKETS", 30));
    let mut model = Model::new(setting("HOGA_LABELLED_SEED", 1), markets as usize);
    (0..hours * HOUR_MS / STEP_MS).for_each(|_| model.step());
    let counts = &mut model.counts;
    counts.found.sort_unstable();
    counts.suspect.sort_unstable();
    let (found, wrong) = (counts.found.len() as f64, counts.false_suspects.len() as f64);
    let (recall, precision) = (found / (found + f64::from(counts.missed)), found / (found + wrong));
    println!(
        "{markets} markets, {hours} h: {found} harmful faults found, {} missed, {} of streams that are usually silent for minutes not found, {} harmless",
        counts.missed, counts.unjudged, counts.harmless
    );
    println!("recall {recall:.3}, precision {precision:.3} ({wrong} false suspicions)");
    println!(
        "from the first withheld message to a value that is not live: median {:.1} s, 95 % {:.1} s, worst {:.1} s",
        seconds(&counts.found, 0.5),
        seconds(&counts.found, 0.95),
        seconds(&counts.found, 1.0)
    );
    println!(
        "to suspect: {} times, median {:.1} s, worst {:.1} s",
        counts.suspect.len(),
        seconds(&counts.suspect, 0.5),
        seconds(&counts.suspect, 1.0)
    );
    let asks: u32 = counts.asks.values().sum();
    println!(
        "{asks} questions, {:.4} of the time quiet without a fault",
        counts.quiet_steps as f64 / counts.steps as f64
    );
    assert!(found >= 20.0 && recall >= 0.95 && precision >= 0.95, "recall {recall}, precision {precision}");
    let dead = model.markets.last().unwrap().market;
    assert!(
        (0..3).all(|stream| !model.counts.asks.contains_key(&key(dead, stream))),
        "a market without a trade was asked"
    );
}
