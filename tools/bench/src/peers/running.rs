//! A client that runs on a thread of its own, and the strategy's end of it.

use std::io::{self, Write};
use std::thread::{self, JoinHandle};

use hoga_cli::rounds::Error;

use super::update::Update;
use crate::cpu::pin_here;
use crate::stack::Strategy;

/// What brings updates to the strategy. The client ends when it is dropped.
pub trait Queue: 'static {
    /// The next update; none if nothing waits.
    fn next(&mut self) -> Option<Update>;

    /// Updates that it could not hold, so far.
    fn missed(&self) -> u64;
}

/// A client at work.
pub struct Running<Q> {
    // Always there; taken only in `drop`.
    queue: Option<Q>,
    thread: Option<JoinHandle<io::Result<()>>>,
    has_delivered: bool,
}

impl<Q: Queue> Running<Q> {
    /// Runs `client` on a core.
    pub fn start(
        core: usize,
        queue: Q,
        client: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<Self, Error> {
        let run = move || {
            pin_here(core);
            client()
        };
        let thread = thread::Builder::new().name("peer".to_owned()).spawn(run)?;
        Ok(Self { queue: Some(queue), thread: Some(thread), has_delivered: false })
    }
}

impl<Q> Running<Q> {
    /// The strategy's end.
    #[inline]
    pub fn queue(&mut self) -> &mut Q {
        self.queue.as_mut().expect("taken only in drop")
    }
}

impl<Q: Queue> Strategy for Running<Q> {
    #[inline]
    fn poll(&mut self) -> Option<u64> {
        let update = self.queue().next()?;
        self.has_delivered = true;
        Some(update.timestamp())
    }

    fn missed(&self) -> u64 {
        self.queue.as_ref().map_or(0, Queue::missed)
    }
}

impl<Q> Drop for Running<Q> {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, it said so. In the end the feeder hangs up, which all of them call an error.
            if let Ok(Err(why)) = thread.join()
                && !self.has_delivered
            {
                let _ = writeln!(io::stderr(), "hoga-peers: a client ended: {why}");
            }
        }
    }
}
