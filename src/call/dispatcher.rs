//! Threads that call callbacks with the items of their feeds.
//!
//! Tasks wait in one queue. A free thread takes the first ready task, calls its callback with up to [`BATCH`] items,
//! and puts the task at the end of the queue. So a callback that blocks delays its own feed and occupies one thread.
//! The other callbacks continue as long as another thread is free.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::model::{Clock, Nanos};
use crate::sync::signal::Signal;

/// The maximum sleep of a thread before it checks the tasks again.
const IDLE: Duration = Duration::from_secs(1);

/// The maximum number of items that a thread passes to one callback before it takes the next.
pub(crate) const BATCH: usize = 64;

/// A callback and its feed, as the threads see them.
pub(crate) trait Task: Send {
    /// Calls the callback with the waiting items, at most [`BATCH`].
    fn run(&mut self);
    /// Whether the callback may be called, even if no item is waiting.
    fn is_running(&self) -> bool;
    /// Whether the callback may be called and an item is waiting.
    fn is_ready(&mut self) -> bool;
    /// Returns the time at which the next delayed item is due.
    fn next_due(&self) -> Option<Nanos>;
    /// Whether the task has ended.
    fn is_over(&mut self) -> bool;
    /// Sets whether this task's feed must wake a sleeping thread when an item arrives.
    fn park(&mut self, asleep: bool);
}

/// A pool of threads that callbacks share, from [`Engine::dispatcher`](crate::Engine::dispatcher). When it is dropped,
/// its callbacks continue, and the threads end when the last callback has ended.
pub struct Dispatcher {
    queue: Arc<TaskQueue>,
}

/// The state that the threads of a dispatcher share.
pub(crate) struct TaskQueue {
    waiting: Mutex<Waiting>,
    /// The signal by which the feeds of all tasks wake the threads.
    pub signal: Arc<Signal>,
    /// The threads wait on this signal while every waiting callback is quarantined. The feeds do not notify it, so
    /// their items wake no thread.
    state_changes: Signal,
    clock: Arc<dyn Clock>,
    /// Set when no more tasks will be added.
    closed: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    tasks: VecDeque<Box<dyn Task>>,
    /// The number of tasks that the threads have taken.
    running: usize,
    /// The number of sleeping threads.
    sleeping: usize,
}

impl Waiting {
    fn push(&mut self, mut task: Box<dyn Task>) {
        task.park(self.sleeping > 0);
        self.tasks.push_back(task);
    }
}

impl Dispatcher {
    /// Starts the threads.
    pub(crate) fn start(name: &str, threads: usize, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let queue = Arc::new(TaskQueue::new(clock));
        // If a thread cannot be started, dropping the dispatcher ends those that were.
        let dispatcher = Self { queue };
        for _ in 0..threads {
            let queue = dispatcher.queue.clone();
            // The system shows 15 bytes of a thread's name and refuses NUL.
            let name = format!("hoga-call-{name}").replace('\0', " ");
            thread::Builder::new().name(name).spawn(move || queue.serve())?;
        }
        Ok(dispatcher)
    }

    pub(crate) fn queue(&self) -> &Arc<TaskQueue> {
        &self.queue
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        // Relaxed: the signals order this store.
        self.queue.closed.store(true, Relaxed);
        self.queue.wake_all();
    }
}

impl TaskQueue {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            waiting: Mutex::default(),
            signal: Arc::default(),
            state_changes: Signal::new(),
            clock,
            closed: AtomicBool::new(false),
        }
    }

    /// Adds a task.
    pub fn add(&self, task: Box<dyn Task>) {
        self.lock().push(task);
        self.wake_all();
    }

    /// Wakes all threads to check the tasks again.
    pub fn wake_all(&self) {
        self.signal.notify();
        self.state_changes.notify();
    }

    fn serve(&self) {
        loop {
            let Some(mut task) = self.take() else {
                if self.is_done() {
                    return;
                }
                self.sleep();
                continue;
            };
            task.run();
            let over = task.is_over();
            self.put_back(task, over);
        }
    }

    /// Takes the first ready task. The tasks before it go to the end of the queue. Drops tasks that have ended.
    fn take(&self) -> Option<Box<dyn Task>> {
        let mut waiting = self.lock();
        let mut unseen = waiting.tasks.len();
        while unseen > 0 {
            let mut task = waiting.tasks.pop_front()?;
            unseen -= 1;
            if task.is_over() {
                // Dropping the task releases its feed's demand, which must not happen under the lock.
                drop(waiting);
                drop_quietly(task);
                waiting = self.lock();
                unseen = waiting.tasks.len();
            } else if task.is_ready() {
                waiting.running += 1;
                return Some(task);
            } else {
                waiting.tasks.push_back(task);
            }
        }
        None
    }

    fn put_back(&self, task: Box<dyn Task>, over: bool) {
        let mut waiting = self.lock();
        waiting.running -= 1;
        if over {
            drop(waiting);
            drop_quietly(task);
        } else {
            waiting.push(task);
            drop(waiting);
        }
        // Another thread may have gone to sleep because this one had the task.
        self.wake_all();
    }

    fn sleep(&self) {
        let some_run = self.fall_asleep();
        let due = self.next_due();
        let signal = if some_run { &*self.signal } else { &self.state_changes };
        signal.wait_until(self.pause(due), || self.must_wake(some_run, due));
        self.wake_up();
    }

    /// Returns the longest sleep of a thread if the next delayed item is due at `due`.
    fn pause(&self, due: Option<Nanos>) -> Duration {
        due.map_or(IDLE, |due| due.since(self.clock.now())).min(IDLE)
    }

    /// Whether a sleeping thread must wake. `some_run` and `due` are from before its sleep.
    fn must_wake(&self, some_run: bool, due: Option<Nanos>) -> bool {
        let mut waiting = self.lock();
        let has_work = waiting.tasks.iter_mut().any(|task| task.is_ready() || task.is_over());
        // This thread waits on `state_changes`, but a rearmed callback's feed notifies `signal`.
        let is_misplaced = !some_run && waiting.tasks.iter().any(|task| task.is_running());
        drop(waiting);
        // The due time can also change during the sleep: an item that arrives while its stream is throttled is due when
        // the pause ends.
        has_work || is_misplaced || self.is_done() || self.next_due() != due
    }

    /// Counts this thread as asleep, so that the feeds wake it. While no thread sleeps, the feeds' writers skip the
    /// wake-up. Returns true if any callback may be called.
    fn fall_asleep(&self) -> bool {
        let mut waiting = self.lock();
        waiting.sleeping += 1;
        waiting.tasks.iter_mut().for_each(|task| task.park(true));
        waiting.tasks.iter().any(|task| task.is_running())
    }

    fn wake_up(&self) {
        let mut waiting = self.lock();
        waiting.sleeping -= 1;
        let asleep = waiting.sleeping > 0;
        waiting.tasks.iter_mut().for_each(|task| task.park(asleep));
    }

    fn next_due(&self) -> Option<Nanos> {
        self.lock().tasks.iter().filter_map(|task| task.next_due()).min()
    }

    fn is_done(&self) -> bool {
        let waiting = self.lock();
        self.closed.load(Relaxed) && waiting.tasks.is_empty() && waiting.running == 0
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops a value of the program. Its destructor may panic, which must not end a thread that serves other callbacks.
pub(crate) fn drop_quietly<V>(value: V) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // The destructor of the panic value may panic too.
        std::mem::forget(panic);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// A clock that the test sets.
    #[derive(Default)]
    struct TestClock(AtomicU64);

    impl Clock for TestClock {
        fn now(&self) -> Nanos {
            Nanos(self.0.load(Relaxed))
        }
    }

    /// A callback whose next item is due at this time; 0 if none is.
    struct Throttled {
        due: Arc<AtomicU64>,
        clock: Arc<TestClock>,
    }

    impl Task for Throttled {
        fn run(&mut self) {}

        fn is_running(&self) -> bool {
            true
        }

        fn is_ready(&mut self) -> bool {
            self.next_due().is_some_and(|due| due <= self.clock.now())
        }

        fn next_due(&self) -> Option<Nanos> {
            Some(Nanos(self.due.load(Relaxed))).filter(|due| due.0 > 0)
        }

        fn is_over(&mut self) -> bool {
            false
        }

        fn park(&mut self, _: bool) {}
    }

    /// Regression: an item that arrived while its stream was throttled waited for the next poll, up to a second later.
    #[test]
    fn a_thread_sleeps_until_the_next_item_is_due() {
        const AT: Nanos = Nanos::from_millis(1_000);
        let (clock, due) = (Arc::<TestClock>::default(), Arc::new(AtomicU64::new(0)));
        let queue = TaskQueue::new(clock.clone());
        queue.add(Box::new(Throttled { due: due.clone(), clock: clock.clone() }));
        clock.0.store(AT.0, Relaxed);
        assert_eq!((queue.next_due(), queue.pause(None)), (None, IDLE));
        assert!(!queue.must_wake(true, None));

        let end = AT + Duration::from_millis(100);
        due.store(end.0, Relaxed);
        assert!(queue.must_wake(true, None), "it sleeps too long");
        assert_eq!((queue.next_due(), queue.pause(Some(end))), (Some(end), Duration::from_millis(100)));
        assert!(!queue.must_wake(true, Some(end)));

        clock.0.store(end.0, Relaxed);
        assert!(queue.must_wake(true, Some(end)), "the item is due");
        assert_eq!(queue.pause(Some(end)), Duration::ZERO);
        assert_eq!(queue.pause(Some(end + 2 * IDLE)), IDLE, "it polls even if nothing is due");
    }
}
