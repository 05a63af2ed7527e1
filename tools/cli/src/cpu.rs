//! CPU time of the engine's connection threads, as Linux counts it for each thread.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// The engine's name for the thread of its first connection.
const CONNECTION_THREAD: &str = "hoga-conn-0";

/// CPU time that the connection's thread has used so far; nothing where the system does not say.
pub fn connection_thread() -> Option<Duration> {
    let tasks = fs::read_dir("/proc/self/task").ok()?;
    let task = tasks.flatten().map(|task| task.path()).find(|task| is_connection(task))?;
    // Nanoseconds on a CPU, time spent waiting, time slices.
    let schedstat = fs::read_to_string(task.join("schedstat")).ok()?;
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn is_connection(task: &Path) -> bool {
    fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == CONNECTION_THREAD)
}
