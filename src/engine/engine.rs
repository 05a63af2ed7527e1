//! The engine while it runs.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::assembly::{Assembly, ConnectionParts};
use super::connection::Connection;
use super::control::{ConnectionThread, Control};
use super::lifecycle::{Lifecycle, lifecycle};
use super::log::{Log, Note};
use super::subscribed::LOOK_EVERY;
use super::threads::Thread;
use super::{
    Builder, CallbackBuilder, Client, ConnectionStatus, EngineState, Feed, FeedStatus, ShutdownReport, Subscribed,
};
use crate::call::{CallbackStatus, Dispatcher};
use crate::config::{Config, FormatChoice};
use crate::error::{Error, Result};
use crate::feed::{Overflow, Payload};
use crate::model::{Clock, ConnectionId, Market, Nanos};
use crate::net::{DialLedger, MarketSource, Reactor, Resolve, SystemClock, SystemEntropy, TlsConfig};
use crate::plan::{Conflict, PlanStats, Revisions, Subscription, Universe};
use crate::pool::DataPool;
use crate::route::Attribution;
use crate::sync::lossy::Reader;

/// How long a dropped engine waits for its threads.
const DROP_DEADLINE: Duration = Duration::from_secs(2);

/// A running engine: a thread for each connection, a control thread, one that writes the log, a pool to read, and handles
/// that hold demand.
///
/// Everything here is for the control path and may lock. Strategies read through [`pool`](Self::pool) handles and
/// [`feed`](Self::feed)s, which do not.
pub struct Engine {
    control: Arc<Control>,
    /// Taken by whoever shuts down.
    threads: Mutex<Vec<Thread>>,
    /// The thread that writes the log. It ends after the others.
    log_thread: Mutex<Option<Thread>>,
    /// What the builder subscribed to lives as long as the engine.
    initial: Option<Subscribed>,
}

impl Engine {
    /// The most threads of one dispatcher.
    pub const DISPATCHER_THREADS_MAX: usize = 64;

    /// Configures an engine.
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
            let (endpoint, resolver) = (config.endpoint.clone(), resolver.clone());
            let measure = config.measure_latencies;
            let reactor = Reactor::new(session, endpoint, tls.clone(), resolver, config.wait, clock, measure)
                .map_err(|source| Error::Start { what: "event queue", source })?;
            let (remote, alive) = (reactor.remote(), Arc::new(AtomicBool::new(true)));
            threads.push(ConnectionThread { handles, remote, attribution, alive });
            ends.push((reactor, connection));
        }
        let control = Arc::new(Control::new(hub, clock, threads, log));
        // From here on, dropping the engine stops what was started.
        let mut engine = Self { control, threads: Mutex::default(), log_thread: Mutex::default(), initial: None };
        engine.start_log(notes)?;
        engine.start_threads(ends, &config.pin)?;
        // Before the source says anything: what the builder has checked is what is accepted here.
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

    /// The newest value of every stream. Cheap to clone, readable from any thread.
    pub fn pool(&self) -> &DataPool {
        &self.control.pool
    }

    /// Puts streams on the wire for as long as the returned handle, or another that wants them, lives.
    ///
    /// # Errors
    /// [`Error::Subscription`] names every offender, and nothing was changed. [`Error::Stopped`] after a shutdown.
    pub fn subscribe<T>(&self, subscription: Subscription<T>) -> Result<Subscribed> {
        Subscribed::new(self.control.clone(), None, subscription.mixed(), None)
    }

    /// Updates of these streams, from now on. What becomes of those that are not read in time, the [`Overflow`] says; its
    /// default suits the type of each stream: trades each count, so they are kept in a ring of 4096 for each feed, and
    /// what does not fit is dropped and told in band; tickers, order books and candles are states, so only the newest of
    /// each stream waits. Who cannot miss a trade asks for the capacity up front
    /// ([`DropNewest`](Overflow::DropNewest)) and reads as fast as it comes; whatever is lost in spite of that is told.
    ///
    /// Of a stream that runs already the newest value comes first, as a snapshot, then what follows it, without a gap
    /// or a repetition between the two: the exchange is not asked for another snapshot, because it would send nobody
    /// changes while it prepares one. Any other stream begins with the exchange's snapshot. That includes a stream that was
    /// carried earlier: the value that the pool still holds may be outdated, so no feed begins with it. For no state at the
    /// start there is [`only_realtime`](Subscription::only_realtime).
    ///
    /// The exchange sends later snapshots on the same socket when the connection was quiet for long, or when another part of
    /// the program wants a deeper book. The feed delivers those that bring something new.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe); [`Error::InvalidArgument`] if the policy cannot work on a live engine, or needs
    /// more memory than [`Feed::BYTES_MAX`].
    pub fn feed<T: Payload>(&self, subscription: Subscription<T>, overflow: Overflow) -> Result<Feed<T>> {
        Feed::open(self.control.clone(), None, subscription, overflow, Arc::default())
    }

    /// The feeds that are read now: what came into each and what became of it, and the memory it takes.
    pub fn feeds(&self) -> Vec<FeedStatus> {
        self.control.feeds()
    }

    /// A function that is given the items of a feed, under a name that no other callback has. Who can should rather read
    /// a feed: a callback costs a thread's wake-up and runs on a thread that is not one's own.
    pub fn callback(&self, name: &str) -> CallbackBuilder<'_> {
        CallbackBuilder::new(self.control.clone(), None, name)
    }

    /// Starts threads that callbacks may share. While as many callbacks block as there are threads, the others wait.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for no thread, or more than [`DISPATCHER_THREADS_MAX`](Self::DISPATCHER_THREADS_MAX);
    /// [`Error::Start`] if the system refused one.
    pub fn dispatcher(&self, name: &str, threads: usize) -> Result<Dispatcher> {
        if !(1..=Self::DISPATCHER_THREADS_MAX).contains(&threads) {
            let most = Self::DISPATCHER_THREADS_MAX;
            return Err(Error::InvalidArgument(
                format!("a dispatcher has from 1 to {most} threads, not {threads}").into(),
            ));
        }
        Dispatcher::start(name, threads, Arc::new(self.control.clock))
            .map_err(|source| Error::Start { what: "dispatcher thread", source })
    }

    /// The callbacks there are, and how they behave.
    pub fn callbacks(&self) -> Vec<CallbackStatus> {
        self.control.callbacks()
    }

    /// Changes the message format of a connection; see [`Config::format`]. The next request asks for it, which follows at
    /// once and keeps the exchange's limits like any other. Streams that run go on: no update is lost or comes twice, and
    /// readers see no difference.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there is no such connection, or the exchange does not write so. Nothing was changed.
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

    /// These markets exist now. Streams that were asked for by patterns come and go with them; streams of markets that
    /// stay are not touched. A feed of a pattern gets nothing that arrives of a market after it has gone, even while another
    /// holder or the grace period keeps it on the wire. Updates that arrived before may still be delivered. An exception:
    /// a [`DropOldest`](Overflow::DropOldest) feed that has left 64 such changes unread goes on with the markets it has
    /// until it is read, so that it does not grow.
    ///
    /// New streams for which the connections have no room are added as soon as they have; see [`conflicts`](Self::conflicts).
    pub fn set_universe(&self, markets: impl IntoIterator<Item = Market>) {
        self.control.set_universe(markets.into_iter().collect());
    }

    /// The markets that exist, as far as the engine was told.
    pub fn universe(&self) -> Universe {
        self.control.universe()
    }

    /// A component of the program, by a name that no other has. It holds what is subscribed through it.
    ///
    /// # Errors
    /// [`Error::NameTaken`]; [`Error::Stopped`] after a shutdown.
    pub fn client(&self, name: &str) -> Result<Client> {
        self.open_client(name, None)
    }

    /// The same with a lease: what it holds is released if it does not call [`Client::renew`] at least this often. That
    /// is looked at at each clean-up; at the first the component is reported, at the second it loses what it holds.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn client_with_lease(&self, name: &str, lease: Duration) -> Result<Client> {
        self.open_client(name, Some(lease))
    }

    fn open_client(&self, name: &str, lease: Option<Duration>) -> Result<Client> {
        let (id, heartbeat) = self.control.open_client(name, lease)?;
        Ok(Client::new(self.control.clone(), id, name, heartbeat))
    }

    /// Waits until every stream that somebody wants is [`Live`](crate::pool::Health::Live): it has a value of its current socket. That
    /// includes streams that are asked for, or listed, while this waits; one that is dropped meanwhile is not waited for.
    /// Patterns mean nothing before the engine is told which markets exist, so this waits for that, too.
    ///
    /// # Errors
    /// [`Error::NotReady`] names the streams that are not live when the time is over or the engine stops, each with the
    /// reason. It names none if only the list of markets has not come. Unknown markets never get a value: the exchange
    /// ignores them silently. Streams of a pattern for which the connections have no room are named, too.
    pub fn wait_ready(&self, timeout: Duration) -> Result<()> {
        let deadline = self.now() + timeout;
        loop {
            let (mut missing, awaits_markets) = self.control.with_planner(|planner| planner.expected());
            missing.retain(|key| !self.pool().is_live(*key));
            if missing.is_empty() && !awaits_markets {
                return Ok(());
            }
            if self.now() >= deadline || !self.is_running() {
                return Err(self.control.not_ready(missing, awaits_markets));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// True until the engine is shut down or one of its threads has panicked. A lost connection does not end it.
    pub fn is_running(&self) -> bool {
        !matches!(self.state(), EngineState::Stopped | EngineState::Failed)
    }

    /// The engine as a whole.
    pub fn state(&self) -> EngineState {
        if self.control.is_stopped() {
            EngineState::Stopped
        } else if !self.control.is_alive() {
            EngineState::Failed
        } else {
            EngineState::of(self.connections().iter().map(|connection| connection.state))
        }
    }

    /// Each connection as it is now.
    pub fn connections(&self) -> Vec<ConnectionStatus> {
        self.control.connections.iter().map(|connection| connection.handles.status.read()).collect()
    }

    /// Where the time of each connection's messages went, if the builder was told to
    /// [`measure_latencies`](Builder::measure_latencies); otherwise nothing. [`Attribution::add`] makes one of several.
    /// Copies the histograms, some 100 KB for each connection; recording goes on meanwhile.
    pub fn latencies(&self) -> Vec<(ConnectionId, Attribution)> {
        let measured =
            |connection: &ConnectionThread| Some((connection.handles.id, connection.attribution.as_ref()?.read()));
        self.control.connections.iter().filter_map(measured).collect()
    }

    /// How far what is wanted has got on its way: changed here, sent to the exchange, confirmed by data.
    pub fn revisions(&self) -> Revisions {
        self.control.with_planner(|planner| planner.revisions())
    }

    /// Waits until the revisions are as `reached` wants them, at most `timeout`; true if they are. For streams of one's own,
    /// [`Subscribed::wait_confirmed`] also says which are missing.
    pub fn wait_revisions(&self, timeout: Duration, reached: impl Fn(Revisions) -> bool) -> bool {
        let deadline = self.now() + timeout;
        while !reached(self.revisions()) {
            if self.now() >= deadline || !self.is_running() {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        true
    }

    /// What is wanted, what is on the wire, and what it took. One consistent moment.
    pub fn subscriptions(&self) -> PlanStats {
        let now = self.now();
        self.control.with_planner(|planner| planner.stats(now))
    }

    /// The newest conflicts between subscriptions, oldest first, each settled as its kind says.
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.control.with_planner(|planner| planner.conflicts())
    }

    /// What happens to the connections from now on.
    pub fn lifecycle(&self) -> Lifecycle {
        let (writers, lifecycle) = lifecycle(self.control.connections.len());
        let connections = self.control.connections.iter().zip(writers);
        connections.for_each(|(connection, writer)| connection.handles.new_watchers.add(writer));
        lifecycle
    }

    /// The engine's clock: comparable with every stamp it makes.
    pub fn now(&self) -> Nanos {
        self.control.clock.now()
    }

    /// Closes the connections to the exchange and waits for the threads, at most `deadline`. Values stay readable and
    /// say that nobody asks for them any more; new demand is refused. A second call finds nothing left to join.
    pub fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let deadline = self.control.clock.now() + deadline;
        let mut report = self.end_threads(deadline);
        self.end_log(deadline, &mut report);
        report
    }

    /// Ends all threads but the one that writes the log.
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

    /// Waits for the last lines of the log. Other threads that still run go on to write to it.
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
        // No call makes a thread of ours panic, so one that does takes the place of the connection's.
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
