//! The record of recent connects, and its text form.

use std::fmt;
use std::time::Duration;

use crate::model::Nanos;
use crate::session::{Budget, RETRY_AFTER_MAX, Rate};

/// How long a connect is kept: more than the exchange's window of 1 s and the widest margin.
pub(super) const KEEP: Duration = Duration::from_secs(2);
/// The longest hold: the longest wait that an exchange may ask for, plus an hour for the random delay that a session
/// adds. A longer hold in a file was not written by hoga.
const HOLD_MAX: Duration = Duration::from_secs(RETRY_AFTER_MAX.as_secs() + 3600);

const TITLE: &str = "hoga-connects 1";
const END: &str = "end";

/// The limit of one caller. Others may apply another limit to the same record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub rate: Rate,
    pub margin: Duration,
}

/// The connects of the last seconds, oldest first, and the end of the current hold. All times are since boot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Record {
    pub connects: Vec<Nanos>,
    pub held_until: Nanos,
}

impl Record {
    /// Returns a replacement for an unreadable record: the budget counts as spent until [`KEEP`] has passed.
    pub fn unknown(now: Nanos) -> Self {
        Self { connects: Vec::new(), held_until: now + KEEP }
    }

    /// Takes one connect, or returns the time at which one is available.
    pub fn try_acquire(&mut self, now: Nanos, limit: Limit) -> Result<(), Nanos> {
        self.forget(now);
        let mut budget = Budget::with_margin([limit.rate], limit.margin);
        self.connects.iter().for_each(|&at| budget.record(at));
        budget.hold(self.held_until);
        budget.try_acquire(now)?;
        self.connects.push(now);
        Ok(())
    }

    /// Grants nothing before `until`, which is at most [`HOLD_MAX`] away. Does not shorten an earlier hold.
    pub fn hold(&mut self, now: Nanos, until: Nanos) {
        self.forget(now);
        self.held_until = self.held_until.max(until.min(now + HOLD_MAX));
    }

    /// Drops expired times, and times in the future, which remain after the clock restarted.
    fn forget(&mut self, now: Nanos) {
        self.connects.retain(|&at| at <= now && now.since(at) < KEEP);
        if self.held_until.since(now) > HOLD_MAX {
            self.held_until = Nanos::default();
        }
    }

    /// Returns the record as text. `boot` is the id of this boot: the times mean nothing in another.
    pub fn to_text(&self, boot: &str) -> String {
        let line = |at: Nanos| format!("{:020}\n", at.0);
        let connects: String = self.connects.iter().map(|&at| line(at)).collect();
        format!("{TITLE} {boot}\n{}{connects}{END}\n", line(self.held_until))
    }

    /// Parses the output of [`to_text`](Self::to_text). Returns an empty record for another boot, and for an empty
    /// text, which is a new file. Ignores text after the end, which is left from a longer record.
    pub fn from_text(text: &str, boot: &str) -> Result<Self, Unreadable> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut lines = text.lines();
        let written_in = lines.next().and_then(|title| title.strip_prefix(TITLE)).ok_or(Unreadable)?;
        let mut times = Vec::new();
        loop {
            match lines.next() {
                Some(END) => break,
                Some(line) => times.push(Nanos(line.parse().map_err(|_| Unreadable)?)),
                None => return Err(Unreadable),
            }
        }
        if times.is_empty() || !times[1..].is_sorted() {
            return Err(Unreadable);
        }
        if written_in.trim_start() != boot {
            return Ok(Self::default());
        }
        Ok(Self { held_until: times.remove(0), connects: times })
    }
}

/// The text is not a complete record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is cut off or was written by another program")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMIT: Limit = Limit { rate: Rate { count: 5, window: SECOND }, margin: Duration::from_millis(250) };

    fn at(ms: u64) -> Nanos {
        Nanos::from_millis(1_000_000 + ms)
    }

    fn used_up() -> Record {
        let mut record = Record::default();
        (0..5).for_each(|i| record.try_acquire(at(i), LIMIT).unwrap());
        record
    }

    #[test]
    fn the_sixth_connect_waits_for_the_first_to_expire_and_old_ones_are_dropped() {
        let mut record = used_up();
        assert_eq!(record.try_acquire(at(500), LIMIT), Err(at(1250)));
        assert_eq!(record.try_acquire(at(1250), LIMIT), Ok(()));
        assert_eq!(record.try_acquire(at(10_000), LIMIT), Ok(()));
        assert_eq!(record.connects, [at(10_000)]);
    }

    #[test]
    fn each_caller_applies_its_own_limit_to_the_same_record() {
        let mut record = Record::default();
        let strict = Limit { rate: Rate { count: 1, window: SECOND }, margin: Duration::from_millis(500) };
        assert_eq!(record.try_acquire(at(0), LIMIT), Ok(()));
        assert_eq!(record.try_acquire(at(1), strict), Err(at(1500)));
        assert_eq!(record.try_acquire(at(1), LIMIT), Ok(()));
    }

    #[test]
    fn times_in_the_future_do_not_count() {
        let mut record = used_up();
        assert_eq!(record.try_acquire(Nanos::from_millis(10), LIMIT), Ok(()), "the clock restarted");
        record.held_until = at(0) + HOLD_MAX * 2;
        assert_eq!(record.try_acquire(at(0), LIMIT), Ok(()));
    }

    #[test]
    fn a_hold_is_kept_and_a_shorter_one_changes_nothing() {
        let mut record = Record::default();
        record.hold(at(0), at(7_000));
        record.hold(at(0), at(3_000));
        assert_eq!(record.try_acquire(at(6_999), LIMIT), Err(at(7_000)));
        assert_eq!(record.try_acquire(at(7_000), LIMIT), Ok(()));
    }

    #[test]
    fn a_hold_lasts_as_long_as_an_exchange_may_ask_for_and_not_forever() {
        let mut record = Record::default();
        record.hold(at(0), at(0) + RETRY_AFTER_MAX);
        assert_eq!(record.try_acquire(at(1), LIMIT), Err(at(0) + RETRY_AFTER_MAX));
        record.hold(at(0), Nanos::NEVER);
        assert_eq!(record.try_acquire(at(1), LIMIT), Err(at(0) + HOLD_MAX), "a backoff can have any length");
        assert_eq!(record.try_acquire(at(0) + HOLD_MAX, LIMIT), Ok(()));
    }

    #[test]
    fn a_record_survives_its_text_form_but_only_in_the_same_boot() {
        let mut record = used_up();
        record.hold(at(5), at(9_000));
        let text = record.to_text("this-boot");
        assert_eq!(Record::from_text(&text, "this-boot"), Ok(record));
        assert_eq!(Record::from_text(&text, "another"), Ok(Record::default()));
        assert_eq!(Record::from_text(&Record::default().to_text(""), ""), Ok(Record::default()));
        assert_eq!(Record::from_text("", "this-boot"), Ok(Record::default()));
    }

    #[test]
    fn a_truncated_record_is_unreadable_and_the_rest_of_a_longer_one_is_ignored() {
        let text = used_up().to_text("boot");
        for cut in 1..text.len() - 1 {
            assert_eq!(Record::from_text(&text[..cut], "boot"), Err(Unreadable), "{:?}", &text[..cut]);
        }
        assert_eq!(Record::from_text(&format!("{text}00000000\nend\n"), "boot"), Ok(used_up()));
        for wrong in [
            "\n",
            "hoga-connects 2 boot\n0\nend\n",
            "hoga-connects 1 boot\nend\n",
            "hoga-connects 1 boot\n0\n2\n1\nend\n",
        ] {
            assert_eq!(Record::from_text(wrong, "boot"), Err(Unreadable), "{wrong:?}");
        }
    }
}
