//! The opening of a tunnel through a proxy, and why it fails.

use std::fmt;
use std::io;

use super::outbox::Outbox;
use super::shared::Shared;
use super::{Closed, Disconnect, Stage};
use crate::config::{Proxy, ProxyProtocol};
use crate::model::{DisconnectKind, Nanos};
use crate::ws::{ReceiveBuffer, Tunnel, TunnelError, TunnelStep};

/// The opening of one tunnel.
pub(super) struct Tunneling {
    tunnel: Tunnel,
    /// The proxy, for errors.
    proxy: Box<str>,
    /// When it began.
    pub since: Nanos,
    /// The deadline.
    pub until: Nanos,
}

/// Why the exchange could not be reached through the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// The proxy's name has no address, or could not be looked up.
    Resolve(Box<str>),
    /// TCP to the proxy could not be opened.
    Connect(io::ErrorKind),
    /// A step took longer than its deadline.
    Timeout(Stage),
    /// The proxy opened no tunnel to the exchange.
    Tunnel(TunnelError),
}

impl Tunneling {
    /// Begins a tunnel to the exchange. Also returns the bytes to send.
    pub fn start(now: Nanos, proxy: &Proxy, shared: &Shared) -> (Self, Vec<u8>) {
        let endpoint = &shared.config.endpoint;
        let start = match proxy.protocol() {
            ProxyProtocol::Http => Tunnel::http,
            ProxyProtocol::Socks5 => Tunnel::socks5,
        };
        let (tunnel, first) = start(endpoint.host(), endpoint.port(), proxy.credentials());
        (
            Self { tunnel, proxy: proxy.to_string().into(), since: now, until: shared.deadline(now, Stage::Tunnel) },
            first,
        )
    }

    /// Handles received bytes. Returns true if the tunnel is open; later bytes stay in the buffer.
    pub fn handle(&mut self, buffer: &mut ReceiveBuffer, outbox: &mut Outbox) -> Result<bool, Disconnect> {
        loop {
            let (consumed, step) = self.tunnel.handle(buffer.unparsed()).map_err(|error| self.failed(error))?;
            buffer.consume(consumed);
            match step {
                TunnelStep::NeedMore => return Ok(false),
                TunnelStep::Send(bytes) => outbox.raw(&bytes),
                // Otherwise the rest of the request would reach the exchange.
                TunnelStep::Done if outbox.pending().is_empty() => return Ok(true),
                TunnelStep::Done => {
                    return Err(
                        self.failed(TunnelError::Protocol("it answered before it had the whole request".into()))
                    );
                }
            }
        }
    }

    /// Returns the failure if the proxy takes too long.
    pub fn expired(&self) -> Disconnect {
        Disconnect::Proxy { proxy: self.proxy.clone(), why: ProxyFailure::Timeout(Stage::Tunnel) }
    }

    /// Returns the failure if the transport ends.
    pub fn closed(&self, how: Closed) -> Disconnect {
        match how {
            Closed::Eof | Closed::Io(_) => self.failed(TunnelError::Closed),
            other => Disconnect::closed(other),
        }
    }

    fn failed(&self, error: TunnelError) -> Disconnect {
        Disconnect::Proxy { proxy: self.proxy.clone(), why: ProxyFailure::Tunnel(error) }
    }
}

impl ProxyFailure {
    /// Returns the kind of a disconnect for this reason. What only a person can change is `ProxyRefused`.
    pub(super) const fn kind(&self) -> DisconnectKind {
        match self {
            Self::Timeout(_) => DisconnectKind::ProxyTimeout,
            Self::Resolve(_) | Self::Connect(_) => DisconnectKind::ProxyFailed,
            Self::Tunnel(error) => match error {
                // 501 and 7 mean that it does not offer CONNECT, 2 and 8 that it does not accept the address.
                TunnelError::CredentialsMissing
                | TunnelError::CredentialsRefused
                | TunnelError::Protocol(_)
                | TunnelError::Status { status: ..=428 | 430..=499 | 501, .. }
                | TunnelError::Reply(2 | 7 | 8) => DisconnectKind::ProxyRefused,
                TunnelError::Status { .. } | TunnelError::Reply(_) | TunnelError::Closed => DisconnectKind::ProxyFailed,
            },
        }
    }
}

impl Disconnect {
    /// Converts the failure of a dial attempt if it was the proxy that was dialed.
    pub(super) fn at_proxy(self, proxy: &Proxy) -> Self {
        let why = match self {
            Self::Resolve(why) => ProxyFailure::Resolve(why),
            Self::Connect(kind) => ProxyFailure::Connect(kind),
            Self::Timeout(stage) => ProxyFailure::Timeout(stage),
            other => return other,
        };
        Self::Proxy { proxy: proxy.to_string().into(), why }
    }
}

/// Continues a sentence that begins with the proxy.
impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(why) => write!(f, "has a name that could not be looked up: {why}; check its address"),
            Self::Connect(kind) => write!(f, "could not be reached: {kind}; check its address, and that it runs"),
            Self::Timeout(Stage::Resolve) => f.write_str("has a name whose look-up took too long; check the resolver"),
            Self::Timeout(Stage::Tunnel) => {
                f.write_str("accepted the connection, but opened no tunnel to the exchange in time")
            }
            Self::Timeout(_) => f.write_str("did not accept a connection in time; check its address"),
            Self::Tunnel(error) => error.fmt(f),
        }
    }
}
