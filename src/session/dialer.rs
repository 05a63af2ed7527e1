//! How a connection gets its next socket: look-up, then the addresses in order, no faster than the exchange allows.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::entropy::Entropy;
use super::retry::Retry;
use super::shared::Shared;
use super::{Action, DialBudget, Disconnect, SocketId, Stage};
use crate::config::Config;
use crate::model::Nanos;

/// How long a late answer to a look-up stays usable. The exchange's addresses change every few minutes.
const LATE_ANSWER: Duration = Duration::from_secs(60);
/// The most addresses tried per look-up. The exchange's name has about six.
const ADDRESSES_MAX: usize = 16;

/// The state that all dial attempts of a connection share.
pub(super) struct Dialer {
    retry: Retry,
    connects: Box<dyn DialBudget>,
    /// When the pause after the last disconnect ends. Demand that ends and returns does not shorten it.
    pause_until: Nanos,
    /// The time until which the exchange refuses the dials of this connection.
    refused_until: Nanos,
    /// The answer to a look-up that had timed out, and when it arrived. The next attempt may use it.
    late_answer: Option<(Nanos, Vec<SocketAddr>)>,
    /// The socket that was dialed last.
    newest: SocketId,
}

/// The progress of a dial attempt.
pub(super) enum DialAttempt {
    /// The name is being looked up.
    Resolving {
        /// The deadline.
        until: Nanos,
    },
    /// The connect budget allows no dial yet.
    Waiting {
        /// When to ask the budget again.
        until: Nanos,
        /// The next address.
        address: SocketAddr,
        /// The addresses after it.
        rest: VecDeque<SocketAddr>,
    },
    /// TCP is being opened.
    Connecting {
        /// The deadline.
        until: Nanos,
        /// The socket being opened.
        socket: SocketId,
        /// The addresses that were not tried yet.
        rest: VecDeque<SocketAddr>,
    },
}

impl Dialer {
    /// Creates a dialer that has dialed nothing yet.
    pub fn new(config: &Config, connects: Box<dyn DialBudget>) -> Self {
        Self {
            retry: Retry::new(config.backoff),
            connects,
            pause_until: Nanos::default(),
            refused_until: Nanos::default(),
            late_answer: None,
            newest: SocketId::default(),
        }
    }

    /// Returns the time before which no attempt may begin.
    pub fn pause_until(&self) -> Nanos {
        self.pause_until
    }

    /// Returns the time until which the exchange refuses the dials of this connection.
    pub fn refused_until(&self) -> Nanos {
        self.refused_until
    }

    /// Begins an attempt.
    pub fn start(&mut self, now: Nanos, shared: &mut Shared) -> DialAttempt {
        let endpoint = &shared.config.endpoint;
        if let Some(ip) = endpoint.address() {
            let address = SocketAddr::new(ip, endpoint.port());
            return self.dial(now, address, VecDeque::new(), shared);
        }
        let late = self.late_answer.take().filter(|(at, _)| now.since(*at) <= LATE_ANSWER);
        if let Some(dial) = late.and_then(|(_, addresses)| self.resolved(now, addresses, shared)) {
            return dial;
        }
        shared.reports.act(Action::Resolve);
        DialAttempt::Resolving { until: now + shared.config.timeouts.resolve }
    }

    /// Dials the first of the resolved addresses; `None` if there are none.
    pub fn resolved(&mut self, now: Nanos, mut addresses: Vec<SocketAddr>, shared: &mut Shared) -> Option<DialAttempt> {
        addresses.truncate(ADDRESSES_MAX);
        // Otherwise an address that accepts TCP and fails later would always hide the addresses after it.
        let start = self.retry.failures() as usize % addresses.len().max(1);
        addresses.rotate_left(start);
        self.dial_next(now, addresses.into(), shared)
    }

    /// Keeps the answer to a look-up that had timed out.
    pub fn resolved_late(&mut self, now: Nanos, addresses: Vec<SocketAddr>) {
        self.late_answer = Some((now, addresses));
    }

    /// Dials the next address after one failed; `None` if there is no other.
    pub fn dial_next(
        &mut self,
        now: Nanos,
        mut rest: VecDeque<SocketAddr>,
        shared: &mut Shared,
    ) -> Option<DialAttempt> {
        let address = rest.pop_front()?;
        Some(self.dial(now, address, rest, shared))
    }

    fn dial(
        &mut self,
        now: Nanos,
        address: SocketAddr,
        rest: VecDeque<SocketAddr>,
        shared: &mut Shared,
    ) -> DialAttempt {
        if let Err(until) = self.connects.try_acquire(now) {
            return DialAttempt::Waiting { until, address, rest };
        }
        let socket = self.newest.next();
        self.newest = socket;
        shared.reports.counters.dials += 1;
        shared.reports.act(Action::Connect(socket, address));
        DialAttempt::Connecting { until: now + shared.config.timeouts.connect, socket, rest }
    }

    /// Continues an attempt whose deadline has passed, or returns why it failed.
    #[cold]
    pub fn expired(
        &mut self,
        now: Nanos,
        expired: &mut DialAttempt,
        shared: &mut Shared,
    ) -> Result<DialAttempt, Disconnect> {
        match expired {
            DialAttempt::Resolving { .. } => Err(Disconnect::Timeout(Stage::Resolve)),
            DialAttempt::Waiting { address, rest, .. } => Ok(self.dial(now, *address, std::mem::take(rest), shared)),
            DialAttempt::Connecting { socket, rest, .. } if !rest.is_empty() => {
                shared.reports.act(Action::Disconnect(*socket, Vec::new()));
                self.dial_next(now, std::mem::take(rest), shared).ok_or(Disconnect::Timeout(Stage::Connect))
            }
            DialAttempt::Connecting { .. } => Err(Disconnect::Timeout(Stage::Connect)),
        }
    }

    /// Records that a connection has worked and was closed on purpose. The failures before it no longer count.
    pub fn worked(&mut self) {
        self.retry.worked();
    }

    /// Returns the time of the next attempt. A rate limit also holds all connections that share the budget.
    #[cold]
    pub fn schedule_retry(
        &mut self,
        now: Nanos,
        disconnect: &Disconnect,
        had_worked: bool,
        entropy: &mut dyn Entropy,
    ) -> Nanos {
        self.pause_until = now + self.retry.delay(disconnect, had_worked, now, entropy);
        if disconnect.is_rate_limit() {
            self.refused_until = self.pause_until;
            self.connects.hold(now, self.pause_until);
        }
        self.pause_until
    }
}

impl DialAttempt {
    /// Returns the deadline of the current step.
    pub fn deadline(&self) -> Nanos {
        match self {
            Self::Resolving { until } | Self::Waiting { until, .. } | Self::Connecting { until, .. } => *until,
        }
    }

    /// Returns the socket being opened.
    pub fn socket(&self) -> Option<SocketId> {
        if let Self::Connecting { socket, .. } = self { Some(*socket) } else { None }
    }
}
