//! The state machine itself.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::entropy::{Entropy, EntropyExt};
use super::liveness::{Due, Liveness};
use super::outbox::Outbox;
use super::retry::Retry;
use super::throttle::Throttle;
use super::{Action, Budget, Closed, Counters, DialBudget, Event, Loss, Rate, Stage, State};
use crate::config::{Backoff, Endpoint, KeepAlive, Limits, Pacing, Timeouts};
use crate::model::{ConnectionId, Epoch, Nanos, Receipt, Sink};
use crate::plan::{self, Mode, Wish};
use crate::wire::{Decoder, ErrorName, Message};
use crate::ws::{
    self, CloseCode, FrameReader, Handshake, HandshakeError, Incoming, Progress, ReceiveBuffer, Violation,
};

/// Reports about single messages kept until somebody drains them; more are dropped and counted. A flood of unreadable
/// messages must not make us hold a report of each. Reports about the connection itself are few, and never dropped.
const MESSAGE_REPORTS_MAX: usize = 256;
/// A connection that brought data for this long has worked: the next try is at once. One that sends a snapshot and
/// closes has not, and is met with growing pauses.
const PROVEN: Duration = Duration::from_millis(250);
/// So has one that was open for this long: its pings were answered, and on some sockets nothing more is to be expected.
const PROVEN_WITHOUT_DATA: Duration = Duration::from_secs(60);
/// How long an answer to a look-up that came too late may be used. The exchange's addresses change every few minutes.
const LATE_ANSWER: Duration = Duration::from_secs(60);
/// How long frames of a replaced subscription may still come. Two at most were seen, within a round trip.
const STALE_FRAMES: Duration = Duration::from_secs(1);
/// Addresses tried per look-up. The exchange's name has about six.
const ADDRESSES_MAX: usize = 16;

/// What one connection needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its number within the engine.
    pub id: ConnectionId,
    /// Where to.
    pub endpoint: Endpoint,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Pause between tries.
    pub backoff: Backoff,
    /// What the exchange rations.
    pub limits: Limits,
    /// How much of that is used.
    pub pacing: Pacing,
    /// How a quiet socket is kept open.
    pub keep_alive: KeepAlive,
    /// Room for one read from the socket, in bytes.
    pub receive_bytes: usize,
}

/// One connection, from the first dial to the last goodbye. See the module for the contract.
pub struct Session {
    config: Config,
    state: State,
    /// When the state's own deadline passes: the look-up, the dial, the handshakes, the next try, the goodbye.
    deadline: Nanos,
    stopping: bool,

    retry: Retry,
    connects: Box<dyn DialBudget>,
    /// When the pause after the last loss is over. It is kept whatever is wanted meanwhile.
    retry_at: Nanos,
    /// Until when the exchange told this connection not to dial.
    barred_until: Nanos,
    /// Addresses of the last look-up that were not tried yet.
    addresses: VecDeque<SocketAddr>,
    resolving: bool,
    /// The answer to a look-up that nobody waited for any more, and when it came. The next dial may use it.
    late_answer: Option<(Nanos, Vec<SocketAddr>)>,
    /// When this socket was opened.
    opened_at: Nanos,
    /// When data first came on this socket.
    active_at: Option<Nanos>,
    /// Sockets in a row that were replaced because they were mute.
    mute_sockets: u32,

    epoch: Epoch,
    buffer: ReceiveBuffer,
    frames: FrameReader,
    decoder: Decoder,
    handshake: Option<Handshake>,
    /// When the upgrade was asked for.
    upgrade_at: Nanos,
    liveness: Liveness,
    outbox: Outbox,
    requests: Budget,
    throttle: Throttle,

    wish: Wish,
    /// The revision of the wish that this socket carries; `None` before its first request.
    sent: Option<u64>,
    /// When that request was written.
    asked_at: Nanos,
    /// It took the place of another request on this socket, so old frames may still come.
    replaced: bool,
    /// Data has come for some stream of the wish, on whatever socket.
    answered: bool,
    probe_due: bool,
    list_due: bool,

    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Session {
    /// A connection that wants nothing yet. `connects` grants its dials, and may be shared with others.
    pub fn new(config: Config, connects: Box<dyn DialBudget>, entropy: Box<dyn Entropy>) -> Self {
        let limits = config.limits;
        let frame_limits = ws::Limits { max_message: limits.message_bytes, ..ws::Limits::default() };
        Self {
            state: State::Disconnected,
            deadline: Nanos::NEVER,
            stopping: false,
            retry: Retry::new(config.backoff),
            connects,
            retry_at: Nanos::default(),
            barred_until: Nanos::default(),
            addresses: VecDeque::new(),
            resolving: false,
            late_answer: None,
            opened_at: Nanos::default(),
            active_at: None,
            mute_sockets: 0,
            epoch: Epoch::default(),
            buffer: ReceiveBuffer::new(config.receive_bytes),
            frames: FrameReader::new(frame_limits),
            decoder: Decoder::new(),
            handshake: None,
            upgrade_at: Nanos::default(),
            liveness: Liveness::new(config.timeouts.clone(), Nanos::default()),
            outbox: Outbox::new(entropy),
            requests: request_budget(&config),
            throttle: Throttle::new(config.pacing.margin()),
            wish: Wish::default(),
            sent: None,
            asked_at: Nanos::default(),
            replaced: false,
            answered: false,
            probe_due: false,
            list_due: false,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            config,
        }
    }

    // ---- what is wanted ----

    /// The streams this connection shall carry from now on: all of them, and nothing else. [`Event::Requested`] will name
    /// the revision of the wish. One that is known already changes nothing.
    pub fn set_wish(&mut self, now: Nanos, wish: Wish) {
        if wish.revision == self.wish.revision {
            return;
        }
        // Streams that go on have answered already.
        self.answered &= !wish.running.on(self.epoch, self.sent).is_empty();
        self.wish = wish;
        match self.state {
            _ if self.wish.streams.is_empty() => self.leave(now, Loss::Unwanted),
            State::Disconnected if !self.stopping => self.dial_after_pause(now),
            state if state.is_open() => self.request_if_due(now),
            _ => {}
        }
    }

    /// Asks the exchange what this socket carries, as soon as the budget allows. [`Event::Subscriptions`] brings the
    /// answer. Without a request on the socket there is nothing to ask about.
    pub fn list(&mut self, now: Nanos) {
        self.list_due = self.sent.is_some();
        self.request_if_due(now);
    }

    /// Says goodbye and stays disconnected.
    pub fn stop(&mut self, now: Nanos) {
        self.stopping = true;
        self.leave(now, Loss::Stopped);
    }

    // ---- what happened ----

    /// The look-up asked for by [`Action::Resolve`] ended.
    pub fn handle_resolved(&mut self, now: Nanos, result: Result<Vec<SocketAddr>, String>) {
        let was_resolving = std::mem::take(&mut self.resolving);
        match result {
            Ok(mut addresses) if !addresses.is_empty() => {
                addresses.truncate(ADDRESSES_MAX);
                if was_resolving { self.resolved(now, addresses) } else { self.late_answer = Some((now, addresses)) }
            }
            // The deadline passed, or nobody wants it any more.
            _ if !was_resolving => {}
            Ok(_) => self.lose(now, Loss::Resolve("the name has no address".into())),
            Err(why) => self.lose(now, Loss::Resolve(bounded(&why))),
        }
    }

    /// TCP is open.
    pub fn handle_connected(&mut self, now: Nanos) {
        if self.state != State::Connecting {
            return;
        }
        self.open_socket();
        if self.config.endpoint.is_secure() {
            self.enter(now, State::TlsHandshake);
            self.deadline = now + self.config.timeouts.tls;
            self.actions.push_back(Action::StartTls);
        } else {
            self.upgrade(now);
        }
    }

    /// TLS is agreed and the certificate verified.
    pub fn handle_secured(&mut self, now: Nanos) {
        if self.state == State::TlsHandshake {
            self.upgrade(now);
        }
    }

    /// Room to receive into. Fill some of it, then call [`handle_received`](Self::handle_received).
    #[inline]
    pub fn spare(&mut self) -> &mut [u8] {
        self.buffer.spare()
    }

    /// `n` bytes of [`spare`](Self::spare) were filled at `now`. Messages in them go to `sink`.
    pub fn handle_received(&mut self, now: Nanos, n: usize, sink: &mut impl Sink) {
        self.buffer.advance(n);
        self.counters.bytes += n as u64;
        if self.state == State::Upgrading {
            self.handle_upgrade(now);
        }
        if self.state.is_open() {
            self.read_frames(now, sink);
        } else if self.state == State::Closing {
            self.read_goodbye(now);
        }
    }

    /// The transport ended, or could not be opened.
    pub fn handle_closed(&mut self, now: Nanos, how: Closed) {
        match (self.state, how) {
            (State::Disconnected | State::Reconnecting, _) => {}
            (State::Closing, _) => self.goodbye_done(now),
            (State::Connecting, Closed::Io(kind)) => self.connect_next(now, Loss::Connect(kind)),
            (State::Upgrading, how) => self.upgrade_closed(now, how),
            (_, how) => self.lose(now, loss_of(how)),
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Nanos) {
        if self.state.is_open() {
            self.check_liveness(now);
            self.request_if_due(now);
        } else if now >= self.deadline {
            self.deadline_passed(now);
        }
    }

    // ---- what to do next ----

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next report.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes to send. Say with [`transmitted`](Self::transmitted) how many went.
    pub fn poll_transmit(&self) -> &[u8] {
        self.outbox.pending()
    }

    /// `n` bytes of [`poll_transmit`](Self::poll_transmit) were sent.
    pub fn transmitted(&mut self, n: usize) {
        self.outbox.advance(n);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    pub fn poll_timeout(&self) -> Nanos {
        if !self.state.is_open() {
            return self.deadline;
        }
        let life = self.liveness.deadline(self.expects_data());
        if self.request_waits() { life.min(self.deadline) } else { life }
    }

    // ---- what may be asked ----

    /// Where in its life it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// It was told to stop and has.
    pub fn is_stopped(&self) -> bool {
        self.stopping && self.state == State::Disconnected
    }

    /// Which socket of this life, counted from 1; 0 before the first.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Until when the exchange's refusals keep this connection from dialing, or from asking on its open socket. `None`
    /// once that is over.
    pub fn blocked_until(&self, now: Nanos) -> Option<Nanos> {
        let until = self.barred_until.max(self.throttle.until());
        (until > now).then_some(until)
    }

    /// Data objects received since the start.
    #[inline]
    pub fn data_received(&self) -> u64 {
        self.decoder.delivered()
    }

    /// Exact counts since the start.
    pub fn counters(&self) -> Counters {
        let decode = self.decoder.counters();
        Counters { data: decode.delivered, decode, round_trip: self.liveness.round_trip(), ..self.counters }
    }

    // ---- dialing ----

    fn dial(&mut self, now: Nanos) {
        self.enter(now, State::Connecting);
        let endpoint = &self.config.endpoint;
        match endpoint.address() {
            Some(ip) => {
                self.addresses = [SocketAddr::new(ip, endpoint.port())].into();
                self.connect_next(now, Loss::Connect(std::io::ErrorKind::AddrNotAvailable));
            }
            None => match self.late_answer.take() {
                Some((at, addresses)) if now.since(at) <= LATE_ANSWER => self.resolved(now, addresses),
                _ => {
                    self.resolving = true;
                    self.deadline = now + self.config.timeouts.resolve;
                    self.actions.push_back(Action::Resolve);
                }
            },
        }
    }

    /// Dials, or waits first for the end of the pause that followed the last loss. From [`State::Disconnected`].
    fn dial_after_pause(&mut self, now: Nanos) {
        if now < self.retry_at {
            self.enter(now, State::Reconnecting);
            self.deadline = self.retry_at;
        } else {
            self.dial(now);
        }
    }

    fn resolved(&mut self, now: Nanos, addresses: Vec<SocketAddr>) {
        self.addresses = addresses.into();
        // An address that takes TCP and fails later would otherwise hide the ones behind it for ever.
        let start = self.retry.failures() as usize % self.addresses.len();
        self.addresses.rotate_left(start);
        self.connect_next(now, Loss::Connect(std::io::ErrorKind::AddrNotAvailable));
    }

    /// Tries the next address; `failure` is why the one before did not do.
    fn connect_next(&mut self, now: Nanos, failure: Loss) {
        let Some(&address) = self.addresses.front() else {
            return self.lose(now, failure);
        };
        if let Err(free_at) = self.connects.try_acquire(now) {
            // Stay as we are; the deadline brings us back here.
            self.deadline = free_at;
            return;
        }
        self.addresses.pop_front();
        self.counters.dials += 1;
        self.deadline = now + self.config.timeouts.connect;
        self.actions.push_back(Action::Connect(address));
    }

    fn deadline_passed(&mut self, now: Nanos) {
        self.deadline = Nanos::NEVER;
        match self.state {
            State::Reconnecting => self.dial(now),
            State::Connecting if self.resolving => {
                self.resolving = false;
                self.lose(now, Loss::Timeout(Stage::Resolve));
            }
            State::Connecting => {
                // Either an attempt took too long or the budget made us wait; dropping no attempt does no harm.
                self.actions.push_back(Action::Disconnect);
                self.connect_next(now, Loss::Timeout(Stage::Connect));
            }
            State::TlsHandshake => self.lose(now, Loss::Timeout(Stage::Tls)),
            State::Upgrading => self.upgrade_late(now),
            State::Closing => self.goodbye_done(now),
            State::Disconnected | State::Connected | State::Subscribing | State::Active => {}
        }
    }

    /// Everything that a new socket starts without.
    fn open_socket(&mut self) {
        self.epoch = self.epoch.next();
        self.active_at = None;
        self.addresses.clear();
        self.buffer.clear();
        self.frames.clear();
        self.outbox.clear();
        self.sent = None;
        self.probe_due = false;
        self.list_due = false;
        self.requests = request_budget(&self.config);
    }

    // ---- the opening handshake ----

    fn upgrade(&mut self, now: Nanos) {
        self.enter(now, State::Upgrading);
        self.deadline = now + self.config.timeouts.upgrade;
        self.upgrade_at = now;
        let endpoint = &self.config.endpoint;
        let key = self.outbox.entropy().bytes();
        match Handshake::start(endpoint.host(), endpoint.port(), endpoint.path(), endpoint.is_secure(), &[], key) {
            Ok((handshake, request)) => {
                self.handshake = Some(handshake);
                self.outbox.raw(&request);
            }
            Err(error) => self.upgrade_failed(now, error),
        }
    }

    fn handle_upgrade(&mut self, now: Nanos) {
        let Some(handshake) = &mut self.handshake else { return };
        match handshake.handle(&mut self.buffer) {
            Ok(Progress::NeedMore) => {}
            Ok(Progress::Done) => self.opened(now),
            Err(error) => self.upgrade_failed(now, error),
        }
    }

    /// The refusal whose header has come, with as much of its body as is here.
    fn refusal(&mut self) -> Option<Loss> {
        match self.handshake.as_mut()?.handle_eof(&mut self.buffer) {
            HandshakeError::Rejected(rejection) => Some(Loss::Rejected(Box::new(rejection))),
            _ => None,
        }
    }

    /// A server that refuses may mark the end of its answer by closing. Where it has not read the request, that arrives
    /// as a reset. However the socket ends, a refusal is a refusal.
    fn upgrade_closed(&mut self, now: Nanos, how: Closed) {
        let loss = match (self.refusal(), how) {
            (Some(refusal), _) => refusal,
            (None, Closed::Eof | Closed::Io(std::io::ErrorKind::UnexpectedEof)) => {
                Loss::Handshake(HandshakeError::Closed.to_string().into())
            }
            (None, how) => loss_of(how),
        };
        self.lose(now, loss);
    }

    /// A refusal whose body never ends is a refusal all the same.
    fn upgrade_late(&mut self, now: Nanos) {
        let loss = self.refusal().unwrap_or(Loss::Timeout(Stage::Upgrade));
        self.lose(now, loss);
    }

    fn upgrade_failed(&mut self, now: Nanos, error: HandshakeError) {
        let loss = match error {
            HandshakeError::Rejected(rejection) => Loss::Rejected(Box::new(rejection)),
            other => Loss::Handshake(bounded(&other.to_string())),
        };
        self.lose(now, loss);
    }

    fn opened(&mut self, now: Nanos) {
        if let Some(date) = self.handshake.take().and_then(|handshake| handshake.date()) {
            self.report(Event::Dated { asked: self.upgrade_at, answered: now, date });
        }
        self.counters.opened += 1;
        self.opened_at = now;
        self.enter(now, State::Connected);
        self.liveness = Liveness::new(self.config.timeouts.clone(), now);
        self.request_if_due(now);
        // Whether the exchange rations this text like a request is unknown, so it is taken from the same budget.
        if self.config.keep_alive == KeepAlive::PingAndStatus && self.may_request(now).is_ok() {
            self.outbox.text("PING");
        }
    }

    // ---- requests ----

    /// Something waits to be asked.
    fn request_waits(&self) -> bool {
        self.probe_due || self.list_due || self.sent != Some(self.wish.revision)
    }

    /// Sends the request that is due, as soon as the budget allows. Only ever the newest one.
    fn request_if_due(&mut self, now: Nanos) {
        if !self.state.is_open() || !self.request_waits() {
            return;
        }
        if let Err(free_at) = self.may_request(now) {
            self.deadline = free_at;
            return;
        }
        let again = self.sent == Some(self.wish.revision);
        if again && !self.probe_due {
            return self.send_list_request();
        }
        let is_probe = self.note_request(now, again);
        let ticket = self.outbox.entropy().ticket();
        // A probe asks for a snapshot of everything.
        let running = if is_probe { Arc::default() } else { self.wish.running.on(self.epoch, self.sent) };
        let Wish { streams, format, .. } = &self.wish;
        let dialect = self.config.endpoint.dialect();
        self.outbox.text(&plan::request(&ticket, streams, &running, *format, dialect));
        self.sent = Some(self.wish.revision);
        self.counters.requests += 1;
        let (revision, format) = (self.wish.revision, self.wish.format);
        self.report(Event::Requested { at: now, revision, format, again, running });
        if self.state == State::Connected {
            self.enter(now, State::Subscribing);
        }
    }

    /// A request for the wish is about to be sent. True if it has to be a probe; `again`: the same was sent before.
    fn note_request(&mut self, now: Nanos, again: bool) -> bool {
        let is_first = self.sent.is_none();
        self.replaced = !is_first && !again;
        self.asked_at = now;
        self.throttle.asked(now);
        if std::mem::take(&mut self.probe_due) {
            self.liveness.probed(now);
            true
        } else if is_first {
            self.liveness.expect_data(now);
            false
        } else {
            self.liveness.changed(now)
        }
    }

    /// Only after the request of the wish: so the format it has to name is the one that the socket has.
    fn send_list_request(&mut self) {
        let ticket = self.outbox.entropy().ticket();
        self.outbox.text(&plan::list_request(&ticket, self.wish.format));
        self.list_due = false;
        self.counters.requests += 1;
    }

    /// Takes one request, or says when to ask again. Each socket has its own budget; a refusal holds for all of them.
    fn may_request(&mut self, now: Nanos) -> Result<(), Nanos> {
        let blocked_until = self.throttle.until();
        if blocked_until > now { Err(blocked_until) } else { self.requests.try_acquire(now) }
    }

    // ---- life ----

    /// A request is on the wire whose answer has a deadline. While the budget holds the next one back, none has.
    fn expects_data(&self) -> bool {
        self.sent.is_some() && !self.probe_due
    }

    /// The exchange answers the request with snapshots, if there are such markets. Where only changes are wanted, nothing
    /// comes before somebody trades, however well the socket is.
    fn owes_snapshots(&self) -> bool {
        self.wish.streams.wants().iter().any(|want| want.mode != Mode::RealtimeOnly)
    }

    fn check_liveness(&mut self, now: Nanos) {
        match self.liveness.due(now, self.expects_data()) {
            Due::Nothing => {}
            Due::Ping => {
                let payload = self.outbox.ping();
                self.liveness.pinged(now, payload);
            }
            Due::Probe => self.probe_due = true,
            Due::Mute(time) if self.owes_snapshots() && self.liveness.is_to_blame(self.answered, self.mute_sockets) => {
                self.lose_open(now, CloseCode::Normal, Loss::Mute(time))
            }
            Due::Mute(_) => self.liveness.give_up_probe(now),
            Due::Silent(time) => self.lose(now, Loss::Silent(time)),
        }
    }

    // ---- frames ----

    fn read_frames(&mut self, now: Nanos, sink: &mut impl Sink) {
        let receipt = Receipt { connection: self.config.id, epoch: self.epoch, received: now };
        loop {
            let payload = match self.frames.next(&mut self.buffer) {
                Ok(Some(Incoming::Binary(payload))) => payload,
                Ok(Some(Incoming::Text(payload))) => {
                    self.counters.text_messages += 1;
                    payload
                }
                Ok(None) => return,
                Ok(Some(Incoming::Ping(payload))) => {
                    self.counters.pings_received += 1;
                    self.counters.pings_unanswered += u64::from(!self.outbox.pong(payload));
                    self.liveness.alive(now);
                    continue;
                }
                Ok(Some(Incoming::Pong(payload))) => {
                    self.liveness.pong(now, payload);
                    continue;
                }
                Ok(Some(Incoming::Close(close))) => {
                    let (code, reason) = close.map_or((1005, ""), |(code, reason)| (code.into(), reason));
                    let loss = Loss::ClosedByPeer { code, reason: reason.into() };
                    return self.lose_open(now, CloseCode::Normal, loss);
                }
                Err(violation) => return self.violated(now, violation),
            };
            self.counters.messages += 1;
            self.liveness.alive(now);
            let (bytes, len) = payload.padded();
            let before = self.decoder.delivered();
            let message = self.decoder.decode(bytes, len, receipt, sink);
            // A list may hold data beside what is none, or cannot be read.
            if self.decoder.delivered() > before {
                self.liveness.data(now);
                if !self.answered || self.active_at.is_none() || self.throttle.is_wary() {
                    self.data_was_awaited(now);
                }
            }
            if !matches!(message, Ok(Message::Data { .. })) {
                self.handle_other(now, message);
            }
        }
    }

    #[cold]
    fn data_was_awaited(&mut self, now: Nanos) {
        // Data before our request would be somebody else's; the state says Active only for what we asked for.
        if self.sent.is_none() {
            return;
        }
        // Frames of the subscription before are no answer to this one: it may ask for markets that do not exist.
        self.answered |= !self.replaced || now.since(self.asked_at) > STALE_FRAMES;
        self.throttle.heard(now);
        self.mute_sockets = 0;
        if self.state == State::Subscribing {
            self.active_at = Some(now);
            self.enter(now, State::Active);
        }
    }

    #[cold]
    fn handle_other(&mut self, now: Nanos, message: Result<Message, crate::wire::DecodeError>) {
        match message {
            Ok(Message::Status(_)) => {
                self.counters.status_messages += 1;
            }
            Ok(Message::Error(error)) => {
                self.counters.server_errors += 1;
                if error.name == ErrorName::TooManyRequest {
                    self.request_refused(now);
                }
                self.report_message(Event::ServerError(*error));
            }
            Ok(Message::Subscriptions(list)) => {
                self.report_message(Event::Subscriptions(*list));
            }
            Ok(_) => self.counters.other_messages += 1,
            Err(error) => {
                self.counters.malformed += 1;
                self.report_message(Event::Malformed(error));
            }
        }
    }

    /// The exchange closes the socket after this. Should it not, what it refused is asked for again after the block.
    fn request_refused(&mut self, now: Nanos) {
        self.counters.requests_refused += 1;
        self.throttle.refused(now);
        self.liveness.refused();
        self.probe_due = self.sent.is_some();
        self.deadline = self.throttle.until();
    }

    #[cold]
    fn violated(&mut self, now: Nanos, violation: Violation) {
        self.lose_open(now, violation.close_code(), Loss::Violation(violation));
    }

    // ---- endings ----

    /// Ends an open WebSocket with a close frame that nobody waits for.
    #[cold]
    fn lose_open(&mut self, now: Nanos, code: CloseCode, loss: Loss) {
        self.outbox.close(code);
        self.lose(now, loss);
    }

    /// The socket, or the try to get one, is over. Another try follows, for ever.
    #[cold]
    fn lose(&mut self, now: Nanos, loss: Loss) {
        let retry_at = self.heed(now, &loss);
        self.counters.losses += 1;
        self.mute_sockets += u32::from(matches!(loss, Loss::Mute(_)));
        self.counters.cut_off += u64::from(self.state.is_open() && self.frames.is_inside_message(&self.buffer));
        self.drop_socket();
        self.report(Event::Lost { at: now, loss, epoch: self.epoch, retry_at: Some(retry_at) });
        self.enter(now, State::Reconnecting);
        self.deadline = retry_at;
    }

    /// Settles when the next try may be after `loss`, for this connection and for whoever shares its budget.
    fn heed(&mut self, now: Nanos, loss: &Loss) -> Nanos {
        let had_worked = self.has_worked(now);
        self.retry_at = now + self.retry.delay(loss, had_worked, now, self.outbox.entropy());
        if loss.is_rationing() {
            self.barred_until = self.retry_at;
            self.connects.hold(now, self.retry_at);
        }
        self.retry_at
    }

    /// This socket was of use, so its end is not counted as a failed try.
    fn has_worked(&self, now: Nanos) -> bool {
        self.active_at.is_some_and(|since| now.since(since) >= PROVEN)
            || (self.state.is_open() && now.since(self.opened_at) >= PROVEN_WITHOUT_DATA)
    }

    /// Nobody wants this connection any more: says goodbye if there is anybody to say it to.
    fn leave(&mut self, now: Nanos, why: Loss) {
        match self.state {
            State::Disconnected | State::Closing => {}
            state if state.is_open() => {
                if self.has_worked(now) {
                    self.retry.worked();
                }
                self.outbox.close(CloseCode::Normal);
                self.enter(now, State::Closing);
                self.deadline = now + self.config.timeouts.close;
                self.report(Event::Lost { at: now, loss: why, epoch: self.epoch, retry_at: None });
            }
            _ => {
                // A refusal holds, even if nobody waits for the rest of its body.
                if let Some(refusal) = self.refusal() {
                    self.heed(now, &refusal);
                }
                self.drop_socket();
                self.report(Event::Lost { at: now, loss: why, epoch: self.epoch, retry_at: None });
                self.enter(now, State::Disconnected);
                self.deadline = Nanos::NEVER;
            }
        }
    }

    /// While closing, only the peer's close frame matters. Data that was under way is counted and dropped: nobody wants it
    /// any more.
    fn read_goodbye(&mut self, now: Nanos) {
        loop {
            match self.frames.next(&mut self.buffer) {
                Ok(Some(Incoming::Close(_))) | Err(_) => return self.goodbye_done(now),
                Ok(Some(Incoming::Binary(_) | Incoming::Text(_))) => {
                    self.counters.messages += 1;
                    self.counters.after_goodbye += 1;
                }
                Ok(Some(Incoming::Ping(_) | Incoming::Pong(_))) => {}
                Ok(None) => return,
            }
        }
    }

    fn goodbye_done(&mut self, now: Nanos) {
        self.counters.cut_off += u64::from(self.frames.is_inside_message(&self.buffer));
        self.drop_socket();
        self.enter(now, State::Disconnected);
        self.deadline = Nanos::NEVER;
        if !self.stopping && !self.wish.streams.is_empty() {
            self.dial_after_pause(now);
        }
    }

    fn drop_socket(&mut self) {
        self.active_at = None;
        self.resolving = false;
        self.handshake = None;
        self.sent = None;
        self.addresses.clear();
        self.actions.push_back(Action::Disconnect);
    }

    fn enter(&mut self, now: Nanos, next: State) {
        debug_assert!(self.state.may_become(next), "{} -> {next}", self.state);
        let from = std::mem::replace(&mut self.state, next);
        self.report(Event::State { at: now, from, to: next, epoch: self.epoch });
    }

    #[cold]
    fn report(&mut self, event: Event) {
        self.events.push_back(event);
    }

    #[cold]
    fn report_message(&mut self, event: Event) {
        if self.events.len() < MESSAGE_REPORTS_MAX {
            self.report(event);
        } else {
            self.counters.events_dropped += 1;
        }
    }
}

fn request_budget(config: &Config) -> Budget {
    let (limits, pacing) = (config.limits, config.pacing);
    let rates = [
        Rate { count: pacing.share_of(limits.requests_per_second), window: Duration::from_secs(1) },
        Rate { count: pacing.share_of(limits.requests_per_minute), window: Duration::from_secs(60) },
    ];
    Budget::with_margin(rates, pacing.margin())
}

fn loss_of(how: Closed) -> Loss {
    match how {
        Closed::Eof => Loss::Eof,
        Closed::Io(kind) => Loss::Io(kind),
        Closed::Tls(why) => Loss::Tls(bounded(&why)),
    }
}

/// Text from outside, cut to a length that may stand in a report.
fn bounded(text: &str) -> Box<str> {
    text.chars().take(200).collect::<String>().into()
}
