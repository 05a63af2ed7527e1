//! The opening request (RFC 6455 section 4.1).

use std::fmt;

use tungstenite::http::{HeaderName, HeaderValue, Uri};

use super::HandshakeError;

/// Writes an opening request. `key` is the value of `Sec-WebSocket-Key`.
pub(super) fn write(
    host: &str,
    port: u16,
    path: &str,
    secure: bool,
    headers: &[(&str, &str)],
    key: &str,
) -> Result<Vec<u8>, HandshakeError> {
    let authority = authority(host, port, secure);
    let scheme = if secure { "wss" } else { "ws" };
    let uri: Uri = format!("{scheme}://{authority}{path}").parse().map_err(invalid)?;
    // The parsed authority differs if part of the host was parsed as path, or part of the path as host.
    let is_whole = uri.authority().is_some_and(|parsed| parsed.as_str() == authority && !authority.contains('@'));
    let target = uri.path_and_query().filter(|_| is_whole && path.starts_with('/'));
    let Some(target) = target else { return Err(invalid("the host or the path is invalid")) };
    let mut request = format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    );
    for (name, value) in headers {
        if let Some(problem) = header_problem(name, value) {
            return Err(invalid(problem));
        }
        for part in [name, ": ", value, "\r\n"] {
            request.push_str(part);
        }
    }
    request.push_str("\r\n");
    Ok(request.into_bytes())
}

/// Returns why an opening request may not have this additional header, or `None` if it may. The text never contains the
/// value, which may be a token.
pub fn header_problem(name: &str, value: &str) -> Option<String> {
    let Ok(parsed) = HeaderName::try_from(name) else { return Some("the name of a header is invalid".to_owned()) };
    let why = match parsed.as_str() {
        "host" | "connection" | "upgrade" => "the opening handshake writes it",
        // We support no extension and no subprotocol.
        name if name.starts_with("sec-websocket-") => "it belongs to the opening handshake",
        "content-length" | "transfer-encoding" => "the opening request has no body",
        "origin" => "with an Origin, Upbit allows only one connect in ten seconds",
        _ if HeaderValue::from_str(value).is_err() => {
            return Some(format!("the value of the header {name} contains control characters"));
        }
        _ => return None,
    };
    Some(format!("the header {name} may not be set: {why}"))
}

/// Returns the host, and the port unless it is the scheme's default (RFC 6455 section 4.1, point 4).
fn authority(host: &str, port: u16, secure: bool) -> String {
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    if port == if secure { 443 } else { 80 } { host } else { format!("{host}:{port}") }
}

fn invalid(why: impl fmt::Display) -> HandshakeError {
    HandshakeError::InvalidRequest(why.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_omitted_if_it_is_the_default_of_the_scheme() {
        assert_eq!(authority("api.upbit.com", 443, true), "api.upbit.com");
        assert_eq!(authority("api.upbit.com", 80, true), "api.upbit.com:80");
        assert_eq!(authority("127.0.0.1", 9443, true), "127.0.0.1:9443");
        assert_eq!(authority("::1", 80, false), "[::1]");
        assert_eq!(authority("[::1]", 8080, false), "[::1]:8080");
    }
}
