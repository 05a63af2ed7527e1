//! What the process grows by when an engine is asked for more. Measured before anything else has used the heap: what
//! was freed there would be used again, unseen.

use hoga::engine::Engine;
use hoga::model::Market;
use hoga_cli::rounds::Error;

use super::crowd::{settle, start};
use crate::memory::{resident, tickers};
use crate::serving::multi_server::MultiServer;

/// An engine, and tickers of as many markets as it may be asked for.
pub struct Growing {
    server: MultiServer,
    engine: Engine,
    markets: Vec<Market>,
}

impl Growing {
    /// Nothing is subscribed yet.
    pub fn start(markets: usize, core: usize) -> Result<Self, Error> {
        let traffic = tickers(markets)?;
        let parse = |(_, code): &(String, String)| code.parse().map_err(|e| Error::failed(code, e));
        let markets = traffic.streams.iter().map(parse).collect::<Result<_, _>>()?;
        let server = MultiServer::bind(true, traffic)?;
        let engine = start(&server, 1, core)?;
        Ok(Self { server, engine, markets })
    }

    /// Asks the engine for something, and waits until it has come: what asked for it, and the memory of the process
    /// then, in bytes; 0 where the system does not say.
    pub fn ask<T>(&mut self, ask: impl FnOnce(&Engine, &[Market]) -> hoga::Result<T>) -> Result<(T, f64), Error> {
        let asked = ask(&self.engine, &self.markets).map_err(|e| Error::failed("the engine", e))?;
        settle(&mut self.server, &self.engine, 0)?;
        Ok((asked, resident().unwrap_or_default() as f64))
    }
}
