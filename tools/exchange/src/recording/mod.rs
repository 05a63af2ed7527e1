//! Recordings of the exchange's messages: files of any recorder, with one message in each line. Reads the lines, and
//! counts those without a message.

mod contents;
mod line;
mod message;

pub use contents::Contents;
pub use message::{Content, Message};

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// The longest line that is read, in bytes. The exchange's messages have a few KB.
const LINE_MAX: u64 = 16 << 20;

/// A recording that is read line by line. A line has a message as the exchange sends it, in any of its formats, or as
/// `hoga watch --json` prints it. The message may be alone, in quotes, between stamps without braces, or in objects that
/// have no other message, as in the log of `hoga exchange`.
pub struct Recording {
    name: String,
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    contents: Contents,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("name", &self.name).field("contents", &self.contents).finish_non_exhaustive()
    }
}

impl Recording {
    /// Opens a file or a named pipe. Refuses devices, which may never end.
    ///
    /// # Errors
    /// If it cannot be opened. Every error of a recording has its name.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let open = || {
            let kind = fs::metadata(path)?.file_type();
            if !kind.is_file() && !kind.is_fifo() {
                return Err(Error::new(ErrorKind::InvalidInput, "this is not a file"));
            }
            File::open(path)
        };
        match open() {
            Ok(file) => Ok(Self::new(&name, BufReader::new(file))),
            Err(error) => Err(Error::new(error.kind(), format!("{name}: {error}"))),
        }
    }

    /// Returns a recording that is read from `reader`. Its name is only used in messages.
    pub fn new(name: &str, reader: impl BufRead + 'static) -> Self {
        Self { name: name.to_owned(), reader: Box::new(reader), line: Vec::new(), contents: Contents::default() }
    }

    /// Returns the next message, or `None` at the end. Counts the other lines by kind.
    ///
    /// # Errors
    /// If the recording cannot be read, or a line is too long.
    pub fn next_message(&mut self) -> Result<Option<Message>> {
        while self.next_line()? {
            match line::message(&self.line) {
                Ok(message) => {
                    self.contents.messages += 1;
                    return Ok(Some(message));
                }
                Err(what) => self.count_other(what),
            }
        }
        Ok(None)
    }

    /// Counts the message that was returned last as a line of another kind, because the caller has no use for it.
    pub fn refuse(&mut self, what: &'static str) {
        self.contents.messages -= 1;
        self.count_other(what);
    }

    /// Ends the reading and returns what was read.
    ///
    /// # Errors
    /// If there was no message. The error says what was there instead.
    pub fn finish(self) -> Result<Contents> {
        let Self { name, contents, .. } = self;
        match contents {
            Contents { messages: 1.., .. } => Ok(contents),
            Contents { lines: 0, .. } => Err(Error::new(ErrorKind::InvalidData, format!("{name}: the file is empty"))),
            Contents { lines, .. } => {
                let why = format!("{name}: no message of the exchange in {lines} lines: {}", contents.others());
                Err(Error::new(ErrorKind::InvalidData, why))
            }
        }
    }

    fn next_line(&mut self) -> Result<bool> {
        self.line.clear();
        let read = self.reader.by_ref().take(LINE_MAX + 1).read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| Error::new(error.kind(), format!("{}: {error}", self.name)))?;
        self.contents.lines += u64::from(read > 0);
        if read as u64 > LINE_MAX {
            let why = format!("the line is longer than {LINE_MAX} bytes: this is not a recording of messages");
            return Err(Error::new(ErrorKind::InvalidData, format!("{}:{}: {why}", self.name, self.contents.lines)));
        }
        Ok(read > 0)
    }

    fn count_other(&mut self, what: &'static str) {
        let line = self.contents.lines;
        self.contents.count_other(what, || format!("{}:{line}", self.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, repeat};

    const TRADE: &str = r#"{"type":"trade","code":"KRW-BTC"}"#;

    fn recording(text: &str) -> Recording {
        Recording::new("x", Cursor::new(text.to_owned()))
    }

    fn texts(recording: &mut Recording) -> Vec<String> {
        std::iter::from_fn(|| recording.next_message().unwrap()).map(|message| message.text).collect()
    }

    #[test]
    fn a_recording_has_messages_and_counts_the_other_lines() {
        let text = format!("\u{feff}{TRADE}\r\n\r\n# x\r\n{TRADE}\r\n# y\n{}", &TRADE[..20]);
        let mut recording = recording(&text);
        assert_eq!(texts(&mut recording), [TRADE, TRADE]);
        let contents = recording.finish().unwrap();
        assert_eq!((contents.lines, contents.messages), (6, 2));
        assert_eq!(contents.others(), "2 comment (first at x:3), 1 cut (first at x:6), 1 empty (first at x:2)");
    }

    #[test]
    fn the_last_line_needs_no_end() {
        assert_eq!(texts(&mut recording(&format!("{TRADE}\n{TRADE}"))), [TRADE, TRADE]);
    }

    #[test]
    fn a_recording_without_a_message_is_an_error_that_says_what_is_there() {
        let error = |text: &str| {
            let mut recording = recording(text);
            while recording.next_message().unwrap().is_some() {
                recording.refuse("useless");
            }
            recording.finish().unwrap_err().to_string()
        };
        assert_eq!(error(""), "x: the file is empty");
        assert_eq!(error("\n\n"), "x: no message of the exchange in 2 lines: 2 empty (first at x:1)");
        assert_eq!(error(TRADE), "x: no message of the exchange in 1 lines: 1 useless (first at x:1)");
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut endless = Recording::new("x", BufReader::new(repeat(b'x')));
        assert!(endless.next_message().unwrap_err().to_string().starts_with("x:1: the line is longer"));
    }

    #[test]
    fn a_device_and_a_folder_are_refused() {
        for path in ["/dev/zero", "/"] {
            assert_eq!(Recording::open(path).unwrap_err().to_string(), format!("{path}: this is not a file"));
        }
    }
}
