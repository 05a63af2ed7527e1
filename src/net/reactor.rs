//! The event loop of one connection's thread: waits, reads, and performs the session's actions.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};

use super::clock::{SystemClock, wall};
use super::resolve::{Lookups, Resolve};
use super::socket_table::{Progress, SocketEntry, SocketTable, Stage, close_reason, create_reason, token_of};
use super::tls::TlsConfig;
use super::transport::{Transport, is_temporary};
use crate::config::{Config, Wait};
use crate::model::{Clock, Nanos, Sink, panic_message};
use crate::session::{Action, Closed, Event, Session, SocketId};
use crate::sync::flag::Flag;

/// The waker's token. Socket ids start at 1.
const WAKER: Token = Token(0);

/// The maximum number of reads per socket and turn. With a limit, commands and deadlines are handled even if one socket
/// always has more bytes.
const READS_PER_TURN: usize = 16;

/// The callbacks of a connection's thread.
pub trait Handler: Sink {
    /// Applies pending commands. Called after [`Remote::wake`].
    fn commands(&mut self, now: Nanos, session: &mut Session);
    /// Handles an event of the session.
    fn event(&mut self, event: Event);
    /// Records that the last bytes of a read had waited in the kernel for `wait`. Called before the session gets the
    /// bytes, and only if `Config::measure_latencies` is set.
    fn read_after(&mut self, wait: Duration);
    /// Called after each input to the session, once all events and actions that followed from it are handled.
    fn batch_done(&mut self, now: Nanos, session: &Session);
}

/// Wakes a reactor from other threads.
#[derive(Clone)]
pub struct Remote {
    waker: Arc<Waker>,
    called: Arc<Flag>,
}

impl Remote {
    /// Makes the reactor call [`Handler::commands`] soon. Several calls before that count as one.
    pub fn wake(&self) {
        if self.called.raise() {
            // Fails only if the kernel refuses a write to its own eventfd. Then the call waits until the reactor wakes
            // for another reason.
            let _ = self.waker.wake();
        }
    }

    fn take(&self) -> bool {
        self.called.take()
    }

    /// Returns true if a call is pending. Further calls then write no event, so the reactor must not sleep.
    fn is_called(&self) -> bool {
        // The flag is raised before the event is written, so a thread that has seen the event sees the flag.
        self.called.is_raised()
    }
}

/// The event loop of one connection.
pub struct Reactor {
    poll: Poll,
    events: Events,
    remote: Remote,
    clock: SystemClock,
    config: Arc<Config>,
    tls: TlsConfig,
    lookups: Lookups,
    session: Session,
    sockets: SocketTable,
    /// When bytes were last received.
    traffic_at: Nanos,
}

impl Reactor {
    /// Returns a reactor that is not running yet. `config` is the session's.
    ///
    /// # Errors
    ///
    /// If the system refuses an event queue.
    pub fn new(
        session: Session,
        config: Arc<Config>,
        tls: TlsConfig,
        resolver: Arc<dyn Resolve>,
        clock: SystemClock,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let remote = Remote { waker, called: Arc::new(Flag::new()) };
        Ok(Self {
            poll,
            events: Events::with_capacity(16),
            lookups: Lookups::new(resolver, remote.clone()),
            remote,
            clock,
            config,
            tls,
            session,
            sockets: SocketTable::default(),
            traffic_at: Nanos::default(),
        })
    }

    /// Returns a handle that wakes this reactor from other threads.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Runs until the session has stopped. Returns the number of look-ups still pending in the resolver.
    ///
    /// A panic in the session or the handler is a bug in hoga. It costs the socket, as a disconnect does: all that was
    /// read and not delivered is lost, and another socket is opened.
    pub fn run(mut self, handler: &mut impl Handler) -> usize {
        let mut panic: Option<String> = None;
        loop {
            let mut has_recovered = panic.is_none();
            let run = AssertUnwindSafe(|| {
                if let Some(message) = panic.take() {
                    self.recover(&message, handler);
                    has_recovered = true;
                }
                self.run_until_stopped(handler)
            });
            match catch_unwind(run) {
                Ok(hanging_lookups) => return hanging_lookups,
                // There is no other way to continue.
                Err(payload) if !has_recovered => resume_unwind(payload),
                Err(payload) => panic = Some(panic_message(&*payload)),
            }
        }
    }

    /// Drops all sockets after a panic, and tells the session and the handler.
    #[cold]
    fn recover(&mut self, message: &str, handler: &mut impl Handler) {
        for entry in self.sockets.take_all() {
            entry.transport.close(self.poll.registry());
        }
        let now = self.clock.now();
        self.session.handle_panic(now, message);
        self.settle(now, handler);
    }

    fn run_until_stopped(&mut self, handler: &mut impl Handler) -> usize {
        loop {
            let now = self.clock.now();
            let called = self.remote.take();
            if called {
                handler.commands(now, &mut self.session);
                while let Some(answer) = self.lookups.poll() {
                    self.session.handle_resolved(now, answer);
                }
            }
            if called {
                self.settle(now, handler);
            }
            if now >= self.session.poll_timeout() {
                // Read pending data first, so that a pause of this thread does not look like silence of the peer.
                self.turn(Some(Duration::ZERO), handler);
                // Reading took time, and the session must not see the clock go backwards.
                let now = self.clock.now();
                self.session.handle_timeout(now);
                self.settle(now, handler);
            }
            if self.session.is_stopped() {
                return self.lookups.reap();
            }
            let timeout = self.timeout(now);
            self.turn(timeout, handler);
        }
    }

    /// Waits for events of the sockets and the waker, and handles those of the sockets.
    fn turn(&mut self, timeout: Option<Duration>, handler: &mut impl Handler) {
        self.wait_for_events(timeout);
        self.progress(handler);
        self.read(handler);
    }

    /// Performs the session's actions until there are no more.
    fn settle(&mut self, now: Nanos, handler: &mut impl Handler) {
        loop {
            while let Some(event) = self.session.poll_event() {
                handler.event(event);
            }
            let Some(action) = self.session.poll_action() else { break };
            self.act(action);
        }
        self.transmit();
        handler.batch_done(now, &self.session);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Resolve => {
                let (host, port) = self.config.tcp_peer();
                if let Err(why) = self.lookups.start(host, port) {
                    self.session.handle_resolved(self.clock.now(), Err(why));
                }
            }
            Action::Connect(socket, address) => {
                if let Err(e) = self.connect(socket, address) {
                    self.session.handle_closed(self.clock.now(), socket, create_reason(&e));
                }
            }
            Action::StartTls(socket, received) => {
                if let Err(how) = self.start_tls(socket, &received) {
                    self.sockets.remove(socket);
                    self.session.handle_closed(self.clock.now(), socket, how);
                }
            }
            Action::Disconnect(socket, final_bytes) => self.disconnect(socket, &final_bytes),
        }
    }

    fn connect(&mut self, socket: SocketId, address: SocketAddr) -> io::Result<()> {
        let mut transport = Transport::connect(address, self.poll.registry(), token_of(socket))?;
        if self.config.measure_latencies {
            transport.stamp_arrivals();
        }
        self.sockets.add(SocketEntry { socket, transport, stage: Stage::Connecting });
        Ok(())
    }

    fn start_tls(&mut self, socket: SocketId, received: &[u8]) -> Result<(), Closed> {
        let Some(entry) = self.sockets.find(socket) else { return Ok(()) };
        entry.transport.start_tls(&self.tls, self.config.endpoint.host(), received).map_err(Closed::Tls)?;
        entry.stage = Stage::Securing;
        // Sends the first flight now: the socket reported that it is writable before, and will not report it again.
        if let Some(progress) = entry.progress()? {
            self.progressed(socket, progress);
        }
        Ok(())
    }

    /// Sends the final bytes as far as possible at once, then drops the socket. Failures do not matter any more.
    fn disconnect(&mut self, socket: SocketId, final_bytes: &[u8]) {
        let Some(mut entry) = self.sockets.remove(socket) else { return };
        if matches!(entry.stage, Stage::Open) {
            let _ = entry.transport.write(final_bytes);
        }
        entry.transport.close(self.poll.registry());
    }

    /// Sends the session's pending bytes on each socket.
    fn transmit(&mut self) {
        let mut last = SocketId::default();
        while let Some(entry) = self.sockets.after(last) {
            last = entry.socket;
            transmit(entry, &mut self.session);
        }
    }

    fn wait_for_events(&mut self, timeout: Option<Duration>) {
        if let Err(e) = self.poll.poll(&mut self.events, timeout) {
            // On a valid queue, the only error is that a signal interrupted the wait. The events are still pending in
            // the next turn.
            debug_assert_eq!(e.kind(), io::ErrorKind::Interrupted);
            return;
        }
        for event in &self.events {
            let is_ended = event.is_read_closed() || event.is_error();
            if (event.is_readable() || is_ended)
                && let Some(entry) = self.sockets.of(event.token())
            {
                entry.transport.set_readable(is_ended);
            }
        }
    }

    /// Returns how long the loop may sleep; `None` means until an event.
    fn timeout(&mut self, now: Nanos) -> Option<Duration> {
        // A pending call may have no event any more: the turn before a deadline consumes the event and does not handle
        // the call.
        let has_work = self.remote.is_called() || self.sockets.is_any_readable();
        let spins = match self.config.wait {
            Wait::Park => false,
            Wait::Spin => true,
            Wait::SpinThenPark(time) => now.since(self.traffic_at) < time,
        };
        if has_work || spins {
            return Some(Duration::ZERO);
        }
        let deadline = self.session.poll_timeout();
        (deadline != Nanos::NEVER).then(|| deadline.since(now))
    }

    /// Advances opening sockets, and sends bytes that open ones could not take before.
    fn progress(&mut self, handler: &mut impl Handler) {
        let mut last = SocketId::default();
        while let Some(entry) = self.sockets.after(last) {
            last = entry.socket;
            match entry.progress() {
                Ok(None) => transmit(entry, &mut self.session),
                Ok(Some(progress)) => {
                    let now = self.progressed(last, progress);
                    self.settle(now, handler);
                }
                Err(how) => self.broken(last, how, handler),
            }
        }
    }

    /// Reports a socket's progress to the session, and returns the time of the report.
    fn progressed(&mut self, socket: SocketId, progress: Progress) -> Nanos {
        let now = self.clock.now();
        match progress {
            Progress::Connected => self.session.handle_connected(now, socket),
            Progress::Secured => self.session.handle_secured(now, socket),
        }
        now
    }

    /// Drops a broken socket, and sends TLS's close notification if that is possible at once. If a write failed
    /// earlier, reports that as the reason.
    #[cold]
    fn broken(&mut self, socket: SocketId, how: Closed, handler: &mut impl Handler) {
        let Some(SocketEntry { transport, stage, .. }) = self.sockets.remove(socket) else { return };
        transport.close(self.poll.registry());
        let how = if let Stage::Draining(why) = stage { why } else { how };
        let now = self.clock.now();
        self.session.handle_closed(now, socket, how);
        self.settle(now, handler);
    }

    /// Reads from every socket.
    fn read(&mut self, handler: &mut impl Handler) {
        let mut last = SocketId::default();
        while let Some(entry) = self.sockets.after(last) {
            last = entry.socket;
            self.read_socket(last, handler);
        }
    }

    /// Reads from one socket and passes the bytes to the session.
    fn read_socket(&mut self, socket: SocketId, handler: &mut impl Handler) {
        for _ in 0..READS_PER_TURN {
            let Some(entry) = self.sockets.find(socket) else { return };
            if !entry.is_readable() {
                // Nothing can be read for now. A socket that cannot be written to either is at its end.
                if let Stage::Draining(why) = &entry.stage {
                    let why = why.clone();
                    self.broken(socket, why, handler);
                }
                return;
            }
            match entry.transport.read(self.session.spare(socket)) {
                Ok(0) => return self.broken(socket, Closed::Eof, handler),
                Ok(n) => {
                    self.traffic_at = self.clock.now();
                    // `None` if the wall clock was set back in the meantime.
                    if let Some(wait) = entry.transport.take_arrived().and_then(|arrived| wall().checked_since(arrived))
                    {
                        handler.read_after(wait);
                    }
                    self.session.handle_received(self.traffic_at, socket, n, handler);
                    self.settle(self.traffic_at, handler);
                }
                Err(e) if is_temporary(&e) => {}
                Err(e) => return self.broken(socket, close_reason(&e), handler),
            }
        }
    }
}

/// Sends the session's pending bytes on an open socket.
fn transmit(entry: &mut SocketEntry, session: &mut Session) {
    if !matches!(entry.stage, Stage::Open) {
        return;
    }
    let result = loop {
        let pending = session.poll_transmit(entry.socket);
        if pending.is_empty() {
            break entry.transport.flush();
        }
        match entry.transport.write(pending) {
            Ok(n) => session.transmitted(entry.socket, n),
            Err(e) => break Err(e),
        }
    };
    // Unsent bytes go out when the socket reports that it is writable.
    if let Err(e) = result
        && !is_temporary(&e)
    {
        entry.stop_writing(close_reason(&e));
    }
}

#[cfg(test)]
mod tests;
