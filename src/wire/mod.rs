//! Upbit JSON, pure: bytes of a message in, typed values out. No socket, no clock, no request text.
