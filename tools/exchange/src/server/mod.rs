//! The exchange on a real port: starts its thread, and passes faults and questions to it.

mod certificate;
mod clock;
mod reactor;
mod socket;

use crate::config::Config;
use crate::exchange::{Exchange, Observer};
use crate::fault::Fault;
use crate::log::LogFile;
use crate::received::Received;
use crate::replay::Replay;
use crate::stats::Stats;
use certificate::Identity;
use clock::Clock;
use mio::net::TcpListener;
use mio::{Interest, Poll, Token, Waker};
use reactor::Reactor;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
/// Tokens from this one on are connections.
const SOCKETS: usize = 2;
/// The time after which a thread that does not answer is taken for dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The configuration of a [`Server`]: its address, its exchange, and its files.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The loopback address to listen on; port 0 takes a free port. Default: 127.0.0.1:0. Other addresses are refused.
    pub listen: SocketAddr,
    /// Whether to serve `ws://` instead of `wss://`. Default: no.
    pub plain: bool,
    /// How far the exchange's clock is ahead of this machine's, in ms; negative if it is behind. Default: 0.
    pub clock_ahead_ms: i64,
    /// The exchange.
    pub exchange: Config,
    /// [Recordings](crate::Recording) to replay for the streams that they contain; loaded into [`Config::replay`].
    /// Default: none.
    pub replay: Vec<PathBuf>,
    /// The file for the ground-truth log; see [`LogFile`]. Default: none.
    pub log: Option<PathBuf>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            plain: false,
            clock_ahead_ms: 0,
            exchange: Config::default(),
            replay: Vec::new(),
            log: None,
        }
    }
}

/// A closure to run on the exchange's thread, with the current time.
type Call = Box<dyn FnOnce(&mut Exchange, u64) + Send>;

enum Command {
    Call(Call),
    Shutdown,
}

/// A running exchange. Dropping it ends its thread and closes all connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    identity: Option<(String, Vec<u8>)>,
    commands: Sender<Command>,
    waker: Waker,
    stats: Arc<Mutex<Stats>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on the address and serves the exchange on a new thread.
    ///
    /// # Errors
    /// If the address is not loopback or is in use, a replay file cannot be read, or the log cannot be created.
    pub fn start(config: ServerConfig) -> Result<Self> {
        let create =
            |path| LogFile::create(path, |failure| tracing::error!("the ground-truth log ends here: {failure}"));
        let log = config.log.as_ref().map(create).transpose()?;
        Self::launch(config, log.map(|log| Box::new(log) as Box<dyn Observer>))
    }

    /// Like [`start`](Self::start), with an observer instead of a log file. The server's thread calls it when it reads
    /// a request, and right before it passes the bytes of a data frame to the socket.
    ///
    /// # Errors
    /// Same as [`start`](Self::start).
    pub fn start_observed(config: ServerConfig, observer: Box<dyn Observer>) -> Result<Self> {
        Self::launch(config, Some(observer))
    }

    fn launch(mut config: ServerConfig, observer: Option<Box<dyn Observer>>) -> Result<Self> {
        if !config.listen.ip().is_loopback() {
            let message = format!("{} is not a loopback address: use 127.0.0.1 or ::1", config.listen.ip());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if !config.replay.is_empty() {
            let replay = Replay::load(&config.replay)?;
            tracing::info!(messages = replay.len(), other_lines = replay.contents().others(), "a replay is loaded");
            config.exchange.replay = Some(Arc::new(replay));
        }
        let identity = if config.plain { None } else { Some(Identity::of_localhost()?) };
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(config.listen)?;
        let address = listener.local_addr()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKER)?;

        let clock = Clock::start(config.clock_ahead_ms);
        let mut exchange = Exchange::new(config.exchange, clock.now());
        if let Some(observer) = observer {
            exchange.observe(observer);
        }
        let (sender, commands) = mpsc::channel();
        let stats = Arc::new(Mutex::new(Stats::default()));
        let tls = identity.as_ref().map(|identity| identity.tls.clone());
        let (sockets, acceptable) = (BTreeMap::new(), false);
        let reactor =
            Reactor { poll, listener, tls, exchange, clock, commands, stats: stats.clone(), sockets, acceptable };
        let thread = Builder::new().name("exchange".into()).spawn(move || reactor.run())?;
        let identity = identity.map(|identity| (identity.ca_pem, identity.ca_der));
        Ok(Self { address, identity, commands: sender, waker, stats, thread: Some(thread) })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for clients: `wss://127.0.0.1:PORT/websocket/v1`, or `ws://` without TLS.
    pub fn url(&self) -> String {
        let scheme = if self.identity.is_some() { "wss" } else { "ws" };
        // A socket address prints an IPv6 host in brackets, as a URL requires.
        format!("{scheme}://{}/websocket/v1", self.address)
    }

    /// The certificate of the test authority as PEM; empty without TLS.
    pub fn ca_pem(&self) -> &str {
        self.identity.as_ref().map_or("", |(pem, _)| pem)
    }

    /// The certificate of the test authority as DER; empty without TLS.
    pub fn ca_der(&self) -> &[u8] {
        self.identity.as_ref().map_or(&[], |(_, der)| der)
    }

    /// The counters after the last turn of the event loop.
    pub fn stats(&self) -> Stats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Injects a fault, which is in effect when this returns.
    pub fn inject(&self, fault: Fault) {
        self.ask(|exchange, now| exchange.inject(now, fault));
    }

    /// Returns the requests of all connections, oldest first; see [`Exchange::received`].
    pub fn received(&self) -> Vec<Received> {
        self.ask(|exchange, _| exchange.received().cloned().collect()).unwrap_or_default()
    }

    /// Lists or delists a market, which has happened when this returns; see [`Exchange::set_listed`].
    pub fn set_listed(&self, code: &str, on: bool) -> bool {
        let code = code.to_owned();
        self.ask(move |exchange, now| exchange.set_listed(now, &code, on)).unwrap_or(false)
    }

    /// Returns the codes of all listed markets, the busiest of each quote currency first.
    pub fn markets(&self) -> Vec<String> {
        self.ask(|exchange, _| exchange.markets().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// Ends the thread, closes all connections and waits for the thread.
    pub fn shutdown(mut self) {
        self.stop();
    }

    /// Waits until the thread ends, which happens only if it fails. For a process that only serves the exchange.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Runs a closure on the exchange's thread and waits for its result.
    fn ask<T: Send + 'static>(&self, act: impl FnOnce(&mut Exchange, u64) -> T + Send + 'static) -> Option<T> {
        let (done, wait) = mpsc::channel();
        self.send(Command::Call(Box::new(move |exchange, now| {
            // The caller may have stopped waiting.
            let _ = done.send(act(exchange, now));
        })));
        let answer = wait.recv_timeout(ANSWER_TIMEOUT).ok();
        if answer.is_none() {
            tracing::error!("the simulated exchange does not answer");
        }
        answer
    }

    fn send(&self, command: Command) {
        // Both fail only if the thread has ended, and then no command matters.
        let _ = self.commands.send(command);
        let _ = self.waker.wake();
    }

    fn stop(&mut self) {
        self.send(Command::Shutdown);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the simulated exchange panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop();
        }
    }
}
