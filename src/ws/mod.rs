//! RFC 6455, pure: frames in place over a byte buffer, and the opening handshake. No socket, no clock.
