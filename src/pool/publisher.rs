//! The writing side of one stream. The engine uses it on the connection's thread.

use std::sync::Arc;
use std::thread;

use super::gate::Gate;
use super::slot::Slot;
use crate::model::{Nanos, Noun, Receipt, StreamKey};
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
    slot: Arc<Slot<T>>,
    // Always `Some`; taken only in `drop`.
    writer_state: Option<WriterState<T>>,
}

/// The writing end of a stream. The pool keeps it while there is no publisher.
pub(super) struct WriterState<T: Noun> {
    pub writer: Writer<T>,
    pub latest: latest::Reader<T>,
    pub gate: Gate<T>,
}

impl<T: Noun> Publisher<T> {
    pub(super) fn new(slot: Arc<Slot<T>>, writer_state: WriterState<T>) -> Self {
        Self { slot, writer_state: Some(writer_state) }
    }

    /// Publishes an arrival if the gate finds that it is the newest. Does not wake sleeping readers:
    /// [`wake`](Self::wake) does.
    ///
    /// `published` returns the time. It is called just before readers can see the value, and only if they will. Waits
    /// for no lock; after warm-up it does not allocate, log, or make a system call.
    #[inline]
    pub fn publish(&mut self, receipt: &Receipt, value: &T, published: impl FnOnce() -> Nanos) -> Verdict {
        let Some(WriterState { writer, latest, gate }) = &mut self.writer_state else {
            unreachable!("taken only in drop")
        };
        let verdict = gate.judge(receipt.epoch, value);
        match verdict {
            Verdict::Published => {
                writer.publish(value, value.exchange_ms(), receipt, published());
            }
            Verdict::Duplicate if confirms(value, gate, latest) => writer.confirm(receipt, published()),
            Verdict::Duplicate | Verdict::Late | Verdict::OldEpoch => {}
        }
        self.slot.counts.add(verdict);
        verdict
    }

    /// Wakes readers that sleep in `wait_newer`. Separate from publishing, so that one fence and one check serve a
    /// whole batch of streams. The caller must call [`Waiters::any`](crate::sync::waiters::Waiters::any), which has the
    /// fence, after publishing and before this; see [`waiters`](super::waiters).
    pub fn wake(&self) {
        self.slot.signal.notify_fenced();
    }

    /// Returns a reader of the newest value.
    pub(crate) fn newest(&self) -> latest::Reader<T> {
        let Some(writer_state) = &self.writer_state else { unreachable!("taken only in drop") };
        writer_state.latest.clone()
    }

    /// Returns the newest value if it was received on the connection's current socket, after `asked`, and not before
    /// the stream was last subscribed again. An older value may be outdated.
    pub fn current(&self, asked: Nanos) -> Option<Version<T>> {
        let (connection, renewed) = (self.slot.connection.load(), self.slot.subscription().renewed);
        let holds = |newest: &&Version<T>| {
            let received = newest.stamps.received;
            connection.is_up() && newest.epoch == connection.epoch() && received > asked && received >= renewed
        };
        self.writer_state.as_ref()?.latest.load().get().filter(holds).copied()
    }

    /// Returns true if feeds deliver an arrival with this verdict: published values, late trades, because they did
    /// happen, and late candles of another interval, because they may be its final state. Other late states are
    /// history.
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
        self.slot.key
    }
}

/// Returns true if a duplicate proves that the newest value still holds, which it does if it has the same order. The
/// duplicate of an older event proves nothing about the newest, even as the first arrival of its epoch. A value that is
/// ahead of its epoch's order is not confirmed either, because this epoch may still publish an older one.
#[cold]
fn confirms<T: Noun>(repetition: &T, gate: &Gate<T>, latest: &latest::Reader<T>) -> bool {
    let order = repetition.order();
    gate.newest() == Some(order) && latest.load().get().is_some_and(|newest| newest.value.order() == order)
}

impl<T: Noun> Drop for Publisher<T> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.slot.connection.load().disconnected(self.slot.clock.now());
        } else {
            self.slot.set_subscribed(false);
        }
        *self.slot.writer_state() = self.writer_state.take();
    }
}
