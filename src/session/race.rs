//! Opens TCP to one of several addresses: each next attempt starts soon after the one before, and the first that is open
//! wins (RFC 8305 section 5). So a dead address costs little, and a slow one is still used if the others are worse.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Disconnect, SocketId, Stage};
use crate::model::Nanos;

/// The time after which the next address is tried as well. RFC 8305 recommends it.
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// The attempts to open TCP for one socket.
#[derive(Debug)]
pub(super) struct Race {
    /// The attempts in progress, in the order of their start.
    attempts: Vec<Attempt>,
    /// The addresses that were not tried yet.
    rest: VecDeque<SocketAddr>,
    /// When the next of them is tried, unless all attempts fail earlier.
    next_at: Nanos,
    /// Why an attempt failed.
    failure: Option<Disconnect>,
}

/// One attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    pub socket: SocketId,
    pub address: SocketAddr,
    /// When it began.
    pub since: Nanos,
    /// The deadline.
    pub until: Nanos,
}

impl Race {
    /// Creates a race for these addresses, in this order.
    pub fn new(addresses: VecDeque<SocketAddr>) -> Self {
        Self { attempts: Vec::new(), rest: addresses, next_at: Nanos::default(), failure: None }
    }

    /// Returns when the next attempt is due or one in progress has failed.
    pub fn deadline(&self) -> Nanos {
        let next_at = if self.rest.is_empty() { Nanos::NEVER } else { self.next_at };
        self.attempts.iter().map(|attempt| attempt.until).fold(next_at, Nanos::min)
    }

    /// Returns the sockets of the attempts in progress.
    pub fn sockets(&self) -> impl Iterator<Item = SocketId> {
        self.attempts.iter().map(|attempt| attempt.socket)
    }

    /// Takes the address to try now, if one is due. Record the attempt with [`started`](Self::started).
    pub fn take_due(&mut self, now: Nanos) -> Option<SocketAddr> {
        if self.attempts.is_empty() || self.next_at <= now { self.rest.pop_front() } else { None }
    }

    /// Records the start of an attempt.
    pub fn started(&mut self, now: Nanos, attempt: Attempt) {
        self.attempts.push(attempt);
        self.next_at = now + NEXT_AFTER;
    }

    /// Takes an attempt whose deadline has passed.
    pub fn take_expired(&mut self, now: Nanos) -> Option<Attempt> {
        let expired = self.attempts.iter().find(|attempt| attempt.until <= now)?.socket;
        self.take_failed(expired, Disconnect::Timeout(Stage::Connect))
    }

    /// Takes the attempt with this socket, which has failed.
    pub fn take_failed(&mut self, socket: SocketId, why: Disconnect) -> Option<Attempt> {
        let place = self.attempts.iter().position(|attempt| attempt.socket == socket)?;
        // A machine without IPv6 refuses its addresses at once. That is not why the others failed.
        let is_own = matches!(why, Disconnect::Connect(ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable));
        if self.failure.is_none() || !is_own {
            self.failure = Some(why);
        }
        // The next address need not wait for an attempt that has failed.
        self.next_at = Nanos::default();
        Some(self.attempts.remove(place))
    }

    /// Returns the address of an attempt in progress.
    pub fn address(&self, socket: SocketId) -> Option<SocketAddr> {
        self.attempts.iter().find(|attempt| attempt.socket == socket).map(|attempt| attempt.address)
    }

    /// Returns when an attempt in progress began.
    pub fn since(&self, socket: SocketId) -> Option<Nanos> {
        self.attempts.iter().find(|attempt| attempt.socket == socket).map(|attempt| attempt.since)
    }

    /// Takes all attempts except the one with this socket, which is open.
    pub fn take_losers(&mut self, winner: SocketId) -> Vec<Attempt> {
        let (won, lost) = std::mem::take(&mut self.attempts).into_iter().partition(|attempt| attempt.socket == winner);
        self.attempts = won;
        lost
    }

    /// Returns why the race failed, if it has.
    pub fn failure(&self) -> Option<Disconnect> {
        if self.attempts.is_empty() && self.rest.is_empty() { self.failure.clone() } else { None }
    }
}
