//! The streams that a connection is subscribed to, and when the snapshot of each is due. Prints nothing itself.

use crate::dialect::Dialect;
use crate::format::Format;
use crate::market::listing::Listings;
use crate::replay::Replay;
use crate::request::{Delivery, Kind, Want};
use std::collections::{HashMap, VecDeque};

/// A stream: one combination of type, code, units and level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    pub kind: Kind,
    pub units: usize,
    pub level: i64,
    /// False until the snapshot was sent: it always comes before the first realtime message.
    pub live: bool,
    delivery: Delivery,
}

impl Stream {
    fn new(kind: Kind, units: usize, level: i64, delivery: Delivery) -> Self {
        Self { kind, units, level, live: !delivery.has_snapshot(), delivery }
    }
}

/// The state of the exchange that decides what a request subscribes.
pub(crate) struct Context<'a> {
    pub listings: &'a Listings,
    pub replay: Option<&'a Replay>,
    pub dialect: Dialect,
}

#[derive(Debug)]
pub(crate) struct Subscription {
    pub format: Format,
    /// The objects of the request, for LIST_SUBSCRIPTIONS.
    pub wants: Vec<Want>,
    streams: HashMap<usize, Vec<Stream>>,
    /// The snapshots still to send: due time, market, index into its streams.
    snapshots: VecDeque<(u64, usize, usize)>,
}

impl Subscription {
    /// Creates a subscription. Silently ignores unknown codes and unsupported levels. Also omits replayed streams,
    /// which the replay serves.
    pub fn new(wants: Vec<Want>, format: Format, context: &Context<'_>, snapshots_at: [u64; 2]) -> Self {
        let mut subscription = Self { format, wants: Vec::new(), streams: HashMap::new(), snapshots: VecDeque::new() };
        let mut order = Vec::new();
        for (want, code) in wants.iter().flat_map(|want| want.codes.iter().map(move |code| (want, code))) {
            order.extend(subscription.add(want, code, context));
        }
        let (first, rest) = order.split_at(order.len().div_ceil(2));
        for (at, burst) in snapshots_at.into_iter().zip([first, rest]) {
            subscription.snapshots.extend(burst.iter().map(|(market, index)| (at, *market, *index)));
        }
        subscription.wants = wants;
        subscription
    }

    /// Adds a stream, or widens an existing one. Returns its market and its index there if it needs a snapshot because
    /// of that.
    fn add(&mut self, want: &Want, code: &str, context: &Context<'_>) -> Option<(usize, usize)> {
        let (code, units) = split(want.kind, code, context.dialect);
        let market = context.listings.index(code)?;
        let row = context.listings.row(market);
        let is_replayed = context.replay.is_some_and(|replay| replay.stream(want.kind.name(), code).is_some());
        if is_replayed || !row.quote.supports_level(want.level, row.reference_price) {
            return None;
        }
        let streams = self.streams.entry(market).or_default();
        let same = |stream: &Stream| (stream.kind, stream.units, stream.level) == (want.kind, units, want.level);
        let Some(index) = streams.iter().position(same) else {
            streams.push(Stream::new(want.kind, units, want.level, want.delivery));
            return want.delivery.has_snapshot().then_some((market, streams.len() - 1));
        };
        // A stream that is named twice in one request is served once, with everything that either object requests.
        // Upbit's behavior is not known.
        let had_snapshot = streams[index].delivery.has_snapshot();
        let delivery = streams[index].delivery.and(want.delivery);
        streams[index] = Stream::new(want.kind, units, want.level, delivery);
        (delivery.has_snapshot() && !had_snapshot).then_some((market, index))
    }

    /// Starts the streams of a newly listed market as if they had just been requested. Their snapshots are due at
    /// `snapshots_at`, which must not be earlier than any snapshot that is already scheduled.
    pub fn list(&mut self, code: &str, context: &Context<'_>, snapshots_at: u64) {
        let wants = std::mem::take(&mut self.wants);
        for (want, named) in wants.iter().flat_map(|want| want.codes.iter().map(move |named| (want, named))) {
            if split(want.kind, named, context.dialect).0 == code
                && let Some((market, index)) = self.add(want, named, context)
            {
                self.snapshots.push_back((snapshots_at, market, index));
            }
        }
        self.wants = wants;
    }

    /// Ends the streams of a delisted market.
    pub fn delist(&mut self, market: usize) {
        self.streams.remove(&market);
        self.snapshots.retain(|(_, other, _)| *other != market);
    }

    /// Ends one stream, and removes it from the list of subscriptions.
    pub fn forget(&mut self, kind: Kind, market: usize, code: &str) {
        // The indexes of other snapshots of the market must stay valid, so the stream keeps its place.
        for stream in self.streams.get_mut(&market).into_iter().flatten().filter(|stream| stream.kind == kind) {
            (stream.live, stream.delivery) = (false, Delivery::OnlySnapshot);
        }
        let is_stream = |(_, other, index): &(u64, usize, usize)| {
            *other == market && self.streams.get(other).is_some_and(|streams| streams[*index].kind == kind)
        };
        self.snapshots.retain(|snapshot| !is_stream(snapshot));
        for want in self.wants.iter_mut().filter(|want| want.kind == kind) {
            want.codes.retain(|named| named.split('.').next() != Some(code));
        }
        self.wants.retain(|want| !want.codes.is_empty());
    }

    pub fn markets(&self) -> impl Iterator<Item = usize> {
        self.streams.keys().copied()
    }

    /// Returns the live streams of `kind` in a market.
    pub fn live(&self, market: usize, kind: Kind) -> impl Iterator<Item = &Stream> {
        let streams = self.streams.get(&market).map_or(&[][..], Vec::as_slice);
        streams.iter().filter(move |stream| stream.live && stream.kind == kind)
    }

    pub fn has(&self, market: usize, kind: Kind) -> bool {
        self.streams.get(&market).is_some_and(|streams| streams.iter().any(|stream| stream.kind == kind))
    }

    /// The time at which the next snapshot is due.
    pub fn snapshot_due(&self) -> Option<u64> {
        self.snapshots.front().map(|(due, ..)| *due)
    }

    /// Takes the next snapshot that is due. Its stream is live from here on, unless only a snapshot was requested.
    pub fn take_snapshot(&mut self, now: u64) -> Option<(usize, Stream)> {
        let (_, market, index) = self.snapshots.pop_front_if(|(due, ..)| *due <= now)?;
        let stream = self.streams.get_mut(&market)?.get_mut(index)?;
        stream.live = stream.delivery == Delivery::Both;
        Some((market, *stream))
    }
}

/// Splits a code into the market's code and the number of order-book units that it requests.
fn split(kind: Kind, code: &str, dialect: Dialect) -> (&str, usize) {
    if kind == Kind::Orderbook { dialect.split_units(code) } else { (code, 0) }
}
