//! Figures with a limit.

use hoga_cli::exit::Failure;
use serde_json::{Value, json};

/// A figure that must not be above its limit, or not below it.
pub struct Promise {
    name: String,
    value: f64,
    limit: f64,
    /// Whether the limit is the least that the value may be; otherwise the most.
    is_least: bool,
}

impl Promise {
    pub fn most(name: &str, value: f64, limit: f64) -> Self {
        Self { name: name.to_owned(), value, limit, is_least: false }
    }

    pub fn least(name: &str, value: f64, limit: f64) -> Self {
        Self { name: name.to_owned(), value, limit, is_least: true }
    }

    fn is_kept(&self) -> bool {
        if self.is_least { self.value >= self.limit } else { self.value <= self.limit }
    }

    fn line(&self) -> String {
        let bound = if self.is_least { "at least" } else { "at most" };
        format!("{}: {}, {bound} {}", self.name, short(self.value), short(self.limit))
    }

    pub fn json(&self) -> Value {
        json!({"name": self.name, "value": self.value, "limit": self.limit, "kept": self.is_kept()})
    }
}

/// Returns one line for each promise.
pub fn lines(promises: &[Promise]) -> String {
    let line =
        |promise: &Promise| format!("  {:<6} {}\n", if promise.is_kept() { "kept" } else { "BROKEN" }, promise.line());
    promises.iter().map(line).collect()
}

/// Fails if a promise was broken.
pub fn check<'a>(promises: impl Iterator<Item = &'a Promise>) -> Result<(), Failure> {
    let broken: Vec<_> = promises.filter(|promise| !promise.is_kept()).map(Promise::line).collect();
    if broken.is_empty() { Ok(()) } else { Err(Failure::Failed(format!("broken:\n  {}", broken.join("\n  ")))) }
}

/// Formats a number with at most three decimal places.
pub fn short(number: f64) -> String {
    if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_promise_fails_and_names_itself() {
        let kept = [Promise::most("lost", 0.0, 0.0), Promise::least("restored", 100.0, 100.0)];
        assert!(check(kept.iter()).is_ok());
        for broken in [Promise::most("lost", 1.0, 0.0), Promise::least("restored", 99.5, 100.0)] {
            let name = broken.name.clone();
            let Err(Failure::Failed(message)) = check([broken].iter()) else { panic!("{name} passes") };
            assert!(message.contains(&name), "{message}");
        }
        assert!(check([Promise::most("never", f64::INFINITY, 5.0)].iter()).is_err());
        assert!(check([Promise::most("unknown", f64::NAN, 5.0)].iter()).is_err());
    }
}
