//! What can go wrong, and what to do about it.

mod error;
mod not_ready;

pub use error::{Error, Recovery, Result, Severity};
pub use not_ready::{NotReady, NotReadyReason};
