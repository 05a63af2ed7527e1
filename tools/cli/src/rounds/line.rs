//! Lines of a table, and what the rounds gave for them.

/// One figure of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// What it is.
    pub name: &'static str,
    /// `ns`, `µs`, `/s`, …
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Whether it says something when two runs are compared. Far tails do not.
    pub is_steady: bool,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The less the better.
    Less,
    /// The more the better.
    More,
}

impl Column {
    /// A cost.
    pub const fn cost(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::Less, is_steady: true }
    }

    /// A cost that depends mostly on noise: on what else the machine does.
    pub const fn tail(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::Less, is_steady: false }
    }

    /// An output.
    pub const fn output(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::More, is_steady: true }
    }
}

/// A line of a table, and what each round gave for its columns.
#[derive(Debug, Clone)]
pub struct Line {
    /// What is done.
    pub table: String,
    /// The candidate.
    pub name: String,
    /// What is measured of it.
    pub columns: Vec<Column>,
    pub(super) rounds: Vec<Vec<f64>>,
}

impl Line {
    /// A line without figures yet.
    pub fn new(table: impl Into<String>, name: impl Into<String>, columns: &[Column]) -> Self {
        Self { table: table.into(), name: name.into(), columns: columns.to_vec(), rounds: Vec::new() }
    }

    /// A line of one round.
    pub fn of(table: &str, name: &str, columns: &[Column], figures: Vec<f64>) -> Self {
        Self { rounds: vec![figures], ..Self::new(table, name, columns) }
    }

    /// What the rounds gave for one column.
    pub fn figures(&self, column: usize) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(move |round| round[column])
    }

    /// The median of all rounds.
    pub fn median(&self, column: usize) -> f64 {
        median(self.figures(column).collect())
    }

    /// The least and the most.
    pub fn range(&self, column: usize) -> (f64, f64) {
        self.figures(column).fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), x| (min.min(x), max.max(x)))
    }

    /// How many times another's figure of the same round: the median of all rounds, and the least and the most.
    pub fn ratio(&self, other: &Self, column: usize) -> Spread {
        Spread::of(self.figures(column).zip(other.figures(column)).map(|(mine, other)| mine / other))
    }

    /// How much more than another's figure of the same round.
    pub fn difference(&self, other: &Self, column: usize) -> Spread {
        Spread::of(self.figures(column).zip(other.figures(column)).map(|(mine, other)| mine - other))
    }

    /// How many rounds.
    pub fn rounds(&self) -> usize {
        self.rounds.len()
    }
}

/// Some figures of one thing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Half were no more.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<_> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().unwrap_or(f64::NAN);
        Self { median: at(figures.len() / 2), min: at(0), max: at(figures.len().saturating_sub(1)) }
    }
}

fn median(figures: Vec<f64>) -> f64 {
    Spread::of(figures.into_iter()).median
}
