//! One connection of the engine with its part of the network. Does what the connection's thread and event loop do in a
//! real engine.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use hoga_exchange::{ConnId, Exchange, Flow};

use super::interference::{Harm, Interference};
use super::judge::Arrivals;
use super::network::{Network, Piece, Pipe};
use super::world::TestClock;
use crate::engine::assembly::ConnectionParts;
use crate::engine::connection::Connection;
use crate::model::{Nanos, Noun, Receipt, Sink, StreamKey};
use crate::net::Handler;
use crate::session::{Action, Closed, Event, Session, SocketId};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(super) struct Peer {
    session: Session,
    tap: Tap,
    sockets: Vec<SocketEntry>,
    network: Network,
    /// When the connection will read its commands; `NEVER` if there are none.
    wake_at: Nanos,
    /// The connection has reported an event since [`take_reported`](Self::take_reported).
    reported: bool,
    /// The pauses before the attempts to connect.
    pauses: Vec<Duration>,
}

/// Records each message that arrives, and passes it on to the connection.
struct Tap {
    connection: Connection<Arc<TestClock>>,
    arrivals: Arrivals,
    interference: Interference,
}

struct SocketEntry {
    socket: SocketId,
    stage: Stage,
}

enum Stage {
    Connecting { at: Nanos, succeeds: bool },
    Open { conn: ConnId, to_exchange: Pipe, to_client: Pipe },
}

impl Peer {
    pub fn new(
        parts: ConnectionParts<Arc<TestClock>>,
        arrivals: Arrivals,
        interference: Interference,
        network: Network,
    ) -> Self {
        let ConnectionParts { session, connection, .. } = parts;
        let tap = Tap { connection, arrivals, interference };
        Self { session, tap, sockets: Vec::new(), network, wake_at: Nanos::NEVER, reported: false, pauses: Vec::new() }
    }

    /// Makes the connection read its commands at `at`, or earlier if an earlier call is pending.
    pub fn call(&mut self, at: Nanos) {
        self.wake_at = self.wake_at.min(at);
    }

    pub fn take_reported(&mut self) -> bool {
        std::mem::take(&mut self.reported)
    }

    pub fn pauses(&self) -> &[Duration] {
        &self.pauses
    }

    /// Refuses all connects from now on, or ends that.
    pub fn set_down(&mut self, is_down: bool) {
        self.network.is_down = is_down;
    }

    /// Sets the maximum delay of what is sent from now on.
    pub fn set_delay(&mut self, delay: Duration) {
        self.network.delay = delay;
    }

    /// Returns the exchange's ids of the open sockets.
    pub fn conns(&self) -> impl Iterator<Item = ConnId> + '_ {
        self.sockets.iter().filter_map(|entry| match entry.stage {
            Stage::Open { conn, .. } => Some(conn),
            Stage::Connecting { .. } => None,
        })
    }

    /// Returns the time of the next step.
    pub fn due(&self) -> Nanos {
        let entry = |entry: &SocketEntry| match &entry.stage {
            Stage::Connecting { at, .. } => *at,
            Stage::Open { to_exchange, to_client, .. } => to_exchange.due().min(to_client.due()),
        };
        self.sockets.iter().map(entry).min().unwrap_or(Nanos::NEVER).min(self.wake_at).min(self.session.poll_timeout())
    }

    /// Does everything that is due.
    pub fn step(&mut self, now: Nanos, exchange: &mut Exchange) {
        if self.wake_at <= now {
            self.wake_at = Nanos::NEVER;
            self.tap.connection.commands(now, &mut self.session);
            self.settle(now, exchange);
        }
        for socket in self.sockets.iter().map(|entry| entry.socket).collect::<Vec<_>>() {
            self.step_socket(now, socket, exchange);
        }
        if self.session.poll_timeout() <= now {
            self.session.handle_timeout(now);
        }
        self.settle(now, exchange);
    }

    fn step_socket(&mut self, now: Nanos, socket: SocketId, exchange: &mut Exchange) {
        if let Some(SocketEntry { stage: Stage::Connecting { at, succeeds }, .. }) = self.entry(socket)
            && *at <= now
        {
            let succeeds = *succeeds;
            self.connected(now, socket, succeeds, exchange);
        }
        while let Some(SocketEntry { stage: Stage::Open { conn, to_exchange, .. }, .. }) = self.entry(socket) {
            let Some(piece) = to_exchange.arrived(now) else { break };
            if let Piece::Bytes(bytes) = piece {
                exchange.receive(now.0, *conn, &bytes);
            }
        }
        while let Some(SocketEntry { stage: Stage::Open { to_client, .. }, .. }) = self.entry(socket) {
            let Some(piece) = to_client.arrived(now) else { break };
            self.arrived(now, socket, piece, exchange);
            self.settle(now, exchange);
        }
    }

    fn connected(&mut self, now: Nanos, socket: SocketId, succeeds: bool, exchange: &mut Exchange) {
        if !succeeds {
            self.drop_socket(now, socket, exchange);
            return self.session.handle_closed(now, socket, Closed::Io(ErrorKind::ConnectionRefused));
        }
        let conn = exchange.connect(now.0, CLIENT);
        if let Some(entry) = self.entry(socket) {
            entry.stage = Stage::Open { conn, to_exchange: Pipe::default(), to_client: Pipe::default() };
        }
        self.session.handle_connected(now, socket);
    }

    fn arrived(&mut self, now: Nanos, socket: SocketId, piece: Piece, exchange: &mut Exchange) {
        let reason = match piece {
            Piece::Bytes(bytes) => return self.received(now, socket, &bytes),
            Piece::Eof => Closed::Eof,
            Piece::Reset => Closed::Io(ErrorKind::ConnectionReset),
        };
        self.drop_socket(now, socket, exchange);
        self.session.handle_closed(now, socket, reason);
    }

    fn received(&mut self, now: Nanos, socket: SocketId, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let spare = self.session.spare(socket);
            let n = spare.len().min(rest.len());
            spare[..n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            self.session.handle_received(now, socket, n, &mut self.tap);
        }
    }

    /// Carries out what the session and the exchange request, until neither requests anything.
    pub fn settle(&mut self, now: Nanos, exchange: &mut Exchange) {
        loop {
            while let Some(event) = self.session.poll_event() {
                self.reported = true;
                if let Event::Disconnected { at, retry_at: Some(retry_at), .. } = &event {
                    self.pauses.push(retry_at.since(*at));
                }
                self.tap.connection.event(event);
            }
            let action = self.session.poll_action();
            let acted = action.is_some();
            action.into_iter().for_each(|action| self.act(now, action, exchange));
            let moved = self.transmit(now) | self.fetch(now, exchange);
            if !acted && !moved {
                break;
            }
        }
        self.tap.connection.batch_done(now, &self.session);
    }

    fn act(&mut self, now: Nanos, action: Action, exchange: &mut Exchange) {
        match action {
            Action::Connect(socket, _) => {
                let at = now + self.network.random.up_to(self.network.delay);
                let succeeds = !self.network.is_down && !self.network.random.chance(20);
                self.sockets.push(SocketEntry { socket, stage: Stage::Connecting { at, succeeds } });
            }
            Action::Disconnect(socket, final_bytes) => {
                self.send_final_bytes(now, socket, &final_bytes, exchange);
                self.drop_socket(now, socket, exchange);
            }
            Action::Resolve | Action::StartTls(..) => unreachable!("the endpoint is plain and has a literal address"),
        }
    }

    /// Delivers what was sent before the socket is dropped, and then the final bytes.
    fn send_final_bytes(&mut self, now: Nanos, socket: SocketId, final_bytes: &[u8], exchange: &mut Exchange) {
        let Some(SocketEntry { stage: Stage::Open { conn, to_exchange, .. }, .. }) = self.entry(socket) else { return };
        while let Some(piece) = to_exchange.arrived(Nanos::NEVER) {
            if let Piece::Bytes(bytes) = piece {
                exchange.receive(now.0, *conn, &bytes);
            }
        }
        exchange.receive(now.0, *conn, final_bytes);
    }

    fn drop_socket(&mut self, now: Nanos, socket: SocketId, exchange: &mut Exchange) {
        let Some(place) = self.sockets.iter().position(|entry| entry.socket == socket) else { return };
        if let Stage::Open { conn, .. } = self.sockets.swap_remove(place).stage {
            exchange.disconnected(now.0, conn);
        }
    }

    fn transmit(&mut self, now: Nanos) -> bool {
        let mut moved = false;
        for entry in &mut self.sockets {
            let Stage::Open { to_exchange, .. } = &mut entry.stage else { continue };
            let bytes = self.session.poll_transmit(entry.socket).to_vec();
            to_exchange.send(now, &bytes, &self.network);
            self.session.transmitted(entry.socket, bytes.len());
            moved |= !bytes.is_empty();
        }
        moved
    }

    fn fetch(&mut self, now: Nanos, exchange: &mut Exchange) -> bool {
        let mut moved = false;
        for entry in &mut self.sockets {
            let Stage::Open { conn, to_client, .. } = &mut entry.stage else { continue };
            let mut bytes = Vec::new();
            let flow = exchange.poll_transmit(now.0, *conn, &mut bytes);
            to_client.send(now, &bytes, &self.network);
            moved |= !bytes.is_empty();
            match flow {
                Flow::Open => {}
                Flow::Close => to_client.end(now, Piece::Eof),
                Flow::Drop => to_client.end(now, Piece::Reset),
            }
        }
        moved
    }

    fn entry(&mut self, socket: SocketId) -> Option<&mut SocketEntry> {
        self.sockets.iter_mut().find(|entry| entry.socket == socket)
    }
}

impl Sink for Tap {
    fn deliver<T: Noun>(&mut self, receipt: Receipt, message: &T) {
        match self.interference.harm(receipt.received, message.key(), message.stream_type()) {
            None => {
                self.arrivals.add(receipt, (*message).into());
                self.connection.deliver(receipt, message);
            }
            Some(Harm::RefuseOne) => self.connection.refuse(receipt, Some(message.key())),
            Some(Harm::LoseChanges | Harm::LoseAll) => {}
        }
    }

    fn refuse(&mut self, receipt: Receipt, stream: Option<StreamKey>) {
        self.connection.refuse(receipt, stream);
    }
}
