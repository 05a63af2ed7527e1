//! Tests of a session's promises, as dialogues with a scripted peer.

mod addresses;
mod demand;
mod disconnects;
mod opening;
mod patience;
mod protocol;
mod proxy;
mod reconfigure;
mod recovery;
mod refusals;
mod refused_requests;
mod reports;

use super::testing::{Harness, config};
use super::{Event, State};
use crate::config::{Config, Endpoint};

fn named(url: &str) -> Config {
    Config { endpoint: Endpoint::custom(url).unwrap(), ..config() }
}

fn states(harness: &Harness) -> Vec<State> {
    harness.events.iter().filter_map(|e| if let Event::State { to, .. } = e { Some(*to) } else { None }).collect()
}
