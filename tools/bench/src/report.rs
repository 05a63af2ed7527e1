//! The report of a run: printed as text or JSON, and compared with the report of another run.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use hoga_cli::machine::Machine;
use hoga_cli::origin::Origin;
use hoga_cli::rounds::{Better, Error, Line, Spread};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The report of a whole run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The command; its options are in `settings`.
    pub command: String,
    /// The program and the machine that produced the report.
    #[serde(flatten, with = "OriginForm")]
    pub origin: Origin,
    /// The settings that may differ between two runs of the command.
    pub settings: BTreeMap<String, Value>,
    /// The number of rounds that counted.
    pub rounds: usize,
    /// The results.
    pub lines: Vec<Measured>,
    /// The targets of the command. Not read back.
    #[serde(skip_deserializing)]
    pub targets: Vec<Target>,
    /// Further remarks for the reader.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A line of a table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// The task that was measured.
    pub table: String,
    /// The candidate.
    pub name: String,
    /// The figures of the line.
    pub figures: Vec<Figure>,
    /// The ratios of the first figure to that of other lines, round by round. Not read back.
    #[serde(skip_deserializing)]
    pub ratios: Vec<Ratio>,
}

/// The JSON form of an [`Origin`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Origin")]
struct OriginForm {
    version: String,
    commit: String,
    #[serde(with = "MachineForm")]
    machine: Machine,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Machine")]
struct MachineForm {
    cpu: String,
    cores: usize,
    kernel: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Better", rename_all = "lowercase")]
enum BetterForm {
    Less,
    More,
}

/// A comparison with another line.
#[derive(Debug, Clone, Serialize)]
pub struct Ratio {
    /// The name of the other line.
    pub to: String,
    /// The median of all rounds.
    pub median: f64,
    /// The minimum of all rounds.
    pub min: f64,
    /// The maximum of all rounds.
    pub max: f64,
}

/// A figure: median, minimum and maximum of all rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The unit.
    pub unit: String,
    /// Which direction is better.
    #[serde(with = "BetterForm")]
    pub better: Better,
    /// The median of all rounds.
    pub median: f64,
    /// The minimum of all rounds.
    pub min: f64,
    /// The maximum of all rounds.
    pub max: f64,
    /// Whether the figure is stable enough to compare two runs. Far tails are not.
    pub is_steady: bool,
}

/// An upper limit for a figure.
#[derive(Debug, Clone, Serialize)]
pub struct Target {
    /// What was measured.
    pub name: String,
    /// The unit.
    pub unit: String,
    /// The measured value.
    pub value: f64,
    /// The minimum and maximum of all rounds, if the value is a ratio of rounds.
    pub range: Option<(f64, f64)>,
    /// The limit.
    pub most: f64,
}

impl Target {
    /// Returns whether the target is met.
    pub fn is_met(&self) -> bool {
        self.value <= self.most
    }

    /// Returns the target as one line of text.
    pub fn line(&self) -> String {
        let Self { name, unit, value, range, most } = self;
        let range = range.map_or_else(String::new, |(min, max)| format!(" ({}..{})", number(min), number(max)));
        format!("{name}: {}{unit}{range}, at most {}{unit}", number(*value), number(*most))
    }
}

impl Report {
    /// Creates the report of a run that has just ended.
    pub fn new(command: &str, settings: BTreeMap<String, Value>, lines: &[Line], targets: Vec<Target>) -> Self {
        Self {
            command: command.to_owned(),
            origin: Origin::this(),
            settings,
            rounds: lines.first().map_or(0, Line::rounds),
            lines: lines.iter().map(Measured::of).collect(),
            targets,
            notes: Vec::new(),
        }
    }

    /// Adds the ratios of the first figure of each line to that of its yardsticks.
    pub fn compare<'a>(mut self, lines: &'a [Line], yardsticks: impl Fn(&Line) -> Vec<&'a Line>) -> Self {
        for (measured, line) in self.lines.iter_mut().zip(lines) {
            let ratio = |other: &Line| {
                let Spread { median, min, max } = line.ratio(other, 0);
                Ratio { to: other.name.clone(), median, min, max }
            };
            measured.ratios = yardsticks(line).into_iter().map(ratio).collect();
        }
        self
    }

    /// Reads a report from a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let text = fs::read(path).map_err(|e| Error::failed(&format!("{name} could not be read"), e))?;
        serde_json::from_slice(&text).map_err(|e| Error::failed(&format!("{name} is not a report of --json"), e))
    }

    /// Returns the report as one line of JSON.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_else(|_| unreachable!("all keys are strings"));
        text.push('\n');
        text
    }

    /// Returns the report as tables.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.origin.line());
        let settings = self.settings.iter().map(|(name, value)| format!("; {name} {}", plain(value)));
        let _ = writeln!(text, "{}: {} interleaved rounds{}", self.command, self.rounds, settings.collect::<String>());
        for table in self.tables() {
            self.write_table(&mut text, table);
        }
        if !self.notes.is_empty() {
            let _ = writeln!(text, "\n{}", self.notes.join("\n"));
        }
        if !self.targets.is_empty() {
            text.push_str("\ntargets\n");
        }
        for target in &self.targets {
            let _ = writeln!(text, "  {:<6} {}", if target.is_met() { "met" } else { "MISSED" }, target.line());
        }
        text
    }

    /// Returns the names of the tables, each once, in the order of the lines.
    fn tables(&self) -> Vec<&str> {
        let mut tables: Vec<&str> = Vec::new();
        for line in &self.lines {
            if !tables.contains(&line.table.as_str()) {
                tables.push(&line.table);
            }
        }
        tables
    }

    fn write_table(&self, text: &mut String, table: &str) {
        let lines: Vec<_> = self.lines.iter().filter(|line| line.table == table).collect();
        let width = lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0).max(table.chars().count());
        let Some(first) = lines.first() else { return };
        let _ = write!(text, "\n{table:<width$}  ");
        for figure in &first.figures {
            let _ = write!(text, " {:>13}", format!("{} {}", figure.name, figure.unit).trim());
        }
        let _ = write!(text, " {:>19}", "min..max");
        for ratio in &first.ratios {
            let _ = write!(text, "  {:>width$}", format!("to {}", ratio.to), width = RATIO);
        }
        text.push('\n');
        for line in lines {
            let _ = write!(text, "  {:<width$}", line.name);
            for figure in &line.figures {
                let _ = write!(text, " {:>13}", number(figure.median));
            }
            let range = line.figures.first().map(|first| format!("{}..{}", number(first.min), number(first.max)));
            let _ = write!(text, " {:>19}", range.unwrap_or_default());
            for Ratio { to, median, .. } in &line.ratios {
                let width = RATIO.max(to.chars().count() + 3);
                let _ = write!(text, "  {:>width$}", format!("{}x", number(*median)));
            }
            text.push('\n');
        }
    }

    /// Returns whether an earlier report is of the same command and shares steady figures with this one.
    pub fn is_comparable(&self, earlier: &Self) -> bool {
        let has = |line: &Measured| earlier.lines.iter().any(|l| l.table == line.table && l.name == line.name);
        let is_steady = |line: &Measured| line.figures.iter().any(|figure| figure.is_steady);
        self.command == earlier.command && self.lines.iter().any(|line| is_steady(line) && has(line))
    }

    /// Returns the targets that were missed.
    pub fn missed(&self) -> Vec<String> {
        self.targets.iter().filter(|target| !target.is_met()).map(Target::line).collect()
    }

    /// Returns the figures that are worse than in an earlier run. A figure is worse if its median is worse by more than
    /// the fraction `most` (0.1 is a tenth) and each of its rounds is worse than every earlier round: on a shared
    /// machine, medians of the same program may differ by more than `most`. Figures that only one report has are left
    /// out. So are far tails, which differ between any two runs.
    pub fn losses_against(&self, earlier: &Self, most: f64) -> Vec<String> {
        let mut losses = Vec::new();
        for line in &self.lines {
            let Some(before) = earlier.lines.iter().find(|l| l.table == line.table && l.name == line.name) else {
                continue;
            };
            for figure in line.figures.iter().filter(|figure| figure.is_steady) {
                let Some(old) = before.figures.iter().find(|f| f.name == figure.name) else { continue };
                let worse = figure.times_worse_than(old);
                if worse > 1.0 + most && figure.is_worse_throughout(old) {
                    let (name, unit) = (&figure.name, &figure.unit);
                    let (now, then) = (number(figure.median), number(old.median));
                    losses.push(format!("{}, {}: {name} {now} {unit}, was {then}", line.table, line.name));
                }
            }
        }
        losses
    }
}

impl Figure {
    fn is_worse_throughout(&self, old: &Self) -> bool {
        match self.better {
            Better::Less => self.min > old.max,
            Better::More => self.max < old.min,
        }
    }

    fn times_worse_than(&self, old: &Self) -> f64 {
        match self.better {
            Better::Less => self.median / old.median,
            Better::More => old.median / self.median,
        }
    }
}

impl Measured {
    fn of(line: &Line) -> Self {
        let figures = line.columns.iter().enumerate().map(|(place, column)| {
            let (min, max) = line.range(place);
            let (name, unit) = (column.name.to_owned(), column.unit.to_owned());
            let (better, is_steady) = (column.better, column.is_steady);
            Figure { name, unit, better, median: line.median(place), min, max, is_steady }
        });
        Self { table: line.table.clone(), name: line.name.clone(), figures: figures.collect(), ratios: Vec::new() }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The width of a ratio's column.
const RATIO: usize = 10;

/// Formats a number with about three significant digits.
fn number(number: f64) -> String {
    match number.abs() {
        1e6.. => format!("{:.2} M", number / 1e6),
        1e5.. => format!("{:.0} k", number / 1e3),
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cost: f64, output: f64, tail: f64) -> Report {
        let figure = |name: &str, better, median, is_steady| Figure {
            name: name.to_owned(),
            unit: String::new(),
            better,
            median,
            min: median,
            max: median,
            is_steady,
        };
        let figures = vec![
            figure("cost", Better::Less, cost, true),
            figure("output", Better::More, output, true),
            figure("tail", Better::Less, tail, false),
        ];
        let lines = vec![Measured { table: "t".to_owned(), name: "one".to_owned(), figures, ratios: Vec::new() }];
        Report { lines, ..Report::new("c", BTreeMap::new(), &[], Vec::new()) }
    }

    #[test]
    fn a_loss_is_more_cost_or_less_output_but_not_a_far_tail() {
        let before = report(100.0, 100.0, 1.0);
        assert!(report(109.0, 92.0, 50.0).losses_against(&before, 0.1).is_empty());
        assert_eq!(report(111.0, 100.0, 1.0).losses_against(&before, 0.1), ["t, one: cost 111 , was 100"]);
        assert_eq!(report(100.0, 90.0, 1.0).losses_against(&before, 0.1), ["t, one: output 90.0 , was 100"]);
        assert!(report(50.0, 200.0, 1.0).losses_against(&before, 0.1).is_empty(), "an improvement is not a loss");
    }

    #[test]
    fn a_figure_with_overlapping_rounds_is_not_a_loss() {
        let mut before = report(100.0, 100.0, 1.0);
        (before.lines[0].figures[0].max, before.lines[0].figures[1].min) = (120.0, 80.0);
        let mut now = report(150.0, 50.0, 1.0);
        (now.lines[0].figures[0].min, now.lines[0].figures[1].max) = (119.0, 81.0);
        assert!(now.losses_against(&before, 0.1).is_empty());
        (now.lines[0].figures[0].min, now.lines[0].figures[1].max) = (121.0, 79.0);
        assert_eq!(now.losses_against(&before, 0.1).len(), 2);
    }

    #[test]
    fn a_report_can_be_read_back() {
        let text = report(1.5, 2.0, 3.0).json();
        let again: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(again.json(), text);
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(
            [0.123, 12.34, 123.4, 1234.0, 123_456.0, 1_234_567.0].map(number),
            ["0.12", "12.3", "123", "1234", "123 k", "1.23 M"]
        );
    }
}
