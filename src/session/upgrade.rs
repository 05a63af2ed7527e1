//! The opening handshake of a WebSocket.

use super::entropy::EntropyExt;
use super::shared::Shared;
use super::{Disconnect, Stage};
use crate::model::Nanos;
use crate::ws::Handshake;

/// An opening handshake.
pub(super) struct Upgrade {
    pub handshake: Handshake,
    /// When the opening request was created.
    pub asked_at: Nanos,
    /// The deadline.
    pub until: Nanos,
}

impl Upgrade {
    /// Begins an opening handshake. Also returns the bytes to send.
    pub fn start(now: Nanos, shared: &mut Shared) -> Result<(Self, Vec<u8>), Disconnect> {
        let (config, key) = (&shared.config, shared.entropy.bytes());
        let endpoint = &config.endpoint;
        let (host, port, path) = (endpoint.host(), endpoint.port(), endpoint.path());
        let headers: Vec<_> = config.headers.iter().collect();
        let (handshake, request) =
            Handshake::start(host, port, path, endpoint.is_secure(), &headers, key).map_err(Disconnect::handshake)?;
        Ok((Self { handshake, asked_at: now, until: shared.deadline(now, Stage::Upgrade) }, request))
    }
}
