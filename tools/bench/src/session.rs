//! When the feeder sends what, and what that cost and took.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;
use hoga::model::{Clock, Nanos};
use hoga::net::SystemClock;

use crate::cpu::{process_cpu, thread_cpu};
use crate::serving::feeder::{Connection, Feeder, PATIENCE};
use crate::serving::traffic::{FIRST_STAMP, Traffic};
use crate::stack::{Stack, Strategy};
use hoga_cli::rounds::Error;

/// What is written at once when the client shall be saturated.
const BATCH: usize = 64 * 1024;
/// A pause of this thread longer than this was not the client's doing: something else had the core.
const DISTURBED: Duration = Duration::from_micros(25);
/// Tries to have enough of this thread's time for a paced load.
const TRIES: usize = 10;
/// The part of the frames that may be left out of its latencies.
const DISTURBED_MOST: f64 = 0.5;
/// No message takes longer.
const LONGEST: u64 = 60_000_000_000;

/// A client that runs, fed and watched by this thread.
pub struct Session<'a> {
    // Dropped before the strategy: a client is easier to stop when nobody talks to it.
    connection: Connection,
    strategy: Box<dyn Strategy>,
    traffic: &'a mut Traffic,
    clock: SystemClock,
    /// Messages sent so far, and those that the strategy has seen or missed.
    sent: u64,
    seen: u64,
    next_frame: usize,
}

/// What a client spent on as much as it can take.
#[derive(Debug, Clone, Copy)]
pub struct Saturated {
    /// CPU time of all its threads for each frame, in ns.
    pub cpu_ns: f64,
    /// Frames in a second, until the strategy has seen the last.
    pub frames_per_second: f64,
    /// Part of the frames that the strategy's queue could not hold.
    pub missed: f64,
}

/// How long frames took from the moment they were due until the strategy had them.
#[derive(Debug, Clone)]
pub struct Paced {
    /// In ns.
    pub latency: Histogram<u64>,
    /// Part of the frames that were on their way while this thread had lost its core. They are not in `latency`.
    pub disturbed: f64,
    /// Part of the frames that the strategy's queue could not hold. They are not in `latency` either.
    pub missed: f64,
}

impl<'a> Session<'a> {
    /// Starts a client and lets it have the first message of each stream.
    pub fn start(stack: &dyn Stack, feeder: &Feeder, traffic: &'a mut Traffic, core: usize) -> Result<Self, Error> {
        let strategy = stack.start(&feeder.endpoint(&traffic.wants, core))?;
        let connection = feeder.accept()?;
        let clock = SystemClock::new();
        let mut session = Self { connection, strategy, traffic, clock, sent: 0, seen: 0, next_frame: 0 };
        for place in 0..session.traffic.snapshots.len() {
            let frame = session.traffic.snapshots[place].numbered(session.sent);
            session.connection.push(frame)?;
            session.sent += 1;
        }
        session.connection.send()?;
        session.catch_up()?;
        Ok(session)
    }

    /// Sends frames as fast as the client takes them.
    pub fn saturate(&mut self, frames: u64) -> Result<Saturated, Error> {
        let (started, cpu, missed) = (self.clock.now(), self.cpu(), self.strategy.missed());
        for _ in 0..frames {
            self.push()?;
            if self.connection.pending() >= BATCH {
                self.connection.send()?;
                while self.see().is_some() {}
            }
        }
        self.connection.send()?;
        self.catch_up()?;
        // Of a few frames it may be less than what passes between the two clocks of `cpu`.
        let (time, cpu) = (self.clock.now().since(started), self.cpu().saturating_sub(cpu));
        Ok(Saturated {
            cpu_ns: cpu.as_nanos() as f64 / frames as f64,
            frames_per_second: frames as f64 / time.as_secs_f64(),
            missed: (self.strategy.missed() - missed) as f64 / frames as f64,
        })
    }

    /// Sends so many frames a second, each on its own and each when it is due. If the client holds up the feeder, those
    /// that are late because of it count from when they were due. Begins anew, some times, if this thread lost its core
    /// for most of it.
    pub fn pace(&mut self, per_second: u64, time: Duration) -> Result<Paced, Error> {
        for _ in 0..TRIES {
            let paced = self.try_pace(per_second, time)?;
            if paced.disturbed <= DISTURBED_MOST && !paced.latency.is_empty() {
                return Ok(paced);
            }
        }
        Err(Error::Disturbed)
    }

    fn try_pace(&mut self, per_second: u64, time: Duration) -> Result<Paced, Error> {
        let gap = Duration::from_nanos(1_000_000_000 / per_second);
        let (mut latency, mut under_way) = (histogram()?, VecDeque::with_capacity(1 << 16));
        let (mut all, mut disturbed, mut missed) = (0u64, 0u64, 0u64);
        let mut last_look = self.clock.now();
        let mut due = last_look + gap;
        let end = due + time;
        // Frames due before this are not counted: this thread was away.
        let mut counted_from = due;
        loop {
            let now = self.clock.now();
            if now.since(last_look) > DISTURBED {
                counted_from = now;
                due = due.max(now);
            }
            last_look = now;
            while let Some(n) = self.see() {
                let seen = self.clock.now();
                // Taking what the client has delivered at once is the client's to answer for.
                last_look = seen;
                while let Some((sent, was_due)) = under_way.pop_front() {
                    if sent != n {
                        missed += 1;
                    } else if was_due < counted_from {
                        disturbed += 1;
                    } else {
                        record(&mut latency, seen.since(was_due));
                    }
                    if sent == n {
                        break;
                    }
                }
            }
            if due > end && (under_way.is_empty() || now > end + PATIENCE) {
                break;
            }
            if now >= due && due <= end {
                under_way.push_back((self.sent, due));
                self.push()?;
                self.connection.send()?;
                all += 1;
                due = due + gap;
                // Time spent sending is the client's to answer for.
                last_look = self.clock.now();
            }
        }
        if !under_way.is_empty() {
            return Err(Error::Failed(format!("{} frames never arrived", under_way.len())));
        }
        let part = |frames: u64| frames as f64 / all.max(1) as f64;
        Ok(Paced { latency, disturbed: part(disturbed), missed: part(missed) })
    }

    /// Sends frames as fast as it goes, each in a write of its own: how many a second.
    pub fn send_singly(&mut self, frames: u64) -> Result<f64, Error> {
        let started = self.clock.now();
        for _ in 0..frames {
            self.push()?;
            self.connection.send()?;
            while self.see().is_some() {}
        }
        let time = self.clock.now().since(started);
        self.catch_up()?;
        Ok(frames as f64 / time.as_secs_f64())
    }

    /// Sends so many frames in one write, again and again, and measures from the write until the last of them is seen.
    pub fn burst(&mut self, frames: usize, times: usize) -> Result<Histogram<u64>, Error> {
        const PAUSE: Duration = Duration::from_millis(1);
        let mut latency = histogram()?;
        for _ in 0..times {
            for _ in 0..frames {
                self.push()?;
            }
            let rested = self.clock.now() + PAUSE;
            while self.clock.now() < rested {}
            let written = self.clock.now();
            self.connection.send()?;
            self.catch_up()?;
            record(&mut latency, self.clock.now().since(written));
        }
        Ok(latency)
    }

    /// Adds the next frame to what goes out.
    fn push(&mut self) -> Result<(), Error> {
        let frame = self.traffic.frames[self.next_frame].numbered(self.sent);
        self.connection.push(frame)?;
        self.sent += 1;
        self.next_frame = (self.next_frame + 1) % self.traffic.frames.len();
        Ok(())
    }

    /// The number of the next message that the strategy has.
    #[inline]
    fn see(&mut self) -> Option<u64> {
        let stamp = self.strategy.poll()?;
        let n = stamp - FIRST_STAMP;
        self.seen = n + 1;
        Some(n)
    }

    /// CPU time of the client: that of everybody but this thread, unless it is a process of its own.
    fn cpu(&self) -> Duration {
        self.strategy.cpu().unwrap_or_else(|| process_cpu().saturating_sub(thread_cpu()))
    }

    /// Waits until the strategy has seen the last message.
    fn catch_up(&mut self) -> Result<(), Error> {
        let patience: Nanos = self.clock.now() + PATIENCE;
        while self.seen < self.sent {
            if self.see().is_none() && self.clock.now() > patience {
                let (seen, sent) = (self.seen, self.sent);
                return Err(Error::Failed(format!(
                    "message {sent} did not arrive within {PATIENCE:?}; the last was {seen}"
                )));
            }
        }
        Ok(())
    }
}

fn histogram() -> Result<Histogram<u64>, Error> {
    Histogram::new_with_max(LONGEST, 3).map_err(|e| Error::failed("a histogram", e))
}

fn record(into: &mut Histogram<u64>, time: Duration) {
    into.saturating_record(time.as_nanos() as u64);
}
