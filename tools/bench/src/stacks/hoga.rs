//! hoga through its public API: an engine, its pool, and one feed that the strategy polls.

use std::time::Duration;

use hoga::config::{self, ConnectLedger, Limits};
use hoga::engine::{Engine, Feed};
use hoga::feed::Payload;
use hoga::feed::{Item, Overflow};
use hoga::model::Market;
use hoga::plan::{self, Subscription};
use hoga_cli::rounds::Error;

use crate::stack::{Endpoint, Stack, Strategy, Wait, Want};

/// How long the engine may take to stop.
const DEADLINE: Duration = Duration::from_millis(500);

/// An engine with one connection, pinned to the endpoint's core.
#[derive(Debug, Clone, Copy)]
pub struct Hoga {
    wait: Wait,
    measures: bool,
}

impl Hoga {
    /// Creates a client whose thread waits in this way.
    pub const fn new(wait: Wait) -> Self {
        Self { wait, measures: false }
    }

    /// Creates a client that also records latencies.
    pub const fn measuring(wait: Wait) -> Self {
        Self { wait, measures: true }
    }
}

impl Stack for Hoga {
    fn start(&self, endpoint: &Endpoint) -> Result<Box<dyn Strategy>, Error> {
        // A feed of one type delivers values of that type; a feed of several types delivers events.
        match endpoint.wants.as_slice() {
            [one] if one.data_type == "ticker" => self.follow(endpoint, plan::ticker(markets(one)?)),
            [one] if one.data_type == "trade" => self.follow(endpoint, plan::trade(markets(one)?)),
            [one] if one.data_type == "orderbook" => self.follow(endpoint, orderbook(one)?),
            several => self.follow(endpoint, mixed(several)?),
        }
    }
}

impl Hoga {
    fn follow<T: Payload>(&self, endpoint: &Endpoint, wanted: Subscription<T>) -> Result<Box<dyn Strategy>, Error> {
        let failed = |e: hoga::Error| Error::failed("the engine", e);
        let exchange = config::Endpoint::custom(&endpoint.url).map_err(|e| Error::failed(&endpoint.url, e))?;
        let wait = match self.wait {
            Wait::Park => config::Wait::Park,
            Wait::Spin => config::Wait::Spin,
            Wait::SpinThenPark(time) => config::Wait::SpinThenPark(time),
        };
        let engine = Engine::builder()
            .endpoint(exchange)
            .connect_ledger(ConnectLedger::Process)
            // The feeder has no limits, and every turn opens a new connection.
            .limits(Limits { connects_per_second: 1_000, ..Limits::default() })
            .root_certificates(endpoint.certificate_pem.as_str())
            .wait(wait)
            .measure_latencies(self.measures)
            .pin([endpoint.core])
            .start()
            .map_err(failed)?;
        let feed = engine.feed(wanted, Overflow::DropOldest).map_err(failed)?;
        Ok(Box::new(Following { engine, feed, missed: 0 }))
    }
}

fn markets(want: &Want) -> Result<Vec<Market>, Error> {
    let market = |code: &String| {
        let code = code.split('.').next().unwrap_or_default();
        code.parse().map_err(|e| Error::failed(code, e))
    };
    want.codes.iter().map(market).collect()
}

fn orderbook(want: &Want) -> Result<Subscription<hoga::model::Orderbook>, Error> {
    let books = plan::orderbook(markets(want)?);
    let depth = want.codes.first().and_then(|code| code.split_once('.')?.1.parse().ok());
    Ok(match depth {
        Some(depth) => books.levels(depth),
        None => books,
    })
}

fn mixed(wants: &[Want]) -> Result<Subscription, Error> {
    let mut all: Option<Subscription> = None;
    for want in wants {
        let one = match want.data_type.as_str() {
            "ticker" => plan::ticker(markets(want)?).mixed(),
            "trade" => plan::trade(markets(want)?).mixed(),
            "orderbook" => orderbook(want)?.mixed(),
            other => return Err(Error::Failed(format!("{other} is not supported"))),
        };
        all = Some(match all {
            Some(all) => all.and(one),
            None => one,
        });
    }
    all.ok_or_else(|| Error::Failed("there is nothing to subscribe to".to_owned()))
}

struct Following<T: Payload> {
    engine: Engine,
    feed: Feed<T>,
    missed: u64,
}

impl<T: Payload> Strategy for Following<T> {
    #[inline]
    fn poll(&mut self) -> Option<u64> {
        loop {
            match self.feed.pop()? {
                Item::Data(update) => return Some(update.stamps.exchange_ms),
                Item::Gap { missed } => self.missed += missed,
                Item::Epoch { .. } => {}
            }
        }
    }

    fn missed(&self) -> u64 {
        self.missed
    }
}

impl<T: Payload> Drop for Following<T> {
    fn drop(&mut self) {
        // The measurement is over; queued updates do not matter.
        let _ = self.engine.shutdown(DEADLINE);
    }
}
