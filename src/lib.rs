//! hoga (호가, the quote): a market-data engine for the Upbit WebSocket API.

pub mod model;
