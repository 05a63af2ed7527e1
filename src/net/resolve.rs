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
    /// The addresses of `host`. May block: it is called on a thread of its own. An answer that comes after the deadline
    /// is used by the next dial.
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
    /// The number of the newest look-up.
    newest: u64,
    answer_to: Sender<(u64, Answer)>,
    answers: Receiver<(u64, Answer)>,
    threads: Vec<JoinHandle<()>>,
}

impl Lookups {
    pub fn new(resolver: Arc<dyn Resolve>, remote: Remote) -> Self {
        // They are taken at each wake-up, so there is always room.
        let (answer_to, answers) = bounded(2 * IN_FLIGHT_MAX);
        Self { resolver, remote, newest: 0, answer_to, answers, threads: Vec::new() }
    }

    /// Starts a look-up. An older one that still hangs is not waited for; should it answer first, that serves as well.
    pub fn start(&mut self, host: &str, port: u16) -> Result<(), String> {
        self.reap();
        if self.threads.len() >= IN_FLIGHT_MAX {
            return Err(format!("{IN_FLIGHT_MAX} earlier look-ups still hang in the resolver"));
        }
        let number = self.newest + 1;
        let (resolver, answer_to, remote) = (self.resolver.clone(), self.answer_to.clone(), self.remote.clone());
        let host = host.to_owned();
        let look_up = move || {
            let answer = resolver.resolve(&host, port).map_err(|e| e.to_string());
            // The receiver is gone if the connection is; then nobody needs waking either.
            if answer_to.try_send((number, answer)).is_ok() {
                remote.wake();
            }
        };
        let thread = thread::Builder::new()
            .name("hoga-dns".to_owned())
            .spawn(look_up)
            .map_err(|e| format!("no thread for the look-up: {e}"))?;
        self.threads.push(thread);
        self.newest = number;
        Ok(())
    }

    /// The next answer. Addresses count whichever look-up found them, because all ask the same. That there are none counts
    /// from the newest only: what was so when an older one began may have changed.
    pub fn poll(&mut self) -> Option<Answer> {
        let newest = self.newest;
        let counts = |number, answer: &Answer| number == newest || answer.as_ref().is_ok_and(|found| !found.is_empty());
        self.answers.try_iter().find(|(number, answer)| counts(*number, answer)).map(|(_, answer)| answer)
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
