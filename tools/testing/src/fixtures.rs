//! The messages and requests in `tests/fixtures`, and recorded traffic if there is some.
//!
//! | file | content, one item per line |
//! | --- | --- |
//! | `data.FORMAT.jsonl` | tickers, trades, order books, and candles of every unit; the same messages in each format |
//! | `other.FORMAT.jsonl` | account messages, announcements, indicators |
//! | `control.jsonl` | statuses, errors, answers to `LIST_SUBSCRIPTIONS` |
//! | `requests.jsonl` | requests, each with the kind or the error name of the exchange's first answer |

use std::path::{Path, PathBuf};

/// Returns the folder of the fixtures.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// Returns the lines of a fixture.
///
/// # Panics
///
/// If the file does not exist.
pub fn lines(name: &str) -> Vec<String> {
    let path = folder().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(str::to_owned).collect()
}

/// Returns the folder named by the environment variable `HOGA_CAPTURES`: recorded traffic of the exchange, which is not
/// part of the project. Some tests read it in addition to the fixtures.
pub fn captures() -> Option<PathBuf> {
    std::env::var_os("HOGA_CAPTURES").map(PathBuf::from)
}
