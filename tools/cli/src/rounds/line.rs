//! The lines of a result table, with the figures of each round.

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The name of the figure.
    pub name: &'static str,
    /// `ns`, `µs`, `/s`, …
    pub unit: &'static str,
    /// The direction in which the figure is better.
    pub better: Better,
    /// Whether the figure is steady enough to compare two runs. Far tails are not.
    pub is_steady: bool,
}

/// The direction in which a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Lower is better.
    Less,
    /// Higher is better.
    More,
}

impl Column {
    /// Creates a column for a cost, such as a time.
    pub const fn cost(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::Less, is_steady: true }
    }

    /// Creates a column for a cost that depends mostly on other load on the machine, such as a high quantile.
    pub const fn tail(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::Less, is_steady: false }
    }

    /// Creates a column for an output, such as a rate.
    pub const fn output(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::More, is_steady: true }
    }
}

/// A line of a table, with the figures of its columns in each round.
#[derive(Debug, Clone)]
pub struct Line {
    /// The table that the line belongs to: what is measured.
    pub table: String,
    /// The name of the candidate.
    pub name: String,
    /// The columns of the table.
    pub columns: Vec<Column>,
    pub(super) rounds: Vec<Vec<f64>>,
}

impl Line {
    /// Creates a line without figures.
    pub fn new(table: impl Into<String>, name: impl Into<String>, columns: &[Column]) -> Self {
        Self { table: table.into(), name: name.into(), columns: columns.to_vec(), rounds: Vec::new() }
    }

    /// Creates a line with the figures of one round.
    pub fn of(table: &str, name: &str, columns: &[Column], figures: Vec<f64>) -> Self {
        Self { rounds: vec![figures], ..Self::new(table, name, columns) }
    }

    /// Returns the figure of one column in each round.
    pub fn figures(&self, column: usize) -> impl Iterator<Item = f64> {
        self.rounds.iter().map(move |round| round[column])
    }

    /// Returns the median of a column over all rounds.
    pub fn median(&self, column: usize) -> f64 {
        median(self.figures(column).collect())
    }

    /// Returns the minimum and the maximum of a column.
    pub fn range(&self, column: usize) -> (f64, f64) {
        self.figures(column).fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), x| (min.min(x), max.max(x)))
    }

    /// Returns the ratio of this line's figure to the other line's figure in the same round, over all rounds.
    pub fn ratio(&self, other: &Self, column: usize) -> Spread {
        Spread::of(self.figures(column).zip(other.figures(column)).map(|(mine, other)| mine / other))
    }

    /// Returns this line's figure minus the other line's figure in the same round, over all rounds.
    pub fn difference(&self, other: &Self, column: usize) -> Spread {
        Spread::of(self.figures(column).zip(other.figures(column)).map(|(mine, other)| mine - other))
    }

    /// Returns the number of rounds.
    pub fn rounds(&self) -> usize {
        self.rounds.len()
    }
}

/// The spread of a figure over the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The minimum.
    pub min: f64,
    /// The maximum.
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
