//! Time of something short, done again and again.

use std::time::Duration;

use hoga::model::Clock;
use hoga::net::SystemClock;
use hoga_lab::rounds::{Contestant, Line};

use super::TIME;

/// Repeats `work` for about as long as a turn lasts; each call of it does a thing `times` times. In ns for one.
pub fn repeat(turn: Duration, times: usize, mut work: impl FnMut()) -> f64 {
    let clock = SystemClock::new();
    let started = clock.now();
    let mut calls = 0;
    loop {
        work();
        calls += 1;
        let spent = clock.now().since(started);
        if spent >= turn {
            return spent.as_nanos() as f64 / (calls * times) as f64;
        }
    }
}

/// A row whose turns are repetitions of `work`.
pub fn row<'a>(table: &str, name: &str, turn: Duration, times: usize, mut work: impl FnMut() + 'a) -> Contestant<'a> {
    Contestant::new(vec![Line::new(table, name, &TIME)], move || Ok(vec![vec![repeat(turn, times, &mut work)]]))
}
