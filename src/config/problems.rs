//! Collects what is wrong with a configuration.

use std::fmt::{Debug, Display};

/// Texts that each name a knob, its value and what to do.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<String>);

impl Problems {
    /// Notes a problem with `knob` unless `holds`. `remedy` continues the sentence "set it ...".
    pub fn require(&mut self, holds: bool, knob: &str, value: impl Debug, remedy: impl Display) {
        if !holds {
            self.0.push(format!("{knob} is {value:?}: set it {remedy}"));
        }
    }

    /// Notes problems that were found elsewhere.
    pub fn extend(&mut self, others: Vec<String>) {
        self.0.extend(others);
    }

    pub fn into_texts(self) -> Vec<String> {
        self.0
    }
}
