//! Pins a thread to a core.

/// Whether the machine lets this process use the core.
pub fn is_available(core: usize) -> bool {
    core_affinity::get_core_ids().is_some_and(|ids| ids.iter().any(|id| id.id == core))
}

/// Pins the calling thread; false if the system refused.
pub fn pin(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}
