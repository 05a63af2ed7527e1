//! Panics that tests plant at named places of the engine, to show that it survives its own mistakes. Only builds with the
//! feature `planted-panics` have them; in all others, [`reach`] is empty.

/// A place where a panic can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where a message is decoded.
    Decode,
    /// Where a message is delivered to the pool and the feeds.
    Route,
    /// Where a request is written.
    Request,
    /// Where the control thread decides what to do.
    Hub,
}

#[cfg(feature = "planted-panics")]
static ARMED: std::sync::Mutex<Vec<(Place, String)>> = std::sync::Mutex::new(Vec::new());

/// Plants a panic: the next thread that reaches this place with this market panics, once.
#[cfg(feature = "planted-panics")]
pub fn arm(place: Place, code: &str) {
    ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((place, code.to_owned()));
}

/// Panics if a test has planted a panic at this place. `is_about` returns true if the work at hand is about this market.
#[cfg(feature = "planted-panics")]
pub fn reach(place: Place, is_about: impl Fn(&str) -> bool) {
    let mut armed = ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(at) = armed.iter().position(|(armed, code)| *armed == place && is_about(code)) {
        let (place, code) = armed.swap_remove(at);
        drop(armed);
        panic!("planted at {place:?} for {code}");
    }
}

/// Does nothing in this build.
#[cfg(not(feature = "planted-panics"))]
#[inline(always)]
pub fn reach(_place: Place, _is_about: impl Fn(&str) -> bool) {}
