//! Name look-ups on separate threads, so that a hanging resolver does not block the connection's thread.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::reactor::Remote;

/// The maximum number of pending look-ups of one connection. Each is a thread that waits in the system's resolver,
/// which cannot be interrupted. A look-up beyond this number fails at once.
const IN_FLIGHT_MAX: usize = 2;

/// A resolver of host names.
pub trait Resolve: Send + Sync {
    /// Returns the addresses of `host`. May block, because it is called on a separate thread. If it returns after the
    /// deadline, the next dial uses the addresses.
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        (host, port).to_socket_addrs().map(Iterator::collect)
    }
}

/// The result of one look-up. Errors are text, because they end in a report.
pub type Answer = Result<Vec<SocketAddr>, String>;

/// Runs look-ups for one connection, and wakes the connection when one is done.
pub struct Lookups {
    resolver: Arc<dyn Resolve>,
    remote: Remote,
    /// The number of the newest look-up.
    newest: u64,
    answer_to: Sender<(u64, Answer)>,
    answers: Receiver<(u64, Answer)>,
    threads: Vec<JoinHandle<()>>,
}

impl Lookups {
    pub fn new(resolver: Arc<dyn Resolve>, remote: Remote) -> Self {
        // Answers are taken at each wake-up, so there is always room.
        let (answer_to, answers) = bounded(2 * IN_FLIGHT_MAX);
        Self { resolver, remote, newest: 0, answer_to, answers, threads: Vec::new() }
    }

    /// Starts a look-up. Does not wait for a pending older one; if that one returns addresses first, they are used.
    pub fn start(&mut self, host: &str, port: u16) -> Result<(), String> {
        self.reap();
        if self.threads.len() >= IN_FLIGHT_MAX {
            return Err(format!("{IN_FLIGHT_MAX} earlier look-ups are still pending in the resolver"));
        }
        let number = self.newest + 1;
        let (resolver, answer_to, remote) = (self.resolver.clone(), self.answer_to.clone(), self.remote.clone());
        let host = host.to_owned();
        let look_up = move || {
            let answer = resolver.resolve(&host, port).map_err(|e| e.to_string());
            // If the connection is gone, so is the receiver, and no thread needs waking.
            if answer_to.try_send((number, answer)).is_ok() {
                remote.wake();
            }
        };
        let thread = thread::Builder::new()
            .name("hoga-dns".to_owned())
            .spawn(look_up)
            .map_err(|e| format!("cannot start a thread for the look-up: {e}"))?;
        self.threads.push(thread);
        self.newest = number;
        Ok(())
    }

    /// Returns the next answer that counts. Addresses count from any look-up, because all look up the same name. A
    /// failure or an empty answer counts only from the newest, because an older one may be outdated.
    pub fn poll(&mut self) -> Option<Answer> {
        let newest = self.newest;
        let counts = |number, answer: &Answer| number == newest || answer.as_ref().is_ok_and(|found| !found.is_empty());
        self.answers.try_iter().find(|(number, answer)| counts(*number, answer)).map(|(_, answer)| answer)
    }

    /// Joins the finished threads, and returns the number of look-ups still pending in the system's resolver.
    pub fn reap(&mut self) -> usize {
        let (done, hanging) = std::mem::take(&mut self.threads).into_iter().partition(JoinHandle::is_finished);
        self.threads = hanging;
        for thread in done {
            // A resolver that panicked sends no answer; the look-up's deadline handles that.
            let _ = thread.join();
        }
        self.threads.len()
    }
}
