//! What a report says of the machine it is from.

use std::fs;

/// Where it was measured, and what. What the system does not tell is "unknown".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Its cores.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).ok();
        let unknown = || "unknown".to_owned();
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        Self {
            cpu: model(&cpuinfo).unwrap_or_else(unknown),
            cores: cores(&cpuinfo),
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

/// What this thread may use says nothing: it may be pinned.
fn cores(cpuinfo: &str) -> usize {
    cpuinfo.lines().filter(|line| line.starts_with("processor")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_the_first_that_is_named() {
        let cpuinfo = "processor\t: 0\nmodel name\t: AMD EPYC\nprocessor\t: 1\nmodel name\t: another\n";
        assert_eq!((model(cpuinfo).as_deref(), cores(cpuinfo)), (Some("AMD EPYC"), 2));
        assert_eq!(model("processor : 0"), None);
    }
}
