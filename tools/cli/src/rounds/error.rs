//! The error of a measurement.

use std::{fmt, io};

/// Why a measurement has no result.
#[derive(Debug)]
pub enum Error {
    /// A signal interrupted the measurement.
    Interrupted,
    /// Other programs used the core for too long. Another attempt may succeed.
    Disturbed,
    /// The measured code or the system failed.
    Failed(String),
}

impl Error {
    /// Creates an error from what failed and why.
    pub fn failed(what: &str, why: impl fmt::Display) -> Self {
        Self::Failed(format!("{what}: {why}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::Disturbed => f.write_str("the machine is too busy: the feeder lost its core too often"),
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
