//! `hoga bench`: replaces this process with `hoga-bench`, which is a separate program, so that code that only measures
//! is not part of this command.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::iter::repeat_n;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::exit::Failure;

const PROGRAM: &str = "hoga-bench";

/// Executes `hoga-bench`, which must be in the same directory as this program. Returns only if that fails.
pub fn run(args: &[OsString], verbose: u8) -> Result<(), Failure> {
    let here = env::current_exe().map_err(|e| Failure::Failed(format!("the path of this program is unknown: {e}")))?;
    let program = here.with_file_name(PROGRAM);
    let error = Command::new(&program).args(repeat_n("-v", verbose.into())).args(args).exec();
    Err(match error.kind() {
        ErrorKind::NotFound => Failure::Usage(format!(
            "{PROGRAM} is not built: `cargo build --profile bench -p {PROGRAM}` builds it; it must be {}",
            program.display()
        )),
        _ => Failure::Failed(format!("{} could not be started: {error}", program.display())),
    })
}
