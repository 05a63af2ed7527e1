//! Prints a text to stdout in one piece. Code that prints bit by bit takes the lock and flushes itself.

use std::io::{self, Write};

/// Prints all of a text, or says why not.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
