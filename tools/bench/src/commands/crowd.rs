//! An engine with many demands and feeds, and the check of each feed's counts against the sender's.

use std::time::Duration;

use hdrhistogram::Histogram;
use hoga::config::{ConnectLedger, Endpoint, Limits};
use hoga::engine::{Engine, Subscribed};
use hoga::feed::{FeedCounts, Overflow};
use hoga::model::{Clock, DataType, Market};
use hoga::net::SystemClock;
use hoga::plan::Subscription;
use hoga_cli::rounds::Error;

use super::reader::{Reader, Timing};
use crate::cpu::{process_cpu, thread_cpu};
use crate::serving::multi_server::MultiServer;

/// Timeout for the engine to get ready, and for the last message to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_secs(2);
const THROTTLE: Duration = Duration::from_millis(100);
/// The most messages that are sent before the feeds are read again.
const BATCH: usize = 16;
/// How often the sender checks for requests while it sends.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Demands after which the sender checks for requests of the engine.
const DEMANDS_AT_ONCE: usize = 32;

/// Starts an engine through the public API, pinned to its own core.
pub fn start(server: &MultiServer, connections: usize, core: usize) -> Result<Engine, Error> {
    let endpoint = server.endpoint(core);
    let exchange = Endpoint::custom(&endpoint.url).map_err(|e| Error::failed(&endpoint.url, e))?;
    Engine::builder()
        .endpoint(exchange)
        .connections(connections)
        .pin(vec![core; connections])
        .connect_ledger(ConnectLedger::Process)
        // Every turn opens new connections. The limits of requests on a connection are kept.
        .limits(Limits { connects_per_second: 1_000, ..Limits::default() })
        .root_certificates(endpoint.certificate_pem.as_str())
        .start()
        .map_err(|e| Error::failed("the engine", e))
}

/// Serves the engine until all demanded streams are confirmed and their messages have arrived.
pub fn settle(server: &mut MultiServer, engine: &Engine, before: u64) -> Result<(), Error> {
    let clock = SystemClock::new();
    let patience = clock.now() + PATIENCE;
    loop {
        server.look()?;
        let revisions = engine.revisions();
        let arrived: u64 = engine.connections().iter().map(|connection| connection.counters.data).sum();
        if revisions.confirmed == revisions.desired && server.is_even() && arrived == server.sent() - before {
            return Ok(());
        }
        if clock.now() > patience {
            let open = engine.subscriptions().wire_streams.saturating_sub(server.asked());
            return Err(Error::Failed(format!(
                "the engine was not ready within {PATIENCE:?}; {open} streams not requested"
            )));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Combines streams into one subscription.
pub fn subscription_of(streams: impl IntoIterator<Item = (DataType, Market)>) -> Option<Subscription> {
    streams.into_iter().map(|(data_type, market)| Subscription::of(data_type, [market])).reduce(Subscription::and)
}

/// The size of the load.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub connections: usize,
    pub demands: usize,
    pub feeds: usize,
    /// Messages per second in the fastest turn.
    pub per_second: f64,
    /// How long a reader may pause without losing anything in a feed that keeps every update.
    pub pause: Duration,
}

/// An engine, its demands, and the readers of its feeds.
pub struct Crowd {
    readers: Vec<Reader>,
    /// For each stream, the indices of its readers.
    readers_of: Vec<Vec<usize>>,
    /// Readers with messages under way.
    expecting: Vec<usize>,
    held: Vec<Subscribed>,
    pub engine: Engine,
    clock: SystemClock,
    /// The number of messages that the server had sent before this engine started.
    before: u64,
    pub ready_after: Duration,
}

/// The result of a turn.
pub struct Turn {
    /// Time from due to popped, in ns, without feeds that conflate or throttle: those deliver only some of the updates.
    pub latency: Histogram<u64>,
    /// CPU time of the engine's threads.
    pub cpu: Duration,
    /// CPU time of the thread that sends and reads.
    pub sender_cpu: Duration,
    pub time: Duration,
    pub frames: u64,
    pub bytes: u64,
    /// The part of the due messages that could be sent.
    pub kept: f64,
    pub accounts: Accounts,
}

/// The counts of all feeds over some time, added up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accounts {
    pub counts: FeedCounts,
    /// Updates lost by feeds with room for all of them.
    pub lost: u64,
    /// By how much sender, counts and readers disagree.
    pub mismatch: u64,
}

impl Crowd {
    /// Starts an engine, adds all demands and feeds, and returns when their streams are confirmed and have data.
    pub fn gather(server: &mut MultiServer, size: Size, core: usize) -> Result<Self, Error> {
        let (clock, before) = (SystemClock::new(), server.sent());
        let started = clock.now();
        let engine = start(server, size.connections, core)?;
        let readers_of = vec![Vec::new(); server.traffic().streams.len()];
        let (held, expecting) = (Vec::with_capacity(size.demands), Vec::with_capacity(size.feeds));
        let readers = Vec::with_capacity(size.feeds);
        let mut crowd =
            Self { readers, readers_of, expecting, held, engine, clock, before, ready_after: Duration::ZERO };
        crowd.ask(server, size.demands)?;
        crowd.read_from(server, size)?;
        settle(server, &crowd.engine, before)?;
        crowd.ready_after = clock.now().since(started);
        crowd.drain(server, &mut None)?;
        Ok(crowd)
    }

    /// Adds the demands: a few streams each, all streams together.
    fn ask(&mut self, server: &mut MultiServer, demands: usize) -> Result<(), Error> {
        let streams = streams(server)?;
        let few = streams.len().div_ceil(demands).max(3);
        for demand in 0..demands {
            let Some(wanted) = subscription_of(distinct((0..few).map(|n| streams[(demand * few + n) % streams.len()])))
            else {
                continue;
            };
            self.held.push(self.engine.subscribe(wanted).map_err(|e| Error::failed("a subscription", e))?);
            if demand % DEMANDS_AT_ONCE == 0 {
                server.look()?;
            }
        }
        Ok(())
    }

    /// Adds the feeds: each has all streams of one market.
    fn read_from(&mut self, server: &mut MultiServer, size: Size) -> Result<(), Error> {
        let streams = streams(server)?;
        let markets = markets(&streams);
        let share = shares(server);
        for place in 0..size.feeds {
            let market = markets[place % markets.len()];
            let of_market: Vec<_> = (0..streams.len()).filter(|stream| streams[*stream].1 == market).collect();
            let per_second = size.per_second * of_market.iter().map(|stream| share[*stream]).sum::<f64>();
            let overflow = match place % 4 {
                // The capacity also covers each stream's state at the start.
                0 => Overflow::DropNewest { capacity: (per_second * size.pause.as_secs_f64()) as usize + 64 },
                1 => Overflow::DropOldest,
                2 => Overflow::Conflate,
                _ => Overflow::Throttle(THROTTLE),
            };
            let Some(wanted) = subscription_of(of_market.iter().map(|stream| streams[*stream])) else { continue };
            let feed = self.engine.feed(wanted, overflow).map_err(|e| Error::failed("a feed", e))?;
            of_market.iter().for_each(|stream| self.readers_of[*stream].push(place));
            self.readers.push(Reader::new(feed, overflow, of_market));
            if place % DEMANDS_AT_ONCE == 0 {
                server.look()?;
            }
        }
        Ok(())
    }

    /// Sends `per_second` messages a second for `time`, and reads the feeds.
    pub fn turn(&mut self, server: &mut MultiServer, per_second: f64, time: Duration) -> Result<Turn, Error> {
        let before_turn = self.counts_so_far(server);
        let (started, bytes, first) = (self.clock.now(), server.bytes(), server.sent());
        let (cpu, sender_cpu) = (engine_cpu(), thread_cpu());
        let mut timing = Some(Timing::new(first, (per_second * time.as_secs_f64()) as usize)?);
        let (mut next, mut look_at) = (0u64, started);
        let due = |n: u64| started + Duration::from_nanos((n as f64 * 1e9 / per_second) as u64);
        loop {
            let now = self.clock.now();
            if now.since(started) >= time {
                break;
            }
            for _ in 0..BATCH {
                let at = due(next);
                if at > now || server.is_full() {
                    break;
                }
                next += 1;
                if let Some(sent) = server.push()? {
                    timing.as_mut().into_iter().for_each(|timing| timing.sent(sent.number, at));
                    self.expect(sent.stream, sent.number);
                }
            }
            server.flush()?;
            if now >= look_at {
                server.look()?;
                look_at = now + LOOK_EVERY;
            }
            self.read(&mut timing);
        }
        let elapsed = self.clock.now().since(started);
        let (cpu, sender_cpu) = (engine_cpu().saturating_sub(cpu), thread_cpu().saturating_sub(sender_cpu));
        let frames = server.sent() - first;
        self.drain(server, &mut timing)?;
        let latency = timing.map(|timing| timing.latency);
        Ok(Turn {
            latency: latency.unwrap_or_else(|| unreachable!("it was set above")),
            cpu,
            sender_cpu,
            time: elapsed,
            frames,
            bytes: server.bytes() - bytes,
            kept: (next as f64 / (per_second * time.as_secs_f64())).min(1.0),
            accounts: self.accounts_since(server, &before_turn),
        })
    }

    /// Returns the number of disconnects.
    pub fn disconnects(&self) -> u64 {
        self.engine.connections().iter().map(|connection| connection.counters.disconnects).sum()
    }

    fn expect(&mut self, stream: usize, number: u64) {
        for place in &self.readers_of[stream] {
            let reader = &mut self.readers[*place];
            reader.newest_sent = number;
            if !std::mem::replace(&mut reader.is_expecting, true) {
                self.expecting.push(*place);
            }
        }
    }

    /// Reads the feeds with messages under way. Polling a thousand feeds for each message would mostly measure the
    /// polling.
    fn read(&mut self, timing: &mut Option<Timing>) {
        let (readers, clock) = (&mut self.readers, &self.clock);
        self.expecting.retain(|place| {
            let reader = &mut readers[*place];
            reader.read(clock, timing);
            reader.is_expecting = reader.has_gaps || reader.newest_seen < reader.newest_sent;
            reader.is_expecting
        });
    }

    /// Reads until no message is under way and no throttled stream holds back an update.
    fn drain(&mut self, server: &mut MultiServer, timing: &mut Option<Timing>) -> Result<(), Error> {
        let patience = self.clock.now() + PATIENCE;
        loop {
            server.look()?;
            self.read_all(timing);
            let arrived: u64 = self.engine.connections().iter().map(|connection| connection.counters.data).sum();
            if arrived == server.sent() - self.before && server.is_even() {
                break;
            }
            if self.clock.now() > patience {
                let sent = server.sent() - self.before;
                return Err(Error::Failed(format!("{arrived} of {sent} messages arrived within {PATIENCE:?}")));
            }
        }
        let rested = self.clock.now() + THROTTLE + THROTTLE / 2;
        while self.clock.now() < rested {
            self.read_all(timing);
            std::thread::sleep(Duration::from_millis(1));
        }
        self.expecting.clear();
        self.readers.iter_mut().for_each(|reader| (reader.is_expecting, reader.has_gaps) = (false, false));
        Ok(())
    }

    fn read_all(&mut self, timing: &mut Option<Timing>) {
        let clock = &self.clock;
        self.readers.iter_mut().for_each(|reader| reader.read(clock, timing));
    }

    /// Returns the counts of each feed so far: its own, and the messages sent to it, popped, and missed.
    fn counts_so_far(&self, server: &MultiServer) -> Vec<(FeedCounts, u64, u64, u64)> {
        let entry = |reader: &Reader| (reader.feed.counts(), reader.sent(server), reader.popped, reader.missed);
        self.readers.iter().map(entry).collect()
    }

    fn accounts_since(&self, server: &MultiServer, before_turn: &[(FeedCounts, u64, u64, u64)]) -> Accounts {
        let mut sum = Accounts::default();
        for (reader, (before, sent, popped, missed)) in self.readers.iter().zip(before_turn) {
            let counts = less(reader.feed.counts(), before);
            // Updates that were queued before the turn were received before it.
            let settled = (counts.delivered + counts.dropped + counts.conflated + counts.filtered + counts.queued)
                .saturating_sub(before.queued);
            sum.mismatch += counts.received.abs_diff(reader.sent(server) - sent)
                + counts.received.abs_diff(settled)
                + counts.delivered.abs_diff(reader.popped - popped)
                + counts.dropped.abs_diff(reader.missed - missed);
            if matches!(reader.overflow, Overflow::DropNewest { .. }) {
                sum.lost += (reader.sent(server) - sent).saturating_sub(reader.popped - popped);
            }
            sum.counts.received += counts.received;
            sum.counts.delivered += counts.delivered;
            sum.counts.dropped += counts.dropped;
            sum.counts.conflated += counts.conflated;
            sum.counts.filtered += counts.filtered;
            sum.counts.queued += counts.queued;
        }
        sum
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // The measurement is over; queued updates do not matter.
        let _ = self.engine.shutdown(DEADLINE);
    }
}

/// Returns the CPU time of all threads but this one.
fn engine_cpu() -> Duration {
    process_cpu().saturating_sub(thread_cpu())
}

/// Returns the difference of two counts of a feed. `queued` is a level, not a count, so it keeps its current value.
fn less(now: FeedCounts, before: &FeedCounts) -> FeedCounts {
    FeedCounts {
        received: now.received - before.received,
        delivered: now.delivered - before.delivered,
        dropped: now.dropped - before.dropped,
        conflated: now.conflated - before.conflated,
        filtered: now.filtered - before.filtered,
        queued: now.queued,
    }
}

/// Returns type and market of each stream of the server, in order.
fn streams(server: &MultiServer) -> Result<Vec<(DataType, Market)>, Error> {
    let parse = |(data_type, code): &(String, String)| {
        let unknown = || Error::Failed(format!("{data_type} is not a data type"));
        let market = code.parse().map_err(|e| Error::failed(code, e))?;
        Ok((DataType::from_name(data_type).ok_or_else(unknown)?, market))
    };
    server.traffic().streams.iter().map(parse).collect()
}

/// Returns each market once, in the order of the streams.
fn markets(streams: &[(DataType, Market)]) -> Vec<Market> {
    let first = streams.first().map(|(data_type, _)| *data_type);
    streams.iter().filter(|(data_type, _)| Some(*data_type) == first).map(|(_, market)| *market).collect()
}

/// Returns each stream's share of the messages.
fn shares(server: &MultiServer) -> Vec<f64> {
    let traffic = server.traffic();
    let mut shares = vec![0.0; traffic.streams.len()];
    traffic.frames.iter().for_each(|frame| shares[frame.stream] += 1.0 / traffic.frames.len() as f64);
    shares
}

/// Removes duplicates: if there are few streams, the list of a demand may repeat them.
fn distinct(streams: impl Iterator<Item = (DataType, Market)>) -> Vec<(DataType, Market)> {
    let mut all: Vec<_> = streams.collect();
    all.sort_unstable();
    all.dedup();
    all
}
