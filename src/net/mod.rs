//! All system calls: event loop, sockets, TLS, name look-ups, clock, and the ledger file that processes share. Makes no
//! decisions.

mod affinity;
mod clock;
mod entropy;
mod ledger;
mod markets;
mod reactor;
mod resolve;
#[cfg(feature = "rest")]
mod rest;
mod socket;
mod socket_table;
mod tls;
mod transport;

pub use affinity::{is_available, pin};
pub use clock::SystemClock;
pub use entropy::SystemEntropy;
pub use ledger::{DialLedger, LedgerWarning};
pub use markets::{MarketSource, SourceError, SourceFailure};
pub use reactor::{Handler, Reactor, Remote};
pub use resolve::{Resolve, SystemResolver};
#[cfg(feature = "rest")]
pub use rest::RestMarkets;
#[doc(hidden)]
pub use tls::Tls;
pub use tls::{InvalidRoots, TlsConfig};
