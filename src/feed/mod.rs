//! Feeds: each delivers updates to one reader, in order, and its overflow policy decides which ones are kept. No reader
//! slows the socket.
//!
//! A feed has one writing end on each connection's thread, and one reading end. Its [`Overflow`] policy decides what
//! happens to updates that are not read in time, and picks the parts: a ring that only this feed uses (`queue`), a
//! cursor into a ring that all readers share (`broadcast`), or the newest values of changed streams (`conflate`).

mod any_writer;
mod broadcast;
mod conflate;
mod counters;
mod epoch_tracker;
mod failure_quota;
mod filter;
mod history;
mod item;
mod latency;
mod merge;
mod offline;
mod overflow;
mod queue;
mod reader;
mod source;
mod writer;

pub(crate) use any_writer::AnyWriter;
pub use broadcast::{BroadcastStream, Broadcaster, JoinedStream, broadcast};
pub use counters::{FeedCounters, FeedCounts};
pub(crate) use failure_quota::FailureQuota;
pub use failure_quota::{CallbackState, FAILURE_QUOTA};
pub use filter::{Arrival, Filter};
pub use history::History;
pub use item::{Item, Payload, Update};
pub use latency::{Latencies, Latency};
pub use offline::{Abandoned, BlockingWriter, blocking};
pub use overflow::{InvalidOverflow, Overflow};
pub use queue::ring_bytes;
pub use reader::{Feed, Opening, open};
pub use writer::{FeedWriter, Mark};
