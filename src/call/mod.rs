//! Callbacks and the threads that call them, for programs that prefer callbacks to polling feeds. Knows nothing about
//! connections.

mod callback;
mod dispatcher;

pub use callback::{Callback, CallbackResult, CallbackStatus};
pub use dispatcher::Dispatcher;

pub(crate) use callback::{Call, Shared};
pub(crate) use dispatcher::drop_quietly;
