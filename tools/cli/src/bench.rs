//! `hoga bench`, `hoga soak` and `hoga faults`: replace this process with `hoga-bench` or `hoga-soak`, which are separate programs, so
//! that code that only measures is not part of this command.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::iter::repeat_n;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::exit::Failure;

/// The package that has both programs.
const PACKAGE: &str = "hoga-bench";

/// Executes `hoga-bench`. Returns only if that fails.
pub fn bench(args: &[OsString], verbose: u8) -> Result<(), Failure> {
    run(PACKAGE, &[], args, verbose)
}

/// Executes a command of `hoga-soak`. Returns only if that fails.
pub fn soak(command: &str, args: &[OsString], verbose: u8) -> Result<(), Failure> {
    run("hoga-soak", &[command], args, verbose)
}

/// Executes a program, which must be in the same directory as this one.
fn run(name: &str, command: &[&str], args: &[OsString], verbose: u8) -> Result<(), Failure> {
    let here = env::current_exe().map_err(|e| Failure::Failed(format!("the path of this program is unknown: {e}")))?;
    let program = here.with_file_name(name);
    let error = Command::new(&program).args(repeat_n("-v", verbose.into())).args(command).args(args).exec();
    Err(match error.kind() {
        ErrorKind::NotFound => Failure::Usage(format!(
            "{name} is not built: `cargo build --profile bench -p {PACKAGE}` builds it; it must be {}",
            program.display()
        )),
        _ => Failure::Failed(format!("{} could not be started: {error}", program.display())),
    })
}
