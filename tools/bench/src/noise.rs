//! Detects noise: other load that slows the cores down.
//!
//! Virtual cores share physical cores. A core whose neighbor is busy runs at half its speed. That slows code that keeps
//! a core busy more than code that waits for memory most of the time, so ratios change too. Therefore the same short
//! work is timed before and after each turn. A turn waits until the cores run at full speed, and is repeated if it
//! ended on a slow core, until the time for waiting and repeating is used up. All turns are counted, including those of
//! discarded rounds.

use std::cell::RefCell;
use std::hint::black_box;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use hoga::model::Clock;
use hoga::net::SystemClock;
use hoga_cli::rounds::{self, Candidate, Column, Error, Line, Schedule};

use crate::cpu::pin_here;

/// A core runs at full speed if it reaches this part of the best speed measured on it.
const FULL: f64 = 0.9;
/// Steps of the work. They take about 100 µs, so the noise has little time to change.
const STEPS: u64 = 50_000;
/// How often the work is done. The best time counts, so that an interrupt is not taken for noise.
const TRIES: usize = 3;
/// The pause between two samples while waiting for quiet cores.
const PAUSE: Duration = Duration::from_millis(10);
/// Samples at the start, to find the full speed of the cores.
const FIRST_LOOKS: usize = 50;
/// Maximum number of times that a turn is measured.
const TURNS_MOST: usize = 4;

const COLUMNS: [Column; 3] = [Column::tail("turns", ""), Column::tail("slow", ""), Column::tail("repeated", "")];

/// What [`run`] means to the user, for the help of a command.
pub const ON_QUIET: &str = "\
While other load on the machine slows a core down, a turn waits or is measured again. The time lost is
added to --time, up to twice as much as --time. The last table counts these turns.";

/// Runs candidates as [`rounds::run`] does. Turns wait until these cores are quiet, or are measured again. The time
/// lost to that extends the run, up to twice its time. One more line counts these turns.
pub fn run<'a>(candidates: Vec<Candidate<'a>>, schedule: Schedule<'a>, cores: &'a [usize]) -> Result<Vec<Line>, Error> {
    let noise = RefCell::new(Noise::watch(cores, schedule.time().saturating_mul(2), schedule.is_over()));
    let lost = || noise.borrow().lost();
    let on_quiet = |candidate: Candidate<'a>| candidate.around(|turn| noise.borrow_mut().measure(turn));
    let mut lines = rounds::run(candidates.into_iter().map(on_quiet).collect(), schedule.extended_by(&lost))?;
    lines.push(noise.borrow().line());
    Ok(lines)
}

/// The cores to watch.
struct Noise<'a> {
    /// Returns the current time of the work on each core.
    look: Box<dyn FnMut() -> Vec<Duration> + 'a>,
    /// The best time of each core so far.
    best: Vec<Duration>,
    clock: SystemClock,
    /// The time that waiting and repeating have cost so far, and the time they may cost.
    lost: Duration,
    patience: Duration,
    is_over: &'a dyn Fn() -> bool,
    turns: u32,
    slow: u32,
    repeated: u32,
}

impl<'a> Noise<'a> {
    /// Watches these cores. Waiting ends when `is_over` returns true.
    pub fn watch(cores: &'a [usize], patience: Duration, is_over: &'a dyn Fn() -> bool) -> Self {
        let mut noise = Self::new(Box::new(|| work_on(cores)), patience, is_over);
        for _ in 0..FIRST_LOOKS {
            noise.are_quiet();
            thread::sleep(PAUSE);
        }
        noise
    }

    fn new(look: Box<dyn FnMut() -> Vec<Duration> + 'a>, patience: Duration, is_over: &'a dyn Fn() -> bool) -> Self {
        let clock = SystemClock::new();
        Self { look, best: Vec::new(), clock, lost: Duration::ZERO, patience, is_over, turns: 0, slow: 0, repeated: 0 }
    }

    /// Returns whether all cores run at full speed.
    fn are_quiet(&mut self) -> bool {
        let times = (self.look)();
        self.best.resize(times.len(), Duration::MAX);
        let mut are_quiet = true;
        for (best, time) in self.best.iter_mut().zip(times) {
            *best = time.min(*best);
            are_quiet &= time.mul_f64(FULL) <= *best;
        }
        are_quiet
    }

    /// Waits until all cores run at full speed or patience ends. Returns whether they do.
    fn wait(&mut self) -> bool {
        loop {
            let started = self.clock.now();
            if self.are_quiet() {
                return true;
            }
            if !self.has_patience() {
                return false;
            }
            thread::sleep(PAUSE);
            self.lost += self.clock.now().since(started);
        }
    }

    fn has_patience(&self) -> bool {
        self.lost < self.patience && !(self.is_over)()
    }

    /// Returns the time that waiting and repeating have cost so far.
    pub fn lost(&self) -> Duration {
        self.lost
    }

    /// Measures a turn, and measures it again if it was disturbed.
    pub fn measure<T>(&mut self, mut turn: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        self.turns += 1;
        let mut tries = 0;
        loop {
            let began_quiet = self.wait();
            let started = self.clock.now();
            let figures = turn()?;
            tries += 1;
            if self.are_quiet() && began_quiet {
                return Ok(figures);
            }
            if tries == TURNS_MOST || !self.has_patience() {
                self.slow += 1;
                return Ok(figures);
            }
            self.repeated += 1;
            self.lost += self.clock.now().since(started);
        }
    }

    /// Returns the number of turns, of turns with a slow core, and of repeated turns.
    pub fn line(&self) -> Line {
        let figures = [self.turns, self.slow, self.repeated].map(f64::from);
        Line::of("noise", "slow cores", &COLUMNS, figures.to_vec())
    }
}

/// Runs the same work on all of these cores at once, and returns the time on each.
fn work_on(cores: &[usize]) -> Vec<Duration> {
    let clock = SystemClock::new();
    let work_here = |core: usize| {
        // If pinning is not allowed, any core says something about the machine.
        pin_here(core);
        let time = |_| {
            let started = clock.now();
            black_box(work(black_box(STEPS)));
            clock.now().since(started)
        };
        (0..TRIES).map(time).min().unwrap_or_default()
    };
    thread::scope(|scope| {
        let workers: Vec<_> = cores.iter().map(|core| scope.spawn(move || work_here(*core))).collect();
        workers.into_iter().map(join).collect()
    })
}

fn join(worker: ScopedJoinHandle<'_, Duration>) -> Duration {
    worker.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// Runs four independent dependency chains, which keep a core fully busy.
fn work(steps: u64) -> u64 {
    let mut chains = [1u64, 2, 3, 4];
    for step in 0..steps {
        for chain in &mut chains {
            *chain = (*chain ^ (*chain << 13)).wrapping_add(step).rotate_left(7);
        }
    }
    chains.into_iter().fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const FAST: Duration = Duration::from_micros(100);
    const SLOW: Duration = Duration::from_micros(180);

    /// Noise that first measures these times, one after the other, and then fast cores.
    fn noise_of(looks: &[[Duration; 2]], patience: Duration) -> Noise<'static> {
        let mut looks = VecDeque::from_iter(looks.iter().copied());
        let look = move || looks.pop_front().unwrap_or([FAST; 2]).to_vec();
        let mut noise = Noise::new(Box::new(look), patience, &|| false);
        noise.best = vec![FAST; 2];
        noise
    }

    fn turns_of(noise: &mut Noise<'_>) -> usize {
        let mut turns = 0;
        let mut turn = || {
            turns += 1;
            Ok(())
        };
        noise.measure(&mut turn).unwrap();
        turns
    }

    #[test]
    fn a_turn_waits_for_a_slow_core_and_is_measured_once() {
        let mut noise = noise_of(&[[SLOW, FAST], [FAST, SLOW]], Duration::from_secs(10));
        assert_eq!(turns_of(&mut noise), 1);
        assert_eq!((noise.repeated, noise.slow), (0, 0));
        assert!(noise.lost() >= 2 * PAUSE);
    }

    #[test]
    fn a_turn_that_ends_on_a_slow_core_is_repeated() {
        let mut noise = noise_of(&[[FAST; 2], [FAST, SLOW]], Duration::from_secs(10));
        assert_eq!(turns_of(&mut noise), 2);
        assert_eq!((noise.repeated, noise.slow), (1, 0));
    }

    #[test]
    fn without_patience_slow_turns_are_kept_and_counted() {
        let mut noise = noise_of(&[[SLOW; 2]; 3], Duration::ZERO);
        assert_eq!((turns_of(&mut noise), turns_of(&mut noise)), (1, 1));
        assert_eq!((noise.turns, noise.slow), (2, 2));
        assert_eq!([0, 1, 2].map(|column| noise.line().median(column)), [2.0, 2.0, 0.0]);
    }

    #[test]
    fn a_machine_that_is_never_quiet_delays_a_turn_for_a_limited_time() {
        let mut noise = noise_of(&[[SLOW; 2]; 1_000], 5 * PAUSE);
        assert_eq!(turns_of(&mut noise), 1);
        assert_eq!(noise.slow, 1);
        let mut noise = noise_of(&[[FAST; 2], [SLOW; 2]].repeat(20), Duration::from_secs(10));
        assert_eq!(turns_of(&mut noise), TURNS_MOST);
        assert_eq!((noise.repeated as usize, noise.slow), (TURNS_MOST - 1, 1));
        // The last attempt may be undisturbed.
        let looks = [[[FAST; 2], [SLOW; 2]].repeat(TURNS_MOST - 1), vec![[FAST; 2]; 2]].concat();
        let mut noise = noise_of(&looks, Duration::from_secs(10));
        assert_eq!((turns_of(&mut noise), noise.slow), (TURNS_MOST, 0));
    }

    #[test]
    fn the_full_speed_of_a_core_is_learned_from_samples() {
        let mut noise = noise_of(&[[SLOW; 2], [FAST; 2], [SLOW; 2]], Duration::ZERO);
        noise.best.clear();
        assert_eq!([noise.are_quiet(), noise.are_quiet(), noise.are_quiet()], [true, true, false]);
    }

    #[test]
    fn the_noise_has_its_own_line_and_any_time_is_accepted() {
        const TIME: Column = Column::cost("time", "ns");
        let one = Candidate::new(vec![Line::new("t", "one", &[TIME])], || Ok(vec![vec![1.0]]));
        let lines = run(vec![one], Schedule::new(Duration::ZERO, &|| false), &[0]).unwrap();
        assert_eq!((lines[0].median(0), lines[1].median(0)), (1.0, 1.0));
        let never = Candidate::new(vec![], || Err(Error::Interrupted));
        assert!(run(vec![never], Schedule::new(Duration::MAX, &|| false), &[0]).is_err());
    }
}
