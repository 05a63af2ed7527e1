//! hoga (호가, the quote): a market-data engine for the Upbit WebSocket API.

pub mod config;
pub mod engine;
pub mod feed;
pub mod model;
mod net;
pub mod plan;
pub mod pool;
pub mod session;
pub mod sync;
pub mod wire;
pub mod ws;
