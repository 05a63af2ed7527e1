//! An allocator that counts. A test program installs it with `#[global_allocator]`. The counts are kept per thread, so
//! that tests in one program do not disturb each other.
//!
//! # Synchronization
//!
//! Each thread writes only its own slot of `THREADS`, whose index it takes from `NEXT` at its first allocation. All
//! accesses are relaxed. So another thread's count is exact only if the caller knows by other means that the thread has
//! finished. While the thread runs, a reading may lag behind, and only the difference of two readings is useful.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Forwards every call to the system's allocator and counts it.
pub struct Counting;

/// Maximum number of threads that a program may start before it ends. Allocations of further threads count only as live
/// bytes.
const THREADS_MAX: usize = 4096;

struct Thread {
    /// The kernel's ID of the thread; 0 if the slot is free.
    id: AtomicU32,
    allocations: AtomicU64,
}

static THREADS: [Thread; THREADS_MAX] =
    [const { Thread { id: AtomicU32::new(0), allocations: AtomicU64::new(0) } }; THREADS_MAX];
static NEXT: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

const NO_SLOT: usize = usize::MAX;

thread_local! {
    /// The index of this thread's slot. It has no destructor, so it can be used as long as the thread allocates.
    static SLOT: Cell<usize> = const { Cell::new(NO_SLOT) };
    /// The bytes that this thread has allocated, minus those that it has freed.
    static OWN_BYTES: Cell<i64> = const { Cell::new(0) };
    /// The largest value of `OWN_BYTES` since [`peak_during`] last set it.
    static PEAK_BYTES: Cell<i64> = const { Cell::new(0) };
}

fn slot() -> usize {
    let slot = SLOT.get();
    if slot != NO_SLOT {
        return slot;
    }
    let slot = NEXT.fetch_add(1, Relaxed);
    SLOT.set(slot);
    if let Some(thread) = THREADS.get(slot) {
        thread.id.store(rustix::thread::gettid().as_raw_nonzero().get() as u32, Relaxed);
    }
    slot
}

fn count(bytes: i64) {
    if let Some(thread) = THREADS.get(slot()) {
        thread.allocations.store(thread.allocations.load(Relaxed) + 1, Relaxed);
    }
    count_bytes(bytes);
}

fn count_bytes(bytes: i64) {
    LIVE_BYTES.fetch_add(bytes, Relaxed);
    let own = OWN_BYTES.get() + bytes;
    OWN_BYTES.set(own);
    PEAK_BYTES.set(PEAK_BYTES.get().max(own));
}

// SAFETY: forwards every call to the system's allocator unchanged; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller keeps the same contract; `at` came from `System`.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count_bytes(-(layout.size() as i64));
        // SAFETY: the caller keeps the same contract; `at` came from `System`.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Returns how often the calling thread has allocated or reallocated since it started.
///
/// # Panics
///
/// If the program has started more threads than can be counted.
pub fn on_this_thread() -> u64 {
    THREADS.get(slot()).expect("a slot for this thread").allocations.load(Relaxed)
}

/// Returns how often the running threads whose names start with `prefix` have allocated or reallocated since they
/// started. The kernel keeps 15 bytes of a name.
///
/// # Panics
///
/// If the program has started more threads than can be counted.
pub fn on_threads(prefix: &str) -> u64 {
    let started = NEXT.load(Relaxed);
    assert!(started <= THREADS_MAX, "{started} threads were started; only {THREADS_MAX} can be counted");
    let is_meant = |thread: &&Thread| {
        let name = std::fs::read_to_string(format!("/proc/self/task/{}/comm", thread.id.load(Relaxed)));
        name.is_ok_and(|name| name.starts_with(prefix))
    };
    THREADS[..started].iter().filter(is_meant).map(|thread| thread.allocations.load(Relaxed)).sum()
}

/// Runs `work` and returns by how many bytes, at most, the memory of the calling thread grew meanwhile, also if `work`
/// has freed it again. `work` must not call this function.
pub fn peak_during(work: impl FnOnce()) -> i64 {
    let before = OWN_BYTES.get();
    PEAK_BYTES.set(before);
    work();
    PEAK_BYTES.get() - before
}

/// Returns the bytes that all threads together have allocated and not yet freed.
pub fn live_bytes() -> i64 {
    LIVE_BYTES.load(Relaxed)
}

/// Returns the bytes that the calling thread has allocated, minus those that it has freed. It may also free memory that
/// another thread has allocated.
pub fn live_bytes_of_this_thread() -> i64 {
    OWN_BYTES.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[test]
    fn a_thread_counts_only_its_own_allocations() {
        let before = on_this_thread();
        thread::scope(|s| s.spawn(|| (0..1_000).for_each(|n| drop(black_box(Box::new(n))))).join().unwrap());
        // Starting a thread allocates a little on this thread.
        let started = on_this_thread();
        assert!(started - before < 100);
        let mut grown = black_box(vec![0u64; 4]);
        grown.reserve_exact(100);
        drop(black_box(grown));
        assert_eq!(on_this_thread() - started, 2);
    }

    #[test]
    fn threads_are_counted_by_name_while_they_run() {
        let (work, works) = channel();
        let (done, dones) = channel();
        let thread = thread::Builder::new().name("counted-thread".into()).spawn(move || {
            while let Ok(count) = works.recv() {
                (0..count).for_each(|n| drop(black_box(Box::new(n))));
                done.send(()).unwrap();
            }
        });
        let turn = |count: u64| {
            work.send(count).unwrap();
            dones.recv().unwrap();
            on_threads("counted-")
        };
        // The first turn also allocates what a channel needs to wait.
        let before = turn(1);
        assert!((500..600).contains(&(turn(500) - before)));
        drop(work);
        thread.unwrap().join().unwrap();
        // The kernel removes the name of a thread from `/proc` a moment after `join` has returned.
        let removed = (0..1_000).any(|_| {
            thread::sleep(Duration::from_millis(1));
            on_threads("counted-") == 0
        });
        assert!(removed, "a thread that has ended is still counted");
    }

    #[test]
    fn the_peak_of_a_thread_includes_what_was_freed_again_and_no_other_thread() {
        let kept = black_box(vec![0u8; 1 << 20]);
        let peak = peak_during(|| {
            drop(black_box(vec![0u8; 3000]));
            drop(black_box(vec![0u8; 1000]));
            drop(kept);
            drop(black_box(vec![0u8; 5000]));
        });
        assert_eq!(peak, 3000);
        let peak = peak_during(|| thread::scope(|s| drop(s.spawn(|| drop(black_box(vec![0u8; 1 << 20]))).join())));
        assert!(peak < 1 << 16, "{peak}");
    }

    #[test]
    fn live_bytes_fall_when_memory_is_freed() {
        const MUCH: i64 = 1 << 26;
        let before = live_bytes();
        let much = black_box(vec![0u8; MUCH as usize]);
        assert!(live_bytes() - before > MUCH / 2);
        drop(black_box(much));
        assert!(live_bytes() - before < MUCH / 2);
    }
    #[test]
    fn live_bytes_of_a_thread_do_not_include_those_of_others() {
        let before = live_bytes_of_this_thread();
        let other = thread::spawn(|| vec![0u8; 1 << 20]).join().unwrap();
        assert!(live_bytes_of_this_thread() - before < 1 << 19, "another thread has allocated it");
        let own = black_box(vec![0u8; 1 << 20]);
        assert!(live_bytes_of_this_thread() - before >= 1 << 20);
        drop((own, other));
        assert!(live_bytes_of_this_thread() - before < 0, "this thread has freed both");
    }
}
