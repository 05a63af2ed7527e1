//! What a connection's thread shares with the control plane and with those who ask for its status.

use std::sync::Arc;

use super::lifecycle::NewWatchers;
use super::mailbox::Mailbox;
use super::reports::Reports;
use super::status::SharedStatus;
use crate::model::{ConnectionId, Nanos};
use crate::sync::connection::ConnectionState;

/// One connection, as other threads reach it.
#[derive(Clone)]
pub(super) struct Handles {
    pub id: ConnectionId,
    pub state: Arc<ConnectionState>,
    /// Commands for the connection.
    pub mailbox: Arc<Mailbox>,
    /// Reports from it.
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
