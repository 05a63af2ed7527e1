//! Builder, engine and connection threads: the only room that knows all others.

mod builder;
mod client;
mod connection;
mod control;
mod feed;
mod lifecycle;
mod router;
mod running;
mod shutdown;
mod status;
mod subscribed;
mod threads;

pub use builder::Builder;
pub use client::Client;
pub use feed::Feed;
pub use lifecycle::{Lifecycle, LifecycleEvent};
pub use running::Engine;
pub use shutdown::ShutdownReport;
pub use status::{ConnectionStatus, EngineState};
pub use subscribed::Subscribed;
