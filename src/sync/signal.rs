//! Signal: readers sleep until something changes; the writer pays a fence and a load while nobody sleeps.
//!
//! # Synchronization
//!
//! The data is not here. The writer stores it, then calls [`Signal::notify`]; the reader's `ready` loads it.
//! * `waiters` is raised and lowered by readers and read by the writer. It and the data form a Dekker pair: the writer
//!   stores data, then loads `waiters`; a reader raises `waiters`, then loads data. The sequentially consistent fences
//!   DATA-THEN-WAITERS and WAITER-THEN-DATA forbid that both loads miss the other's store. So either the writer sees
//!   the reader and wakes it, or the reader sees the data and does not sleep.
//! * `turn` closes the window between the reader's last look and its sleep. A reader notes the turn, then looks, then
//!   sleeps only while the turn is still the one it noted, which the futex compares and does in one step; the writer
//!   changes the turn before it wakes. So a writer that saw the reader either finds it asleep and wakes it, or its
//!   change of the turn keeps the reader awake. Who notes a changed turn sees the data that it was changed for
//!   (TURN-AFTER-DATA). The turn comes round after 2^32 changes: a reader would have to miss as many between its look
//!   and its sleep.
//!
//! Remove either fence and both loads may miss: the reader sleeps on data that is there. The loom models below show
//! that the protocol has no such run, and that without either fence there is one.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

use super::prim::{AtomicUsize, Deadline, Futex, fence};

/// Wakes readers that wait for a change.
///
/// Costs the writer a fence and a relaxed load (a few ns) while nobody waits. With sleepers it costs a wake-up system
/// call, some µs: a thread that must not cause that polls instead. The writer never waits for a reader, whatever the
/// reader does or the scheduler does with it. Never spins.
#[derive(Debug)]
pub struct Signal {
    waiters: AtomicUsize,
    turn: Futex,
}

impl Signal {
    /// A signal that nobody waits for.
    pub fn new() -> Self {
        Self { waiters: AtomicUsize::new(0), turn: Futex::new() }
    }

    /// Wakes everybody who waits. Call it after the change is stored; any atomic store will do.
    #[inline]
    pub fn notify(&self) {
        // DATA-THEN-WAITERS: pairs with WAITER-THEN-DATA in `wait_until`. The data stored before this fence is seen by
        // every reader whose raised `waiters` the load below misses.
        fence(SeqCst);
        self.notify_fenced();
    }

    /// The same after a fence of the caller's own, sequentially consistent, that lies behind the change and, where there
    /// are many to notify, before the first of them.
    #[inline]
    pub fn notify_fenced(&self) {
        if self.waiters.load(Relaxed) > 0 {
            self.wake_all();
        }
    }

    /// Sleeps until `ready` says yes, at most `timeout`; true if it did. A zero timeout only asks.
    ///
    /// `ready` is called at least once, perhaps often, and by the calling thread alone: nobody waits for it. Each
    /// notification calls it once more, so it should load an atomic and return.
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
            // Acquire, pairs with TURN-AFTER-DATA in `wake_all`. Noted before the look: what comes after the look
            // changes it.
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

/// One raised `waiters`, lowered on every way out, a panic in `ready` included.
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
        // Relaxed: a writer that still sees us wakes nobody, which costs it time and nothing else.
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::sync::prim::AtomicU64;
    use loom::sync::Arc;
    use loom::thread;

    /// The pool's use: a value, the version that counts it, the signal.
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

    /// The Dekker pair alone: one side stores data and looks for waiters, the other raises `waiters` and looks for data.
    fn somebody_notices(writer_fence: bool, reader_fence: bool) {
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

    /// The turn alone: a reader that the writer knows of notes the turn and looks, in either order. It would sleep for
    /// ever if it saw nothing and no turn comes after the one that it noted.
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
    fn a_reader_that_notes_the_turn_before_it_looks_is_awake_or_woken() {
        a_known_reader_is_awake_or_woken(true);
    }

    #[test]
    #[should_panic(expected = "lost wake-up")]
    fn planted_with_the_turn_noted_after_the_look_a_wake_up_is_lost() {
        a_known_reader_is_awake_or_woken(false);
    }

    #[test]
    fn with_both_fences_somebody_notices() {
        somebody_notices(true, true);
    }

    #[test]
    #[should_panic(expected = "lost wake-up")]
    fn planted_without_the_writers_fence_a_wake_up_is_lost() {
        somebody_notices(false, true);
    }

    #[test]
    #[should_panic(expected = "lost wake-up")]
    fn planted_without_the_readers_fence_a_wake_up_is_lost() {
        somebody_notices(true, false);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn a_wait_that_is_not_answered_ends_at_its_timeout() {
        let signal = Signal::new();
        assert!(!signal.wait_until(Duration::from_millis(5), || false));
        assert!(!signal.wait_until(Duration::ZERO, || false));
        assert!(signal.wait_until(Duration::ZERO, || true));
    }

    #[test]
    fn a_panic_while_looking_leaves_no_waiter_behind() {
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
    fn a_reader_that_is_stuck_while_it_looks_does_not_hold_the_writer() {
        let signal = Signal::new();
        let ((stuck, is_stuck), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel());
        let (reading, mut looks, patience) = (&signal, 0, Duration::from_secs(20));
        thread::scope(|s| {
            let reader = s.spawn(move || {
                reading.wait_until(patience, || {
                    looks += 1;
                    // The first look is before the reader is known to the writer.
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
