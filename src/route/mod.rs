//! The data plane of a connection: from a decoded message to the pool and to the feeds that read its stream. It runs on the
//! connection's thread, and knows neither threads, sockets nor the control plane.

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
