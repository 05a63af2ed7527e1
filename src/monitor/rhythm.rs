//! The pauses that are usual for a stream, learned from its arrivals.

use std::time::Duration;

use crate::model::{Epoch, Nanos};

/// A silence is unusual if it is this many times as long as the longest recent pause. Market data comes in bursts: with
/// pauses of which each tenfold length is ten times as rare, 4 is exceeded about once in four times as many messages as
/// are remembered.
const FACTOR: u32 = 4;
/// A shorter silence is never unusual.
const SILENCE_MIN: Duration = Duration::from_secs(2);
/// A stream with longer usual silences is not judged by them. The answer to a needless question teaches the rhythm a
/// longer pause, so a market that stops trading is asked for a few times and then left alone.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// The number of pauses that must be known before silence tells anything.
const PAUSES_MIN: u32 = 3;
/// The number of pauses from which on they are taken as they are. With half as many, silences twice as long are usual.
const PAUSES_ENOUGH: u32 = 20;
/// The longest pause shrinks by this part with each pause that follows.
const FORGET: u32 = 512;

/// What is known about the pauses of one stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Rhythm {
    /// The number of arrivals at the last look.
    arrivals: u64,
    /// When the last of them was received, and on which socket.
    last: Option<(Epoch, Nanos)>,
    /// The number of pauses seen.
    pauses: u32,
    /// The longest recent pause. Arrivals between two looks count as one, so it is at most one look too long.
    longest: Duration,
}

impl Rhythm {
    /// Records the number of arrivals so far, and the last of them.
    pub fn look(&mut self, arrivals: u64, epoch: Epoch, received: Nanos) {
        let is_first = self.arrivals == 0;
        if arrivals == self.arrivals {
            return;
        }
        self.arrivals = arrivals;
        let before = self.last.replace((epoch, received));
        // The pause between two sockets says nothing about the stream.
        let Some((_, last)) = before.filter(|(socket, _)| *socket == epoch && !is_first) else { return };
        self.pauses = self.pauses.saturating_add(1);
        self.longest = received.since(last).max(self.longest - self.longest / FORGET);
    }

    /// Returns the longest silence that is usual. `None` while too little is known, and for a stream whose usual silences
    /// are too long to tell anything.
    pub fn usual_silence(&self) -> Option<Duration> {
        if self.pauses < PAUSES_MIN {
            return None;
        }
        let known = self.pauses.min(PAUSES_ENOUGH);
        let usual = (self.longest * FACTOR).max(SILENCE_MIN) * PAUSES_ENOUGH / known;
        (usual <= SILENCE_MAX).then_some(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + ms)
    }

    /// Returns the rhythm of a stream with these pauses, in ms.
    fn with_pauses(pauses: impl IntoIterator<Item = u64>) -> Rhythm {
        let (mut rhythm, mut ms) = (Rhythm::default(), 0);
        for (number, pause) in [0].into_iter().chain(pauses).enumerate() {
            ms += pause;
            rhythm.look(number as u64 + 1, Epoch(1), at(ms));
        }
        rhythm
    }

    fn usual_ms(rhythm: &Rhythm) -> Option<u128> {
        rhythm.usual_silence().map(|usual| usual.as_millis())
    }

    #[test]
    fn the_fewer_pauses_are_known_the_longer_silences_are_usual() {
        assert_eq!(usual_ms(&Rhythm::default()), None);
        assert_eq!(usual_ms(&with_pauses([1000; 2])), None);
        assert_eq!(usual_ms(&with_pauses([1000; 4])), Some(20_000));
        assert_eq!(usual_ms(&with_pauses([1000; 10])), Some(8000));
        assert_eq!(usual_ms(&with_pauses([1000; 20])), Some(4000));
        assert_eq!(usual_ms(&with_pauses([1000; 200])), Some(4000));
    }

    #[test]
    fn the_longest_recent_pause_counts_and_is_forgotten_slowly() {
        assert_eq!(usual_ms(&with_pauses([10; 100])), Some(2000), "never less than 2 s");
        assert_eq!(usual_ms(&with_pauses([[10; 100], [10; 100]].concat().into_iter().chain([5000]))), Some(20_000));
        let later = |n| usual_ms(&with_pauses([5000].into_iter().chain(std::iter::repeat_n(10, n)))).unwrap();
        assert!((15_000..17_000).contains(&later(100)), "{}", later(100));
        assert_eq!(later(2000), 2000);
    }

    #[test]
    fn a_stream_that_is_usually_silent_for_minutes_is_not_judged() {
        assert_eq!(usual_ms(&with_pauses([150_000; 30])), Some(600_000));
        assert_eq!(usual_ms(&with_pauses([150_001; 30])), None);
    }

    #[test]
    fn arrivals_between_two_looks_count_as_one_and_a_look_without_arrivals_as_none() {
        let mut rhythm = with_pauses([100; 30]);
        rhythm.look(40, Epoch(1), at(4000));
        assert_eq!(rhythm.longest, Duration::from_millis(1000));
        let pauses = rhythm.pauses;
        (0..100).for_each(|_| rhythm.look(40, Epoch(1), at(4000)));
        assert_eq!(rhythm.pauses, pauses);
    }

    #[test]
    fn the_time_between_two_sockets_is_no_pause() {
        let mut rhythm = with_pauses([100; 30]);
        rhythm.look(32, Epoch(2), at(1_000_000));
        assert_eq!(usual_ms(&rhythm), Some(2000));
    }
}
