//! The writing side of one stream, used by the engine on the connection's thread.

use std::sync::Arc;
use std::thread;

use super::gate::Gate;
use super::slot::Slot;
use crate::model::{Nanos, Noun, Receipt, StreamKey};
use crate::sync::latest::{self, Version, Writer};

/// What became of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is the newest value now.
    Published,
    /// An older place in the order than the newest. The pool keeps the newest; see [`Publisher::is_news`].
    Late,
    /// An event seen before. If it repeats the value that is there, it renewed the proof of freshness of that value.
    Duplicate,
    /// From a socket that has been replaced. Refused.
    OldEpoch,
}

/// The one writer of a stream. Stays with its connection's thread; made by [`open`](super::open).
///
/// Dropping it hands the writing end back to the pool and marks the stream not subscribed; if its thread panics, it
/// takes the connection down instead, because the demand is still there and the connection is not.
pub struct Publisher<T: Noun> {
    slot: Arc<Slot<T>>,
    // Always there; taken only in `drop`.
    writer_state: Option<WriterState<T>>,
}

/// The writing end: a publisher works with it, and the pool keeps it between two publishers.
pub(super) struct WriterState<T: Noun> {
    pub writer: Writer<T>,
    pub latest: latest::Reader<T>,
    pub gate: Gate<T>,
}

impl<T: Noun> Publisher<T> {
    pub(super) fn new(slot: Arc<Slot<T>>, writer_state: WriterState<T>) -> Self {
        Self { slot, writer_state: Some(writer_state) }
    }

    /// Offers an arrival to the gate, and publishes it if it is the newest. Whoever sleeps until then is woken by
    /// [`wake`](Self::wake).
    ///
    /// `published` is asked for the time just before readers can see the value, and only if they will. Waits for
    /// no lock, and does not allocate after warm-up, log, or make a system call.
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

    /// Wakes who sleeps in `wait_newer`. Apart from publishing, because one fence is enough to learn that nobody sleeps
    /// on any stream of a whole batch: that of [`Waiters::any`](crate::sync::waiters::Waiters::any), which must lie
    /// between; see [`waiters`](super::waiters).
    pub fn wake(&self) {
        self.slot.signal.notify_fenced();
    }

    /// Where the newest value is.
    pub(crate) fn newest(&self) -> latest::Reader<T> {
        let Some(writer_state) = &self.writer_state else { unreachable!("taken only in drop") };
        writer_state.latest.clone()
    }

    /// The newest value, if it was received on the connection's current socket, after `asked`, and after the demand for the
    /// stream was last renewed. An older one may be outdated.
    pub fn current(&self, asked: Nanos) -> Option<Version<T>> {
        let (connection, renewed) = (self.slot.connection.load(), self.slot.subscription().renewed);
        let holds = |newest: &&Version<T>| {
            let received = newest.stamps.received;
            connection.is_up() && newest.epoch == connection.epoch() && received > asked && received >= renewed
        };
        self.writer_state.as_ref()?.latest.load().get().filter(holds).copied()
    }

    /// Whether feeds deliver an arrival with this verdict: what was published, late trades, which did happen, and late
    /// candles of another interval, which may be the last word on it. Other late states are history.
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

    /// The version of the newest value; 0 for none yet.
    #[inline]
    pub fn version(&self) -> u64 {
        self.writer_state.as_ref().map_or(0, |writer_state| writer_state.writer.version())
    }

    /// The stream.
    pub fn key(&self) -> StreamKey {
        self.slot.key
    }
}

/// Whether a repetition proves that the value that is there still holds: it has to be in the place of that value. The
/// repetition of an older event proves nothing about the newest, even as the first arrival of its epoch. Nor is a value
/// confirmed that is ahead of its epoch's order, because this epoch may still publish an older one.
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
