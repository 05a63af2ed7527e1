//! Schedules the markets: which ones are awake, and which one acts next.

use super::listing::Listings;
use super::{Event, Market};
use crate::calendar::SECOND;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// The maximum delay, in ns, that a market catches up. Beyond that it continues from the present.
const LAG_MAX: u64 = 5 * SECOND;

#[derive(Debug)]
struct Slot {
    market: Market,
    awake: bool,
    /// The time of this market's valid entry in `Floor::queue`. Older entries are skipped.
    scheduled: u64,
}

#[derive(Debug)]
pub(crate) struct Floor {
    pub listings: Listings,
    speed: f64,
    slots: HashMap<usize, Slot>,
    queue: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Floor {
    pub fn new(listings: Listings, speed: f64) -> Self {
        Self { listings, speed, slots: HashMap::new(), queue: BinaryHeap::new() }
    }

    /// Resumes a market. Creates it the first time.
    pub fn wake(&mut self, index: usize, now: u64) {
        let slot = self.slots.entry(index).or_insert_with(|| {
            let market = Market::new(self.listings.row(index), self.speed, now);
            Slot { market, awake: false, scheduled: 0 }
        });
        if !slot.awake {
            slot.awake = true;
            slot.market.wake(now);
            slot.scheduled = slot.market.next();
            self.queue.push(Reverse((slot.scheduled, index)));
        }
    }

    /// Puts all markets to sleep except the wanted ones.
    pub fn keep_only(&mut self, wanted: &HashSet<usize>) {
        for (index, slot) in &mut self.slots {
            slot.awake &= wanted.contains(index);
        }
        if !self.slots.values().any(|slot| slot.awake) {
            self.queue.clear();
        }
    }

    /// Delists a market and puts it to sleep. Returns its index if it was listed.
    pub fn delist(&mut self, code: &str) -> Option<usize> {
        let index = self.listings.delist(code)?;
        if let Some(slot) = self.slots.get_mut(&index) {
            slot.awake = false;
        }
        Some(index)
    }

    /// Returns a market if it is awake.
    pub fn market(&self, index: usize) -> Option<&Market> {
        self.slots.get(&index).filter(|slot| slot.awake).map(|slot| &slot.market)
    }

    /// Returns the time at which [`step`](Self::step) has something to do. It may be early but never late.
    pub fn next(&self) -> u64 {
        self.queue.peek().map_or(u64::MAX, |Reverse((due, _))| *due)
    }

    /// Runs one step of the market that is due first. `None` if none is due by `now`.
    pub fn step(&mut self, now: u64) -> Option<(usize, Option<Event>)> {
        while let Some(Reverse((due, index))) = self.queue.peek().copied().filter(|Reverse((due, _))| *due <= now) {
            self.queue.pop();
            let Some(slot) = self.slots.get_mut(&index).filter(|slot| slot.awake && slot.scheduled == due) else {
                continue;
            };
            let late = due + LAG_MAX < now;
            if late {
                slot.market.resume(now);
            }
            let event = if late { None } else { slot.market.step() };
            slot.scheduled = slot.market.next();
            self.queue.push(Reverse((slot.scheduled, index)));
            return Some((index, event));
        }
        None
    }
}
