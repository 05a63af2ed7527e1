//! The push side: every event in order, through a ring that can never slow the socket.

mod event;
mod ring;

pub use event::{Event, Item, Update};
pub use ring::{Feed, FeedCounts, FeedWriter, feed, feed_of};
