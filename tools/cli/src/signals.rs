//! SIGINT and SIGTERM: the first asks for a clean end, the second ends at once. SIGUSR1 means what the command says.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::exit::{Failure, INTERRUPTED};
use crate::rounds;
use crate::screen::SHOW_CURSOR;

/// Whether the process was asked to end.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches the signals from now on. The calling thread is unparked by the first.
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

    /// Whether a signal asked for an end.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if a signal asked for an end, to leave long work with `?`.
    pub fn check(&self) -> Result<(), rounds::Error> {
        if self.is_asked() { Err(rounds::Error::Interrupted) } else { Ok(()) }
    }
}

/// SIGINT and SIGTERM end the process at once from now on: for commands that have nothing to finish or to clean up.
pub fn end_at_once() -> Result<(), Failure> {
    on_each(&[SIGINT, SIGTERM], || process::exit(INTERRUPTED.into()))
}

/// Whether SIGUSR1 came.
#[derive(Debug)]
pub struct Usr1(Arc<AtomicBool>);

impl Usr1 {
    /// Catches the signal from now on. The calling thread is unparked by each.
    pub fn catch() -> Result<Self, Failure> {
        let came = Arc::new(AtomicBool::new(false));
        let flag = came.clone();
        let caller = thread::current();
        on_each(&[SIGUSR1], move || {
            flag.store(true, Ordering::Relaxed);
            caller.unpark();
        })?;
        Ok(Self(came))
    }

    /// It came since this was last called.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Starts a thread that lives as long as the process.
fn on_each(signals: &[i32], mut act: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    let refused = |error: io::Error| Failure::Failed(format!("signals cannot be caught: {error}"));
    let mut signals = Signals::new(signals).map_err(refused)?;
    let listen = move || signals.forever().for_each(|_| act());
    thread::Builder::new().name("signals".into()).spawn(listen).map_err(refused)?;
    Ok(())
}

/// The thread that hid the cursor may be the one that hangs. Without a terminal there is none to show.
fn show_cursor() {
    if let Ok(mut terminal) = OpenOptions::new().write(true).open("/dev/tty") {
        let _ = terminal.write_all(SHOW_CURSOR.as_bytes());
    }
}
