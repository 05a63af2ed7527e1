//! A simulated Upbit exchange for testing and demonstrating market-data clients. Shares no code with `hoga`.
//!
//! [`Exchange`] is the core: bytes and time go in, bytes and deadlines come out. It has no sockets, clock or threads,
//! and a seed makes it deterministic, so a test can run whole days against a client under virtual time. [`Server`]
//! serves it on a loopback port over TCP or TLS.
//!
//! ```no_run
//! use hoga_exchange::{Fault, Server, ServerConfig};
//!
//! let server = Server::start(ServerConfig::default())?;
//! println!("{} trusts {}", server.url(), server.ca_pem());
//! server.inject(Fault::Mute(true));
//! assert_eq!(server.stats().violations(), 0);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It behaves as measured on the real exchange where a measurement exists, and as documented elsewhere. Guesses are
//! marked in the code. Not simulated: permessage-deflate, which is never negotiated (a client that offers it continues
//! without it), and the authenticated endpoints, which answer 401.

#![forbid(unsafe_code)]

mod calendar;
mod config;
mod connection;
mod dialect;
mod exchange;
mod fault;
mod format;
mod frame;
mod limits;
mod log;
mod market;
mod message;
mod number;
mod outbox;
mod received;
mod recording;
mod refusal;
mod replay;
mod request;
mod rest;
mod rng;
mod server;
mod stats;
mod subscription;
mod upgrade;

pub use config::{Config, Pace};
pub use dialect::Dialect;
pub use exchange::{ConnId, Exchange, Flow, Observer};
pub use fault::Fault;
pub use format::Format;
pub use limits::Limits;
pub use log::{LogFailure, LogFile};
pub use received::Received;
pub use recording::{Content, Contents, Message, Recording};
pub use refusal::ErrorName;
pub use replay::Replay;
pub use server::{Server, ServerConfig};
pub use stats::Stats;
