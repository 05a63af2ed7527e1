//! Decides which messages of a stream a reader gets.

use crate::model::StreamType;

/// The kind of a message, which is the same for all readers of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// A change that the exchange reports.
    Change,
    /// The exchange's answer to a request.
    Snapshot {
        /// This is the first message since the socket began to carry the stream.
        starts: bool,
        /// The snapshot contains something that no earlier message contained.
        is_news: bool,
    },
}

impl Arrival {
    /// Returns the kind of a message, assuming that it is the first of its stream.
    pub fn first(stream_type: StreamType) -> Self {
        match stream_type {
            StreamType::Realtime => Self::Change,
            StreamType::Snapshot => Self::Snapshot { starts: true, is_news: true },
        }
    }
}

/// The messages that one reader wants of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    snapshots: bool,
    changes: bool,
    /// The reader has no message of the stream yet, and waits for its state.
    awaits: bool,
}

impl Filter {
    /// Creates a filter for snapshots, changes, or both.
    pub fn new(snapshots: bool, changes: bool) -> Self {
        Self { snapshots, changes, awaits: snapshots }
    }

    /// Creates a filter that takes nothing, for a stream that the reader no longer wants but may want again.
    pub fn nothing() -> Self {
        Self::new(false, false)
    }

    /// Returns true if the reader gets this message. Call it once for each message.
    ///
    /// A reader that waits for the state gets the first snapshot, even if it repeats what other readers already have. A
    /// reader of changes gets every later snapshot that is news: the exchange sends no changes while it prepares a
    /// snapshot, so no other message contains the news. A reader of changes only gets such a snapshot as a change. A
    /// reader of snapshots only gets the first snapshot of each socket.
    #[inline]
    pub fn takes(&mut self, arrival: Arrival) -> bool {
        let takes = match arrival {
            Arrival::Change => self.changes,
            Arrival::Snapshot { starts, is_news } => match (self.snapshots, self.changes) {
                (true, true) => is_news || self.awaits,
                (true, false) => starts || self.awaits,
                (false, _) => self.changes && is_news && !starts,
            },
        };
        self.awaits &= !takes;
        takes
    }

    /// Returns true if the reader waits for the state of the stream.
    pub fn awaits(&self) -> bool {
        self.awaits
    }

    /// Records that the reader has the state.
    pub fn had_state(&mut self) {
        self.awaits = false;
    }

    /// Returns true if the reader wants snapshots only.
    pub fn is_of_snapshots(&self) -> bool {
        self.snapshots && !self.changes
    }

    /// Returns true if the reader wants changes only.
    pub fn is_of_changes(&self) -> bool {
        self.changes && !self.snapshots
    }

    /// Returns true if the reader wants snapshots and changes, so that any value of the stream serves as its state.
    pub fn is_of_all(&self) -> bool {
        self.snapshots && self.changes
    }

    /// Returns true if both filters want the same messages.
    pub fn wants_the_same_as(&self, other: &Self) -> bool {
        (self.snapshots, self.changes) == (other.snapshots, other.changes)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const START: Arrival = Arrival::Snapshot { starts: true, is_news: true };
    const REPEATED_START: Arrival = Arrival::Snapshot { starts: true, is_news: false };
    const NEWS: Arrival = Arrival::Snapshot { starts: false, is_news: true };
    const REPETITION: Arrival = Arrival::Snapshot { starts: false, is_news: false };

    /// Returns which of the messages a reader takes.
    fn taken<const N: usize>(mut filter: Filter, arrivals: [Arrival; N]) -> [bool; N] {
        arrivals.map(|arrival| filter.takes(arrival))
    }

    #[test]
    fn a_reader_of_all_takes_its_state_then_news() {
        let all = Filter::new(true, true);
        let arrivals = [START, Arrival::Change, REPETITION, NEWS, Arrival::Change, START, REPEATED_START];
        assert_eq!(taken(all, arrivals), [true, true, false, true, true, true, false]);
        assert_eq!(taken(all, [REPETITION, REPETITION]), [true, false], "a new reader takes a repetition as its state");
        assert_eq!(taken(all, [Arrival::Change, REPETITION]), [true, false], "a change contains the whole state");
        let mut with_state = all;
        with_state.had_state();
        assert_eq!(taken(with_state, [REPETITION, NEWS]), [false, true]);
    }

    #[test]
    fn a_reader_of_snapshots_takes_one_of_each_socket() {
        let snapshots = Filter::new(true, false);
        let arrivals = [START, Arrival::Change, NEWS, REPETITION, START, REPEATED_START];
        assert_eq!(taken(snapshots, arrivals), [true, false, false, false, true, true]);
        assert_eq!(taken(snapshots, [Arrival::Change, REPETITION, NEWS]), [false, true, false]);
    }

    #[test]
    fn a_reader_of_changes_takes_news_that_only_a_snapshot_contains() {
        let changes = Filter::new(false, true);
        let arrivals = [START, Arrival::Change, REPETITION, NEWS, START];
        assert_eq!(taken(changes, arrivals), [false, true, false, true, false]);
    }
}
