//! Prints a text to stdout in one piece. Code that prints in several pieces locks and flushes stdout itself.

use std::io::{self, Write};

/// Prints and flushes a text.
///
/// # Errors
/// If stdout does not accept all of it.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
