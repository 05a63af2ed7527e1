//! Callbacks and the threads that call them: readers of feeds, for programs that would rather be called than poll. It knows
//! nothing of connections.

mod callback;
mod dispatcher;

pub use callback::{Callback, CallbackResult, CallbackStatus};
pub use dispatcher::Dispatcher;

pub(crate) use callback::{Call, Shared};
pub(crate) use dispatcher::drop_quietly;
