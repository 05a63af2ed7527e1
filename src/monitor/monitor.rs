//! Looks at all streams and decides which of them to doubt, and which to ask the exchange about.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::attempts::Attempts;
use super::rhythm::Rhythm;
use super::siblings::{Settling, Shown, Siblings};
use crate::model::{DataType, Epoch, Market, Nanos, StreamKey};
use crate::plan::Mode;
use crate::pool::{Glance, Health, HealthReason};

/// The shortest time between two requests that repeat streams of one connection.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// A stream that is wanted, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The connection that carries it.
    pub connection: usize,
    /// How it is carried.
    pub mode: Mode,
    /// What the pool shows.
    pub glance: Glance,
}

/// What follows from a look at all streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// The longest silence that is usual for a stream from now on.
    pub usual: Vec<(StreamKey, Option<Duration>)>,
    /// The same for connections.
    pub usual_of_connections: Vec<(usize, Option<Duration>)>,
    /// Streams whose values are suspect, with the evidence.
    pub doubts: Vec<(StreamKey, HealthReason)>,
    /// Streams whose state the exchange must be asked for again.
    pub asks: BTreeSet<StreamKey>,
    /// Connections that must be probed.
    pub probes: BTreeSet<usize>,
    /// True if nothing has arrived since the last look, and nothing follows from this one.
    pub is_still: bool,
}

/// Watches all streams of an engine.
#[derive(Debug, Default)]
pub struct Monitor {
    streams: BTreeMap<StreamKey, Watched>,
    markets: BTreeMap<Market, Siblings>,
    connections: Vec<WatchedConnection>,
    /// The number of messages of all streams at the last look.
    arrivals: u64,
}

/// What is remembered about one stream.
#[derive(Debug, Default)]
struct Watched {
    rhythm: Rhythm,
    usual: Option<Duration>,
    attempts: Attempts,
    is_seen: bool,
}

/// What is remembered about one connection.
#[derive(Debug, Default)]
struct WatchedConnection {
    rhythm: Rhythm,
    usual: Option<Duration>,
    attempts: Attempts,
    settling: Settling,
    /// The earliest time of the next request that repeats some of its streams.
    next_ask: Nanos,
    seen: Seen,
}

/// What the streams of a connection show together, in one look.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    arrivals: u64,
    newest: Option<(Epoch, Nanos)>,
    is_any_quiet: bool,
    is_any_live: bool,
    /// The connection is silent for longer than usual.
    is_silent: bool,
    /// Some of its streams may be requested again.
    may_ask: bool,
}

impl Monitor {
    /// Creates a monitor of this many connections.
    pub fn new(connections: usize) -> Self {
        let connections = (0..connections).map(|_| WatchedConnection::default()).collect();
        Self { connections, ..Self::default() }
    }

    /// Judges all streams that are wanted, in any order.
    pub fn judge(&mut self, now: Nanos, looks: &[Look]) -> Findings {
        let mut findings = Findings::default();
        self.judge_connections(now, looks, &mut findings);
        looks.iter().for_each(|look| self.judge_stream(now, look, &mut findings));
        self.compare_siblings(now, looks, &mut findings);
        self.streams.retain(|_, watched| std::mem::take(&mut watched.is_seen));
        let arrivals = looks.iter().map(|look| look.glance.arrivals).sum();
        let nothing_arrived = std::mem::replace(&mut self.arrivals, arrivals) == arrivals;
        findings.is_still = nothing_arrived && findings == Findings::default();
        findings
    }

    /// Learns the rhythm of each connection, and asks for probes of silent ones.
    fn judge_connections(&mut self, now: Nanos, looks: &[Look], findings: &mut Findings) {
        self.connections.iter_mut().for_each(|connection| connection.seen = Seen::default());
        for look in looks {
            self.connections[look.connection].seen.add(&look.glance);
        }
        for (number, connection) in self.connections.iter_mut().enumerate() {
            let Seen { arrivals, newest, is_any_quiet, is_any_live, .. } = connection.seen;
            let Some((epoch, received)) = newest else { continue };
            connection.rhythm.look(arrivals, epoch, received);
            let usual = connection.rhythm.usual_silence();
            if usual != connection.usual {
                connection.usual = usual;
                findings.usual_of_connections.push((number, usual));
            }
            connection.seen.may_ask = now >= connection.next_ask;
            connection.seen.is_silent = is_any_quiet && usual.is_some_and(|usual| now.since(received) > usual);
            if connection.seen.is_silent && connection.attempts.is_due(now) {
                connection.attempts.asked(now);
                findings.probes.insert(number);
            } else if is_any_live {
                connection.attempts.is_fine(now);
            }
        }
    }

    /// Learns the rhythm of a stream, and asks for its state if its health demands that.
    fn judge_stream(&mut self, now: Nanos, look: &Look, findings: &mut Findings) {
        let connection = &mut self.connections[look.connection];
        let watched = self.streams.entry(look.glance.stream).or_default();
        watched.is_seen = true;
        // Nothing follows a snapshot if only snapshots are requested.
        if look.mode != Mode::SnapshotOnly
            && let Some(usual) = watched.learn(&look.glance)
        {
            findings.usual.push((look.glance.stream, usual));
        }
        let is_asked = match look.glance.health {
            Health::Quiet { reason, .. } => reason == HealthReason::StreamSilent,
            Health::Suspect { .. } => true,
            Health::Live => {
                watched.attempts.is_fine(now);
                false
            }
            _ => false,
        };
        // If the whole connection is silent, all of it is probed instead.
        let Seen { is_silent, may_ask, .. } = connection.seen;
        if is_asked && watched.attempts.is_due(now) && !is_silent && may_ask {
            watched.attempts.asked(now);
            connection.next_ask = now + ASK_EVERY;
            findings.asks.insert(look.glance.stream);
        }
    }

    /// Compares the tickers with the trades of their markets.
    fn compare_siblings(&mut self, now: Nanos, looks: &[Look], findings: &mut Findings) {
        let mut pairs: BTreeMap<Market, [Option<(usize, Shown)>; 2]> = BTreeMap::new();
        for look in looks {
            let place = match look.glance.stream.data_type {
                DataType::Ticker => 0,
                DataType::Trade => 1,
                _ => continue,
            };
            if let Some(market) = look.glance.stream.market() {
                pairs.entry(market).or_default()[place] = shown(look);
            }
        }
        self.markets.retain(|market, _| pairs.contains_key(market));
        for (market, pair) in pairs {
            let siblings = self.markets.entry(market).or_default();
            let [Some((connection, ticker)), Some((_, trade))] = pair else {
                siblings.interrupted();
                continue;
            };
            let settling = &mut self.connections[connection].settling;
            if let Some(reason) = siblings.compare(now, ticker, trade, settling) {
                let is_ticker = reason == HealthReason::BehindTrades;
                let data_type = if is_ticker { DataType::Ticker } else { DataType::Trade };
                findings.doubts.push((StreamKey::of(data_type, market), reason));
            }
        }
    }
}

impl Watched {
    /// Learns the rhythm. Returns the longest usual silence if it has changed.
    fn learn(&mut self, glance: &Glance) -> Option<Option<Duration>> {
        let (epoch, received) = glance.newest?;
        self.rhythm.look(glance.arrivals, epoch, received);
        let usual = self.rhythm.usual_silence();
        (std::mem::replace(&mut self.usual, usual) != usual).then_some(usual)
    }
}

impl Seen {
    fn add(&mut self, glance: &Glance) {
        self.arrivals += glance.arrivals;
        self.newest = self.newest.max(glance.newest);
        self.is_any_quiet |= matches!(glance.health, Health::Quiet { .. });
        self.is_any_live |= glance.health.is_live();
    }
}

/// Returns the connection of a stream and the newest trade that it shows. `None` unless it runs and brings each change.
fn shown(look: &Look) -> Option<(usize, Shown)> {
    let Glance { health, newest, exchange_ms, last_trade_ms, .. } = look.glance;
    // A suspect stream is still compared, because the comparison shows whether the suspicion was right.
    let runs = health.is_undisputed() || matches!(health, Health::Suspect { .. });
    let (_, received) = newest.filter(|_| runs && look.mode != Mode::SnapshotOnly)?;
    Some((look.connection, Shown { trade_ms: last_trade_ms?, until_ms: exchange_ms, received }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch(1);
    const SINCE: Nanos = Nanos(1);

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + ms)
    }

    fn stream(data_type: DataType, code: &str) -> StreamKey {
        StreamKey::of(data_type, code.parse().unwrap())
    }

    /// A stream of one connection, as the pool would show it.
    struct Stream {
        look: Look,
        usual: Option<Duration>,
    }

    /// A monitor of one connection.
    struct Fixture {
        monitor: Monitor,
        ms: u64,
        streams: Vec<Stream>,
        /// Everything that was asked, with its time in ms.
        asked: Vec<(u64, StreamKey)>,
        probed: Vec<u64>,
        doubted: Vec<(u64, StreamKey, HealthReason)>,
    }

    impl Fixture {
        fn new(streams: &[(DataType, &str)]) -> Self {
            let streams = streams.iter().map(|(data_type, code)| {
                let stream = stream(*data_type, code);
                let (health, arrivals) = (Health::Live, 1);
                let newest = Some((EPOCH, at(0)));
                let glance =
                    Glance { stream, health, arrivals, newest, exchange_ms: 0, last_trade_ms: None, doubt: None };
                Stream { look: Look { connection: 0, mode: Mode::All, glance }, usual: None }
            });
            let streams = streams.collect();
            Self {
                monitor: Monitor::new(1),
                ms: 0,
                streams,
                asked: Vec::new(),
                probed: Vec::new(),
                doubted: Vec::new(),
            }
        }

        /// A message of a stream arrives.
        fn arrive(&mut self, stream: usize) {
            let glance = &mut self.streams[stream].look.glance;
            (glance.arrivals, glance.newest, glance.health) =
                (glance.arrivals + 1, Some((EPOCH, at(self.ms))), Health::Live);
        }

        /// Lets 100 ms pass, and looks.
        fn look(&mut self) {
            self.ms += 100;
            for Stream { look: Look { glance, .. }, usual } in &mut self.streams {
                let silence = at(self.ms).since(glance.newest.unwrap().1);
                if glance.health.is_live() && usual.is_some_and(|usual| silence > usual) {
                    glance.health = Health::Quiet { since: SINCE, reason: HealthReason::StreamSilent };
                }
            }
            let looks: Vec<_> = self.streams.iter().map(|stream| stream.look).collect();
            let findings = self.monitor.judge(at(self.ms), &looks);
            for (key, usual) in findings.usual {
                self.streams.iter_mut().find(|stream| stream.look.glance.stream == key).unwrap().usual = usual;
            }
            self.asked.extend(findings.asks.into_iter().map(|key| (self.ms, key)));
            self.probed.extend(findings.probes.into_iter().map(|_| self.ms));
            self.doubted.extend(findings.doubts.into_iter().map(|(key, reason)| (self.ms, key, reason)));
        }

        /// Lets time pass while some streams bring a message every 500 ms.
        fn run(&mut self, seconds: u64, lively: &[usize]) {
            for step in 0..seconds * 10 {
                if step % 5 == 0 {
                    lively.iter().for_each(|stream| self.arrive(*stream));
                }
                self.look();
            }
        }
    }

    const BTC: (DataType, &str) = (DataType::Ticker, "KRW-BTC");
    const ETH: (DataType, &str) = (DataType::Ticker, "KRW-ETH");

    #[test]
    fn a_stream_that_falls_silent_is_asked_with_growing_pauses_and_the_others_are_left_alone() {
        let mut fixture = Fixture::new(&[BTC, ETH]);
        fixture.run(60, &[0, 1]);
        assert_eq!(fixture.asked, []);
        fixture.run(60, &[0]);
        let eth = stream(ETH.0, ETH.1);
        let seconds: Vec<_> = fixture.asked.iter().map(|(ms, _)| ms / 1000).collect();
        assert_eq!(seconds, [61, 71, 91], "usually it brings a message within 2 s");
        assert!(fixture.asked.iter().all(|(_, key)| *key == eth) && fixture.probed.is_empty());
    }

    #[test]
    fn a_silent_connection_is_probed_instead_of_its_streams() {
        let mut fixture = Fixture::new(&[BTC, ETH]);
        fixture.run(60, &[0, 1]);
        fixture.run(30, &[]);
        assert_eq!(fixture.asked, []);
        assert_eq!(fixture.probed.iter().map(|ms| ms / 1000).collect::<Vec<_>>(), [61, 71]);
    }

    #[test]
    fn a_suspect_stream_is_asked_at_once() {
        let mut fixture = Fixture::new(&[BTC, ETH]);
        fixture.run(5, &[0, 1]);
        fixture.streams[1].look.glance.health = Health::Suspect { since: SINCE, reason: HealthReason::Refused };
        fixture.look();
        assert_eq!(fixture.asked, [(5100, stream(ETH.0, ETH.1))]);
    }

    /// Each answer teaches a longer pause, so a market that stops trading is not asked without limit.
    #[test]
    fn a_market_that_stops_trading_is_asked_a_few_times_and_then_left_alone() {
        let mut fixture = Fixture::new(&[BTC, ETH]);
        fixture.run(60, &[0, 1]);
        let mut asked = 0;
        for step in 0..24 * 3600 * 10u64 {
            if step % 5 == 0 {
                fixture.arrive(0);
            }
            fixture.look();
            if fixture.asked.len() > asked {
                asked = fixture.asked.len();
                fixture.arrive(1);
            }
        }
        assert!((1..=5).contains(&asked), "{asked}");
    }

    /// The exchange has sent the snapshot of a market without trades, and nothing else.
    #[test]
    fn a_market_without_a_trade_for_a_day_is_never_asked() {
        let mut fixture = Fixture::new(&[BTC, ETH]);
        fixture.run(24 * 3600, &[0]);
        assert_eq!((fixture.asked, fixture.probed), (vec![], vec![]));
    }

    /// The stream died a moment after it began.
    #[test]
    fn a_stream_that_has_brought_few_messages_is_asked_later() {
        let mut fixture = Fixture::new(&[BTC, ETH]);
        fixture.run(2, &[0, 1]);
        fixture.run(60, &[0]);
        let [(ms, key), ..] = fixture.asked[..] else { panic!("never asked") };
        assert_eq!(key, stream(ETH.0, ETH.1));
        assert!((10_000..16_000).contains(&ms), "{ms}");
    }

    #[test]
    fn a_trade_without_its_ticker_makes_the_ticker_suspect() {
        let mut fixture = Fixture::new(&[BTC, (DataType::Trade, "KRW-BTC"), ETH, (DataType::Trade, "KRW-ETH")]);
        for second in 0..10 {
            for stream in 0..4 {
                fixture.streams[stream].look.glance.last_trade_ms = Some(1000 * second);
            }
            fixture.run(1, &[0, 1, 2, 3]);
        }
        assert_eq!(fixture.doubted, []);
        fixture.streams[1].look.glance.last_trade_ms = Some(10_000);
        fixture.run(5, &[1, 2, 3]);
        let [(ms, key, reason)] = fixture.doubted[..] else { panic!("{:?}", fixture.doubted) };
        assert_eq!((key, reason), (stream(BTC.0, BTC.1), HealthReason::BehindTrades));
        assert!((11_000..=12_200).contains(&ms), "{ms}");
    }

    #[test]
    fn streams_that_are_not_wanted_any_more_are_forgotten() {
        let mut fixture = Fixture::new(&[BTC, ETH]);
        fixture.run(5, &[0, 1]);
        fixture.streams.pop();
        fixture.look();
        assert_eq!(fixture.monitor.streams.len(), 1);
    }
}
