//! A wake-up signal: readers sleep until something changes. While none sleeps, it costs the writer a fence and a load.
//!
//! # Synchronization
//!
//! The data is elsewhere. The writer stores it, then calls [`Signal::notify`]; the reader's `ready` loads it.
//! * Readers raise and lower `waiters`, and the writer loads it. It and the data form a Dekker pair: the writer stores
//!   data, then loads `waiters`; a reader raises `waiters`, then loads data. The sequentially consistent fences
//!   DATA-THEN-WAITERS and WAITER-THEN-DATA prevent that both loads miss the other's store. So either the writer sees
//!   the reader and wakes it, or the reader sees the data and does not sleep.
//! * `turn` closes the window between the reader's last check and its sleep. A reader loads the turn, then checks the
//!   data, then sleeps only while the turn is unchanged, which the futex compares in one step with falling asleep. The
//!   writer changes the turn before it wakes. So if the writer saw the reader, it either finds the reader asleep and
//!   wakes it, or its change of the turn keeps the reader awake. A reader that loads a changed turn sees the data that
//!   it was changed for (TURN-AFTER-DATA). The turn wraps after 2^32 changes: a reader would have to miss exactly that
//!   many between its check and its sleep.
//!
//! Without either fence both loads may miss, and the reader sleeps although the data is there. The loom models below
//! show that the protocol has no such run, and that there is one without either fence.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

use super::prim::{AtomicUsize, Deadline, Futex, fence};

/// Wakes readers that wait for a change.
///
/// While no reader waits, it costs the writer a fence and a relaxed load (a few ns). With sleepers it costs a system
/// call, some µs; if the writer must not pay that, readers must poll instead. The writer never waits for a reader, even
/// if the reader is stuck or preempted. Never spins.
#[derive(Debug)]
pub struct Signal {
    waiters: AtomicUsize,
    turn: Futex,
}

impl Signal {
    /// Returns a signal without waiters.
    pub fn new() -> Self {
        Self { waiters: AtomicUsize::new(0), turn: Futex::new() }
    }

    /// Wakes all waiting readers. Call it after the change is stored; any atomic store will do.
    #[inline]
    pub fn notify(&self) {
        // DATA-THEN-WAITERS: pairs with WAITER-THEN-DATA in `wait_until`. The data stored before this fence is seen by
        // every reader whose raised `waiters` the load below misses.
        fence(SeqCst);
        self.notify_fenced();
    }

    /// Same as [`notify`](Self::notify), but the caller provides the sequentially consistent fence, after the change.
    /// One fence before the first of several notifications is enough.
    #[inline]
    pub fn notify_fenced(&self) {
        if self.waiters.load(Relaxed) > 0 {
            self.wake_all();
        }
    }

    /// Sleeps until `ready` returns true, at most for `timeout`. Returns false after the timeout. A zero timeout only
    /// checks.
    ///
    /// `ready` is called at least once, on the calling thread, and again after each notification. No other thread waits
    /// for it. It should load an atomic and return.
    pub fn wait_until(&self, timeout: Duration, mut ready: impl FnMut() -> bool) -> bool {
        if ready() {
            return true;
        }
        if timeout.is_zero() {
            return false;
        }
        let deadline = Deadline::after(timeout);
        let _waiter = Waiter::raise(&self.waiters);
        // WAITER-THEN-DATA: pairs with DATA-THEN-WAITERS in `notify`. A writer that misses our raised `waiters` has
        // stored its data before, and `ready` sees it from here on.
        fence(SeqCst);
        loop {
            // Acquire, pairs with TURN-AFTER-DATA in `wake_all`. Loaded before the check, because notifications after
            // the check must find it changed.
            let turn = self.turn.word.load(Acquire);
            if ready() {
                return true;
            }
            if !self.turn.wait(turn, &deadline) {
                return ready();
            }
        }
    }

    #[cold]
    fn wake_all(&self) {
        // TURN-AFTER-DATA: Release, pairs with the Acquire in `wait_until`.
        self.turn.word.fetch_add(1, Release);
        self.turn.wake_all();
    }
}

impl Default for Signal {
    fn default() -> Self {
        Self::new()
    }
}

/// Raises `waiters`, and lowers it on drop, also if `ready` panics.
struct Waiter<'a>(&'a AtomicUsize);

impl<'a> Waiter<'a> {
    fn raise(waiters: &'a AtomicUsize) -> Self {
        // Relaxed: ordered by the fence WAITER-THEN-DATA that follows.
        waiters.fetch_add(1, Relaxed);
        Self(waiters)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        // Relaxed: a writer that still sees the waiter makes a useless system call, nothing worse.
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::sync::prim::AtomicU64;
    use loom::sync::Arc;
    use loom::thread;

    /// The pool's use: a value, its version, and the signal.
    struct Shared {
        value: AtomicU64,
        version: AtomicU64,
        signal: Signal,
    }

    impl Shared {
        fn new() -> Arc<Self> {
            Arc::new(Self { value: AtomicU64::new(0), version: AtomicU64::new(0), signal: Signal::new() })
        }

        fn publish(&self, version: u64) {
            self.value.store(version, Relaxed);
            self.version.store(version, Release);
        }

        fn version(&self) -> u64 {
            self.version.load(Acquire)
        }

        fn wait_newer(&self, version: u64) -> u64 {
            assert!(self.signal.wait_until(Duration::MAX, || self.version() > version));
            let (seen, value) = (self.version(), self.value.load(Relaxed));
            assert!(value >= seen, "version {seen} was visible before its value {value}");
            seen
        }
    }

    #[test]
    fn a_waiting_reader_is_always_woken() {
        loom::model(|| {
            let shared = Shared::new();
            let reader = thread::spawn({
                let shared = shared.clone();
                move || assert_eq!(shared.wait_newer(0), 1)
            });
            shared.publish(1);
            shared.signal.notify();
            reader.join().unwrap();
        });
    }

    #[test]
    fn two_waiting_readers_are_both_woken() {
        let mut bounded = loom::model::Builder::new();
        bounded.preemption_bound = Some(2);
        bounded.check(|| {
            let shared = Shared::new();
            let reader = |shared: Arc<Shared>| thread::spawn(move || assert_eq!(shared.wait_newer(0), 1));
            let readers = [reader(shared.clone()), reader(shared.clone())];
            shared.publish(1);
            shared.signal.notify();
            for reader in readers {
                reader.join().unwrap();
            }
        });
    }

    #[test]
    fn a_reader_that_waits_twice_misses_neither_change() {
        let mut bounded = loom::model::Builder::new();
        bounded.preemption_bound = Some(3);
        bounded.check(|| {
            let shared = Shared::new();
            let reader = thread::spawn({
                let shared = shared.clone();
                move || {
                    let first = shared.wait_newer(0);
                    if first == 1 {
                        assert_eq!(shared.wait_newer(first), 2);
                    }
                }
            });
            for version in 1..=2 {
                shared.publish(version);
                shared.signal.notify();
            }
            reader.join().unwrap();
        });
    }

    /// The Dekker pair alone: one side stores data and checks `waiters`, the other raises `waiters` and checks the
    /// data.
    fn one_side_sees_the_other(writer_fence: bool, reader_fence: bool) {
        loom::model(move || {
            let shared = Shared::new();
            let reader = thread::spawn({
                let shared = shared.clone();
                move || {
                    std::mem::forget(Waiter::raise(&shared.signal.waiters));
                    if reader_fence {
                        fence(SeqCst);
                    }
                    shared.version() > 0
                }
            });
            shared.publish(1);
            if writer_fence {
                fence(SeqCst);
            }
            let writer_noticed = shared.signal.waiters.load(Relaxed) > 0;
            assert!(reader.join().unwrap() || writer_noticed, "lost wake-up");
        });
    }

    /// The turn alone: a reader that the writer knows loads the turn and checks the data, in either order. It would
    /// sleep forever if it saw no data and the turn did not change after its load.
    fn a_known_reader_is_awake_or_woken(turn_first: bool) {
        loom::model(move || {
            let shared = Shared::new();
            std::mem::forget(Waiter::raise(&shared.signal.waiters));
            let reader = thread::spawn({
                let shared = shared.clone();
                move || {
                    let turn = || shared.signal.turn.word.load(Acquire);
                    let early = turn_first.then(turn);
                    let saw = shared.version() > 0;
                    (saw, early.unwrap_or_else(turn))
                }
            });
            shared.publish(1);
            shared.signal.notify();
            let (saw, noted) = reader.join().unwrap();
            assert!(saw || noted != shared.signal.turn.word.load(Relaxed), "lost wake-up");
        });
    }

    #[test]
    fn a_reader_that_loads_the_turn_before_it_checks_is_awake_or_woken() {
        a_known_reader_is_awake_or_woken(true);
    }

    #[test]
    #[should_panic(expected = "lost wake-up")]
    fn planted_with_the_turn_loaded_after_the_check_a_wake_up_is_lost() {
        a_known_reader_is_awake_or_woken(false);
    }

    #[test]
    fn with_both_fences_one_side_sees_the_other() {
        one_side_sees_the_other(true, true);
    }

    #[test]
    #[should_panic(expected = "lost wake-up")]
    fn planted_without_the_writers_fence_a_wake_up_is_lost() {
        one_side_sees_the_other(false, true);
    }

    #[test]
    #[should_panic(expected = "lost wake-up")]
    fn planted_without_the_readers_fence_a_wake_up_is_lost() {
        one_side_sees_the_other(true, false);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn a_wait_without_a_notification_ends_at_its_timeout() {
        let signal = Signal::new();
        assert!(!signal.wait_until(Duration::from_millis(5), || false));
        assert!(!signal.wait_until(Duration::ZERO, || false));
        assert!(signal.wait_until(Duration::ZERO, || true));
    }

    #[test]
    fn a_panic_in_ready_leaves_no_waiter_behind() {
        let signal = Signal::new();
        let mut looks = 0;
        let look = std::panic::AssertUnwindSafe(|| {
            signal.wait_until(Duration::from_secs(1), || {
                looks += 1;
                assert!(looks < 2, "planted");
                false
            })
        });
        assert!(std::panic::catch_unwind(look).is_err());
        assert_eq!(signal.waiters.load(Relaxed), 0);
        signal.notify();
        assert!(!signal.wait_until(Duration::from_millis(1), || false));
    }

    #[test]
    fn notifications_that_change_nothing_do_not_prolong_a_wait() {
        let (signal, over) = (Signal::new(), AtomicU64::new(0));
        thread::scope(|s| {
            s.spawn(|| {
                while over.load(Relaxed) == 0 {
                    signal.notify();
                    thread::yield_now();
                }
            });
            assert!(!signal.wait_until(Duration::from_millis(20), || false));
            over.store(1, Relaxed);
        });
    }

    #[test]
    fn a_reader_that_is_stuck_in_ready_does_not_block_the_writer() {
        let signal = Signal::new();
        let ((stuck, is_stuck), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel());
        let (reading, mut looks, patience) = (&signal, 0, Duration::from_secs(20));
        thread::scope(|s| {
            let reader = s.spawn(move || {
                reading.wait_until(patience, || {
                    looks += 1;
                    // The first check is before the writer knows the reader.
                    looks == 2 && stuck.send(()).is_ok() && may_go_on.recv_timeout(patience).is_ok()
                })
            });
            is_stuck.recv_timeout(patience).unwrap();
            signal.notify();
            go_on.send(()).unwrap();
            assert!(reader.join().unwrap(), "the writer waited for the reader");
        });
    }

    #[test]
    fn ping_pong_between_two_sleepers_never_stalls() {
        const ROUNDS: u64 = 2_000;
        let (ball, signal) = (AtomicU64::new(0), Signal::new());
        let play = |side: u64| {
            for round in 0..ROUNDS {
                let mine = 2 * round + side;
                assert!(signal.wait_until(Duration::from_secs(20), || ball.load(Relaxed) == mine), "stalled at {mine}");
                ball.store(mine + 1, Relaxed);
                signal.notify();
            }
        };
        thread::scope(|s| {
            s.spawn(|| play(0));
            s.spawn(|| play(1));
        });
        assert_eq!(ball.into_inner(), 2 * ROUNDS);
    }
}
