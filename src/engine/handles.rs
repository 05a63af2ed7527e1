//! The parts that a connection's thread shares with the control plane and with readers of its status.

use std::sync::Arc;

use super::lifecycle::NewWatchers;
use super::mailbox::Mailbox;
use super::reports::Reports;
use super::status::SharedStatus;
use crate::model::{ConnectionId, Nanos};
use crate::sync::connection::ConnectionState;

/// The handles through which other threads reach a connection.
#[derive(Clone)]
pub(super) struct Handles {
    pub id: ConnectionId,
    pub state: Arc<ConnectionState>,
    /// Commands for the connection.
    pub mailbox: Arc<Mailbox>,
    /// Reports from the connection.
    pub reports: Arc<Reports>,
    pub new_watchers: Arc<NewWatchers>,
    pub status: Arc<SharedStatus>,
}

impl Handles {
    pub fn new(id: ConnectionId, now: Nanos) -> Self {
        Self {
            id,
            state: Arc::new(ConnectionState::new(id, now)),
            mailbox: Arc::default(),
            reports: Arc::default(),
            new_watchers: Arc::default(),
            status: Arc::new(SharedStatus::new(id, now)),
        }
    }
}
