//! How the process ends: one enum, one exit code for each way, one line on stderr where there is something to say.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use crate::rounds;

/// The exit code of a process that a signal ended: 128 and the number of SIGINT. SIGTERM counts as the same.
pub const INTERRUPTED: u8 = 130;

/// Why a command did not finish as asked.
#[derive(Debug)]
pub enum Failure {
    /// Arguments, files or configuration have to be changed.
    Usage(String),
    /// Nothing came in time.
    NothingReceived(String),
    /// SIGINT or SIGTERM.
    Interrupted,
    /// The reader of the output went away. No failure of ours: `hoga watch … | head -1` ends so.
    ClosedPipe,
    /// The engine or the system failed.
    Failed(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NothingReceived(_) => 3,
            Self::Interrupted => INTERRUPTED,
        }
    }

    fn message(&self) -> Option<&str> {
        match self {
            Self::Usage(message) | Self::NothingReceived(message) | Self::Failed(message) => Some(message),
            Self::Interrupted | Self::ClosedPipe => None,
        }
    }
}

/// Only output is written through `io` without a better error of its own.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::Failed(format!("the output could not be written: {error}")),
        }
    }
}

impl From<hoga::Error> for Failure {
    fn from(error: hoga::Error) -> Self {
        match error {
            hoga::Error::Configuration(_) | hoga::Error::InvalidArgument(_) | hoga::Error::Subscription(_) => {
                Self::Usage(with_causes(&error))
            }
            other => Self::Failed(with_causes(&other)),
        }
    }
}

/// An error and its causes in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl From<rounds::Error> for Failure {
    fn from(error: rounds::Error) -> Self {
        match error {
            rounds::Error::Interrupted => Self::Interrupted,
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Prints what there is to say instead of running a command: the help or the version that was asked for, or what is wrong
/// with the arguments.
pub fn without_a_command(program: &str, answer: &clap::Error) -> ExitCode {
    let printed = answer.print().and_then(|()| io::stdout().flush());
    if answer.use_stderr() {
        // stderr may be closed; the exit code still tells.
        return ExitCode::from(Failure::Usage(String::new()).code());
    }
    code(program, printed.map_err(Failure::from))
}

/// Says what went wrong in the program of this name, if anything did, and with which code it ends.
pub fn code(program: &str, end: Result<(), Failure>) -> ExitCode {
    let Err(failure) = end else { return ExitCode::SUCCESS };
    if let Some(message) = failure.message() {
        // stderr may be closed as well; the exit code still tells.
        let _ = writeln!(io::stderr(), "{program}: {message}");
    }
    ExitCode::from(failure.code())
}
