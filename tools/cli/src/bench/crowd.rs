//! An engine with many who want something of it, and what each of them should have got by the sender's books.

use std::time::Duration;

use hdrhistogram::Histogram;
use hoga::config::{ConnectLedger, Endpoint, Limits};
use hoga::engine::{Engine, Feed, Subscribed};
use hoga::feed::{FeedCounts, Item, Overflow};
use hoga::model::{Clock, DataType, Market, Nanos, StreamType};
use hoga::net::SystemClock;
use hoga::plan::Subscription;
use hoga_lab::fleet::Fleet;
use hoga_lab::traffic::FIRST_STAMP;
use hoga_lab::{Error, process_cpu, thread_cpu};

/// How long the engine may take to get ready, and the last message to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_secs(2);
const THROTTLE: Duration = Duration::from_millis(100);
/// Messages that are sent together at most before the feeds are read again.
const BATCH: usize = 16;
/// How often the sender looks for requests while it sends.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// No message takes longer.
const LONGEST: u64 = 60_000_000_000;
/// Demands after which the sender looks whether the engine has asked for something.
const DEMANDS_AT_ONCE: usize = 32;

/// A running engine as its user has it, on a core of its own.
pub fn start(fleet: &Fleet, connections: usize, core: usize) -> Result<Engine, Error> {
    let venue = fleet.venue(core);
    let endpoint = Endpoint::custom(&venue.url).map_err(|e| Error::failed(&venue.url, e))?;
    Engine::builder()
        .endpoint(endpoint)
        .connections(connections)
        .pin(vec![core; connections])
        .connect_ledger(ConnectLedger::Process)
        // Every turn connects anew. What an exchange rations on a connection is kept.
        .limits(Limits { connects_per_second: 1_000, ..Limits::default() })
        .root_certificates(venue.certificate_pem.as_str())
        .start()
        .map_err(|e| Error::failed("the engine", e))
}

/// Looks after the fleet until all that is wanted is confirmed and has arrived.
pub fn settle(fleet: &mut Fleet, engine: &Engine, before: u64) -> Result<(), Error> {
    let clock = SystemClock::new();
    let patience = clock.now() + PATIENCE;
    loop {
        fleet.look()?;
        let revisions = engine.revisions();
        let arrived: u64 = engine.connections().iter().map(|connection| connection.counters.data).sum();
        if revisions.confirmed == revisions.desired && fleet.is_even() && arrived == fleet.sent() - before {
            return Ok(());
        }
        if clock.now() > patience {
            let open = engine.subscriptions().wire_streams.saturating_sub(fleet.asked());
            return Err(Error::Failed(format!(
                "the engine was not ready within {PATIENCE:?}; {open} streams not asked"
            )));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The streams of a market, or of several, as one subscription.
pub fn wish(streams: impl IntoIterator<Item = (DataType, Market)>) -> Option<Subscription> {
    streams.into_iter().map(|(data_type, market)| Subscription::of(data_type, [market])).reduce(Subscription::and)
}

/// How many want something, and how.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub connections: usize,
    pub demands: usize,
    pub feeds: usize,
    /// Messages a second in the fastest turn.
    pub per_second: f64,
    /// How long a reader may pause without losing anything in a feed that keeps all.
    pub pause: Duration,
}

/// An engine, those who hold demand, and those who read.
pub struct Crowd {
    readers: Vec<Reader>,
    /// By the place of a stream: who reads it.
    readers_of: Vec<Vec<usize>>,
    /// Readers to whom something is under way.
    expecting: Vec<usize>,
    held: Vec<Subscribed>,
    pub engine: Engine,
    clock: SystemClock,
    /// What the fleet had sent before this engine.
    before: u64,
    pub ready_after: Duration,
}

struct Reader {
    feed: Feed,
    overflow: Overflow,
    streams: Vec<usize>,
    is_expecting: bool,
    /// It lost something, so nobody can say what it still waits for.
    has_gaps: bool,
    newest_sent: u64,
    newest_seen: u64,
    /// What it popped, and was told that it missed.
    popped: u64,
    missed: u64,
}

/// What came of a turn.
pub struct Turn {
    /// From due to popped, in ns, without feeds that conflate: of those, only the survivors are popped.
    pub latency: Histogram<u64>,
    /// CPU time of the engine's threads.
    pub cpu: Duration,
    /// CPU time of the thread that sends and reads.
    pub sender_cpu: Duration,
    pub time: Duration,
    pub frames: u64,
    pub bytes: u64,
    /// Part of the messages that were due and could be sent.
    pub kept: f64,
    pub accounts: Accounts,
}

/// The accounts of some feeds over some time, added up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accounts {
    pub counts: FeedCounts,
    /// What feeds with room for everything lost.
    pub lost: u64,
    /// By how much sender, accounts and readers disagree.
    pub off: u64,
}

impl Crowd {
    /// Starts an engine, and has everybody ask for what he wants; returns when all of it has come.
    pub fn gather(fleet: &mut Fleet, size: Size, core: usize) -> Result<Self, Error> {
        let (clock, before) = (SystemClock::new(), fleet.sent());
        let started = clock.now();
        let engine = start(fleet, size.connections, core)?;
        let readers_of = vec![Vec::new(); fleet.traffic().streams.len()];
        let (held, expecting) = (Vec::with_capacity(size.demands), Vec::with_capacity(size.feeds));
        let readers = Vec::with_capacity(size.feeds);
        let mut crowd =
            Self { readers, readers_of, expecting, held, engine, clock, before, ready_after: Duration::ZERO };
        crowd.ask(fleet, size.demands)?;
        crowd.read_from(fleet, size)?;
        settle(fleet, &crowd.engine, before)?;
        crowd.ready_after = clock.now().since(started);
        crowd.drain(fleet, &mut None)?;
        Ok(crowd)
    }

    /// Together they want all streams, each a few.
    fn ask(&mut self, fleet: &mut Fleet, demands: usize) -> Result<(), Error> {
        let streams = streams(fleet)?;
        let few = streams.len().div_ceil(demands).max(3);
        for demand in 0..demands {
            let Some(wanted) = wish(distinct((0..few).map(|n| streams[(demand * few + n) % streams.len()]))) else {
                continue;
            };
            self.held.push(self.engine.subscribe(wanted).map_err(|e| Error::failed("a subscription", e))?);
            if demand % DEMANDS_AT_ONCE == 0 {
                fleet.look()?;
            }
        }
        Ok(())
    }

    /// Each feed has all streams of one market.
    fn read_from(&mut self, fleet: &mut Fleet, size: Size) -> Result<(), Error> {
        let streams = streams(fleet)?;
        let markets = markets(&streams);
        let share = shares(fleet);
        for place in 0..size.feeds {
            let market = markets[place % markets.len()];
            let of_market: Vec<_> = (0..streams.len()).filter(|stream| streams[*stream].1 == market).collect();
            let per_second = size.per_second * of_market.iter().map(|stream| share[*stream]).sum::<f64>();
            let overflow = match place % 4 {
                // And each stream's state at the start.
                0 => Overflow::DropNewest { capacity: (per_second * size.pause.as_secs_f64()) as usize + 64 },
                1 => Overflow::DropOldest,
                2 => Overflow::Conflate,
                _ => Overflow::Throttle(THROTTLE),
            };
            let Some(wanted) = wish(of_market.iter().map(|stream| streams[*stream])) else { continue };
            let feed = self.engine.feed(wanted, overflow).map_err(|e| Error::failed("a feed", e))?;
            of_market.iter().for_each(|stream| self.readers_of[*stream].push(place));
            self.readers.push(Reader::new(feed, overflow, of_market));
            if place % DEMANDS_AT_ONCE == 0 {
                fleet.look()?;
            }
        }
        Ok(())
    }

    /// Sends so many messages a second for some time, and reads what comes of them.
    pub fn turn(&mut self, fleet: &mut Fleet, per_second: f64, time: Duration) -> Result<Turn, Error> {
        let books = self.open_books(fleet);
        let (started, bytes, first) = (self.clock.now(), fleet.bytes(), fleet.sent());
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
                if at > now || fleet.is_full() {
                    break;
                }
                next += 1;
                if let Some(sent) = fleet.push()? {
                    timing.as_mut().into_iter().for_each(|timing| timing.sent(sent.number, at));
                    self.expect(sent.stream, sent.number);
                }
            }
            fleet.flush()?;
            if now >= look_at {
                fleet.look()?;
                look_at = now + LOOK_EVERY;
            }
            self.read(&mut timing);
        }
        let elapsed = self.clock.now().since(started);
        let (cpu, sender_cpu) = (engine_cpu().saturating_sub(cpu), thread_cpu().saturating_sub(sender_cpu));
        let frames = fleet.sent() - first;
        self.drain(fleet, &mut timing)?;
        let latency = timing.map(|timing| timing.latency);
        Ok(Turn {
            latency: latency.unwrap_or_else(|| unreachable!("it was made above")),
            cpu,
            sender_cpu,
            time: elapsed,
            frames,
            bytes: fleet.bytes() - bytes,
            kept: (next as f64 / (per_second * time.as_secs_f64())).min(1.0),
            accounts: self.close_books(fleet, &books),
        })
    }

    /// Sockets that were lost.
    pub fn losses(&self) -> u64 {
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

    /// Reads the feeds to which something is under way: who looks at a thousand feeds for one message measures himself.
    fn read(&mut self, timing: &mut Option<Timing>) {
        let (readers, clock) = (&mut self.readers, &self.clock);
        self.expecting.retain(|place| {
            let reader = &mut readers[*place];
            reader.read(clock, timing);
            reader.is_expecting = reader.has_gaps || reader.newest_seen < reader.newest_sent;
            reader.is_expecting
        });
    }

    /// Reads until nothing is under way and nobody rests.
    fn drain(&mut self, fleet: &mut Fleet, timing: &mut Option<Timing>) -> Result<(), Error> {
        let patience = self.clock.now() + PATIENCE;
        loop {
            fleet.look()?;
            self.read_all(timing);
            let arrived: u64 = self.engine.connections().iter().map(|connection| connection.counters.data).sum();
            if arrived == fleet.sent() - self.before && fleet.is_even() {
                break;
            }
            if self.clock.now() > patience {
                let sent = fleet.sent() - self.before;
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

    /// What each feed has had until now: its account, what was sent to it, what it popped and what it missed.
    fn open_books(&self, fleet: &Fleet) -> Vec<(FeedCounts, u64, u64, u64)> {
        let entry = |reader: &Reader| (reader.feed.counts(), reader.sent(fleet), reader.popped, reader.missed);
        self.readers.iter().map(entry).collect()
    }

    fn close_books(&self, fleet: &Fleet, books: &[(FeedCounts, u64, u64, u64)]) -> Accounts {
        let mut sum = Accounts::default();
        for (reader, (before, sent, popped, missed)) in self.readers.iter().zip(books) {
            let counts = less(reader.feed.counts(), before);
            // What waited before was received before.
            let settled = (counts.delivered + counts.dropped + counts.conflated + counts.filtered + counts.queued)
                .saturating_sub(before.queued);
            sum.off += counts.received.abs_diff(reader.sent(fleet) - sent)
                + counts.received.abs_diff(settled)
                + counts.delivered.abs_diff(reader.popped - popped)
                + counts.dropped.abs_diff(reader.missed - missed);
            if matches!(reader.overflow, Overflow::DropNewest { .. }) {
                sum.lost += (reader.sent(fleet) - sent).saturating_sub(reader.popped - popped);
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
        // It is measured no more; whatever it still had is nobody's.
        let _ = self.engine.shutdown(DEADLINE);
    }
}

impl Reader {
    fn new(feed: Feed, overflow: Overflow, streams: Vec<usize>) -> Self {
        Self {
            feed,
            overflow,
            streams,
            is_expecting: false,
            has_gaps: false,
            newest_sent: 0,
            newest_seen: 0,
            popped: 0,
            missed: 0,
        }
    }

    fn read(&mut self, clock: &SystemClock, timing: &mut Option<Timing>) {
        while let Some(item) = self.feed.pop() {
            match item {
                Item::Data(update) => {
                    self.popped += 1;
                    let number = update.stamps.exchange_ms - FIRST_STAMP;
                    self.newest_seen = self.newest_seen.max(number);
                    if let Some(timing) = timing
                        && update.value.stream_type() == StreamType::Realtime
                        && !matches!(self.overflow, Overflow::Throttle(_) | Overflow::Conflate)
                    {
                        timing.seen(number, clock.now());
                    }
                }
                Item::Gap { missed } => {
                    self.missed += missed;
                    self.has_gaps = true;
                }
                Item::Epoch { .. } => {}
            }
        }
    }

    /// What went out of its streams.
    fn sent(&self, fleet: &Fleet) -> u64 {
        self.streams.iter().map(|stream| fleet.sent_of()[*stream]).sum()
    }
}

/// When messages were due, and how long after that they were read.
struct Timing {
    first: u64,
    due: Vec<Option<Nanos>>,
    latency: Histogram<u64>,
}

impl Timing {
    fn new(first: u64, messages: usize) -> Result<Self, Error> {
        let latency = Histogram::new_with_max(LONGEST, 3).map_err(|e| Error::failed("a histogram", e))?;
        Ok(Self { first, due: Vec::with_capacity(messages), latency })
    }

    fn sent(&mut self, number: u64, due: Nanos) {
        // Snapshots between two messages were not due at any time.
        self.due.resize((number - self.first) as usize, None);
        self.due.push(Some(due));
    }

    #[inline]
    fn seen(&mut self, number: u64, now: Nanos) {
        let at = number.checked_sub(self.first).and_then(|at| self.due.get(at as usize).copied().flatten());
        if let Some(due) = at {
            self.latency.saturating_record(now.since(due).as_nanos() as u64);
        }
    }
}

/// CPU time of everybody but this thread.
fn engine_cpu() -> Duration {
    process_cpu().saturating_sub(thread_cpu())
}

/// The difference of two accounts of a feed. What waits now is what waits.
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

/// Type and market of each stream of the fleet, by place.
fn streams(fleet: &Fleet) -> Result<Vec<(DataType, Market)>, Error> {
    let parse = |(data_type, code): &(String, String)| {
        let unknown = || Error::Failed(format!("{data_type} is no type of data"));
        let market = code.parse().map_err(|e| Error::failed(code, e))?;
        Ok((DataType::from_name(data_type).ok_or_else(unknown)?, market))
    };
    fleet.traffic().streams.iter().map(parse).collect()
}

/// Each once, in the order of the streams.
fn markets(streams: &[(DataType, Market)]) -> Vec<Market> {
    let first = streams.first().map(|(data_type, _)| *data_type);
    streams.iter().filter(|(data_type, _)| Some(*data_type) == first).map(|(_, market)| *market).collect()
}

/// The part of the messages that each stream brings.
fn shares(fleet: &Fleet) -> Vec<f64> {
    let traffic = fleet.traffic();
    let mut shares = vec![0.0; traffic.streams.len()];
    traffic.frames.iter().for_each(|frame| shares[frame.stream] += 1.0 / traffic.frames.len() as f64);
    shares
}

/// A few streams may be all there are, and more.
fn distinct(streams: impl Iterator<Item = (DataType, Market)>) -> Vec<(DataType, Market)> {
    let mut all: Vec<_> = streams.collect();
    all.sort_unstable();
    all.dedup();
    all
}
