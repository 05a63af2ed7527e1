//! The exchange's REST interface. ureq speaks HTTP; TCP, the proxy and TLS are in `connect`.

mod connect;
mod rest_markets;

pub use rest_markets::RestMarkets;
