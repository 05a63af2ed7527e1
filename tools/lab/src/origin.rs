//! Where figures are from.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// What was measured, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// hoga's version.
    pub version: String,
    /// The commit of the sources, `-dirty` if there was more.
    pub commit: String,
    /// Where.
    pub machine: Machine,
}

impl Origin {
    /// This program on this machine.
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("HOGA_COMMIT").to_owned(),
            machine: Machine::this(),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        format!("hoga {} ({}); {}", self.version, self.commit, self.machine.line())
    }
}
