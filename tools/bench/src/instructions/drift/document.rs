//! The text of docs/drift.md.

use std::fmt::Write;

use hoga::model::Format;

use super::change::{self, TYPES, Type};
use super::outcome::{Outcome, outcome};
use super::{Cost, MESSAGES, is_short, wrapped};

/// The number of changes of each type whose outcome is listed.
const CHANGES_LISTED: usize = 200;
/// How much higher than in the document a cost may be. Other compilers count differently.
const GROWTH_MAX: f64 = 0.05;

pub fn write(costs: impl Fn(&'static Type) -> Vec<Cost>) -> String {
    let mut text = format!(
        "\
# When messages change

Upbit adds, removes and changes fields now and then. This page lists what hoga makes of such changes. It is generated:

```sh
cargo run --profile instructions -p hoga-bench --no-default-features --bin hoga-instructions -- drift > docs/drift.md
```

**Cost** is the number of instructions for each message after {MESSAGES} messages with the change, relative to the
documented form. The goal is at most 1.25. All are counted under valgrind in one process. Each change is made to one
field, in all messages of the type.

**Results** lists what consumers get: which fields are absent, hold an unknown word, or have another value. A value that
cannot be read is absent. Only messages without a market, a price, a time or, for books, units and a readable level are
refused. The result is the same in all four formats unless the row says otherwise. *Another value* means another value
than in the documented message: the one that the message has now or, for the time, the one that stands in for it.
"
    );
    for of in &TYPES {
        let draft = &of.drafts(1, false)[0];
        let _ = writeln!(text, "\n## {}\n\n### Cost\n", of.name);
        let _ = writeln!(text, "| change | field | DEFAULT | SIMPLE | JSON_LIST | SIMPLE_LIST |");
        let _ = writeln!(text, "|---|---|--:|--:|--:|--:|");
        for Cost { change, place, ratios } in costs(of) {
            let _ = write!(text, "| {} | `{}` |", change.name, place.name(draft));
            let _ = writeln!(text, "{}", ratios.map(|ratio| format!(" {ratio:.2} |")).concat());
        }
        let _ = writeln!(text, "\n### Results\n\n| change | field | result |\n|---|---|---|");
        for (change, place) in of.pairs(CHANGES_LISTED) {
            let result = results(of, change, place);
            let _ = writeln!(text, "| {} | `{}` | {result} |", change.name, place.name(draft));
        }
    }
    text
}

/// Returns the result of a change, for each format if they differ.
fn results(of: &'static Type, change: &change::Change, place: change::Place) -> String {
    let all = Format::ALL.map(|format| result(of, (change, place), format));
    if all.iter().all(|one| *one == all[0]) {
        return all[0].to_string();
    }
    let each = Format::ALL.iter().zip(&all).map(|(format, one)| format!("{}: {one}", format.as_str()));
    each.collect::<Vec<_>>().join(". ")
}

/// Returns what becomes of a message with a change.
pub fn result(of: &Type, change: (&change::Change, change::Place), format: Format) -> Outcome {
    let short = is_short(format);
    let draft = &of.drafts(1, short)[0];
    let [documented, drifted] = [None, Some(change)].map(|change| wrapped(change::write(draft, short, change), format));
    outcome(&documented, &drifted)
}

/// Returns the lines of the document `now` that are worse than in `before`: other results, or costs that have grown by
/// more than [`GROWTH_MAX`].
pub fn worse(before: &str, now: &str) -> Vec<String> {
    let count = |text: &str| text.lines().count();
    if count(before) != count(now) {
        return vec![format!("{} lines instead of {}", count(now), count(before))];
    }
    let is_worse = |(before, now): &(&str, &str)| match (costs_of(before), costs_of(now)) {
        (Some(before), Some(now)) => before.iter().zip(now).any(|(before, now)| now > before + GROWTH_MAX),
        _ => before != now,
    };
    before.lines().zip(now.lines()).filter(is_worse).map(|(_, now)| now.to_owned()).collect()
}

/// Returns the costs in a row of a table, one for each format; `None` for other lines.
fn costs_of(line: &str) -> Option<Vec<f64>> {
    let costs: Vec<_> = line.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    (costs.len() == Format::ALL.len()).then_some(costs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_costs_and_other_results_are_worse() {
        let before = "| removed | `code` | refused |\n| null | `level` | 1.10 | 1.10 | 1.10 | 1.10 |";
        assert!(worse(before, before).is_empty());
        assert!(worse(before, &before.replacen("1.10", "1.14", 1)).is_empty());
        assert!(worse(before, &before.replace("1.10", "0.90")).is_empty());
        assert_eq!(worse(before, &before.replacen("1.10", "1.16", 1)).len(), 1);
        assert_eq!(worse(before, &before.replace("refused", "delivered")).len(), 1);
        assert_eq!(worse(before, "").len(), 1);
    }
}
