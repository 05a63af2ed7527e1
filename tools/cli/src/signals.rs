//! Handles SIGINT and SIGTERM: the first one requests a clean end, the second one ends the process at once. The meaning
//! of SIGUSR1 depends on the command.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::exit::{Failure, INTERRUPTED};
use crate::rounds;
use crate::screen::SHOW_CURSOR;

/// A flag that is set by SIGINT or SIGTERM.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches the signals from now on. The first one unparks the calling thread.
    pub fn catch() -> Result<Self, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        let flag = asked.clone();
        let caller = thread::current();
        on_each(&[SIGINT, SIGTERM], move || {
            if flag.swap(true, Ordering::Relaxed) {
                show_cursor();
                process::exit(INTERRUPTED.into());
            }
            caller.unpark();
        })?;
        Ok(Self(asked))
    }

    /// Returns true once a signal has arrived.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns an error once a signal has arrived, so that long work can be left with `?`.
    pub fn check(&self) -> Result<(), rounds::Error> {
        if self.is_asked() { Err(rounds::Error::Interrupted) } else { Ok(()) }
    }
}

/// Makes SIGINT and SIGTERM end the process at once, for commands that have nothing to finish or to clean up.
pub fn end_at_once() -> Result<(), Failure> {
    on_each(&[SIGINT, SIGTERM], || process::exit(INTERRUPTED.into()))
}

/// A flag that is set by SIGUSR1.
#[derive(Debug)]
pub struct Usr1(Arc<AtomicBool>);

impl Usr1 {
    /// Catches the signal from now on. Each one unparks the calling thread.
    pub fn catch() -> Result<Self, Failure> {
        let arrived = Arc::new(AtomicBool::new(false));
        let flag = arrived.clone();
        let caller = thread::current();
        on_each(&[SIGUSR1], move || {
            flag.store(true, Ordering::Relaxed);
            caller.unpark();
        })?;
        Ok(Self(arrived))
    }

    /// Returns true if the signal has arrived since the last call.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Makes a file that reaches the limit of its size an error of the writer. Otherwise the signal ends the process.
pub fn survive_file_size_limit() -> Result<(), Failure> {
    let _ = flag::register(SIGXFSZ, Arc::default()).map_err(refused)?;
    Ok(())
}

/// Calls `act` for each signal, on a thread that lives as long as the process.
fn on_each(signals: &[i32], mut act: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    let mut signals = Signals::new(signals).map_err(refused)?;
    let listen = move || signals.forever().for_each(|_| act());
    thread::Builder::new().name("signals".into()).spawn(listen).map_err(refused)?;
    Ok(())
}

fn refused(error: io::Error) -> Failure {
    Failure::Failed(format!("signals cannot be caught: {error}"))
}

/// Shows the cursor through `/dev/tty`, because the thread that hid it may hang with stdout locked. Does nothing
/// without a terminal.
fn show_cursor() {
    if let Ok(mut terminal) = OpenOptions::new().write(true).open("/dev/tty") {
        let _ = terminal.write_all(SHOW_CURSOR.as_bytes());
    }
}
