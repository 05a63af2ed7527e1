//! A simulated Upbit exchange. Shares no code with the library it tests.
