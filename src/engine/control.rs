//! Where all threads meet the control plane: locks the hub, wakes connections that have new commands, and frees what ended
//! outside the lock.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::Thread;
use std::time::Duration;

use super::handles::Handles;
use super::hub::{Accepted, FeedRequest, Hub, Outcome};
use super::log::Log;
use super::status::FeedStatus;
use crate::call::{self, CallbackStatus};
use crate::config::{Dialect, FormatChoice};
use crate::error::{Error, Result};
use crate::model::{Clock, Nanos, StreamKey};
use crate::net::{Remote, SystemClock};
use crate::plan::{CheckedSubscription, ClientId, DemandId, Heartbeat, Planner, Universe};
use crate::pool::DataPool;
use crate::route::AttributionReader;

/// Shared by the engine, its control thread and every handle that holds demand.
pub(super) struct Control {
    pub pool: DataPool,
    pub clock: SystemClock,
    pub dialect: Dialect,
    pub connections: Vec<ConnectionThread>,
    pub log: Arc<Log>,
    /// No code that may wait runs under this lock: no reader of the log, none of the program's own.
    hub: Mutex<Hub>,
    callbacks: Mutex<Vec<Weak<call::Shared>>>,
    /// The control thread, woken when demand changed.
    thread: OnceLock<Thread>,
    /// False once the control thread has ended, by a panic or not.
    pub alive: Arc<AtomicBool>,
}

/// A connection's thread, as the control plane reaches it.
pub(super) struct ConnectionThread {
    pub handles: Handles,
    pub remote: Remote,
    /// Where the time of its messages went, if that is recorded.
    pub attribution: Option<AttributionReader>,
    /// False once the thread has ended, by a panic or not.
    pub alive: Arc<AtomicBool>,
}

impl Control {
    pub fn new(hub: Hub, clock: SystemClock, connections: Vec<ConnectionThread>, log: Arc<Log>) -> Self {
        Self {
            pool: hub.pool().clone(),
            clock,
            dialect: *hub.dialect(),
            connections,
            log,
            hub: Mutex::new(hub),
            callbacks: Mutex::default(),
            thread: OnceLock::new(),
            alive: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Adds demand, and a feed of it if one is asked for. Either everything happens or nothing.
    pub fn add(
        &self,
        client: Option<ClientId>,
        checked: CheckedSubscription,
        feed: Option<FeedRequest<'_>>,
    ) -> Result<Accepted> {
        if !self.is_alive() {
            return Err(Error::Stopped);
        }
        let accepted = self.with_hub(|hub| hub.add(self.clock.now(), client, checked, feed))?;
        self.wake();
        Ok(accepted)
    }

    /// Releases exactly what one `add` asked for. The second time nothing happens.
    pub fn remove(&self, id: DemandId) {
        self.with_hub(|hub| hub.remove(self.clock.now(), id));
        self.wake();
    }

    /// Changes the message format of a connection.
    pub fn set_format(&self, connection: usize, choice: FormatChoice) {
        self.with_hub(|hub| hub.set_format(self.clock.now(), connection, choice));
        self.wake();
    }

    /// These markets exist now.
    pub fn set_universe(&self, universe: Universe) {
        if self.is_alive() {
            self.with_hub(|hub| hub.set_universe(self.clock.now(), universe));
            self.wake();
        }
    }

    /// The markets that exist, as far as is known.
    pub fn universe(&self) -> Universe {
        self.with_planner(|planner| planner.universe().clone())
    }

    /// The streams that a holder asks for now.
    pub fn held(&self, id: DemandId) -> Vec<StreamKey> {
        self.with_planner(|planner| planner.held(id).iter().map(|spec| spec.key).collect())
    }

    /// The feeds that are read.
    pub fn feeds(&self) -> Vec<FeedStatus> {
        self.lock().feeds()
    }

    /// A new component; its name must be free.
    pub fn open_client(&self, name: &str, lease: Option<Duration>) -> Result<(ClientId, Arc<Heartbeat>)> {
        self.with_hub(|hub| hub.open_client(self.clock.now(), name, lease))
    }

    /// Releases all that a component holds.
    pub fn close_client(&self, id: ClientId) {
        self.with_hub(|hub| hub.close_client(self.clock.now(), id));
        self.wake();
    }

    /// A new callback; its name must be free.
    pub fn add_callback(&self, callback: &Arc<call::Shared>) -> Result<()> {
        let mut callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        callbacks.retain(|callback| callback.strong_count() > 0);
        let is_taken = |other: Arc<call::Shared>| other.name == callback.name && !other.is_over();
        if callbacks.iter().filter_map(Weak::upgrade).any(is_taken) {
            return Err(Error::NameTaken(callback.name.clone()));
        }
        callbacks.push(Arc::downgrade(callback));
        Ok(())
    }

    /// The callbacks that there are.
    pub fn callbacks(&self) -> Vec<CallbackStatus> {
        let callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let callbacks: Vec<_> = callbacks.iter().filter_map(Weak::upgrade).collect();
        callbacks.iter().filter(|callback| !callback.is_over()).map(|callback| callback.status()).collect()
    }

    /// Looks at the planner.
    pub fn with_planner<R>(&self, look: impl FnOnce(&mut Planner) -> R) -> R {
        look(self.lock().planner())
    }

    /// Names the control thread.
    pub fn set_thread(&self, thread: Thread) {
        self.connections.iter().for_each(|connection| connection.handles.reports.wake_with(thread.clone()));
        let _ = self.thread.set(thread);
    }

    /// Lets the control thread look.
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// One pass of the control thread. Returns the time of the next.
    pub fn poll(&self) -> Nanos {
        self.with_hub(|hub| hub.poll(self.clock.now()))
    }

    /// Refuses demand from now on and makes the threads end.
    pub fn stop(&self) {
        self.with_hub(Hub::stop);
        self.wake();
    }

    /// No thread has ended.
    pub fn is_alive(&self) -> bool {
        // Relaxed: nothing is read on the strength of it.
        self.alive.load(Relaxed) && self.connections.iter().all(|connection| connection.alive.load(Relaxed))
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().is_stopped()
    }

    fn with_hub<R>(&self, call: impl FnOnce(&mut Hub) -> R) -> R {
        let mut hub = self.lock();
        let result = call(&mut hub);
        let Outcome { commanded, ended, unseen, notes } = hub.take_outcome();
        drop(hub);
        commanded.into_iter().for_each(|connection| self.connections[connection].remote.wake());
        drop((ended, unseen));
        notes.into_iter().for_each(|note| self.log.note(note));
        result
    }

    fn lock(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
