//! The engine: its builder, its threads and the handles that programs hold. The only room that may import all others.

mod assembly;
mod builder;
mod callbacks;
mod client;
mod connection;
mod control;
#[cfg(all(test, not(loom)))]
mod dialogues;
mod engine;
mod feed;
mod handles;
mod health;
mod hub;
mod lifecycle;
mod log;
mod mailbox;
mod market_list;
mod readiness;
mod reconfigure;
mod reports;
mod shutdown;
#[cfg(all(test, not(loom)))]
mod simulation;
mod status;
mod stream_watch;
mod subscribed;
mod threads;
mod ticker_routes;

pub use builder::Builder;
pub use callbacks::CallbackBuilder;
pub use client::Client;
pub use engine::Engine;
pub use feed::Feed;
pub use health::{EngineHealth, EngineProblem, HealthLevel};
pub use lifecycle::{Lifecycle, LifecycleEvent};
pub use market_list::MarketListStatus;
pub use shutdown::ShutdownReport;
pub use status::{ConnectionStatus, EngineState, FeedStatus, NetworkStatus};
pub use subscribed::Subscribed;
#[doc(hidden)]
pub use ticker_routes::TickerRoutes;
