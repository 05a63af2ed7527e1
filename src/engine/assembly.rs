//! Assembles an engine without its threads, sockets and clock. [`Engine`](super::Engine) adds the system's, and a
//! simulation adds its own.

use std::sync::Arc;

use super::connection::Connection;
use super::handles::Handles;
use super::hub::Hub;
use super::log::Note;
use crate::config::Config;
use crate::model::{Clock, ConnectionId};
use crate::plan::Planner;
use crate::pool;
use crate::route::{AttributionReader, Router, attribution};
use crate::session::{DialBudget, Entropy, Session};
use crate::sync::lossy::Writer;

/// The parts of an engine before it runs.
pub(super) struct Assembly<C> {
    pub hub: Hub,
    pub connections: Vec<ConnectionParts<C>>,
}

/// The parts of one connection.
pub(super) struct ConnectionParts<C> {
    pub session: Session,
    /// Handles the session's events and messages.
    pub connection: Connection<C>,
    pub handles: Handles,
    /// Where the time of its messages went, if that is measured.
    pub attribution: Option<AttributionReader>,
}

impl<C: Clock + Clone + 'static> Assembly<C> {
    /// Assembles the hub and the connections. `knows_markets` is true if a source will report the markets. `logs` has
    /// one queue per connection. `outside` creates what a session needs from outside: its budget of connects and its
    /// source of random bytes.
    pub fn new(
        config: &Arc<Config>,
        clock: &C,
        knows_markets: bool,
        logs: Vec<Writer<Note>>,
        mut outside: impl FnMut() -> (Box<dyn DialBudget>, Box<dyn Entropy>),
    ) -> Self {
        let pool = pool::empty(Arc::new(clock.clone()), config.stale_after);
        let dialect = *config.endpoint.dialect();
        let connections: Vec<_> = (0..config.connections as u16)
            .map(ConnectionId)
            .zip(logs)
            .map(|(id, log)| {
                let (connects, entropy) = outside();
                let session = Session::new(id, config.clone(), connects, entropy);
                let handles = Handles::new(id, clock.now());
                let (writer, reader) = config.measure_latencies.then(attribution).unzip();
                let router = Router::new(clock.clone(), pool::waiters(&pool), &dialect, writer);
                let connection = Connection::new(handles.clone(), router, log);
                ConnectionParts { session, connection, handles, attribution: reader }
            })
            .collect();
        let planner = Planner::new(config.clone(), knows_markets);
        let handles = connections.iter().map(|parts| parts.handles.clone()).collect();
        let mut hub = Hub::new(pool, dialect, planner, handles, config.broadcast_capacity);
        let now = clock.now();
        (0..config.connections).for_each(|connection| hub.set_format(now, connection, config.format));
        Self { hub, connections }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pool has its own constant because it knows no configuration.
    #[test]
    fn a_pool_without_an_engine_has_the_default_stale_after() {
        assert_eq!(pool::DataPool::STALE_AFTER, Config::default().stale_after);
    }
}
