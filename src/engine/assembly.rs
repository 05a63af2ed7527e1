//! Puts an engine together but for its threads, its sockets and its clock, which its runner brings: [`Engine`](super::Engine)
//! brings the system's, and a simulation its own.

use std::sync::Arc;

use super::builder::Settings;
use super::connection::Connection;
use super::handles::Handles;
use super::hub::Hub;
use super::log::Note;
use crate::model::{Clock, ConnectionId};
use crate::plan::Planner;
use crate::pool;
use crate::route::{AttributionReader, Router, attribution};
use crate::session::{self, DialBudget, Entropy, Session};
use crate::sync::lossy::Writer;

/// An engine that nobody runs yet.
pub(super) struct Assembly<C> {
    pub hub: Hub,
    pub connections: Vec<ConnectionParts<C>>,
}

/// One connection of it.
pub(super) struct ConnectionParts<C> {
    pub session: Session,
    /// Handles what the session reports and delivers.
    pub connection: Connection<C>,
    pub handles: Handles,
    /// Where the time of its messages went, if that is recorded.
    pub attribution: Option<AttributionReader>,
}

impl<C: Clock + Clone + 'static> Assembly<C> {
    /// `knows_markets`: something will say which markets exist. `logs`: a queue for each connection. `outside`: what a
    /// session needs from outside, its budget of connects and its source of random bytes.
    pub fn new(
        settings: &Settings,
        clock: &C,
        knows_markets: bool,
        logs: Vec<Writer<Note>>,
        mut outside: impl FnMut() -> (Box<dyn DialBudget>, Box<dyn Entropy>),
    ) -> Self {
        let pool = pool::empty(Arc::new(clock.clone()), settings.stale_after);
        let dialect = *settings.endpoint.dialect();
        let connections: Vec<_> = (0..settings.connections as u16)
            .map(ConnectionId)
            .zip(logs)
            .map(|(id, log)| {
                let (connects, entropy) = outside();
                let session = Session::new(session_config(id, settings), connects, entropy);
                let handles = Handles::new(id, clock.now());
                let (writer, reader) = settings.measure_latencies.then(attribution).unzip();
                let router = Router::new(clock.clone(), pool::sleepers(&pool), &dialect, writer);
                let connection = Connection::new(handles.clone(), router, log);
                ConnectionParts { session, connection, handles, attribution: reader }
            })
            .collect();
        let planner = Planner::new(settings.plan(knows_markets));
        let handles = connections.iter().map(|parts| parts.handles.clone()).collect();
        let mut hub = Hub::new(pool, dialect, planner, handles, settings.broadcast_capacity);
        let now = clock.now();
        (0..settings.connections).for_each(|connection| hub.set_format(now, connection, settings.format));
        hub.set_universe(now, settings.universe.clone());
        Self { hub, connections }
    }
}

fn session_config(id: ConnectionId, settings: &Settings) -> session::Config {
    session::Config {
        id,
        endpoint: settings.endpoint.clone(),
        timeouts: settings.timeouts.clone(),
        backoff: settings.backoff,
        limits: settings.limits,
        pacing: settings.pacing,
        keep_alive: settings.keep_alive,
        receive_bytes: settings.receive_bytes,
    }
}
