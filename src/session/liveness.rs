//! Is the peer there, and does it still send data? Two questions with two clocks.

use std::time::Duration;

use crate::config::Timeouts;
use crate::model::Nanos;

/// The longest pause between two probes on a socket that answers none.
const PROBE_AFTER_MAX: Duration = Duration::from_secs(60);
/// Unanswered probes before a socket is blamed whose streams never brought data: perhaps there are no such markets.
const PROBES_WITHOUT_DATA: u32 = 4;
/// The most unanswered probes before a socket is blamed. They take about a quarter of an hour.
const PROBES_MAX: u32 = 16;

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
    /// The peer lives, but no data came for this long, and the probe stayed without an answer.
    Mute(Duration),
}

/// When the peer last showed that it lives, and when data last came, on one socket.
///
/// A sign of life is a whole data message, a ping, or a pong with the payload of our last ping: bytes that trickle, and
/// pongs that nobody asked for, are none.
///
/// A probe is a request for snapshots of everything: a live exchange answers it even where nobody trades.
#[derive(Debug)]
pub(super) struct Liveness {
    timeouts: Timeouts,
    alive_at: Nanos,
    ping: Option<Ping>,
    /// When data last came, or else the first request went out.
    data_at: Nanos,
    /// When the wait for the next probe began: at that time, or when the last probe was given up.
    waits_since: Nanos,
    /// How long that wait is.
    probe_after: Duration,
    probe: Probe,
    /// Probes in a row that were given up.
    unanswered: u32,
}

/// The next probe, or the one under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// None is needed.
    NotDue,
    /// One has to be sent as soon as the budget of requests allows. Nobody is blamed for being quiet until then.
    Due,
    /// One was sent at this time and is not answered yet.
    Sent(Nanos),
}

#[derive(Debug, Clone, Copy)]
struct Ping {
    at: Nanos,
    payload: [u8; 8],
}

impl Liveness {
    /// A socket that opened at `now`.
    pub fn new(timeouts: Timeouts, now: Nanos) -> Self {
        let probe_after = timeouts.quiet_after;
        Self {
            timeouts,
            alive_at: now,
            ping: None,
            data_at: now,
            waits_since: now,
            probe_after,
            probe: Probe::NotDue,
            unanswered: 0,
        }
    }

    /// The peer showed that it lives.
    pub fn alive(&mut self, now: Nanos) {
        self.alive_at = now;
    }

    /// Data came.
    #[inline]
    pub fn data(&mut self, now: Nanos) {
        self.alive_at = now;
        self.expect_data(now);
    }

    /// We sent a ping.
    pub fn pinged(&mut self, now: Nanos, payload: [u8; 8]) {
        self.ping = Some(Ping { at: now, payload });
    }

    /// A pong came. Only the answer to our last ping counts: then, how long it took.
    pub fn pong(&mut self, now: Nanos, payload: &[u8]) -> Option<Duration> {
        let ping = self.ping.take_if(|ping| ping.payload == payload)?;
        self.alive(now);
        Some(now.since(ping.at))
    }

    /// The first request of the socket went out, or data came: the wait for data begins.
    #[inline]
    pub fn expect_data(&mut self, now: Nanos) {
        self.data_at = now;
        self.waits_since = now;
        self.probe_after = self.timeouts.quiet_after;
        self.unanswered = 0;
        // One that is due still asks for what the exchange has refused.
        if matches!(self.probe, Probe::Sent(_)) {
            self.probe = Probe::NotDue;
        }
    }

    /// Other streams are about to be asked for on the same socket. True if that request has to be a probe: one is due, or
    /// one is under way and this request would take its place.
    ///
    /// The wait for data goes on. If each request began it again, a socket whose streams change often would never be
    /// found mute.
    pub fn changed(&mut self, now: Nanos) -> bool {
        self.probe_after = self.timeouts.quiet_after;
        let is_probe = self.probe != Probe::NotDue || now >= self.waits_since + self.probe_after;
        if is_probe {
            self.probed(now);
        }
        is_probe
    }

    /// A probe has to be sent.
    pub fn is_probe_due(&self) -> bool {
        self.probe == Probe::Due
    }

    /// Has a probe sent as soon as possible.
    pub fn request_probe(&mut self) {
        self.probe = Probe::Due;
    }

    /// A probe went out. One that takes the place of another gets no time of its own.
    pub fn probed(&mut self, now: Nanos) {
        if !matches!(self.probe, Probe::Sent(_)) {
            self.probe = Probe::Sent(now);
        }
    }

    /// Gives up the probe that stayed without an answer. The next one follows after a longer wait each time.
    pub fn give_up_probe(&mut self, now: Nanos) {
        self.probe = Probe::NotDue;
        self.unanswered += 1;
        self.waits_since = now;
        self.probe_after = self.probe_after.saturating_mul(2).min(PROBE_AFTER_MAX.max(self.timeouts.quiet_after));
    }

    /// Whether the socket is to blame if the probe under way stays without an answer too. One such probe is enough if
    /// `had_data`: its streams have brought data before. Each socket in a row that was `replaced` for this doubles
    /// the number: where new sockets do not help, it may be the markets.
    pub fn is_mute(&self, had_data: bool, replaced: u32) -> bool {
        let least = if had_data { 1 } else { PROBES_WITHOUT_DATA };
        let probes = 1u32.checked_shl(replaced).unwrap_or(PROBES_MAX).clamp(least, PROBES_MAX);
        self.unanswered + 1 >= probes
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
            return match self.probe {
                Probe::Sent(_) => Due::Mute(now.since(self.data_at)),
                Probe::NotDue | Probe::Due => Due::Probe,
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
        match self.probe {
            Probe::NotDue => self.waits_since + self.probe_after,
            Probe::Due => Nanos::NEVER,
            Probe::Sent(at) => at + self.timeouts.probe,
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
        assert_eq!(l.pong(at(2_100), b""), None);
        assert_eq!(l.pong(at(2_100), &[8; 8]), None);
        assert_eq!(l.pong(at(2_200), &[7; 8]), Some(Duration::from_millis(200)));
        assert_eq!(l.pong(at(9_999), &[7; 8]), None);
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
    fn the_wait_for_the_next_probe_grows_where_none_is_answered() {
        let mut l = live();
        l.probed(at(10_000));
        l.give_up_probe(at(15_000));
        l.alive(at(34_999));
        assert_eq!(l.due(at(34_999), true), Due::Nothing);
        assert_eq!(l.due(at(35_000), true), Due::Probe);
        l.probed(at(35_000));
        l.alive(at(40_000));
        assert_eq!(l.due(at(40_000), true), Due::Mute(Duration::from_secs(40)), "since data came, not since the probe");
    }

    /// It was doubled past the end of what a duration can hold.
    #[test]
    fn the_wait_for_the_next_probe_may_be_as_long_as_a_duration_can_be() {
        let timeouts = Timeouts { quiet_after: Duration::MAX, ..Timeouts::default() };
        let mut l = Liveness::new(timeouts, at(0));
        l.request_probe();
        l.probed(at(1));
        l.give_up_probe(at(6_000));
        l.alive(at(6_000));
        assert_eq!(l.due(at(7_000), true), Due::Nothing);
    }

    #[test]
    fn other_streams_do_not_begin_the_wait_for_data_again() {
        let mut l = live();
        assert!(!l.changed(at(9_999)));
        assert!(l.changed(at(10_000)), "data is missing for so long that this request is the probe");
        assert!(l.changed(at(14_000)), "and this one in its place");
        l.alive(at(15_000));
        assert_eq!(l.due(at(15_000), true), Due::Mute(Duration::from_secs(15)));
        l.data(at(15_000));
        assert!(!l.changed(at(15_001)));
    }

    #[test]
    fn a_socket_is_blamed_after_one_probe_or_four_and_later_each_time_it_was_no_help() {
        let probes = |had_data, replaced| {
            let mut l = live();
            let mut probes = 1;
            while !l.is_mute(had_data, replaced) {
                l.give_up_probe(at(0));
                probes += 1;
            }
            probes
        };
        assert_eq!([0, 1, 2, 3, 4, 5, 99].map(|replaced| probes(true, replaced)), [1, 2, 4, 8, 16, 16, 16]);
        assert_eq!([0, 1, 2, 3, 4, 5, 99].map(|replaced| probes(false, replaced)), [4, 4, 4, 8, 16, 16, 16]);
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
