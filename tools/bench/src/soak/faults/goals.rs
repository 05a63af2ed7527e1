//! The goals that need many faults: explicit ends, half-open connections, an outage.

use std::collections::BTreeMap;
use std::time::Duration;

use hoga::model::{ConnectionId, Nanos};
use hoga_cli::exit::Failure;

use super::bench::{Noticed, Observed};
use super::case::refuse_connects;
use crate::promise::Promise;
use crate::proxy::Harm;
use crate::report::ms;

/// Explicit ends, in turn.
const EXPLICIT: [Harm; 4] = [Harm::Reset, Harm::Eof, Harm::Cut, Harm::Garbage];
/// The time between two of them: fewer than five dials a second, and sockets that are old enough to have worked.
const PAUSE: Duration = Duration::from_millis(300);
const NEVER: Duration = Duration::from_secs(20);
const OUTAGE: Duration = Duration::from_secs(30);
/// As many sockets as may be opened at once.
const STALLED: usize = 4;

/// Ends one socket after another. Returns the goals for the time from the end to the next request.
pub fn explicit(observed: &Observed, faults: usize) -> Result<Vec<Promise>, Failure> {
    let mut times = Vec::new();
    for fault in 0..faults {
        observed.wait(PAUSE)?;
        observed.noticed();
        let before = observed.bed.proxy.harmed_at();
        observed.bed.proxy.harm_one(0, EXPLICIT[fault % EXPLICIT.len()]);
        let requested = next_request(observed)?;
        let harmed = observed.bed.proxy.harmed_at();
        times.extend(requested.filter(|_| harmed > before).map(|at| ms(at.since(harmed))));
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(f64::INFINITY);
    Ok(vec![
        Promise::least("explicit faults with a new request", times.len() as f64, faults as f64),
        Promise::most("explicit fault to the next request, p50, ms", at(0.5), 5.0),
        Promise::most("explicit fault to the next request, p99, ms", at(0.99), 20.0),
    ])
}

/// Waits until a connection whose socket has ended sends a request. Returns the time of the request.
fn next_request(observed: &Observed) -> Result<Option<Nanos>, Failure> {
    let (deadline, mut ended) = (observed.now() + NEVER, None);
    while observed.now() < deadline {
        observed.idle()?;
        for (connection, noticed) in observed.noticed() {
            match noticed {
                Noticed::Ended { .. } => ended = Some(connection),
                Noticed::Requested { at } if ended == Some(connection) => return Ok(Some(at)),
                Noticed::Requested { .. } => {}
            }
        }
    }
    Ok(None)
}

/// Stalls connections, and returns the goal for the longest time until one sends a request on its next socket.
pub fn half_open(observed: &Observed, rounds: usize) -> Result<Promise, Failure> {
    let mut worst = 0f64;
    for _ in 0..rounds {
        observed.wait(2 * PAUSE)?;
        observed.noticed();
        let began = observed.now();
        (0..STALLED).for_each(|_| observed.bed.proxy.harm_one(0, Harm::Stall));
        let mut requested = BTreeMap::<ConnectionId, Option<Duration>>::new();
        while requested.values().flatten().count() < STALLED && observed.now().since(began) < NEVER {
            observed.idle()?;
            for (connection, noticed) in observed.noticed() {
                match noticed {
                    Noticed::Ended { .. } => drop(requested.entry(connection).or_default()),
                    Noticed::Requested { at } => {
                        let time = requested.get_mut(&connection);
                        time.map(|time| time.get_or_insert(at.since(began)));
                    }
                }
            }
        }
        let times: Vec<_> = requested.values().flatten().copied().map(ms).collect();
        let slowest = if times.len() < STALLED { f64::INFINITY } else { times.into_iter().fold(0.0, f64::max) };
        worst = worst.max(slowest);
    }
    Ok(Promise::most("half-open to the next request, worst, ms", worst, 5000.0))
}

/// Refuses connects for 30 s. Returns the goal for the time until everything is undisputed again.
pub fn outage(observed: &mut Observed) -> Result<Promise, Failure> {
    let epochs = observed.bed.epochs();
    refuse_connects(&observed.bed);
    observed.wait(OUTAGE)?;
    observed.bed.proxy.refuse(false);
    let ended = observed.now();
    let back = |observed: &Observed| {
        let is_new = observed.bed.epochs().iter().zip(&epochs).all(|(now, before)| now > before);
        is_new && observed.watch.last.undisputed == observed.watch.len()
    };
    while !back(observed) && observed.now().since(ended) < 2 * NEVER {
        observed.step()?;
    }
    let time = if back(observed) { ms(observed.watch.last.at.since(ended)) } else { f64::INFINITY };
    Ok(Promise::most("outage of 30 s with refused connects to all streams undisputed, ms", time, 5000.0))
}
