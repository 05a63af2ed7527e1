//! The settings that change a count, apart from the source.

use std::path::Path;
use std::process::Command;

use hoga_bench::counting::Valgrind;
use serde::{Deserialize, Serialize};

/// Counts are comparable if all these values are the same.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    pub target: String,
    pub rustc: String,
    pub rustflags: String,
    pub valgrind: String,
    /// libc copies memory in a different way on each processor.
    pub libc: String,
    /// The features of the processor that valgrind emulates.
    pub cpu_features: String,
}

impl Setting {
    /// Returns the settings of this program on this machine.
    pub fn here(valgrind: &Valgrind, program: &Path) -> Result<Self, String> {
        Ok(Self {
            target: env!("HOGA_TARGET").to_owned(),
            rustc: env!("HOGA_RUSTC").to_owned(),
            rustflags: env!("HOGA_RUSTFLAGS").to_owned(),
            valgrind: valgrind.version().to_owned(),
            libc: libc_version(),
            cpu_features: valgrind.ask(program, &["features"])?,
        })
    }

    /// Returns one line for each difference.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let both = [
            ("target", &self.target, &other.target),
            ("rustc", &self.rustc, &other.rustc),
            ("rustflags", &self.rustflags, &other.rustflags),
            ("valgrind", &self.valgrind, &other.valgrind),
            ("libc", &self.libc, &other.libc),
            ("CPU features under valgrind", &self.cpu_features, &other.cpu_features),
        ];
        let differ = both.into_iter().filter(|(_, one, another)| one != another);
        differ.map(|(what, one, another)| format!("{what}: \"{another}\" in the baseline, \"{one}\" here")).collect()
    }
}

fn libc_version() -> String {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let version = output.ok().filter(|output| output.status.success());
    version.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
