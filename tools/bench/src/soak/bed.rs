//! The exchange, the proxy in front of it, and the engine that must recover, in one process over TLS on loopback.

use std::time::Duration;

use hoga::config::{ConnectLedger, Endpoint};
use hoga::engine::Engine;
use hoga::model::{Epoch, Event, Interval};
use hoga::plan::{Subscription, candle, orderbook, ticker, trade};
use hoga_cli::exit::Failure;
use hoga_exchange::{Config, Fault, Server, ServerConfig};

use crate::proxy::Proxy;

/// Multiplies the exchange's usual rates.
const SPEED: f64 = 10.0;
pub const CONNECTIONS: usize = 2;
const READY: Duration = Duration::from_secs(60);

pub struct Bed {
    pub engine: Engine,
    pub proxy: Proxy,
    pub server: Server,
    /// All markets, the busiest first.
    pub markets: Vec<String>,
}

/// Counts of all connections together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sums {
    /// Data objects received.
    pub data: u64,
    /// Those of streams that their socket was no longer asked for.
    pub unrouted: u64,
    pub disconnects: u64,
}

impl Bed {
    pub fn start(seed: u64, markets: usize) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::Failed(format!("the simulated exchange could not start: {e}"));
        let exchange = Config { seed, markets, speed: SPEED, received_kept: 0, ..Config::default() };
        let server = Server::start(ServerConfig { exchange, ..ServerConfig::default() }).map_err(failed)?;
        let proxy = Proxy::start(server.address()).map_err(failed)?;
        let url = format!("wss://{}/websocket/v1", proxy.address());
        let endpoint = Endpoint::custom(&url).map_err(hoga::Error::from)?;
        let engine = Engine::builder()
            .endpoint(endpoint)
            .root_certificates(server.ca_pem())
            .connect_ledger(ConnectLedger::Process)
            .connections(CONNECTIONS)
            .start()?;
        let markets = server.markets();
        Ok(Self { engine, proxy, server, markets })
    }

    /// Returns all streams of all markets.
    pub fn everything(&self) -> Subscription<Event> {
        let markets = &self.markets;
        ticker(markets).and(trade(markets)).and(orderbook(markets)).and(candle(Interval::Second1, markets))
    }

    pub fn wait_ready(&self) -> Result<(), Failure> {
        Ok(self.engine.wait_ready(READY)?)
    }

    pub fn inject(&self, fault: Fault) {
        self.server.inject(fault);
    }

    /// Returns the number of each connection's newest socket.
    pub fn epochs(&self) -> Vec<Epoch> {
        self.engine.connections().iter().map(|connection| connection.epoch).collect()
    }

    pub fn sums(&self) -> Sums {
        self.engine.connections().iter().fold(Sums::default(), |sums, connection| Sums {
            data: sums.data + connection.counters.data,
            unrouted: sums.unrouted + connection.unrouted,
            disconnects: sums.disconnects + connection.counters.disconnects,
        })
    }
}
