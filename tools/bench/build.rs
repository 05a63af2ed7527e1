//! Records the compiler and its flags: the same source compiled differently executes other instructions.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    let output = Command::new(rustc).arg("--version").output().expect("the compiler prints its version");
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().replace('\x1f', " ");
    println!("cargo::rustc-env=HOGA_RUSTC={version}");
    println!("cargo::rustc-env=HOGA_RUSTFLAGS={flags}");
    println!("cargo::rustc-env=HOGA_TARGET={}", env::var("TARGET").expect("cargo sets TARGET"));
    println!("cargo::rerun-if-changed=build.rs");
}
