//! Lock-free parts, and all unsafe code of the library.
