//! What a shutdown found.

use super::ConnectionStatus;
use crate::error::{Error, Result};

/// Which threads ended and which did not.
#[derive(Debug, Clone, PartialEq, Default)]
#[must_use]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Threads that ended in time.
    pub joined: Vec<String>,
    /// Threads that still ran at the deadline.
    pub running: Vec<String>,
    /// Threads that had panicked.
    pub panicked: Vec<String>,
    /// Name look-ups that still hang in the operating system's resolver, which nobody can interrupt. Their threads end
    /// when it answers; they hold nothing of the engine.
    pub hanging_lookups: usize,
    /// The program's log did not take the engine's last lines in time. The thread that writes them ends when it does, and
    /// holds nothing else of the engine.
    pub hanging_log: bool,
    /// Each connection as it was at the end: the counters are final.
    pub connections: Vec<ConnectionStatus>,
}

impl ShutdownReport {
    /// An error if a thread panicked or did not end in time.
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
