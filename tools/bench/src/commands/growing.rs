//! Measures how much the process grows when an engine gets more subscriptions. This must run before anything else has
//! used the heap: freed memory would be used again, and the growth would not show.

use hoga::engine::Engine;
use hoga::model::Market;
use hoga_bench::process::resident;
use hoga_cli::rounds::Error;

use super::crowd::{settle, start};
use crate::memory::tickers;
use crate::serving::multi_server::MultiServer;

/// An engine, and tickers of all markets that it may be asked for.
pub struct Growing {
    server: MultiServer,
    engine: Engine,
    markets: Vec<Market>,
}

impl Growing {
    /// Starts an engine without subscriptions.
    pub fn start(markets: usize, core: usize) -> Result<Self, Error> {
        let traffic = tickers(markets)?;
        let parse = |(_, code): &(String, String)| code.parse().map_err(|e| Error::failed(code, e));
        let markets = traffic.streams.iter().map(parse).collect::<Result<_, _>>()?;
        let server = MultiServer::bind(true, traffic)?;
        let engine = start(&server, 1, core)?;
        Ok(Self { server, engine, markets })
    }

    /// Subscribes to something, and waits until its data has arrived. Returns the subscription, and the memory of the
    /// process afterwards, in bytes; 0 if the system does not report it.
    pub fn ask<T>(&mut self, ask: impl FnOnce(&Engine, &[Market]) -> hoga::Result<T>) -> Result<(T, f64), Error> {
        let asked = ask(&self.engine, &self.markets).map_err(|e| Error::failed("the engine", e))?;
        settle(&mut self.server, &self.engine, 0)?;
        Ok((asked, resident().unwrap_or_default() as f64))
    }
}
