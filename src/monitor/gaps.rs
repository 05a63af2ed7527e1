//! Keeps account of the intervals in which it cannot be proven that every message of a stream has arrived. Works at the
//! looks only: the pool keeps what is needed, so the frame path does nothing for it.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::FixedState;

use crate::model::{Epoch, Nanos, StreamKey};
use crate::pool::{Glance, Health, HealthReason};

/// An interval of one stream in which messages may be missing. It begins with the last message that was received before
/// it, and ends with the first one that was received after it, so it contains everything that may be missing. The times
/// are those of looks, of which there are up to ten a second: the interval may include messages that were received up to
/// one look before or after.
///
/// What is missing depends on the [nature](crate::DataType::nature) of the stream. Trades are events: those of the
/// interval may be lost, and a program that needs all of them must get them elsewhere, for example by asking for the
/// trades between the two exchange times. Tickers, order books and candles are states: only freshness was lost, because
/// the first message after the gap has the whole state.
///
/// A stream that is only [`Quiet`](Health::Quiet) has no gap, because silence proves nothing. Messages that one reader
/// did not keep up with are reported by its feed, as [`Item::Gap`](crate::Item::Gap).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamGap {
    /// The stream.
    pub stream: StreamKey,
    /// Why messages may be missing; of several reasons, the first. `NewSocket` for the time without a socket, and until
    /// the stream arrives on the next one; otherwise the evidence of [`Health::Suspect`].
    pub cause: HealthReason,
    /// The last message before the gap.
    pub from: GapEdge,
    /// The first message after the gap, or the end of the subscription. `None` while the gap is open.
    pub to: Option<GapEdge>,
}

/// One end of a [`StreamGap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GapEdge {
    /// When the message was received. If the stream was subscribed or dropped there instead, when that happened.
    pub received: Nanos,
    /// The exchange's time of the message, in ms. `None` if there is no message.
    pub exchange_ms: Option<u64>,
    /// The epoch of the message's socket; 0 if there is no message.
    pub epoch: Epoch,
}

/// The gaps of all streams.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GapLog {
    /// The most recent closed gaps, in the order of their ends, then the open ones.
    pub gaps: Vec<StreamGap>,
    /// The number of older closed gaps, which are no longer kept.
    pub cut: u64,
}

/// The maximum number of closed gaps that are kept.
const CLOSED_MAX: usize = 4096;

/// Finds gaps, and keeps the most recent ones.
#[derive(Debug, Default)]
pub struct Gaps {
    streams: HashMap<StreamKey, Tracked, FixedState>,
    closed: VecDeque<StreamGap>,
    cut: u64,
}

/// A stream at the last look.
#[derive(Debug)]
struct Tracked {
    /// Its newest message; before the first one, the begin of the subscription.
    newest: GapEdge,
    /// When the newest evidence against its values was found.
    doubted: Nanos,
    open: Option<StreamGap>,
}

impl Gaps {
    /// Compares a stream with the last look. Returns a gap that has begun or ended since then. A gap that began and ended
    /// between two looks is returned once.
    pub fn look(&mut self, glance: &Glance) -> Option<StreamGap> {
        let doubted = glance.doubt.map_or(Nanos(0), |(at, _)| at);
        let newest = GapEdge::newest(glance);
        match glance.health {
            Health::NotSubscribed { since } | Health::Gone { since } => {
                let gap = self.streams.remove(&glance.stream)?.open?;
                return Some(self.close(gap, GapEdge::without_message(since)));
            }
            // What may be missing from here on is missing after the subscription began.
            Health::NoData { since } | Health::Resyncing { since, reason: HealthReason::SubscribedAgain } => {
                let begin = || Tracked { newest: GapEdge::without_message(since), doubted, open: None };
                self.streams.entry(glance.stream).or_insert_with(begin);
                return None;
            }
            // The value is from an earlier subscription, or there is none.
            Health::Disconnected { .. } if !self.streams.contains_key(&glance.stream) => return None,
            _ => {}
        }
        let (newest, cause) = (newest?, cause(glance.health));
        let begin = || Tracked { newest, doubted, open: None };
        let tracked = self.streams.entry(glance.stream).or_insert_with(begin);
        if newest.received < tracked.newest.received {
            return None;
        }
        let before = std::mem::replace(&mut tracked.newest, newest);
        let is_doubted = std::mem::replace(&mut tracked.doubted, doubted) < doubted;
        let is_other_socket = before.epoch != newest.epoch && before.epoch != Epoch::default();
        let passed = if is_other_socket {
            Some(HealthReason::NewSocket)
        } else {
            glance.doubt.filter(|_| is_doubted).map(|(_, reason)| reason)
        };
        let gap = |cause, from| StreamGap { stream: glance.stream, cause, from, to: None };
        match (tracked.open, cause) {
            (None, Some(cause)) => {
                // Some messages since the last look may have arrived after the begin of the gap.
                let from = if passed.is_some() { before } else { newest };
                tracked.open = Some(gap(cause, from));
                tracked.open
            }
            (None, None) => passed.map(|cause| self.close(gap(cause, before), newest)),
            (Some(_), Some(_)) => None,
            (Some(open), None) => {
                tracked.open = None;
                Some(self.close(open, newest))
            }
        }
    }

    fn close(&mut self, gap: StreamGap, to: GapEdge) -> StreamGap {
        let gap = StreamGap { to: Some(to), ..gap };
        if self.closed.len() == CLOSED_MAX {
            self.closed.pop_front();
            self.cut += 1;
        }
        self.closed.push_back(gap);
        gap
    }

    /// Returns the gaps that are kept, and the number of those that are not.
    pub fn log(&self) -> GapLog {
        let mut open: Vec<_> = self.streams.values().filter_map(|tracked| tracked.open).collect();
        open.sort_unstable_by_key(|gap| (gap.from.received, gap.stream));
        GapLog { gaps: self.closed.iter().copied().chain(open).collect(), cut: self.cut }
    }
}

impl GapEdge {
    fn newest(glance: &Glance) -> Option<Self> {
        let exchange_ms = Some(glance.exchange_ms);
        glance.newest.map(|(epoch, received)| Self { received, exchange_ms, epoch })
    }

    fn without_message(at: Nanos) -> Self {
        Self { received: at, exchange_ms: None, epoch: Epoch::default() }
    }
}

/// Returns why messages of a stream with this health may be missing.
fn cause(health: Health) -> Option<HealthReason> {
    match health {
        Health::Disconnected { .. } => Some(HealthReason::NewSocket),
        Health::Resyncing { reason, .. } | Health::Suspect { reason, .. } => Some(reason),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DataType;

    fn stream() -> StreamKey {
        StreamKey::of(DataType::Trade, "KRW-BTC".parse().unwrap())
    }

    const LIVE: Health = Health::Live;
    const DOWN: Health = Health::Disconnected { since: Nanos(0) };
    const RESYNCING: Health = Health::Resyncing { since: Nanos(0), reason: HealthReason::NewSocket };
    const SUSPECT: Health = Health::Suspect { since: Nanos(0), reason: HealthReason::MissingTrade };
    const DROPPED: Health = Health::NotSubscribed { since: Nanos(99) };

    /// Returns a glance at a stream whose newest message was received at `newest`, on the socket of `epoch`.
    fn glance(health: Health, epoch: u32, newest: u64) -> Glance {
        let newest = Some((Epoch(epoch), Nanos(newest)));
        Glance { stream: stream(), health, arrivals: 0, newest, exchange_ms: 7, last_trade_ms: None, doubt: None }
    }

    fn refused(glance: Glance, at: u64) -> Glance {
        Glance { doubt: Some((Nanos(at), HealthReason::Refused)), ..glance }
    }

    /// Returns the cause, the begin and the end of each gap that the looks find.
    fn looks(gaps: &mut Gaps, glances: &[Glance]) -> Vec<(HealthReason, u64, Option<u64>)> {
        let found = glances.iter().filter_map(|glance| gaps.look(glance));
        found.map(|gap| (gap.cause, gap.from.received.0, gap.to.map(|to| to.received.0))).collect()
    }

    #[test]
    fn a_new_socket_makes_a_gap_from_the_last_message_to_the_next() {
        use HealthReason::NewSocket;
        let mut gaps = Gaps::default();
        let seen = [glance(LIVE, 1, 10), glance(DOWN, 1, 14), glance(RESYNCING, 1, 14), glance(LIVE, 2, 30)];
        assert_eq!(looks(&mut gaps, &seen), [(NewSocket, 14, None), (NewSocket, 14, Some(30))]);
        let GapLog { gaps: log, cut } = gaps.log();
        let (from, to) = (log[0].from, log[0].to.unwrap());
        assert_eq!((log.len(), cut, from.epoch, to.epoch, to.exchange_ms), (1, 0, Epoch(1), Epoch(2), Some(7)));
        // It began and ended between two looks.
        assert_eq!(looks(&mut gaps, &[glance(LIVE, 3, 50)]), [(NewSocket, 30, Some(50))]);
        assert_eq!(looks(&mut gaps, &[glance(LIVE, 3, 60)]), []);
    }

    #[test]
    fn a_refused_message_makes_a_gap_even_if_the_next_message_has_arrived_already() {
        use HealthReason::Refused;
        let (mut gaps, refused_at) = (Gaps::default(), |at| Health::Suspect { since: Nanos(at), reason: Refused });
        let first = [glance(LIVE, 1, 10), refused(glance(LIVE, 1, 20), 15), refused(glance(LIVE, 1, 22), 15)];
        assert_eq!(looks(&mut gaps, &first), [(Refused, 10, Some(20))]);
        // The message at 25 may be older or newer than the refused one.
        let second = [refused(glance(refused_at(25), 1, 25), 25), refused(glance(LIVE, 1, 31), 25)];
        assert_eq!(looks(&mut gaps, &second), [(Refused, 22, None), (Refused, 22, Some(31))]);
    }

    #[test]
    fn evidence_makes_a_gap_until_the_next_message_and_a_second_cause_does_not_end_it() {
        use HealthReason::MissingTrade;
        let mut gaps = Gaps::default();
        let seen = [glance(LIVE, 1, 10), glance(SUSPECT, 1, 10), glance(DOWN, 1, 10), glance(LIVE, 2, 40)];
        assert_eq!(looks(&mut gaps, &seen), [(MissingTrade, 10, None), (MissingTrade, 10, Some(40))]);
    }

    #[test]
    fn the_end_of_a_subscription_ends_its_gap_and_a_new_one_begins_without() {
        let mut gaps = Gaps::default();
        let again = Health::Resyncing { since: Nanos(99), reason: HealthReason::SubscribedAgain };
        let seen = [glance(LIVE, 1, 10), glance(DOWN, 1, 10), glance(DROPPED, 1, 10)];
        assert_eq!(looks(&mut gaps, &seen)[1], (HealthReason::NewSocket, 10, Some(99)));
        let seen = [glance(DROPPED, 1, 10), glance(again, 1, 10), glance(LIVE, 2, 200), glance(LIVE, 2, 210)];
        assert_eq!(looks(&mut gaps, &seen), []);
    }

    #[test]
    fn a_stream_without_a_message_has_no_gap_until_one_is_refused() {
        let mut gaps = Gaps::default();
        let none = |health| Glance { newest: None, ..glance(health, 0, 0) };
        let no_data = Health::NoData { since: Nanos(3) };
        assert_eq!(looks(&mut gaps, &[none(DOWN), none(no_data), none(DOWN), none(no_data)]), []);
        let first = refused(glance(LIVE, 2, 20), 12);
        assert_eq!(looks(&mut gaps, &[first, glance(LIVE, 2, 30)]), [(HealthReason::Refused, 3, Some(20))]);
    }

    #[test]
    fn the_log_keeps_the_newest_gaps_and_counts_the_others() {
        let mut gaps = Gaps::default();
        let sockets = CLOSED_MAX as u32 + 4;
        (1..=sockets).for_each(|epoch| _ = gaps.look(&glance(LIVE, epoch, epoch.into())));
        gaps.look(&glance(DOWN, sockets, sockets.into()));
        let GapLog { gaps, cut } = gaps.log();
        assert_eq!((gaps.len(), cut), (CLOSED_MAX + 1, 3));
        assert!(gaps[0].from.epoch == Epoch(4) && gaps.last().unwrap().to.is_none());
    }
}
