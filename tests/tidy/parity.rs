//! `docs/parity.md` lists what hoga's checklist promises, and the tests that show it. Nobody can check more than two
//! hundred rows by hand, so these rules do.

use std::fs;
use std::ops::Range;

use crate::assert_none;
use crate::source::top;

const PAGE: &str = "docs/parity.md";

/// The states of a row, in the order of the counts.
const STATES: [&str; 4] = ["works", "part", "open", "not offered"];

/// The parts of the page, as the counts name them.
const PARTS: [&str; 3] = ["rows 1–146 and 201–219", "rows A–L", "rows D-01–D-59"];

/// The programs with commands, and the files that define these.
const PROGRAMS: [(&str, &str); 2] = [("hoga", "tools/cli/src/args.rs"), ("hoga bench", "tools/bench/src/args.rs")];

/// The files of which each cargo command must be a part.
const CARGO_COMMANDS: [&str; 2] = [".ci/run", "CONTRIBUTING.md"];

#[test]
fn every_number_is_there_once_and_in_order() {
    let planted =
        page("| 1 | a | open | | b |\n| 3 | a | open | | b |\n| 3 | a | open | | b |\n| x | a | open | | b |\n");
    let expected = (1..4).map(|number| number.to_string()).collect::<Vec<_>>();
    assert_eq!(numbers(&planted, &expected), ["2 is missing", "3 is there 2 times", "x is not expected"]);
    let swapped = page("| 2 | a | open | | b |\n| 1 | a | open | | b |\n");
    assert_eq!(numbers(&swapped, &expected[..2]), ["1 does not come before 2"]);
    assert_none(numbers(&rows(&text()), &all_numbers()).into_iter());
}

#[test]
fn each_row_has_what_its_state_needs() {
    let planted = page(
        "| 1 | a | works | | |\n| 2 | a | open | `tests/a.rs::b` | c |\n| 3 | a | part | `tests/a.rs::b` | |\n\
         | 4 | a | part | | c |\n| 5 | a | open | | |\n| 6 | a | not offered | | |\n| 7 | a | done | | |\n\
         | 8 | a | works | `tests/a.rs::b` | c |\n| 9 | a | works | `tests/a.rs::b` |\n| 10 | | open | | c |\n\
         | 11 | a | works | tests/a.rs::b | |\n",
    );
    let expected = [
        "1: it works, but nothing shows it",
        "2: it is open, but something shows it",
        "3: it does not say what is missing, or why",
        "4: a part works, but nothing shows it",
        "5: it does not say what is missing, or why",
        "6: it does not say what is missing, or why",
        "7: `done` is not a state",
        "8: it works, but something is missing",
        "9: it has 4 cells instead of 5",
        "10: it has no promise",
        "11: `tests/a.rs::b` is not in backticks",
    ];
    assert_eq!(planted.iter().flat_map(needs).collect::<Vec<_>>(), expected);
    assert_none(rows(&text()).iter().flat_map(needs));
}

#[test]
fn each_named_test_and_command_exists() {
    let planted = |path: &str| match path {
        "tests/a.rs" => Some(
            "#[test]\nfn good() {}\n#[test]\n// Slow.\n#[ignore = \"slow\"]\nfn ignored() {}\nfn helper() {}\n\
             proptest! {\n    /// Random.\n    #[test]\n    fn random(a in 0..9) {}\n}\n//! ```compile_fail\n"
                .to_owned(),
        ),
        "tools/cli/src/args.rs" => Some("enum Command { Watch, Bench { args: u8 } }".to_owned()),
        "tools/bench/src/args.rs" => Some("enum Command { Load(A) }\nstruct A { check: bool }".to_owned()),
        ".ci/run" => Some("step cargo test --workspace --benches\n".to_owned()),
        "CONTRIBUTING.md" => Some(String::new()),
        _ => None,
    };
    for good in [
        "tests/a.rs::good",
        "tests/a.rs::random",
        "tests/a.rs::doctests",
        "hoga watch",
        "hoga bench load --check",
        ".ci/run",
        "cargo test --workspace --benches",
    ] {
        assert_eq!(missing(good, &planted), None);
    }
    for (bad, complaint) in [
        ("tests/a.rs::gone", "there is no such test"),
        ("tests/b.rs::good", "there is no such file"),
        ("tests/a.rs::helper", "it is not a test"),
        ("tests/a.rs::ignored", "it is ignored"),
        (".ci/run::doctests", "the file has no examples"),
        ("hoga status", "there is no such command"),
        ("hoga bench health", "there is no such command"),
        ("hoga bench load --fast", "there is no such option"),
        ("tools/gone.sh 5", "there is no such file"),
        ("cargo test --doc", "nobody runs it"),
    ] {
        assert_eq!(missing(bad, &planted), Some(complaint), "{bad}");
    }
    let read = |path: &str| fs::read_to_string(top().join(path)).ok();
    let rows = rows(&text());
    let named: Vec<_> = rows.iter().flat_map(|row| row.evidence().into_iter().map(move |name| (row, name))).collect();
    assert!(named.len() > 250, "the names were not found");
    let complaint = |(row, name): (&Row, &str)| Some(format!("{}: `{name}`: {}", row.number(), missing(name, &read)?));
    assert_none(named.iter().filter_map(|(row, name)| complaint((row, name))));
}

#[test]
fn rows_about_other_rows_and_the_counts_add_up() {
    let planted = "## Counts\n| group | rows | works | part | open | not offered |\n| One | 6 | 2 | 1 | 3 | 0 |\n\
                   | Two | 1 | 1 | 0 | 0 | 0 |\n## One (1–6)\n| 1 | a | works | `a` | |\n| 2 | a | part | `a` | b |\n\
                   | 3 | a | works | rows 1–2 | |\n| 4 | at least 50 % work | part | rows 1–2 | 1 of 2 work |\n\
                   | 5 | a | part | rows 1–2 | 2 of 2 work |\n| 6 | a | part | rows 7–9 | b |\n";
    let expected = [
        "3: rows 1–2 make it `part`: 1 of 2 work",
        "4: rows 1–2 make it `works`",
        "5: rows 1–2 make it `part`: 1 of 2 work",
        "6: rows 7–9 are not on this page",
    ];
    assert_eq!(sums(&rows(planted)), expected);
    let expected = [
        "| One | 6 | 2 | 4 | 0 | 0 | is missing",
        "| rows 1–146 and 201–219 | 6 | 2 | 4 | 0 | 0 | is missing",
        "| One | 6 | 2 | 1 | 3 | 0 | is wrong",
        "| Two | 1 | 1 | 0 | 0 | 0 | is wrong",
    ];
    assert_eq!(counts(planted), expected);
    assert_none(sums(&rows(&text())).into_iter());
    assert_none(counts(&text()).into_iter());
}

#[test]
fn each_row_that_does_not_work_is_in_a_step_of_the_roadmap() {
    let planted = page("| 1 | a | works | `a` | |\n| 2 | a | open | | b |\n| 3 | a | part | `a` | b |\n");
    assert_eq!(without_step(&planted, "a\n\nRows 1, 3.\n"), ["2 is in no step of docs/roadmap.md"]);
    assert_eq!(without_step(&planted, "Rows 1–9.\n"), ["Rows 1–9. are not on this page"]);
    let roadmap = fs::read_to_string(top().join("docs/roadmap.md")).unwrap();
    assert_none(without_step(&rows(&text()), &roadmap).into_iter());
}

fn text() -> String {
    fs::read_to_string(top().join(PAGE)).unwrap()
}

/// Returns the rows of a planted page.
fn page(table: &str) -> Vec<Row> {
    rows(&format!("## One (1–9)\n{table}"))
}

/// A row: number, promise, state, what shows it, and what is missing.
struct Row {
    group: String,
    cells: Vec<String>,
}

impl Row {
    fn cell(&self, index: usize) -> &str {
        self.cells.get(index).map_or("", String::as_str)
    }

    fn number(&self) -> &str {
        self.cell(0)
    }

    fn promise(&self) -> &str {
        self.cell(1)
    }

    fn state(&self) -> &str {
        self.cell(2)
    }

    fn shown_by(&self) -> &str {
        self.cell(3)
    }

    fn note(&self) -> &str {
        self.cell(4)
    }

    /// Returns whether the state follows from other rows.
    fn is_sum(&self) -> bool {
        self.shown_by().starts_with("rows ")
    }

    /// Returns the named tests and commands.
    fn evidence(&self) -> Vec<&str> {
        let names = self.shown_by().split(", ").filter(|name| !name.is_empty() && !self.is_sum());
        names.map(|name| name.trim_matches('`')).collect()
    }
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inside = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inside.split('|').map(|cell| cell.trim().to_owned()).collect())
}

/// Returns the tables under each heading with the heading's name, without their heads.
fn tables(page: &str) -> Vec<Row> {
    let (mut group, mut rows) = ("", Vec::new());
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            group = heading.split(" (").next().unwrap_or_default();
        }
        let is_head = |cells: &[String]| ["#", "group"].contains(&cells[0].as_str()) || cells[0].starts_with("---");
        if let Some(cells) = cells(line).filter(|cells| !is_head(cells)) {
            rows.push(Row { group: group.to_owned(), cells });
        }
    }
    rows
}

fn rows(page: &str) -> Vec<Row> {
    tables(page).into_iter().filter(|row| row.group != "Counts").collect()
}

fn all_numbers() -> Vec<String> {
    let checklist = (1..=146).chain(201..=219).map(|number| number.to_string());
    let scenarios = ('A'..='L').map(String::from);
    checklist.chain(scenarios).chain((1..=59).map(|number| format!("D-{number:02}"))).collect()
}

/// Returns the part of the page that has the number.
fn part(number: &str) -> &'static str {
    match number.as_bytes() {
        [b'0'..=b'9', ..] => PARTS[0],
        [_] => PARTS[1],
        _ => PARTS[2],
    }
}

fn numbers(rows: &[Row], expected: &[String]) -> Vec<String> {
    let place = |number: &str| expected.iter().position(|expected| expected == number);
    let mut complaints = Vec::new();
    for number in expected {
        match rows.iter().filter(|row| row.number() == number).count() {
            0 => complaints.push(format!("{number} is missing")),
            1 => {}
            times => complaints.push(format!("{number} is there {times} times")),
        }
    }
    let unexpected = rows.iter().filter(|row| place(row.number()).is_none());
    complaints.extend(unexpected.map(|row| format!("{} is not expected", row.number())));
    let pairs = rows.windows(2).map(|pair| (pair[0].number(), pair[1].number()));
    let wrong = pairs.filter(|(first, second)| place(second).is_some_and(|second| Some(second) < place(first)));
    complaints.extend(wrong.map(|(first, second)| format!("{second} does not come before {first}")));
    complaints
}

fn needs(row: &Row) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut complain = |is_wrong: bool, what: &str| {
        if is_wrong {
            complaints.push(format!("{}: {what}", row.number()));
        }
    };
    if row.cells.len() != 5 {
        complain(true, &format!("it has {} cells instead of 5", row.cells.len()));
        return complaints;
    }
    let (is_shown, is_noted) = (!row.shown_by().is_empty(), !row.note().is_empty());
    match row.state() {
        "works" => {
            complain(!is_shown, "it works, but nothing shows it");
            complain(is_noted, "it works, but something is missing");
        }
        "part" => complain(!is_shown, "a part works, but nothing shows it"),
        "open" => complain(is_shown && !row.is_sum(), "it is open, but something shows it"),
        "not offered" => {}
        other => complain(true, &format!("`{other}` is not a state")),
    }
    let needs_note = ["part", "open", "not offered"].contains(&row.state());
    complain(needs_note && !is_noted, "it does not say what is missing, or why");
    complain(row.promise().is_empty(), "it has no promise");
    for name in row.shown_by().split(", ").filter(|name| !name.is_empty() && !row.is_sum()) {
        let is_quoted = name.len() > 2 && name.starts_with('`') && name.ends_with('`');
        complain(!is_quoted, &format!("`{name}` is not in backticks"));
    }
    complaints
}

/// Returns what is wrong with the name of a test or command. `read` returns the text of a file.
fn missing(name: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    if let Some((path, test)) = name.split_once("::") {
        let Some(text) = read(path) else { return Some("there is no such file") };
        return if test == "doctests" {
            (!text.lines().any(is_example)).then_some("the file has no examples")
        } else {
            wrong_test(&text, test)
        };
    }
    match name.split(' ').next() {
        Some("hoga") => wrong_command(name, read),
        Some("cargo") => {
            let is_run = |path: &&str| read(path).is_some_and(|text| text.contains(name));
            (!CARGO_COMMANDS.iter().any(is_run)).then_some("nobody runs it")
        }
        Some(script) => read(script).is_none().then_some("there is no such file"),
        None => Some("there is no such command"),
    }
}

/// Returns whether a line begins an example that `cargo test` compiles.
fn is_example(line: &str) -> bool {
    let text = line.trim_start().trim_start_matches("//!").trim_start_matches("///").trim_start();
    ["```rust", "```compile_fail", "```no_run"].iter().any(|fence| text.starts_with(fence))
}

fn wrong_test(text: &str, name: &str) -> Option<&'static str> {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    let Some(at) = lines.iter().position(|line| line.starts_with(&head)) else { return Some("there is no such test") };
    let above: Vec<_> =
        lines[..at].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//")).collect();
    if above.iter().any(|line| line.starts_with("#[ignore")) {
        return Some("it is ignored");
    }
    (!above.iter().any(|line| **line == "#[test]")).then_some("it is not a test")
}

/// Checks the words of a command of `hoga` or `hoga bench`, and its options.
fn wrong_command(name: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    let words: Vec<_> = name.split(' ').collect();
    let (program, path) = PROGRAMS[usize::from(words.get(1) == Some(&"bench"))];
    let text = read(path).expect("the file with the commands exists");
    let command = words.get(program.split(' ').count())?;
    let file = syn::parse_file(&text).unwrap();
    let commands = file.items.iter().filter_map(|item| match item {
        syn::Item::Enum(item) if item.ident == "Command" => Some(&item.variants),
        _ => None,
    });
    if !commands.flatten().any(|variant| variant.ident.to_string().to_lowercase() == *command) {
        return Some("there is no such command");
    }
    let is_known = |option: &str| text.contains(&format!("{}:", option.replace('-', "_")));
    let mut options = words.iter().filter_map(|word| word.strip_prefix("--"));
    options.any(|option| !is_known(option)).then_some("there is no such option")
}

/// Returns the rows that a text such as `rows 1–3, 7` names, as places on the page.
fn named_rows(rows: &[Row], names: &str) -> Option<Vec<Range<usize>>> {
    let place = |number: &str| rows.iter().position(|row| row.number() == number);
    let range = |name: &str| {
        let (first, last) = name.split_once('–').unwrap_or((name, name));
        Some(place(first)?..place(last)? + 1)
    };
    names.strip_prefix("rows ")?.split(", ").map(range).collect()
}

/// Compares the rows that do not work with the steps of the roadmap. Each paragraph that begins with `Rows` is a list.
fn without_step(rows: &[Row], roadmap: &str) -> Vec<String> {
    let (mut complaints, mut planned) = (Vec::new(), Vec::new());
    for list in roadmap.split("\n\n").filter(|paragraph| paragraph.starts_with("Rows ")) {
        let names = list.trim_end().trim_end_matches('.').replace('\n', " ").replacen("Rows", "rows", 1);
        match named_rows(rows, &names) {
            Some(places) => planned.extend(places.into_iter().flatten()),
            None => complaints.push(format!("{} are not on this page", list.trim_end())),
        }
    }
    if complaints.is_empty() {
        let is_left =
            |(place, row): &(usize, &Row)| ["open", "part"].contains(&row.state()) && !planned.contains(place);
        let left = rows.iter().enumerate().filter(is_left);
        complaints.extend(left.map(|(_, row)| format!("{} is in no step of docs/roadmap.md", row.number())));
    }
    complaints
}

/// Checks the rows whose state follows from others: such a row works if all of them do, or the stated part of them.
/// Those that are not offered do not count.
fn sums(rows: &[Row]) -> Vec<String> {
    let mut complaints = Vec::new();
    for row in rows.iter().filter(|row| row.is_sum()) {
        let (number, names) = (row.number(), row.shown_by());
        let Some(places) = named_rows(rows, names) else {
            complaints.push(format!("{number}: {names} are not on this page"));
            continue;
        };
        let others: Vec<_> = places.into_iter().flat_map(|places| &rows[places]).collect();
        let of = |state: &str| others.iter().filter(|other| other.state() == state).count();
        let (works, all) = (of("works"), others.len() - of("not offered"));
        let percent =
            row.promise().split_once("at least ").and_then(|(_, rest)| rest.split_once(" % work")?.0.parse().ok());
        let (state, note) = if 100 * works >= percent.unwrap_or(100) * all {
            ("works", String::new())
        } else if works + of("part") > 0 {
            ("part", format!("{works} of {all} work"))
        } else {
            ("open", format!("{works} of {all} work"))
        };
        if (row.state(), row.note()) != (state, &*note) {
            let note = if note.is_empty() { note } else { format!(": {note}") };
            complaints.push(format!("{number}: {names} make it `{state}`{note}"));
        }
    }
    complaints
}

/// Compares the counts on the page with its rows.
fn counts(page: &str) -> Vec<String> {
    let rows = rows(page);
    let line = |name: &str, of: &dyn Fn(&Row) -> bool| {
        let rows: Vec<_> = rows.iter().filter(|row| of(row)).collect();
        let states = STATES.map(|state| rows.iter().filter(|row| row.state() == state).count().to_string());
        format!("| {name} | {} | {} |", rows.len(), states.join(" | "))
    };
    let mut groups: Vec<_> = rows.iter().map(|row| row.group.as_str()).collect();
    groups.dedup();
    let groups = groups.into_iter().map(|group| line(group, &|row| row.group == group));
    let parts = PARTS.iter().map(|name| line(name, &|row| part(row.number()) == *name));
    let expected: Vec<_> = groups.chain(parts.filter(|line| !line.contains(" | 0 | 0 | 0 | 0 | 0 |"))).collect();
    let found = tables(page).into_iter().filter(|row| row.group == "Counts");
    let found: Vec<_> = found.map(|row| format!("| {} |", row.cells.join(" | "))).collect();
    let lacking = expected.iter().filter(|line| !found.contains(line)).map(|line| format!("{line} is missing"));
    let wrong = found.iter().filter(|line| !expected.contains(line)).map(|line| format!("{line} is wrong"));
    lacking.chain(wrong).collect()
}
