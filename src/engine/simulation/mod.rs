//! Runs a whole engine under virtual time, in one thread and from a seed: planner, hub, sessions, router, pool and
//! feeds as the engine assembles them, against the core of the simulated exchange. Uses no thread, no socket and no
//! real clock.
//!
//! A test creates a [`World`], opens feeds and subscribes as a program would, injects faults, and lets time pass.
//! [`World::read`] reads every feed and compares what it delivers with what arrived on the sockets. [`World::settle`]
//! waits until every wanted stream is live, and checks that nothing is missing or outdated at the end.
//!
//! ```text
//! let mut world = World::new(7, Builder::default().connections(3), hoga_exchange::Config::default());
//! let feed = world.feed(trade(["KRW-BTC"]), Overflow::DROP_NEWEST);
//! world.run(Duration::from_secs(3));
//! world.inject(Fault::DropAll);
//! world.settle();
//! world.drop_feed(feed);
//! ```
//!
//! A failing scenario prints its seed. The judge prints what arrived of the stream and what the feed did, in order.

mod gaps;
mod health;
mod independence;
mod interference;
mod judge;
mod network;
mod outages;
mod peer;
mod random;
mod scenarios;
mod silence;
mod world;

use network::Network;
use random::Random;
use world::World;
