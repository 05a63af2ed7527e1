//! The published state of a connection: the epoch of its socket, whether the socket is up, when and why the previous
//! one ended, and when data last arrived.
//!
//! # Synchronization
//!
//! Each field has one writer, the connection's thread (the control thread for `usual_silence`), so each change is a
//! plain store.
//! * `socket` holds in one word the epoch, whether the socket is up, and which of the two places of `disconnected_at`
//!   is the newest. The writer fills the other place before it stores the word (DISCONNECT-THEN-SOCKET, Release), and
//!   readers load the word before the place (Acquire): the place is never older than the word.
//! * The place may be newer if two sockets ended in between. So it is stored with Release and loaded with Acquire
//!   (SOCKET-THEN-DISCONNECT): a reader that sees the second disconnect also sees the word of the first one when it
//!   loads the word again, and starts over. A word never repeats, because epochs only rise.
//! * The writer stores the word after it published all data of the old socket and before it publishes any of the new
//!   one. Feeds load it (Acquire) before they check whether their ring is empty. So a ring found empty after that load
//!   holds no data of the old socket.
//! * Each entry of `endings` is one word: an epoch, why the socket before it ended, and when data last arrived before that.
//!   It is stored before `socket`. Readers ignore an entry for another epoch.
//! * `heard`, `refused_at` and `usual_silence` are independent (Relaxed): a reader that sees an older value only judges
//!   as it would have judged a moment ago.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use crossbeam_utils::CachePadded;

use super::prim::AtomicU64;
use crate::model::{ConnectionId, DisconnectKind, Epoch, Nanos, saturating_ns};

/// In `socket`: set while the socket is up.
const UP: u64 = 1;
/// In `socket`: set if the newest disconnect is in the second place.
const SECOND: u64 = 2;
/// In `socket`: the lowest bit of the epoch.
const EPOCH: u32 = 2;

/// The number of recent epochs for which the state keeps the reason why the socket before them ended. Small under loom,
/// to keep models small.
const ENDINGS: usize = if cfg!(loom) { 2 } else { 64 };
/// In `endings`, from the lowest bit: the reason, the epoch divided by `ENDINGS`, and the time in ms. Of the divided epoch
/// only the lowest bits are kept: a reader would have to be four million sockets behind to take another one for its own.
const REASON_BITS: u32 = 5;
const TURN_BITS: u32 = 16;
const _: () = assert!(DisconnectKind::ALL.len() < 1 << REASON_BITS);

/// The published state of one connection. The connection's thread writes it, any thread reads it. Readers never wait:
/// [`snapshot`](Self::snapshot) starts over only if a socket opened or ended during the read.
#[derive(Debug)]
pub struct ConnectionState {
    id: ConnectionId,
    // On a cache line of its own, because it is stored for each read batch.
    heard: CachePadded<AtomicU64>,
    socket: AtomicU64,
    disconnected_at: [AtomicU64; 2],
    endings: [AtomicU64; ENDINGS],
    refused_at: AtomicU64,
    usual_silence: AtomicU64,
}

/// The end of a socket that was replaced by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ending {
    /// Why it ended, if that is known.
    pub reason: Option<DisconnectKind>,
    /// When data last arrived before it ended, rounded down to ms. `None` if that is unknown, or if none had arrived.
    pub heard: Option<Nanos>,
}

/// The state of a connection at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionSnapshot {
    /// Whether a socket is ready to carry data.
    pub up: bool,
    /// The epoch of the newest socket that was up; 0 before the first.
    pub epoch: Epoch,
    /// When the last socket ended; before the first, when the connection was created.
    pub disconnected_at: Nanos,
    /// When data of any stream last arrived; zero if never.
    pub heard: Nanos,
    /// When a message was last refused whose stream could not be read; zero if never.
    pub refused_at: Nanos,
    /// The longest time without data that is usual for the connection, in ns.
    pub usual_silence: u64,
}

impl ConnectionState {
    /// Returns the state of a connection that has been down since `now` and has had no socket yet.
    pub fn new(id: ConnectionId, now: Nanos) -> Self {
        Self {
            id,
            heard: CachePadded::new(AtomicU64::new(0)),
            socket: AtomicU64::new(0),
            disconnected_at: [AtomicU64::new(now.0), AtomicU64::new(0)],
            endings: std::array::from_fn(|_| AtomicU64::new(0)),
            refused_at: AtomicU64::new(0),
            usual_silence: AtomicU64::new(u64::MAX),
        }
    }

    /// Records that the socket of `epoch` is ready to carry data. `after` is the reason why the socket before it
    /// ended. If another socket was still up, it ends at `now`.
    pub fn opened(&self, epoch: Epoch, now: Nanos, after: Option<DisconnectKind>) {
        // 0 stands for no reason, and for no time.
        let reason = after.map_or(0, |disconnect| disconnect as u64 + 1);
        let heard = self.heard.load(Relaxed) / 1_000_000;
        let entry = heard << (REASON_BITS + TURN_BITS) | turn(epoch) << REASON_BITS | reason;
        self.endings[epoch.0 as usize % ENDINGS].store(entry, Relaxed);
        let newest = self.note_disconnect(now) & SECOND;
        // DISCONNECT-THEN-SOCKET: Release, pairs with the Acquire in `snapshot` and `newest`.
        self.socket.store(u64::from(epoch.0) << EPOCH | newest | UP, Release);
    }

    /// Records that the socket ended. A repeated call changes nothing.
    pub fn disconnected(&self, now: Nanos) {
        let socket = self.note_disconnect(now) & !UP;
        // DISCONNECT-THEN-SOCKET: Release, pairs with the Acquire in `snapshot` and `newest`.
        self.socket.store(socket, Release);
    }

    /// Stores the end of the socket, if one is up. Returns the word `socket`, changed to name the place of the newest
    /// disconnect.
    fn note_disconnect(&self, now: Nanos) -> u64 {
        let socket = self.socket.load(Relaxed);
        if socket & UP == 0 {
            return socket;
        }
        let noted = socket ^ SECOND;
        // SOCKET-THEN-DISCONNECT: Release, pairs with the Acquire in `snapshot`.
        self.disconnected_at[place(noted)].store(now.0, Release);
        noted
    }

    /// Records that data arrived. One call for each batch of reads is enough.
    #[inline]
    pub fn heard_data(&self, now: Nanos) {
        self.heard.store(now.0, Relaxed);
    }

    /// Records that a message was refused whose stream could not be read.
    pub fn refused_unnamed(&self, now: Nanos) {
        self.refused_at.store(now.0, Relaxed);
    }

    /// Sets the longest time without data that is usual for the connection. For the control thread.
    pub fn set_usual_silence(&self, silence: Option<Duration>) {
        let ns = silence.map_or(u64::MAX, saturating_ns);
        self.usual_silence.store(ns, Relaxed);
    }

    /// Returns the connection's id.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Returns true if a socket is ready to carry data. For the connection's own thread.
    pub fn is_up(&self) -> bool {
        self.socket.load(Relaxed) & UP != 0
    }

    /// Returns the epoch of the newest socket that was up; 0 before the first. For the connection's own thread.
    pub fn epoch(&self) -> Epoch {
        epoch(self.socket.load(Relaxed))
    }

    /// Same as [`epoch`](Self::epoch), for any thread. Data of older epochs that is not visible after this call was
    /// never published.
    #[inline]
    pub fn newest(&self) -> Epoch {
        // Acquire, pairs with DISCONNECT-THEN-SOCKET.
        epoch(self.socket.load(Acquire))
    }

    /// Returns the end of the socket before that of `epoch`. Both parts are `None` if it is no longer kept.
    pub fn ended_before(&self, epoch: Epoch) -> Ending {
        let entry = self.endings[epoch.0 as usize % ENDINGS].load(Relaxed);
        if entry >> REASON_BITS & ((1 << TURN_BITS) - 1) != turn(epoch) {
            return Ending::default();
        }
        let reason = (entry & ((1 << REASON_BITS) - 1)) as u8;
        let heard_ms = entry >> (REASON_BITS + TURN_BITS);
        Ending {
            reason: reason.checked_sub(1).and_then(DisconnectKind::from_index),
            heard: (heard_ms > 0).then_some(Nanos::from_millis(heard_ms)),
        }
    }

    /// Returns the state at one moment: epoch, up and the last disconnect belong together.
    #[inline]
    pub fn snapshot(&self) -> ConnectionSnapshot {
        loop {
            // Acquire, pairs with DISCONNECT-THEN-SOCKET.
            let socket = self.socket.load(Acquire);
            // Acquire, pairs with SOCKET-THEN-DISCONNECT.
            let disconnected_at = Nanos(self.disconnected_at[place(socket)].load(Acquire));
            if self.socket.load(Relaxed) == socket {
                return ConnectionSnapshot {
                    up: socket & UP != 0,
                    epoch: epoch(socket),
                    disconnected_at,
                    heard: Nanos(self.heard.load(Relaxed)),
                    refused_at: Nanos(self.refused_at.load(Relaxed)),
                    usual_silence: self.usual_silence.load(Relaxed),
                };
            }
        }
    }
}

/// Returns the index in `disconnected_at` of the newest disconnect.
fn place(socket: u64) -> usize {
    usize::from(socket & SECOND != 0)
}

/// Returns what tells the epochs of one entry of `endings` apart.
fn turn(epoch: Epoch) -> u64 {
    (u64::from(epoch.0) / ENDINGS as u64) & ((1 << TURN_BITS) - 1)
}

fn epoch(socket: u64) -> Epoch {
    Epoch((socket >> EPOCH) as u32)
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Sockets are opened at 10, 20, 30 and disconnected at 11, 21, 31, so that a mix of two states is noticed.
    fn live(state: &ConnectionState, sockets: u32) {
        for epoch in 1..=sockets {
            state.opened(Epoch(epoch), Nanos(u64::from(epoch) * 10), Some(DisconnectKind::Eof));
            state.disconnected(Nanos(u64::from(epoch) * 10 + 1));
        }
    }

    fn fits_together(up: bool, epoch: Epoch, disconnected_at: Nanos) -> bool {
        let disconnects = u64::from(epoch.0) - u64::from(up);
        disconnected_at.0 == if disconnects == 0 { 5 } else { disconnects * 10 + 1 }
    }

    #[test]
    fn a_snapshot_is_of_one_moment() {
        loom::model(|| {
            let state = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(5)));
            let writer = thread::spawn({
                let state = state.clone();
                move || live(&state, 2)
            });
            let ConnectionSnapshot { up, epoch, disconnected_at, .. } = state.snapshot();
            assert!(fits_together(up, epoch, disconnected_at), "torn: {up} {epoch} {disconnected_at:?}");
            writer.join().unwrap();
        });
    }

    /// The same with a planted mistake: the reader looks only once, or the place is stored without Release.
    fn planted(looks_twice: bool, filled: std::sync::atomic::Ordering) {
        loom::model(move || {
            let state = Arc::new(ConnectionState::new(ConnectionId(0), Nanos(5)));
            let writer = thread::spawn({
                let state = state.clone();
                move || {
                    for (at, socket) in [(11, 1 << EPOCH | SECOND), (21, 2 << EPOCH)] {
                        state.disconnected_at[place(socket)].store(at, filled);
                        state.socket.store(socket, Release);
                    }
                    state.disconnected_at[1].store(31, filled);
                    state.socket.store(3 << EPOCH | SECOND, Release);
                }
            });
            let socket = state.socket.load(Acquire);
            let disconnected_at = Nanos(state.disconnected_at[place(socket)].load(Acquire));
            if !looks_twice || state.socket.load(Relaxed) == socket {
                assert!(fits_together(false, epoch(socket), disconnected_at), "torn: {socket} {disconnected_at:?}");
            }
            writer.join().unwrap();
        });
    }

    #[test]
    fn with_a_second_look_and_release_the_planted_writer_is_correct() {
        planted(true, Release);
    }

    #[test]
    #[should_panic(expected = "torn")]
    fn planted_without_the_second_look_a_later_disconnect_is_taken() {
        planted(false, Release);
    }

    #[test]
    #[should_panic(expected = "torn")]
    fn planted_without_release_the_second_look_misses_the_previous_disconnect() {
        planted(true, Relaxed);
    }

    /// A ring found empty after the new socket was seen holds no data of the old one.
    fn nothing_of_the_old_socket_is_missed(stored: std::sync::atomic::Ordering) {
        loom::model(move || {
            let (state, ring) =
                (Arc::new(ConnectionState::new(ConnectionId(0), Nanos(5))), Arc::new(AtomicU64::new(0)));
            let writer = thread::spawn({
                let (state, ring) = (state.clone(), ring.clone());
                move || {
                    ring.store(1, Relaxed);
                    match stored {
                        Release => state.opened(Epoch(2), Nanos(20), Some(DisconnectKind::Eof)),
                        other => state.socket.store(2 << EPOCH | UP, other),
                    }
                }
            });
            if state.newest() == Epoch(2) {
                assert_eq!(ring.load(Relaxed), 1, "missed");
            }
            writer.join().unwrap();
            assert!(stored == Relaxed || state.ended_before(Epoch(2)).reason == Some(DisconnectKind::Eof));
        });
    }

    #[test]
    fn a_reader_that_sees_the_new_socket_sees_all_data_of_the_old_one() {
        nothing_of_the_old_socket_is_missed(Release);
    }

    #[test]
    #[should_panic(expected = "missed")]
    fn planted_without_release_data_of_the_old_socket_is_missed() {
        nothing_of_the_old_socket_is_missed(Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_connection_remembers_its_last_disconnect_through_the_next_socket() {
        let state = ConnectionState::new(ConnectionId(0), Nanos(5));
        let at = |up, epoch, disconnected_at| ConnectionSnapshot {
            up,
            epoch: Epoch(epoch),
            disconnected_at: Nanos(disconnected_at),
            heard: Nanos(0),
            refused_at: Nanos(0),
            usual_silence: u64::MAX,
        };
        assert_eq!(state.snapshot(), at(false, 0, 5));
        state.disconnected(Nanos(6));
        assert_eq!(state.snapshot(), at(false, 0, 5), "it was down already");
        state.opened(Epoch(1), Nanos(7), None);
        assert_eq!(state.snapshot(), at(true, 1, 5));
        state.disconnected(Nanos(8));
        state.disconnected(Nanos(9));
        assert_eq!(state.snapshot(), at(false, 1, 8));
        state.opened(Epoch(u32::MAX), Nanos(10), None);
        assert_eq!(state.snapshot(), at(true, u32::MAX, 8));
    }

    #[test]
    fn a_socket_replaced_while_up_ends_at_that_moment() {
        let state = ConnectionState::new(ConnectionId(0), Nanos(0));
        state.opened(Epoch(1), Nanos(1), None);
        state.opened(Epoch(2), Nanos(20), None);
        assert_eq!((state.newest(), state.snapshot().disconnected_at), (Epoch(2), Nanos(20)));
    }

    #[test]
    fn reasons_are_kept_for_recent_epochs() {
        let state = ConnectionState::new(ConnectionId(0), Nanos(0));
        state.opened(Epoch(1), Nanos(1), None);
        state.heard_data(Nanos::from_millis(1_790_000_000_007) + Duration::from_nanos(999_999));
        state.opened(Epoch(2), Nanos(2), Some(DisconnectKind::Eof));
        let ending = Ending { reason: Some(DisconnectKind::Eof), heard: Some(Nanos::from_millis(1_790_000_000_007)) };
        assert_eq!((state.ended_before(Epoch(1)), state.ended_before(Epoch(2))), (Ending::default(), ending));
        state.opened(Epoch(2 + ENDINGS as u32), Nanos(3), Some(DisconnectKind::Silent));
        assert_eq!(state.ended_before(Epoch(2)), Ending::default(), "its entry was reused");
        state.opened(Epoch(u32::MAX), Nanos(4), Some(DisconnectKind::Stopped));
        assert_eq!(state.ended_before(Epoch(u32::MAX)), Ending { reason: Some(DisconnectKind::Stopped), ..ending });
    }
}
