//! What a process has only once: threads, descriptors and memory. They are counted here, so it is one test, and its parts
//! run one after the other: the threads of other tests would be counted too.

mod cycles;
mod frame_path;
mod leaks;

use std::time::Duration;

use hoga_testing::allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_process_gets_back_all_that_engines_took_and_their_frames_take_nothing() {
    leaks::engines_leave_no_thread_and_no_socket_behind();
    frame_path::from_socket_to_pool_and_feed_nothing_is_allocated_after_warm_up();
    frame_path::what_is_not_read_takes_no_memory();
    cycles::a_million_subscriptions_leave_no_memory_no_thread_and_no_descriptor_behind();
}

/// Threads and open files of this process.
fn resources() -> (usize, usize) {
    let entries = |directory| std::fs::read_dir(directory).unwrap().count();
    (entries("/proc/self/task"), entries("/proc/self/fd"))
}
