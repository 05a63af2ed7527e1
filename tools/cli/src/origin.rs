//! Describes where the figures of a report come from.

use crate::machine::Machine;
use crate::object::Object;

/// The version that was measured, and the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// hoga's version.
    pub version: String,
    /// The commit of the sources, with `-dirty` if there were uncommitted changes.
    pub commit: String,
    /// The machine.
    pub machine: Machine,
}

impl Origin {
    /// Returns the origin of what this program measures on this machine.
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("HOGA_COMMIT").to_owned(),
            machine: Machine::this(),
        }
    }

    /// Writes the fields with which every JSON report begins.
    pub fn fields(&self, object: &mut Object) {
        object.text("version", &self.version).text("commit", &self.commit).object("machine", |object| {
            let Machine { cpu, cores, kernel } = &self.machine;
            object.text("cpu", cpu).plain("cores", cores).text("kernel", kernel);
        });
    }

    /// Returns one line for people.
    pub fn line(&self) -> String {
        format!("hoga {} ({}); {}", self.version, self.commit, self.machine.line())
    }
}
