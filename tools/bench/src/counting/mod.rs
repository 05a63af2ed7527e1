//! Counts the instructions that a piece of work executes, under valgrind's callgrind. The count does not depend on the
//! speed of the machine or on other load. This module does not know the work: `hoga-instructions` counts hoga's own
//! paths, `hoga bench stages --instructions` those of other libraries.
//!
//! A program counts by starting itself again under callgrind with an argument that names one piece of [`Work`]. The
//! child calls [`count`] with it; the parent gets the result from [`Valgrind::count`].

mod valgrind;

pub use valgrind::{Count, Valgrind, cpu_features};

use std::hint::black_box;

/// Work to be counted. It runs twice; the second run counts.
pub trait Work {
    /// Prepares the next run. Not counted.
    fn prepare(&mut self) {}

    /// Runs the work.
    fn run(&mut self);
}

impl<F: FnMut()> Work for F {
    fn run(&mut self) {
        self();
    }
}

/// Runs the work once to warm up, and once more to be counted. Prints `times`, the number of operations of one run, to
/// stdout for the parent.
pub fn count(times: usize, work: &mut dyn Work) {
    work.prepare();
    work.run();
    work.prepare();
    counted(work);
    println!("{times}");
}

/// The function that callgrind counts, from entry to return. `valgrind.rs` contains its name.
#[inline(never)]
fn counted(work: &mut dyn Work) {
    work.run();
    // Without this line the call above would be a tail call, a jump that never returns to this function.
    black_box(work);
}
