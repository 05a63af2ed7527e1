//! What may be tuned: meaning, default, and the cost of going either way. One file per knob or group of knobs.

mod backoff;
mod connect_ledger;
mod dialect;
mod endpoint;
mod format;
mod keep_alive;
mod limits;
mod pacing;
mod timeouts;
mod wait;

pub use backoff::Backoff;
pub use connect_ledger::ConnectLedger;
pub use dialect::{BITHUMB, Dialect, UPBIT, UPBIT_INDONESIA};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use format::{FormatChoice, FormatCosts, FormatRule, ReadCosts};
pub use keep_alive::KeepAlive;
pub use limits::Limits;
pub use pacing::Pacing;
pub use timeouts::Timeouts;
pub use wait::Wait;
