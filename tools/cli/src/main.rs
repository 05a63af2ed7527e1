//! The `hoga` command. Its code is in the library, which `hoga-bench` also uses.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    hoga_cli::main()
}
