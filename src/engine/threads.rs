//! Starts and joins the engine's threads.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};

use super::connection::Connection;
use super::control::Control;
use super::log::{self, Note};
use super::shutdown::ShutdownReport;
use crate::call::drop_quietly;
use crate::model::{Clock, Market, Nanos, panic_message};
use crate::net::{MarketSource, Reactor, SourceError, SourceFailure, SystemClock, pin};
use crate::plan::MarketList;
use crate::sync::lossy::Reader;

/// The longest time between two polls of the control thread.
const POLL_EVERY_MAX: Duration = Duration::from_secs(1);

/// The pause of the control thread after a panic, so that one that comes again and again does not take a core.
const PANIC_PAUSE: Duration = Duration::from_millis(100);

/// How often the markets thread checks whether the engine has stopped.
const STOP_CHECK_EVERY: Duration = Duration::from_millis(50);

/// How a thread ended.
enum End {
    /// The thread ended as requested, with this number of lookups still hanging.
    Stopped { hanging_lookups: usize },
    /// The thread panicked.
    Panicked,
}

/// Asks the source for its markets and the number of unusable entries. A panic of the source is a failure like others.
fn ask(source: &mut dyn MarketSource) -> Result<(Vec<Market>, u64), SourceError> {
    let answer = catch_unwind(AssertUnwindSafe(|| source.markets().map(|markets| (markets, source.skipped()))));
    answer.unwrap_or_else(|panic| {
        let failure = SourceFailure::Panicked(panic_message(&*panic));
        drop_quietly(panic);
        Err(SourceError { url: "the market source of the program".to_owned(), failure })
    })
}

/// A running thread.
pub(super) struct Thread {
    name: String,
    handle: JoinHandle<()>,
    end: Receiver<End>,
}

impl Thread {
    /// Starts the thread of a connection.
    ///
    /// `alive` becomes false when the thread ends, for any reason.
    pub fn connection(
        reactor: Reactor,
        connection: Connection<SystemClock>,
        core: Option<usize>,
        alive: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let name = format!("hoga-conn-{}", connection.id());
        Self::start(name, alive, move || {
            // The connection is dropped during unwinding, so its publishers then report that the connection is down.
            let mut connection = connection;
            if let Some(core) = core
                && !pin(core)
            {
                connection.not_pinned(core);
            }
            reactor.run(&mut connection)
        })
    }

    /// Starts the thread that writes the log.
    pub fn log(notes: Reader<Note>) -> io::Result<Self> {
        // Not part of the engine's liveness: the data stays current without this thread.
        let alive = Arc::new(AtomicBool::new(true));
        Self::start("hoga-log".to_owned(), alive, move || {
            log::write_all(&notes);
            0
        })
    }

    /// Starts the control thread.
    pub fn control(control: Arc<Control>) -> io::Result<Self> {
        let alive = control.alive.clone();
        Self::start("hoga-control".to_owned(), alive, move || {
            while !control.is_stopped() {
                // After a panic, the next poll rebuilds the hub.
                let poll = catch_unwind(AssertUnwindSafe(|| control.poll()));
                let next = poll.unwrap_or_else(|_| control.clock.now() + PANIC_PAUSE);
                thread::park_timeout(next.since(control.clock.now()).min(POLL_EVERY_MAX));
            }
            0
        })
    }

    /// Starts the thread that asks which markets exist.
    pub fn markets(control: Arc<Control>, mut source: Box<dyn MarketSource>, every: Duration) -> io::Result<Self> {
        // Not part of the engine's liveness: the data stays current without this thread.
        let alive = Arc::new(AtomicBool::new(true));
        Self::start("hoga-markets".to_owned(), alive, move || {
            let mut list = MarketList::new(every);
            while !control.is_stopped() {
                control.take_markets(&mut list, ask(&mut *source));
                let until = control.clock.now() + list.pause();
                while !control.is_stopped() && control.clock.now() < until {
                    thread::park_timeout(until.since(control.clock.now()).min(STOP_CHECK_EVERY));
                }
            }
            0
        })
    }

    /// Returns the handle that wakes the thread.
    pub fn handle(&self) -> thread::Thread {
        self.handle.thread().clone()
    }

    /// Starts a thread. `body` returns the number of lookups that it left hanging.
    pub fn start(
        name: String,
        alive: Arc<AtomicBool>,
        body: impl FnOnce() -> usize + Send + 'static,
    ) -> io::Result<Self> {
        let (ended, end) = bounded(1);
        let handle = thread::Builder::new().name(name.clone()).spawn(move || {
            let outcome = match catch_unwind(AssertUnwindSafe(body)) {
                Ok(hanging_lookups) => End::Stopped { hanging_lookups },
                Err(_) => End::Panicked,
            };
            alive.store(false, Relaxed);
            // The receiver is gone if the engine gave up at its deadline.
            let _ = ended.try_send(outcome);
        })?;
        Ok(Self { name, handle, end })
    }

    /// Waits until `deadline` for the thread to end, and adds the result to the report. Returns the thread if it still
    /// runs.
    pub fn join(self, clock: &SystemClock, deadline: Nanos, report: &mut ShutdownReport) -> Option<Self> {
        let time_left = deadline.since(clock.now()).max(Duration::from_millis(1));
        let Ok(end) = self.end.recv_timeout(time_left) else { return Some(self) };
        // The thread sends its end as its last action, so this does not block.
        let _ = self.handle.join();
        if let End::Stopped { hanging_lookups } = end {
            report.hanging_lookups += hanging_lookups;
            report.joined.push(self.name);
        } else {
            report.panicked.push(self.name);
        }
        None
    }

    pub fn into_name(self) -> String {
        self.name
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_thread_that_panics_is_not_alive_and_is_named_by_the_report() {
        let (clock, alive) = (SystemClock::new(), Arc::new(AtomicBool::new(true)));
        let thread = Thread::start("hoga-test".to_owned(), alive.clone(), || panic!("a bug")).unwrap();
        let (deadline, mut report) = (clock.now() + Duration::from_secs(60), ShutdownReport::default());
        assert!(thread.join(&clock, deadline, &mut report).is_none());
        assert!(!alive.load(Relaxed));
        assert_eq!((&report.panicked[..], report.joined.len()), (&["hoga-test".to_owned()][..], 0));
        let error = report.into_result().unwrap_err();
        assert!(matches!(&error, Error::ThreadPanicked(name) if name == "hoga-test"), "{error}");
    }

    #[test]
    fn a_thread_that_does_not_end_in_time_is_given_back() {
        let (clock, alive) = (SystemClock::new(), Arc::new(AtomicBool::new(true)));
        let (release, released) = bounded::<()>(0);
        let body = move || {
            let _ = released.recv();
            0
        };
        let thread = Thread::start("hoga-test".to_owned(), alive, body).unwrap();
        let mut report = ShutdownReport::default();
        let thread = thread.join(&clock, clock.now(), &mut report).expect("it still runs");
        drop(release);
        assert!(thread.join(&clock, clock.now() + Duration::from_secs(60), &mut report).is_none());
        assert_eq!(report.joined, ["hoga-test"]);
    }
}
