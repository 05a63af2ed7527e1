//! Why a measurement has no result.

use std::{fmt, io};

/// Why a measurement has no result.
#[derive(Debug)]
pub enum Error {
    /// A signal asked for an end.
    Interrupted,
    /// Other programs had the core for too long: another try may do better.
    Disturbed,
    /// What is measured, or the system, failed.
    Failed(String),
}

impl Error {
    /// From what failed and why.
    pub fn failed(what: &str, why: impl fmt::Display) -> Self {
        Self::Failed(format!("{what}: {why}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::Disturbed => f.write_str("the machine is too busy: the feeder lost its core again and again"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::failed("the system refused", error)
    }
}
