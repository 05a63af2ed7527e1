//! All system calls: the event loop, sockets, TLS, name resolution, the clock. Decides nothing.
