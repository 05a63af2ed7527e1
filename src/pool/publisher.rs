//! The writing side of one stream. The engine uses it on the connection's thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::HealthReason;
use super::gate::Gate;
use super::stream_state::StreamState;
use super::timeline::Timeline;
use crate::model::{Nanos, Nature, Noun, Receipt, StreamKey};
use crate::sync::latest::{self, Version, Writer};

/// The gate's decision on an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The arrival is the newest value now.
    Published,
    /// The arrival is older than the newest value, which the pool keeps; see [`Publisher::is_news`].
    Late,
    /// The event was seen before. If it repeats the newest value, it renewed that value's epoch and stamps.
    Duplicate,
    /// The arrival came from a socket that has been replaced. Refused.
    OldEpoch,
}

/// The single writer of a stream. Stays on its connection's thread; made by [`open`](super::open).
///
/// Dropping it returns the writing end to the pool and marks the stream not subscribed. If its thread panics, dropping
/// it marks the connection as down instead: the stream is still wanted, but the connection is gone.
pub struct Publisher<T: Noun> {
    state: Arc<StreamState>,
    place: Arc<WriterPlace<T>>,
    // Always `Some`; taken only in `drop`.
    writer_state: Option<WriterState<T>>,
}

/// The place of a stream's writing end while no publisher has it. The end is passed from publisher to publisher, so the
/// cell has one writer for life. Locked only when a publisher is opened or dropped.
pub(super) struct WriterPlace<T: Noun>(Mutex<Option<WriterState<T>>>);

impl<T: Noun> WriterPlace<T> {
    pub fn new(writer_state: WriterState<T>) -> Self {
        Self(Mutex::new(Some(writer_state)))
    }

    /// Locks the place, which is empty while a publisher has the writing end.
    pub fn lock(&self) -> MutexGuard<'_, Option<WriterState<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing end of a stream.
pub(super) struct WriterState<T: Noun> {
    pub writer: Writer<T>,
    pub latest: latest::Reader<T>,
    pub gate: Gate<T>,
}

impl<T: Noun> Publisher<T> {
    pub(super) fn new(state: Arc<StreamState>, place: Arc<WriterPlace<T>>, writer_state: WriterState<T>) -> Self {
        Self { state, place, writer_state: Some(writer_state) }
    }

    /// Publishes an arrival if the gate finds that it is the newest. Does not wake sleeping readers:
    /// [`wake`](Self::wake) does.
    ///
    /// `timeline` belongs to the connection and has recorded the arrival; if it doubts the arrival's time,
    /// [`doubt`](Self::doubt) must be called first. `published` returns the time. It is called just before readers can see the value, and not at all if the arrival
    /// is refused. Waits for no lock; after warm-up it does not allocate, log, or make a system call.
    #[inline]
    pub fn publish(
        &mut self,
        receipt: &Receipt,
        value: &T,
        timeline: &Timeline,
        published: impl FnOnce() -> Nanos,
    ) -> Verdict {
        let Some(WriterState { writer, latest, gate }) = &mut self.writer_state else {
            unreachable!("taken only in drop")
        };
        let verdict = gate.judge(receipt, value, timeline);
        match verdict {
            Verdict::Published => {
                writer.publish(value, value.exchange_ms(), receipt, published());
            }
            Verdict::Duplicate if confirms(value, gate, latest) => writer.confirm(receipt, published()),
            Verdict::Duplicate | Verdict::Late | Verdict::OldEpoch => {}
        }
        self.state.counts.add(verdict);
        if T::NATURE == Nature::Occurrence {
            self.state.counts.set_id_clashes(gate.id_clashes());
        }
        verdict
    }

    /// Announces an arrival whose time the connection's timeline doubts, and counts it.
    #[cold]
    pub fn doubt(&mut self, received: Nanos, timeline: &Timeline) {
        if let Some(WriterState { gate, .. }) = &mut self.writer_state {
            gate.doubt(received, timeline);
        }
        self.state.counts.add_implausible();
    }

    /// Marks the newest value as suspect until another one arrives, because a message of the stream was refused.
    #[cold]
    pub fn refused(&self, received: Nanos) {
        let newest = self.writer_state.as_ref().and_then(|writer_state| writer_state.latest.load().version);
        self.state.doubt(received, HealthReason::Refused, newest.map(|newest| newest.stamps.received));
    }

    /// Sets whether only snapshots of the stream are requested. A snapshot grows old, even while its connection brings
    /// other data.
    pub fn set_only_snapshots(&self, only_snapshots: bool) {
        self.state.set_only_snapshots(only_snapshots);
    }

    /// Wakes readers that sleep in `wait_newer`. Separate from publishing, so that one fence and one check serve a
    /// whole batch of streams. The caller must call [`Waiters::any`](crate::sync::waiters::Waiters::any), which has the
    /// fence, after publishing and before this; see [`waiters`](super::waiters).
    pub fn wake(&self) {
        self.state.signal.notify_fenced();
    }

    /// Returns a reader of the newest value.
    pub(crate) fn newest(&self) -> latest::Reader<T> {
        let Some(writer_state) = &self.writer_state else { unreachable!("taken only in drop") };
        writer_state.latest.clone()
    }

    /// Returns the newest value if it was received on the connection's current socket, after `asked`, and not before
    /// the stream was last subscribed again. `asked` is the time of the last request for a snapshot of the stream. An
    /// older value may be outdated.
    pub fn current(&self, asked: Nanos) -> Option<Version<T>> {
        let (connection, renewed) = (self.state.connection.load(), self.state.subscription().renewed);
        let holds = |newest: &Version<T>| {
            let received = newest.stamps.received;
            connection.is_up() && newest.epoch == connection.epoch() && received > asked && received >= renewed
        };
        self.writer_state.as_ref()?.latest.load().version.filter(holds)
    }

    /// Returns true if feeds deliver an arrival with this verdict: published values, late trades, because they did
    /// happen, and late candles of another interval, because they may be its final state. Feeds do not deliver other
    /// late states.
    #[inline]
    pub fn is_news(&self, verdict: Verdict, value: &T) -> bool {
        match verdict {
            Verdict::Published => true,
            Verdict::Late => self
                .writer_state
                .as_ref()
                .and_then(|writer_state| writer_state.gate.newest())
                .is_some_and(|newest| value.is_news_after(newest)),
            Verdict::Duplicate | Verdict::OldEpoch => false,
        }
    }

    /// Returns the version of the newest value; 0 before the first.
    #[inline]
    pub fn version(&self) -> u64 {
        self.writer_state.as_ref().map_or(0, |writer_state| writer_state.writer.version())
    }

    /// Returns the key of the stream.
    pub fn key(&self) -> StreamKey {
        self.state.key
    }
}

/// Returns true if a duplicate proves that the newest value still holds: both must have the same order. The duplicate
/// of an older event proves nothing about the newest value, even as the first arrival of its epoch. The duplicate must
/// also have the newest order of its epoch: otherwise this epoch may still publish a value older than the one in the
/// pool.
#[cold]
fn confirms<T: Noun>(repetition: &T, gate: &Gate<T>, latest: &latest::Reader<T>) -> bool {
    let order = repetition.order();
    gate.newest() == Some(order) && latest.load().version.is_some_and(|newest| newest.value.order() == order)
}

impl<T: Noun> Drop for Publisher<T> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.state.connection.load().disconnected(self.state.clock.now());
        } else {
            self.state.set_subscribed(false);
        }
        *self.place.lock() = self.writer_state.take();
    }
}
