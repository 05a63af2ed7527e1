//! What a report says of the machine it is from.

use std::fs;
use std::thread;

use serde::{Deserialize, Serialize};

/// Where it was measured, and what. What the system does not tell is "unknown".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).ok();
        let unknown = || "unknown".to_owned();
        Self {
            cpu: read("/proc/cpuinfo").as_deref().and_then(model).unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").map_or_else(unknown, |release| release.trim().to_owned()),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        format!("{}, {} cores, kernel {}", self.cpu, self.cores, self.kernel)
    }
}

fn model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_the_first_that_is_named() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: another\n";
        assert_eq!(model(cpuinfo).as_deref(), Some("AMD EPYC"));
        assert_eq!(model("processor : 0"), None);
    }
}
