//! A client that runs, and the loads that it is measured under.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;
use hoga::model::{Clock, Nanos};
use hoga::net::SystemClock;
use hoga_cli::rounds::Error;

use crate::cpu::{process_cpu, thread_cpu};
use crate::serving::feeder::{Connection, Feeder, PATIENCE};
use crate::serving::traffic::{FIRST_STAMP, Traffic};
use crate::stack::{Stack, Strategy};

/// Bytes of one write to a client that is to be saturated.
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
    // Dropped before the strategy: a client is easier to stop once its connection is closed.
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

    /// Sends `per_second` frames a second, each on its own and each when it is due. If the client holds up the feeder,
    /// frames that are late because of it count from when they were due. Starts again, a few times, if this thread lost
    /// its core for most of it.
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
        let mut last_look = self.clock.now();
        let mut due = last_look + gap;
        let end = due + time;
        let mut under_way = UnderWay::new(due)?;
        loop {
            let now = self.clock.now();
            if now.since(last_look) > DISTURBED {
                under_way.counted_from = now;
                due = due.max(now);
            }
            last_look = now;
            while let Some(n) = self.see() {
                let seen = self.clock.now();
                // Taking what the client has delivered at once is the client's to answer for.
                last_look = seen;
                under_way.seen(n, seen);
            }
            if due > end && (under_way.frames.is_empty() || now > end + PATIENCE) {
                return under_way.paced();
            }
            if now >= due && due <= end {
                under_way.sent(self.sent, due);
                self.push()?;
                self.connection.send()?;
                due = due + gap;
                // Time spent sending is the client's to answer for.
                last_look = self.clock.now();
            }
        }
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

    /// Sends `frames` in one write, again and again, and measures from the write until the last of them is seen.
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

/// Frames of a paced load, from the moment they are sent until the strategy has them.
struct UnderWay {
    /// Number, and when it was due.
    frames: VecDeque<(u64, Nanos)>,
    /// Frames due before this are not counted: this thread was away.
    counted_from: Nanos,
    latency: Histogram<u64>,
    all: u64,
    disturbed: u64,
    missed: u64,
}

impl UnderWay {
    fn new(counted_from: Nanos) -> Result<Self, Error> {
        let frames = VecDeque::with_capacity(1 << 16);
        Ok(Self { frames, counted_from, latency: histogram()?, all: 0, disturbed: 0, missed: 0 })
    }

    fn sent(&mut self, n: u64, due: Nanos) {
        self.frames.push_back((n, due));
        self.all += 1;
    }

    /// The strategy has the frame with this number, and has missed those before it that it has not seen.
    fn seen(&mut self, n: u64, at: Nanos) {
        while let Some((sent, was_due)) = self.frames.pop_front() {
            if sent != n {
                self.missed += 1;
                continue;
            }
            if was_due < self.counted_from {
                self.disturbed += 1;
            } else {
                record(&mut self.latency, at.since(was_due));
            }
            return;
        }
    }

    fn paced(self) -> Result<Paced, Error> {
        let Self { frames, latency, all, disturbed, missed, .. } = self;
        if !frames.is_empty() {
            return Err(Error::Failed(format!("{} frames never arrived", frames.len())));
        }
        let part = |frames: u64| frames as f64 / all.max(1) as f64;
        Ok(Paced { latency, disturbed: part(disturbed), missed: part(missed) })
    }
}

fn histogram() -> Result<Histogram<u64>, Error> {
    Histogram::new_with_max(LONGEST, 3).map_err(|e| Error::failed("a histogram", e))
}

fn record(into: &mut Histogram<u64>, time: Duration) {
    into.saturating_record(time.as_nanos() as u64);
}
