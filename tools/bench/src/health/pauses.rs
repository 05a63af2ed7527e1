//! The pauses between the messages of a market: their shape from recordings if there are any, otherwise a heavy tail.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hoga_exchange::{Content, Recording};
use hoga_testing::Rng;

/// A stream of a recording counts if it has at least this many pauses.
const PAUSES_MIN: usize = 20;
/// Longer pauses are ends of a recording.
const PAUSE_MAX_MS: u64 = 3_600_000;

/// Pauses, each as a multiple of the mean of its stream.
#[derive(Default)]
pub struct Pauses {
    trades: Vec<f64>,
    books: Vec<f64>,
}

impl Pauses {
    /// Reads all recordings in a folder and its folders. Files that are no recording have no messages.
    pub fn recorded(folder: &Path) -> Self {
        let mut all = Self::default();
        all.add_folder(folder);
        all
    }

    fn add_folder(&mut self, folder: &Path) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        // The order decides which pause a random number stands for.
        paths.sort();
        for path in paths {
            if path.is_dir() {
                self.add_folder(&path);
            } else if path.extension().is_some_and(|extension| extension == "jsonl") {
                self.add_file(&path);
            }
        }
    }

    fn add_file(&mut self, path: &Path) {
        let mut streams: BTreeMap<(bool, String), Vec<u64>> = BTreeMap::new();
        let Ok(mut recording) = Recording::open(path) else { return };
        while let Ok(Some(message)) = recording.next_message() {
            let Content::Data { kind, code: Some(code) } = message.content else { continue };
            if kind == "trade" || kind == "orderbook" {
                streams.entry((kind == "trade", code)).or_default().extend(timestamp(&message.text));
            }
        }
        for ((is_trade, _), times) in streams {
            let pauses = if is_trade { &mut self.trades } else { &mut self.books };
            pauses.extend(shape(times));
        }
    }

    /// Returns the number of recorded pauses between trades and between books.
    pub fn recorded_counts(&self) -> (usize, usize) {
        (self.trades.len(), self.books.len())
    }

    /// Returns a pause between two trades, in ms.
    pub fn of_trades(&self, random: &mut Rng, mean_ms: f64) -> u64 {
        pause(&self.trades, random, mean_ms)
    }

    /// Returns a pause between two changes of a book, in ms.
    pub fn of_books(&self, random: &mut Rng, mean_ms: f64) -> u64 {
        pause(&self.books, random, mean_ms)
    }
}

fn pause(recorded: &[f64], random: &mut Rng, mean_ms: f64) -> u64 {
    let multiple = if recorded.is_empty() {
        // Each 8 times as long is 22 times as rare.
        0.5 * (unit(random).powf(-1.0 / 1.5) - 1.0)
    } else {
        *random.pick(recorded)
    };
    (mean_ms * multiple).max(1.0) as u64
}

/// Returns a number from 0 to 1, never 0.
pub fn unit(random: &mut Rng) -> f64 {
    ((random.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
}

/// Returns the exchange's time of a message, in ms.
fn timestamp(text: &str) -> Option<u64> {
    let message: serde_json::Value = serde_json::from_str(text).ok()?;
    let message = message.get(0).unwrap_or(&message);
    let time = message.get("timestamp").or(message.get("tms"))?.as_u64()?;
    // In microseconds, as the exchange once sent it.
    Some(if time > 100_000_000_000_000 { time / 1000 } else { time })
}

/// Returns the pauses of a stream as multiples of their mean. Messages of one time belong together.
fn shape(mut times: Vec<u64>) -> Vec<f64> {
    times.sort_unstable();
    times.dedup();
    let pauses = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|pause| *pause < PAUSE_MAX_MS);
    let pauses: Vec<_> = pauses.map(|pause| pause as f64).collect();
    if pauses.len() < PAUSES_MIN {
        return Vec::new();
    }
    let mean = pauses.iter().sum::<f64>() / pauses.len() as f64;
    pauses.into_iter().map(|pause| pause / mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_pauses_keep_their_shape_and_short_streams_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let line = |ms: u64| format!(r#"{{"type":"trade","code":"KRW-BTC","timestamp":{ms}}}"#);
        let times = (0..31).map(|n| 1_700_000_000_000 + n * 1000 + if n % 2 == 0 { 0 } else { 500 });
        let text: Vec<_> = times.map(line).collect();
        fs::write(folder.path().join("a.jsonl"), text.join("\n")).unwrap();
        fs::write(folder.path().join("b.jsonl"), text[..5].join("\n")).unwrap();
        let pauses = Pauses::recorded(folder.path());
        assert_eq!(pauses.recorded_counts(), (30, 0));
        assert!(pauses.trades.iter().all(|pause| [0.5, 1.5].contains(pause)), "{:?}", pauses.trades);
    }

    #[test]
    fn a_heavy_tail_has_its_mean() {
        let (pauses, mut random) = (Pauses::default(), Rng::new(1));
        let total: u64 = (0..200_000).map(|_| pauses.of_trades(&mut random, 1000.0)).sum();
        assert!((800..1200).contains(&(total / 200_000)), "{}", total / 200_000);
    }
}
