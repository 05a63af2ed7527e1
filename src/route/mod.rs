//! Delivers a connection's decoded messages to the pool and to the feeds that read each stream. Runs on the
//! connection's thread, and knows nothing of threads, sockets or the control plane.

mod attribution;
mod join;
mod open_feeds;
mod route;
mod router;

pub use attribution::Attribution;

pub(crate) use attribution::{AttributionReader, attribution};
pub(crate) use open_feeds::{AnyRing, NewFeed, OpenFeed, new_ring};
pub(crate) use route::Request;
pub(crate) use router::{AnyPublisher, Router};
