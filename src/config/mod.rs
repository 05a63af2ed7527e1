//! The settings of an engine: what each means, its default, and what a higher or lower value costs.
//!
//! [`Config`] holds all settings that are plain data and checks them together. Larger settings have a file each.

mod backoff;
mod config;
mod connect_ledger;
mod dialect;
mod endpoint;
mod format;
mod headers;
mod keep_alive;
mod limits;
mod no_proxy;
mod pacing;
mod problems;
mod proxy;
mod roots;
mod timeouts;
mod wait;

pub use backoff::Backoff;
pub use config::Config;
pub use connect_ledger::ConnectLedger;
pub use dialect::{BITHUMB, Dialect, UPBIT, UPBIT_INDONESIA};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use format::{FormatChoice, FormatCosts, FormatRule, ReadCosts};
pub use headers::Headers;
pub use keep_alive::KeepAlive;
pub use limits::Limits;
pub use pacing::Pacing;
pub use proxy::{InvalidProxy, Proxy, ProxyProtocol};
pub(crate) use roots::BaseRoots;
pub use roots::Roots;
pub use timeouts::Timeouts;
pub use wait::Wait;
