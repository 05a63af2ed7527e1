//! The ground-truth log as a file: one JSON line for each data frame sent.

use crate::exchange::{ConnId, Observer};
use std::fs::File;
use std::io::{LineWriter, Result, Write};
use std::path::Path;

/// Writes `{"sent_ns":..,"conn":..,"frame":<payload>}` for each frame. The line is in the file once the frame has been
/// sent.
#[derive(Debug)]
pub struct LogFile {
    file: LineWriter<File>,
    failed: bool,
}

impl LogFile {
    /// Creates the file, or truncates it.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { file: LineWriter::with_capacity(64 * 1024, File::create(path)?), failed: false })
    }

    fn write(&mut self, sent_ns: u64, conn: ConnId, payload: &[u8]) -> Result<()> {
        write!(self.file, "{{\"sent_ns\":{sent_ns},\"conn\":{},\"frame\":", conn.0)?;
        self.file.write_all(payload)?;
        self.file.write_all(b"}\n")
    }
}

impl Observer for LogFile {
    fn sent(&mut self, sent_ns: u64, conn: ConnId, payload: &[u8]) {
        if self.failed {
            return;
        }
        if let Err(error) = self.write(sent_ns, conn, payload) {
            // Logged once. A full disk must not stop the exchange, but a log with gaps is not the ground truth.
            tracing::error!(%error, "the ground-truth log ends here");
            self.failed = true;
        }
    }
}
