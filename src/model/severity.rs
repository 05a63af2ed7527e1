//! How severe an error or a failure is.

/// How severe an error or a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// A call had no effect, or nothing was lost.
    Low,
    /// Something is missing, or was lost, but the engine can continue.
    Medium,
    /// The engine does not work, or no longer works, until the cause is removed.
    High,
}

impl Severity {
    /// Returns a short, stable word for logs and scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}
