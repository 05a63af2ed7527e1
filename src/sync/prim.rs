//! The primitives that `sync` is written over: std's, or loom's under `cfg(loom)`, where a model checker runs the same
//! source. Nothing else of the library knows the difference.

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU64, AtomicUsize, fence};
#[cfg(loom)]
pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicU64, AtomicUsize, fence};
#[cfg(not(loom))]
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};

use std::sync::PoisonError;
use std::time::Duration;

/// Locks. Nothing is ever left half done under the locks of this room, so poison says nothing and is ignored.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps on `condvar` while `pending` says so, at most `timeout`.
#[cfg(not(loom))]
pub(super) fn sleep_while(
    condvar: &Condvar,
    guard: MutexGuard<'_, ()>,
    timeout: Duration,
    mut pending: impl FnMut() -> bool,
) {
    let slept = condvar.wait_timeout_while(guard, timeout, |()| pending());
    drop(slept.unwrap_or_else(PoisonError::into_inner));
}

/// Sleeps on `condvar` while `pending` says so. Models never time out: a lost wake-up is a deadlock, and loom finds it.
#[cfg(loom)]
pub(super) fn sleep_while(
    condvar: &Condvar,
    mut guard: MutexGuard<'_, ()>,
    _timeout: Duration,
    mut pending: impl FnMut() -> bool,
) {
    while pending() {
        guard = condvar.wait(guard).unwrap_or_else(PoisonError::into_inner);
    }
}
