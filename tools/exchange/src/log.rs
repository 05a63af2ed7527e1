//! The ground-truth log as a file: one JSON line for each data frame sent.

use crate::exchange::{ConnId, Observer};
use std::fmt;
use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes `{"sent_ns":..,"conn":..,"frame":<payload>}` for each frame. The line is in the file once the frame has been
/// sent.
///
/// The log ends at the first line that cannot be written, because a log with gaps is not the ground truth. The exchange
/// goes on.
pub struct LogFile {
    path: PathBuf,
    file: File,
    /// Whether the file had a name when it was opened, so that it can be removed.
    was_linked: bool,
    line: Vec<u8>,
    /// The size and the number of the whole lines.
    size: u64,
    frames: u64,
    has_ended: bool,
    report: Box<dyn FnMut(&LogFailure) + Send>,
}

/// Why a log ended.
#[derive(Debug)]
pub struct LogFailure {
    path: PathBuf,
    reason: Error,
    frames: u64,
}

impl fmt::Display for LogFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; ", self.path.display(), self.reason)?;
        match self.frames {
            0 => write!(f, "no frame was written"),
            frames => write!(f, "the last frame that was written is number {frames}"),
        }
    }
}

impl fmt::Debug for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFile").field("path", &self.path).field("frames", &self.frames).finish_non_exhaustive()
    }
}

impl LogFile {
    /// Creates the file, or truncates it. Calls `report` at most once: when a line cannot be written.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: impl AsRef<Path>, report: impl FnMut(&LogFailure) + Send + 'static) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let file = File::create(&path)?;
        let was_linked = file.metadata()?.nlink() > 0;
        let report = Box::new(report);
        Ok(Self { path, file, was_linked, line: Vec::new(), size: 0, frames: 0, has_ended: false, report })
    }

    fn write(&mut self, sent_ns: u64, conn: ConnId, payload: &[u8]) -> Result<()> {
        self.line.clear();
        write!(self.line, "{{\"sent_ns\":{sent_ns},\"conn\":{},\"frame\":", conn.0)?;
        self.line.extend_from_slice(payload);
        self.line.extend_from_slice(b"}\n");
        self.file.write_all(&self.line)?;
        // A removed file accepts lines that nobody can read.
        if self.was_linked && self.file.metadata()?.nlink() == 0 {
            return Err(Error::new(ErrorKind::NotFound, "the file was removed"));
        }
        self.size += self.line.len() as u64;
        self.frames += 1;
        Ok(())
    }
}

impl Observer for LogFile {
    fn sent(&mut self, sent_ns: u64, conn: ConnId, payload: &[u8]) {
        if self.has_ended {
            return;
        }
        if let Err(reason) = self.write(sent_ns, conn, payload) {
            // Removes the part of the last line. Pipes and devices do not allow it.
            let _ = self.file.set_len(self.size);
            self.has_ended = true;
            (self.report)(&LogFailure { path: self.path.clone(), reason, frames: self.frames });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};
    use std::{env, fs, process};

    fn log(path: &Path) -> (LogFile, Receiver<String>) {
        let (report, reports) = channel();
        (LogFile::create(path, move |failure| report.send(failure.to_string()).unwrap()).unwrap(), reports)
    }

    #[test]
    fn a_device_that_is_full_is_reported_once() {
        if !Path::new("/dev/full").exists() {
            return println!("skipped: this system has no /dev/full");
        }
        let (mut log, reports) = log(Path::new("/dev/full"));
        for n in 0..3 {
            log.sent(n, ConnId(1), b"{}");
        }
        let reports: Vec<String> = reports.try_iter().collect();
        assert!(reports.len() == 1 && reports[0].starts_with("/dev/full: "), "{reports:?}");
        assert!(reports[0].ends_with("; no frame was written"), "{reports:?}");
    }

    #[test]
    fn a_removed_file_is_reported_with_the_last_frame() {
        let folder = env::temp_dir().join(format!("hoga-log-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log.jsonl");
        let (mut log, reports) = log(&path);
        log.sent(1, ConnId(1), b"{}");
        log.sent(2, ConnId(1), b"[]");
        let lines = "{\"sent_ns\":1,\"conn\":1,\"frame\":{}}\n{\"sent_ns\":2,\"conn\":1,\"frame\":[]}\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), lines);
        assert!(reports.try_recv().is_err());
        fs::remove_dir_all(folder).unwrap();
        log.sent(3, ConnId(1), b"{}");
        let why = "the file was removed; the last frame that was written is number 2";
        assert_eq!(reports.try_recv().unwrap(), format!("{}: {why}", path.display()));
    }
}
