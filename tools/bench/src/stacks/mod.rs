//! The clients that need no feature `peers`.

mod floor;
mod hoga;

pub use floor::Floor;
pub use hoga::Hoga;
