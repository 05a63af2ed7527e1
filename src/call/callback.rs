//! Callbacks: functions of the program that a thread calls with each item of a feed.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::DerefMut;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::dispatcher::{BATCH, Task, TaskQueue, drop_quietly};
use crate::feed::{CallbackState, FailureQuota, Feed, FeedCounters, FeedCounts, Item, Latencies, Latency, Payload};
use crate::model::{Clock, Nanos, panic_message};

/// The maximum length of a stored failure message, in characters.
const FAILURE_MAX: usize = 200;

/// The return value of a callback: nothing, or a result. An error or a panic is a failure. After too many failures in a
/// row, by default five, the callback is quarantined: it is not called until [`rearm`](Callback::rearm).
pub trait CallbackResult {
    /// Returns the error message, if the call failed.
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

/// A handle to a registered callback. Dropping it, from any thread, ends the callback after the current item, without
/// waiting for it.
#[must_use = "dropping it ends the callback"]
pub struct Callback {
    shared: Arc<Shared>,
    queue: Arc<TaskQueue>,
}

impl Callback {
    pub(crate) fn new(shared: Arc<Shared>, queue: Arc<TaskQueue>) -> Self {
        Self { shared, queue }
    }

    /// The name of the callback.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The state of the callback.
    pub fn state(&self) -> CallbackState {
        self.shared.lock().state
    }

    /// Returns its state and counters.
    pub fn status(&self) -> CallbackStatus {
        self.shared.status()
    }

    /// Ends a quarantine: the callback is called again, first with the items that are waiting. Returns false if it was
    /// not in quarantine.
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
        // Relaxed: the signals order this store.
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

/// A snapshot of a callback's state and counters.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CallbackStatus {
    /// The name of the callback.
    pub name: Box<str>,
    /// The state of the callback.
    pub state: CallbackState,
    /// The number of calls.
    pub calls: u64,
    /// The number of calls that failed, by an error or a panic.
    pub failures: u64,
    /// The number of calls that panicked.
    pub panics: u64,
    /// The current number of failures in a row. Stays unchanged during a quarantine.
    pub consecutive_failures: u32,
    /// The message of the last failure, cut to 200 characters.
    pub last_failure: Option<Box<str>>,
    /// The distribution of the durations of the calls.
    pub time: Latency,
    /// The latencies of updates from their stamps to the start of the call.
    pub latencies: Latencies,
    /// The counts of the callback's feed.
    pub counts: FeedCounts,
}

/// The state that a callback's thread and its handle share.
pub(crate) struct Shared {
    pub name: Box<str>,
    over: AtomicBool,
    /// Locked briefly for each call, by the callback's thread and by handles. A connection's thread never locks it.
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

    /// Sets the counters of the callback's feed, once the feed is open.
    pub fn set_counters(&self, counters: Arc<FeedCounters>) {
        let _ = self.counters.set(counters);
    }

    /// Whether the handle was dropped.
    pub fn is_over(&self) -> bool {
        // Relaxed: the signals order this load.
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

/// The reason why a call failed.
enum Failure {
    Error(String),
    Panic(String),
}

/// A function that is called when a callback is quarantined, with the callback's name and its last failure.
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
    /// Calls the callback, without holding the lock, because the call may take any time.
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
    /// Counts the result of a call. Returns the text of the failure if it starts a quarantine.
    fn judge(&mut self, failure: Option<Failure>) -> Option<String> {
        let Some(failure) = failure else {
            self.failure_quota.succeeded();
            return None;
        };
        self.failures += 1;
        self.panics += u64::from(matches!(failure, Failure::Panic(_)));
        let (Failure::Error(text) | Failure::Panic(text)) = failure;
        // Bounded, and escaped so that it cannot control a terminal.
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
        // In quarantine nothing is delivered, even if it is due.
        self.is_running().then(|| self.feed.next_due()).flatten()
    }

    fn park(&mut self, asleep: bool) {
        // A callback in quarantine needs no wake-up for new items.
        let asleep = asleep && self.is_running();
        self.feed.set_waiting(asleep);
    }

    fn is_over(&mut self) -> bool {
        // A callback in quarantine does not read its waiting items, so it ends without them.
        let has_read_all = self.feed.has_ended() && (!self.is_running() || self.feed.is_closed());
        let ended = self.shared.is_over() || has_read_all;
        if ended {
            self.shared.lock().state = CallbackState::Ended;
        }
        ended
    }
}
