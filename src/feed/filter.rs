//! Which messages of a stream a reader is given.

use crate::model::StreamType;

/// What a message means to the readers of its stream. It is the same for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The exchange reports a change.
    Change,
    /// The exchange answers a request.
    Snapshot {
        /// It is the first since the socket began to carry the stream.
        starts: bool,
        /// It says something that no earlier message has said.
        is_news: bool,
    },
}

impl Arrival {
    /// The first message of a stream, or a change.
    pub fn first(stream_type: StreamType) -> Self {
        match stream_type {
            StreamType::Realtime => Self::Change,
            StreamType::Snapshot => Self::Snapshot { starts: true, is_news: true },
        }
    }
}

/// What one reader wants of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    snapshots: bool,
    changes: bool,
    /// The reader has had no message of the stream yet, and waits for its state.
    awaits: bool,
}

impl Filter {
    /// Snapshots, changes, or both.
    pub fn new(snapshots: bool, changes: bool) -> Self {
        Self { snapshots, changes, awaits: snapshots }
    }

    /// Of a stream that the reader does not want any more, and may want again.
    pub fn nothing() -> Self {
        Self::new(false, false)
    }

    /// Whether the reader gets this message. Call it once for each message.
    ///
    /// The first snapshot is the state for a reader that waits for it, even if it repeats what others have had. A reader of
    /// changes gets every later snapshot that brings news: the exchange sends no changes while it prepares a snapshot, so
    /// the news is in no other message. A reader of changes alone gets it as a change. A reader of snapshots alone gets the
    /// first one of each socket.
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

    /// The reader waits for the state of the stream.
    pub fn awaits(&self) -> bool {
        self.awaits
    }

    /// The reader has got the state.
    pub fn had_state(&mut self) {
        self.awaits = false;
    }

    /// It wants snapshots and nothing else.
    pub fn is_of_snapshots(&self) -> bool {
        self.snapshots && !self.changes
    }

    /// It wants changes and nothing else.
    pub fn is_of_changes(&self) -> bool {
        self.changes && !self.snapshots
    }

    /// It wants snapshots and changes, so any value of the stream will do.
    pub fn is_of_all(&self) -> bool {
        self.snapshots && self.changes
    }

    /// Both are for the same messages.
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

    /// Which of the messages a reader takes.
    fn taken<const N: usize>(mut filter: Filter, arrivals: [Arrival; N]) -> [bool; N] {
        arrivals.map(|arrival| filter.takes(arrival))
    }

    #[test]
    fn a_reader_of_all_takes_its_state_then_what_is_new() {
        let all = Filter::new(true, true);
        let arrivals = [START, Arrival::Change, REPETITION, NEWS, Arrival::Change, START, REPEATED_START];
        assert_eq!(taken(all, arrivals), [true, true, false, true, true, true, false]);
        assert_eq!(taken(all, [REPETITION, REPETITION]), [true, false], "nothing is a repetition to a newcomer");
        assert_eq!(taken(all, [Arrival::Change, REPETITION]), [true, false], "a change says the whole state");
        let mut given = all;
        given.had_state();
        assert_eq!(taken(given, [REPETITION, NEWS]), [false, true]);
    }

    #[test]
    fn a_reader_of_snapshots_takes_one_of_each_socket() {
        let snapshots = Filter::new(true, false);
        let arrivals = [START, Arrival::Change, NEWS, REPETITION, START, REPEATED_START];
        assert_eq!(taken(snapshots, arrivals), [true, false, false, false, true, true]);
        assert_eq!(taken(snapshots, [Arrival::Change, REPETITION, NEWS]), [false, true, false]);
    }

    #[test]
    fn a_reader_of_changes_takes_what_changed_though_only_a_snapshot_says_so() {
        let changes = Filter::new(false, true);
        let arrivals = [START, Arrival::Change, REPETITION, NEWS, START];
        assert_eq!(taken(changes, arrivals), [false, true, false, true, false]);
    }
}
