//! A reader of the load benchmark: it pops its feed and counts what it gets.

use hdrhistogram::Histogram;
use hoga::engine::Feed;
use hoga::feed::{Item, Overflow};
use hoga::model::{Clock, Nanos, StreamType};
use hoga::net::SystemClock;
use hoga_cli::rounds::Error;

use crate::serving::multi_server::MultiServer;
use crate::serving::traffic::FIRST_STAMP;

/// The longest recorded latency, in ns.
const LONGEST: u64 = 60_000_000_000;

/// A feed, its reader, and the counts that are compared with the feed's counts.
pub struct Reader {
    pub feed: Feed,
    pub overflow: Overflow,
    streams: Vec<usize>,
    /// Whether messages of its streams have been sent and not yet read.
    pub is_expecting: bool,
    /// Whether the feed dropped updates. Then the reader does not know which ones are still to come.
    pub has_gaps: bool,
    pub newest_sent: u64,
    pub newest_seen: u64,
    /// The number of popped updates, and of updates that gaps report as missed.
    pub popped: u64,
    pub missed: u64,
}

impl Reader {
    pub fn new(feed: Feed, overflow: Overflow, streams: Vec<usize>) -> Self {
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

    pub fn read(&mut self, clock: &SystemClock, timing: &mut Option<Timing>) {
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

    /// Returns the number of messages that the server sent on this reader's streams.
    pub fn sent(&self, server: &MultiServer) -> u64 {
        self.streams.iter().map(|stream| server.sent_of()[*stream]).sum()
    }
}

/// When messages were due, and how long after that they were read.
pub struct Timing {
    first: u64,
    due: Vec<Option<Nanos>>,
    pub latency: Histogram<u64>,
}

impl Timing {
    pub fn new(first: u64, messages: usize) -> Result<Self, Error> {
        let latency = Histogram::new_with_max(LONGEST, 3).map_err(|e| Error::failed("a histogram", e))?;
        Ok(Self { first, due: Vec::with_capacity(messages), latency })
    }

    pub fn sent(&mut self, number: u64, due: Nanos) {
        // Snapshots between two messages have no due time.
        self.due.resize((number - self.first) as usize, None);
        self.due.push(Some(due));
    }

    #[inline]
    pub fn seen(&mut self, number: u64, now: Nanos) {
        let at = number.checked_sub(self.first).and_then(|at| self.due.get(at as usize).copied().flatten());
        if let Some(due) = at {
            self.latency.saturating_record(now.since(due).as_nanos() as u64);
        }
    }
}
