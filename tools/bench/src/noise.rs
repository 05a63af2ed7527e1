//! Detects noise: other load that slows the cores down.
//!
//! Virtual cores share the hardware below them. Beside a busy one, a core does half as much, and code that keeps a core at
//! work loses more by that than code that waits for memory most of the time: ratios move too. So the same short work is
//! timed before and after each turn. A turn waits for cores at full speed, and is repeated if it ended on a slower one, as
//! long as patience lasts. Every turn is counted, also one whose round is discarded.

use std::cell::RefCell;
use std::hint::black_box;
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use hoga::model::Clock;
use hoga::net::SystemClock;
use hoga_cli::rounds::{self, Candidate, Column, Error, Line, Schedule};

use crate::cpu::pin_here;

/// A core has its full speed if it is at this part of the best that was seen of it.
const FULL: f64 = 0.9;
/// Steps of the work. They take some 100 µs, so that the noise has no time to change much.
const STEPS: u64 = 50_000;
/// How often the work is done; the best counts, so that an interrupt is not taken for noise.
const TRIES: usize = 3;
/// Between two looks, while waiting for quiet cores.
const PAUSE: Duration = Duration::from_millis(10);
/// Looks in the beginning, to learn what the cores can do.
const FIRST_LOOKS: usize = 50;
/// How often a turn is measured at most.
const TURNS_MOST: usize = 4;

const COLUMNS: [Column; 3] = [Column::tail("turns", ""), Column::tail("slow", ""), Column::tail("repeated", "")];

/// What [`run`] means for the user, for the help of a command.
pub const ON_QUIET: &str = "\
While other load on the machine slows a core down, a turn waits or is measured again. The time lost is
added to --time, up to twice as much as --time. The last table counts these turns.";

/// Lets candidates take their turns as [`rounds::run`] does. Turns wait until these cores are quiet, or are measured
/// again. What is lost by that is added to the time, up to twice as much. One more line says how often.
pub fn run<'a>(candidates: Vec<Candidate<'a>>, schedule: Schedule<'a>, cores: &'a [usize]) -> Result<Vec<Line>, Error> {
    let noise = RefCell::new(Noise::watch(cores, schedule.time().saturating_mul(2), schedule.is_over()));
    let lost = || noise.borrow().lost();
    let on_quiet = |candidate: Candidate<'a>| candidate.around(|turn| noise.borrow_mut().measure(turn));
    let mut lines = rounds::run(candidates.into_iter().map(on_quiet).collect(), schedule.extended_by(&lost))?;
    lines.push(noise.borrow().line());
    Ok(lines)
}

/// Cores under watch.
struct Noise<'a> {
    /// How long the work takes on each core now.
    look: Box<dyn FnMut() -> Vec<Duration> + 'a>,
    /// The best of each so far.
    best: Vec<Duration>,
    clock: SystemClock,
    /// What waiting and repeating have cost so far, and what they may cost.
    lost: Duration,
    patience: Duration,
    is_over: &'a dyn Fn() -> bool,
    turns: u32,
    slow: u32,
    repeated: u32,
}

impl<'a> Noise<'a> {
    /// Watches these cores. `is_over` is asked while waiting; true ends that.
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

    /// Whether all cores have their full speed.
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

    /// Waits until they have, or patience is over. Whether they have.
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

    /// What waiting and repeating have cost so far.
    pub fn lost(&self) -> Duration {
        self.lost
    }

    /// Measures a turn, and again if it was disturbed.
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

    /// How many turns there were, in how many a core was slow, and how many more were thrown away for that.
    pub fn line(&self) -> Line {
        let figures = [self.turns, self.slow, self.repeated].map(f64::from);
        Line::of("noise", "slow cores", &COLUMNS, figures.to_vec())
    }
}

/// The same work on all of these cores at once, and how long it takes each.
fn work_on(cores: &[usize]) -> Vec<Duration> {
    let clock = SystemClock::new();
    let work_here = |core: usize| {
        // Where that is not allowed, any core says something of the machine.
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

/// Four chains that do not wait for each other: as much as a core can do at once.
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

    /// Looks that find these times, one after the other, and then always fast cores.
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
        // The last try may be the one that is not disturbed.
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
