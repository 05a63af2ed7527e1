//! Running engines over real loopback sockets, against the simulated exchange or a scripted one.

#![allow(clippy::duplicate_mod, reason = "each program in examples/ has the same module for its exchange")]

mod bithumb;
mod callbacks;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod connect_ledger;
mod connections;
mod examples;
mod face;
mod feed_crowds;
mod feed_states;
mod feeds;
mod format_switch;
mod gaps;
mod late_tail;
mod latencies;
mod lifecycle;
#[cfg(feature = "rest")]
mod market_list;
mod panics;
mod proxies;
mod refused_messages;
mod refused_requests;
#[cfg(feature = "rest")]
mod rest;
mod scenarios;
mod scripted;
mod simple;
mod subscription_modes;
mod subscription_races;
mod universe;

#[global_allocator]
static ALLOCATOR: hoga_testing::allocations::Counting = hoga_testing::allocations::Counting;
