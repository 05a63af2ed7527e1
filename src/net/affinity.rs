//! Pins threads to cores.

use std::thread;

/// The number of cores in the C library's core set. The library aborts beyond it.
const CORES_MAX: usize = 1024;

/// Returns true if this process may use the core. Tries on another thread, because a pinned calling thread may use only
/// its own core.
pub fn is_available(core: usize) -> bool {
    core < CORES_MAX && thread::scope(|scope| scope.spawn(|| pin(core)).join().unwrap_or(false))
}

/// Pins the calling thread to a core. Returns false if the system refuses.
pub fn pin(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_can_still_check_other_cores() {
        let free: Vec<_> = (0..64).filter(|core| is_available(*core)).collect();
        assert!(!free.is_empty());
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(pin(free[0]));
                assert!(
                    free.iter().all(|core| is_available(*core)),
                    "a strategy may pin itself before it starts its engine"
                );
            });
        });
        assert!(!is_available(100_000));
    }
}
