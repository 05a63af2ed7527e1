//! Reads the CPU time of the engine's connection thread, which Linux counts per thread.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// The name of the thread of the engine's first connection.
const CONNECTION_THREAD: &str = "hoga-conn-0";

/// Returns the CPU time that the first connection's thread has used so far. `None` if the system does not report it.
pub fn connection_thread() -> Option<Duration> {
    let tasks = fs::read_dir("/proc/self/task").ok()?;
    let task = tasks.flatten().map(|task| task.path()).find(|task| is_connection(task))?;
    // The fields are: ns on a CPU, ns waiting for a CPU, number of time slices.
    let schedstat = fs::read_to_string(task.join("schedstat")).ok()?;
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn is_connection(task: &Path) -> bool {
    fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == CONNECTION_THREAD)
}
