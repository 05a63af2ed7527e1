//! Where decoded messages go. The lower rooms hand them up through this trait; the engine implements it.

use super::{Candle, ConnectionId, Epoch, Nanos, Orderbook, Ticker, Trade};

/// What is known about a frame before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// On which connection.
    pub connection: ConnectionId,
    /// On which of its sockets.
    pub epoch: Epoch,
    /// When its bytes were read from the socket.
    pub received: Nanos,
}

/// Takes decoded messages on the connection's thread. Implementations must not block, allocate in steady state or log.
pub trait Sink {
    /// A ticker arrived.
    fn ticker(&mut self, receipt: Receipt, ticker: &Ticker);
    /// A trade arrived.
    fn trade(&mut self, receipt: Receipt, trade: &Trade);
    /// An order book arrived.
    fn orderbook(&mut self, receipt: Receipt, orderbook: &Orderbook);
    /// A candle arrived.
    fn candle(&mut self, receipt: Receipt, candle: &Candle);
}
