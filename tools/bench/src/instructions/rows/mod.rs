//! The counted work: the path of a message from bytes to readers, in pieces.

mod decode;
mod frames;
mod pool;
mod route;
mod tls;

use std::panic::resume_unwind;
use std::thread;

use hoga::model::{ConnectionId, Epoch, Event, Nanos, Noun, Receipt, Sink, Ticker};
use hoga_bench::counting::{Work, count};

pub const RECEIPT: Receipt = Receipt { connection: ConnectionId(0), epoch: Epoch(1), received: Nanos(1) };

/// A piece of work that is counted and compared under a name.
pub struct Row {
    name: String,
    /// Operations in one run.
    times: usize,
    make: Box<dyn FnOnce() -> Box<dyn Work> + Send>,
}

impl Row {
    fn new<W: Work + 'static>(
        name: impl Into<String>,
        times: usize,
        make: impl FnOnce() -> W + Send + 'static,
    ) -> Self {
        Self { name: name.into(), times, make: Box::new(|| Box::new(make())) }
    }

    /// Returns the row's name, which says what is done to what.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs the work twice for callgrind, the second time counted. It runs on a new thread: unlike the main thread's
    /// stack, its stack does not move with the environment and the arguments.
    pub fn count(self) {
        let worker = thread::spawn(move || count(self.times, &mut *(self.make)()));
        if let Err(panic) = worker.join() {
            resume_unwind(panic);
        }
    }
}

/// Returns all rows.
pub fn all() -> Vec<Row> {
    [decode::rows(), frames::rows(), pool::rows(), vec![route::row(), tls::row()]].into_iter().flatten().collect()
}

/// Collects tickers.
#[derive(Default)]
struct Tickers(Vec<Ticker>);

impl Sink for Tickers {
    fn deliver<T: Noun>(&mut self, _: Receipt, message: &T) {
        if let Event::Ticker(ticker) = (*message).into() {
            self.0.push(ticker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_runs_without_valgrind() {
        all().into_iter().for_each(Row::count);
    }

    #[test]
    fn every_row_has_a_unique_name() {
        let names: std::collections::BTreeSet<_> = all().into_iter().map(|row| row.name).collect();
        assert_eq!(names.len(), all().len());
    }
}
