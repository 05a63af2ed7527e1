//! Opens a tunnel through a proxy, sans-IO: HTTP CONNECT here, SOCKS5 in `socks5`. What runs through the tunnel is not
//! read here.

use std::fmt;

use super::HandshakeError;
use super::answer::{Answer, reason};
use super::handshake::{MAX_HEADER_BYTES, find_header};
use super::socks5::Socks5;

/// The opening of one tunnel. The constructors return the first bytes to send. After each read, pass all bytes that
/// were received and not consumed to [`handle`](Self::handle).
pub struct Tunnel(Protocol);

enum Protocol {
    Http {
        /// Whether the request contained a user name and a password.
        has_credentials: bool,
        /// The number of bytes that were searched for the end of the answer's header.
        scanned: usize,
        /// How many more bytes the header may have.
        left: usize,
    },
    Socks5(Socks5),
}

/// The next step of an opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TunnelStep {
    /// Receive more.
    NeedMore,
    /// Send this, then receive more.
    Send(Vec<u8>),
    /// The tunnel is open. All later bytes in both directions are the exchange's.
    Done,
}

/// Why a proxy opened no tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelError {
    /// The proxy requires a user name and a password, and none are configured.
    CredentialsMissing,
    /// The proxy refused the user name or the password.
    CredentialsRefused,
    /// An HTTP proxy answered with a status other than 2xx and 407.
    Status {
        /// The HTTP status.
        status: u16,
        /// The words after it, at most 60 bytes, safe to log.
        reason: Box<str>,
    },
    /// A SOCKS5 proxy answered with this code (RFC 1928 section 6).
    Reply(u8),
    /// The answer is not what a proxy of this protocol sends.
    Protocol(Box<str>),
    /// The proxy closed the connection before the tunnel was open.
    Closed,
}

impl Tunnel {
    /// Begins a tunnel to `host` through an HTTP proxy (RFC 9110 section 9.3.6).
    pub fn http(host: &str, port: u16, credentials: Option<(&str, &str)>) -> (Self, Vec<u8>) {
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        let target = format!("{open}{host}{close}:{port}");
        let agent = concat!("hoga/", env!("CARGO_PKG_VERSION"));
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {agent}\r\n");
        if let Some((user, password)) = credentials {
            let encoded = data_encoding::BASE64.encode(format!("{user}:{password}").as_bytes());
            request.push_str(&format!("Proxy-Authorization: Basic {encoded}\r\n"));
        }
        request.push_str("\r\n");
        let http = Protocol::Http { has_credentials: credentials.is_some(), scanned: 0, left: MAX_HEADER_BYTES };
        (Self(http), request.into_bytes())
    }

    /// Begins a tunnel to `host` through a SOCKS5 proxy (RFC 1928, and RFC 1929 for the credentials). Names and
    /// credentials have at most 255 bytes.
    pub fn socks5(host: &str, port: u16, credentials: Option<(&str, &str)>) -> (Self, Vec<u8>) {
        let (socks5, greeting) = Socks5::start(host, port, credentials);
        (Self(Protocol::Socks5(socks5)), greeting)
    }

    /// Reads the bytes that were received and not consumed. Returns the number of bytes to consume, and the next step.
    /// Bytes after the proxy's answer are never consumed. Do not call it again after an error.
    ///
    /// # Errors
    /// Any [`TunnelError`] except `Closed`.
    pub fn handle(&mut self, received: &[u8]) -> Result<(usize, TunnelStep), TunnelError> {
        match &mut self.0 {
            Protocol::Socks5(socks5) => socks5.handle(received),
            Protocol::Http { has_credentials, scanned, left } => {
                let Some(size) = find_header(received, *left, scanned).map_err(from_handshake)? else {
                    return Ok((0, TunnelStep::NeedMore));
                };
                let (header, status) =
                    (&received[..size], Answer::read(&received[..size]).map_err(from_handshake)?.status);
                match status {
                    100..=199 => {
                        (*scanned, *left) = (0, *left - size);
                        let (more, step) = self.handle(&received[size..])?;
                        Ok((size + more, step))
                    }
                    200..=299 => Ok((size, TunnelStep::Done)),
                    407 if *has_credentials => Err(TunnelError::CredentialsRefused),
                    407 => Err(TunnelError::CredentialsMissing),
                    _ => Err(TunnelError::Status { status, reason: reason(header).into() }),
                }
            }
        }
    }
}

fn from_handshake(error: HandshakeError) -> TunnelError {
    TunnelError::Protocol(error.to_string().into())
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CredentialsMissing => f.write_str(
                "requires a user name and a password (407): put them into its address, http://user:password@host:port",
            ),
            Self::CredentialsRefused => f.write_str("refused the user name or the password (407)"),
            Self::Status { status, reason } => {
                let hint = match status {
                    403 => "its rules forbid this address; ask its administrator",
                    405 | 501 => "it does not offer CONNECT; it may not be a proxy",
                    502..=504 => "it could not reach the exchange",
                    _ => "it opens no tunnel to the exchange",
                };
                let gap = if reason.is_empty() { "" } else { " " };
                write!(f, "answered {status}{gap}{reason}: {hint}")
            }
            Self::Reply(code) => write!(f, "answered with code {code}: {}", reply(*code)),
            Self::Protocol(why) => write!(f, "does not answer as such a proxy does: {why}; check its scheme and port"),
            Self::Closed => f.write_str("closed the connection before the tunnel was open"),
        }
    }
}

impl std::error::Error for TunnelError {}

/// The meaning of a SOCKS5 reply.
const fn reply(code: u8) -> &'static str {
    match code {
        1 => "it failed",
        2 => "its rules forbid this address; ask its administrator",
        3 => "the exchange's network is unreachable from it",
        4 => "the exchange is unreachable from it, or it cannot look up the name",
        5 => "the exchange refused its connection",
        6 => "the time to live expired on the way to the exchange",
        7 => "it does not support the command CONNECT",
        8 => "it does not support this type of address",
        _ => "an unknown code",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange's first bytes, which may follow the proxy's answer at once.
    const EARLY: &[u8] = b"\x16\x03\x03";

    const LOGIN: Option<(&str, &str)> = Some(("user", "p:w"));

    /// Begins a tunnel with these credentials.
    type Start = fn(Option<(&str, &str)>) -> (Tunnel, Vec<u8>);

    fn http(credentials: Option<(&str, &str)>) -> (Tunnel, Vec<u8>) {
        Tunnel::http("api.upbit.com", 443, credentials)
    }

    fn socks5(credentials: Option<(&str, &str)>) -> (Tunnel, Vec<u8>) {
        Tunnel::socks5("api.upbit.com", 443, credentials)
    }

    /// Receives `answer` in two parts. Returns what was sent, the end, and the bytes that were not consumed.
    fn play(
        (mut tunnel, first): (Tunnel, Vec<u8>),
        answer: &[u8],
        cut: usize,
    ) -> (Vec<u8>, Result<TunnelStep, TunnelError>, Vec<u8>) {
        let (mut sent, mut pending) = (first, Vec::new());
        for (index, part) in [&answer[..cut], &answer[cut..]].into_iter().enumerate() {
            pending.extend_from_slice(part);
            loop {
                match tunnel.handle(&pending) {
                    Ok((n, step)) => {
                        pending.drain(..n);
                        match step {
                            TunnelStep::NeedMore => break,
                            TunnelStep::Send(bytes) => sent.extend(bytes),
                            TunnelStep::Done => {
                                // The rest of the answer arrives later.
                                if index == 0 {
                                    pending.extend_from_slice(&answer[cut..]);
                                }
                                return (sent, Ok(TunnelStep::Done), pending);
                            }
                        }
                    }
                    Err(error) => return (sent, Err(error), pending),
                }
            }
        }
        (sent, Ok(TunnelStep::NeedMore), pending)
    }

    /// Requires that an answer opens the tunnel after exactly these bytes were sent, at every split, and that no later
    /// byte is lost.
    #[track_caller]
    fn opens(start: Start, login: Option<(&str, &str)>, answer: &[u8], sent: &[u8]) {
        let whole = [answer, EARLY].concat();
        for cut in 0..=whole.len() {
            let (all, end, rest) = play(start(login), &whole, cut);
            assert_eq!((all.as_slice(), end, rest.as_slice()), (sent, Ok(TunnelStep::Done), EARLY), "cut at {cut}");
        }
        for end in 0..answer.len() {
            assert_eq!(play(start(login), &answer[..end], 0).1, Ok(TunnelStep::NeedMore), "{end} bytes");
        }
    }

    /// Requires that an answer fails, at every split.
    #[track_caller]
    fn fails(start: Start, login: Option<(&str, &str)>, answer: &[u8]) -> TunnelError {
        let error = play(start(login), answer, 0).1.unwrap_err();
        for cut in 1..answer.len() {
            assert_eq!(play(start(login), answer, cut).1, Err(error.clone()), "cut at {cut}");
        }
        error
    }

    const AGENT: &str = concat!("User-Agent: hoga/", env!("CARGO_PKG_VERSION"), "\r\n");

    #[test]
    fn http_connect_sends_the_name_and_the_credentials() {
        let request = format!("CONNECT api.upbit.com:443 HTTP/1.1\r\nHost: api.upbit.com:443\r\n{AGENT}");
        let answers: [&[u8]; 5] = [
            b"HTTP/1.1 200 Connection established\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nProxy-Agent: x\r\nContent-Length: 7\r\n\r\n",
            b"HTTP/1.1 200\n\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        ];
        for answer in answers {
            opens(http, None, answer, format!("{request}\r\n").as_bytes());
        }
        let login = format!("{request}Proxy-Authorization: Basic dXNlcjpwOnc=\r\n\r\n");
        opens(http, LOGIN, b"HTTP/1.1 200 OK\r\n\r\n", login.as_bytes());
        let v6 = String::from_utf8(Tunnel::http("::1", 9, None).1).unwrap();
        assert!(v6.starts_with("CONNECT [::1]:9 HTTP/1.1\r\nHost: [::1]:9\r\n"), "{v6}");
    }

    #[test]
    fn http_refusals_are_named() {
        let denied = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";
        assert_eq!(fails(http, None, denied), TunnelError::CredentialsMissing);
        assert_eq!(fails(http, LOGIN, denied), TunnelError::CredentialsRefused);
        let error = fails(http, None, b"HTTP/1.1 503 No\x1broute to host\r\n\r\nbody");
        assert_eq!(error.to_string(), "answered 503 No\\u{1b}route to host: it could not reach the exchange");
        let error = fails(http, None, b"HTTP/1.1 302\r\n\r\n");
        assert_eq!(error, TunnelError::Status { status: 302, reason: "".into() });
        for garbage in [&b"\x05\x00"[..], b"SSH-2.0-x\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 \r\n\r\n"] {
            assert!(matches!(fails(http, None, garbage), TunnelError::Protocol(_)), "{garbage:?}");
        }
    }

    #[test]
    fn an_answer_without_an_end_is_bounded() {
        let endless = [&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'x'; MAX_HEADER_BYTES]].concat();
        assert!(matches!(http(None).0.handle(&endless), Err(TunnelError::Protocol(_))));
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(MAX_HEADER_BYTES / 25 + 1);
        assert!(matches!(http(None).0.handle(&interim), Err(TunnelError::Protocol(_))));
    }

    #[test]
    fn socks5_sends_the_name_unresolved_and_the_credentials() {
        let request = [&[5, 1, 0, 3, 13][..], b"api.upbit.com", &443u16.to_be_bytes()].concat();
        let replies: [&[u8]; 3] = [
            &[5, 0, 0, 1, 1, 2, 3, 4, 0, 80],
            &[&[5, 0, 0, 4][..], &[7; 18]].concat(),
            &[&[5, 0, 0, 3, 4][..], b"name\0\x50"].concat(),
        ];
        for reply in replies {
            opens(socks5, None, &[&[5, 0], reply].concat(), &[&[5, 1, 0], &request[..]].concat());
            // A proxy that wants no login although one is configured.
            opens(socks5, LOGIN, &[&[5, 0], reply].concat(), &[&[5, 2, 0, 2], &request[..]].concat());
            let login = [&[1, 4][..], b"user", &[3], b"p:w"].concat();
            opens(socks5, LOGIN, &[&[5, 2, 1, 0], reply].concat(), &[&[5, 2, 0, 2], &login[..], &request].concat());
        }
        let address = |host| {
            let (mut tunnel, _) = Tunnel::socks5(host, 9, None);
            tunnel.handle(&[5, 0]).unwrap().1
        };
        assert_eq!(address("127.0.0.1"), TunnelStep::Send(vec![5, 1, 0, 1, 127, 0, 0, 1, 0, 9]));
        let v6 = [&[5, 1, 0, 4][..], &[0; 15], &[1, 0, 9]].concat();
        assert_eq!(address("::1"), TunnelStep::Send(v6));
    }

    #[test]
    fn socks5_refusals_are_named() {
        assert_eq!(fails(socks5, None, &[5, 0xff]), TunnelError::CredentialsMissing);
        assert!(matches!(fails(socks5, LOGIN, &[5, 0xff]), TunnelError::Protocol(_)));
        assert_eq!(fails(socks5, LOGIN, &[5, 2, 1, 1]), TunnelError::CredentialsRefused);
        for code in 1..=9 {
            let error = fails(socks5, None, &[5, 0, 5, code]);
            assert_eq!(error, TunnelError::Reply(code));
            assert_eq!(error.to_string().contains("unknown"), code == 9, "{error}");
        }
        let garbage: [&[u8]; 5] =
            [b"HTTP/1.1 400 Bad Request\r\n\r\n", &[4, 0], &[5, 2], &[5, 0, 4, 0], &[5, 0, 5, 0, 0, 9]];
        for garbage in garbage {
            assert!(matches!(fails(socks5, None, garbage), TunnelError::Protocol(_)), "{garbage:?}");
        }
    }
}
