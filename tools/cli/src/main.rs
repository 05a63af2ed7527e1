//! The `hoga` command.
fn main() {}
