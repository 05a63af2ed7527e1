//! Collects the problems of a configuration.

use std::fmt::{Debug, Display};

/// Problems as text. Each text names a knob, its value and how to fix it.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    /// Adds a problem with `knob` unless `holds`. `remedy` completes the sentence "set it ...".
    pub fn require(&mut self, holds: bool, knob: &str, value: impl Debug, remedy: impl Display) {
        if !holds {
            self.0.push(format!("{knob} is {value:?}: set it {remedy}"));
        }
    }

    /// Adds problems that were found elsewhere.
    pub fn extend(&mut self, others: Vec<String>) {
        self.0.extend(others);
    }

    pub fn into_texts(self) -> Vec<String> {
        self.0
    }
}
