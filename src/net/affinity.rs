//! Pins a thread to a core.

use std::thread;

/// What a set of cores has room for in the C library; it aborts beyond.
const CORES_MAX: usize = 1024;

/// Whether the machine lets this process use the core. Tried on a thread of its own: what the calling thread may use
/// says nothing once it is pinned itself.
pub fn is_available(core: usize) -> bool {
    core < CORES_MAX && thread::scope(|scope| scope.spawn(|| pin(core)).join().unwrap_or(false))
}

/// Pins the calling thread; false if the system refused.
pub fn pin(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_still_knows_the_other_cores() {
        let free: Vec<_> = (0..64).filter(|core| is_available(*core)).collect();
        assert!(!free.is_empty());
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(pin(free[0]));
                assert!(
                    free.iter().all(|core| is_available(*core)),
                    "a strategy pins itself before it starts its engine"
                );
            });
        });
        assert!(!is_available(100_000));
    }
}
