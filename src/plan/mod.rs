//! Turns demand into one request per connection. Knows Upbit's overwrite rule; sends nothing itself.
//!
//! A request replaces everything that its connection carried before, so the only unit here is the whole connection. The
//! [`Planner`] counts who wants what, gathers changes for a moment, and gives each connection a [`Wish`]: all that it
//! shall carry, and what of that runs already and needs no new snapshot. [`request`] is the one place that writes
//! request text.

mod client;
mod conflict;
mod demand;
mod dialect;
mod line;
mod line;
mod pattern;
mod placement;
mod placement;
mod planner;
mod planner;
mod request;
mod stats;
mod stream_set;
mod subscription;
