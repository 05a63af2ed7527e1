//! Name look-ups, off the connection's thread: a resolver that hangs blocks nobody.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::reactor::Remote;

/// Look-ups of one connection that may hang at a time. Each is a thread that waits in the system's resolver, which
/// cannot be interrupted; more than this and a look-up fails at once.
const IN_FLIGHT_MAX: usize = 2;

/// Looks host names up.
pub trait Resolve: Send + Sync {
    /// The addresses of `host`. May block: it is called on a thread of its own, for each dial anew.
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

/// The answer to one look-up; errors as text, because they end in a report.
pub type Answer = Result<Vec<SocketAddr>, String>;

/// Runs look-ups for one connection and wakes it when an answer is there.
pub struct Lookups {
    resolver: Arc<dyn Resolve>,
    remote: Remote,
    /// Only the newest look-up's answer counts: each has its own channel.
    current: Option<Receiver<Answer>>,
    threads: Vec<JoinHandle<()>>,
}

impl Lookups {
    pub fn new(resolver: Arc<dyn Resolve>, remote: Remote) -> Self {
        Self { resolver, remote, current: None, threads: Vec::new() }
    }

    /// Starts a look-up. An older one that still hangs is forgotten, not waited for.
    pub fn start(&mut self, host: &str, port: u16) -> Result<(), String> {
        self.reap();
        if self.threads.len() >= IN_FLIGHT_MAX {
            return Err(format!("{IN_FLIGHT_MAX} earlier look-ups still hang in the resolver"));
        }
        let (answer_to, answer) = bounded(1);
        let (resolver, remote, host) = (self.resolver.clone(), self.remote.clone(), host.to_owned());
        let thread = thread::Builder::new()
            .name("hoga-dns".to_owned())
            .spawn(move || look_up(&*resolver, &host, port, &answer_to, &remote))
            .map_err(|e| format!("no thread for the look-up: {e}"))?;
        self.threads.push(thread);
        self.current = Some(answer);
        Ok(())
    }

    /// The newest look-up's answer, once.
    pub fn poll(&mut self) -> Option<Answer> {
        let answer = self.current.as_ref()?.try_recv().ok()?;
        self.current = None;
        Some(answer)
    }

    /// Joins the threads that are done; tells how many still hang in the system's resolver.
    pub fn reap(&mut self) -> usize {
        let (done, hanging) = std::mem::take(&mut self.threads).into_iter().partition(JoinHandle::is_finished);
        self.threads = hanging;
        for thread in done {
            // A resolver that panicked has sent no answer; the deadline of the look-up takes care of that.
            let _ = thread.join();
        }
        self.threads.len()
    }
}

fn look_up(resolver: &dyn Resolve, host: &str, port: u16, answer_to: &Sender<Answer>, remote: &Remote) {
    let answer = resolver.resolve(host, port).map_err(|e| e.to_string());
    // The receiver is gone if the look-up was forgotten; then nobody needs waking either.
    if answer_to.try_send(answer).is_ok() {
        remote.wake();
    }
}
