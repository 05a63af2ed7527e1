//! A running client, and the loads under which it is measured.

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

/// Bytes of one write to a client in the saturated load.
const BATCH: usize = 64 * 1024;
/// A pause of this thread that is longer than this has another cause than the client: other load used the core.
const DISTURBED: Duration = Duration::from_micros(25);
/// Attempts to run a paced load without losing this thread's core for too long.
const TRIES: usize = 10;
/// Maximum part of the frames that is left out of the latencies. If it is more, the load is repeated.
const DISTURBED_MOST: f64 = 0.5;
/// The longest recorded latency, in ns.
const LONGEST: u64 = 60_000_000_000;

/// A running client, fed and read by this thread.
pub struct Session<'a> {
    // Dropped before the strategy: a client is easier to stop once its connection is closed.
    connection: Connection,
    strategy: Box<dyn Strategy>,
    traffic: &'a mut Traffic,
    clock: SystemClock,
    /// Messages sent so far, and messages that the strategy has seen or missed.
    sent: u64,
    seen: u64,
    next_frame: usize,
}

/// The results of a saturated load.
#[derive(Debug, Clone, Copy)]
pub struct Saturated {
    /// CPU time of all the client's threads for each frame, in ns.
    pub cpu_ns: f64,
    /// Frames per second, until the strategy has seen the last one.
    pub frames_per_second: f64,
    /// The part of the frames that did not fit into the strategy's queue.
    pub missed: f64,
}

/// The results of a paced load: latencies from the time frames were due until the strategy had them.
#[derive(Debug, Clone)]
pub struct Paced {
    /// In ns.
    pub latency: Histogram<u64>,
    /// The part of the frames that were under way while this thread had lost its core. They are not in `latency`.
    pub disturbed: f64,
    /// The part of the frames that did not fit into the strategy's queue. They are not in `latency` either.
    pub missed: f64,
}

impl<'a> Session<'a> {
    /// Starts a client and sends it the first message of each stream.
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
        // For a few frames, the CPU time may be less than the time between the two clock reads of `cpu`.
        let (time, cpu) = (self.clock.now().since(started), self.cpu().saturating_sub(cpu));
        Ok(Saturated {
            cpu_ns: cpu.as_nanos() as f64 / frames as f64,
            frames_per_second: frames as f64 / time.as_secs_f64(),
            missed: (self.strategy.missed() - missed) as f64 / frames as f64,
        })
    }

    /// Sends `per_second` frames a second, each in its own write when it is due. If the client delays the feeder, the
    /// latency of late frames still counts from when they were due. Starts again, a few times, if this thread
    /// lost its core for most of the time.
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
                // The client is responsible for the time that it takes to deliver many updates at once.
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
                // The client is responsible for the time that sending takes.
                last_look = self.clock.now();
            }
        }
    }

    /// Sends frames as fast as possible, each in its own write. Returns the number of frames per second.
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

    /// Sends `frames` frames in one write, `times` times, and measures each burst from the write until the last frame
    /// is seen.
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

    /// Adds the next frame to the output.
    fn push(&mut self) -> Result<(), Error> {
        let frame = self.traffic.frames[self.next_frame].numbered(self.sent);
        self.connection.push(frame)?;
        self.sent += 1;
        self.next_frame = (self.next_frame + 1) % self.traffic.frames.len();
        Ok(())
    }

    /// Returns the number of the next message from the strategy, if there is one.
    #[inline]
    fn see(&mut self) -> Option<u64> {
        let stamp = self.strategy.poll()?;
        let n = stamp - FIRST_STAMP;
        self.seen = n + 1;
        Some(n)
    }

    /// Returns the CPU time of the client: that of all other threads of this process, or of the client's own process.
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

/// Frames of a paced load that are sent and not yet seen by the strategy.
struct UnderWay {
    /// The number of each frame, and when it was due.
    frames: VecDeque<(u64, Nanos)>,
    /// Frames due before this time are not counted, because this thread had lost its core.
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

    /// Records that the strategy has seen this frame. It has missed the earlier frames that it has not seen.
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
