//! Recorded lines that are served unchanged. Parses only as much of a line as is needed to find its stream.

use crate::calendar::MS;
use crate::config::Pace;
use crate::request::{Kind, Want};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Lines of recorded messages, in file order, grouped by (type, code).
#[derive(Debug, Default)]
pub struct Replay {
    lines: Vec<Box<[u8]>>,
    /// Line numbers of each stream, ascending.
    streams: Vec<Vec<usize>>,
    by_name: HashMap<(String, String), usize>,
}

impl Replay {
    /// Loads JSONL files, one message per line, in any of the four formats. A list belongs to the stream of its first
    /// element.
    ///
    /// # Errors
    /// If a file cannot be read, or a line has no type and code. The error names the file, the line and the remedy.
    pub fn load<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self> {
        let mut replay = Self::default();
        for path in paths {
            let name = path.as_ref().display().to_string();
            let text = read(path.as_ref()).map_err(|error| Error::new(error.kind(), format!("{name}: {error}")))?;
            replay.add(&name, &text)?;
        }
        Ok(replay)
    }

    /// Adds the lines of one file. `name` is only used in errors.
    ///
    /// # Errors
    /// If a line has no type and code.
    pub fn add(&mut self, name: &str, text: &str) -> Result<()> {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let key = stream_of(line).ok_or_else(|| {
                let line = index + 1;
                let remedy = "each line must be one message with a type (or ty) and a code (or cd); remove this line";
                Error::new(ErrorKind::InvalidData, format!("{name}:{line}: no type and code found: {remedy}"))
            })?;
            let stream = *self.by_name.entry(key).or_insert(self.streams.len());
            if stream == self.streams.len() {
                self.streams.push(Vec::new());
            }
            self.streams[stream].push(self.lines.len());
            self.lines.push(line.as_bytes().into());
        }
        Ok(())
    }

    /// The number of lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the (type, code) pairs that can be subscribed, in no particular order.
    pub fn streams(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_name.keys().map(|(kind, code)| (kind.as_str(), code.as_str()))
    }

    pub(crate) fn stream(&self, kind: &str, code: &str) -> Option<usize> {
        self.by_name.get(&(kind.to_owned(), code.to_owned())).copied()
    }
}

/// Reads a file or a named pipe. Refuses devices, which may never end.
fn read(path: &Path) -> Result<String> {
    let kind = fs::metadata(path)?.file_type();
    if !kind.is_file() && !kind.is_fifo() {
        return Err(Error::new(ErrorKind::InvalidInput, "this is not a file"));
    }
    fs::read_to_string(path)
}

fn stream_of(line: &str) -> Option<(String, String)> {
    let value: Value = serde_json::from_str(line).ok()?;
    let object = value.as_array().map_or(Some(&value), |list| list.first())?.as_object()?;
    let text = |long: &str, short: &str| object.get(long).or_else(|| object.get(short))?.as_str().map(str::to_owned);
    Some((text("type", "ty")?, text("code", "cd")?))
}

/// Returns the code of an order book without the `.n` that requests units. Codes of other types have no such suffix.
fn bare(kind: Kind, code: &str) -> &str {
    match (kind, code.split_once('.')) {
        (Kind::Orderbook, Some((code, _))) => code,
        _ => code,
    }
}

/// The maximum delay that a replay makes up for, in ns.
const CATCH_UP: u64 = 100 * MS;

/// The position of one connection in the replay. Lines that it has received are not sent again after another request,
/// unless the replay loops.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    /// The number of lines delivered for each stream.
    delivered: HashMap<usize, usize>,
    /// The next line of each subscribed stream, lowest first, which is file order over all of them.
    next: BinaryHeap<Reverse<(usize, usize)>>,
    subscribed: Vec<usize>,
    due: u64,
}

impl Cursor {
    /// Subscribes the replayed streams of a new request. The request's options do not filter recorded lines.
    pub fn subscribe(&mut self, replay: &Replay, wants: &[Want], loops: bool, now: u64) {
        let codes = wants.iter().flat_map(|want| want.codes.iter().map(move |code| (want.kind, code)));
        self.subscribed = codes.filter_map(|(kind, code)| replay.stream(kind.name(), bare(kind, code))).collect();
        self.subscribed.sort_unstable();
        self.subscribed.dedup();
        self.due = self.due.max(now);
        self.queue(replay);
        self.loop_at_end(replay, loops);
    }

    fn queue(&mut self, replay: &Replay) {
        let next_of = |stream: &usize| {
            let delivered = self.delivered.get(stream).copied().unwrap_or(0);
            replay.streams[*stream].get(delivered).map(|line| Reverse((*line, *stream)))
        };
        self.next = self.subscribed.iter().filter_map(next_of).collect();
    }

    /// Restarts the subscribed streams once all of them are at their end.
    fn loop_at_end(&mut self, replay: &Replay, loops: bool) {
        if self.next.is_empty() && loops {
            for stream in &self.subscribed {
                self.delivered.remove(stream);
            }
            self.queue(replay);
        }
    }

    /// The time at which the next line may be sent; `None` if there is none.
    pub fn due(&self) -> Option<u64> {
        (!self.next.is_empty()).then_some(self.due)
    }

    /// Takes the next line if it is due.
    pub fn take<'a>(&mut self, replay: &'a Replay, pace: Pace, loops: bool, now: u64) -> Option<&'a [u8]> {
        if self.due()? > now {
            return None;
        }
        let Reverse((line, stream)) = self.next.pop()?;
        let delivered = self.delivered.entry(stream).or_insert(0);
        *delivered += 1;
        if let Some(line) = replay.streams[stream].get(*delivered) {
            self.next.push(Reverse((*line, stream)));
        }
        self.loop_at_end(replay, loops);
        if let Pace::PerSecond(rate) = pace {
            let step = (1e9 / rate.max(1e-3)) as u64;
            // Catches up after a late timer, but not after a longer pause of the reader. Then the pace starts from
            // here.
            self.due = self.due.max(now.saturating_sub(CATCH_UP.max(step))) + step;
        }
        Some(&replay.lines[line])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_any_format_are_grouped_by_type_and_code() {
        let mut replay = Replay::default();
        let text = concat!(
            "{\"type\":\"trade\",\"code\":\"KRW-BTC\"}\n\n",
            "[{\"ty\":\"trade\",\"cd\":\"KRW-BTC\"}]\n",
            "{\"cd\":\"KRW-ETH\",\"ty\":\"orderbook\"}\n"
        );
        replay.add("x.jsonl", text).unwrap();
        assert_eq!(replay.len(), 3);
        assert_eq!(replay.streams[replay.stream("trade", "KRW-BTC").unwrap()], [0, 1]);
        assert!(replay.stream("orderbook", "KRW-ETH").is_some() && replay.stream("ticker", "KRW-BTC").is_none());
    }

    #[test]
    fn a_line_without_type_and_code_is_refused_with_its_number_and_a_remedy() {
        let text = "{\"type\":\"trade\",\"code\":\"KRW-BTC\"}\n{\"status\":\"UP\"}\n";
        let error = Replay::default().add("x.jsonl", text).unwrap_err().to_string();
        assert!(error.starts_with("x.jsonl:2:") && error.contains("remove this line"), "{error}");
    }
}
