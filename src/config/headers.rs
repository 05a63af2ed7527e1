//! The additional headers of the opening request.

use std::fmt;

/// The headers that a connection sends when it opens a WebSocket, in addition to those of the handshake. By default
/// there is one, `User-Agent: hoga/x.y.z`, because some firewalls refuse requests without it.
///
/// Values may be secret, so they are never printed: `Debug` shows names only.
#[derive(Clone, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Default for Headers {
    fn default() -> Self {
        Self(vec![("User-Agent".to_owned(), concat!("hoga/", env!("CARGO_PKG_VERSION")).to_owned())])
    }
}

impl Headers {
    /// Sets a header. Replaces an earlier one with this name, in any case.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        self.0.retain(|(earlier, _)| !earlier.eq_ignore_ascii_case(&name));
        self.0.push((name, value));
    }

    /// Returns the names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_one_value_which_is_never_printed() {
        let mut headers = Headers::default();
        headers.set("X-Key", "canary-1");
        headers.set("user-agent", "canary-2");
        headers.set("x-key", "canary-3");
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("user-agent", "canary-2"), ("x-key", "canary-3")]);
        let config = crate::config::Config { headers, ..crate::config::Config::default() };
        let printed = format!("{config:?}");
        assert!(printed.contains("x-key") && !printed.contains("canary"), "{printed}");
    }
}
