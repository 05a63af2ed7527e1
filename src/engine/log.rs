//! What the engine writes to the program's log, on a thread that does nothing else.
//!
//! The program chooses where its log goes, and that may be slow or stuck: a full disk, a pipe that nobody reads. So no
//! other thread of the engine calls `tracing`. They leave a note in a bounded queue and go on; what does not fit is
//! counted, and the log says how many lines are missing once it takes lines again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::lifecycle::LifecycleEvent;
use crate::call::drop_quietly;
use crate::error::Error;
use crate::model::{ConnectionId, Format, Nanos, StreamKey};
use crate::net::{LedgerWarning, SourceError};
use crate::session::{Event, FormatReason};
use crate::sync::lossy::{self, Reader, Writer};
use crate::wire::{DecodeError, ServerError};

/// Notes of one thread that wait to be written.
const PENDING_MAX: usize = 256;
/// How often a line of the same kind may come from one connection, where the exchange decides how often there is one.
const REPEAT_AFTER: Duration = Duration::from_secs(1);

/// Something to be written.
#[derive(Debug)]
pub(super) enum Note {
    /// A change of the state of a connection.
    Lifecycle(LifecycleEvent),
    /// The exchange answered with errors.
    ServerErrors(ConnectionId, Counted<ServerError>),
    /// Messages could not be read.
    Malformed(ConnectionId, Counted<DecodeError>),
    /// The system does not let this connection's thread run on this core alone.
    NotPinned(ConnectionId, usize),
    /// The file that counts connects is of no use.
    Ledger(LedgerWarning),
    /// A connection's format was changed by a rule.
    Format(NewFormat),
    /// Clients that did not renew their leases.
    Overdue(Vec<Box<str>>),
    /// Clients that have lost what they held.
    Reaped(Vec<Box<str>>),
    /// Streams of which nothing came.
    Unconfirmed(Vec<StreamKey>),
    /// Which markets exist could not be found out.
    NoMarkets(SourceError),
    /// How many entries of the list of markets are none.
    NotMarkets(u64),
    /// A callback failed too often in a row, the last time with these words.
    Quarantined(Box<str>, String),
    /// The engine was dropped, and this is what its shutdown found.
    BadEnd(Error),
}

/// A format that a rule has chosen.
#[derive(Debug)]
pub(super) struct NewFormat {
    pub connection: usize,
    pub format: Format,
    pub reason: FormatReason,
}

/// Something that happened several times, and the last of them.
#[derive(Debug, PartialEq)]
pub(super) struct Counted<T> {
    count: u64,
    last: T,
}

/// Counts what may come in floods, and says when a note is due: for the first at once, then for all that came within
/// [`REPEAT_AFTER`].
#[derive(Debug)]
pub(super) struct Flood<T> {
    waiting: Option<Counted<T>>,
    due: Nanos,
}

impl<T> Default for Flood<T> {
    fn default() -> Self {
        Self { waiting: None, due: Nanos::default() }
    }
}

impl<T> Flood<T> {
    /// It happened again.
    pub fn add(&mut self, last: T) {
        let count = self.waiting.as_ref().map_or(0, |waiting| waiting.count) + 1;
        self.waiting = Some(Counted { count, last });
    }

    /// Something is to be noted now or later.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// What is to be noted now, if something is.
    pub fn take_due(&mut self, now: Nanos) -> Option<Counted<T>> {
        if !self.is_waiting() || now < self.due {
            return None;
        }
        self.due = now + REPEAT_AFTER;
        self.take()
    }

    /// What was not noted yet.
    pub fn take(&mut self) -> Option<Counted<T>> {
        self.waiting.take()
    }
}

/// Where every thread of the engine may leave a note that has no queue of its own. Nobody waits for the log.
pub(super) struct Log(Mutex<Option<Writer<Note>>>);

impl Log {
    /// The log, a queue for each connection, and the end from which the notes are read.
    pub fn new(connections: usize) -> (Self, Vec<Writer<Note>>, Reader<Note>) {
        let (mut writers, notes) = lossy::queue(connections + 1, PENDING_MAX);
        (Self(Mutex::new(writers.pop())), writers, notes)
    }

    /// Leaves a note. After the engine's end there is nobody to write it.
    pub fn note(&self, note: Note) {
        if let Some(writer) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            writer.push(note);
        }
    }

    /// Nobody will leave anything any more.
    pub fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Writes what comes until nobody can leave notes any more. A log that panics harms nobody else.
pub(super) fn write_all(notes: &Reader<Note>) {
    let mut told = 0;
    while let Some(note) = notes.pop_within(Duration::MAX) {
        let lost = notes.lost();
        let missing = lost - std::mem::replace(&mut told, lost);
        let write = || {
            if missing > 0 {
                tracing::warn!("{missing} lines are missing here: the log took lines too slowly");
            }
            note.write();
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(write)) {
            drop_quietly(panic);
        }
    }
}

impl Note {
    fn write(&self) {
        match self {
            Self::Lifecycle(LifecycleEvent { connection, event }) => write_lifecycle(*connection, event),
            Self::ServerErrors(connection, Counted { count: 1, last }) => {
                tracing::warn!(%connection, "the exchange answered {last}");
            }
            Self::ServerErrors(connection, Counted { count, last }) => {
                tracing::warn!(%connection, "the exchange answered {count} times with an error, the last one {last}");
            }
            Self::Malformed(connection, Counted { count: 1, last }) => {
                tracing::debug!(%connection, "a message was refused: {last}");
            }
            Self::Malformed(connection, Counted { count, last }) => {
                tracing::debug!(%connection, "{count} messages were refused, the last one: {last}");
            }
            Self::NotPinned(connection, core) => {
                tracing::warn!(%connection, "the system refused to pin this connection's thread to core {core}");
            }
            Self::Ledger(LedgerWarning { path, text }) => tracing::warn!(path = %path.display(), "{text}"),
            Self::Format(new) => new.write(),
            Self::Overdue(names) => names.iter().for_each(|name| {
                tracing::warn!("client \"{}\" did not renew its lease in time", name.escape_debug());
            }),
            Self::Reaped(names) => names.iter().for_each(|name| {
                tracing::warn!("client \"{}\" lost what it held: its lease has run out", name.escape_debug());
            }),
            Self::Unconfirmed(streams) => streams.iter().for_each(|key| {
                tracing::warn!("nothing came for {key}, asked for twice: an unknown or suspended market");
            }),
            Self::NoMarkets(error) => tracing::warn!("{error}"),
            Self::NotMarkets(count) => {
                tracing::warn!("{count} entries of the list of markets have no usable market code");
            }
            Self::Quarantined(name, failure) => {
                let name = name.escape_debug();
                tracing::warn!("callback \"{name}\" is quarantined, it failed too often in a row: {failure}");
            }
            Self::BadEnd(error) => tracing::error!("{error}"),
        }
    }
}

fn write_lifecycle(connection: ConnectionId, event: &Event) {
    match event {
        Event::State { from, to, epoch, .. } => tracing::debug!(%connection, %epoch, "{from} -> {to}"),
        Event::Disconnected { reason, epoch, .. } => {
            tracing::info!(%connection, %epoch, reason = reason.code(), "{reason}")
        }
        _ => {}
    }
}

impl NewFormat {
    fn write(&self) {
        let Self { connection, format, reason } = self;
        let format = format.as_str();
        match reason {
            FormatReason::WentBack { .. } => tracing::warn!(connection, "back to format {format}: {reason}"),
            _ => tracing::info!(connection, "format {format} from now on: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + ms)
    }

    #[test]
    fn of_a_flood_the_first_is_noted_at_once_and_the_others_are_counted() {
        let mut flood = Flood::default();
        let mut noted = Vec::new();
        for ms in 0..3500 {
            flood.add(ms);
            noted.extend(flood.take_due(at(ms)));
        }
        let expected = [(1, 0), (1000, 1000), (1000, 2000), (1000, 3000)].map(|(count, last)| Counted { count, last });
        assert_eq!(noted, expected);
        assert_eq!(flood.take_due(at(3999)), None, "too soon");
        assert_eq!(flood.take_due(at(4000)), Some(Counted { count: 499, last: 3499 }), "told although no more came");
        assert_eq!((flood.take_due(at(9000)), flood.take()), (None, None));
    }

    /// A call of `tracing` elsewhere would wait for the reader of the log.
    #[test]
    fn only_this_file_logs() {
        fn files(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { files(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let logs = |path: &Path| fs::read_to_string(path).unwrap().contains("tracing::");
        let mut loud: Vec<_> = found.into_iter().filter(|path| logs(path)).collect();
        loud.retain(|path| !path.ends_with("engine/log.rs"));
        assert!(loud.is_empty(), "{loud:?}");
    }
}
