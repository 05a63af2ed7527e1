//! Where figures are from.

use crate::machine::Machine;
use crate::object::Object;

/// What was measured, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// What every JSON report begins with.
    pub fn fields(&self, object: &mut Object) {
        object.text("version", &self.version).text("commit", &self.commit).object("machine", |object| {
            let Machine { cpu, cores, kernel } = &self.machine;
            object.text("cpu", cpu).plain("cores", cores).text("kernel", kernel);
        });
    }

    /// One line for people.
    pub fn line(&self) -> String {
        format!("hoga {} ({}); {}", self.version, self.commit, self.machine.line())
    }
}
