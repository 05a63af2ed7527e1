//! The event loop of one connection's thread: waits, reads, and does what the session says.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};

use super::clock::{SystemClock, wall};
use super::resolve::{Lookups, Resolve};
use super::tls::TlsConfig;
use super::transport::{Transport, is_temporary};
use crate::config::{Endpoint, Wait};
use crate::model::{Clock, Nanos, Sink};
use crate::session::{Action, Closed, Event, Session};

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// Reads between two looks at commands and deadlines: under a flood, both still get their turn.
const READS_PER_TURN: usize = 16;

/// What the thread's owner does with a connection.
pub trait Handler: Sink {
    /// Somebody called [`Remote::wake`]: apply what they want.
    fn commands(&mut self, now: Nanos, session: &mut Session);
    /// Something happened that a watcher may care about.
    fn event(&mut self, event: Event);
    /// Bytes were read that the kernel had received so long before. Called before the session is given them, and only if
    /// the loop was told to find that out.
    fn read_after(&mut self, wait: Duration);
    /// The session was given something and everything that followed from it was handled.
    fn batch_done(&mut self, now: Nanos, session: &Session);
}

/// Wakes a reactor from other threads.
#[derive(Clone)]
pub struct Remote {
    waker: Arc<Waker>,
    called: Arc<AtomicBool>,
}

impl Remote {
    /// Makes the reactor call [`Handler::commands`] soon. Calls that come before it does are one call.
    pub fn wake(&self) {
        // CALLED: Release, pairs with the Acquire in `take`: whoever sees the call sees what was left for it to do.
        if !self.called.swap(true, Ordering::Release) {
            // Fails only if the kernel refuses a write to an eventfd that it gave us. The call then waits until the
            // reactor comes round for another reason.
            let _ = self.waker.wake();
        }
    }

    fn take(&self) -> bool {
        self.is_called() && self.called.swap(false, Ordering::Acquire)
    }

    /// A call waits to be taken. While one waits, further calls write no event, so the reactor must not sleep.
    fn is_called(&self) -> bool {
        // Relaxed: `called` is set before the event is written, so whoever has seen the event sees it. A plain load,
        // so that a spinning reactor does not take the cache line from the callers.
        self.called.load(Ordering::Relaxed)
    }
}

/// The event loop of one connection.
pub struct Reactor {
    poll: Poll,
    events: Events,
    remote: Remote,
    clock: SystemClock,
    wait: Wait,
    endpoint: Endpoint,
    tls: TlsConfig,
    stamp_arrivals: bool,
    lookups: Lookups,
    session: Session,
    link: Link,
    /// When the last bytes came.
    traffic_at: Nanos,
}

/// How far the socket is.
enum Link {
    None,
    Connecting(Transport),
    Securing(Transport),
    Open(Transport),
    /// A write has failed, for this reason. What the kernel holds is read before that is reported: the peer's last
    /// messages, and why it closed.
    Ending(Transport, Closed),
}

impl Link {
    fn transport(&mut self) -> Option<&mut Transport> {
        match self {
            Self::None => None,
            Self::Connecting(transport)
            | Self::Securing(transport)
            | Self::Open(transport)
            | Self::Ending(transport, _) => Some(transport),
        }
    }

    /// What data may be read from.
    fn readable(&mut self) -> Option<&mut Transport> {
        match self {
            Self::Open(transport) | Self::Ending(transport, _) => Some(transport).filter(|t| t.is_readable()),
            Self::None | Self::Connecting(_) | Self::Securing(_) => None,
        }
    }

    fn into_transport(self) -> Option<Transport> {
        match self {
            Self::None => None,
            Self::Connecting(transport)
            | Self::Securing(transport)
            | Self::Open(transport)
            | Self::Ending(transport, _) => Some(transport),
        }
    }
}

impl Reactor {
    /// A loop that has not started. Fails if the system has no event queue to give. `stamp_arrivals`: it finds out how
    /// long bytes waited in the kernel, where the kernel says so.
    pub fn new(
        session: Session,
        endpoint: Endpoint,
        tls: TlsConfig,
        resolver: Arc<dyn Resolve>,
        wait: Wait,
        clock: SystemClock,
        stamp_arrivals: bool,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let remote = Remote { waker, called: Arc::new(AtomicBool::new(false)) };
        Ok(Self {
            poll,
            events: Events::with_capacity(16),
            lookups: Lookups::new(resolver, remote.clone()),
            remote,
            clock,
            wait,
            endpoint,
            tls,
            stamp_arrivals,
            session,
            link: Link::None,
            traffic_at: Nanos::default(),
        })
    }

    /// Wakes this loop from other threads.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// Runs until the session has stopped. Gives the number of look-ups that still hang in the system's resolver.
    pub fn run(mut self, handler: &mut impl Handler) -> usize {
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
                // A pause of our own must not be taken for the peer's silence: what waits in the socket goes first.
                self.look(Some(Duration::ZERO), handler);
                // Reading took time: the session must not see the clock go backwards.
                let now = self.clock.now();
                self.session.handle_timeout(now);
                self.settle(now, handler);
            }
            if self.session.is_stopped() {
                return self.lookups.reap();
            }
            let timeout = self.timeout(now);
            self.look(timeout, handler);
        }
    }

    /// Waits for news of the socket or of the waker, and takes what there is.
    fn look(&mut self, timeout: Option<Duration>, handler: &mut impl Handler) {
        self.wait_for_news(timeout);
        self.progress(handler);
        self.read(handler);
    }

    /// Does what the session asks for, until it asks for nothing more.
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
                if let Err(why) = self.lookups.start(self.endpoint.host(), self.endpoint.port()) {
                    self.session.handle_resolved(self.clock.now(), Err(why));
                }
            }
            Action::Connect(address) => match Transport::connect(address, self.poll.registry(), SOCKET) {
                Ok(mut transport) => {
                    if self.stamp_arrivals {
                        transport.stamp_arrivals();
                    }
                    self.link = Link::Connecting(transport);
                }
                Err(e) => self.session.handle_closed(self.clock.now(), Closed::Io(e.kind())),
            },
            Action::StartTls => self.start_tls(),
            Action::Disconnect => self.disconnect(),
        }
    }

    fn start_tls(&mut self) {
        let Link::Open(mut transport) = std::mem::replace(&mut self.link, Link::None) else { return };
        match transport.start_tls(&self.tls, self.endpoint.host()) {
            Ok(()) => {
                self.link = Link::Securing(transport);
                // The first flight goes out now; no event of the socket will ask for it.
                if let Err(how) = self.try_progress() {
                    self.session.handle_closed(self.clock.now(), how);
                }
            }
            Err(why) => self.session.handle_closed(self.clock.now(), Closed::Tls(why)),
        }
    }

    /// Sends what goes at once, then drops the socket. Whether it went is nobody's concern any more.
    fn disconnect(&mut self) {
        let link = std::mem::replace(&mut self.link, Link::None);
        let is_open = matches!(link, Link::Open(_));
        let Some(mut transport) = link.into_transport() else { return };
        if is_open && let Ok(n) = transport.write(self.session.poll_transmit()) {
            self.session.transmitted(n);
        }
        transport.close(self.poll.registry());
    }

    /// Sends what the session has to say.
    fn transmit(&mut self) {
        let Link::Open(transport) = &mut self.link else { return };
        let result = loop {
            let pending = self.session.poll_transmit();
            if pending.is_empty() {
                break transport.flush();
            }
            match transport.write(pending) {
                Ok(n) => self.session.transmitted(n),
                Err(e) => break Err(e),
            }
        };
        // What could not be sent for now goes out when the socket says that it is writable.
        if let Err(e) = result
            && !is_temporary(&e)
        {
            self.stop_writing(how_it_ended(&e));
        }
    }

    /// Nothing more can be sent. The next read goes on to the end of what was received.
    #[cold]
    fn stop_writing(&mut self, why: Closed) {
        if let Some(mut transport) = std::mem::replace(&mut self.link, Link::None).into_transport() {
            transport.set_readable(false);
            self.link = Link::Ending(transport, why);
        }
    }

    fn wait_for_news(&mut self, timeout: Option<Duration>) {
        if let Err(e) = self.poll.poll(&mut self.events, timeout) {
            // A signal, and nothing else is possible on a valid queue. The news is still there when the loop comes back.
            debug_assert_eq!(e.kind(), io::ErrorKind::Interrupted);
            return;
        }
        for event in &self.events {
            if event.token() != SOCKET {
                continue;
            }
            if let Some(transport) = self.link.transport()
                && (event.is_readable() || event.is_read_closed() || event.is_error())
            {
                transport.set_readable(event.is_read_closed() || event.is_error());
            }
        }
    }

    /// How long the loop may sleep; `None`: until somebody wakes it.
    fn timeout(&mut self, now: Nanos) -> Option<Duration> {
        // The event of a call may be gone already: taken by the look before a deadline, which does not answer calls.
        let has_work = self.remote.is_called() || self.link.readable().is_some();
        let spins = match self.wait {
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

    /// Takes an opening socket on, and sends what an open one would not take before.
    fn progress(&mut self, handler: &mut impl Handler) {
        match self.try_progress() {
            Ok(false) => {}
            Ok(true) => self.settle(self.clock.now(), handler),
            Err(how) => self.broken(how, handler),
        }
    }

    /// True if the session was given something.
    fn try_progress(&mut self) -> Result<bool, Closed> {
        if matches!(self.link, Link::Open(_) | Link::Ending(..)) {
            self.transmit();
            return Ok(false);
        }
        match std::mem::replace(&mut self.link, Link::None) {
            Link::Connecting(mut transport) => {
                let open = transport.finish_connect().map_err(|e| Closed::Io(e.kind()))?;
                self.link = if open { Link::Open(transport) } else { Link::Connecting(transport) };
                if open {
                    self.session.handle_connected(self.clock.now());
                }
                Ok(open)
            }
            Link::Securing(mut transport) => match transport.handshake() {
                Ok(()) => {
                    self.link = Link::Open(transport);
                    self.session.handle_secured(self.clock.now());
                    Ok(true)
                }
                Err(e) if is_temporary(&e) => {
                    self.link = Link::Securing(transport);
                    Ok(false)
                }
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(Closed::Eof),
                Err(e) => Err(how_it_ended(&e)),
            },
            other => {
                self.link = other;
                Ok(false)
            }
        }
    }

    /// Drops the socket, with a goodbye as far as that goes at once. A write that failed before was the end.
    fn broken(&mut self, how: Closed, handler: &mut impl Handler) {
        let link = std::mem::replace(&mut self.link, Link::None);
        let how = if let Link::Ending(_, why) = &link { why.clone() } else { how };
        if let Some(transport) = link.into_transport() {
            transport.close(self.poll.registry());
        }
        let now = self.clock.now();
        self.session.handle_closed(now, how);
        self.settle(now, handler);
    }

    /// Nothing more can be read for now. Where nothing can be sent any more, that is the end.
    fn drained(&mut self, handler: &mut impl Handler) {
        if let Link::Ending(_, why) = &self.link {
            let why = why.clone();
            self.broken(why, handler);
        }
    }

    /// Reads what came and hands it to the session.
    fn read(&mut self, handler: &mut impl Handler) {
        for _ in 0..READS_PER_TURN {
            let Some(transport) = self.link.readable() else { return self.drained(handler) };
            match transport.read(self.session.spare()) {
                Ok(0) => return self.broken(Closed::Eof, handler),
                Ok(n) => {
                    self.traffic_at = self.clock.now();
                    // A wall clock that was set back meanwhile says nothing.
                    if let Some(wait) = transport.take_arrived().and_then(|arrived| wall().checked_since(arrived)) {
                        handler.read_after(wait);
                    }
                    self.session.handle_received(self.traffic_at, n, handler);
                    self.settle(self.traffic_at, handler);
                }
                Err(e) if is_temporary(&e) => {}
                Err(e) => return self.broken(how_it_ended(&e), handler),
            }
        }
    }
}

/// What TLS refuses is reported as invalid data; all else is the network's.
fn how_it_ended(error: &io::Error) -> Closed {
    match error.kind() {
        io::ErrorKind::InvalidData => Closed::Tls(error.to_string()),
        kind => Closed::Io(kind),
    }
}

#[cfg(test)]
mod tests;
