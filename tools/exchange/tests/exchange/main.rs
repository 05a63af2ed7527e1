//! Tests the simulated exchange: its core under a clock that the test controls, and its server over real sockets.

mod bithumb;
mod chaos;
mod common;
mod dialogue;
mod market;
mod objects;
mod replay;
mod requests;
mod rest;
mod server;
