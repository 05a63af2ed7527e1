//! Extends the deadlines of an attempt while the network is slow.
//!
//! A fixed deadline has two faults: on a path that has become slower than the deadline, no attempt ever succeeds, and a
//! deadline that is long enough for every path finds a dead peer late. So each step has its own extension: it doubles
//! when the step takes too long, and ends when the step is fast again.

use std::time::Duration;

use super::Stage;

/// The most doublings of a deadline: four times its length.
const DOUBLINGS_MAX: u32 = 2;
/// A step that needs less than this part of its deadline is fast.
const FAST: u32 = 4;

/// How long the steps of opening a socket took. `None` for a step that it did not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OpeningTimes {
    /// The look-up of the name.
    pub resolve: Option<Duration>,
    /// TCP.
    pub connect: Option<Duration>,
    /// The tunnel through a proxy.
    pub tunnel: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// The WebSocket handshake, from the request to the response.
    pub upgrade: Option<Duration>,
}

/// The extensions of a connection's deadlines.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// By stage.
    doublings: [u32; Stage::ALL.len()],
    /// The newest round trip: of the last ping, or of the opening of the socket.
    round_trip: Duration,
    /// How long the steps of the newest attempt took so far.
    times: OpeningTimes,
}

impl Patience {
    /// Returns the deadline of a step whose configured deadline is `limit`.
    pub fn extend(&self, stage: Stage, limit: Duration) -> Duration {
        limit.saturating_mul(1 << self.doublings[stage as usize])
    }

    /// Records that a step took too long.
    pub fn timed_out(&mut self, stage: Stage) {
        let doublings = &mut self.doublings[stage as usize];
        *doublings = (*doublings + 1).min(DOUBLINGS_MAX);
    }

    /// Begins a new attempt.
    pub fn begin(&mut self) {
        self.times = OpeningTimes::default();
    }

    /// Returns how long the steps of the newest attempt took so far.
    pub fn times(&self) -> OpeningTimes {
        self.times
    }

    /// Records that a step took this long.
    pub fn took(&mut self, stage: Stage, time: Duration, limit: Duration) {
        let times = &mut self.times;
        let of_stage = match stage {
            Stage::Resolve => &mut times.resolve,
            Stage::Connect => &mut times.connect,
            Stage::Tunnel => &mut times.tunnel,
            Stage::Tls => &mut times.tls,
            Stage::Upgrade => &mut times.upgrade,
        };
        *of_stage = Some(time);
        if time.saturating_mul(FAST) <= limit {
            self.doublings[stage as usize] = 0;
        }
        match stage {
            Stage::Connect => self.round_trip = time,
            // A lost packet delays one of the two by a second, but seldom both.
            Stage::Upgrade => self.round_trip = self.round_trip.min(time),
            Stage::Resolve | Stage::Tunnel | Stage::Tls => {}
        }
    }

    /// Records the round trip of a ping.
    pub fn round_trip(&mut self, time: Duration) {
        self.round_trip = time;
    }

    /// Returns how long the answer to a ping may take, if `limit` is configured: four times the newest round trip, but
    /// at most four times the limit.
    pub fn answer_within(&self, limit: Duration) -> Duration {
        self.round_trip.saturating_mul(4).clamp(limit, limit.saturating_mul(1 << DOUBLINGS_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_its_own_extension_which_ends_when_the_step_is_fast() {
        let (limit, mut patience) = (Duration::from_secs(4), Patience::default());
        let deadlines =
            |patience: &Patience| [Stage::Connect, Stage::Tls].map(|stage| patience.extend(stage, limit).as_secs());
        for expected in [4, 8, 16, 16] {
            assert_eq!(deadlines(&patience), [4, expected]);
            patience.timed_out(Stage::Tls);
        }
        patience.took(Stage::Connect, Duration::ZERO, limit);
        patience.took(Stage::Tls, Duration::from_millis(1001), limit);
        assert_eq!(deadlines(&patience), [4, 16], "not fast");
        patience.took(Stage::Tls, Duration::from_millis(1000), limit);
        assert_eq!(deadlines(&patience), [4, 4]);
    }

    #[test]
    fn the_answer_to_a_ping_may_take_four_of_the_newest_round_trips() {
        let (limit, mut patience) = (Duration::from_secs(2), Patience::default());
        for (round_trip, expected) in [(10, 2000), (500, 2000), (700, 2800), (60_000, 8000), (10, 2000)] {
            patience.round_trip(Duration::from_millis(round_trip));
            assert_eq!(patience.answer_within(limit), Duration::from_millis(expected));
        }
    }
}
