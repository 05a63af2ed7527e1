//! Decides whether the peer is alive and whether it still sends data. The two questions have separate deadlines.

use std::time::Duration;

use super::patience::Patience;
use crate::config::Timeouts;
use crate::model::Nanos;

/// The longest wait between two probes on a socket that answers none, unless `quiet_after` is longer.
const PROBE_AFTER_MAX: Duration = Duration::from_secs(60);
/// The least number of unanswered probes that make a socket mute if its streams have never sent data. Their markets may
/// not exist.
const PROBES_WITHOUT_DATA: u32 = 4;
/// The largest number of unanswered probes that make a socket mute. They take about a quarter of an hour.
const PROBES_MAX: u32 = 16;

/// What is due at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// Send a ping.
    Ping,
    /// Send the subscription again: a working exchange answers with snapshots.
    Probe,
    /// No sign of life arrived for this long.
    Silent(Duration),
    /// The peer is alive, but no data arrived for this long, and the probe was not answered.
    Mute(Duration),
}

/// Records when the peer of one socket last showed a sign of life, and when data last arrived.
///
/// A sign of life is a whole message, a ping, or a pong with the payload of our last ping. Single bytes and unsolicited
/// pongs are not signs of life.
///
/// A probe requests snapshots of every stream. A working exchange answers it even if there are no trades.
#[derive(Debug)]
pub(super) struct Liveness {
    timeouts: Timeouts,
    /// How long the answer to a ping may take.
    answer_within: Duration,
    alive_at: Nanos,
    ping: Option<Ping>,
    /// When data last arrived, or the first request was sent.
    data_at: Nanos,
    /// When the wait for the next probe began: at `data_at`, or when the last probe was given up.
    waits_since: Nanos,
    /// The length of that wait.
    probe_after: Duration,
    probe: Probe,
    /// The number of probes in a row that were given up.
    unanswered: u32,
}

/// The state of the next probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    /// No probe is needed yet.
    NotDue,
    /// A probe must be sent as soon as the request budget allows. Until it is sent, the socket cannot be found mute.
    Due,
    /// A probe was sent at this time and is not answered yet.
    Sent(Nanos),
}

#[derive(Debug, Clone, Copy)]
struct Ping {
    at: Nanos,
    payload: [u8; 8],
}

impl Liveness {
    /// Creates the state of a socket that opened at `now`.
    pub fn new(timeouts: Timeouts, patience: &Patience, now: Nanos) -> Self {
        let probe_after = timeouts.quiet_after;
        Self {
            answer_within: answer_within(&timeouts, patience),
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

    /// Sets the deadlines from now on.
    pub fn set_timeouts(&mut self, timeouts: Timeouts, patience: &Patience) {
        self.answer_within = answer_within(&timeouts, patience);
        if self.probe_after == self.timeouts.quiet_after {
            self.probe_after = timeouts.quiet_after;
        }
        self.timeouts = timeouts;
    }

    /// Records a sign of life.
    pub fn alive(&mut self, now: Nanos) {
        self.alive_at = now;
    }

    /// Returns when the peer last showed a sign of life.
    pub fn alive_at(&self) -> Nanos {
        self.alive_at
    }

    /// Records the arrival of data.
    #[inline]
    pub fn data(&mut self, now: Nanos) {
        self.alive_at = now;
        self.expect_data(now);
    }

    /// Records that a ping was sent.
    pub fn pinged(&mut self, now: Nanos, payload: [u8; 8]) {
        self.ping = Some(Ping { at: now, payload });
    }

    /// Records a pong. If it answers our last ping, returns the round trip; other pongs do not count.
    pub fn pong(&mut self, now: Nanos, payload: &[u8], patience: &mut Patience) -> Option<Duration> {
        let ping = self.ping.take_if(|ping| ping.payload == payload)?;
        self.alive(now);
        let round_trip = now.since(ping.at);
        patience.round_trip(round_trip);
        self.answer_within = answer_within(&self.timeouts, patience);
        Some(round_trip)
    }

    /// Begins the wait for data: the first request of the socket was sent, or data arrived.
    #[inline]
    pub fn expect_data(&mut self, now: Nanos) {
        self.data_at = now;
        self.waits_since = now;
        self.probe_after = self.timeouts.quiet_after;
        self.unanswered = 0;
        // A probe that is due stays due, because it may repeat a request that the exchange refused.
        if matches!(self.probe, Probe::Sent(_)) {
            self.probe = Probe::NotDue;
        }
    }

    /// Records that other streams are about to be requested on the same socket. Returns true if that request must be a
    /// probe: a probe is due, or one was sent and this request replaces it.
    ///
    /// The wait for data goes on. If each request restarted it, a socket whose streams change often would never be
    /// found mute.
    pub fn changed(&mut self, now: Nanos) -> bool {
        self.probe_after = self.timeouts.quiet_after;
        let is_probe = self.probe != Probe::NotDue || now >= self.waits_since + self.probe_after;
        if is_probe {
            self.probed(now);
        }
        is_probe
    }

    /// Returns true if a probe must be sent.
    pub fn is_probe_due(&self) -> bool {
        self.probe == Probe::Due
    }

    /// Requests that a probe be sent as soon as possible.
    pub fn request_probe(&mut self) {
        self.probe = Probe::Due;
    }

    /// Requests a probe, unless one is due or not answered yet.
    pub fn check(&mut self) {
        if self.probe == Probe::NotDue {
            self.probe = Probe::Due;
        }
    }

    /// Records that a probe was sent. A probe that replaces an unanswered one keeps its deadline.
    pub fn probed(&mut self, now: Nanos) {
        if !matches!(self.probe, Probe::Sent(_)) {
            self.probe = Probe::Sent(now);
        }
    }

    /// Gives up the unanswered probe. Each time, the wait for the next one doubles.
    pub fn give_up_probe(&mut self, now: Nanos) {
        self.probe = Probe::NotDue;
        self.unanswered += 1;
        self.waits_since = now;
        self.probe_after = self.probe_after.saturating_mul(2).min(PROBE_AFTER_MAX.max(self.timeouts.quiet_after));
    }

    /// Returns true if the socket is mute, given that the current probe was not answered either.
    ///
    /// If the streams have sent data before (`had_data`), one unanswered probe is enough, otherwise
    /// [`PROBES_WITHOUT_DATA`] are needed. `replaced` is the number of sockets in a row that were replaced as mute just
    /// before this one. At least 2 to the power of `replaced` probes are needed, but never more than [`PROBES_MAX`]: if
    /// new sockets do not help, the markets may be the cause.
    pub fn is_mute(&self, had_data: bool, replaced: u32) -> bool {
        let least = if had_data { 1 } else { PROBES_WITHOUT_DATA };
        let probes = 1u32.checked_shl(replaced).unwrap_or(PROBES_MAX).clamp(least, PROBES_MAX);
        self.unanswered + 1 >= probes
    }

    /// Returns what is due at `now`. `expects_data` is true once a subscription request was sent.
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

    /// Returns when to call `due` again.
    pub fn deadline(&self, expects_data: bool) -> Nanos {
        let life = self.ping_at().min(self.silent_at());
        if expects_data { life.min(self.data_deadline()) } else { life }
    }

    /// Returns when the peer counts as silent; `NEVER` unless it was pinged after its last sign of life. If this
    /// process was paused and could not ping in time, the ping still gets its full time to be answered.
    fn silent_at(&self) -> Nanos {
        match self.ping {
            Some(ping) if ping.at >= self.alive_at => {
                (self.alive_at + self.timeouts.ping_after + self.answer_within).max(ping.at + self.answer_within)
            }
            _ => Nanos::NEVER,
        }
    }

    /// Returns when to send a ping; `NEVER` if this period of silence has had one.
    fn ping_at(&self) -> Nanos {
        let due = self.alive_at + self.timeouts.ping_after;
        match self.ping {
            Some(ping) if ping.at >= due => Nanos::NEVER,
            _ => due,
        }
    }

    /// Returns when missing data has a consequence: a probe, or the end of the wait for its answer.
    fn data_deadline(&self) -> Nanos {
        match self.probe {
            Probe::NotDue => self.waits_since + self.probe_after,
            Probe::Due => Nanos::NEVER,
            Probe::Sent(at) => at + self.timeouts.probe,
        }
    }
}

/// Returns how long the answer to a ping may take: the configured time, or longer while round trips are.
fn answer_within(timeouts: &Timeouts, patience: &Patience) -> Duration {
    patience.answer_within(timeouts.silent_after.saturating_sub(timeouts.ping_after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(10_000_000 + ms)
    }

    fn live() -> Liveness {
        Liveness::new(Timeouts::default(), &Patience::default(), at(0))
    }

    #[test]
    fn silence_leads_to_one_ping_and_then_to_a_disconnect() {
        let mut l = live();
        assert_eq!(l.due(at(1_999), false), Due::Nothing);
        assert_eq!(l.due(at(2_000), false), Due::Ping);
        l.pinged(at(2_000), [7; 8]);
        assert_eq!(l.due(at(4_499), false), Due::Nothing);
        assert_eq!(l.due(at(4_500), false), Due::Silent(Duration::from_millis(4_500)));
    }

    #[test]
    fn a_pause_of_this_process_is_not_silence_of_the_peer() {
        let mut l = live();
        assert_eq!(l.due(at(60_000), false), Due::Ping, "the peer is pinged before it is called silent");
        l.pinged(at(60_000), [7; 8]);
        assert_eq!(l.due(at(62_499), false), Due::Nothing);
        assert_eq!(l.due(at(62_500), false), Due::Silent(Duration::from_millis(62_500)));
    }

    #[test]
    fn only_a_pong_to_our_last_ping_is_a_sign_of_life() {
        let mut l = live();
        l.pinged(at(2_000), [7; 8]);
        assert_eq!(l.pong(at(2_100), b"", &mut Patience::default()), None);
        assert_eq!(l.pong(at(2_100), &[8; 8], &mut Patience::default()), None);
        assert_eq!(l.pong(at(2_200), &[7; 8], &mut Patience::default()), Some(Duration::from_millis(200)));
        assert_eq!(l.pong(at(9_999), &[7; 8], &mut Patience::default()), None);
        assert_eq!(l.due(at(4_200), false), Due::Ping, "the next period of silence has its own ping");
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
        assert_eq!(l.due(at(15_000), false), Due::Nothing, "a socket without a subscription owes no data");
        l.data(at(15_000));
        assert_eq!(l.due(at(15_001), true), Due::Nothing);
    }

    #[test]
    fn the_wait_for_the_next_probe_grows_if_none_is_answered() {
        let mut l = live();
        l.probed(at(10_000));
        l.give_up_probe(at(15_000));
        l.alive(at(34_999));
        assert_eq!(l.due(at(34_999), true), Due::Nothing);
        assert_eq!(l.due(at(35_000), true), Due::Probe);
        l.probed(at(35_000));
        l.alive(at(40_000));
        assert_eq!(l.due(at(40_000), true), Due::Mute(Duration::from_secs(40)), "counted from the last data");
    }

    /// The doubled wait once overflowed `Duration`.
    #[test]
    fn the_wait_for_the_next_probe_may_be_the_longest_duration() {
        let timeouts = Timeouts { quiet_after: Duration::MAX, ..Timeouts::default() };
        let mut l = Liveness::new(timeouts, &Patience::default(), at(0));
        l.request_probe();
        l.probed(at(1));
        l.give_up_probe(at(6_000));
        l.alive(at(6_000));
        assert_eq!(l.due(at(7_000), true), Due::Nothing);
    }

    #[test]
    fn a_change_of_streams_does_not_restart_the_wait_for_data() {
        let mut l = live();
        assert!(!l.changed(at(9_999)));
        assert!(l.changed(at(10_000)), "the wait is over, so this request is the probe");
        assert!(l.changed(at(14_000)), "this request replaces the probe");
        l.alive(at(15_000));
        assert_eq!(l.due(at(15_000), true), Due::Mute(Duration::from_secs(15)));
        l.data(at(15_000));
        assert!(!l.changed(at(15_001)));
    }

    #[test]
    fn each_replaced_socket_in_a_row_doubles_the_probes_before_a_socket_is_mute() {
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
    fn something_is_due_at_each_deadline() {
        let mut l = live();
        let mut now = at(0);
        for step in 0..50 {
            now = l.deadline(true);
            match l.due(now, true) {
                Due::Nothing => panic!("step {step}: woken at {now:?} although nothing is due"),
                Due::Ping => {
                    l.pinged(now, [step; 8]);
                    l.pong(now + Duration::from_millis(3), &[step; 8], &mut Patience::default());
                }
                Due::Probe => l.probed(now),
                Due::Mute(_) => l.data(now),
                Due::Silent(_) => panic!("step {step}: answered pings are not silence"),
            }
        }
        assert!(now > at(60_000));
    }
}
