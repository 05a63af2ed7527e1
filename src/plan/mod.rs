//! Turns demand into one request per connection, and sends nothing itself.
//!
//! At Upbit, a request replaces everything that its connection carried before, so each request is planned for the whole
//! connection. The [`Planner`] counts demand, collects changes for a short time (the window), and creates a
//! [`DesiredSet`] for each connection: all the streams that it must carry, and which of them run already and need no
//! new snapshot. Only [`request()`] and [`list_request()`] write request text. A
//! [`Universe`] is the set of markets that exist; the [`MarketList`] decides what a source's answers change in it.

mod client;
mod conflict;
mod connection_plan;
mod demand;
mod desired_set;
mod list_check;
mod market_list;
mod placement;
mod planner;
mod rebuild;
mod refusal_search;
mod refusals;
mod request;
mod revise;
mod stats;
mod stream_set;
mod stream_spec;
mod subscription;
mod universe;

pub use client::{ClientId, ClientStatus, Heartbeat};
pub use conflict::{Conflict, ConflictKind, ConflictLog, ConflictSubject};
pub use connection_plan::Confirmation;
pub use demand::DemandId;
pub use desired_set::{DesiredSet, Running};
pub use list_check::ListDifference;
pub use market_list::MarketList;
pub use placement::Placement;
pub use planner::{Admitted, Decisions, DemandChange, Planner, Refused, Relisted};
pub use request::{list_request, request};
pub use stats::{PlanStats, Revisions};
pub use stream_set::StreamSet;
pub use stream_spec::{Depth, Mode, StreamSpec};
pub use subscription::*;
pub use universe::Universe;
