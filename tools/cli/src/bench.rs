//! `hoga bench`: executes the program `hoga-bench`, which lies beside this one if it has been built. Code that only
//! measures is not part of this command.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::iter::repeat_n;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::exit::Failure;

const PROGRAM: &str = "hoga-bench";

/// Returns only if there is no such program.
pub fn run(args: &[OsString], verbose: u8) -> Result<(), Failure> {
    let here =
        env::current_exe().map_err(|e| Failure::Failed(format!("this program does not know where it is: {e}")))?;
    let program = here.with_file_name(PROGRAM);
    let error = Command::new(&program).args(repeat_n("-v", verbose.into())).args(args).exec();
    Err(match error.kind() {
        ErrorKind::NotFound => Failure::Usage(format!(
            "{PROGRAM} is not built: `cargo build --profile bench -p {PROGRAM}` puts it beside this program, as {}",
            program.display()
        )),
        _ => Failure::Failed(format!("{} could not be started: {error}", program.display())),
    })
}
