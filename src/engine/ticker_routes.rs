//! Gives benchmarks access to the part of the engine between decoding and readers. Opens no socket and starts no
//! thread. Not part of the API.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::UPBIT;
use crate::feed::{AnyWriter, Feed, Opening, Overflow, open};
use crate::model::{Clock, ConnectionId, DataType, Epoch, Market, NounKind, Placed, Receipt, Sink, StreamKey, Ticker};
use crate::net::SystemClock;
use crate::plan::{DemandId, StreamSet, StreamSpec};
use crate::pool::{self, DataPool};
use crate::route::{NewFeed, Request, Router, new_ring};
use crate::sync::connection::ConnectionState;

/// The router of a connection that carries tickers, with its pool and feeds.
pub struct TickerRoutes {
    router: Router<SystemClock>,
    pool: DataPool,
    feeds: Vec<Feed<Ticker>>,
}

impl TickerRoutes {
    /// Creates a router that delivers the tickers of `markets` to a pool and to one feed for each of `policies`. Every
    /// feed reads all markets.
    pub fn new(markets: &[Market], policies: impl IntoIterator<Item = Overflow>) -> Self {
        let clock = SystemClock::new();
        let pool = pool::empty(Arc::new(clock), DataPool::STALE_AFTER);
        let connections = [Arc::new(ConnectionState::new(ConnectionId(0), clock.now()))];
        connections[0].opened(Epoch(1), clock.now(), None);
        let mut router = Router::new(clock, pool::waiters(&pool), &UPBIT, None);
        let key = |market: &Market| StreamKey::of(DataType::Ticker, *market);
        let specs: Vec<_> = markets.iter().map(|market| StreamSpec::all(key(market))).collect();
        for spec in &specs {
            router.add_stream(Ticker::into_any(pool::open(&pool, spec.key, connections[0].clone())));
        }
        let (streams, running) = (specs.iter().copied().collect::<StreamSet>(), BTreeSet::new());
        router.requested(&Request { at: clock.now(), epoch: Epoch(1), streams: &streams, running: &running });
        router.add_ring(new_ring(NounKind::Ticker, Overflow::CAPACITY));
        let mut feeds = Vec::new();
        for (id, overflow) in (1..).zip(policies) {
            let (writers, feed) = open(Opening {
                overflow,
                data_types: &[DataType::Ticker],
                connections: &connections,
                clock: Arc::new(clock),
                signal: Arc::default(),
            });
            for writer in writers {
                router.add_feed(NewFeed { id: DemandId(id), specs: specs.clone(), writer: AnyWriter::new(writer) });
            }
            feeds.push(feed);
        }
        Self { router, pool, feeds }
    }

    /// Delivers a batch of decoded messages, as the connection's thread does. Not generic, so that it is compiled with
    /// the library, as the connection's thread is.
    #[inline(never)]
    pub fn deliver(&mut self, receipt: Receipt, batch: &[Ticker]) {
        for ticker in batch {
            self.router.deliver(receipt, ticker);
        }
        self.router.flush_feeds();
    }

    /// Returns the pool with the newest values.
    pub fn pool(&self) -> &DataPool {
        &self.pool
    }

    /// Returns the feeds, in the order of their policies.
    pub fn feeds(&mut self) -> &mut [Feed<Ticker>] {
        &mut self.feeds
    }
}
