//! Reads a feed of each overflow policy with all streams, and counts what it gets independently of the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hoga::engine::Feed;
use hoga::feed::{FeedCounts, Item, Overflow};
use hoga::model::Event;
use hoga_cli::exit::Failure;

use crate::bed::Bed;

const POLICIES: [Overflow; 4] = [
    Overflow::DropNewest { capacity: 2048 },
    Overflow::DropOldest,
    Overflow::Conflate,
    Overflow::Throttle(Duration::from_millis(100)),
];

/// A thread that reads the feeds.
pub struct Reader {
    controls: Arc<Controls>,
    thread: JoinHandle<Vec<Account>>,
}

#[derive(Default)]
struct Controls {
    is_paused: AtomicBool,
    is_stopped: AtomicBool,
    /// The number of updates that the gaps of all feeds reported as missing.
    missed: AtomicU64,
}

/// What a feed says about its updates, and what its reader got.
#[derive(Debug)]
pub struct Account {
    pub counts: FeedCounts,
    pub delivered: u64,
    pub missed: u64,
}

impl Account {
    /// Returns whether each update is counted once, and as what the reader saw.
    pub fn adds_up(&self) -> bool {
        let FeedCounts { received, delivered, dropped, conflated, filtered, queued } = self.counts;
        received == delivered + dropped + conflated + filtered + queued
            && (delivered, dropped) == (self.delivered, self.missed)
    }
}

impl Reader {
    pub fn start(bed: &Bed) -> Result<Self, Failure> {
        let feed = |policy| {
            let feed = bed.engine.feed(bed.everything(), policy)?;
            Ok::<_, Failure>((feed, Account { counts: FeedCounts::default(), delivered: 0, missed: 0 }))
        };
        let feeds = POLICIES.into_iter().map(feed).collect::<Result<Vec<_>, _>>()?;
        let controls = Arc::<Controls>::default();
        let shared = controls.clone();
        let thread = thread::Builder::new().name("reader".into()).spawn(move || read(feeds, &shared))?;
        Ok(Self { controls, thread })
    }

    /// Stops reading, or continues.
    pub fn pause(&self, is_paused: bool) {
        self.controls.is_paused.store(is_paused, Relaxed);
    }

    /// Returns the number of updates that the gaps of all feeds reported as missing so far.
    pub fn missed(&self) -> u64 {
        self.controls.missed.load(Relaxed)
    }

    /// Reads the rest and returns the account of each feed.
    pub fn finish(self) -> Vec<Account> {
        self.controls.is_stopped.store(true, Relaxed);
        // If the thread panicked, the panic was printed, and the missing accounts count as wrong.
        self.thread.join().unwrap_or_default()
    }
}

fn read(mut feeds: Vec<(Feed<Event>, Account)>, controls: &Controls) -> Vec<Account> {
    let mut is_last = false;
    loop {
        let mut count = 0;
        if !controls.is_paused.load(Relaxed) {
            count = feeds.iter_mut().map(|(feed, account)| read_feed(feed, account, controls)).sum();
        }
        if count == 0 && is_last {
            return feeds.into_iter().map(|(feed, account)| Account { counts: feed.counts(), ..account }).collect();
        }
        is_last = count == 0 && controls.is_stopped.load(Relaxed);
        if count == 0 {
            // Longer than the pauses of a throttled stream at the end, when everything must be read.
            thread::sleep(Duration::from_millis(if is_last { 150 } else { 1 }));
        }
    }
}

/// Reads what waits in a feed, and returns the number of items.
fn read_feed(feed: &mut Feed<Event>, account: &mut Account, controls: &Controls) -> usize {
    let mut count = 0;
    while let Some(item) = feed.pop() {
        count += 1;
        match item {
            Item::Data(_) => account.delivered += 1,
            Item::Gap { missed } => {
                account.missed += missed;
                controls.missed.fetch_add(missed, Relaxed);
            }
            Item::Epoch { .. } => {}
        }
    }
    count
}
