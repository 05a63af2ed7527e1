//! Threads that hand items to callbacks: a layer above feeds, for those who would rather be called than read.
//!
//! Tasks wait in one queue. A free thread takes the first, hands it what waits, within bounds, and puts it at the end.
//! So a callback that blocks holds up its own feed and one thread, and as long as there is another, nobody else.

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

/// A sleeping thread looks at least this often.
const IDLE: Duration = Duration::from_secs(1);

/// Items for one callback before the next is called.
pub(crate) const BATCH: usize = 64;

/// A callback and its feed, as the threads see them.
pub(crate) trait Task: Send {
    /// Hands over what waits, at most [`BATCH`] items.
    fn run(&mut self);
    /// It may be called, whether there is something to hand over or not.
    fn is_running(&self) -> bool;
    /// There is something to hand over, and it may be called.
    fn is_ready(&mut self) -> bool;
    /// When something can be handed over that cannot be yet.
    fn next_due(&self) -> Option<Nanos>;
    /// It is to be called no more.
    fn is_over(&mut self) -> bool;
    /// A thread sleeps for it, or does not any more.
    fn park(&mut self, asleep: bool);
}

/// Threads that serve the callbacks that are given to them. Dropping it lets the callbacks that it has go on; its threads
/// end with the last of them.
pub struct Dispatcher {
    queue: Arc<TaskQueue>,
}

/// What the threads of a dispatcher share.
pub(crate) struct TaskQueue {
    waiting: Mutex<Waiting>,
    /// What the feeds of all tasks wake the threads with.
    pub signal: Arc<Signal>,
    /// What the threads sleep on while no task may be called: the feeds go on, and need wake nobody.
    state_changes: Signal,
    clock: Arc<dyn Clock>,
    /// No more tasks will come.
    closed: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    tasks: VecDeque<Box<dyn Task>>,
    /// Tasks that a thread has taken.
    running: usize,
    /// Threads that sleep.
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
        // From here on, dropping it ends the threads that were started.
        let dispatcher = Self { queue };
        for _ in 0..threads {
            let queue = dispatcher.queue.clone();
            // The system shows 15 bytes of a thread's name, and takes no NUL.
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
        // Relaxed: the signals order it.
        self.queue.closed.store(true, Relaxed);
        self.queue.wake_all();
    }
}

impl TaskQueue {
    /// Another task for the threads.
    pub fn add(&self, task: Box<dyn Task>) {
        self.lock().push(task);
        self.wake_all();
    }

    /// Something was changed that the threads should look at.
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

    /// The first task that has something to do; those before it go to the end. Drops those that are over.
    fn take(&self) -> Option<Box<dyn Task>> {
        let mut waiting = self.lock();
        let mut unseen = waiting.tasks.len();
        while unseen > 0 {
            let mut task = waiting.tasks.pop_front()?;
            unseen -= 1;
            if task.is_over() {
                // Its feed gives its demand back: not under the lock.
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
        // Another thread may sleep on what this one kept from it.
        self.wake_all();
    }

    fn sleep(&self) {
        let some_run = self.fall_asleep();
        let due = self.next_due();
        let until_due = due.map_or(IDLE, |due| due.since(self.clock.now()));
        let signal = if some_run { &*self.signal } else { &self.state_changes };
        // Also awake when there is something new to wait for: what comes while a stream rests is due at the end of that.
        signal.wait_until(until_due.min(IDLE), || {
            let mut waiting = self.lock();
            let has_work = waiting.tasks.iter_mut().any(|task| task.is_ready() || task.is_over());
            // Who may be called now is woken by the other signal.
            let is_misplaced = !some_run && waiting.tasks.iter().any(|task| task.is_running());
            drop(waiting);
            has_work || is_misplaced || self.is_done() || self.next_due() != due
        });
        self.wake_up();
    }

    /// While a thread sleeps, shared rings have to wake it; otherwise their writers need not ask. True if a task may be
    /// called.
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

/// Somebody else's value may panic as it is dropped. That must not end a thread that serves others.
pub(crate) fn drop_quietly<V>(value: V) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // It may be such a value itself.
        std::mem::forget(panic);
    }
}
