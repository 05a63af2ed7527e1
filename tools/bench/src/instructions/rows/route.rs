//! A decoded ticker on its way to all its readers: the pool, one feed with its own queue, and 1000 feeds on a broadcast
//! ring. One clock read counts, too; under valgrind it is a system call, because there is no vDSO.

use hoga::engine::TickerRoutes;
use hoga::feed::Overflow;
use hoga::model::Ticker;
use hoga_bench::counting::Work;

use super::{RECEIPT, Row, decode, pool};

const SHARED_READERS: usize = 1000;
/// Messages in one read of the socket.
const BATCH: usize = 16;

pub fn row() -> Row {
    let times = pool::markets().count();
    Row::new("route ticker to the pool, 1 feed and 1000 shared readers", times, Routing::new)
}

struct Routing {
    tickers: Vec<Ticker>,
    routes: TickerRoutes,
    routed: u64,
}

impl Routing {
    fn new() -> Self {
        let tickers: Vec<_> = pool::markets().map(|market| Ticker { market, ..decode::ticker() }).collect();
        let markets: Vec<_> = pool::markets().collect();
        // The warm-up run needs room, too.
        let own = Overflow::DropNewest { capacity: 2 * markets.len() };
        let shared = std::iter::repeat_n(Overflow::DropOldest, SHARED_READERS);
        let routes = TickerRoutes::new(&markets, [own].into_iter().chain(shared));
        Self { tickers, routes, routed: 0 }
    }
}

impl Work for Routing {
    fn prepare(&mut self) {
        for feed in self.routes.feeds() {
            let counts = feed.counts();
            assert_eq!((counts.received, counts.dropped), (self.routed, 0), "every feed must receive every update");
        }
        self.routed += self.tickers.len() as u64;
    }

    fn run(&mut self) {
        for batch in self.tickers.chunks_mut(BATCH) {
            for ticker in &mut *batch {
                ticker.timestamp += 1;
            }
            self.routes.deliver(RECEIPT, batch);
        }
    }
}
