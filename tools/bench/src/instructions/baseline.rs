//! The baseline of counts, a file in the repository, and the comparison with it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::setting::Setting;

/// Instructions of one operation, by the name of the row.
pub type Counts = BTreeMap<String, f64>;

/// Growth of a row above which the check fails.
const GROWTH_MAX: f64 = 0.03;
/// A saving worth reporting: if the baseline is not lowered, later growth may use it up unnoticed.
const SAVING_MIN: f64 = 0.01;

/// The contents of the baseline file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    pub taken_with: Setting,
    pub instructions: Counts,
}

impl Baseline {
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|e| format!("the baseline {name} could not be read: {e}"))?;
        let baseline: Self =
            serde_json::from_str(&text).map_err(|e| format!("{name} is not a baseline of this program: {e}"))?;
        match baseline.instructions.iter().find(|(_, count)| **count <= 0.0) {
            Some((row, count)) => Err(format!("{name} is not a baseline of this program: \"{row}\" takes {count}")),
            None => Ok(baseline),
        }
    }

    pub fn write(&self, path: &Path) -> Result<(), String> {
        let mut text = serde_json::to_string_pretty(self).expect("all keys are strings");
        text.push('\n');
        fs::write(path, text).map_err(|e| format!("the baseline {} could not be written: {e}", path.display()))
    }

    /// Lowers the counts of rows that have become smaller. Returns the number of lowered rows.
    pub fn lower(&mut self, now: &Counts) -> usize {
        let lower = |(row, count): (&String, &mut f64)| {
            let smaller = now.get(row).filter(|now| **now < *count);
            smaller.map(|now| *count = *now)
        };
        self.instructions.iter_mut().filter_map(lower).count()
    }

    /// Replaces the counts of these rows, larger or smaller.
    pub fn raise(&mut self, now: &Counts, rows: &[String]) -> Result<(), String> {
        for row in rows {
            let count = now.get(row).ok_or_else(|| format!("there is no row \"{row}\""))?;
            self.instructions.insert(row.clone(), *count);
        }
        Ok(())
    }
}

/// The result for each row.
#[derive(Debug, Default, PartialEq)]
pub struct Comparison {
    /// The comparison as a table, one line per row.
    pub table: String,
    /// Rows that take too many instructions.
    pub grown: Vec<String>,
    /// Rows that take clearly fewer instructions.
    pub shrunk: Vec<String>,
    /// Rows without a count to compare with.
    pub new: Vec<String>,
    /// Rows that are no longer counted.
    pub gone: Vec<String>,
}

impl Comparison {
    pub fn new(base: &Counts, now: &Counts) -> Self {
        let mut this = Self::default();
        let width = now.keys().map(String::len).max().unwrap_or_default();
        let _ = writeln!(this.table, "{:width$} {:>10} {:>10} {:>8}", "instructions", "base", "now", "change");
        for (row, count) in now {
            let Some(before) = base.get(row) else {
                let _ = writeln!(this.table, "{row:width$} {:>10} {count:>10.2}      new", "");
                this.new.push(row.clone());
                continue;
            };
            let change = count / before - 1.0;
            let is_too_many = *count > before * (1.0 + GROWTH_MAX);
            let mark = if is_too_many { "  TOO MANY" } else { "" };
            let percent = change * 100.0;
            let _ = writeln!(this.table, "{row:width$} {before:>10.2} {count:>10.2} {percent:>+7.2}%{mark}");
            if is_too_many {
                this.grown.push(row.clone());
            } else if change <= -SAVING_MIN {
                this.shrunk.push(row.clone());
            }
        }
        this.gone = base.keys().filter(|row| !now.contains_key(*row)).cloned().collect();
        this
    }

    /// Returns whether no row has grown and the same rows are counted.
    pub fn is_good(&self) -> bool {
        self.grown.is_empty() && self.new.is_empty() && self.gone.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, f64)]) -> Counts {
        rows.iter().map(|(row, count)| ((*row).to_owned(), *count)).collect()
    }

    fn baseline(rows: &[(&str, f64)]) -> Baseline {
        Baseline { taken_with: Setting::default(), instructions: counts(rows) }
    }

    #[test]
    fn growth_up_to_three_percent_passes_and_more_fails() {
        let base = counts(&[("a", 1000.0), ("b", 1000.0)]);
        let comparison = Comparison::new(&base, &counts(&[("a", 1030.0), ("b", 1030.1)]));
        assert_eq!((comparison.grown.as_slice(), comparison.is_good()), (["b".to_owned()].as_slice(), false));
        assert!(comparison.table.contains("1030.10   +3.01%  TOO MANY"), "{}", comparison.table);
        assert!(Comparison::new(&base, &base).is_good());
    }

    #[test]
    fn savings_are_reported_and_do_not_offset_growth_elsewhere() {
        let base = counts(&[("a", 1000.0), ("b", 1000.0)]);
        let comparison = Comparison::new(&base, &counts(&[("a", 500.0), ("b", 1200.0)]));
        assert_eq!((comparison.shrunk, comparison.grown), (vec!["a".to_owned()], vec!["b".to_owned()]));
    }

    #[test]
    fn a_row_without_a_counterpart_fails_on_either_side() {
        let (one, both) = (counts(&[("a", 1.0)]), counts(&[("a", 1.0), ("b", 2.0)]));
        let (added, removed) = (Comparison::new(&one, &both), Comparison::new(&both, &one));
        assert_eq!((added.new.as_slice(), added.is_good()), (["b".to_owned()].as_slice(), false));
        assert_eq!((removed.gone.as_slice(), removed.is_good()), (["b".to_owned()].as_slice(), false));
    }

    #[test]
    fn lowering_never_raises_and_raising_changes_only_the_named_rows() {
        let now = counts(&[("a", 5.0), ("b", 50.0), ("c", 7.0)]);
        let mut lowered = baseline(&[("a", 10.0), ("b", 10.0)]);
        assert_eq!(lowered.lower(&now), 1);
        assert_eq!(lowered, baseline(&[("a", 5.0), ("b", 10.0)]));
        let mut raised = baseline(&[("a", 10.0), ("b", 10.0)]);
        raised.raise(&now, &["b".to_owned(), "c".to_owned()]).unwrap();
        assert_eq!(raised, baseline(&[("a", 10.0), ("b", 50.0), ("c", 7.0)]));
        assert!(raised.raise(&now, &["d".to_owned()]).is_err());
    }

    #[test]
    fn a_written_baseline_is_read_back_and_a_broken_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        let good = baseline(&[("a", 10.25)]);
        good.write(&path).unwrap();
        assert_eq!(Baseline::read(&path).unwrap(), good);
        let text = fs::read_to_string(&path).unwrap();
        for broken in [text.replace("10.25", "0"), text.replace("10.25", "\"x\""), text[..text.len() / 2].to_owned()] {
            fs::write(&path, broken).unwrap();
            assert!(Baseline::read(&path).unwrap_err().contains("is not a baseline"));
        }
    }
}
