//! A callback: a function of the program's and the feed whose items it is called with, on a thread of its own or of a
//! dispatcher.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::DerefMut;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dispatcher::{BATCH, Task, TaskQueue, drop_quietly};
use crate::feed::{CallbackState, FailureQuota, Feed, FeedCounters, FeedCounts, Item, Latencies, Latency, Payload};
use crate::model::{Clock, Nanos};

/// The longest text of a failure that is kept, in characters.
const FAILURE_MAX: usize = 200;

/// What a callback may return: nothing, or a result. A failure counts against its quota.
pub trait CallbackResult {
    /// What went wrong, if something did.
    fn failure(self) -> Option<String>;
}

impl CallbackResult for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Display> CallbackResult for std::result::Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|e| e.to_string())
    }
}

/// A callback that is registered. Dropping it, from any thread, ends it after the item that it is being given.
#[must_use = "dropping it ends the callback"]
pub struct Callback {
    shared: Arc<Shared>,
    queue: Arc<TaskQueue>,
}

impl Callback {
    pub(crate) fn new(shared: Arc<Shared>, queue: Arc<TaskQueue>) -> Self {
        Self { shared, queue }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Whether it is called.
    pub fn state(&self) -> CallbackState {
        self.shared.lock().state
    }

    /// How it did so far.
    pub fn status(&self) -> CallbackStatus {
        self.shared.status()
    }

    /// Ends a quarantine: it is called again, first with what waits. True if there was one.
    pub fn rearm(&self) -> bool {
        let mut record = self.shared.lock();
        let was_quarantined = record.state == CallbackState::Quarantined;
        if was_quarantined {
            record.state = CallbackState::Running;
            record.failure_quota.rearm();
        }
        drop(record);
        self.queue.wake_all();
        was_quarantined
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        // Relaxed: the signals order it.
        self.shared.over.store(true, Relaxed);
        self.shared.lock().state = CallbackState::Ended;
        self.queue.wake_all();
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callback({:?}, {})", self.shared.name, self.state().as_str())
    }
}

/// A callback at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallbackStatus {
    /// Its name.
    pub name: Box<str>,
    /// Whether it is called.
    pub state: CallbackState,
    /// How often it was called.
    pub calls: u64,
    /// How many calls failed, by an error or a panic.
    pub failures: u64,
    /// How many of these were panics.
    pub panics: u64,
    /// How many failed in a row until now, or until it was quarantined.
    pub consecutive_failures: u32,
    /// What the last failure said, bounded.
    pub last_failure: Option<Box<str>>,
    /// How long its calls took.
    pub time: Latency,
    /// How long updates took to get to it.
    pub latencies: Latencies,
    /// What came into its feed and what became of it.
    pub counts: FeedCounts,
}

/// What a callback's thread and its owner share.
pub(crate) struct Shared {
    pub name: Box<str>,
    over: AtomicBool,
    /// Locked for a moment at each call, never by a connection's thread.
    record: Mutex<Record>,
    counters: std::sync::OnceLock<Arc<FeedCounters>>,
}

struct Record {
    state: CallbackState,
    failure_quota: FailureQuota,
    calls: u64,
    failures: u64,
    panics: u64,
    last_failure: Option<Box<str>>,
    time: Latency,
    latencies: Latencies,
}

impl Shared {
    pub fn new(name: &str, quota: NonZeroU32, now: Nanos) -> Self {
        let record = Record {
            state: CallbackState::Running,
            failure_quota: FailureQuota::new(quota),
            calls: 0,
            failures: 0,
            panics: 0,
            last_failure: None,
            time: Latency::new(),
            latencies: Latencies::since(now),
        };
        Self {
            name: name.into(),
            over: AtomicBool::new(false),
            record: Mutex::new(record),
            counters: std::sync::OnceLock::new(),
        }
    }

    /// The counters of the feed that it reads, once that is open.
    pub fn set_counters(&self, counters: Arc<FeedCounters>) {
        let _ = self.counters.set(counters);
    }

    /// Its owner has dropped it.
    pub fn is_over(&self) -> bool {
        // Relaxed: the signals order it.
        self.over.load(Relaxed)
    }

    pub fn status(&self) -> CallbackStatus {
        let record = self.lock();
        CallbackStatus {
            name: self.name.clone(),
            state: record.state,
            calls: record.calls,
            failures: record.failures,
            panics: record.panics,
            consecutive_failures: record.failure_quota.consecutive_failures(),
            last_failure: record.last_failure.clone(),
            time: record.time.clone(),
            latencies: record.latencies.clone(),
            counts: self.counters.get().map(|counters| counters.counts()).unwrap_or_default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a call ended badly.
enum Failure {
    Error(String),
    Panic(String),
}

/// Called with the name of a callback and its last failure when it is quarantined.
pub(crate) type OnQuarantine = Box<dyn Fn(&str, String) + Send>;

/// A callback and the reader of its feed, as a task for threads.
pub(crate) struct Call<R, F> {
    pub feed: R,
    pub call: F,
    pub shared: Arc<Shared>,
    pub clock: Arc<dyn Clock>,
    pub on_quarantine: OnQuarantine,
}

impl<T, A, R, F> Call<R, F>
where
    T: Payload,
    A: CallbackResult,
    R: DerefMut<Target = Feed<T>> + Send,
    F: FnMut(&Item<T>) -> A + Send,
{
    /// Not under the lock: it may take as long as it likes.
    fn call(&mut self, item: &Item<T>) {
        let (call, began) = (&mut self.call, self.clock.now());
        let failure = match catch_unwind(AssertUnwindSafe(|| call(item).failure())) {
            Ok(None) => None,
            Ok(Some(error)) => Some(Failure::Error(error)),
            Err(panic) => {
                let text = panic_message(&*panic);
                drop_quietly(panic);
                Some(Failure::Panic(text))
            }
        };
        let took = self.clock.now().since(began);
        let mut record = self.shared.lock();
        record.calls += 1;
        record.time.record(took);
        if let Item::Data(update) = item {
            record.latencies.record(&update.stamps, began);
        }
        let quarantined = record.judge(failure);
        drop(record);
        if let Some(failure) = quarantined {
            (self.on_quarantine)(&self.shared.name, failure);
        }
    }
}

impl Record {
    /// What was one failure too many, if this was.
    fn judge(&mut self, failure: Option<Failure>) -> Option<String> {
        let Some(failure) = failure else {
            self.failure_quota.succeeded();
            return None;
        };
        self.failures += 1;
        self.panics += u64::from(matches!(failure, Failure::Panic(_)));
        let (Failure::Error(text) | Failure::Panic(text)) = failure;
        // Bounded, and nothing of it can drive a terminal.
        let text: String = text.escape_debug().take(FAILURE_MAX).collect();
        self.last_failure = Some(text.as_str().into());
        let one_too_many = self.failure_quota.failed() && self.state == CallbackState::Running;
        if one_too_many {
            self.state = CallbackState::Quarantined;
        }
        one_too_many.then_some(text)
    }
}

impl<T, A, R, F> Task for Call<R, F>
where
    T: Payload,
    A: CallbackResult,
    R: DerefMut<Target = Feed<T>> + Send,
    F: FnMut(&Item<T>) -> A + Send,
{
    fn run(&mut self) {
        for _ in 0..BATCH {
            if !self.is_running() {
                return;
            }
            let Some(item) = self.feed.pop() else { return };
            self.call(&item);
        }
    }

    fn is_running(&self) -> bool {
        !self.shared.is_over() && self.shared.lock().state == CallbackState::Running
    }

    fn is_ready(&mut self) -> bool {
        self.is_running() && self.feed.is_ready()
    }

    fn next_due(&self) -> Option<Nanos> {
        // In quarantine nothing is handed over, however long it has been due.
        self.is_running().then(|| self.feed.next_due()).flatten()
    }

    fn park(&mut self, asleep: bool) {
        // In quarantine nothing that comes is of interest.
        let asleep = asleep && self.is_running();
        self.feed.set_waiting(asleep);
    }

    fn is_over(&mut self) -> bool {
        // In quarantine it will not read what waits.
        let has_read_all = self.feed.has_ended() && (!self.is_running() || self.feed.is_closed());
        let ended = self.shared.is_over() || has_read_all;
        if ended {
            self.shared.lock().state = CallbackState::Ended;
        }
        ended
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}
