//! Whether something is on, and since when.
//!
//! # Synchronization
//!
//! There is one writer at a time. `on` is stored after the time of the change (TIME-THEN-ON, Release), and loaded before
//! the times (Acquire): a reader that sees the switch on or off sees the time of that change, or of a later one.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::prim::{AtomicBool, AtomicU64};
use crate::model::Nanos;

/// On or off.
#[derive(Debug)]
pub struct Switch {
    on: AtomicBool,
    turned_on: AtomicU64,
    turned_off: AtomicU64,
}

/// A switch at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// It is on.
    pub on: bool,
    /// When it was last turned on. Zero: never.
    pub turned_on: Nanos,
    /// When it was last turned off. Zero: never.
    pub turned_off: Nanos,
}

impl Switch {
    /// A switch that is on, and was never turned.
    pub fn on() -> Self {
        Self { on: AtomicBool::new(true), turned_on: AtomicU64::new(0), turned_off: AtomicU64::new(0) }
    }

    /// It is on. For its writer.
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Turns it on.
    pub fn turn_on(&self, now: Nanos) {
        self.turned_on.store(now.0, Relaxed);
        // TIME-THEN-ON: Release, pairs with the Acquire in `read`.
        self.on.store(true, Release);
    }

    /// Turns it off.
    pub fn turn_off(&self, now: Nanos) {
        self.turned_off.store(now.0, Relaxed);
        // TIME-THEN-ON: Release, pairs with the Acquire in `read`.
        self.on.store(false, Release);
    }

    /// Notes an interruption that nobody sees as off: from `off`, if it was on then, until `on`.
    pub fn interrupt(&self, off: Nanos, on: Nanos) {
        if self.is_on() {
            self.turned_off.store(off.0, Relaxed);
        }
        self.turned_on.store(on.0, Relaxed);
    }

    /// Where it is.
    pub fn read(&self) -> Position {
        // Acquire, pairs with TIME-THEN-ON.
        let on = self.on.load(Acquire);
        Position {
            on,
            turned_on: Nanos(self.turned_on.load(Relaxed)),
            turned_off: Nanos(self.turned_off.load(Relaxed)),
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;
    use std::sync::atomic::Ordering;

    /// A switch is turned off at 10 and on again at 20. A value of 15 is from before.
    fn a_switch_that_is_on_again_says_since_when(turned: Ordering) {
        loom::model(move || {
            let switch = Arc::new(Switch::on());
            let writer = thread::spawn({
                let switch = switch.clone();
                move || match turned {
                    Release => {
                        switch.turn_off(Nanos(10));
                        switch.turn_on(Nanos(20));
                    }
                    other => {
                        switch.turned_off.store(10, Relaxed);
                        switch.on.store(false, other);
                        switch.turned_on.store(20, Relaxed);
                        switch.on.store(true, other);
                    }
                }
            });
            let was_off = !switch.read().on;
            let Position { on, turned_on, turned_off } = switch.read();
            assert!(on || turned_off == Nanos(10), "not told when");
            assert!(!on || !was_off || turned_on == Nanos(20), "not told when");
            writer.join().unwrap();
        });
    }

    #[test]
    fn a_reader_that_sees_a_change_sees_its_time() {
        a_switch_that_is_on_again_says_since_when(Release);
    }

    #[test]
    #[should_panic(expected = "not told when")]
    fn planted_without_release_a_change_is_seen_without_its_time() {
        a_switch_that_is_on_again_says_since_when(Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_switch_remembers_when_it_was_turned() {
        let switch = Switch::on();
        let at =
            |on, turned_on, turned_off| Position { on, turned_on: Nanos(turned_on), turned_off: Nanos(turned_off) };
        assert_eq!(switch.read(), at(true, 0, 0));
        switch.turn_off(Nanos(5));
        assert_eq!((switch.read(), switch.is_on()), (at(false, 0, 5), false));
        switch.turn_on(Nanos(7));
        assert_eq!(switch.read(), at(true, 7, 5));
        switch.interrupt(Nanos(8), Nanos(9));
        assert_eq!(switch.read(), at(true, 9, 8));
    }
}
