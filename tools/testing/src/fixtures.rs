//! The messages and requests of our own in `tests/fixtures`, and recorded traffic where there is some.
//!
//! | file | what is in it, a line each |
//! | --- | --- |
//! | `data.FORMAT.jsonl` | tickers, trades, books, and candles of every unit; the same messages in each format |
//! | `other.FORMAT.jsonl` | messages of an account, announcements, indicators |
//! | `control.jsonl` | statuses, errors, answers to `LIST_SUBSCRIPTIONS` |
//! | `requests.jsonl` | requests, and what the exchange must answer first |

use std::path::{Path, PathBuf};

/// The folder of our own files.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// The lines of one of our own files.
///
/// # Panics
///
/// If there is no such file.
pub fn lines(name: &str) -> Vec<String> {
    let path = folder().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(str::to_owned).collect()
}

/// The folder that the environment variable `HOGA_CAPTURES` names: recorded traffic of the exchange, which is not part of
/// the project. Tests that know it read it in addition to our own files.
pub fn captures() -> Option<PathBuf> {
    std::env::var_os("HOGA_CAPTURES").map(PathBuf::from)
}
