//! What a process has only once: threads, descriptors and memory. These tests count them, so they take turns.

mod cycles;
mod frame_path;
mod leaks;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hoga_testing::allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PATIENCE: Duration = Duration::from_secs(60);

/// Each test holds this from its beginning to its end.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads and open files of this process. Threads of the test harness do not count: they are named after their tests,
/// and come and go while others take their turn.
fn resources() -> (usize, usize) {
    let entries = |directory| std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_test =
        |task: &std::path::PathBuf| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.contains("::"));
    let threads = entries("/proc/self/task").filter(|task| !is_test(task)).count();
    (threads, entries("/proc/self/fd").count())
}
