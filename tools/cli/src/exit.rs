//! The exit codes of the process, and the line on stderr for each failure.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use crate::rounds;

/// The exit code after SIGINT or SIGTERM: 128 plus the number of SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The arguments, the files or the configuration are invalid.
    Usage(String),
    /// Nothing was received in time.
    NothingReceived(String),
    /// SIGINT or SIGTERM arrived.
    Interrupted,
    /// The reader of the output closed it. This counts as success: `hoga watch … | head -1` ends this way.
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

/// Treats an `io::Error` as a failure to write output, because all other callers convert theirs.
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

/// Returns an error and its causes in one line.
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

/// Prints the help, the version or the error that `clap` returned instead of a command. Returns the exit code.
pub fn without_a_command(program: &str, answer: &clap::Error) -> ExitCode {
    let printed = answer.print().and_then(|()| io::stdout().flush());
    if answer.use_stderr() {
        // stderr may be closed; the exit code still reports the error.
        return ExitCode::from(Failure::Usage(String::new()).code());
    }
    code(program, printed.map_err(Failure::from))
}

/// Prints the failure, if there is one, in the name of `program`. Returns the exit code.
pub fn code(program: &str, end: Result<(), Failure>) -> ExitCode {
    let Err(failure) = end else { return ExitCode::SUCCESS };
    if let Some(message) = failure.message() {
        // stderr may be closed as well; the exit code still reports the failure.
        let _ = writeln!(io::stderr(), "{program}: {message}");
    }
    ExitCode::from(failure.code())
}
