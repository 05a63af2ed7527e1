//! Is the peer there, and does it still send data? Two questions with two clocks.

use std::time::Duration;

use crate::config::Timeouts;
use crate::model::Nanos;

/// The longest pause between two requests that try to wake a connection which never had data.
const PATIENCE_MAX: Duration = Duration::from_secs(60);

/// What the passing of time asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Nothing,
    /// Send a ping with this payload.
    Ping,
    /// Send the subscription again: a live exchange answers with snapshots.
    Probe,
    /// Nothing at all came for too long.
    Silent(Duration),
    /// The peer lives but data stopped.
    Mute(Duration),
}

/// When the peer last showed that it lives, and when data last came, on one socket.
///
/// A sign of life is a whole data message, a ping, or a pong with the payload of our last ping: bytes that trickle, and
/// pongs that nobody asked for, are none.
#[derive(Debug)]
pub(super) struct Liveness {
    timeouts: Timeouts,
    alive_at: Nanos,
    ping: Option<Ping>,
    data_at: Nanos,
    probe_at: Option<Nanos>,
    /// How long data may be missing before the next probe.
    patience: Duration,
    round_trip: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Ping {
    at: Nanos,
    payload: [u8; 8],
}

impl Liveness {
    /// A socket that opened at `now`.
    pub fn new(timeouts: Timeouts, now: Nanos) -> Self {
        let patience = timeouts.quiet_after;
        Self { timeouts, alive_at: now, ping: None, data_at: now, probe_at: None, patience, round_trip: None }
    }

    /// The peer showed that it lives.
    pub fn alive(&mut self, now: Nanos) {
        self.alive_at = now;
    }

    /// Data came.
    #[inline]
    pub fn data(&mut self, now: Nanos) {
        self.alive_at = now;
        self.data_at = now;
        self.probe_at = None;
        self.patience = self.timeouts.quiet_after;
    }

    /// We sent a ping.
    pub fn pinged(&mut self, now: Nanos, payload: [u8; 8]) {
        self.ping = Some(Ping { at: now, payload });
    }

    /// A pong came. Only the answer to our last ping counts.
    pub fn pong(&mut self, now: Nanos, payload: &[u8]) {
        if let Some(ping) = self.ping.take_if(|ping| ping.payload == payload) {
            self.round_trip = Some(now.since(ping.at));
            self.alive(now);
        }
    }

    /// A new subscription went out: its answer gets its own time.
    pub fn requested(&mut self, now: Nanos) {
        self.data_at = now;
        self.probe_at = None;
        self.patience = self.timeouts.quiet_after;
    }

    /// The subscription went out again, unchanged.
    pub fn probed(&mut self, now: Nanos) {
        self.probe_at = Some(now);
    }

    /// The probe stayed without answer, and data never came for this subscription: perhaps no such market trades. Wait,
    /// longer each time.
    pub fn be_patient(&mut self, now: Nanos) {
        self.probe_at = None;
        self.data_at = now;
        self.patience = (self.patience * 2).min(PATIENCE_MAX.max(self.timeouts.quiet_after));
    }

    /// Round trip of the last answered ping.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What is due at `now`. `expects_data`: a subscription is on the wire.
    pub fn due(&self, now: Nanos, expects_data: bool) -> Due {
        if now >= self.ping_at() {
            return Due::Ping;
        }
        if now >= self.silent_at() {
            return Due::Silent(now.since(self.alive_at));
        }
        if expects_data && now >= self.data_deadline() {
            return match self.probe_at {
                None => Due::Probe,
                Some(_) => Due::Mute(now.since(self.data_at)),
            };
        }
        Due::Nothing
    }

    /// When to ask `due` again.
    pub fn deadline(&self, expects_data: bool) -> Nanos {
        let life = self.ping_at().min(self.silent_at());
        if expects_data { life.min(self.data_deadline()) } else { life }
    }

    /// No peer is silent that was not asked: if we could not ping in time, because this process stood still, the ping
    /// still gets the time it would have had.
    fn silent_at(&self) -> Nanos {
        match self.ping {
            Some(ping) if ping.at >= self.alive_at => {
                let answer_within = self.timeouts.silent_after.saturating_sub(self.timeouts.ping_after);
                (self.alive_at + self.timeouts.silent_after).max(ping.at + answer_within)
            }
            _ => Nanos::NEVER,
        }
    }

    /// One ping for each stretch of silence.
    fn ping_at(&self) -> Nanos {
        let due = self.alive_at + self.timeouts.ping_after;
        match self.ping {
            Some(ping) if ping.at >= due => Nanos::NEVER,
            _ => due,
        }
    }

    fn data_deadline(&self) -> Nanos {
        match self.probe_at {
            None => self.data_at + self.patience,
            Some(at) => at + self.timeouts.probe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(10_000_000 + ms)
    }

    fn live() -> Liveness {
        Liveness::new(Timeouts::default(), at(0))
    }

    #[test]
    fn silence_is_met_with_one_ping_and_then_with_an_end() {
        let mut l = live();
        assert_eq!(l.due(at(1_999), false), Due::Nothing);
        assert_eq!(l.due(at(2_000), false), Due::Ping);
        l.pinged(at(2_000), [7; 8]);
        assert_eq!(l.due(at(4_499), false), Due::Nothing);
        assert_eq!(l.due(at(4_500), false), Due::Silent(Duration::from_millis(4_500)));
    }

    #[test]
    fn our_own_pause_is_not_the_peers_silence() {
        let mut l = live();
        assert_eq!(l.due(at(60_000), false), Due::Ping, "first ask, then judge");
        l.pinged(at(60_000), [7; 8]);
        assert_eq!(l.due(at(62_499), false), Due::Nothing);
        assert_eq!(l.due(at(62_500), false), Due::Silent(Duration::from_millis(62_500)));
    }

    #[test]
    fn only_the_answer_to_our_last_ping_is_a_sign_of_life() {
        let mut l = live();
        l.pinged(at(2_000), [7; 8]);
        l.pong(at(2_100), b"");
        l.pong(at(2_100), &[8; 8]);
        assert_eq!(l.round_trip(), None);
        l.pong(at(2_200), &[7; 8]);
        assert_eq!(l.round_trip(), Some(Duration::from_millis(200)));
        l.pong(at(9_999), &[7; 8]);
        assert_eq!(l.due(at(4_200), false), Due::Ping, "the next stretch of silence has its own ping");
    }

    #[test]
    fn pongs_do_not_hide_that_data_stopped() {
        let mut l = live();
        for s in 1..10 {
            l.alive(at(s * 1000));
        }
        l.alive(at(10_000));
        assert_eq!(l.due(at(10_000), true), Due::Probe);
        l.probed(at(10_000));
        l.alive(at(14_000));
        assert_eq!(l.due(at(14_999), true), Due::Nothing);
        l.alive(at(15_000));
        assert_eq!(l.due(at(15_000), true), Due::Mute(Duration::from_secs(15)));
        assert_eq!(l.due(at(15_000), false), Due::Nothing, "a socket without subscription owes no data");
        l.data(at(15_000));
        assert_eq!(l.due(at(15_001), true), Due::Nothing);
    }

    #[test]
    fn patience_grows_where_data_never_came() {
        let mut l = live();
        l.be_patient(at(15_000));
        l.alive(at(34_999));
        assert_eq!(l.due(at(34_999), true), Due::Nothing);
        assert_eq!(l.due(at(35_000), true), Due::Probe);
    }

    #[test]
    fn the_deadline_is_never_later_than_what_is_due() {
        let mut l = live();
        let mut now = at(0);
        for step in 0..50 {
            now = l.deadline(true);
            match l.due(now, true) {
                Due::Nothing => panic!("step {step}: woken at {now:?} for nothing"),
                Due::Ping => {
                    l.pinged(now, [step; 8]);
                    l.pong(now + Duration::from_millis(3), &[step; 8]);
                }
                Due::Probe => l.probed(now),
                Due::Mute(_) => l.data(now),
                Due::Silent(_) => panic!("step {step}: answered pings are not silence"),
            }
        }
        assert!(now > at(60_000));
    }
}
