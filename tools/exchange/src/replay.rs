//! Recorded messages that are served unchanged.

use crate::calendar::MS;
use crate::config::Pace;
use crate::recording::{Content, Contents, Message, Recording};
use crate::request::{Kind, Want};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::Result;
use std::path::Path;

/// Recorded messages, in file order, grouped by (type, code).
#[derive(Debug, Default)]
pub struct Replay {
    lines: Vec<Box<[u8]>>,
    /// Line numbers of each stream, ascending.
    streams: Vec<Vec<usize>>,
    by_name: HashMap<(String, String), usize>,
    contents: Contents,
}

impl Replay {
    /// Loads recordings. A list of messages belongs to the stream of its first message.
    ///
    /// # Errors
    /// If a file cannot be read, or has no message of a stream. The error names the file.
    pub fn load<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self> {
        let mut replay = Self::default();
        for path in paths {
            replay.add(Recording::open(path)?)?;
        }
        Ok(replay)
    }

    /// Adds the messages of one recording.
    ///
    /// # Errors
    /// Same as [`load`](Self::load).
    pub fn add(&mut self, mut recording: Recording) -> Result<()> {
        while let Some(Message { text, content }) = recording.next_message()? {
            match content {
                Content::Data { kind, code: Some(code) } if Kind::named(&kind).is_some() => {
                    self.push((kind, code), &text);
                }
                Content::Data { .. } => recording.refuse("message of another type"),
                Content::Control(name) => recording.refuse(name),
            }
        }
        self.contents.add(recording.finish()?);
        Ok(())
    }

    fn push(&mut self, key: (String, String), text: &str) {
        let stream = *self.by_name.entry(key).or_insert(self.streams.len());
        if stream == self.streams.len() {
            self.streams.push(Vec::new());
        }
        self.streams[stream].push(self.lines.len());
        self.lines.push(text.as_bytes().into());
    }

    /// What the recordings contain, including the lines that cannot be replayed.
    pub fn contents(&self) -> &Contents {
        &self.contents
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

/// Returns the code of an order book without the `.n` that requests units. Codes of other types have no such suffix.
fn bare(kind: Kind, code: &str) -> &str {
    match (kind, code.split_once('.')) {
        (Kind::Orderbook, Some((code, _))) => code,
        _ => code,
    }
}

/// The maximum delay that a replay makes up for by sending faster, in ns.
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
    use std::io::Cursor;

    #[test]
    fn lines_of_any_format_are_grouped_by_type_and_code() {
        let mut replay = Replay::default();
        let text = concat!(
            "{\"type\":\"trade\",\"code\":\"KRW-BTC\"}\n\n",
            "[{\"ty\":\"trade\",\"cd\":\"KRW-BTC\"}]\n",
            "{\"cd\":\"KRW-ETH\",\"ty\":\"orderbook\"}\n"
        );
        replay.add(Recording::new("x.jsonl", Cursor::new(text))).unwrap();
        assert_eq!(replay.len(), 3);
        assert_eq!(replay.streams[replay.stream("trade", "KRW-BTC").unwrap()], [0, 1]);
        assert!(replay.stream("orderbook", "KRW-ETH").is_some() && replay.stream("ticker", "KRW-BTC").is_none());
    }

    #[test]
    fn messages_that_cannot_be_subscribed_are_counted_and_not_replayed() {
        let mut replay = Replay::default();
        let others = "{\"status\":\"UP\"}\n{\"type\":\"myAsset\"}\n{\"type\":\"myOrder\",\"code\":\"KRW-BTC\"}\n";
        let text = format!("{others}{{\"type\":\"trade\",\"code\":\"KRW-BTC\"}}\n");
        replay.add(Recording::new("x", Cursor::new(text))).unwrap();
        assert_eq!((replay.len(), replay.contents().lines), (1, 4));
        let counted = "2 message of another type (first at x:2), 1 status (first at x:1)";
        assert_eq!(replay.contents().others(), counted);
        let error = replay.add(Recording::new("y", Cursor::new(others))).unwrap_err().to_string();
        assert!(error.starts_with("y: no message of the exchange in 3 lines: 2 message of"), "{error}");
    }
}
