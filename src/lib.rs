//! hoga (호가, the quote): a market-data engine for the Upbit WebSocket API.

pub mod engine;
pub mod feed;
pub mod model;
mod net;
mod plan;
pub mod pool;
mod session;
pub mod sync;
pub mod wire;
pub mod ws;
