//! The life of a connection, and the contract with its caller.

use std::net::SocketAddr;
use std::sync::Arc;

use super::dialer::{DialAttempt, Dialer};
use super::entropy::Entropy;
use super::patience::Patience;
use super::proxy::Tunneling;
use super::refused::RefusedMessages;
use super::requests::SubscriptionState;
use super::retry::Carried;
use super::session_phase::SessionPhase;
use super::shared::{Reports, Shared};
use super::socket::{Phase, Socket, SocketOutcome};
use super::upgrade::Upgrade;
use super::{
    Action, Closed, Counters, DialBudget, Disconnect, Event, FailureCause, OpeningTimes, SocketId, Stage, State,
};
use crate::config::Config;
use crate::model::{ConnectionId, DisconnectKind, Epoch, Nanos, Sink};
use crate::plan::DesiredSet;
use crate::wire::Decoder;

/// One connection, from the first dial to the last close. See the module for the contract.
///
/// A session has at most one socket at a time. Calls about any other socket have no effect.
pub struct Session {
    phase: SessionPhase,
    /// The session must stay disconnected once its socket is closed.
    stopping: bool,
    /// The epoch of the newest socket; 0 before the first.
    epoch: Epoch,
    dialer: Dialer,
    shared: Shared,
}

impl Session {
    /// Creates a connection without streams. `connects` grants its dials and may be shared with other connections.
    pub fn new(
        id: ConnectionId,
        config: Arc<Config>,
        connects: Box<dyn DialBudget>,
        entropy: Box<dyn Entropy>,
    ) -> Self {
        Self {
            phase: SessionPhase::Disconnected,
            stopping: false,
            epoch: Epoch::default(),
            dialer: Dialer::new(&config, connects),
            shared: Shared {
                subscription: SubscriptionState::new(&config),
                decoder: Decoder::new(),
                entropy,
                reports: Reports::default(),
                refused: RefusedMessages::default(),
                patience: Patience::default(),
                id,
                config,
            },
        }
    }

    // ---- desired streams ----

    /// Replaces the set of streams that this connection must carry. [`Event::Requested`] reports its revision once the
    /// request is sent. An empty set closes the socket. A set with the current revision has no effect.
    pub fn set_desired(&mut self, now: Nanos, desired: DesiredSet) {
        let sent = if let SessionPhase::Online(socket) = &self.phase { socket.sent() } else { None };
        if !self.shared.subscription.set_desired(desired, self.epoch, sent) {
            return;
        }
        if !self.shared.subscription.has_streams() {
            return self.close(now, Disconnect::Unwanted);
        }
        match &mut self.phase {
            SessionPhase::Disconnected if !self.stopping => self.dial_after_pause(now),
            SessionPhase::Online(socket) => socket.send_next(now, &mut self.shared),
            SessionPhase::Disconnected | SessionPhase::Pausing { .. } | SessionPhase::Dialing(_) => {}
        }
    }

    /// Applies another configuration from now on, on the open socket too. Steps of an attempt in progress keep their
    /// deadlines.
    pub fn set_config(&mut self, config: Arc<Config>) {
        self.dialer.set_backoff(config.backoff);
        self.shared.subscription.refusal_backoff.set_margin(config.pacing.margin());
        if let SessionPhase::Online(socket) = &mut self.phase {
            socket.set_config(&config, &self.shared.patience);
        }
        self.shared.config = config;
    }

    /// Asks the exchange what this socket carries, as soon as the budget allows. [`Event::Subscriptions`] reports the
    /// answer. Has no effect before the first subscription request on the socket.
    pub fn list(&mut self, now: Nanos) {
        if let SessionPhase::Online(socket) = &mut self.phase {
            socket.list(now, &mut self.shared);
        }
    }

    /// Requests everything again, with snapshots, as soon as the budget allows, to find out whether the exchange still
    /// sends data on this socket. If nothing arrives, the socket is replaced. Has no effect before the first subscription
    /// request on the socket.
    pub fn probe(&mut self, now: Nanos) {
        if let SessionPhase::Online(socket) = &mut self.phase {
            socket.probe(now, &mut self.shared);
        }
    }

    /// Closes the socket and stays disconnected.
    pub fn stop(&mut self, now: Nanos) {
        self.stopping = true;
        self.close(now, Disconnect::Stopped);
    }

    // ---- inputs ----

    /// Handles the end of the look-up that [`Action::Resolve`] asked for.
    pub fn handle_resolved(&mut self, now: Nanos, result: Result<Vec<SocketAddr>, String>) {
        let mut is_awaited = false;
        if let SessionPhase::Dialing(DialAttempt::Resolving { since, .. }) = self.phase {
            is_awaited = true;
            self.shared.took(now, Stage::Resolve, since);
        }
        match result {
            Ok(addresses) if is_awaited => match self.dialer.resolved(now, &addresses, &mut self.shared) {
                Some(dial) => self.phase = SessionPhase::Dialing(dial),
                None => self.disconnected(now, Disconnect::Resolve("the name has no address".into())),
            },
            Err(why) if is_awaited => self.disconnected(now, Disconnect::Resolve(Disconnect::bounded(&why))),
            // The deadline has passed, or no stream is wanted any more.
            Ok(addresses) if !addresses.is_empty() => self.dialer.resolved_late(now, addresses),
            Ok(_) | Err(_) => {}
        }
    }

    /// Handles an open TCP connection.
    pub fn handle_connected(&mut self, now: Nanos, socket: SocketId) {
        let SessionPhase::Dialing(DialAttempt::Racing(race)) = &mut self.phase else { return };
        if race.address(socket).is_none() {
            return;
        }
        self.dialer.won(now, race, socket, &mut self.shared);
        self.epoch = self.epoch.next();
        if let Some(proxy) = self.shared.config.proxy_in_force() {
            let (tunneling, request) = Tunneling::start(now, proxy, &self.shared);
            return self.open_socket(now, socket, Phase::Tunneling(tunneling), &request);
        }
        if self.shared.config.endpoint.is_secure() {
            self.shared.reports.act(Action::StartTls(socket, Vec::new()));
            let securing = Phase::securing(now, &self.shared);
            return self.open_socket(now, socket, securing, &[]);
        }
        match Upgrade::start(now, &mut self.shared) {
            Ok((upgrade, request)) => self.open_socket(now, socket, Phase::Upgrading(upgrade), &request),
            Err(disconnect) => self.disconnected(now, disconnect),
        }
    }

    /// Handles the end of the TLS handshake; the certificate is verified.
    pub fn handle_secured(&mut self, now: Nanos, socket: SocketId) {
        let Some(socket) = self.phase.socket(socket) else { return };
        let Phase::Securing { since, .. } = *socket.phase() else { return };
        self.shared.took(now, Stage::Tls, since);
        match Upgrade::start(now, &mut self.shared) {
            Ok((upgrade, request)) => {
                socket.upgrade(upgrade, &request);
                self.shared.reports.step(now, State::TlsHandshake, State::Upgrading, self.epoch);
            }
            Err(disconnect) => self.disconnected(now, disconnect),
        }
    }

    /// Returns the free space of this socket's receive buffer, or an empty slice if the socket does not exist. Fill
    /// some of it, then call [`handle_received`](Self::handle_received).
    #[inline]
    pub fn spare(&mut self, socket: SocketId) -> &mut [u8] {
        self.phase.socket(socket).map_or(&mut [], Socket::spare)
    }

    /// Handles `n` bytes received into [`spare`](Self::spare) at `now`. Passes the messages in them to `sink`.
    pub fn handle_received(&mut self, now: Nanos, socket: SocketId, n: usize, sink: &mut impl Sink) {
        let Some(socket) = self.phase.socket(socket) else { return };
        let outcome = socket.handle_received(now, n, &mut self.shared, sink);
        self.shared.report_drift();
        self.apply(now, outcome);
    }

    /// Handles the end of the transport, or the failure to open it.
    pub fn handle_closed(&mut self, now: Nanos, socket: SocketId, how: Closed) {
        match &mut self.phase {
            SessionPhase::Dialing(_) => self.connect_failed(now, socket, how),
            SessionPhase::Online(open) if open.id() == socket => {
                let outcome = open.handle_closed(how);
                self.apply(now, outcome);
            }
            _ => {}
        }
    }

    /// Continues after a panic of this session or of its caller, with this message. The caller must have dropped all
    /// sockets. Demand and the exchange's refusals are kept, and another socket is opened after a pause.
    #[cold]
    pub fn handle_panic(&mut self, now: Nanos, message: &str) {
        self.shared.reports.actions.clear();
        self.shared.reports.counters.panics += 1;
        match &self.phase {
            SessionPhase::Disconnected | SessionPhase::Pausing { .. } => {}
            SessionPhase::Online(socket) if matches!(socket.phase(), Phase::Closing { .. }) => self.left(now),
            SessionPhase::Online(_) | SessionPhase::Dialing(_) => {
                self.disconnected(now, Disconnect::Panicked(Disconnect::bounded(message)));
            }
        }
        // The sockets are gone already.
        self.shared.reports.actions.clear();
    }

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, now: Nanos) {
        self.shared.reports.report_due(now);
        match &mut self.phase {
            SessionPhase::Online(socket) => {
                let outcome = socket.handle_timeout(now, &mut self.shared);
                self.apply(now, outcome);
            }
            SessionPhase::Pausing { until } if *until <= now => self.dial(now),
            SessionPhase::Dialing(dial) if dial.deadline() <= now => self.dial_expired(now),
            SessionPhase::Disconnected | SessionPhase::Pausing { .. } | SessionPhase::Dialing(_) => {}
        }
    }

    // ---- outputs ----

    /// Returns the next action for the caller.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.shared.reports.actions.pop_front()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.shared.reports.events.pop_front()
    }

    /// Returns the bytes to send on this socket. Report how many were sent with [`transmitted`](Self::transmitted).
    pub fn poll_transmit(&self, socket: SocketId) -> &[u8] {
        match &self.phase {
            SessionPhase::Online(open) if open.id() == socket => open.pending(),
            _ => &[],
        }
    }

    /// Records that `n` bytes of [`poll_transmit`](Self::poll_transmit) were sent.
    pub fn transmitted(&mut self, socket: SocketId, n: usize) {
        if let Some(socket) = self.phase.socket(socket) {
            socket.transmitted(n);
        }
    }

    /// Returns the latest time at which to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Nanos {
        match &self.phase {
            SessionPhase::Disconnected => Nanos::NEVER,
            SessionPhase::Pausing { until } => *until,
            SessionPhase::Dialing(dial) => dial.deadline(),
            SessionPhase::Online(socket) => socket.deadline(&self.shared).min(self.shared.reports.deadline()),
        }
    }

    // ---- queries ----

    /// Returns the current state.
    pub fn state(&self) -> State {
        match &self.phase {
            SessionPhase::Disconnected => State::Disconnected,
            SessionPhase::Pausing { .. } => State::Reconnecting,
            SessionPhase::Dialing(_) => State::Connecting,
            SessionPhase::Online(socket) => socket.state(),
        }
    }

    /// Returns true once the session was stopped and has closed its socket.
    pub fn is_stopped(&self) -> bool {
        self.stopping && matches!(self.phase, SessionPhase::Disconnected)
    }

    /// Returns the number of the newest socket, counted from 1; 0 before the first.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns the time until which the exchange's refusals keep this connection from dialing, or from sending requests
    /// on its open socket. `None` if nothing is blocked at `now`.
    pub fn blocked_until(&self, now: Nanos) -> Option<Nanos> {
        let until = self.dialer.refused_until().max(self.shared.subscription.refusal_backoff.until());
        (until > now).then_some(until)
    }

    /// Returns the time before which the budget of connects lets this connection not dial. `None` if it does not wait for
    /// the budget.
    #[inline]
    pub fn dial_held_until(&self) -> Option<Nanos> {
        match &self.phase {
            SessionPhase::Dialing(DialAttempt::Waiting { until, .. }) => Some(*until),
            _ => None,
        }
    }

    /// Returns the number of data objects received since the start.
    #[inline]
    pub fn data_received(&self) -> u64 {
        self.shared.decoder.delivered()
    }

    /// Returns when the WebSocket opened, and when a message or an answer to a ping last arrived on it. `None` unless it
    /// is open.
    #[inline]
    pub fn life(&self) -> Option<(Nanos, Nanos)> {
        if let SessionPhase::Online(socket) = &self.phase { socket.life() } else { None }
    }

    /// Returns how long the steps of the newest attempt to open a socket took so far.
    pub fn opening_times(&self) -> OpeningTimes {
        self.shared.patience.times()
    }

    /// Returns the messages that were refused since the newest WebSocket was opened.
    #[inline]
    pub fn refused(&self) -> &RefusedMessages {
        &self.shared.refused
    }

    /// Returns exact counts since the start.
    pub fn counters(&self) -> Counters {
        let decode = self.shared.decoder.counters();
        Counters { data: decode.delivered, decode, ..self.shared.reports.counters }
    }

    // ---- dialing ----

    /// Dials once the pause after the last disconnect is over.
    fn dial_after_pause(&mut self, now: Nanos) {
        let until = self.dialer.pause_until();
        if now < until {
            self.enter(now, SessionPhase::Pausing { until });
        } else {
            self.dial(now);
        }
    }

    fn dial(&mut self, now: Nanos) {
        let dial = self.dialer.start(now, &mut self.shared);
        self.enter(now, SessionPhase::Dialing(dial));
    }

    #[cold]
    fn connect_failed(&mut self, now: Nanos, socket: SocketId, how: Closed) {
        let SessionPhase::Dialing(DialAttempt::Racing(race)) = &mut self.phase else { return };
        let why = match how {
            Closed::Io(kind) => Disconnect::Connect(kind),
            other => Disconnect::closed(other),
        };
        if let Err(disconnect) = self.dialer.failed(now, race, socket, why, &mut self.shared) {
            self.disconnected(now, disconnect);
        }
    }

    #[cold]
    fn dial_expired(&mut self, now: Nanos) {
        let SessionPhase::Dialing(dial) = &mut self.phase else { return };
        if let Err(disconnect) = self.dialer.expired(now, dial, &mut self.shared) {
            self.disconnected(now, disconnect);
        }
    }

    /// Enters the first phase of a socket whose TCP connection is open. `request` is sent first.
    fn open_socket(&mut self, now: Nanos, id: SocketId, phase: Phase, request: &[u8]) {
        let socket = Socket::new(id, self.epoch, phase, request, &self.shared.config);
        self.enter(now, SessionPhase::Online(Box::new(socket)));
    }

    // ---- end of a socket ----

    /// Acts on the outcome of a socket.
    #[inline]
    fn apply(&mut self, now: Nanos, outcome: SocketOutcome) {
        match outcome {
            SocketOutcome::Continue => {}
            SocketOutcome::Disconnected(disconnect) => self.disconnected(now, disconnect),
            SocketOutcome::Left => self.left(now),
        }
    }

    /// Ends the socket or the dial attempt, and schedules the next attempt, however many attempts have failed.
    #[cold]
    fn disconnected(&mut self, now: Nanos, mut disconnect: Disconnect) {
        if let (SessionPhase::Dialing(_), Some(proxy)) = (&self.phase, self.shared.config.proxy_in_force()) {
            disconnect = disconnect.at_proxy(proxy);
        }
        let (carried, error) = match &self.phase {
            SessionPhase::Online(socket) => (socket.carried(now), socket.error()),
            _ => (Carried::Nothing, None),
        };
        let mut cause = FailureCause::of(&disconnect);
        // The exchange closes the socket after each error. What it said is the cause, not how it closed.
        if let Some(error) = error.filter(|_| disconnect.is_end_by_peer()) {
            cause = FailureCause::ServerError(error);
        }
        // A panic may come again, no matter what the socket has carried until then.
        let carried = if disconnect.kind() == DisconnectKind::Panicked { Carried::Nothing } else { carried };
        let until = self.dialer.schedule_retry(now, &disconnect, cause, carried, &mut *self.shared.entropy);
        if let Some(stage) = disconnect.slow_stage() {
            self.shared.patience.timed_out(stage);
        }
        self.shared.reports.counters.disconnects += 1;
        self.shared.subscription.refused_something(now);
        if matches!(disconnect, Disconnect::Mute(_)) {
            self.shared.subscription.replaced_mute_socket();
        }
        self.end_socket(now, disconnect, SessionPhase::Pausing { until });
    }

    /// Ends the connection on purpose. Sends a close frame if the WebSocket is open.
    fn close(&mut self, now: Nanos, reason: Disconnect) {
        match &mut self.phase {
            SessionPhase::Disconnected => {}
            SessionPhase::Online(socket) => match socket.phase() {
                Phase::Closing { .. } => {}
                Phase::Open(_) => self.send_close(now, reason),
                Phase::Tunneling(_) | Phase::Securing { .. } | Phase::Upgrading(_) => {
                    // If the exchange has refused the upgrade, keep the pause that follows, without waiting for the
                    // rest of the body.
                    if let Some(refusal) = socket.refusal() {
                        let (cause, entropy) = (FailureCause::of(&refusal), &mut *self.shared.entropy);
                        self.dialer.schedule_retry(now, &refusal, cause, Carried::Nothing, entropy);
                    }
                    self.end_socket(now, reason, SessionPhase::Disconnected);
                }
            },
            SessionPhase::Pausing { .. } | SessionPhase::Dialing(_) => {
                self.end_socket(now, reason, SessionPhase::Disconnected)
            }
        }
    }

    #[cold]
    fn send_close(&mut self, now: Nanos, reason: Disconnect) {
        let SessionPhase::Online(socket) = &mut self.phase else { return };
        if socket.carried(now) == Carried::Enough {
            self.dialer.worked();
        }
        socket.close(now, &mut self.shared);
        self.shared.reports.report_rest();
        self.shared.reports.event(Event::Disconnected { at: now, reason, epoch: self.epoch, retry_at: None });
    }

    /// Handles the end of a close handshake that we began.
    #[cold]
    fn left(&mut self, now: Nanos) {
        self.drop_socket();
        self.enter(now, SessionPhase::Disconnected);
        if !self.stopping && self.shared.subscription.has_streams() {
            self.dial_after_pause(now);
        }
    }

    /// Drops the socket, if there is one, and reports the reason.
    fn end_socket(&mut self, now: Nanos, reason: Disconnect, next: SessionPhase) {
        let retry_at = if let SessionPhase::Pausing { until } = &next { Some(*until) } else { None };
        self.drop_socket();
        self.shared.reports.report_rest();
        self.shared.reports.event(Event::Disconnected { at: now, reason, epoch: self.epoch, retry_at });
        self.enter(now, next);
    }

    /// Asks the caller to drop the socket, if there is one. The caller must enter the next phase.
    fn drop_socket(&mut self) {
        match &mut self.phase {
            SessionPhase::Disconnected | SessionPhase::Pausing { .. } => {}
            SessionPhase::Dialing(dial) => {
                for socket in dial.sockets() {
                    self.shared.reports.act(Action::Disconnect(socket, Vec::new()));
                }
            }
            SessionPhase::Online(socket) => {
                self.shared.reports.counters.cut_off += u64::from(socket.is_inside_message());
                self.shared.reports.act(Action::Disconnect(socket.id(), socket.take_final_bytes()));
            }
        }
    }

    fn enter(&mut self, now: Nanos, next: SessionPhase) {
        let from = self.state();
        self.phase = next;
        self.shared.reports.step(now, from, self.state(), self.epoch);
    }
}
