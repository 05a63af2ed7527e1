//! Builder, engine and connection threads: the only room that knows all others.

mod attribution;
mod bench;
mod builder;
mod callback;
mod client;
mod connection;
mod control;
#[cfg(all(test, not(loom)))]
mod dialogues;
mod dispatcher;
mod feed;
mod join;
mod lifecycle;
mod log;
mod open_feeds;
mod reports;
mod route;
mod router;
mod running;
mod shutdown;
mod status;
mod subscribed;
mod threads;

pub use attribution::Attribution;
#[doc(hidden)]
pub use bench::TickerRoutes;
pub use builder::Builder;
pub use callback::{Answer, Callback, CallbackBuilder, CallbackStatus};
pub use client::Client;
pub use dispatcher::Dispatcher;
pub use feed::Feed;
pub use lifecycle::{Lifecycle, LifecycleEvent};
pub use running::Engine;
pub use shutdown::ShutdownReport;
pub use status::{ConnectionStatus, EngineState, FeedStatus};
pub use subscribed::Subscribed;
