//! The exchange, the proxy in front of it, and the engine that must recover, in one process over TLS on loopback.

use std::time::Duration;

use hoga::config::{ConnectLedger, Endpoint};
use hoga::engine::Engine;
use hoga::model::{DataType, Epoch, Event, Interval, StreamKey};
use hoga::plan::{Subscription, candle, orderbook, ticker, trade};
use hoga_cli::exit::Failure;
use hoga_exchange::{Config, Fault, Server, ServerConfig};

use crate::proxy::Proxy;

const READY: Duration = Duration::from_secs(60);

pub struct Bed {
    pub engine: Engine,
    pub proxy: Proxy,
    pub server: Server,
    /// All markets, the busiest first.
    pub markets: Vec<String>,
}

/// The size of a bed.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub seed: u64,
    pub markets: usize,
    /// Multiplies the exchange's usual rates.
    pub speed: f64,
    pub connections: usize,
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
    pub fn start(size: Size) -> Result<Self, Failure> {
        let failed = |e: std::io::Error| Failure::Failed(format!("the simulated exchange could not start: {e}"));
        let Size { seed, markets, speed, connections } = size;
        let exchange = Config { seed, markets, speed, received_kept: 0, ..Config::default() };
        let server = Server::start(ServerConfig { exchange, ..ServerConfig::default() }).map_err(failed)?;
        let proxy = Proxy::start(server.address()).map_err(failed)?;
        let url = format!("wss://{}/websocket/v1", proxy.address());
        let endpoint = Endpoint::custom(&url).map_err(hoga::Error::from)?;
        let engine = Engine::builder()
            .endpoint(endpoint)
            .root_certificates(server.ca_pem())
            .connect_ledger(ConnectLedger::Process)
            .connections(connections)
            .start()?;
        let markets = server.markets();
        Ok(Self { engine, proxy, server, markets })
    }

    /// Returns all streams of all markets.
    pub fn everything(&self) -> Subscription<Event> {
        let markets = &self.markets;
        ticker(markets).and(trade(markets)).and(orderbook(markets)).and(candle(Interval::Second1, markets))
    }

    /// Returns a market; 0 is the busiest.
    pub fn market(&self, place: usize) -> String {
        self.markets.get(place).cloned().unwrap_or_default()
    }

    /// Returns the order book of a market. Those of the first markets change several times a second.
    pub fn book(&self, place: usize) -> Option<StreamKey> {
        self.market(place).parse().ok().map(|market| StreamKey::of(DataType::Orderbook, market))
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
