//! The result of a shutdown.

use super::ConnectionStatus;
use crate::error::{Error, Result};

/// The threads that ended, and those that did not.
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Threads that ended in time.
    pub joined: Vec<String>,
    /// Threads that were still running at the deadline.
    pub running: Vec<String>,
    /// Threads that had panicked.
    pub panicked: Vec<String>,
    /// The number of name lookups that still hang in the operating system's resolver, which cannot be interrupted.
    /// Their threads end when the resolver answers, and hold nothing of the engine.
    pub hanging_lookups: usize,
    /// True if the program's log did not accept the engine's last lines in time. The log thread ends when it does, and
    /// holds nothing else of the engine.
    pub hanging_log: bool,
    /// The final status of each connection, with exact counters.
    pub connections: Vec<ConnectionStatus>,
}

impl ShutdownReport {
    /// Returns an error if a thread panicked or did not end in time.
    pub fn into_result(self) -> Result<()> {
        if let Some(thread) = self.panicked.into_iter().next() {
            return Err(Error::ThreadPanicked(thread));
        }
        if !self.running.is_empty() {
            return Err(Error::ShutdownTimedOut(self.running));
        }
        Ok(())
    }
}
