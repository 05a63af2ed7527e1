//! An entrance for benchmarks to the part of the engine between decoding and readers. It opens no socket and starts no
//! thread. Not part of the API.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::open_feeds::{NewFeed, new_ring};
use super::route::Request;
use super::router::Router;
use crate::config::UPBIT;
use crate::feed::{AnyWriter, Feed, Opening, Overflow, Sockets, open};
use crate::model::{Clock, ConnectionId, DataType, Epoch, Market, NounKind, Placed, Sink, StreamKey, Ticker};
use crate::plan::{DemandId, StreamSet, Want};
use crate::pool::{DataPool, Link};

/// The router of a connection that carries tickers, with the pool and the feeds it delivers to.
pub struct TickerRoutes<C> {
    router: Router<C>,
    pool: DataPool,
    feeds: Vec<Feed<Ticker>>,
}

impl<C: Clock + Clone + 'static> TickerRoutes<C> {
    /// Routes the tickers of `markets` to a pool and to one feed for each of `policies`. Every feed reads all markets.
    pub fn new(clock: C, markets: &[Market], policies: impl IntoIterator<Item = Overflow>) -> Self {
        let pool = DataPool::new(Arc::new(clock.clone()));
        let link = Arc::new(Link::new(clock.now()));
        link.up(Epoch(1), clock.now());
        let mut router = Router::new(clock.clone(), pool.sleepers(), &UPBIT, None);
        let key = |market: &Market| StreamKey::of(DataType::Ticker, *market);
        let wants: Vec<_> = markets.iter().map(|market| Want::all(key(market))).collect();
        for want in &wants {
            router.add_stream(Ticker::into_any(pool.open(want.key, link.clone())));
        }
        let (streams, running) = (wants.iter().copied().collect::<StreamSet>(), BTreeSet::new());
        router.requested(&Request { at: clock.now(), epoch: Epoch(1), streams: &streams, running: &running });
        router.add_ring(new_ring(NounKind::Ticker, Overflow::CAPACITY));
        let sockets = [Arc::new(Sockets::new(ConnectionId(0)))];
        let mut feeds = Vec::new();
        for (id, overflow) in (1..).zip(policies) {
            let (writers, feed) = open(Opening {
                overflow,
                data_types: &[DataType::Ticker],
                sockets: &sockets,
                clock: Arc::new(clock.clone()),
                signal: Arc::default(),
            });
            for writer in writers {
                router.add_feed(NewFeed { id: DemandId(id), wants: wants.clone(), writer: AnyWriter::new(writer) });
            }
            feeds.push(feed);
        }
        Self { router, pool, feeds }
    }

    /// Takes decoded messages, as the connection's thread hands them on.
    pub fn sink(&mut self) -> &mut impl Sink {
        &mut self.router
    }

    /// Ends a batch of messages.
    pub fn batch_done(&mut self) {
        self.router.flush_feeds();
    }

    /// The pool that the newest values go to.
    pub fn pool(&self) -> &DataPool {
        &self.pool
    }

    /// The feeds, in the order of their policies.
    pub fn feeds(&mut self) -> &mut [Feed<Ticker>] {
        &mut self.feeds
    }
}
