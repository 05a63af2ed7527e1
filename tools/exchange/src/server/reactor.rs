//! The server's thread: moves bytes between sockets and the exchange, and calls the exchange when a deadline is due.

use super::clock::Clock;
use super::socket::Socket;
use super::{Command, LISTENER, SOCKETS, WAKER};
use crate::calendar::SECOND;
use crate::exchange::{ConnId, Exchange, Flow};
use crate::stats::Stats;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConfig;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Result};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The maximum time that a connection waits for the peer after its writing side has ended, in ns.
const LINGER: u64 = SECOND;
/// The maximum number of connections. Further ones wait in the listener's backlog.
const SOCKETS_MAX: usize = 1024;
/// The delay before accepting again after the process ran out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(10);

pub(crate) struct Reactor {
    pub poll: Poll,
    pub listener: TcpListener,
    pub tls: Option<Arc<ServerConfig>>,
    pub exchange: Exchange,
    pub clock: Clock,
    pub commands: Receiver<Command>,
    pub stats: Arc<Mutex<Stats>>,
    pub sockets: BTreeMap<ConnId, Socket>,
    pub acceptable: bool,
}

impl Reactor {
    pub fn run(mut self) {
        let mut events = Events::with_capacity(256);
        loop {
            let timeout = self.timeout();
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "poll failed, the simulated exchange stops");
                return;
            }
            for event in &events {
                self.handle_event(event);
            }
            if !self.run_commands() {
                return;
            }
            self.move_bytes();
        }
    }

    fn timeout(&self) -> Duration {
        if !self.exchange.is_stalled() && self.sockets.values().any(|socket| socket.readable) {
            return Duration::ZERO;
        }
        // During a stall nothing is due: lingering sockets stay open until it ends.
        let lingering = self.sockets.values().filter_map(|socket| socket.linger_until).min();
        let lingering = lingering.filter(|_| !self.exchange.is_stalled());
        let due = self.exchange.poll_timeout().min(lingering.unwrap_or(u64::MAX));
        let idle = if self.acceptable && self.has_room() { ACCEPT_RETRY } else { Duration::from_secs(1) };
        Duration::from_nanos(due.saturating_sub(self.clock.now())).min(idle)
    }

    fn handle_event(&mut self, event: &mio::event::Event) {
        match event.token() {
            LISTENER => self.acceptable = true,
            WAKER => {}
            Token(token) => {
                if let Some(socket) = self.sockets.get_mut(&ConnId((token - SOCKETS) as u64)) {
                    socket.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
                }
            }
        }
    }

    /// Runs the commands of the handle. Returns false to stop.
    fn run_commands(&mut self) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Shutdown => return false,
                Command::Call(call) => call(&mut self.exchange, self.clock.now()),
            }
        }
        true
    }

    fn move_bytes(&mut self) {
        self.accept();
        if !self.exchange.is_stalled() {
            self.each_socket(Self::read);
            let now = self.clock.now();
            if self.exchange.poll_timeout() <= now {
                self.exchange.handle_timeout(now);
            }
            self.each_socket(Self::write);
        }
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone_from(self.exchange.stats());
    }

    fn has_room(&self) -> bool {
        self.sockets.len() < SOCKETS_MAX
    }

    fn accept(&mut self) {
        while self.acceptable && self.has_room() {
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    let conn = self.exchange.connect(self.clock.now(), peer.ip());
                    if let Err(error) = self.register(conn, stream) {
                        tracing::warn!(%error, "an accepted connection failed");
                        self.exchange.disconnected(self.clock.now(), conn);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.acceptable = false,
                Err(error)
                    if error.kind() == ErrorKind::Interrupted || error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return tracing::warn!(%error, "accept failed"),
            }
        }
    }

    fn register(&mut self, conn: ConnId, stream: mio::net::TcpStream) -> Result<()> {
        let mut socket = Socket::new(stream, self.tls.as_ref())?;
        let token = Token(conn.0 as usize + SOCKETS);
        self.poll.registry().register(&mut socket.stream, token, Interest::READABLE | Interest::WRITABLE)?;
        self.sockets.insert(conn, socket);
        Ok(())
    }

    /// Calls `act` for each socket. Removes the socket if it returns false or an error.
    fn each_socket(&mut self, act: fn(&mut Self, ConnId, &mut Socket) -> Result<bool>) {
        for conn in self.sockets.keys().copied().collect::<Vec<ConnId>>() {
            let Some(mut socket) = self.sockets.remove(&conn) else { continue };
            match act(self, conn, &mut socket) {
                Ok(true) => drop(self.sockets.insert(conn, socket)),
                Ok(false) => self.exchange.disconnected(self.clock.now(), conn),
                Err(error) => {
                    tracing::debug!(conn = conn.0, %error, "a connection failed");
                    self.exchange.disconnected(self.clock.now(), conn);
                }
            }
        }
    }

    fn read(&mut self, conn: ConnId, socket: &mut Socket) -> Result<bool> {
        let mut bytes = Vec::new();
        let open = socket.read(&mut bytes);
        if !bytes.is_empty() && socket.linger_until.is_none() {
            self.exchange.receive(self.clock.now(), conn, &bytes);
        }
        open
    }

    fn write(&mut self, conn: ConnId, socket: &mut Socket) -> Result<bool> {
        socket.flush()?;
        if let Some(until) = socket.linger_until {
            return Ok(self.clock.now() < until);
        }
        if socket.has_unsent() {
            // Nothing is requested from the exchange while bytes are unsent, so its flow is checked here. Otherwise a
            // client that was dropped for not reading would keep its socket.
            match self.exchange.flow(conn) {
                Flow::Open => {}
                Flow::Close => socket.linger_until = Some(self.clock.now() + LINGER),
                Flow::Drop => return Ok(false),
            }
            return Ok(true);
        }
        let mut bytes = Vec::new();
        // Bytes that the kernel does not take stay in the exchange, which limits them.
        while !socket.has_unsent() {
            bytes.clear();
            let flow = self.exchange.poll_transmit(self.clock.now(), conn, &mut bytes);
            if flow == Flow::Drop {
                return Ok(false);
            }
            socket.send(&bytes)?;
            if flow == Flow::Close && !socket.has_unsent() {
                socket.finish(self.clock.now() + LINGER)?;
                return Ok(true);
            }
            if bytes.is_empty() {
                break;
            }
        }
        Ok(true)
    }
}
