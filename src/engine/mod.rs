//! Builder, engine and connection threads: the only room that knows all others.
