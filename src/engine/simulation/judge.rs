//! Judges what feeds deliver by what arrived on the sockets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::feed::{Item, Overflow, Update};
use crate::model::{Epoch, Event, Nanos, Receipt, StreamKey, StreamType};

/// All messages that arrived, by stream and in order. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Arrivals(Arc<Mutex<HashMap<StreamKey, Vec<Arrival>>>>);

/// A message as it arrived.
pub(super) struct Arrival {
    pub at: Nanos,
    pub epoch: Epoch,
    pub event: Event,
}

impl Arrivals {
    pub fn add(&self, receipt: Receipt, event: Event) {
        let arrival = Arrival { at: receipt.received, epoch: receipt.epoch, event };
        self.lock().entry(event.key()).or_default().push(arrival);
    }

    /// How many messages of a stream arrived.
    pub fn count(&self, key: StreamKey) -> usize {
        self.lock().get(&key).map_or(0, Vec::len)
    }

    /// How many arrived of all streams.
    pub fn total(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    /// The newest message of a stream.
    pub fn newest(&self, key: StreamKey) -> Option<(Epoch, Event)> {
        self.lock().get(&key)?.last().map(|arrival| (arrival.epoch, arrival.event))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, Vec<Arrival>>> {
        self.0.lock().unwrap()
    }
}

/// Both report the same fact: the same trade, or the same state.
pub(super) fn is_same(one: &Event, other: &Event) -> bool {
    match (one, other) {
        (Event::Trade(one), Event::Trade(other)) => one.sequential_id == other.sequential_id,
        _ => change(*one) == change(*other),
    }
}

fn change(mut event: Event) -> Event {
    let stream_type = match &mut event {
        Event::Ticker(value) => &mut value.stream_type,
        Event::Trade(value) => &mut value.stream_type,
        Event::Orderbook(value) => &mut value.stream_type,
        Event::Candle(value) => &mut value.stream_type,
    };
    *stream_type = StreamType::Realtime;
    event
}

/// What one feed has delivered, and may deliver next.
pub(super) struct Judge {
    name: String,
    /// It delivers all that arrives, unless it reports a gap.
    is_complete: bool,
    arrivals: Arrivals,
    streams: HashMap<StreamKey, Progress>,
    pub delivered: u64,
    epochs: HashMap<u16, Epoch>,
}

/// How far a feed has got with one stream.
struct Progress {
    /// The first arrival that it may deliver.
    next: usize,
    /// The last one that it delivered.
    last: Option<usize>,
    /// Arrivals before which something may be missing: the feed did not read the stream for a while, or reported a gap.
    break_before: usize,
    /// It began again when these were the newest: that message may come once more, as the state.
    begins: Vec<usize>,
}

impl Judge {
    /// The feed begins to read these streams now.
    pub fn new(name: String, overflow: Overflow, arrivals: Arrivals) -> Self {
        let is_complete = matches!(overflow, Overflow::DropNewest { .. } | Overflow::DropOldest);
        Self { name, is_complete, arrivals, streams: HashMap::new(), delivered: 0, epochs: HashMap::new() }
    }

    /// The feed begins, or begins again, to read streams.
    pub fn joins(&mut self, keys: impl IntoIterator<Item = StreamKey>) {
        for key in keys {
            let arrived = self.arrivals.count(key);
            let newest = arrived.saturating_sub(1);
            let first = || Progress { next: newest, last: None, break_before: arrived, begins: Vec::new() };
            let progress =
                self.streams.entry(key).and_modify(|progress| progress.begins.push(newest)).or_insert_with(first);
            progress.break_before = arrived;
        }
    }

    pub fn item(&mut self, item: &Item<Event>) {
        match item {
            Item::Data(update) => self.update(update),
            Item::Gap { .. } => {
                // Of which streams, it does not say.
                let Self { streams, arrivals, .. } = self;
                streams.iter_mut().for_each(|(key, progress)| progress.break_before = arrivals.count(*key));
            }
            Item::Epoch { connection, new, .. } => {
                let before = self.epochs.insert(connection.0, *new);
                assert!(before < Some(*new), "{}: epoch {new} of {connection} comes after {before:?}", self.name);
            }
        }
    }

    fn update(&mut self, update: &Update<Event>) {
        self.delivered += 1;
        let (key, name) = (update.value.key(), &self.name);
        let progress = self.streams.get_mut(&key).unwrap_or_else(|| panic!("{name} never asked for {key}"));
        let all = self.arrivals.lock();
        let arrivals = all.get(&key).map_or(&[][..], Vec::as_slice);
        let is_it = |arrival: &Arrival| arrival.epoch == update.epoch && is_same(&arrival.event, &update.value);
        let find = |from: usize| (from..arrivals.len()).find(|index| is_it(&arrivals[*index]));
        let found = find(progress.next).or_else(|| {
            let used = progress.begins.iter().position(|newest| find(*newest).is_some())?;
            progress.begins.drain(..=used).next_back().and_then(find)
        });
        let Some(found) = found else {
            let known = arrivals.iter().position(is_it);
            panic!("{name}: {key} {:?} is arrival {known:?}, at least {} was due", update.value, progress.next);
        };
        let last = progress.last.map(|last| &arrivals[last].event);
        let is_repeat = |arrival: &Arrival| last.is_some_and(|last| is_same(last, &arrival.event));
        let is_missing = |index: &usize| !is_repeat(&arrivals[*index]);
        let from = progress.next.max(progress.break_before);
        if self.is_complete
            && let Some(missing) = (from..found).find(is_missing)
        {
            let Arrival { at, epoch, event } = &arrivals[missing];
            panic!("{name}: arrival {missing} of {key} is missing, {event:?} of epoch {epoch} at {at:?}");
        }
        (progress.next, progress.last) = (found + 1, Some(found));
    }

    /// Everything was read, and these streams are read at the end: the newest message of each was delivered.
    pub fn ends(&self, keys: &[StreamKey]) {
        for key in keys {
            let Some((_, newest)) = self.arrivals.newest(*key) else { panic!("nothing of {key} ever arrived") };
            let progress = self.streams.get(key).and_then(|progress| progress.last);
            let last = progress.map(|last| self.arrivals.lock()[key][last].event);
            let is_newest = last.as_ref().is_some_and(|last| is_same(last, &newest));
            assert!(is_newest, "{}: the last of {key} is {last:?}, the newest {newest:?}", self.name);
        }
    }
}
