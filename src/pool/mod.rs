//! The newest value of every stream, read from any thread in nanoseconds, with the proof of how fresh it is.
