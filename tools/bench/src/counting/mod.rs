//! Counts the instructions that a piece of work executes, under valgrind's callgrind. Such a count does not depend on
//! the speed of the machine or on its other load. Knows nothing of what is counted: the program `hoga-instructions` has
//! hoga's own paths, `hoga bench stages --instructions` those of other libraries.
//!
//! A program counts by running itself again under callgrind with an argument that names one piece of [`Work`]. The child
//! calls [`count`] with it; the parent learns the result from [`Valgrind::count`].

mod valgrind;

pub use valgrind::{Count, Valgrind, cpu_features};

use std::hint::black_box;

/// Work to be counted. It is done twice, and counted the second time.
pub trait Work {
    /// Makes the work ready to be done once more. Not counted.
    fn prepare(&mut self) {}

    /// Does it.
    fn run(&mut self);
}

impl<F: FnMut()> Work for F {
    fn run(&mut self) {
        self();
    }
}

/// Does the work once to warm up, and once more to be counted. Prints `times`, the number of operations of one run, to
/// stdout for the parent.
pub fn count(times: usize, work: &mut dyn Work) {
    work.prepare();
    work.run();
    work.prepare();
    counted(work);
    println!("{times}");
}

/// What callgrind counts: from entering this function until it returns. `valgrind.rs` knows its name.
#[inline(never)]
fn counted(work: &mut dyn Work) {
    work.run();
    // Without something to do after it, the call above would be a jump, from which nothing returns here.
    black_box(work);
}
