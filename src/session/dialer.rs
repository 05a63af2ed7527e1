//! How a connection gets its next socket: the look-up, one address after the other, no faster than the exchange allows.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::entropy::Entropy;
use super::retry::Retry;
use super::shared::Shared;
use super::{Action, DialBudget, Disconnect, SocketId, Stage};
use crate::config::Config;
use crate::model::Nanos;

/// How long an answer to a look-up that came too late may be used. The exchange's addresses change every few minutes.
const LATE_ANSWER: Duration = Duration::from_secs(60);
/// Addresses tried per look-up. The exchange's name has about six.
const ADDRESSES_MAX: usize = 16;

/// What is known of all tries to get a socket.
pub(super) struct Dialer {
    retry: Retry,
    connects: Box<dyn DialBudget>,
    /// When the pause after the last disconnect is over. Demand that ends and returns does not shorten it.
    pause_until: Nanos,
    /// Until when the exchange refuses the dials of this connection.
    refused_until: Nanos,
    /// The answer to a look-up that had been given up, and when it came. The next try may use it.
    late_answer: Option<(Nanos, Vec<SocketAddr>)>,
    /// The newest socket that was dialed.
    newest: SocketId,
}

/// How far a try to get a socket is.
pub(super) enum DialAttempt {
    /// The name is looked up.
    Resolving {
        /// When that is given up.
        until: Nanos,
    },
    /// The budget of connects makes us wait.
    Waiting {
        /// When to ask it again.
        until: Nanos,
        /// The next address.
        address: SocketAddr,
        /// The ones after it.
        rest: VecDeque<SocketAddr>,
    },
    /// TCP is being opened.
    Connecting {
        /// When that is given up.
        until: Nanos,
        /// By this socket.
        socket: SocketId,
        /// The addresses that were not tried yet.
        rest: VecDeque<SocketAddr>,
    },
}

impl Dialer {
    /// Nothing was dialed yet.
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

    /// No try may begin before.
    pub fn pause_until(&self) -> Nanos {
        self.pause_until
    }

    /// Until when the exchange refuses the dials of this connection.
    pub fn refused_until(&self) -> Nanos {
        self.refused_until
    }

    /// Begins a try.
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

    /// Dials the first of the addresses that the look-up brought; `None` if there are none.
    pub fn resolved(&mut self, now: Nanos, mut addresses: Vec<SocketAddr>, shared: &mut Shared) -> Option<DialAttempt> {
        addresses.truncate(ADDRESSES_MAX);
        // An address that takes TCP and fails later would otherwise always hide the ones behind it.
        let start = self.retry.failures() as usize % addresses.len().max(1);
        addresses.rotate_left(start);
        self.dial_next(now, addresses.into(), shared)
    }

    /// A look-up that had been given up was answered.
    pub fn resolved_late(&mut self, now: Nanos, addresses: Vec<SocketAddr>) {
        self.late_answer = Some((now, addresses));
    }

    /// Goes on after an address failed; `None` if there is no other.
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

    /// The deadline of a try has passed.
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

    /// A connection has worked and was left on purpose: the failures before it do not count any more.
    pub fn worked(&mut self) {
        self.retry.worked();
    }

    /// Settles when the next try may be after `disconnect`, for this connection and for everyone who shares its budget.
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
    /// When its deadline is.
    pub fn deadline(&self) -> Nanos {
        match self {
            Self::Resolving { until } | Self::Waiting { until, .. } | Self::Connecting { until, .. } => *until,
        }
    }

    /// The socket that is being opened.
    pub fn socket(&self) -> Option<SocketId> {
        if let Self::Connecting { socket, .. } = self { Some(*socket) } else { None }
    }
}
