//! Judges from what arrives whether a stream still works, and what to do about it. Pure: time is an argument, and
//! nothing here knows a socket, a thread or a clock.
//!
//! A stream may die while others on its connection live, and an exchange that sends nothing looks like a market without
//! trades. The [`Monitor`] looks at all streams a few times a second and collects evidence:
//!
//! * **Rhythm**: the stream, or the whole connection, is silent for much longer than is usual for it (`rhythm`). This is
//!   no proof, so it only makes values `Quiet`, and the exchange is asked for the state of the stream again.
//! * **Siblings**: the ticker and the trades of one market show the same trades, so one of them proves that the other
//!   lacks a message (`siblings`). This makes values `Suspect`.
//!
//! From the same looks follow the changes of health that watchers get (`changes`), and the account of what
//! may be missing (`gaps`).
//!
//! A stream that is quiet or suspect is requested again, with growing pauses (`attempts`). The others continue. If the
//! whole connection is quiet, all of it is probed, and the session replaces the socket if nothing answers.

mod attempts;
mod changes;
mod gaps;
mod monitor;
mod rhythm;
mod siblings;

pub use changes::{HealthChange, HealthChanges};
pub use gaps::{GapEdge, GapLog, Gaps, StreamGap};
pub use monitor::{Findings, Look, Monitor};
