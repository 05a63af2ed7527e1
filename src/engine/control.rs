//! Shares the control plane between threads: locks the hub, wakes connections that have new commands, and frees memory
//! of ended feeds outside the lock.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::Thread;
use std::time::Duration;

use super::handles::Handles;
use super::hub::{Accepted, FeedRequest, Hub, Outcome};
use super::lifecycle::LifecycleEvent;
use super::log::Log;
use super::market_list::MarketListStatus;
use super::status::FeedStatus;
use crate::call::{self, CallbackStatus};
use crate::config::{Config, Dialect, FormatChoice};
use crate::error::{Error, Result};
use crate::model::{Clock, Nanos, StreamKey};
use crate::monitor::GapLog;
use crate::net::{Remote, SystemClock};
use crate::plan::{CheckedSubscription, ClientId, DemandId, Heartbeat, Planner, Universe};
use crate::pool::DataPool;
use crate::route::AttributionReader;
use crate::sync::lossy::Writer;

/// The control plane, shared by the engine, its control thread and every handle that holds demand.
pub(super) struct Control {
    pub pool: DataPool,
    pub clock: SystemClock,
    pub dialect: Dialect,
    pub connections: Vec<ConnectionThread>,
    pub log: Arc<Log>,
    /// No code that may block runs under this lock: neither the log nor code of the program.
    hub: Mutex<Hub>,
    callbacks: Mutex<Vec<Weak<call::Shared>>>,
    market_list: Mutex<MarketListStatus>,
    config: Mutex<Arc<Config>>,
    /// The control thread, to be woken when demand changes.
    thread: OnceLock<Thread>,
    /// False after the control thread has ended, by a panic or otherwise.
    pub alive: Arc<AtomicBool>,
}

/// The control plane's handles to a connection's thread.
pub(super) struct ConnectionThread {
    pub handles: Handles,
    pub remote: Remote,
    /// Where the time of its messages went, if that is measured.
    pub attribution: Option<AttributionReader>,
    /// False after the thread has ended, by a panic or otherwise.
    pub alive: Arc<AtomicBool>,
}

impl Control {
    pub fn new(
        hub: Hub,
        config: Arc<Config>,
        clock: SystemClock,
        connections: Vec<ConnectionThread>,
        log: Arc<Log>,
    ) -> Self {
        Self {
            pool: hub.pool().clone(),
            clock,
            dialect: *hub.dialect(),
            connections,
            log,
            hub: Mutex::new(hub),
            callbacks: Mutex::default(),
            market_list: Mutex::default(),
            config: Mutex::new(config),
            thread: OnceLock::new(),
            alive: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Adds demand, and a feed of it if one is requested. Either both happen or neither.
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

    /// Releases exactly what one `add` requested. A second call with the same id does nothing.
    pub fn remove(&self, id: DemandId) {
        self.with_hub(|hub| hub.remove(self.clock.now(), id));
        self.wake();
    }

    /// Returns the current configuration.
    pub fn config(&self) -> Arc<Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Applies another configuration from now on.
    pub fn set_config(&self, config: Arc<Config>) {
        self.with_hub(|hub| hub.set_config(&config));
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        self.wake();
    }

    /// Changes the message format of a connection.
    pub fn set_format(&self, connection: usize, choice: FormatChoice) {
        self.with_hub(|hub| hub.set_format(self.clock.now(), connection, choice));
        self.wake();
    }

    /// Sets the markets that exist.
    pub fn set_universe(&self, universe: Universe) {
        if self.is_alive() {
            self.with_hub(|hub| hub.set_universe(self.clock.now(), universe));
            self.wake();
        }
    }

    /// Returns the markets that exist, as far as the engine knows.
    pub fn universe(&self) -> Universe {
        self.with_planner(|planner| planner.universe().clone())
    }

    /// Returns the status of the list of markets.
    pub fn market_list(&self) -> MarketListStatus {
        self.market_list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the status of the list of markets.
    pub fn change_market_list(&self, write: impl FnOnce(&mut MarketListStatus)) {
        write(&mut self.market_list.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns the streams that a demand asks for now.
    pub fn held(&self, id: DemandId) -> Vec<StreamKey> {
        self.with_planner(|planner| planner.held(id).iter().map(|spec| spec.key).collect())
    }

    /// Returns the status of each open feed.
    pub fn feeds(&self) -> Vec<FeedStatus> {
        self.lock().feeds()
    }

    /// Adds a watcher of the streams.
    pub fn watch_streams(&self, watcher: Writer<LifecycleEvent>) {
        self.lock().watch_streams(watcher);
    }

    /// Returns the gaps of all streams.
    pub fn gaps(&self) -> GapLog {
        self.lock().gaps()
    }

    /// Opens a client. Its name must be free.
    pub fn open_client(&self, name: &str, lease: Option<Duration>) -> Result<(ClientId, Arc<Heartbeat>)> {
        self.with_hub(|hub| hub.open_client(self.clock.now(), name, lease))
    }

    /// Releases everything that a client holds.
    pub fn close_client(&self, id: ClientId) {
        self.with_hub(|hub| hub.close_client(self.clock.now(), id));
        self.wake();
    }

    /// Registers a callback. Its name must be free.
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

    /// Returns the status of each callback.
    pub fn callbacks(&self) -> Vec<CallbackStatus> {
        let callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let callbacks: Vec<_> = callbacks.iter().filter_map(Weak::upgrade).collect();
        callbacks.iter().filter(|callback| !callback.is_over()).map(|callback| callback.status()).collect()
    }

    /// Calls `read` with the planner, under the lock.
    pub fn with_planner<R>(&self, read: impl FnOnce(&mut Planner) -> R) -> R {
        read(self.lock().planner())
    }

    /// Sets the control thread. From then on, reports and calls wake it.
    pub fn set_thread(&self, thread: Thread) {
        self.connections.iter().for_each(|connection| connection.handles.reports.wake_with(thread.clone()));
        let _ = self.thread.set(thread);
    }

    /// Wakes the control thread.
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Runs one pass of the control thread. Returns the time of the next.
    pub fn poll(&self) -> Nanos {
        self.with_hub(|hub| hub.poll(self.clock.now()))
    }

    /// Refuses demand from now on and makes the threads end.
    pub fn stop(&self) {
        self.with_hub(Hub::stop);
        self.wake();
    }

    /// Returns true while the control thread and all connections' threads run.
    pub fn is_alive(&self) -> bool {
        // Relaxed: no other data depends on these flags.
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
        self.hub.lock().unwrap_or_else(|poisoned| {
            // A thread panicked while it changed the hub, which may be inconsistent.
            self.hub.clear_poison();
            let mut hub = poisoned.into_inner();
            hub.rebuild(self.clock.now());
            hub
        })
    }
}
