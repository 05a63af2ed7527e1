//! Batches: many streams of one type, looked up once and read in one call.

use std::fmt;

use super::{DataPool, Handle, Quote, Reading};
use crate::model::{DataType, InvalidCode, MarketSelector, Nanos, Noun, Pattern, StreamKey};

/// The number of times [`Batch::load_at_once`] reads the whole batch before it gives up.
const TRIES: usize = 16;

/// The streams of many markets: first those that were named, in that order, then those of the patterns. Each market is
/// reported with what the pool has of it, so a market that is misspelled or not subscribed does not affect the others.
///
/// [`load`](Self::load) and [`changed_since`](Self::changed_since) first look for streams that were subscribed or
/// listed since the last call, which costs one atomic load if there are none.
///
/// ```no_run
/// # use hoga::{DataPool, Quote};
/// # fn show(pool: &DataPool) {
/// let mut prices = pool.tickers(["KRW-BTC", "KRW-NOPE", "USDT-*"]);
/// for (market, quote) in prices.load() {
///     match quote {
///         Quote::Value(reading) => println!("{market}: {:?}", reading.value().map(|ticker| ticker.trade_price)),
///         other => println!("{market}: {other:?}"),
///     }
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Batch<T: Noun> {
    pool: DataPool,
    data_type: DataType,
    members: Vec<Member>,
    patterns: Vec<Pattern>,
    /// The streams that exist, in the order in which they were found. Only grows.
    handles: Vec<Handle<T>>,
    /// The number of streams that the pool had at the last refresh.
    streams_seen: Option<u64>,
}

/// One market of a batch.
#[derive(Clone)]
struct Member {
    name: Box<str>,
    /// `None` if the name is not a market code.
    key: Option<StreamKey>,
    /// The place of its handle, if its stream exists.
    place: Option<usize>,
}

impl<T: Noun> Batch<T> {
    pub(super) fn new(
        pool: DataPool,
        data_type: DataType,
        markets: Vec<Result<MarketSelector, (String, InvalidCode)>>,
    ) -> Self {
        let (mut members, mut patterns) = (Vec::new(), Vec::new());
        for selector in markets {
            match selector {
                Ok(MarketSelector::Market(market)) => members.push(Member {
                    name: market.to_string().into(),
                    key: Some(StreamKey::of(data_type, market)),
                    place: None,
                }),
                Ok(MarketSelector::Pattern(pattern)) => patterns.push(pattern),
                Err((name, _)) => members.push(Member { name: name.into(), key: None, place: None }),
            }
        }
        let mut batch = Self { pool, data_type, members, patterns, handles: Vec::new(), streams_seen: None };
        batch.refresh();
        batch
    }

    /// Adds streams that were subscribed or listed since the last call. For [`load_at_once`](Self::load_at_once) and
    /// [`handles`](Self::handles), which do not look for them.
    pub fn refresh(&mut self) {
        let streams = Some(self.pool.streams_opened());
        if self.streams_seen != streams {
            self.find_streams();
            self.streams_seen = streams;
        }
    }

    #[cold]
    fn find_streams(&mut self) {
        let Self { pool, data_type, members, patterns, handles, .. } = self;
        for member in members.iter_mut().filter(|member| member.place.is_none()) {
            if let Some(handle) = member.key.and_then(|key| pool.find(key)) {
                member.place = Some(handles.len());
                handles.push(handle);
            }
        }
        if patterns.is_empty() {
            return;
        }
        let is_selected = |key: &StreamKey| {
            let matches = |market| patterns.iter().any(|pattern| pattern.matches(market));
            key.data_type == *data_type && key.market().is_some_and(matches)
        };
        let mut selected = pool.keys(is_selected);
        let known: std::collections::HashSet<_> = members.iter().filter_map(|member| member.key).collect();
        selected.retain(|key| !known.contains(key));
        for key in selected {
            let Some(handle) = pool.find(key) else { continue };
            members.push(Member { name: key.scope.to_string().into(), key: Some(key), place: Some(handles.len()) });
            handles.push(handle);
        }
    }

    /// Returns each market with what the pool has of it, loaded one at a time as the iterator advances. Each value is a
    /// consistent copy, but different values are from different instants. Allocates only if streams were added.
    pub fn load(&mut self) -> impl ExactSizeIterator<Item = (&str, Quote<'_, T>)> {
        self.refresh();
        self.members.iter().map(|member| {
            let quote = match (member.place, member.key) {
                (Some(place), _) => Quote::of(self.handles[place].load()),
                (None, Some(_)) => Quote::NotSubscribed,
                (None, None) => Quote::NoSuchMarket,
            };
            (&*member.name, quote)
        })
    }

    /// Reads all streams that the batch has found as of one instant: a load of any of them at that instant would have
    /// returned the same reading. Clears `into`, fills it with the readings in the order of the handles, and returns the time of the instant. A
    /// reused `into` does not grow.
    ///
    /// An update of any of these streams during the read restarts it. Returns `None`, with `into` empty, if sixteen
    /// attempts in a row are interrupted; the next call may succeed. One attempt copies all values, which takes 40
    /// to 55 ns per ticker and 100 ns per order book: with a thousand tickers and a thousand messages a second, one
    /// attempt in twenty is interrupted. An empty batch always succeeds.
    ///
    /// The readings are the values that were visible at the instant, which the publish stamps do not show exactly. A
    /// stamp is taken just before its value becomes visible, so an update that was being published at that instant is
    /// missing although its stamp may be earlier. To continue without a gap, ask each handle for values newer than the
    /// [version](Reading::version) of its reading, and do not compare times.
    ///
    /// The instant is one in this engine, not at the exchange, which sends the markets one by one.
    pub fn load_at_once<'a>(&'a self, into: &mut Vec<Reading<'a, T>>) -> Option<Nanos> {
        for _ in 0..TRIES {
            into.clear();
            into.extend(self.handles.iter().map(Handle::load));
            let moment = self.pool.now();
            // Each reading was the newest of its market both before and after `moment`, so all of them were at
            // `moment`. The stamps are checked because this core's clock may lag behind another's: no reading may have
            // a publish stamp after `moment`.
            let was_newest = |(handle, reading): (&Handle<T>, &Reading<'a, T>)| {
                reading.is_newest(&handle.latest) && reading.stamps().is_none_or(|stamps| stamps.published <= moment)
            };
            if self.handles.iter().zip(&*into).all(was_newest) {
                return Some(moment);
            }
        }
        into.clear();
        None
    }

    /// Returns the readings that changed since the last call with this cursor, each stream once with its newest reading.
    /// Costs one atomic load for each unchanged stream. Changes that the iterator has not reached when it is dropped
    /// are returned by the next call.
    pub fn changed_since<'a>(
        &'a mut self,
        cursor: &'a mut BatchCursor,
    ) -> impl Iterator<Item = Reading<'a, T>> + use<'a, T> {
        self.refresh();
        cursor.versions.resize(self.handles.len(), 0);
        self.handles.iter().zip(&mut cursor.versions).filter_map(|(handle, seen)| {
            let reading = handle.load_if_newer(*seen)?;
            *seen = reading.version();
            Some(reading)
        })
    }

    /// Returns the handles of the streams that the batch has found.
    pub fn handles(&self) -> &[Handle<T>] {
        &self.handles
    }

    /// Returns the number of markets, with those that have no stream.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns true if the batch has no markets.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl<T: Noun> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("handles", &self.handles).finish_non_exhaustive()
    }
}

/// The position of a reader in one [`Batch`]. A new cursor has seen nothing. Use a cursor with one batch only: it knows
/// the streams by their place in the batch.
#[derive(Debug, Clone, Default)]
pub struct BatchCursor {
    /// The last seen version of each handle.
    versions: Vec<u64>,
}
