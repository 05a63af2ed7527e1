//! What a report says of the machine it is from.

use std::fs;
use std::thread;

use crate::object::Object;

/// Where it was measured. What the system does not tell is "unknown".
pub struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let unknown = || "unknown".to_owned();
        Self {
            cpu: fs::read_to_string("/proc/cpuinfo").ok().as_deref().and_then(model).unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(0, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), |k| k.trim().to_owned()),
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        format!("{}, {} cores, kernel {}", self.cpu, self.cores, self.kernel)
    }

    /// The same for programs.
    pub fn fields(&self, object: &mut Object) {
        object.text("cpu", &self.cpu).plain("cores", self.cores).text("kernel", &self.kernel);
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
