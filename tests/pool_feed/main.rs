//! Pool and feeds without an engine: each test takes the place of the connection and the clock.

mod broadcast_stress;
mod feed_account;
mod feed_alloc;
mod feed_conflate;
mod feed_follow;
mod feed_history;
mod feed_offline;
mod feed_queue;
mod feed_sockets;
mod pool_alloc;
mod pool_gate;
mod pool_instant;
mod pool_reading;
mod pool_stress;
mod pool_times;
#[path = "../common/samples.rs"]
mod samples;
mod support;

#[global_allocator]
static ALLOCATOR: hoga_testing::allocations::Counting = hoga_testing::allocations::Counting;
