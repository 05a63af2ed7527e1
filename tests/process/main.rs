//! Counts the threads, descriptors and memory of the process. The parts are one test and run in sequence, because the
//! threads of other tests would be counted too.

mod cycles;
mod frame_path;
mod leaks;

use std::time::Duration;

use hoga_testing::allocations::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn engines_release_all_resources_and_frames_allocate_nothing() {
    leaks::engines_leave_no_thread_and_no_socket_behind();
    frame_path::from_socket_to_pool_and_feed_nothing_is_allocated_after_warm_up();
    frame_path::unread_messages_take_no_memory();
    cycles::a_million_subscriptions_leave_no_memory_no_thread_and_no_descriptor_behind();
}

/// Returns the numbers of threads and open files of this process.
fn resources() -> (usize, usize) {
    let entries = |directory| std::fs::read_dir(directory).unwrap().count();
    (entries("/proc/self/task"), entries("/proc/self/fd"))
}
