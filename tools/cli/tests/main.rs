//! Runs the `hoga` command as users do.

mod bench;
mod common;
mod demo;
mod exchange;
mod formats;
mod life;
mod network;
mod options;
mod output;
mod overflow;
mod recordings;
mod refused;
mod values;
