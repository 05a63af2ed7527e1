//! The cells that are compared: hoga's, and what could take its place.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, RwLock};

use arc_swap::{ArcSwap, Cache};
use hoga::model::{BestLevels, FromWords, Nanos, Noun, Orderbook, Ticker};
use hoga::sync::latest::{self, CachedReader};

use crate::samples::receipt;

/// A type of values, with the reads that strategies make.
pub trait Value: Noun {
    /// What a strategy reads most often: the price of a ticker, the best levels of a book.
    type Part: FromWords + Send;

    fn part(&self) -> f64;
    fn of_part(part: &Self::Part) -> f64;
    /// Reads everything.
    fn whole(&self) -> f64;
}

impl Value for Ticker {
    type Part = Self;

    fn part(&self) -> f64 {
        self.trade_price
    }

    fn of_part(part: &Self) -> f64 {
        part.trade_price
    }

    fn whole(&self) -> f64 {
        self.trade_price + self.acc_trade_volume_24h.get().unwrap_or_default() + self.timestamp as f64
    }
}

impl Value for Orderbook {
    type Part = BestLevels;

    fn part(&self) -> f64 {
        self.best_ask().map_or(0.0, |ask| ask.price) + self.best_bid().map_or(0.0, |bid| bid.price)
    }

    fn of_part(part: &BestLevels) -> f64 {
        part.ask.map_or(0.0, |ask| ask.price) + part.bid.map_or(0.0, |bid| bid.price)
    }

    fn whole(&self) -> f64 {
        self.asks.iter().chain(&*self.bids).map(|level| level.size).sum()
    }
}

/// A cell that keeps the newest value.
pub trait Candidate<T: Value> {
    const NAME: &'static str;
    type Writer: Send;
    /// The reading end of one thread.
    type Reader: Send;

    /// Returns a cell that holds `first`.
    fn cell(first: &T) -> (Self::Writer, Self::Reader);
    /// Returns the reading end of another thread, unless the cell has only one.
    fn another(reader: &Self::Reader) -> Option<Self::Reader>;
    fn publish(writer: &mut Self::Writer, value: &T);
    /// Reads the newest value, without knowledge of earlier reads.
    fn load(reader: &mut Self::Reader) -> f64;
    /// Reads the newest value in the cheapest way for one thread that reads over and over.
    fn poll(reader: &mut Self::Reader) -> f64;
    /// Reads everything in the newest value.
    fn whole(reader: &mut Self::Reader) -> f64;
}

/// hoga's cell.
pub struct Hoga;

pub struct HogaReader<T: Value> {
    whole: latest::Reader<T>,
    part: latest::Reader<T::Part>,
    cached: CachedReader<T::Part>,
}

impl<T: Value> Candidate<T> for Hoga {
    const NAME: &'static str = "hoga";
    type Writer = latest::Writer<T>;
    type Reader = HogaReader<T>;

    fn cell(first: &T) -> (Self::Writer, Self::Reader) {
        let (mut writer, whole) = latest::cell::<T>();
        <Self as Candidate<T>>::publish(&mut writer, first);
        (writer, HogaReader { part: whole.part(), cached: whole.part().cached(), whole })
    }

    fn another(reader: &Self::Reader) -> Option<Self::Reader> {
        let HogaReader { whole, part, .. } = reader;
        Some(HogaReader { whole: whole.clone(), part: part.clone(), cached: part.cached() })
    }

    fn publish(writer: &mut Self::Writer, value: &T) {
        writer.publish(value, 1, &receipt(1, 1), Nanos(1));
    }

    fn load(reader: &mut Self::Reader) -> f64 {
        reader.part.load().version.as_ref().map_or(0.0, |version| T::of_part(&version.value))
    }

    fn poll(reader: &mut Self::Reader) -> f64 {
        reader.cached.load().version.as_ref().map_or(0.0, |version| T::of_part(&version.value))
    }

    fn whole(reader: &mut Self::Reader) -> f64 {
        reader.whole.load().version.as_ref().map_or(0.0, |version| version.value.whole())
    }
}

/// arc-swap, with a new `Arc` for each value.
pub struct Swap;

type SwapReader<T> = (Arc<ArcSwap<T>>, Cache<Arc<ArcSwap<T>>, Arc<T>>);

impl<T: Value> Candidate<T> for Swap {
    const NAME: &'static str = "arc-swap";
    type Writer = Arc<ArcSwap<T>>;
    type Reader = SwapReader<T>;

    fn cell(first: &T) -> (Self::Writer, Self::Reader) {
        let swap = Arc::new(ArcSwap::from_pointee(*first));
        (swap.clone(), (swap.clone(), Cache::new(swap)))
    }

    fn another((swap, _): &Self::Reader) -> Option<Self::Reader> {
        Some((swap.clone(), Cache::new(swap.clone())))
    }

    fn publish(writer: &mut Self::Writer, value: &T) {
        writer.store(Arc::new(*value));
    }

    fn load((swap, _): &mut Self::Reader) -> f64 {
        swap.load().part()
    }

    fn poll((_, cache): &mut Self::Reader) -> f64 {
        cache.load().part()
    }

    fn whole((swap, _): &mut Self::Reader) -> f64 {
        swap.load().whole()
    }
}

/// arc-swap, with `Arc`s that are used again once no reader has them.
pub struct Recycled;

pub struct RecyclingWriter<T> {
    swap: Arc<ArcSwap<T>>,
    spare: Vec<Arc<T>>,
    version: Arc<AtomicU64>,
}

impl<T: Value> RecyclingWriter<T> {
    fn new(first: &T) -> Self {
        let spare = (0..4).map(|_| Arc::new(*first)).collect();
        Self { swap: Arc::new(ArcSwap::from_pointee(*first)), spare, version: Arc::default() }
    }

    fn publish(&mut self, value: &T) {
        let free = self.spare.iter_mut().position(|spare| Arc::get_mut(spare).is_some());
        let mut next = free.map_or_else(|| Arc::new(*value), |free| self.spare.swap_remove(free));
        *Arc::get_mut(&mut next).unwrap() = *value;
        self.spare.push(self.swap.swap(next));
        // One writer, so a load and a store suffice.
        self.version.store(self.version.load(Relaxed) + 1, Release);
    }
}

impl<T: Value> Candidate<T> for Recycled {
    const NAME: &'static str = "arc-swap, recycled";
    type Writer = RecyclingWriter<T>;
    type Reader = SwapReader<T>;

    fn cell(first: &T) -> (Self::Writer, Self::Reader) {
        let writer = RecyclingWriter::new(first);
        let swap = writer.swap.clone();
        (writer, (swap.clone(), Cache::new(swap)))
    }

    fn another(reader: &Self::Reader) -> Option<Self::Reader> {
        <Swap as Candidate<T>>::another(reader)
    }

    fn publish(writer: &mut Self::Writer, value: &T) {
        writer.publish(value);
    }

    fn load(reader: &mut Self::Reader) -> f64 {
        <Swap as Candidate<T>>::load(reader)
    }

    fn poll(reader: &mut Self::Reader) -> f64 {
        <Swap as Candidate<T>>::poll(reader)
    }

    fn whole(reader: &mut Self::Reader) -> f64 {
        <Swap as Candidate<T>>::whole(reader)
    }
}

/// arc-swap, recycled, behind a version: readers keep an `Arc` and touch the `ArcSwap` only if the version has changed.
pub struct Versioned;

pub struct VersionedReader<T> {
    swap: Arc<ArcSwap<T>>,
    version: Arc<AtomicU64>,
    seen: (u64, Arc<T>),
}

impl<T> VersionedReader<T> {
    fn newest(&mut self) -> &T {
        let version = self.version.load(Acquire);
        if version != self.seen.0 {
            self.seen = (version, self.swap.load_full());
        }
        &self.seen.1
    }
}

impl<T: Value> Candidate<T> for Versioned {
    const NAME: &'static str = "arc-swap, versioned";
    type Writer = RecyclingWriter<T>;
    type Reader = VersionedReader<T>;

    fn cell(first: &T) -> (Self::Writer, Self::Reader) {
        let writer = RecyclingWriter::new(first);
        let (swap, version) = (writer.swap.clone(), writer.version.clone());
        (writer, VersionedReader { seen: (0, swap.load_full()), swap, version })
    }

    fn another(reader: &Self::Reader) -> Option<Self::Reader> {
        let VersionedReader { swap, version, .. } = reader;
        Some(VersionedReader { swap: swap.clone(), version: version.clone(), seen: (0, swap.load_full()) })
    }

    fn publish(writer: &mut Self::Writer, value: &T) {
        writer.publish(value);
    }

    fn load(reader: &mut Self::Reader) -> f64 {
        reader.newest().part()
    }

    fn poll(reader: &mut Self::Reader) -> f64 {
        reader.newest().part()
    }

    fn whole(reader: &mut Self::Reader) -> f64 {
        reader.newest().whole()
    }
}

/// hoga's former cell: a few slots behind read-write locks that are only tried.
pub struct TriedLocks;

pub struct TriedSlots<T> {
    newest: AtomicUsize,
    slots: [RwLock<(usize, T)>; 4],
}

impl<T: Value> Candidate<T> for TriedLocks {
    const NAME: &'static str = "tried locks";
    type Writer = (Arc<TriedSlots<T>>, usize);
    type Reader = Arc<TriedSlots<T>>;

    fn cell(first: &T) -> (Self::Writer, Self::Reader) {
        let slots = std::array::from_fn(|at| RwLock::new((at, *first)));
        let slots = Arc::new(TriedSlots { newest: AtomicUsize::new(0), slots });
        ((slots.clone(), 0), slots)
    }

    fn another(reader: &Self::Reader) -> Option<Self::Reader> {
        Some(reader.clone())
    }

    fn publish((slots, ticket): &mut Self::Writer, value: &T) {
        loop {
            *ticket += 1;
            if let Ok(mut slot) = slots.slots[*ticket % 4].try_write() {
                *slot = (*ticket, *value);
                break;
            }
        }
        slots.newest.store(*ticket, Release);
    }

    fn load(reader: &mut Self::Reader) -> f64 {
        read_slot(reader, T::part)
    }

    fn poll(reader: &mut Self::Reader) -> f64 {
        read_slot(reader, T::part)
    }

    fn whole(reader: &mut Self::Reader) -> f64 {
        read_slot(reader, T::whole)
    }
}

fn read_slot<T>(slots: &TriedSlots<T>, read: impl Fn(&T) -> f64) -> f64 {
    loop {
        let ticket = slots.newest.load(Acquire);
        if let Ok(slot) = slots.slots[ticket % 4].try_read()
            && slot.0 == ticket
        {
            return read(&slot.1);
        }
    }
}

/// left-right: two copies; the writer waits for readers of the one that it is about to change.
pub struct LeftRight;

#[derive(Clone)]
pub struct Side<T>(T);

impl<T: Copy> left_right::Absorb<T> for Side<T> {
    fn absorb_first(&mut self, value: &mut T, _: &Self) {
        self.0 = *value;
    }

    fn sync_with(&mut self, first: &Self) {
        self.0 = first.0;
    }
}

impl<T: Value> Candidate<T> for LeftRight {
    const NAME: &'static str = "left-right";
    type Writer = left_right::WriteHandle<Side<T>, T>;
    type Reader = left_right::ReadHandle<Side<T>>;

    fn cell(first: &T) -> (Self::Writer, Self::Reader) {
        let (mut writer, reader) = left_right::new_from_empty(Side(*first));
        <Self as Candidate<T>>::publish(&mut writer, first);
        (writer, reader)
    }

    fn another(reader: &Self::Reader) -> Option<Self::Reader> {
        Some(reader.clone())
    }

    fn publish(writer: &mut Self::Writer, value: &T) {
        writer.append(*value).publish();
    }

    fn load(reader: &mut Self::Reader) -> f64 {
        reader.enter().map_or(0.0, |side| side.0.part())
    }

    fn poll(reader: &mut Self::Reader) -> f64 {
        <Self as Candidate<T>>::load(reader)
    }

    fn whole(reader: &mut Self::Reader) -> f64 {
        reader.enter().map_or(0.0, |side| side.0.whole())
    }
}

/// A triple buffer, which has a single reader.
pub struct TripleBuffer;

impl<T: Value> Candidate<T> for TripleBuffer {
    const NAME: &'static str = "triple buffer";
    type Writer = triple_buffer::Input<T>;
    type Reader = triple_buffer::Output<T>;

    fn cell(first: &T) -> (Self::Writer, Self::Reader) {
        triple_buffer::TripleBuffer::new(first).split()
    }

    fn another(_: &Self::Reader) -> Option<Self::Reader> {
        None
    }

    fn publish(writer: &mut Self::Writer, value: &T) {
        writer.write(*value);
    }

    fn load(reader: &mut Self::Reader) -> f64 {
        reader.read().part()
    }

    fn poll(reader: &mut Self::Reader) -> f64 {
        reader.read().part()
    }

    fn whole(reader: &mut Self::Reader) -> f64 {
        reader.read().whole()
    }
}

/// std's lock around the value.
pub struct Locked;

impl<T: Value> Candidate<T> for Locked {
    const NAME: &'static str = "std RwLock";
    type Writer = Arc<RwLock<T>>;
    type Reader = Arc<RwLock<T>>;

    fn cell(first: &T) -> (Self::Writer, Self::Reader) {
        let lock = Arc::new(RwLock::new(*first));
        (lock.clone(), lock)
    }

    fn another(reader: &Self::Reader) -> Option<Self::Reader> {
        Some(reader.clone())
    }

    fn publish(writer: &mut Self::Writer, value: &T) {
        *writer.write().unwrap() = *value;
    }

    fn load(reader: &mut Self::Reader) -> f64 {
        reader.read().unwrap().part()
    }

    fn poll(reader: &mut Self::Reader) -> f64 {
        reader.read().unwrap().part()
    }

    fn whole(reader: &mut Self::Reader) -> f64 {
        reader.read().unwrap().whole()
    }
}
