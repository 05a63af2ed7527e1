//! How a connection gets its next socket: look-up, then a race between the addresses, no more often than the exchange
//! allows. A race takes one connect of the budget, because only its winner sends a request to the exchange.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::addresses::Addresses;
use super::entropy::Entropy;
use super::race::{Attempt, Race};
use super::retry::{Carried, Retry};
use super::shared::Shared;
use super::{Action, DialBudget, Disconnect, FailureCause, SocketId, Stage};
use crate::config::{Backoff, Config};
use crate::model::Nanos;

/// How long the answer to a look-up stays usable. The exchange's addresses change every few minutes.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(60);

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
    addresses: Addresses,
    /// The address of the socket that is open.
    open: Option<SocketAddr>,
    /// The socket that was dialed last.
    newest: SocketId,
}

/// The progress of a dial attempt.
pub(super) enum DialAttempt {
    /// The name is being looked up.
    Resolving {
        /// When it began.
        since: Nanos,
        /// The deadline.
        until: Nanos,
    },
    /// The connect budget allows no dial yet.
    Waiting {
        /// When to ask the budget again.
        until: Nanos,
        /// When the addresses were looked up.
        since: Nanos,
        /// The addresses, in the order in which to try them.
        addresses: VecDeque<SocketAddr>,
    },
    /// TCP is being opened.
    Racing(Race),
}

impl Dialer {
    /// Creates a dialer that has dialed nothing yet.
    pub fn new(config: &Config, connects: Box<dyn DialBudget>) -> Self {
        Self {
            retry: Retry::new(config),
            connects,
            pause_until: Nanos::default(),
            refused_until: Nanos::default(),
            late_answer: None,
            addresses: Addresses::default(),
            open: None,
            newest: SocketId::default(),
        }
    }

    /// Sets the pauses between attempts from now on.
    pub fn set_backoff(&mut self, backoff: Backoff) {
        self.retry.set_backoff(backoff);
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
        self.open = None;
        shared.patience.begin();
        let (host, port) = shared.config.tcp_peer();
        if let Ok(ip) = host.parse() {
            let address = SocketAddr::new(ip, port);
            return self.race(now, now, [address].into(), shared);
        }
        let late = self.late_answer.take().filter(|(at, _)| now.since(*at) <= ANSWER_AGE_MAX);
        if let Some(dial) = late.and_then(|(_, addresses)| self.resolved(now, &addresses, shared)) {
            return dial;
        }
        shared.reports.act(Action::Resolve);
        DialAttempt::Resolving { since: now, until: shared.deadline(now, Stage::Resolve) }
    }

    /// Dials the resolved addresses; `None` if there are none.
    pub fn resolved(&mut self, now: Nanos, addresses: &[SocketAddr], shared: &mut Shared) -> Option<DialAttempt> {
        (!addresses.is_empty()).then(|| self.race(now, now, self.addresses.order(addresses), shared))
    }

    /// Keeps the answer to a look-up that had timed out.
    pub fn resolved_late(&mut self, now: Nanos, addresses: Vec<SocketAddr>) {
        self.late_answer = Some((now, addresses));
    }

    /// Begins a race between addresses that were looked up at `since`, or waits until the budget allows it.
    fn race(&mut self, now: Nanos, since: Nanos, addresses: VecDeque<SocketAddr>, shared: &mut Shared) -> DialAttempt {
        if let Err(until) = self.connects.try_acquire(now) {
            return DialAttempt::Waiting { until, since, addresses };
        }
        let mut race = Race::new(addresses);
        self.dial_due(now, &mut race, shared);
        DialAttempt::Racing(race)
    }

    /// Dials the next address if it is due.
    fn dial_due(&mut self, now: Nanos, race: &mut Race, shared: &mut Shared) {
        let Some(address) = race.take_due(now) else { return };
        let socket = self.newest.next();
        self.newest = socket;
        shared.reports.counters.dials += 1;
        shared.reports.act(Action::Connect(socket, address));
        race.started(now, Attempt { socket, address, since: now, until: shared.deadline(now, Stage::Connect) });
    }

    /// Continues an attempt whose deadline has passed, or returns why it failed.
    #[cold]
    pub fn expired(&mut self, now: Nanos, dial: &mut DialAttempt, shared: &mut Shared) -> Result<(), Disconnect> {
        match dial {
            DialAttempt::Resolving { .. } => return Err(Disconnect::Timeout(Stage::Resolve)),
            // Another connection's refusal may have blocked the budget for a long time.
            DialAttempt::Waiting { since, .. } if now.since(*since) > ANSWER_AGE_MAX => *dial = self.start(now, shared),
            DialAttempt::Waiting { since, addresses, .. } => {
                *dial = self.race(now, *since, std::mem::take(addresses), shared);
            }
            DialAttempt::Racing(race) => {
                while let Some(Attempt { socket, address, .. }) = race.take_expired(now) {
                    shared.reports.act(Action::Disconnect(socket, Vec::new()));
                    self.addresses.failed(address);
                }
                self.dial_due(now, race, shared);
                return race.failure().map_or(Ok(()), Err);
            }
        }
        Ok(())
    }

    /// Continues a race in which this socket could not be opened, or returns why the race failed.
    #[cold]
    pub fn failed(
        &mut self,
        now: Nanos,
        race: &mut Race,
        socket: SocketId,
        why: Disconnect,
        shared: &mut Shared,
    ) -> Result<(), Disconnect> {
        if let Some(attempt) = race.take_failed(socket, why) {
            self.addresses.failed(attempt.address);
        }
        self.dial_due(now, race, shared);
        race.failure().map_or(Ok(()), Err)
    }

    /// Ends a race: this socket is open. The others are closed before anything is sent on them.
    pub fn won(&mut self, now: Nanos, race: &mut Race, socket: SocketId, shared: &mut Shared) {
        if let Some(since) = race.since(socket) {
            shared.took(now, Stage::Connect, since);
        }
        self.open = race.address(socket);
        for loser in race.take_losers(socket) {
            shared.reports.act(Action::Disconnect(loser.socket, Vec::new()));
            // Those that started earlier have had their chance.
            if loser.socket < socket {
                self.addresses.failed(loser.address);
            }
        }
    }

    /// Records that a connection has worked and was closed on purpose. The failures before it no longer count.
    pub fn worked(&mut self) {
        self.retry.worked();
        self.open.take().into_iter().for_each(|address| self.addresses.worked(address));
    }

    /// Schedules the next attempt and returns its time. If the exchange refused because of too many connects, all
    /// connections that share the budget wait too.
    #[cold]
    pub fn schedule_retry(
        &mut self,
        now: Nanos,
        disconnect: &Disconnect,
        cause: FailureCause,
        carried: Carried,
        entropy: &mut dyn Entropy,
    ) -> Nanos {
        let pause = self.retry.delay(disconnect, cause, carried, now, entropy);
        if let Some(address) = self.open.take() {
            match carried {
                Carried::Enough => self.addresses.worked(address),
                Carried::Little if pause.is_zero() => {}
                Carried::Little | Carried::Nothing => self.addresses.failed(address),
            }
        }
        self.pause_until = now + pause;
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
            Self::Resolving { until, .. } | Self::Waiting { until, .. } => *until,
            Self::Racing(race) => race.deadline(),
        }
    }

    /// Returns the sockets being opened.
    pub fn sockets(&self) -> impl Iterator<Item = SocketId> {
        if let Self::Racing(race) = self { Some(race.sockets()) } else { None }.into_iter().flatten()
    }
}
