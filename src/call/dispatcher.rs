//! Threads that call callbacks with the items of their feeds.
//!
//! Tasks wait in one queue. A free thread takes the first ready task, delivers up to [`BATCH`] items, and puts it at
//! the end of the queue. So a callback that blocks delays its own feed and occupies one thread. Other callbacks go on
//! while another thread is free.

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

/// The maximum number of items that one callback gets before the next one runs.
pub(crate) const BATCH: usize = 64;

/// A callback and its feed, as the threads see them.
pub(crate) trait Task: Send {
    /// Calls the callback with the waiting items, at most [`BATCH`].
    fn run(&mut self);
    /// Whether the callback may be called, even if no item is waiting.
    fn is_running(&self) -> bool;
    /// Whether the callback may be called and an item is waiting.
    fn is_ready(&mut self) -> bool;
    /// The time at which the next delayed item is due.
    fn next_due(&self) -> Option<Nanos>;
    /// Whether the task has ended.
    fn is_over(&mut self) -> bool;
    /// Sets whether a thread sleeps that this task has to wake.
    fn park(&mut self, asleep: bool);
}

/// A pool of threads that call callbacks. After it is dropped, its callbacks go on, and the threads end with the last
/// of them.
pub struct Dispatcher {
    queue: Arc<TaskQueue>,
}

/// The state that the threads of a dispatcher share.
pub(crate) struct TaskQueue {
    waiting: Mutex<Waiting>,
    /// The signal by which the feeds of all tasks wake the threads.
    pub signal: Arc<Signal>,
    /// The threads wait on this signal while no task may be called. The feeds go on and do not have to wake anything.
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
        let queue = Arc::new(TaskQueue {
            waiting: Mutex::default(),
            signal: Arc::default(),
            state_changes: Signal::new(),
            clock,
            closed: AtomicBool::new(false),
        });
        // From here on, dropping the dispatcher ends the threads that have started.
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
        // Another thread may be asleep because this one had the task.
        self.wake_all();
    }

    fn sleep(&self) {
        let some_run = self.fall_asleep();
        let due = self.next_due();
        let until_due = due.map_or(IDLE, |due| due.since(self.clock.now()));
        let signal = if some_run { &*self.signal } else { &self.state_changes };
        // The due time can also change during the sleep: an item that arrives while a stream rests is due at the end of
        // the rest.
        signal.wait_until(until_due.min(IDLE), || {
            let mut waiting = self.lock();
            let has_work = waiting.tasks.iter_mut().any(|task| task.is_ready() || task.is_over());
            // A task that may be called again is woken by the other signal.
            let is_misplaced = !some_run && waiting.tasks.iter().any(|task| task.is_running());
            drop(waiting);
            has_work || is_misplaced || self.is_done() || self.next_due() != due
        });
        self.wake_up();
    }

    /// Marks a thread as asleep, so that the feeds wake it. While no thread sleeps, the writers skip that. Returns true
    /// if a task may be called.
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

/// Drops a value of the user, whose destructor may panic. The panic must not end a thread that serves other callbacks.
pub(crate) fn drop_quietly<V>(value: V) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // The destructor of the panic value may panic too.
        std::mem::forget(panic);
    }
}
