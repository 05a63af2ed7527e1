//! The life of one connection, sans-IO: what happened goes in, what to do comes out. No clock, no socket, no thread.
