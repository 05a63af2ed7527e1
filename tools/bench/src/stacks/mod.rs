//! Clients that are always there to be measured.

mod floor;
mod hoga;

pub use floor::Floor;
pub use hoga::Hoga;
