//! The common parts of both tokio clients: a current-thread runtime on the endpoint's core, a DashMap of the newest
//! values, and a broadcast channel.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use dashmap::DashMap;
use futures_util::future::select;
use hoga_cli::rounds::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::broadcast::{self, Receiver, Sender, error::TryRecvError};
use tokio_rustls::TlsConnector;

use super::message::{Code, Orderbook, Ticker, Trade};
use super::running::{Queue, Running};
use super::update::Update;
use super::{CAPACITY, authority, tls};
use crate::stack::{Endpoint, Stack, Strategy};

/// A WebSocket client on tokio. Its thread parks, as all runtimes do.
#[derive(Debug, Clone, Copy)]
pub struct Tokio<C>(pub C);

/// Opens a WebSocket over a connected socket and passes every message to the hub.
pub trait Client: Copy + Send + 'static {
    /// Returns when the other side closes the connection.
    fn follow<S>(&self, socket: S, endpoint: &Endpoint, hub: &Hub) -> impl Future<Output = io::Result<()>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send;
}

/// The destinations of updates.
pub struct Hub {
    newest: Newest,
    updates: Sender<Update>,
}

/// The newest value of every stream.
#[derive(Default)]
struct Newest {
    tickers: DashMap<Code, Arc<Ticker>>,
    trades: DashMap<Code, Arc<Trade>>,
    orderbooks: DashMap<Code, Arc<Orderbook>>,
}

impl Hub {
    /// Stores an update as the newest of its stream and passes it to the strategy.
    #[inline]
    pub fn publish(&self, update: Update) {
        match &update {
            Update::Ticker(ticker) => drop(self.newest.tickers.insert(ticker.code, ticker.clone())),
            Update::Trade(trade) => drop(self.newest.trades.insert(trade.code, trade.clone())),
            Update::Orderbook(book) => drop(self.newest.orderbooks.insert(book.code, book.clone())),
        }
        // An error means that the strategy is gone; then the client ends, too.
        let _ = self.updates.send(update);
    }
}

impl<C: Client> Stack for Tokio<C> {
    fn start(&self, endpoint: &Endpoint) -> Result<Box<dyn Strategy>, Error> {
        Ok(Box::new(self.open(endpoint)?))
    }
}

impl<C: Client> Tokio<C> {
    /// Starts the client.
    pub fn open(&self, endpoint: &Endpoint) -> Result<Running<Channel>, Error> {
        let (updates, receiver) = broadcast::channel(CAPACITY);
        let hub = Hub { newest: Newest::default(), updates };
        let (client, endpoint) = (self.0, endpoint.clone());
        Running::start(endpoint.core, Channel { receiver, missed: 0 }, move || {
            let runtime = Builder::new_current_thread().enable_io().build()?;
            runtime.block_on(async {
                let strategy_left = pin!(hub.updates.closed());
                select(pin!(connect(client, &endpoint, &hub)), strategy_left).await;
            });
            Ok(())
        })
    }
}

async fn connect(client: impl Client, endpoint: &Endpoint, hub: &Hub) -> io::Result<()> {
    let socket = TcpStream::connect(authority(endpoint)).await?;
    socket.set_nodelay(true)?;
    if !endpoint.is_secure() {
        return client.follow(socket, endpoint, hub).await;
    }
    let connector = TlsConnector::from(tls::config(endpoint)?);
    client.follow(connector.connect(tls::server_name(), socket).await?, endpoint, hub).await
}

/// The strategy's end of the broadcast channel.
pub struct Channel {
    receiver: Receiver<Update>,
    missed: u64,
}

impl Queue for Channel {
    #[inline]
    fn next(&mut self) -> Option<Update> {
        loop {
            match self.receiver.try_recv() {
                Ok(update) => return Some(update),
                Err(TryRecvError::Lagged(missed)) => self.missed += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    fn missed(&self) -> u64 {
        self.missed
    }
}
