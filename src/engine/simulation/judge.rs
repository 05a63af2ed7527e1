//! Compares what feeds deliver with what arrived on the sockets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::world::START;
use crate::feed::{Item, Overflow, Update};
use crate::model::{Epoch, Event, Nanos, Receipt, StreamKey, StreamType};

/// All messages that arrived, in order and by stream. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Arrivals(Arc<Mutex<HashMap<StreamKey, Vec<Arrival>>>>);

/// A message that arrived.
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

    /// Returns the number of messages of a stream.
    pub fn count(&self, key: StreamKey) -> usize {
        self.lock().get(&key).map_or(0, Vec::len)
    }

    /// Returns when each message of a stream was received, and on which socket.
    pub fn receipts(&self, key: StreamKey) -> Vec<(Nanos, Epoch)> {
        let arrivals = self.lock();
        arrivals.get(&key).into_iter().flatten().map(|arrival| (arrival.at, arrival.epoch)).collect()
    }

    /// Returns the number of messages of all streams.
    pub fn total(&self) -> usize {
        self.lock().values().map(Vec::len).sum()
    }

    /// Returns the newest message of a stream.
    pub fn newest(&self, key: StreamKey) -> Option<(Epoch, Event)> {
        self.lock().get(&key)?.last().map(|arrival| (arrival.epoch, arrival.event))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamKey, Vec<Arrival>>> {
        self.0.lock().unwrap()
    }
}

/// Returns true if both report the same fact: the same trade, or the same state.
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

/// Tracks what one feed has delivered, and what it may deliver next.
pub(super) struct Judge {
    name: String,
    /// The feed delivers everything that arrives, unless it reports a gap.
    is_complete: bool,
    arrivals: Arrivals,
    streams: HashMap<StreamKey, Progress>,
    pub delivered: u64,
    epochs: HashMap<u16, Epoch>,
}

/// A feed's progress in one stream.
struct Progress {
    /// The index of the first arrival that may be delivered next.
    next: usize,
    /// The index of the last arrival that was delivered.
    last: Option<usize>,
    /// Messages that arrived until this time may be missing, because the feed did not read the stream for a while or
    /// reported a gap.
    complete_after: Nanos,
    /// The feed has delivered a message since it joined.
    has_begun: bool,
    /// The feed has delivered a snapshot since it joined. Before that, changes are leftovers of an earlier request of
    /// the stream, and none has to be delivered.
    has_state: bool,
    /// The feed's actions, to be shown on a failure.
    history: Vec<Step>,
    /// The newest arrivals at the times when the feed joined again. Such a message may be delivered once more, as the
    /// state.
    joined_at: Vec<usize>,
}

enum Step {
    Joined { by: Nanos, newest: usize },
    Delivered { arrival: usize, read: Nanos },
}

impl Judge {
    /// Creates the judge of a feed that has not joined a stream yet.
    pub fn new(name: String, overflow: Overflow, arrivals: Arrivals) -> Self {
        let is_complete = matches!(overflow, Overflow::DropNewest { .. } | Overflow::DropOldest);
        Self { name, is_complete, arrivals, streams: HashMap::new(), delivered: 0, epochs: HashMap::new() }
    }

    /// Notes that the feed joins these streams, or joins them again. The connections apply this at `by` at the latest.
    pub fn joins(&mut self, by: Nanos, keys: impl IntoIterator<Item = StreamKey>) {
        for key in keys {
            let newest = self.arrivals.count(key).saturating_sub(1);
            let first = || Progress {
                next: newest,
                last: None,
                complete_after: by,
                has_begun: false,
                has_state: false,
                history: Vec::new(),
                joined_at: Vec::new(),
            };
            let again = |progress: &mut Progress| progress.joined_at.push(newest);
            let progress = self.streams.entry(key).and_modify(again).or_insert_with(first);
            (progress.complete_after, progress.has_begun, progress.has_state) = (by, false, false);
            progress.history.push(Step::Joined { by, newest });
        }
    }

    pub fn item(&mut self, now: Nanos, item: &Item<Event>) {
        match item {
            Item::Data(update) => self.update(now, update),
            // A gap does not name its streams.
            Item::Gap { .. } => self.streams.values_mut().for_each(|progress| progress.complete_after = now),
            Item::Epoch { connection, new, .. } => {
                let before = self.epochs.insert(connection.0, *new);
                assert!(before < Some(*new), "{}: epoch {new} of {connection} follows {before:?}", self.name);
            }
        }
    }

    fn update(&mut self, now: Nanos, update: &Update<Event>) {
        self.delivered += 1;
        let (key, name) = (update.value.key(), &self.name);
        let progress = self.streams.get_mut(&key).unwrap_or_else(|| panic!("{name} never asked for {key}"));
        let all = self.arrivals.lock();
        let arrivals = all.get(&key).map_or(&[][..], Vec::as_slice);
        let is_match = |arrival: &Arrival| arrival.epoch == update.epoch && is_same(&arrival.event, &update.value);
        let find = |from: usize| (from..arrivals.len()).find(|index| is_match(&arrivals[*index]));
        let found = find(progress.next).or_else(|| {
            let used = progress.joined_at.iter().position(|newest| find(*newest).is_some())?;
            progress.joined_at.drain(..=used).next_back().and_then(find)
        });
        let Some(found) = found else {
            let (known, due) = (arrivals.iter().position(is_match), progress.next);
            panic!(
                "{name} delivers arrival {known:?} of {key}, but at least {due} was due\n{}",
                progress.show(arrivals)
            );
        };
        let last = progress.last.map(|last| &arrivals[last].event);
        let is_repeat = |arrival: &Arrival| last.is_some_and(|last| is_same(last, &arrival.event));
        let is_due = |arrival: &Arrival| arrival.at > progress.complete_after;
        let is_missing = |index: &usize| is_due(&arrivals[*index]) && !is_repeat(&arrivals[*index]);
        if self.is_complete
            && progress.has_state
            && let Some(missing) = (progress.next..found).find(is_missing)
        {
            panic!("{name} delivers arrival {found} of {key}, but never {missing}\n{}", progress.show(arrivals));
        }
        (progress.next, progress.last) = (found + 1, Some(found));
        progress.has_begun = true;
        progress.has_state |= update.value.stream_type() == StreamType::Snapshot;
        progress.history.push(Step::Delivered { arrival: found, read: now });
    }

    /// Returns one of these streams if the feed has delivered nothing of it since it joined.
    pub fn awaited(&self, keys: &[StreamKey]) -> Option<StreamKey> {
        let has_begun = |key: &StreamKey| self.streams.get(key).is_some_and(|progress| progress.has_begun);
        keys.iter().copied().find(|key| !has_begun(key))
    }

    /// Checks, after everything was read, that the newest message of each of these streams was delivered.
    pub fn ends(&self, keys: &[StreamKey]) {
        for key in keys {
            let Some((_, newest)) = self.arrivals.newest(*key) else { panic!("no message of {key} arrived") };
            let progress = self.streams.get(key).and_then(|progress| progress.last);
            let last = progress.map(|last| self.arrivals.lock()[key][last].event);
            if !last.as_ref().is_some_and(|last| is_same(last, &newest)) {
                let (all, progress) = (self.arrivals.lock(), self.streams.get(key));
                let history = progress.map(|progress| progress.show(&all[key])).unwrap_or_default();
                panic!("{} did not deliver the newest of {key}\n{history}", self.name);
            }
        }
    }
}

impl Progress {
    fn show(&self, arrivals: &[Arrival]) -> String {
        let since = |at: Nanos| at.0.saturating_sub(START.0) as f64 / 1e9;
        let mut lines: Vec<_> = Vec::new();
        for (number, Arrival { at, epoch, event }) in arrivals.iter().enumerate() {
            let line = format!("{:.4} s: arrival {number}, {:?} of epoch {epoch}", since(*at), event.stream_type());
            lines.push((*at, line));
        }
        for step in &self.history {
            lines.push(match step {
                Step::Joined { by, newest } => (*by, format!("{:.4} s: joined, the newest was {newest}", since(*by))),
                Step::Delivered { arrival, read } => (*read, format!("{:.4} s: delivered {arrival}", since(*read))),
            });
        }
        lines.sort_by_key(|(at, _)| *at);
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    //! Tests that the judge finds each kind of fault.

    use super::*;
    use crate::model::{ConnectionId, Market, Ticker, Words};

    const SECOND: u64 = 1_000_000_000;

    fn ticker(price: u32, stream_type: StreamType) -> Event {
        let market: Market = "KRW-BTC".parse().unwrap();
        Ticker { market, trade_price: f64::from(price), stream_type, ..Words::take(&mut || 0) }.into()
    }

    /// Returns the judge of a feed that joined before anything arrived. A snapshot arrived, then changes.
    fn judge(overflow: Overflow, prices: u32) -> Judge {
        let arrivals = Arrivals::default();
        let mut judge = Judge::new("planted".to_owned(), overflow, arrivals.clone());
        judge.joins(Nanos(0), [ticker(0, StreamType::Snapshot).key()]);
        for price in 0..prices {
            let stream_type = if price == 0 { StreamType::Snapshot } else { StreamType::Realtime };
            let received = Nanos(u64::from(price + 1) * SECOND);
            arrivals
                .add(Receipt { connection: ConnectionId(0), epoch: Epoch(1), received }, ticker(price, stream_type));
        }
        judge
    }

    fn deliver(judge: &mut Judge, prices: &[u32]) {
        for price in prices {
            let value = ticker(*price, if *price == 0 { StreamType::Snapshot } else { StreamType::Realtime });
            let (connection, stamps) = (ConnectionId(0), Default::default());
            let update = Update { value, stamps, connection, epoch: Epoch(1), version: 0 };
            judge.item(Nanos(100 * SECOND), &Item::Data(update));
        }
    }

    #[test]
    fn complete_delivery_is_accepted_and_a_conflating_feed_may_skip() {
        deliver(&mut judge(Overflow::DropOldest, 4), &[0, 1, 2, 3]);
        deliver(&mut judge(Overflow::Conflate, 4), &[0, 3]);
    }

    #[test]
    #[should_panic(expected = "but never 2")]
    fn a_message_missing_from_a_complete_feed_is_found() {
        deliver(&mut judge(Overflow::DropOldest, 4), &[0, 1, 3]);
    }

    #[test]
    #[should_panic(expected = "at least 3 was due")]
    fn an_old_message_is_found() {
        deliver(&mut judge(Overflow::Conflate, 4), &[0, 2, 1]);
    }

    #[test]
    #[should_panic(expected = "delivers arrival None")]
    fn a_message_that_never_arrived_is_found() {
        deliver(&mut judge(Overflow::Conflate, 4), &[0, 7]);
    }

    #[test]
    #[should_panic(expected = "did not deliver the newest")]
    fn a_feed_without_the_newest_message_is_found() {
        let mut judge = judge(Overflow::Conflate, 4);
        deliver(&mut judge, &[0, 2]);
        judge.ends(&[ticker(0, StreamType::Snapshot).key()]);
    }
}
