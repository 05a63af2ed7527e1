//! The life of a connection and the contract with its caller.

use std::net::SocketAddr;
use std::sync::Arc;

use super::asking::Asking;
use super::dialing::{Dialing, Try};
use super::entropy::Entropy;
use super::shared::{Reports, Shared};
use super::socket::{Fate, Phase, Socket, Upgrade};
use super::{Action, Closed, Counters, DialBudget, Event, Loss, SocketId, State};
use crate::config::Config;
use crate::model::{ConnectionId, Epoch, Nanos, Sink};
use crate::plan::Wish;
use crate::wire::Decoder;

/// One connection, from the first dial to the last goodbye. See the module for the contract.
///
/// It has at most one socket at a time. News of any other, which was dropped already, changes nothing.
pub struct Session {
    life: Life,
    /// It is to stay disconnected once it is.
    stopping: bool,
    /// That of the newest socket.
    epoch: Epoch,
    dialing: Dialing,
    shared: Shared,
}

/// Where in its life a connection is, with what belongs to that.
enum Life {
    /// No socket, and none is wanted.
    Disconnected,
    /// A socket is wanted, and the pause after the last loss is not over.
    Pausing { until: Nanos },
    /// A socket is being opened.
    Dialing(Try),
    /// TCP is open.
    Online(Box<Socket>),
}

impl Session {
    /// A connection that wants nothing yet. `connects` grants its dials, and may be shared with others.
    pub fn new(
        id: ConnectionId,
        config: Arc<Config>,
        connects: Box<dyn DialBudget>,
        entropy: Box<dyn Entropy>,
    ) -> Self {
        Self {
            life: Life::Disconnected,
            stopping: false,
            epoch: Epoch::default(),
            dialing: Dialing::new(&config, connects),
            shared: Shared {
                asking: Asking::new(&config),
                decoder: Decoder::new(),
                entropy,
                reports: Reports::default(),
                id,
                config,
            },
        }
    }

    // ---- what is wanted ----

    /// Sets the streams that this connection is to carry: all of them, and nothing else. [`Event::Requested`] will name
    /// the revision of the wish. One that is known already changes nothing.
    pub fn set_wish(&mut self, now: Nanos, wish: Wish) {
        let sent = if let Life::Online(socket) = &self.life { socket.sent() } else { None };
        if !self.shared.asking.set_wish(wish, self.epoch, sent) {
            return;
        }
        if !self.shared.asking.wants_anything() {
            return self.leave(now, Loss::Unwanted);
        }
        match &mut self.life {
            Life::Disconnected if !self.stopping => self.dial_after_pause(now),
            Life::Online(socket) => socket.send_next(now, &mut self.shared),
            Life::Disconnected | Life::Pausing { .. } | Life::Dialing(_) => {}
        }
    }

    /// Asks the exchange what this socket carries, as soon as the budget allows. [`Event::Subscriptions`] brings the
    /// answer. Without a request on the socket there is nothing to ask about.
    pub fn list(&mut self, now: Nanos) {
        if let Life::Online(socket) = &mut self.life {
            socket.list(now, &mut self.shared);
        }
    }

    /// Says goodbye and stays disconnected.
    pub fn stop(&mut self, now: Nanos) {
        self.stopping = true;
        self.leave(now, Loss::Stopped);
    }

    // ---- what happened ----

    /// The look-up asked for by [`Action::Resolve`] ended.
    pub fn handle_resolved(&mut self, now: Nanos, result: Result<Vec<SocketAddr>, String>) {
        let is_awaited = matches!(self.life, Life::Dialing(Try::Resolving { .. }));
        match result {
            Ok(addresses) if is_awaited => {
                let next = self.dialing.resolved(now, addresses, &mut self.shared);
                self.go_on(now, next.ok_or_else(|| Loss::Resolve("the name has no address".into())));
            }
            Err(why) if is_awaited => self.lose(now, Loss::Resolve(Loss::bounded(&why))),
            // The deadline passed, or nobody wants it any more.
            Ok(addresses) if !addresses.is_empty() => self.dialing.resolved_late(now, addresses),
            Ok(_) | Err(_) => {}
        }
    }

    /// TCP is open.
    pub fn handle_connected(&mut self, now: Nanos, socket: SocketId) {
        if !matches!(&self.life, Life::Dialing(dial) if dial.socket() == Some(socket)) {
            return;
        }
        self.epoch = self.epoch.next();
        if self.shared.config.endpoint.is_secure() {
            self.shared.reports.act(Action::StartTls(socket));
            let until = now + self.shared.config.timeouts.tls;
            return self.open_socket(now, socket, Phase::Securing { until }, &[]);
        }
        match Upgrade::start(now, &mut self.shared) {
            Ok((upgrade, request)) => self.open_socket(now, socket, Phase::Upgrading(upgrade), &request),
            Err(loss) => self.lose(now, loss),
        }
    }

    /// TLS is agreed and the certificate verified.
    pub fn handle_secured(&mut self, now: Nanos, socket: SocketId) {
        let Some(socket) = self.life.socket(socket) else { return };
        if !matches!(socket.phase(), Phase::Securing { .. }) {
            return;
        }
        match Upgrade::start(now, &mut self.shared) {
            Ok((upgrade, request)) => {
                socket.upgrade(upgrade, &request);
                self.shared.reports.step(now, State::TlsHandshake, State::Upgrading, self.epoch);
            }
            Err(loss) => self.lose(now, loss),
        }
    }

    /// Room to receive into from this socket. Fill some of it, then call [`handle_received`](Self::handle_received).
    /// Empty if there is no such socket.
    #[inline]
    pub fn spare(&mut self, socket: SocketId) -> &mut [u8] {
        self.life.socket(socket).map_or(&mut [], Socket::spare)
    }

    /// `n` bytes of [`spare`](Self::spare) were filled at `now`. Messages in them go to `sink`.
    pub fn handle_received(&mut self, now: Nanos, socket: SocketId, n: usize, sink: &mut impl Sink) {
        let Some(socket) = self.life.socket(socket) else { return };
        let fate = socket.handle_received(now, n, &mut self.shared, sink);
        self.meet(now, fate);
    }

    /// The transport ended, or could not be opened.
    pub fn handle_closed(&mut self, now: Nanos, socket: SocketId, how: Closed) {
        match &mut self.life {
            Life::Dialing(dial) if dial.socket() == Some(socket) => self.connect_failed(now, how),
            Life::Online(open) if open.id() == socket => {
                let fate = open.handle_closed(how);
                self.meet(now, fate);
            }
            _ => {}
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Nanos) {
        match &mut self.life {
            Life::Online(socket) => {
                let fate = socket.handle_timeout(now, &mut self.shared);
                self.meet(now, fate);
            }
            Life::Pausing { until } if *until <= now => self.dial(now),
            Life::Dialing(dial) if dial.deadline() <= now => self.dial_expired(now),
            Life::Disconnected | Life::Pausing { .. } | Life::Dialing(_) => {}
        }
    }

    // ---- what to do next ----

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.shared.reports.actions.pop_front()
    }

    /// The next report.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.shared.reports.events.pop_front()
    }

    /// Bytes to send on this socket. Say with [`transmitted`](Self::transmitted) how many went.
    pub fn poll_transmit(&self, socket: SocketId) -> &[u8] {
        match &self.life {
            Life::Online(open) if open.id() == socket => open.pending(),
            _ => &[],
        }
    }

    /// `n` bytes of [`poll_transmit`](Self::poll_transmit) were sent.
    pub fn transmitted(&mut self, socket: SocketId, n: usize) {
        if let Some(socket) = self.life.socket(socket) {
            socket.transmitted(n);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    pub fn poll_timeout(&self) -> Nanos {
        match &self.life {
            Life::Disconnected => Nanos::NEVER,
            Life::Pausing { until } => *until,
            Life::Dialing(dial) => dial.deadline(),
            Life::Online(socket) => socket.deadline(&self.shared),
        }
    }

    // ---- what may be asked ----

    /// Where in its life it is.
    pub fn state(&self) -> State {
        match &self.life {
            Life::Disconnected => State::Disconnected,
            Life::Pausing { .. } => State::Reconnecting,
            Life::Dialing(_) => State::Connecting,
            Life::Online(socket) => socket.state(),
        }
    }

    /// It was stopped and has said goodbye.
    pub fn is_stopped(&self) -> bool {
        self.stopping && matches!(self.life, Life::Disconnected)
    }

    /// Which socket of this life, counted from 1; 0 before the first.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Until when the exchange's refusals keep this connection from dialing, or from asking on its open socket. `None`
    /// once that is over.
    pub fn blocked_until(&self, now: Nanos) -> Option<Nanos> {
        let until = self.dialing.barred_until().max(self.shared.asking.throttle.until());
        (until > now).then_some(until)
    }

    /// Data objects received since the start.
    #[inline]
    pub fn data_received(&self) -> u64 {
        self.shared.decoder.delivered()
    }

    /// Exact counts since the start.
    pub fn counters(&self) -> Counters {
        let decode = self.shared.decoder.counters();
        Counters { data: decode.delivered, decode, ..self.shared.reports.counters }
    }

    // ---- dialing ----

    /// Dials, or waits first for the end of the pause that followed the last loss.
    fn dial_after_pause(&mut self, now: Nanos) {
        let until = self.dialing.pause_until();
        if now < until {
            self.enter(now, Life::Pausing { until });
        } else {
            self.dial(now);
        }
    }

    fn dial(&mut self, now: Nanos) {
        let dial = self.dialing.start(now, &mut self.shared);
        self.enter(now, Life::Dialing(dial));
    }

    /// A try goes on, or has failed.
    fn go_on(&mut self, now: Nanos, next: Result<Try, Loss>) {
        match next {
            Ok(dial) => self.life = Life::Dialing(dial),
            Err(loss) => self.lose(now, loss),
        }
    }

    #[cold]
    fn connect_failed(&mut self, now: Nanos, how: Closed) {
        let Life::Dialing(Try::Connecting { rest, .. }) = &mut self.life else { return };
        let next = match how {
            Closed::Io(kind) => {
                let rest = std::mem::take(rest);
                self.dialing.dial_next(now, rest, &mut self.shared).ok_or(Loss::Connect(kind))
            }
            other => Err(Loss::closed(other)),
        };
        self.go_on(now, next);
    }

    #[cold]
    fn dial_expired(&mut self, now: Nanos) {
        let Life::Dialing(dial) = &mut self.life else { return };
        let next = self.dialing.expired(now, dial, &mut self.shared);
        self.go_on(now, next);
    }

    /// TCP is open: a socket begins its life in this phase, with these bytes to send.
    fn open_socket(&mut self, now: Nanos, id: SocketId, phase: Phase, request: &[u8]) {
        let socket = Socket::new(id, self.epoch, phase, request, &self.shared.config);
        self.enter(now, Life::Online(Box::new(socket)));
    }

    // ---- endings ----

    /// Does what follows from the fate of the socket.
    #[inline]
    fn meet(&mut self, now: Nanos, fate: Fate) {
        match fate {
            Fate::Lives => {}
            Fate::Lost(loss) => self.lose(now, loss),
            Fate::Left => self.left(now),
        }
    }

    /// The socket, or the try to get one, is over. Another try follows, however often.
    #[cold]
    fn lose(&mut self, now: Nanos, loss: Loss) {
        let had_worked = matches!(&self.life, Life::Online(socket) if socket.has_worked(now));
        let until = self.dialing.heed(now, &loss, had_worked, &mut *self.shared.entropy);
        self.shared.reports.counters.losses += 1;
        if matches!(loss, Loss::Mute(_)) {
            self.shared.asking.replaced_mute_socket();
        }
        self.end_socket(now, loss, Life::Pausing { until });
    }

    /// Nobody wants this connection any more: says goodbye if there is a peer to say it to.
    fn leave(&mut self, now: Nanos, why: Loss) {
        match &mut self.life {
            Life::Disconnected => {}
            Life::Online(socket) => match socket.phase() {
                Phase::Closing { .. } => {}
                Phase::Open(_) => self.say_goodbye(now, why),
                Phase::Securing { .. } | Phase::Upgrading(_) => {
                    // A refusal holds, even if nobody waits for the rest of its body.
                    if let Some(refusal) = socket.refusal() {
                        self.dialing.heed(now, &refusal, false, &mut *self.shared.entropy);
                    }
                    self.end_socket(now, why, Life::Disconnected);
                }
            },
            Life::Pausing { .. } | Life::Dialing(_) => self.end_socket(now, why, Life::Disconnected),
        }
    }

    #[cold]
    fn say_goodbye(&mut self, now: Nanos, why: Loss) {
        let Life::Online(socket) = &mut self.life else { return };
        if socket.has_worked(now) {
            self.dialing.worked();
        }
        socket.leave(now, &mut self.shared);
        self.shared.reports.event(Event::Lost { at: now, loss: why, epoch: self.epoch, retry_at: None });
    }

    /// The goodbye is over.
    #[cold]
    fn left(&mut self, now: Nanos) {
        self.drop_socket();
        self.enter(now, Life::Disconnected);
        if !self.stopping && self.shared.asking.wants_anything() {
            self.dial_after_pause(now);
        }
    }

    /// Drops what there is of a socket, and reports why.
    fn end_socket(&mut self, now: Nanos, loss: Loss, next: Life) {
        let retry_at = if let Life::Pausing { until } = &next { Some(*until) } else { None };
        self.drop_socket();
        self.shared.reports.event(Event::Lost { at: now, loss, epoch: self.epoch, retry_at });
        self.enter(now, next);
    }

    /// Has the caller drop the socket, if there is one. The life goes on elsewhere after that.
    fn drop_socket(&mut self) {
        match &mut self.life {
            Life::Disconnected | Life::Pausing { .. } => {}
            Life::Dialing(dial) => {
                if let Some(socket) = dial.socket() {
                    self.shared.reports.act(Action::Disconnect(socket, Vec::new()));
                }
            }
            Life::Online(socket) => {
                self.shared.reports.counters.cut_off += u64::from(socket.is_inside_message());
                self.shared.reports.act(Action::Disconnect(socket.id(), socket.take_final_bytes()));
            }
        }
    }

    fn enter(&mut self, now: Nanos, next: Life) {
        let from = self.state();
        self.life = next;
        self.shared.reports.step(now, from, self.state(), self.epoch);
    }
}

impl Life {
    /// The socket with this id, if TCP is open.
    #[inline]
    fn socket(&mut self, id: SocketId) -> Option<&mut Socket> {
        match self {
            Self::Online(socket) if socket.id() == id => Some(socket),
            _ => None,
        }
    }
}
