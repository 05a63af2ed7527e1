//! Writes the engine's lines to the program's log, on a thread that does nothing else.
//!
//! The program chooses where its log goes, and the target may be slow or stuck: a full disk, a pipe without a reader.
//! So no other thread of the engine calls `tracing`. Other threads put notes into a bounded queue and continue. Notes
//! that do not fit are counted, and the log reports the number of missing lines once it accepts lines again.

use std::fmt;
use std::iter::repeat_n;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::NetworkStatus;
use crate::call::drop_quietly;
use crate::error::Error;
use crate::model::{ConnectionId, Epoch, Format, Market, Severity, StreamKey};
use crate::net::{LedgerWarning, SourceError};
use crate::plan::ListDifference;
use crate::session::{Disconnect, Event, FailureCause, FormatReason, RecoveryRule};
use crate::sync::lossy::{self, Reader, Writer};

/// The maximum number of waiting notes per thread.
const PENDING_MAX: usize = 256;

/// A message for the log.
#[derive(Debug)]
pub(super) enum Note {
    /// An event of a connection.
    Lifecycle(ConnectionId, Event),
    /// The system refused to pin this connection's thread to this core.
    NotPinned(ConnectionId, usize),
    /// How the engine reaches the exchange.
    Network(NetworkStatus),
    /// The file that counts connects is unusable.
    Ledger(LedgerWarning),
    /// A selector changed the format of a connection.
    Format(NewFormat),
    /// Clients that did not renew their leases.
    Overdue(Vec<Box<str>>),
    /// Clients whose demand was released.
    Reaped(Vec<Box<str>>),
    /// Streams without data.
    Unconfirmed(Vec<StreamKey>),
    /// Streams that are left out because the exchange refuses requests for them, with its answer.
    LeftOut(Vec<StreamKey>, String),
    /// The exchange's list of a connection's subscriptions differs from the request.
    ListDiffers(usize, ListDifference),
    /// The source of markets failed.
    NoMarkets(SourceError),
    /// The number of entries in the list of markets that are not markets.
    NotMarkets(u64),
    /// Markets that a doubtful list lacks, and that stay.
    KeptMarkets(Vec<Market>),
    /// Markets that have left the list.
    Delisted(Vec<Market>),
    /// A callback failed too often in a row. The text describes the last failure.
    Quarantined(Box<str>, String),
    /// A panic damaged the control plane, which was rebuilt.
    Rebuilt,
    /// The engine was dropped, and its shutdown ended with this error.
    BadEnd(Error),
}

/// A format that a selector has chosen.
#[derive(Debug)]
pub(super) struct NewFormat {
    pub connection: usize,
    pub format: Format,
    pub reason: FormatReason,
}

/// The queue for threads that have no queue of their own. No thread waits for the log.
pub(super) struct Log(Mutex<Option<Writer<Note>>>);

impl Log {
    /// Creates the log, a queue for each connection, and the reading end of all notes.
    pub fn new(connections: usize) -> (Self, Vec<Writer<Note>>, Reader<Note>) {
        let (mut writers, notes) = lossy::queue(repeat_n(PENDING_MAX, connections + 1));
        (Self(Mutex::new(writers.pop())), writers, notes)
    }

    /// Adds a note. After the log is closed, notes are discarded.
    pub fn note(&self, note: Note) {
        if let Some(writer) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            writer.push(note);
        }
    }

    /// Closes the log: no more notes follow.
    pub fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Writes notes until all writing ends are closed. A panic of the program's log is contained.
pub(super) fn write_all(notes: &Reader<Note>) {
    let mut reported = 0;
    while let Some(note) = notes.pop_within(Duration::MAX) {
        let total_lost = notes.lost();
        let missing = total_lost - std::mem::replace(&mut reported, total_lost);
        let write = || {
            if missing > 0 {
                tracing::warn!("{missing} lines are missing here: the log accepted lines too slowly");
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
            Self::Lifecycle(connection, event) => write_lifecycle(*connection, event),
            Self::NotPinned(connection, core) => {
                tracing::warn!(%connection, "the system refused to pin this connection's thread to core {core}");
            }
            Self::Network(network) => tracing::info!("{network}"),
            Self::Ledger(LedgerWarning { path, text }) => tracing::warn!(path = %path.display(), "{text}"),
            Self::Format(new) => new.write(),
            Self::Overdue(names) => names.iter().for_each(|name| {
                tracing::warn!("client \"{}\" did not renew its lease in time", name.escape_debug());
            }),
            Self::Reaped(names) => names.iter().for_each(|name| {
                tracing::warn!("client \"{}\" lost its subscriptions: its lease has expired", name.escape_debug());
            }),
            Self::Unconfirmed(streams) => streams.iter().for_each(|key| {
                tracing::warn!(
                    "no data for {key} after two requests: the market may be unknown or suspended, or the exchange has \
                     stopped sending it"
                );
            }),
            Self::LeftOut(streams, reason) => tracing::error!(
                "the exchange refuses requests for {}: {reason}; they are left out and seldom tried again; check their \
                 subscription",
                names(streams)
            ),
            Self::ListDiffers(connection, ListDifference { missing, unwanted }) => tracing::warn!(
                "connection {connection}: the exchange's list of subscriptions lacks [{}] and has [{}] in addition; they \
                 are requested again",
                names(missing),
                names(unwanted)
            ),
            Self::NoMarkets(error) => tracing::warn!("{error}"),
            Self::NotMarkets(count) => {
                tracing::warn!("{count} entries of the list of markets have no usable market code");
            }
            Self::KeptMarkets(markets) => tracing::warn!(
                "the list of markets is doubtful: it lacks {}; they stay unless the next list lacks them too",
                names(markets)
            ),
            Self::Delisted(markets) => tracing::info!("no longer in the list of markets: {}", names(markets)),
            Self::Quarantined(name, failure) => {
                let name = name.escape_debug();
                tracing::warn!("callback \"{name}\" is quarantined because it failed too often in a row: {failure}");
            }
            Self::Rebuilt => {
                tracing::error!("the control plane panicked, which is a bug in hoga; all streams are requested again")
            }
            Self::BadEnd(error) => tracing::error!("{error}"),
        }
    }
}

/// Returns the first names, and the number of the others.
fn names(all: &[impl fmt::Display]) -> String {
    const SHOWN: usize = 10;
    let (shown, others) = all.split_at(all.len().min(SHOWN));
    let shown: Vec<_> = shown.iter().map(ToString::to_string).collect();
    let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
    shown.join(", ") + &others
}

fn write_lifecycle(connection: ConnectionId, event: &Event) {
    match event {
        Event::State { from, to, epoch, .. } => tracing::debug!(%connection, %epoch, "{from} -> {to}"),
        Event::Disconnected { reason, epoch, .. } => write_disconnect(connection, reason, *epoch),
        Event::ServerError { count: 1, last } => tracing::warn!(%connection, "the exchange answered {last}"),
        Event::ServerError { count, last } => {
            tracing::warn!(%connection, "the exchange answered {count} times with an error; the last one was {last}");
        }
        Event::Malformed { count: 1, last } => tracing::warn!(%connection, "a message was refused: {last}"),
        Event::Malformed { count, last } => {
            tracing::warn!(%connection, "{count} messages were refused; the last one: {last}");
        }
        Event::Drift(drift) => {
            tracing::warn!(%connection, "the exchange's messages differ from its documentation: {drift}");
        }
        Event::UnknownType { name, sample } => {
            tracing::warn!(%connection, "the exchange sends messages of the unknown type {name}: {sample}");
        }
        _ => {}
    }
}

/// Says how severe the disconnect is, and what a person should do about it.
fn write_disconnect(connection: ConnectionId, reason: &Disconnect, epoch: Epoch) {
    let RecoveryRule { severity, advice, .. } = FailureCause::of(reason).rule();
    let code = reason.code();
    match severity {
        Severity::High if advice.is_empty() => tracing::error!(%connection, %epoch, reason = code, "{reason}"),
        Severity::High => tracing::error!(%connection, %epoch, reason = code, "{reason}; {advice}"),
        _ => tracing::info!(%connection, %epoch, reason = code, "{reason}"),
    }
}

impl NewFormat {
    fn write(&self) {
        let Self { connection, format, reason } = self;
        let format = format.as_str();
        match reason {
            FormatReason::WentBack { .. } => tracing::warn!(connection, "changed back to format {format}: {reason}"),
            _ => tracing::info!(connection, "changed to format {format}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// A call of `tracing` in another file could block its thread.
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
