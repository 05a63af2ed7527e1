//! How a run ends: with a report, and with an exit code that says what came out.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hoga_lab::Error;
use hoga_lab::report::Report;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::args::BenchArgs;

const INTERRUPTED: u8 = 130;

/// Whether somebody asked for an end.
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches SIGINT and SIGTERM from now on. The second of them ends the process.
    pub fn catch() -> Result<Self, Error> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, INTERRUPTED.into(), asked.clone())?;
            flag::register(signal, asked.clone())?;
        }
        Ok(Self(asked))
    }

    /// Somebody did.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Prints a report; with `--check`, a missed target is an error.
pub fn outcome(report: &Report, args: &BenchArgs) -> Result<(), Error> {
    print(&if args.json { report.json() } else { report.text() })?;
    let missed = if args.check { report.missed() } else { Vec::new() };
    if missed.is_empty() { Ok(()) } else { Err(Error::Failed(format!("missed: {}", missed.join("; ")))) }
}

/// Writes to stdout. Whoever reads it may have seen enough.
pub fn print(text: &str) -> Result<(), Error> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::failed("the output could not be written", e)),
        _ => Ok(()),
    }
}

/// Says what went wrong, if anything did, and with which code the process ends.
pub fn code(end: Result<(), Error>) -> ExitCode {
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(why) => {
            // stderr may be closed as well; the exit code still tells.
            let _ = writeln!(io::stderr(), "hoga-peers: {why}");
            ExitCode::FAILURE
        }
    }
}
