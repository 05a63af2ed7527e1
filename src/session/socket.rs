//! One socket of a connection, from the opening of TCP to its end.

use std::io;
use std::time::Duration;

use super::liveness::{Due, Liveness};
use super::outbox::Outbox;
use super::patience::Patience;
use super::proxy::Tunneling;
use super::requests::Requests;
use super::retry::Carried;
use super::shared::Shared;
use super::upgrade::Upgrade;
use super::{Action, Closed, Disconnect, Event, SocketId, Stage, State};
use crate::config::{Config, KeepAlive};
use crate::model::{Epoch, Nanos, Receipt, Sink};
use crate::wire::{DecodeError, ErrorName, Message};
use crate::ws::{self, CloseCode, FrameReader, HandshakeError, Incoming, Progress, ReceiveBuffer, Violation};

/// A socket that has carried data for at least this long has worked: the next dial follows its end at once. If the
/// exchange sends some data and closes sooner, again and again, the pauses between dials grow.
const ENOUGH_AFTER: Duration = Duration::from_secs(2);
/// A socket that stayed open for this long has also worked, even without data: its pings were answered, and some
/// sockets carry nothing else.
const ENOUGH_WITHOUT_DATA_AFTER: Duration = Duration::from_secs(60);

/// One socket. The session drops it at its end, so that none of its state reaches the next socket.
pub(super) struct Socket {
    id: SocketId,
    epoch: Epoch,
    buffer: ReceiveBuffer,
    frames: FrameReader,
    outbox: Outbox,
    phase: Phase,
}

/// The phase of a socket, with the data that only this phase needs, including its deadline.
#[allow(
    clippy::large_enum_variant,
    reason = "the largest phase is the one that lasts, and a connection has one socket"
)]
pub(super) enum Phase {
    /// The proxy opens a tunnel.
    Tunneling(Tunneling),
    /// The TLS handshake is in progress.
    Securing {
        /// When it began.
        since: Nanos,
        /// The deadline.
        until: Nanos,
    },
    /// The WebSocket is being opened.
    Upgrading(Upgrade),
    /// Frames are read and written.
    Open(Open),
    /// We sent a close frame and wait for the peer's.
    Closing {
        /// The deadline.
        until: Nanos,
    },
}

impl Phase {
    /// Begins the TLS handshake.
    pub fn securing(now: Nanos, shared: &Shared) -> Self {
        Self::Securing { since: now, until: shared.deadline(now, Stage::Tls) }
    }
}

/// An open WebSocket.
pub(super) struct Open {
    since: Nanos,
    liveness: Liveness,
    requests: Requests,
}

/// The result of passing an input to a socket.
#[must_use]
pub(super) enum SocketOutcome {
    /// The socket goes on.
    Continue,
    /// The socket ended.
    Disconnected(Disconnect),
    /// The socket was closed on purpose, and the close handshake is over.
    Left,
}

impl Open {
    /// Creates the state of a WebSocket that was opened at `now`.
    fn new(now: Nanos, shared: &Shared) -> Self {
        let liveness = Liveness::new(shared.config.timeouts.clone(), &shared.patience, now);
        Self { since: now, liveness, requests: Requests::new(&shared.config) }
    }
}

impl Socket {
    /// Creates a socket whose TCP connection is open, with its first phase and its first bytes to send.
    pub fn new(id: SocketId, epoch: Epoch, phase: Phase, request: &[u8], config: &Config) -> Self {
        // Bounds what the peer can make the frame reader hold.
        let limits = ws::Limits { max_message: config.limits.message_bytes, ..ws::Limits::default() };
        let (buffer, frames) = (ReceiveBuffer::new(config.receive_bytes), FrameReader::new(limits));
        let mut outbox = Outbox::new();
        outbox.raw(request);
        Self { id, epoch, buffer, frames, outbox, phase }
    }

    pub fn id(&self) -> SocketId {
        self.id
    }

    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Tunneling(_) => State::Tunneling,
            Phase::Securing { .. } => State::TlsHandshake,
            Phase::Upgrading(_) => State::Upgrading,
            Phase::Open(open) => open.requests.state(),
            Phase::Closing { .. } => State::Closing,
        }
    }

    /// Returns the revision of the desired set that the socket carries.
    pub fn sent(&self) -> Option<u64> {
        if let Phase::Open(open) = &self.phase { open.requests.sent() } else { None }
    }

    /// Applies another configuration from now on.
    pub fn set_config(&mut self, config: &Config, patience: &Patience) {
        if let Phase::Open(open) = &mut self.phase {
            open.liveness.set_timeouts(config.timeouts.clone(), patience);
            open.requests.set_config(config);
        }
    }

    /// Returns the newest error with which the exchange has answered a request on this socket.
    pub fn error(&self) -> Option<ErrorName> {
        if let Phase::Open(open) = &self.phase { open.requests.error() } else { None }
    }

    /// Returns when the WebSocket opened, and when the peer last showed a sign of life on it.
    #[inline]
    pub fn life(&self) -> Option<(Nanos, Nanos)> {
        if let Phase::Open(open) = &self.phase { Some((open.since, open.liveness.alive_at())) } else { None }
    }

    /// Returns what the socket has carried until now.
    pub fn carried(&self, now: Nanos) -> Carried {
        let Phase::Open(open) = &self.phase else { return Carried::Nothing };
        match open.requests.data_since() {
            Some(since) if now.since(since) >= ENOUGH_AFTER => Carried::Enough,
            _ if now.since(open.since) >= ENOUGH_WITHOUT_DATA_AFTER => Carried::Enough,
            Some(_) => Carried::Little,
            None => Carried::Nothing,
        }
    }

    /// Returns the free space of the receive buffer.
    #[inline]
    pub fn spare(&mut self) -> &mut [u8] {
        self.buffer.spare()
    }

    /// Returns the bytes to send.
    pub fn pending(&self) -> &[u8] {
        self.outbox.pending()
    }

    /// Records that `n` of the pending bytes were sent.
    pub fn transmitted(&mut self, n: usize) {
        self.outbox.advance(n);
    }

    /// Takes the bytes that can still be sent before the socket is dropped.
    pub fn take_final_bytes(&mut self) -> Vec<u8> {
        self.outbox.take()
    }

    /// Returns true if the end of the socket would cut off a message now.
    pub fn is_inside_message(&self) -> bool {
        matches!(self.phase, Phase::Open(_) | Phase::Closing { .. }) && self.frames.is_inside_message(&self.buffer)
    }

    /// Returns the latest time at which to call [`handle_timeout`](Self::handle_timeout).
    pub fn deadline(&self, shared: &Shared) -> Nanos {
        match &self.phase {
            Phase::Securing { until, .. } | Phase::Closing { until } => *until,
            Phase::Tunneling(tunneling) => tunneling.until,
            Phase::Upgrading(upgrade) => upgrade.until,
            Phase::Open(Open { liveness, requests, .. }) => {
                liveness.deadline(requests.expects_data()).min(requests.deadline(&shared.subscription, liveness))
            }
        }
    }

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, now: Nanos, shared: &mut Shared) -> SocketOutcome {
        match &self.phase {
            Phase::Open(_) => self.check_liveness(now, shared),
            _ if now < self.deadline(shared) => SocketOutcome::Continue,
            Phase::Tunneling(tunneling) => SocketOutcome::Disconnected(tunneling.expired()),
            Phase::Securing { .. } => SocketOutcome::Disconnected(Disconnect::Timeout(Stage::Tls)),
            // If the header of a refusal has arrived, the refusal is the reason, even if its body never ends.
            Phase::Upgrading(_) => {
                SocketOutcome::Disconnected(self.refusal().unwrap_or(Disconnect::Timeout(Stage::Upgrade)))
            }
            Phase::Closing { .. } => SocketOutcome::Left,
        }
    }

    /// Handles `n` bytes that were received into [`spare`](Self::spare).
    #[inline]
    pub fn handle_received(
        &mut self,
        now: Nanos,
        n: usize,
        shared: &mut Shared,
        sink: &mut impl Sink,
    ) -> SocketOutcome {
        self.buffer.advance(n);
        shared.reports.counters.bytes += n as u64;
        if let Phase::Open(_) = &self.phase {
            return self.read_frames(now, shared, sink);
        }
        self.handle_unopened(now, shared, sink)
    }

    #[cold]
    fn handle_unopened(&mut self, now: Nanos, shared: &mut Shared, sink: &mut impl Sink) -> SocketOutcome {
        match &mut self.phase {
            Phase::Tunneling(tunneling) => match tunneling.handle(&mut self.buffer, &mut self.outbox) {
                Ok(false) => SocketOutcome::Continue,
                Ok(true) => self.tunneled(now, shared, sink),
                Err(disconnect) => SocketOutcome::Disconnected(disconnect),
            },
            Phase::Upgrading(upgrade) => match upgrade.handshake.handle(&mut self.buffer) {
                Ok(Progress::NeedMore) => SocketOutcome::Continue,
                Ok(Progress::Done) => {
                    self.open(now, shared);
                    self.read_frames(now, shared, sink)
                }
                Err(error) => SocketOutcome::Disconnected(Disconnect::handshake(error)),
            },
            Phase::Closing { .. } => self.read_close(shared),
            Phase::Securing { .. } | Phase::Open(_) => SocketOutcome::Continue,
        }
    }

    /// Handles the end of the transport.
    #[cold]
    pub fn handle_closed(&mut self, how: Closed) -> SocketOutcome {
        match &self.phase {
            Phase::Closing { .. } => SocketOutcome::Left,
            Phase::Tunneling(tunneling) => SocketOutcome::Disconnected(tunneling.closed(how)),
            Phase::Upgrading(_) => SocketOutcome::Disconnected(self.upgrade_closed(how)),
            // The peer closed its side inside a message.
            Phase::Open(_) if matches!(how, Closed::Eof) && self.is_inside_message() => {
                SocketOutcome::Disconnected(Disconnect::Io(io::ErrorKind::UnexpectedEof))
            }
            Phase::Securing { .. } | Phase::Open(_) => SocketOutcome::Disconnected(Disconnect::closed(how)),
        }
    }

    // ---- the opening handshake ----

    /// Continues with the exchange: the tunnel to it is open. It may have sent bytes already.
    fn tunneled(&mut self, now: Nanos, shared: &mut Shared, sink: &mut impl Sink) -> SocketOutcome {
        if let Phase::Tunneling(tunneling) = &self.phase {
            shared.took(now, Stage::Tunnel, tunneling.since);
        }
        if shared.config.endpoint.is_secure() {
            let early = self.buffer.unparsed().to_vec();
            self.buffer.consume(early.len());
            shared.reports.act(Action::StartTls(self.id, early));
            self.phase = Phase::securing(now, shared);
        } else {
            match Upgrade::start(now, shared) {
                Ok((upgrade, request)) => self.upgrade(upgrade, &request),
                Err(disconnect) => return SocketOutcome::Disconnected(disconnect),
            }
        }
        shared.reports.step(now, State::Tunneling, self.state(), self.epoch);
        self.handle_unopened(now, shared, sink)
    }

    /// Begins the opening handshake with this request.
    pub fn upgrade(&mut self, upgrade: Upgrade, request: &[u8]) {
        self.outbox.raw(request);
        self.phase = Phase::Upgrading(upgrade);
    }

    /// If the header of a refusal has arrived, returns the refusal with the part of its body that has arrived.
    pub fn refusal(&mut self) -> Option<Disconnect> {
        let Phase::Upgrading(upgrade) = &mut self.phase else { return None };
        match upgrade.handshake.handle_eof(&mut self.buffer) {
            HandshakeError::Rejected(rejection) => Some(Disconnect::Rejected(Box::new(rejection))),
            _ => None,
        }
    }

    /// Returns why the upgrade ended. A server may mark the end of a refusal by closing, which arrives as a reset if it
    /// has not read the request. So a refusal wins over the way the transport ended.
    fn upgrade_closed(&mut self, how: Closed) -> Disconnect {
        match (self.refusal(), how) {
            (Some(refusal), _) => refusal,
            (None, Closed::Eof | Closed::Io(io::ErrorKind::UnexpectedEof)) => {
                Disconnect::Handshake(HandshakeError::Closed.to_string().into())
            }
            (None, how) => Disconnect::closed(how),
        }
    }

    /// Handles the server's acceptance of the WebSocket.
    fn open(&mut self, now: Nanos, shared: &mut Shared) {
        let opened = Phase::Open(Open::new(now, shared));
        if let Phase::Upgrading(upgrade) = std::mem::replace(&mut self.phase, opened) {
            shared.took(now, Stage::Upgrade, upgrade.asked_at);
            if let Some(date) = upgrade.handshake.date() {
                shared.reports.event(Event::Dated { asked: upgrade.asked_at, answered: now, date });
            }
        }
        shared.refused.opened(self.epoch);
        shared.reports.counters.opened += 1;
        shared.reports.counters.round_trip = None;
        shared.reports.step(now, State::Upgrading, State::Connected, self.epoch);
        self.send_next(now, shared);
        // The exchange may count this text as a request, so it is charged to the request budget.
        if shared.config.keep_alive == KeepAlive::PingAndStatus
            && let Phase::Open(open) = &mut self.phase
            && open.requests.try_acquire(now, &shared.subscription.refusal_backoff)
        {
            self.outbox.text("PING", &mut *shared.entropy);
        }
    }

    // ---- open ----

    /// Sends the next pending request, as soon as the budget allows.
    pub fn send_next(&mut self, now: Nanos, shared: &mut Shared) {
        if let Phase::Open(Open { liveness, requests, .. }) = &mut self.phase {
            requests.send_next(now, self.epoch, liveness, &mut self.outbox, shared);
        }
    }

    /// Asks the exchange what the socket carries, as soon as the budget allows.
    pub fn list(&mut self, now: Nanos, shared: &mut Shared) {
        if let Phase::Open(open) = &mut self.phase {
            open.requests.list(&shared.subscription);
            self.send_next(now, shared);
        }
    }

    /// Sends a probe as soon as the budget allows.
    pub fn probe(&mut self, now: Nanos, shared: &mut Shared) {
        if let Phase::Open(Open { liveness, requests, .. }) = &mut self.phase
            && requests.expects_data()
        {
            liveness.check();
            self.send_next(now, shared);
        }
    }

    /// Sends a close frame to the peer of an open socket.
    pub fn close(&mut self, now: Nanos, shared: &mut Shared) {
        let from = self.state();
        self.outbox.close(CloseCode::Normal, &mut *shared.entropy);
        self.phase = Phase::Closing { until: now + shared.config.timeouts.close };
        shared.reports.step(now, from, State::Closing, self.epoch);
    }

    fn check_liveness(&mut self, now: Nanos, shared: &mut Shared) -> SocketOutcome {
        let Phase::Open(Open { liveness, requests, .. }) = &mut self.phase else { return SocketOutcome::Continue };
        if self.outbox.is_full() && requests.deadline(&shared.subscription, liveness) <= now {
            let unsent = self.outbox.pending().len();
            return self.end(CloseCode::Policy, Disconnect::NotReading { unsent }, shared);
        }
        match liveness.due(now, requests.expects_data()) {
            Due::Nothing => {}
            Due::Ping => {
                let payload = self.outbox.ping(&mut *shared.entropy);
                liveness.pinged(now, payload);
            }
            Due::Probe => liveness.request_probe(),
            Due::Mute(time) if shared.subscription.is_mute(liveness) => {
                return self.end(CloseCode::Normal, Disconnect::Mute(time), shared);
            }
            Due::Mute(_) => liveness.give_up_probe(now),
            Due::Silent(time) => return SocketOutcome::Disconnected(Disconnect::Silent(time)),
        }
        self.send_next(now, shared);
        SocketOutcome::Continue
    }

    /// Ends an open WebSocket with a close frame, without waiting for the peer's.
    #[cold]
    fn end(&mut self, code: CloseCode, disconnect: Disconnect, shared: &mut Shared) -> SocketOutcome {
        self.outbox.close(code, &mut *shared.entropy);
        SocketOutcome::Disconnected(disconnect)
    }

    #[cold]
    fn violated(&mut self, violation: Violation, shared: &mut Shared) -> SocketOutcome {
        self.end(violation.close_code(), Disconnect::Violation(violation), shared)
    }

    // ---- frames ----

    fn read_frames(&mut self, now: Nanos, shared: &mut Shared, sink: &mut impl Sink) -> SocketOutcome {
        let Phase::Open(Open { liveness, requests, .. }) = &mut self.phase else { return SocketOutcome::Continue };
        let receipt = Receipt { connection: shared.id, epoch: self.epoch, received: now };
        loop {
            let payload = match self.frames.next(&mut self.buffer) {
                Ok(Some(Incoming::Binary(payload))) => payload,
                Ok(Some(Incoming::Text(payload))) => {
                    shared.reports.counters.text_messages += 1;
                    payload
                }
                Ok(None) => return SocketOutcome::Continue,
                Ok(Some(Incoming::Ping(payload))) => {
                    let is_answered = self.outbox.pong(payload, &mut *shared.entropy);
                    shared.reports.counters.pings_received += 1;
                    shared.reports.counters.pings_unanswered += u64::from(!is_answered);
                    liveness.alive(now);
                    continue;
                }
                Ok(Some(Incoming::Pong(payload))) => {
                    if let Some(round_trip) = liveness.pong(now, payload, &mut shared.patience) {
                        shared.reports.counters.round_trip = Some(round_trip);
                    }
                    continue;
                }
                Ok(Some(Incoming::Close(close))) => {
                    let (code, reason) = close.map_or((1005, ""), |(code, reason)| (code.into(), reason));
                    let disconnect = Disconnect::ClosedByPeer { code, reason: reason.into() };
                    return self.end(CloseCode::Normal, disconnect, shared);
                }
                Err(violation) => return self.violated(violation, shared),
            };
            shared.reports.counters.messages += 1;
            liveness.alive(now);
            let (bytes, len) = payload.padded();
            let before = shared.decoder.delivered();
            let message = shared.decoder.decode(bytes, len, receipt, sink);
            // A list may also hold elements that are not data or cannot be read.
            if shared.decoder.delivered() > before {
                liveness.data(now);
                requests.handle_data(now, self.epoch, shared);
            }
            if !matches!(message, Ok(Message::Data { .. })) {
                handle_other(now, message, &bytes[..len], liveness, requests, shared);
            }
        }
    }

    /// Reads until the peer's close frame. Data that arrives before it is counted and dropped, because no stream is
    /// wanted any more.
    fn read_close(&mut self, shared: &mut Shared) -> SocketOutcome {
        let counters = &mut shared.reports.counters;
        loop {
            match self.frames.next(&mut self.buffer) {
                Ok(Some(Incoming::Close(_))) | Err(_) => return SocketOutcome::Left,
                Ok(Some(Incoming::Binary(_) | Incoming::Text(_))) => {
                    counters.messages += 1;
                    counters.after_close += 1;
                }
                Ok(Some(Incoming::Ping(_) | Incoming::Pong(_))) => {}
                Ok(None) => return SocketOutcome::Continue,
            }
        }
    }
}

/// Counts and reports a message that is not data or cannot be read.
#[cold]
fn handle_other(
    now: Nanos,
    message: Result<Message, DecodeError>,
    bytes: &[u8],
    liveness: &mut Liveness,
    requests: &mut Requests,
    shared: &mut Shared,
) {
    let reports = &mut shared.reports;
    match message {
        Ok(Message::Status(_)) => reports.counters.status_messages += 1,
        Ok(Message::Error(error)) => requests.handle_error(now, *error, liveness, shared),
        Ok(Message::Subscriptions(list)) => {
            shared.subscription.listed();
            reports.list(*list);
        }
        Ok(Message::Other(_)) => reports.other_message(bytes),
        Ok(Message::Data { .. }) => {}
        Err(error) => shared.refused(now, error),
    }
}
