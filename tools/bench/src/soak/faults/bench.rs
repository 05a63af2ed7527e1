//! An engine under observation: its events, the health that a reader sees, and its gaps.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use hoga::config::Config;
use hoga::engine::{Lifecycle, LifecycleEvent};
use hoga::model::{ConnectionId, Nanos, StreamKey};
use hoga::session::Event;
use hoga_cli::exit::Failure;
use hoga_cli::signals::Interrupt;

use super::case::{Case, Expected};
use crate::bed::{Bed, Size};
use crate::reader::{Account, Reader};
use crate::watch::{self, Watch};

const LOOK_EVERY: Duration = Duration::from_micros(500);
/// A fault that takes longer counts as not recovered.
const RECOVER_MAX: Duration = Duration::from_secs(60);

pub struct Observed {
    pub bed: Bed,
    pub watch: Watch,
    reader: Reader,
    events: Lifecycle,
    interrupt: Interrupt,
}

/// What became of one fault. Times count from its begin, except `recovered`, which counts from its end.
#[derive(Debug, Default)]
pub struct Outcome {
    /// When the engine ended the socket, or a value was not live any more.
    pub detected: Option<Duration>,
    /// When the streams were requested again.
    pub requested: Option<Duration>,
    /// When nothing spoke against any stream, and the fault had done its harm.
    pub recovered: Option<Duration>,
    /// The code of the disconnect, or the reason of the health.
    pub reason: String,
    /// The healths that a reader saw, other than `live`.
    pub seen: BTreeSet<&'static str>,
    /// Number of streams for which a gap was reported.
    pub gaps: usize,
    /// Sockets and attempts that ended.
    pub disconnects: usize,
}

/// An event of a connection that matters here.
pub enum Noticed {
    Ended { at: Nanos, code: &'static str },
    Requested { at: Nanos },
}

impl Observed {
    pub fn start(size: Size, interrupt: Interrupt) -> Result<Self, Failure> {
        let bed = Bed::start(size)?;
        let events = bed.engine.lifecycle();
        let reader = Reader::start(&bed)?;
        bed.wait_ready()?;
        let watch = Watch::new(&bed.engine, &watch::keys(&bed.markets), Config::default().stale_after)
            .map_err(|e| Failure::Failed(format!("a stream cannot be read: {e}")))?;
        Ok(Self { bed, watch, reader, events, interrupt })
    }

    pub fn now(&self) -> Nanos {
        self.bed.engine.now()
    }

    /// Returns the events of the connections since the last call.
    pub fn noticed(&self) -> Vec<(ConnectionId, Noticed)> {
        let of_connection = |event| match event {
            LifecycleEvent::Connection { connection, event: Event::Disconnected { at, reason, .. } } => {
                Some((connection, Noticed::Ended { at, code: reason.code() }))
            }
            LifecycleEvent::Connection { connection, event: Event::Requested { at, again: false, .. } } => {
                Some((connection, Noticed::Requested { at }))
            }
            _ => None,
        };
        std::iter::from_fn(|| self.events.try_next()).filter_map(of_connection).collect()
    }

    /// Lets a moment pass.
    pub fn idle(&self) -> Result<(), Failure> {
        thread::sleep(LOOK_EVERY);
        if self.interrupt.is_asked() { Err(Failure::Interrupted) } else { Ok(()) }
    }

    /// Lets a moment pass, and looks at all streams.
    pub fn step(&mut self) -> Result<(), Failure> {
        self.idle()?;
        let now = self.now();
        self.watch.look(now, true);
        Ok(())
    }

    /// Lets time pass.
    pub fn wait(&self, time: Duration) -> Result<(), Failure> {
        let end = self.now() + time;
        while self.now() < end {
            self.idle()?;
        }
        Ok(())
    }

    /// Makes a fault, and waits for the recovery.
    pub fn observe(&mut self, case: &Case) -> Result<Outcome, Failure> {
        self.noticed();
        let (began, epochs) = (self.now(), self.bed.epochs());
        let mut outcome = Outcome::default();
        (case.begin)(&self.bed);
        while self.now().since(began) < case.lasts {
            self.note(&mut outcome, began)?;
        }
        if !case.lasts.is_zero() {
            (case.end)(&self.bed);
        }
        let ended = self.now();
        while self.now().since(ended) < RECOVER_MAX {
            self.note(&mut outcome, began)?;
            let has_recovered = match case.expected {
                Expected::NewSocket => self.bed.epochs().iter().zip(&epochs).any(|(now, before)| now > before),
                Expected::Asked { market } => outcome.detected.is_some() && self.is_heard(self.bed.book(market), ended),
                Expected::Nothing => self.watch.last.heard.iter().all(|heard| *heard > ended),
            };
            if has_recovered && self.watch.last.undisputed == self.watch.len() {
                outcome.recovered = Some(self.watch.last.at.since(ended));
                break;
            }
        }
        // The account of gaps follows within a second.
        self.wait(Duration::from_millis(1200))?;
        outcome.gaps = self.gaps_since(began);
        Ok(outcome)
    }

    fn is_heard(&self, stream: Option<StreamKey>, since: Nanos) -> bool {
        stream.and_then(|stream| self.watch.received(stream)).is_some_and(|at| at > since)
            && self.watch.last.worst.is_none()
    }

    /// Lets a moment pass, and notes what happens.
    fn note(&mut self, outcome: &mut Outcome, began: Nanos) -> Result<(), Failure> {
        self.step()?;
        for (_, noticed) in self.noticed() {
            match noticed {
                Noticed::Ended { at, code } => {
                    outcome.detected.get_or_insert(at.since(began));
                    if outcome.disconnects == 0 {
                        code.clone_into(&mut outcome.reason);
                    }
                    outcome.disconnects += 1;
                }
                Noticed::Requested { at } => drop(outcome.requested.get_or_insert(at.since(began))),
            }
        }
        if let Some(health) = self.watch.last.worst {
            outcome.detected.get_or_insert(self.watch.last.at.since(began));
            outcome.seen.insert(health.as_str());
            if outcome.reason.is_empty() {
                outcome.reason = health.reason().map_or("", |reason| reason.as_str()).to_owned();
            }
        }
        Ok(())
    }

    /// Returns the number of streams with a gap that was open after this time.
    pub fn gaps_since(&self, at: Nanos) -> usize {
        let gaps = self.bed.engine.gaps().gaps;
        let since = gaps.iter().filter(|gap| gap.to.is_none_or(|end| end.received > at));
        since.map(|gap| gap.stream).collect::<BTreeSet<_>>().len()
    }

    /// Ends the engine. Returns the account of each feed.
    pub fn finish(self) -> Result<Vec<Account>, Failure> {
        self.bed.inject(hoga_exchange::Fault::Mute(true));
        thread::sleep(Duration::from_millis(500));
        let accounts = self.reader.finish();
        self.bed.engine.shutdown(Duration::from_secs(5)).into_result()?;
        Ok(accounts)
    }
}
