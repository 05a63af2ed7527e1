//! Limits how often the exchange is asked about one stream or one connection.

use std::time::Duration;

use crate::model::Nanos;

/// The pause after the first question. The exchange is given about 6 s to answer.
const PAUSE_MIN: Duration = Duration::from_secs(10);
/// The longest pause between two questions.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// After this time without a problem, the next question is like the first.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// The questions that were asked about one stream or one connection. The first is asked at once, and the pause between
/// two of them doubles.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempts {
    /// The earliest time of the next question.
    next: Nanos,
    /// The pause after it.
    pause: Duration,
    /// Since when there was no problem.
    fine_since: Option<Nanos>,
}

impl Attempts {
    /// Records that there is no problem.
    pub fn is_fine(&mut self, now: Nanos) {
        let since = *self.fine_since.get_or_insert(now);
        if now.since(since) >= FORGIVEN_AFTER {
            self.pause = Duration::ZERO;
        }
    }

    /// Records that there is a problem. Returns true if a question may be asked now; see [`asked`](Self::asked).
    pub fn is_due(&mut self, now: Nanos) -> bool {
        self.fine_since = None;
        now >= self.next
    }

    /// Records that a question was asked.
    pub fn asked(&mut self, now: Nanos) {
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.next = now + self.pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + s * 1000)
    }

    /// Returns the seconds at which questions are asked, in this range, about a problem that does not end.
    fn asked(attempts: &mut Attempts, seconds: std::ops::Range<u64>) -> Vec<u64> {
        let ask = |second: &u64| {
            let is_due = attempts.is_due(at(*second));
            if is_due {
                attempts.asked(at(*second));
            }
            is_due
        };
        seconds.filter(ask).collect()
    }

    #[test]
    fn the_first_question_is_asked_at_once_and_the_pauses_double_up_to_ten_minutes() {
        let mut attempts = Attempts::default();
        let expected = [5, 15, 35, 75, 155, 315, 635, 1235, 1835, 2435];
        assert_eq!(asked(&mut attempts, 5..2500), expected);
    }

    #[test]
    fn only_a_minute_without_a_problem_makes_the_next_question_the_first() {
        let mut attempts = Attempts::default();
        asked(&mut attempts, 0..100);
        (100..159).for_each(|second| attempts.is_fine(at(second)));
        assert_eq!(asked(&mut attempts, 159..400), [159, 319], "the pauses go on");
        (400..461).for_each(|second| attempts.is_fine(at(second)));
        assert_eq!(asked(&mut attempts, 630..700), [639, 649, 669]);
    }
}
