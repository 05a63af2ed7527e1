//! The text of docs/drift.md.

use std::fmt::Write;

use hoga::model::Format;

use super::change::{self, TYPES, Type};
use super::outcome::{Outcome, outcome};
use super::{COST_MAX, Cost, MESSAGES, is_short, wrapped};

/// The number of changes of each type whose outcome is listed.
const CHANGES_LISTED: usize = 200;

pub fn write(costs: impl Fn(&'static Type) -> Vec<Cost>) -> String {
    let mut text = format!(
        "\
# When messages change

Upbit adds, removes and changes fields now and then. This page lists what hoga makes of such changes. It is generated:

```sh
cargo run --profile instructions -p hoga-bench --no-default-features --bin hoga-instructions -- drift > docs/drift.md
```

**Cost** is the number of instructions for each message after {MESSAGES} messages with the change, relative to the
documented form, and at most {COST_MAX}. All are counted under valgrind in one process. Each change is made to one field, in all messages of
the type.

**Results** lists what consumers get: which fields are absent, hold an unknown word, or have another value. A value that
cannot be read is absent. Only messages without a market, a price, a time or, for books, units and a readable level are
refused. The result is the same in all four formats unless the row says otherwise. Numbers are made negative, and
replaced by other values, in some rows: then the field has another value because the message has.
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

/// Whether a line of the document is a row of costs.
pub fn is_cost(line: &str) -> bool {
    line.split('|').filter(|cell| cell.trim().parse::<f64>().is_ok()).count() == Format::ALL.len()
}
