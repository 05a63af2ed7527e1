//! The demand side: who wants what, and the one place that tells the connections about it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use super::connection::{Mailbox, NewFeed};
use super::router::AnyPublisher;
use super::status::SharedStatus;
use crate::error::{Error, Result};
use crate::feed::FeedWriter;
use crate::model::{Clock, DataType, Epoch, Nanos, StreamKey};
use crate::net::{Remote, SystemClock};
use crate::plan::{Checked, ClientId, DemandId, Dialect, Orders, Planner, Pulse, Refused, Universe, Want};
use crate::pool::{DataPool, Link};

/// Shared by the engine, its control thread and every handle that holds demand.
pub(super) struct Control {
    pub pool: DataPool,
    pub clock: SystemClock,
    pub dialect: Dialect,
    pub lines: Vec<Line>,
    state: Mutex<ControlState>,
    /// Woken when demand changed.
    thread: OnceLock<Thread>,
    /// False once the control thread has ended, however it did.
    pub alive: Arc<AtomicBool>,
}

/// What is shared with one connection's thread.
#[derive(Clone)]
pub(super) struct Line {
    pub link: Arc<Link>,
    pub mailbox: Arc<Mailbox>,
    pub remote: Remote,
    pub status: Arc<SharedStatus>,
    /// False once the connection's thread has ended, however it did.
    pub alive: Arc<AtomicBool>,
}

struct ControlState {
    planner: Planner,
    /// Streams that have a publisher on a connection's thread. One writer for each cell, for life: a stream that is not
    /// carried any more keeps its own and is only marked.
    opened: BTreeSet<StreamKey>,
    stopped: bool,
}

/// What a connection's thread tells the control thread. A few for each reconnect or request, and the exchange rations
/// both.
#[derive(Debug)]
pub(super) enum Report {
    Opened(Epoch),
    Lost,
    Requested { at: Nanos, revision: u64 },
    Listed(BTreeSet<StreamKey>),
}

/// Demand that was accepted.
pub(super) struct Accepted {
    pub id: DemandId,
    pub revision: u64,
}

impl Control {
    pub fn new(pool: DataPool, clock: SystemClock, dialect: Dialect, lines: Vec<Line>, planner: Planner) -> Self {
        let state = Mutex::new(ControlState { planner, opened: BTreeSet::new(), stopped: false });
        Self { pool, clock, dialect, lines, state, thread: OnceLock::new(), alive: Arc::new(AtomicBool::new(true)) }
    }

    /// Adds demand, and a feed of it if there is one: `feed` makes so many writing ends, one for each connection. Either everything happens or nothing.
    pub fn add(
        &self,
        client: Option<ClientId>,
        checked: Checked,
        feed: impl FnOnce(usize) -> Vec<FeedWriter>,
    ) -> Result<Accepted> {
        let mut state = self.lock();
        if state.stopped || !self.is_alive() {
            return Err(Error::Stopped);
        }
        let may_grow = !checked.patterns.is_empty();
        let admitted = state.planner.add(self.clock.now(), client, checked).map_err(refused)?;
        self.open_streams(&mut state, admitted.new);
        let shares = self.shares(&state.planner, state.planner.held(admitted.id));
        // A ring for each connection that carries some of it, or may when markets are listed.
        let shares: Vec<_> = self.lines.iter().zip(shares).filter(|(_, wants)| may_grow || !wants.is_empty()).collect();
        // Under the lock: the streams are there before the feeds that read them.
        for (writer, (line, wants)) in feed(shares.len()).into_iter().zip(shares) {
            line.mailbox.leave(|letters| letters.feeds.push(NewFeed { id: admitted.id, wants, writer }));
            line.remote.wake();
        }
        drop(state);
        self.wake();
        Ok(Accepted { id: admitted.id, revision: admitted.revision })
    }

    /// These markets exist now.
    pub fn set_universe(&self, universe: Universe) {
        let mut state = self.lock();
        if state.stopped {
            return;
        }
        let relisted = state.planner.set_universe(self.clock.now(), universe);
        self.open_streams(&mut state, relisted.new);
        for (id, more) in relisted.more {
            for (line, wants) in self.lines.iter().zip(self.shares(&state.planner, &more)) {
                line.mailbox.leave(|letters| letters.more.push((id, wants)));
                line.remote.wake();
            }
        }
        drop(state);
        self.wake();
    }

    /// Gives new streams a publisher on the thread that carries them.
    fn open_streams(&self, state: &mut ControlState, new: Vec<(StreamKey, usize)>) {
        for (key, home) in new {
            if state.opened.insert(key) {
                let publisher = self.open(key, home);
                self.lines[home].mailbox.leave(|letters| letters.streams.push(publisher));
            } else {
                self.pool.set_subscribed(key, true);
            }
        }
    }

    /// These streams by the connection that carries them.
    fn shares(&self, planner: &Planner, wants: &[Want]) -> Vec<Vec<Want>> {
        let mut shares = vec![Vec::new(); self.lines.len()];
        for want in wants {
            shares[planner.home(want.key)].push(*want);
        }
        shares
    }

    /// The markets that exist, as far as is known.
    pub fn universe(&self) -> Universe {
        self.with_planner(|planner| planner.universe().clone())
    }

    /// What each holder asks for now.
    pub fn held(&self, id: DemandId) -> Vec<StreamKey> {
        self.with_planner(|planner| planner.held(id).iter().map(|want| want.key).collect())
    }

    /// Releases exactly what one `add` asked for. The second time nothing happens.
    pub fn remove(&self, id: DemandId) {
        self.lock().planner.remove(self.clock.now(), id);
        self.wake();
    }

    /// A new component; its name must be free.
    pub fn open_client(&self, name: &str, lease: Option<Duration>) -> Result<(ClientId, Arc<Pulse>)> {
        let mut state = self.lock();
        if state.stopped {
            return Err(Error::Stopped);
        }
        state.planner.open_client(self.clock.now(), name, lease).map_err(|_| Error::NameTaken(name.into()))
    }

    /// Releases all that a component holds.
    pub fn close_client(&self, id: ClientId) {
        self.lock().planner.close_client(self.clock.now(), id);
        self.wake();
    }

    /// Everything that anybody wants now.
    pub fn wanted(&self) -> Vec<StreamKey> {
        self.with_planner(|planner| planner.wanted().collect())
    }

    /// Looks at the planner.
    pub fn with_planner<R>(&self, look: impl FnOnce(&mut Planner) -> R) -> R {
        look(&mut self.lock().planner)
    }

    // ---- the control thread ----

    /// Who is woken when demand changes.
    pub fn set_thread(&self, thread: Thread) {
        let _ = self.thread.set(thread);
    }

    /// Lets the control thread look.
    pub fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Applies what connections report, and tells them what to do. Gives the time of the next turn.
    pub fn turn(&self, reports: impl Iterator<Item = (usize, Report)>) -> Nanos {
        let mut state = self.lock();
        for (line, report) in reports {
            match report {
                Report::Opened(epoch) => state.planner.opened(line, epoch),
                Report::Lost => state.planner.lost(line),
                Report::Requested { at, revision } => state.planner.requested(line, at, revision),
                Report::Listed(streams) => state.planner.listed(line, &streams),
            }
        }
        let orders = state.planner.poll(self.clock.now(), |key| self.pool.heard(key));
        // Under the lock: a stream that is wanted again at this moment is marked after this, not before.
        self.carry_out(&orders);
        let next = state.planner.next_poll();
        drop(state);
        log(&orders);
        next
    }

    fn carry_out(&self, orders: &Orders) {
        for key in &orders.expired {
            self.pool.set_subscribed(*key, false);
        }
        for (line, wish) in &orders.carry {
            self.lines[*line].mailbox.leave(|letters| letters.wish = Some(wish.clone()));
            self.lines[*line].remote.wake();
        }
        for line in &orders.list {
            self.lines[*line].mailbox.leave(|letters| letters.list = true);
            self.lines[*line].remote.wake();
        }
    }

    /// Refuses demand from now on and tells the threads to end.
    pub fn stop(&self) {
        self.lock().stopped = true;
        for line in &self.lines {
            line.mailbox.leave(|letters| letters.stop = true);
            line.remote.wake();
        }
        self.wake();
    }

    /// No thread has ended.
    pub fn is_alive(&self) -> bool {
        // Relaxed: nothing is read on the strength of it.
        self.alive.load(Relaxed) && self.lines.iter().all(|line| line.alive.load(Relaxed))
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    fn lock(&self) -> MutexGuard<'_, ControlState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, key: StreamKey, home: usize) -> AnyPublisher {
        let link = self.lines[home].link.clone();
        match key.data_type {
            DataType::Ticker => AnyPublisher::Ticker(self.pool.open(key, link)),
            DataType::Trade => AnyPublisher::Trade(self.pool.open(key, link)),
            DataType::Orderbook | DataType::GroupedOrderbook(_) => AnyPublisher::Orderbook(self.pool.open(key, link)),
            DataType::Candle(_) => AnyPublisher::Candle(self.pool.open(key, link)),
        }
    }
}

/// Not under the lock: whoever reads the log may be slow, or ask the engine something.
fn log(orders: &Orders) {
    for name in &orders.overdue {
        tracing::warn!("client \"{}\" did not renew its lease in time", name.escape_debug());
    }
    for name in &orders.reaped {
        tracing::warn!("client \"{}\" lost what it held: its lease has run out", name.escape_debug());
    }
    for key in &orders.unconfirmed {
        tracing::warn!("nothing came for {key}, asked for twice: an unknown or suspended market");
    }
}

fn refused(refused: Refused) -> Error {
    match refused {
        Refused::TooManyStreams { streams, limit } => Error::TooManyStreams { streams, limit },
        Refused::NoUniverse => Error::NoUniverse,
        // Adding demand takes no name: the client is gone.
        Refused::NameTaken | Refused::NoSuchClient => Error::LeaseExpired,
    }
}
