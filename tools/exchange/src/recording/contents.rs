//! What recordings contain: the number of messages, and the other lines by kind.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The lines of one or more recordings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The number of lines.
    pub lines: u64,
    /// The number of lines with a message.
    pub messages: u64,
    others: BTreeMap<&'static str, Other>,
}

/// The lines of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Other {
    count: u64,
    /// The file and the number of the first one.
    first: String,
}

impl Contents {
    /// Counts a line without a message. `place` returns its file and number.
    pub(super) fn count_other(&mut self, what: &'static str, place: impl FnOnce() -> String) {
        match self.others.entry(what) {
            Entry::Occupied(mut other) => other.get_mut().count += 1,
            Entry::Vacant(entry) => drop(entry.insert(Other { count: 1, first: place() })),
        }
    }

    /// Adds the lines of the next recording.
    pub fn add(&mut self, next: Self) {
        self.lines += next.lines;
        self.messages += next.messages;
        for (what, other) in next.others {
            self.others.entry(what).and_modify(|sum| sum.count += other.count).or_insert(other);
        }
    }

    /// Returns the kinds of lines without a message, and the number of lines of each.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.others.iter().map(|(what, other)| (*what, other.count))
    }

    /// Returns a text for people: the kinds of lines without a message, and where the first of each is.
    pub fn others(&self) -> String {
        let others =
            self.others.iter().map(|(what, Other { count, first })| format!("{count} {what} (first at {first})"));
        let others = others.collect::<Vec<_>>().join(", ");
        if others.is_empty() { "none".to_owned() } else { others }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_several_recordings_are_added_up_with_the_first_place_of_each_kind() {
        let (mut sum, mut next) = (Contents::default(), Contents::default());
        assert_eq!(sum.others(), "none");
        sum.count_other("cut", || "a:3".to_owned());
        sum.count_other("cut", || "a:7".to_owned());
        next.count_other("cut", || "b:1".to_owned());
        next.count_other("status", || "b:2".to_owned());
        (next.lines, next.messages) = (5, 3);
        sum.add(next);
        assert_eq!((sum.lines, sum.messages), (5, 3));
        assert_eq!(sum.others(), "3 cut (first at a:3), 1 status (first at b:2)");
        assert_eq!(sum.kinds().collect::<Vec<_>>(), [("cut", 3), ("status", 1)]);
    }
}
