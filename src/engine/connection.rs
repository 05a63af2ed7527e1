//! Handles a connection's events on its thread: applies commands, keeps the status current, and delivers messages to
//! readers.

use std::collections::BTreeSet;
use std::time::Duration;

use super::handles::Handles;
use super::lifecycle::{LifecycleEvent, Watchers};
use super::log::Note;
use super::reports::{Report, RequestRefusal};
use crate::model::{
    Clock, ConnectionId, DataType, DisconnectKind, Grouping, Market, Nanos, Noun, Receipt, Sink, StreamKey,
};
use crate::net::Handler;
use crate::plan::StreamSet;
use crate::route::{Request, Router};
use crate::session::{Event, Session};
use crate::sync::lossy::Writer;
use crate::wire::SubscriptionList;

/// The handler of a connection, on its thread.
pub(super) struct Connection<C> {
    handles: Handles,
    router: Router<C>,
    /// The streams of the newest desired set, which is the only one that the session sends.
    desired: StreamSet,
    watchers: Watchers,
    /// The queue to the log thread.
    log: Writer<Note>,
    /// The number of data messages at the end of the last batch.
    data_seen: u64,
    /// The end of the last socket that was open.
    last_socket: LastSocket,
}

/// The end of the last socket that was open.
enum LastSocket {
    /// There was none.
    None,
    /// It is still open.
    Open,
    /// It ended for this reason. Failed attempts to open the next one do not change it.
    EndedBy(DisconnectKind),
}

impl LastSocket {
    /// Notes the end of a socket, or of an attempt to open one.
    fn disconnected(&mut self, why: DisconnectKind) {
        if matches!(self, Self::Open) {
            *self = Self::EndedBy(why);
        }
    }

    fn ended_by(&self) -> Option<DisconnectKind> {
        if let Self::EndedBy(why) = self { Some(*why) } else { None }
    }
}

impl<C: Clock> Connection<C> {
    pub fn new(handles: Handles, router: Router<C>, log: Writer<Note>) -> Self {
        Self {
            handles,
            router,
            desired: StreamSet::default(),
            watchers: Watchers::default(),
            log,
            data_seen: 0,
            last_socket: LastSocket::None,
        }
    }

    /// Notes that the session has sent the desired set. It asked for the `running` streams without a snapshot.
    fn requested(&mut self, at: Nanos, running: &BTreeSet<StreamKey>) {
        self.router.requested(&Request { at, epoch: self.handles.state.epoch(), streams: &self.desired, running });
    }

    pub fn id(&self) -> ConnectionId {
        self.handles.id
    }

    /// Applies an event to what other threads see of the connection. Returns the report to the control thread.
    fn apply(&mut self, event: &Event) -> Option<Report> {
        match event {
            Event::State { at, from, to, epoch } => {
                let mut report = None;
                if to.is_open() && !from.is_open() {
                    let before = std::mem::replace(&mut self.last_socket, LastSocket::Open);
                    self.handles.state.opened(*epoch, *at, before.ended_by());
                    report = Some(Report::Opened(*epoch));
                } else if from.is_open() && !to.is_open() {
                    self.handles.state.disconnected(*at);
                    report = Some(Report::Disconnected);
                }
                self.handles.status.change(|s| (s.state, s.since, s.epoch) = (*to, *at, *epoch));
                return report;
            }
            Event::Disconnected { reason, .. } => {
                self.last_socket.disconnected(reason.kind());
                self.handles.status.change(|s| s.last_disconnect = Some(reason.clone()));
            }
            // Sent again to provoke a response: the socket carries the same streams as before.
            Event::Requested { at, again: true, running, .. } => self.requested(*at, running),
            Event::Requested { at, revision, format, running, .. } => {
                // `self.desired` is the set of this request, because only the newest desired set is sent.
                self.requested(*at, running);
                self.handles.status.change(|s| s.format = Some(*format));
                return Some(Report::Requested { at: *at, revision: *revision });
            }
            Event::RequestRefused { revision, error, .. } => {
                self.handles.reports.add_refusal(RequestRefusal { revision: *revision, reason: error.to_string() });
            }
            Event::Subscriptions(list) => {
                return Some(Report::Listed(keys_of(list, self.router.plain_level())));
            }
            Event::Dated { asked, answered, date } => {
                if let Some(attribution) = self.router.attribution() {
                    attribution.dated(*asked, *answered, *date);
                }
            }
            Event::ServerError { .. } | Event::Malformed { .. } | Event::Drift(_) | Event::UnknownType { .. } => {}
        }
        None
    }

    /// Logs that the system refused to pin the connection's thread.
    pub fn not_pinned(&mut self, core: usize) {
        self.log.push(Note::NotPinned(self.handles.id, core));
    }
}

/// Returns the streams of a list, without unknown types and markets. Codes may have a suffix with the depth, such as
/// `.5`.
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

/// Returns true for events that the log shows. The others are steps of normal operation.
fn is_logged(event: &Event) -> bool {
    // The error itself is reported by `ServerError`.
    let is_step = matches!(event, Event::Requested { .. } | Event::Subscriptions(_) | Event::Dated { .. });
    !is_step && !matches!(event, Event::RequestRefused { .. })
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
        if let Some(config) = commands.config {
            session.set_config(config);
        }
        if let Some(desired) = commands.desired {
            self.desired = desired.streams.clone();
            session.set_desired(now, desired);
        }
        if commands.list {
            session.list(now);
        }
        if commands.probe {
            session.probe(now);
        }
        if commands.stop {
            session.stop(now);
        }
    }

    fn event(&mut self, event: Event) {
        let report = self.apply(&event);
        if is_logged(&event) {
            self.log.push(Note::Lifecycle(self.handles.id, event.clone()));
        }
        self.watchers.join(&self.handles.new_watchers);
        self.watchers.report(&LifecycleEvent::Connection { connection: self.handles.id, event });
        // After the watchers, so that they have the event before what it changes for streams.
        if let Some(report) = report {
            self.handles.reports.add(report);
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
        let unrouted = self.router.unrouted();
        self.handles.status.offer(|status| {
            status.blocked_until = session.blocked_until(now);
            status.dial_held_until = session.dial_held_until();
            status.counters = session.counters();
            status.unrouted = unrouted;
            let (opened_at, last_heard) = session.life().unzip();
            if status.opened_at != opened_at {
                status.opening = session.opening_times();
            }
            (status.opened_at, status.last_heard) = (opened_at, last_heard);
            status.refused.follow(session.refused());
        });
    }
}

impl<C: Clock> Sink for Connection<C> {
    #[inline]
    fn deliver<T: Noun>(&mut self, receipt: Receipt, message: &T) {
        self.router.deliver(receipt, message);
    }

    #[cold]
    fn refuse(&mut self, receipt: Receipt, stream: Option<StreamKey>) {
        match stream {
            Some(stream) => self.router.refused(receipt.received, stream),
            None => self.handles.state.refused_unnamed(receipt.received),
        }
    }
}
