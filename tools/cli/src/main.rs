//! The `hoga` command. All of it is in the library, which `hoga-bench` uses as well.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    hoga_cli::main()
}
