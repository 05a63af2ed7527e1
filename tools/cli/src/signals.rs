//! SIGINT and SIGTERM: the first asks for a clean end, the second ends at once. SIGUSR1: whatever the command says.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::exit::Failure;
use crate::screen::SHOW_CURSOR;

/// Whether the process was asked to end.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches the signals from now on. The calling thread is unparked by the first.
    pub fn catch() -> Result<Self, Failure> {
        let signals = Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
        let asked = Arc::new(AtomicBool::new(false));
        let (flag, caller) = (asked.clone(), thread::current());
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || listen(signals, &flag, &caller))
            .map_err(refused)?;
        Ok(Self(asked))
    }

    /// Somebody asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sleeps until somebody asks; meanwhile does `on_usr1` for each SIGUSR1.
    pub fn wait(&self, mut on_usr1: impl FnMut()) -> Result<(), Failure> {
        let usr1 = Arc::new(AtomicBool::new(false));
        let caller = thread::current();
        let flag = usr1.clone();
        let mut signals = Signals::new([SIGUSR1]).map_err(refused)?;
        let listen = move || {
            for _ in signals.forever() {
                flag.store(true, Ordering::Relaxed);
                caller.unpark();
            }
        };
        thread::Builder::new().name("usr1".into()).spawn(listen).map_err(refused)?;
        while !self.is_asked() {
            if usr1.swap(false, Ordering::Relaxed) {
                on_usr1();
            }
            thread::park();
        }
        Ok(())
    }
}

fn refused(error: io::Error) -> Failure {
    Failure::Failed(format!("signals cannot be caught: {error}"))
}

fn listen(mut signals: Signals, asked: &AtomicBool, caller: &Thread) {
    for _ in signals.forever() {
        if asked.swap(true, Ordering::Relaxed) {
            show_cursor();
            process::exit(130);
        }
        caller.unpark();
    }
}

/// The thread that hid the cursor may be the one that hangs. Without a terminal there is none to show.
fn show_cursor() {
    if let Ok(mut terminal) = OpenOptions::new().write(true).open("/dev/tty") {
        let _ = terminal.write_all(SHOW_CURSOR.as_bytes());
    }
}
