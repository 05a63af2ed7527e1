//! The running engine.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::assembly::{Assembly, ConnectionParts};
use super::connection::Connection;
use super::control::{ConnectionThread, Control};
use super::lifecycle::{Lifecycle, lifecycle};
use super::log::{Log, Note};
use super::subscribed::POLL_EVERY;
use super::threads::Thread;
use super::{
    Builder, CallbackBuilder, Client, ConnectionStatus, EngineState, Feed, FeedStatus, MarketListStatus, NetworkStatus,
    ShutdownReport, Subscribed,
};
use crate::call::{CallbackStatus, Dispatcher};
use crate::config::{Config, FormatChoice};
use crate::error::{Error, Result};
use crate::feed::{Overflow, Payload};
use crate::model::{Clock, ConnectionId, Market, Nanos};
use crate::monitor::GapLog;
use crate::net::{DialLedger, MarketSource, Reactor, Resolve, SystemClock, SystemEntropy, TlsConfig};
use crate::plan::{Conflict, PlanStats, Revisions, Subscription, Universe};
use crate::pool::DataPool;
use crate::route::Attribution;
use crate::sync::lossy::Reader;

/// How long a dropped engine waits for its threads to end.
const DROP_DEADLINE: Duration = Duration::from_secs(2);

/// A running engine: one thread per connection, a control thread, a log thread, a pool to read, and handles that hold
/// demand.
///
/// All methods are for the control path and may lock. Strategies read through [`pool`](Self::pool) handles and
/// [`feed`](Self::feed)s, which do not lock.
pub struct Engine {
    pub(super) control: Arc<Control>,
    /// Taken by the first call that shuts the engine down.
    threads: Mutex<Vec<Thread>>,
    /// The log thread. It ends after the others.
    log_thread: Mutex<Option<Thread>>,
    /// Holds the builder's subscription as long as the engine lives.
    initial: Option<Subscribed>,
    network: NetworkStatus,
}

impl Engine {
    /// The maximum number of threads of one dispatcher.
    pub const DISPATCHER_THREADS_MAX: usize = 64;

    /// Returns a builder to configure and start an engine.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn start(
        config: &Arc<Config>,
        universe: Universe,
        tls: &TlsConfig,
        resolver: &Arc<dyn Resolve>,
        initial: Option<Subscription>,
        source: Option<(Box<dyn MarketSource>, Duration)>,
    ) -> Result<Self> {
        let clock = SystemClock::new();
        let (log, log_writers, notes) = Log::new(config.connections);
        let log = Arc::new(log);
        let Assembly { mut hub, connections } = Assembly::new(config, &clock, source.is_some(), log_writers, || {
            let ledger = DialLedger::new(&config.connect_ledger, &config.endpoint, config.limits, config.pacing);
            let log = log.clone();
            let connects = ledger.on_warning(move |warning| log.note(Note::Ledger(warning)));
            (Box::new(connects), Box::new(SystemEntropy::new()))
        });
        hub.set_universe(clock.now(), universe);
        let (mut threads, mut ends) = (Vec::new(), Vec::new());
        for ConnectionParts { session, connection, handles, attribution } in connections {
            let reactor = Reactor::new(session, config.clone(), tls.clone(), resolver.clone(), clock)
                .map_err(|source| Error::Start { what: "event queue", source })?;
            let (remote, alive) = (reactor.remote(), Arc::new(AtomicBool::new(true)));
            threads.push(ConnectionThread { handles, remote, attribution, alive });
            ends.push((reactor, connection));
        }
        let control = Arc::new(Control::new(hub, config.clone(), clock, threads, log));
        // From here on, an early return drops the engine, which stops the threads.
        let (threads, log_thread) = (Mutex::default(), Mutex::default());
        let network = NetworkStatus { proxy: config.proxy_in_force().cloned(), roots: tls.roots().clone() };
        control.log.note(Note::Network(network.clone()));
        let mut engine = Self { control, threads, log_thread, initial: None, network };
        engine.start_log(notes)?;
        engine.start_threads(ends, &config.pin)?;
        // Subscribes before the source reports markets, so that the engine accepts exactly what the builder checked.
        if let Some(subscription) = initial {
            engine.initial = Some(engine.subscribe(subscription)?);
        }
        if let Some((source, every)) = source {
            engine.start_source(source, every)?;
        }
        Ok(engine)
    }

    fn start_log(&self, notes: Reader<Note>) -> Result<()> {
        let thread = Thread::log(notes).map_err(|source| Error::Start { what: "log thread", source })?;
        *self.log_thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    fn start_source(&self, source: Box<dyn MarketSource>, every: Duration) -> Result<()> {
        let thread = Thread::markets(self.control.clone(), source, every)
            .map_err(|source| Error::Start { what: "markets thread", source })?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    fn start_threads(&self, ends: Vec<(Reactor, Connection<SystemClock>)>, pin: &[usize]) -> Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let control =
            Thread::control(self.control.clone()).map_err(|source| Error::Start { what: "control thread", source })?;
        self.control.set_thread(control.handle());
        threads.push(control);
        for (number, ((reactor, connection), thread)) in ends.into_iter().zip(&self.control.connections).enumerate() {
            let core = pin.get(number).copied();
            let thread = Thread::connection(reactor, connection, core, thread.alive.clone())
                .map_err(|source| Error::Start { what: "connection thread", source })?;
            threads.push(thread);
        }
        Ok(())
    }

    /// Returns how the engine reaches the exchange, and which certificates it trusts.
    pub fn network(&self) -> &NetworkStatus {
        &self.network
    }

    /// Returns the pool, which holds the newest value of every stream. It is cheap to clone and readable from any
    /// thread.
    pub fn pool(&self) -> &DataPool {
        &self.control.pool
    }

    /// Subscribes to streams. They stay on the wire as long as the returned handle, or another one that wants them,
    /// lives, and for the grace period ([`Config::grace`]) after that.
    ///
    /// # Errors
    /// [`Error::Subscription`] names every invalid entry; in that case nothing was changed. [`Error::Stopped`] after a
    /// shutdown.
    pub fn subscribe<T>(&self, subscription: Subscription<T>) -> Result<Subscribed> {
        Subscribed::new(self.control.clone(), None, subscription.mixed(), None)
    }

    /// Opens a feed of the updates of these streams, from now on. The [`Overflow`] policy decides about updates that
    /// are not read in time. The default policy depends on the type of the stream. Every trade counts, so up to 4096
    /// trades of a connection wait for the reader, and those that do not fit are dropped and reported in band. Tickers,
    /// order books and candles are states, so only the newest value of each stream waits. A program that must not miss
    /// a trade asks for enough capacity up front ([`DropNewest`](Overflow::DropNewest)) and reads as fast as trades
    /// arrive.
    ///
    /// If a stream already runs, its newest value comes first, as a snapshot, followed by its updates without a gap or
    /// a repetition. The exchange is not asked for another snapshot, because it would send no changes to anyone while
    /// it prepares one. Any other stream begins with the exchange's snapshot. That includes a stream that was carried
    /// earlier: the pool's value may be outdated, so no feed begins with it. Use
    /// [`only_realtime`](Subscription::only_realtime) to begin without a state.
    ///
    /// The exchange sends later snapshots on the same socket if the connection was quiet for long, or if another part
    /// of the program wants a deeper book. The feed delivers those that contain something new.
    ///
    /// # Errors
    /// Same as [`subscribe`](Self::subscribe), and [`Error::InvalidArgument`] if the policy cannot work on a live
    /// engine or needs more memory than [`Feed::BYTES_MAX`].
    pub fn feed<T: Payload>(&self, subscription: Subscription<T>, overflow: Overflow) -> Result<Feed<T>> {
        Feed::open(self.control.clone(), None, subscription, overflow, Arc::default())
    }

    /// Returns the status of each open feed: what it received, what happened to it, and how much memory the feed takes.
    pub fn feeds(&self) -> Vec<FeedStatus> {
        self.control.feeds()
    }

    /// Returns a builder for a callback, a function that is called with each item of a feed. No other callback may have
    /// the same name. Prefer to read a feed if you can: a callback costs a wake-up and runs on a thread that is not
    /// your own.
    pub fn callback(&self, name: &str) -> CallbackBuilder<'_> {
        CallbackBuilder::new(self.control.clone(), None, name)
    }

    /// Starts threads that callbacks can share. If callbacks block all of them, the other callbacks wait.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `threads` is 0 or more than
    /// [`DISPATCHER_THREADS_MAX`](Self::DISPATCHER_THREADS_MAX); [`Error::Start`] if the system refused a thread.
    pub fn dispatcher(&self, name: &str, threads: usize) -> Result<Dispatcher> {
        if !(1..=Self::DISPATCHER_THREADS_MAX).contains(&threads) {
            let max = Self::DISPATCHER_THREADS_MAX;
            return Err(Error::InvalidArgument(
                format!("a dispatcher has from 1 to {max} threads, not {threads}").into(),
            ));
        }
        Dispatcher::start(name, threads, Arc::new(self.control.clock))
            .map_err(|source| Error::Start { what: "dispatcher thread", source })
    }

    /// Returns the status of each callback.
    pub fn callbacks(&self) -> Vec<CallbackStatus> {
        self.control.callbacks()
    }

    /// Changes the message format of a connection; see [`Config::format`]. A request for the new format is sent at
    /// once, or as soon as the exchange's limits allow. Streams that run continue: no update is lost or repeated, and
    /// readers see no difference.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there is no such connection, or if the exchange does not support the format. In
    /// that case nothing was changed.
    pub fn set_format(&self, connection: ConnectionId, format: impl Into<FormatChoice>) -> Result<()> {
        let format = format.into();
        let mut problems = format.problems(self.control.dialect.formats);
        let number = usize::from(connection.0);
        if number >= self.control.connections.len() {
            problems.push(format!("there is no connection {connection}"));
        }
        if !problems.is_empty() {
            return Err(Error::InvalidArgument(problems.join("; ").into()));
        }
        self.control.set_format(number, format);
        Ok(())
    }

    /// Sets the markets that exist. Streams that were requested by patterns come and go with them; streams of markets
    /// that stay are not touched. After a market is gone, a feed of a pattern gets no more of its updates, even while
    /// another subscription or the grace period keeps the market on the wire. Updates that arrived before may still be
    /// delivered. There is one exception: a [`DropOldest`](Overflow::DropOldest) feed that has left 64 changes of its
    /// markets unread continues with its current markets until it is read, so that it does not grow.
    ///
    /// New streams for which the connections have no room are added as soon as there is room; see
    /// [`conflicts`](Self::conflicts).
    pub fn set_universe(&self, markets: impl IntoIterator<Item = Market>) {
        self.control.set_universe(markets.into_iter().collect());
    }

    /// Returns the markets that exist, as far as the engine knows.
    pub fn universe(&self) -> Universe {
        self.control.universe()
    }

    /// Returns the status of the list of markets from the source of markets: why the last request failed, and what is
    /// doubtful about the newest list.
    pub fn market_list(&self) -> MarketListStatus {
        self.control.market_list()
    }

    /// Opens a client, which represents a component of the program and holds the subscriptions made through it. No
    /// other client may have the same name.
    ///
    /// # Errors
    /// [`Error::NameTaken`] if another client has this name; [`Error::Stopped`] after a shutdown.
    pub fn client(&self, name: &str) -> Result<Client> {
        self.open_client(name, None)
    }

    /// Same as [`client`](Self::client), with a lease: if the client does not call [`Client::renew`] at least this
    /// often, its demand is released. Leases are checked at each clean-up ([`Config::clean_up_every`]). The first
    /// clean-up after the lease has run out reports the client in the log, and the second releases its demand.
    ///
    /// # Errors
    /// Same as [`client`](Self::client).
    pub fn client_with_lease(&self, name: &str, lease: Duration) -> Result<Client> {
        self.open_client(name, Some(lease))
    }

    fn open_client(&self, name: &str, lease: Option<Duration>) -> Result<Client> {
        let (id, heartbeat) = self.control.open_client(name, lease)?;
        Ok(Client::new(self.control.clone(), id, name, heartbeat))
    }

    /// Waits until every wanted stream is [`Live`](crate::pool::Health::Live), which means that it has a value from its
    /// current socket. This includes streams that are requested or listed during the wait. A stream that is dropped
    /// meanwhile is not waited for. Patterns have no streams until the engine knows which markets exist, so this waits
    /// for that list too.
    ///
    /// # Errors
    /// [`Error::NotReady`] names the streams that are not live when the timeout expires or the engine stops, each with
    /// the reason. It names none if only the list of markets is missing, and then says why. Unknown markets never get a
    /// value, because the exchange ignores them silently. Streams of a pattern for which the connections have no room
    /// are named too.
    pub fn wait_ready(&self, timeout: Duration) -> Result<()> {
        let deadline = self.now() + timeout;
        loop {
            let (mut missing, awaits_markets) = self.control.with_planner(|planner| planner.expected());
            missing.retain(|key| !self.pool().is_undisputed(*key));
            if missing.is_empty() && !awaits_markets {
                return Ok(());
            }
            if self.now() >= deadline || !self.is_running() {
                return Err(self.control.not_ready(missing, awaits_markets));
            }
            std::thread::sleep(POLL_EVERY);
        }
    }

    /// Returns true until the engine is shut down or one of its threads has panicked. A lost connection does not end
    /// the engine.
    pub fn is_running(&self) -> bool {
        !matches!(self.state(), EngineState::Stopped | EngineState::Failed)
    }

    /// Returns the state of the engine as a whole.
    pub fn state(&self) -> EngineState {
        if self.control.is_stopped() {
            EngineState::Stopped
        } else if !self.control.is_alive() {
            EngineState::Failed
        } else {
            EngineState::of(self.connections().iter().map(|connection| connection.state))
        }
    }

    /// Returns the current status of each connection.
    pub fn connections(&self) -> Vec<ConnectionStatus> {
        self.control.connections.iter().map(|connection| connection.handles.status.read()).collect()
    }

    /// Returns where the time of each connection's messages went. Empty unless the builder enabled
    /// [`measure_latencies`](Builder::measure_latencies). [`Attribution::add`] merges several connections. This copies
    /// the histograms, about 100 KB per connection, while recording continues.
    pub fn latencies(&self) -> Vec<(ConnectionId, Attribution)> {
        let measured =
            |connection: &ConnectionThread| Some((connection.handles.id, connection.attribution.as_ref()?.read()));
        self.control.connections.iter().filter_map(measured).collect()
    }

    /// Returns how far changes of demand have progressed: the newest one, the last one that the sockets carry, and the
    /// last one that is confirmed.
    pub fn revisions(&self) -> Revisions {
        self.control.with_planner(|planner| planner.revisions())
    }

    /// Waits, at most `timeout`, until `reached` returns true for the current revisions, and returns whether it did.
    /// For your own streams, [`Subscribed::wait_confirmed`] also reports which are missing.
    pub fn wait_revisions(&self, timeout: Duration, reached: impl Fn(Revisions) -> bool) -> bool {
        let deadline = self.now() + timeout;
        while !reached(self.revisions()) {
            if self.now() >= deadline || !self.is_running() {
                return false;
            }
            std::thread::sleep(POLL_EVERY);
        }
        true
    }

    /// Returns the demand, the streams on the wire and the number of requests sent, all at one moment.
    pub fn subscriptions(&self) -> PlanStats {
        let now = self.now();
        self.control.with_planner(|planner| planner.stats(now))
    }

    /// Returns the most recent conflicts between subscriptions, oldest first. The kind of a conflict says how it was
    /// resolved.
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.control.with_planner(|planner| planner.conflicts())
    }

    /// Returns a watcher of what happens to the connections and streams from now on.
    pub fn lifecycle(&self) -> Lifecycle {
        let (mut writers, lifecycle) = lifecycle(self.control.connections.len());
        if let Some(streams) = writers.pop() {
            self.control.watch_streams(streams);
        }
        let connections = self.control.connections.iter().zip(writers);
        connections.for_each(|(connection, writer)| connection.handles.new_watchers.add(writer));
        lifecycle
    }

    /// Returns the intervals in which messages of a stream may be missing: the most recent ones that have ended, up to
    /// 4096, and all that have not. Watchers get each of them as an event; see [`lifecycle`](Self::lifecycle).
    pub fn gaps(&self) -> GapLog {
        self.control.gaps()
    }

    /// Returns the time of the engine's clock, which is comparable with every stamp that the engine makes.
    pub fn now(&self) -> Nanos {
        self.control.clock.now()
    }

    /// Closes the connections to the exchange and waits, at most `deadline`, for the threads to end. Values stay
    /// readable and are marked as no longer subscribed. New demand is refused. A second call finds no more threads to
    /// join.
    pub fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let deadline = self.control.clock.now() + deadline;
        let mut report = self.end_threads(deadline);
        self.end_log(deadline, &mut report);
        report
    }

    /// Ends all threads except the log thread.
    fn end_threads(&self, deadline: Nanos) -> ShutdownReport {
        let mut report = ShutdownReport::default();
        self.control.stop();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if let Some(running) = thread.join(&self.control.clock, deadline, &mut report) {
                report.running.push(running.into_name());
            }
        }
        report.connections = self.connections();
        report
    }

    /// Closes the log and waits for its last lines. If other threads still run, does not wait, because they continue to
    /// write to the log.
    fn end_log(&self, deadline: Nanos, report: &mut ShutdownReport) {
        self.control.log.close();
        let thread = self.log_thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && report.running.is_empty()
        {
            report.hanging_log = thread.join(&self.control.clock, deadline, report).is_some();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let deadline = self.control.clock.now() + DROP_DEADLINE;
        let mut report = self.end_threads(deadline);
        if let Err(error) = report.clone().into_result() {
            self.control.log.note(Note::BadEnd(error));
        }
        self.end_log(deadline, &mut report);
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("state", &self.state()).field("pool", self.pool()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_engine_has_failed_as_soon_as_a_connections_thread_has_panicked() {
        let engine = Engine::builder().start().unwrap();
        assert!(engine.is_running());
        // No call can make one of the engine's threads panic, so this thread panics in place of the connection's.
        let alive = engine.control.connections[0].alive.clone();
        let thread = Thread::start("hoga-test".to_owned(), alive, || panic!("a bug")).unwrap();
        engine.threads.lock().unwrap().push(thread);
        while engine.is_running() {
            std::thread::yield_now();
        }
        assert_eq!(engine.state(), EngineState::Failed);
        let report = engine.shutdown(Duration::from_secs(60));
        assert_eq!(report.panicked, ["hoga-test"]);
        let error = report.into_result().unwrap_err();
        assert!(matches!(&error, Error::ThreadPanicked(name) if name == "hoga-test"), "{error}");
    }
}
