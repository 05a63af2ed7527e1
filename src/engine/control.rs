//! The demand side: who wants what, and the one place that tells the connections about it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::Thread;
use std::time::Duration;

use super::attribution::AttributionReader;
use super::callback::{self, CallbackStatus};
use super::connection::{Mailbox, NewFeed};
use super::lifecycle::NewWatchers;
use super::log::{Log, NewFormat, Note};
use super::open_feeds::{OpenFeed, new_ring};
use super::reports::{Pending, Report, Reports};
use super::router::AnyPublisher;
use super::status::{FeedStatus, SharedStatus};
use crate::config::{Dialect, FormatChoice};
use crate::error::{Error, Result};
use crate::feed::{Account, AnyWriter, Overflow, Sockets};
use crate::model::{Clock, DataType, Nanos, NounKind, Placed, StreamKey};
use crate::net::{Remote, SystemClock};
use crate::plan::{Change, Checked, ClientId, DemandId, Orders, Planner, Pulse, Relisted, Universe, Want, Wish};
use crate::pool::{DataPool, Link};
use crate::session::{FormatReason, FormatSelector};

/// Shared by the engine, its control thread and every handle that holds demand.
pub(super) struct Control {
    pub pool: DataPool,
    pub clock: SystemClock,
    pub dialect: Dialect,
    pub lines: Vec<Line>,
    /// Events of each type that a shared ring holds.
    pub broadcast_capacity: usize,
    pub log: Arc<Log>,
    /// Nothing is called under this lock that waits for anybody: no reader of the log, nothing of the program's own.
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
    pub sockets: Arc<Sockets>,
    pub mailbox: Arc<Mailbox>,
    pub reports: Arc<Reports>,
    pub new_watchers: Arc<NewWatchers>,
    pub remote: Remote,
    pub status: Arc<SharedStatus>,
    /// Where the time of its messages went, if that is recorded.
    pub attribution: Option<AttributionReader>,
    /// False once the connection's thread has ended, however it did.
    pub alive: Arc<AtomicBool>,
}

struct ControlState {
    planner: Planner,
    /// Who chooses the format of each connection, if it is not fixed.
    selectors: Vec<Option<FormatSelector>>,
    /// Streams that have a publisher on a connection's thread. One writer for each cell, for life: a stream that is not
    /// carried any more keeps its own and is only marked.
    opened: BTreeSet<StreamKey>,
    /// Connections that have a shared ring of some type.
    rings: BTreeSet<(usize, NounKind)>,
    feeds: BTreeMap<DemandId, FeedRecord>,
    callbacks: Vec<Weak<callback::Shared>>,
    stopped: bool,
}

/// A feed that somebody reads.
struct FeedRecord {
    client: Option<Box<str>>,
    overflow: Overflow,
    account: Arc<Account>,
    /// The connections that may bring something.
    lines: Vec<usize>,
}

/// A feed that somebody wants to read.
pub(super) struct AskedFeed<'a> {
    pub overflow: Overflow,
    /// Makes it, with a writing end for each connection that may bring something.
    pub open: Box<OpenWith<'a>>,
}

/// Takes the types of the streams and the connections.
type OpenWith<'a> = dyn FnOnce(&[DataType], &[Arc<Sockets>]) -> (Vec<AnyWriter>, Arc<Account>) + 'a;

/// Demand that was accepted.
pub(super) struct Accepted {
    pub id: DemandId,
    pub revision: u64,
}

impl Control {
    pub fn new(
        pool: DataPool,
        clock: SystemClock,
        dialect: Dialect,
        lines: Vec<Line>,
        planner: Planner,
        broadcast_capacity: usize,
        log: Arc<Log>,
    ) -> Self {
        let (opened, rings, feeds, callbacks) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new(), Vec::new());
        let selectors = lines.iter().map(|_| None).collect();
        let state = Mutex::new(ControlState { planner, selectors, opened, rings, feeds, callbacks, stopped: false });
        let (thread, alive) = (OnceLock::new(), Arc::new(AtomicBool::new(true)));
        Self { pool, clock, dialect, lines, broadcast_capacity, log, state, thread, alive }
    }

    /// Adds demand, and a feed of it if one is asked for. Either everything happens or nothing.
    pub fn add(&self, client: Option<ClientId>, checked: Checked, feed: Option<AskedFeed<'_>>) -> Result<Accepted> {
        let mut state = self.lock();
        if state.stopped || !self.is_alive() {
            return Err(Error::Stopped);
        }
        let (may_grow, data_types) = (!checked.patterns.is_empty(), checked.data_types());
        let admitted = state.planner.add(self.clock.now(), client, checked)?;
        self.open_streams(&mut state, admitted.new);
        // Before the feed's letter: what it joins must not leave the wire behind it.
        self.carry(admitted.carry);
        if let Some(feed) = feed {
            // Under the lock: the streams are there before the feeds that read them.
            self.open_feed(&mut state, admitted.id, client, feed, &data_types, may_grow);
        }
        drop(state);
        self.wake();
        Ok(Accepted { id: admitted.id, revision: admitted.revision })
    }

    fn open_feed(
        &self,
        state: &mut ControlState,
        id: DemandId,
        client: Option<ClientId>,
        AskedFeed { overflow, open }: AskedFeed<'_>,
        data_types: &[DataType],
        may_grow: bool,
    ) {
        let held = state.planner.held(id).iter().copied();
        let shares = self.shares(&state.planner, held, |want: &Want| want.key);
        // A writing end for each connection that carries some of it, or may when markets are listed.
        let shares = shares.into_iter().enumerate().filter(|(_, wants)| may_grow || !wants.is_empty());
        let (lines, shares): (Vec<_>, Vec<_>) = shares.unzip();
        self.open_rings(state, &lines, overflow, data_types);
        let sockets: Vec<_> = lines.iter().map(|line| self.lines[*line].sockets.clone()).collect();
        let (writers, account) = open(data_types, &sockets);
        for ((writer, wants), line) in writers.into_iter().zip(shares).zip(&lines) {
            self.lines[*line].mailbox.leave(|letters| letters.open(NewFeed { id, wants, writer }));
            self.lines[*line].remote.wake();
        }
        let client = client.and_then(|client| state.planner.client_name(client)).map(Box::from);
        state.feeds.insert(id, FeedRecord { client, overflow, account, lines });
    }

    /// Here and not on the connection's thread: making a ring touches all of its memory.
    fn open_rings(&self, state: &mut ControlState, lines: &[usize], overflow: Overflow, data_types: &[DataType]) {
        let shared = data_types.iter().filter(|data_type| overflow.of(**data_type) == Overflow::DropOldest);
        let kinds: BTreeSet<_> = shared.map(|data_type| data_type.kind()).collect();
        for (line, kind) in lines.iter().flat_map(|line| kinds.iter().map(|kind| (*line, *kind))) {
            if state.rings.insert((line, kind)) {
                let ring = new_ring(kind, self.broadcast_capacity);
                self.lines[line].mailbox.leave(|letters| letters.rings.push(ring));
            }
        }
    }

    /// How the exchange shall write to a connection.
    pub fn set_format(&self, line: usize, choice: FormatChoice) {
        let mut state = self.lock();
        let ControlState { planner, selectors, .. } = &mut *state;
        let (selector, reason) = match choice {
            FormatChoice::Fixed(format) => {
                planner.set_format(self.clock.now(), line, format);
                (None, FormatReason::Fixed)
            }
            FormatChoice::Auto(rule) => {
                let selector = FormatSelector::new(rule, self.dialect.formats, planner.format(line));
                let reason = selector.reason();
                (Some(selector), reason)
            }
        };
        selectors[line] = selector;
        self.lines[line].status.change(|status| status.format_reason = reason);
        drop(state);
        self.wake();
    }

    /// Lets the rules look at what their connections have counted. Gives the connections whose format they changed, and
    /// when they want to look again.
    fn choose_formats(&self, state: &mut ControlState, now: Nanos) -> (Vec<NewFormat>, Nanos) {
        let ControlState { planner, selectors, .. } = state;
        let (mut changed, mut next) = (Vec::new(), Nanos::NEVER);
        for (number, (line, selector)) in self.lines.iter().zip(selectors).enumerate() {
            let Some(selector) = selector else { continue };
            if now >= selector.next_look() {
                let status = line.status.read();
                if let Some(format) = selector.look(now, status.format, &status.counters) {
                    let reason = selector.reason();
                    planner.set_format(now, number, format);
                    line.status.change(|status| status.format_reason = reason);
                    changed.push(NewFormat { line: number, format, reason });
                }
            }
            next = next.min(selector.next_look());
        }
        (changed, next)
    }

    /// These markets exist now.
    pub fn set_universe(&self, universe: Universe) {
        let mut state = self.lock();
        if state.stopped || !self.is_alive() {
            return;
        }
        let relisted = state.planner.set_universe(self.clock.now(), universe);
        self.relist(&mut state, relisted);
        drop(state);
        self.wake();
    }

    /// Opens the streams that patterns mean now, and tells the feeds that read them.
    fn relist(&self, state: &mut ControlState, relisted: Relisted) {
        let Relisted { new, carry, changes } = relisted;
        self.open_streams(state, new);
        self.carry(carry);
        for Change { id, more, less } in changes {
            let more = self.shares(&state.planner, more, |want| want.key);
            let less = self.shares(&state.planner, less, |key| *key);
            for (line, (more, less)) in self.lines.iter().zip(more.into_iter().zip(less)) {
                line.mailbox.leave(|letters| letters.change(Change { id, more, less }));
                line.remote.wake();
            }
        }
    }

    /// Leaves connections the wishes that they carry out next.
    fn carry(&self, wishes: Vec<(usize, Wish)>) {
        for (line, wish) in wishes {
            self.lines[line].mailbox.leave(|letters| letters.wish = Some(wish));
            self.lines[line].remote.wake();
        }
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

    /// These by the connection that carries their streams.
    fn shares<T: Clone>(
        &self,
        planner: &Planner,
        all: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> StreamKey,
    ) -> Vec<Vec<T>> {
        let mut shares = vec![Vec::new(); self.lines.len()];
        for one in all {
            shares[planner.home(key(&one))].push(one);
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
        let mut state = self.lock();
        state.planner.remove(self.clock.now(), id);
        let unseen = self.end_feed(&mut state, id);
        drop(state);
        drop(unseen);
        self.wake();
    }

    /// Nothing more comes into a feed, if there is one. Gives its writing ends that no connection has seen yet, to be
    /// freed when the lock is not held any more.
    fn end_feed(&self, state: &mut ControlState, id: DemandId) -> Vec<NewFeed> {
        let mut unseen = Vec::new();
        for line in state.feeds.remove(&id).into_iter().flat_map(|feed| feed.lines) {
            unseen.extend(self.lines[line].mailbox.leave(|letters| letters.end(id)));
            self.lines[line].remote.wake();
        }
        unseen
    }

    /// Feeds whose component is gone end with it, whoever still reads them. Gives what [`end_feed`](Self::end_feed) gives.
    fn end_released_feeds(&self, state: &mut ControlState) -> Vec<NewFeed> {
        let ControlState { planner, feeds, .. } = &*state;
        let released: Vec<_> = feeds.keys().copied().filter(|id| !planner.is_held(*id)).collect();
        released.into_iter().flat_map(|id| self.end_feed(state, id)).collect()
    }

    /// The feeds that are read.
    pub fn feeds(&self) -> Vec<FeedStatus> {
        let state = self.lock();
        let ControlState { planner, feeds, .. } = &*state;
        let status = |(id, feed): (&DemandId, &FeedRecord)| FeedStatus {
            client: feed.client.clone(),
            streams: planner.held(*id).len(),
            overflow: feed.overflow,
            counts: feed.account.counts(),
            depth_max: feed.account.depth_max(),
            bytes: feed.account.bytes(),
            shared_bytes: feed.account.shared_bytes(),
        };
        feeds.iter().map(status).collect()
    }

    /// A new callback; its name must be free.
    pub fn add_callback(&self, callback: &Arc<callback::Shared>) -> Result<()> {
        let callbacks = &mut self.lock().callbacks;
        callbacks.retain(|callback| callback.strong_count() > 0);
        let is_taken = |other: Arc<callback::Shared>| other.name == callback.name && !other.over.load(Relaxed);
        if callbacks.iter().filter_map(Weak::upgrade).any(is_taken) {
            return Err(Error::NameTaken(callback.name.clone()));
        }
        callbacks.push(Arc::downgrade(callback));
        Ok(())
    }

    /// The callbacks that there are.
    pub fn callbacks(&self) -> Vec<CallbackStatus> {
        let callbacks: Vec<_> = self.lock().callbacks.iter().filter_map(Weak::upgrade).collect();
        callbacks.iter().filter(|callback| !callback.over.load(Relaxed)).map(|callback| callback.status()).collect()
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
        let mut state = self.lock();
        state.planner.close_client(self.clock.now(), id);
        let unseen = self.end_released_feeds(&mut state);
        drop(state);
        drop(unseen);
        self.wake();
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
    pub fn turn(&self) -> Nanos {
        let mut state = self.lock();
        let left: Vec<_> = (0..self.lines.len()).map(|line| self.take_reports(&mut state.planner, line)).collect();
        let now = self.clock.now();
        let (formats, next_choice) = self.choose_formats(&mut state, now);
        let mut orders = state.planner.poll(now, |key| self.pool.heard(key));
        // Under the lock: a stream that is wanted again at this moment is marked after this, not before.
        self.carry_out(&mut state, &mut orders);
        let unseen = if orders.reaped.is_empty() { Vec::new() } else { self.end_released_feeds(&mut state) };
        let next = state.planner.next_poll().min(next_choice);
        drop(state);
        drop((left, unseen));
        self.note(orders, formats);
        next
    }

    /// Tells the planner what a connection reported. Gives the feeds that ended.
    fn take_reports(&self, planner: &mut Planner, line: usize) -> Vec<OpenFeed> {
        let Pending { reports, earlier_requests, left } = self.lines[line].reports.take();
        planner.count_requests(earlier_requests);
        for report in reports {
            match report {
                Report::Opened(epoch) => planner.opened(line, epoch),
                Report::Lost => planner.lost(line),
                Report::Requested { at, revision } => planner.requested(line, at, revision),
                Report::Listed(streams) => planner.listed(line, &streams),
            }
        }
        left
    }

    fn carry_out(&self, state: &mut ControlState, orders: &mut Orders) {
        for key in orders.expired.iter().chain(&orders.interrupted) {
            self.pool.set_subscribed(*key, false);
        }
        for key in &orders.interrupted {
            self.pool.set_subscribed(*key, true);
        }
        self.relist(state, std::mem::take(&mut orders.relisted));
        self.carry(std::mem::take(&mut orders.carry));
        for line in &orders.list {
            self.lines[*line].mailbox.leave(|letters| letters.list = true);
            self.lines[*line].remote.wake();
        }
    }

    fn note(&self, orders: Orders, formats: Vec<NewFormat>) {
        let Orders { overdue, reaped, unconfirmed, .. } = orders;
        if !overdue.is_empty() {
            self.log.note(Note::Overdue(overdue));
        }
        if !reaped.is_empty() {
            self.log.note(Note::Reaped(reaped));
        }
        if !unconfirmed.is_empty() {
            self.log.note(Note::Unconfirmed(unconfirmed));
        }
        formats.into_iter().for_each(|new| self.log.note(Note::Format(new)));
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
        with_noun!(key.data_type.kind(), T => T::into_any(self.pool.open::<T>(key, link)))
    }
}
