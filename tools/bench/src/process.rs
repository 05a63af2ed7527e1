//! The resources of this process, as the system reports them.

use std::fs;

/// Returns the memory of this process that is in RAM, in bytes; `None` if the system does not report it.
pub fn resident() -> Option<u64> {
    status("VmRSS:").map(|kilobytes| kilobytes * 1024)
}

/// Returns the number of threads of this process; `None` if the system does not report it.
pub fn threads() -> Option<u64> {
    status("Threads:")
}

/// Returns the number of open file descriptors of this process; `None` if the system does not report it.
pub fn descriptors() -> Option<u64> {
    // Reading the folder needs a descriptor itself.
    fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64 - 1)
}

fn status(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    value.split_whitespace().next()?.parse().ok()
}
