//! A client on its own thread, and the strategy's end of it.

use std::io::{self, Write};
use std::thread::{self, JoinHandle};

use hoga_cli::rounds::Error;

use super::update::Update;
use crate::cpu::pin_here;
use crate::stack::Strategy;

/// The queue from a client to the strategy. Dropping it ends the client.
pub trait Queue: 'static {
    /// Returns the next update, or `None` if the queue is empty.
    fn next(&mut self) -> Option<Update>;

    /// Returns the number of updates so far that did not fit into the queue.
    fn missed(&self) -> u64;
}

/// A running client.
pub struct Running<Q> {
    // Always `Some`, except during `drop`.
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
    /// Returns the strategy's end.
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
            // If the thread panicked, the panic was printed. At the end the feeder closes the connection, which all
            // clients report as an error.
            if let Ok(Err(why)) = thread.join()
                && !self.has_delivered
            {
                let _ = writeln!(io::stderr(), "hoga-bench: a client ended: {why}");
            }
        }
    }
}
