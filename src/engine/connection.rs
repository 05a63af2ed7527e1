//! Handles a connection's events on its thread: applies commands, keeps the status current, and delivers messages to
//! readers.

use std::collections::BTreeSet;
use std::time::Duration;

use super::handles::Handles;
use super::lifecycle::{LifecycleEvent, Watchers};
use super::log::{Flood, Note};
use super::reports::Report;
use crate::model::{
    Clock, ConnectionId, DataType, DisconnectKind, Grouping, Market, Nanos, Noun, Receipt, Sink, StreamKey,
};
use crate::net::Handler;
use crate::plan::StreamSet;
use crate::route::{Request, Router};
use crate::session::{Event, Session};
use crate::sync::lossy::Writer;
use crate::wire::{DecodeError, ServerError, SubscriptionList};

/// The handler of a connection, on its thread.
pub(super) struct Connection<C> {
    handles: Handles,
    router: Router<C>,
    /// The streams of the newest desired set, which is the only one that the session sends.
    desired: StreamSet,
    watchers: Watchers,
    /// The queue to the log thread.
    log: Writer<Note>,
    server_errors: Flood<ServerError>,
    malformed: Flood<DecodeError>,
    /// The number of data messages at the end of the last batch.
    data_seen: u64,
    /// Why the last socket, or the last connection attempt, ended.
    last_disconnect: Option<DisconnectKind>,
}

impl<C: Clock> Connection<C> {
    pub fn new(handles: Handles, router: Router<C>, log: Writer<Note>) -> Self {
        Self {
            handles,
            router,
            desired: StreamSet::default(),
            watchers: Watchers::default(),
            log,
            server_errors: Flood::default(),
            malformed: Flood::default(),
            data_seen: 0,
            last_disconnect: None,
        }
    }

    /// Notes that the session has sent the desired set. It asked for the `running` streams without a snapshot.
    fn requested(&mut self, at: Nanos, running: &BTreeSet<StreamKey>) {
        self.router.requested(&Request { at, epoch: self.handles.state.epoch(), streams: &self.desired, running });
    }

    pub fn id(&self) -> ConnectionId {
        self.handles.id
    }

    /// Logs that the system refused to pin the connection's thread.
    pub fn not_pinned(&mut self, core: usize) {
        self.log.push(Note::NotPinned(self.handles.id, core));
    }

    #[cold]
    fn note_due_errors(&mut self, now: Nanos) {
        if let Some(errors) = self.server_errors.take_due(now) {
            self.log.push(Note::ServerErrors(self.handles.id, errors));
        }
        if let Some(errors) = self.malformed.take_due(now) {
            self.log.push(Note::Malformed(self.handles.id, errors));
        }
    }

    /// Logs the errors that were counted but not logged yet.
    fn note_remaining_errors(&mut self) {
        let errors = self.server_errors.take().map(|errors| Note::ServerErrors(self.handles.id, errors));
        let malformed = self.malformed.take().map(|errors| Note::Malformed(self.handles.id, errors));
        errors.into_iter().chain(malformed).for_each(|note| self.log.push(note));
    }
}

/// Returns the streams of a list, without unknown types and markets. Codes may have a depth.
fn keys_of(list: &SubscriptionList, plain_level: Option<f64>) -> BTreeSet<StreamKey> {
    let mut keys = BTreeSet::new();
    for entry in &list.entries {
        let Some(data_type) = DataType::from_name(&entry.type_name) else { continue };
        let data_type = match entry.level.filter(|level| Some(*level) != plain_level).and_then(Grouping::krw) {
            Some(step) if data_type == DataType::Orderbook => DataType::GroupedOrderbook(step),
            _ => data_type,
        };
        let market = |code: &str| code.split('.').next().unwrap_or_default().parse::<Market>().ok();
        let markets = entry.codes.iter().filter_map(|code| market(code));
        keys.extend(markets.map(|market| StreamKey::of(data_type, market)));
    }
    keys
}

impl<C: Clock> Handler for Connection<C> {
    fn commands(&mut self, now: Nanos, session: &mut Session) {
        let commands = self.handles.mailbox.take();
        for publisher in commands.streams {
            self.router.add_stream(publisher);
        }
        for ring in commands.rings {
            self.router.add_ring(ring);
        }
        for feed in commands.feeds {
            self.router.add_feed(feed);
        }
        for change in commands.changes {
            self.router.change_feed(&change);
        }
        for id in commands.ended {
            if let Some(feed) = self.router.remove_feed(id) {
                self.handles.reports.add_ended(feed);
            }
        }
        if let Some(desired) = commands.desired {
            self.desired = desired.streams.clone();
            session.set_desired(now, desired);
        }
        if commands.list {
            session.list(now);
        }
        if commands.stop {
            session.stop(now);
            self.note_remaining_errors();
        }
    }

    fn event(&mut self, event: Event) {
        match &event {
            Event::State { at, from, to, epoch } => {
                if to.is_open() && !from.is_open() {
                    self.handles.state.opened(*epoch, *at, self.last_disconnect);
                    self.handles.reports.add(Report::Opened(*epoch));
                } else if from.is_open() && !to.is_open() {
                    self.handles.state.disconnected(*at);
                    self.handles.reports.add(Report::Disconnected);
                }
                self.handles.status.change(|s| (s.state, s.since, s.epoch) = (*to, *at, *epoch));
            }
            Event::Disconnected { reason, .. } => {
                self.last_disconnect = Some(reason.kind());
                self.handles.status.change(|s| s.last_disconnect = Some(reason.clone()));
            }
            // Sent again to provoke a response: the socket carries the same streams as before.
            Event::Requested { at, again: true, running, .. } => self.requested(*at, running),
            Event::Requested { at, revision, format, running, .. } => {
                // Only the newest desired set is sent.
                self.requested(*at, running);
                self.handles.status.change(|s| s.format = Some(*format));
                self.handles.reports.add(Report::Requested { at: *at, revision: *revision });
            }
            Event::Subscriptions(list) => {
                self.handles.reports.add(Report::Listed(keys_of(list, self.router.plain_level())))
            }
            Event::Dated { asked, answered, date } => {
                if let Some(attribution) = self.router.attribution() {
                    attribution.dated(*asked, *answered, *date);
                }
            }
            Event::ServerError(error) => self.server_errors.add(error.clone()),
            Event::Malformed(error) => self.malformed.add(*error),
        }
        let report = LifecycleEvent { connection: self.handles.id, event };
        self.watchers.report(&self.handles.new_watchers, &report);
        if matches!(report.event, Event::State { .. } | Event::Disconnected { .. }) {
            self.log.push(Note::Lifecycle(report));
        }
    }

    fn read_after(&mut self, wait: Duration) {
        if let Some(attribution) = self.router.attribution() {
            attribution.read_after(wait);
        }
    }

    fn batch_done(&mut self, now: Nanos, session: &Session) {
        let data = session.data_received();
        if data != self.data_seen {
            self.data_seen = data;
            self.handles.state.heard_data(now);
        }
        self.router.flush_feeds();
        if self.server_errors.is_waiting() || self.malformed.is_waiting() {
            self.note_due_errors(now);
        }
        let unrouted = self.router.unrouted();
        self.handles.status.offer(|status| {
            status.blocked_until = session.blocked_until(now);
            status.counters = session.counters();
            status.unrouted = unrouted;
        });
    }
}

impl<C: Clock> Sink for Connection<C> {
    #[inline]
    fn deliver<T: Noun>(&mut self, receipt: Receipt, message: &T) {
        self.router.deliver(receipt, message);
    }
}
