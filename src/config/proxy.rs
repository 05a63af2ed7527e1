//! The proxy through which the exchange is reached.

use std::env::{self, VarError};
use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use super::endpoint::split_port;
use super::no_proxy::NoProxy;

/// A proxy: HTTP (with the method CONNECT) or SOCKS5 (RFC 1928), with or without a user name and a password.
///
/// The name of the exchange is sent to the proxy, which looks it up. TLS runs through the proxy to the exchange, so a
/// proxy sees the name of the exchange but no data, and certificates are verified as without a proxy.
///
/// The user name and the password are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    protocol: ProxyProtocol,
    host: String,
    port: u16,
    credentials: Option<(String, String)>,
    except: NoProxy,
    /// The environment variable that named the proxy.
    variable: Option<&'static str>,
}

/// The protocol of a [`Proxy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyProtocol {
    /// HTTP, with the method CONNECT.
    Http,
    /// SOCKS version 5.
    Socks5,
}

/// Why a proxy is not accepted. Never contains the text, which may have a password.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidProxy {
    /// The scheme is not `http://`, `socks5://` or `socks5h://`.
    Scheme,
    /// The scheme is `https://`: TLS to the proxy itself is not supported.
    OverTls,
    /// There is no host, or it contains characters that a host name cannot have.
    Host,
    /// The port is not a number from 1 to 65535.
    Port,
    /// Something other than a slash follows the port.
    Path,
    /// The user name or the password contains control characters, is not UTF-8, or is longer than 255 bytes. For an
    /// HTTP proxy, also if the user name contains a colon; for a SOCKS5 proxy, also if it is empty.
    Credentials,
    /// An environment variable is not text.
    NotText(&'static str),
    /// The proxy that an environment variable names is invalid.
    Variable(&'static str, Box<Self>),
}

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the proxy must start with http://, socks5:// or socks5h://",
            Self::OverTls => {
                "TLS to the proxy itself (https://) is not supported; TLS to the exchange runs through http:// proxies, too"
            }
            Self::Host => "the proxy has no valid host name or address",
            Self::Port => {
                "the proxy's port must be a number from 1 to 65535; in a user name or password, write : / @ as %3A %2F %40"
            }
            Self::Path => "the proxy must end after its port; in a user name or password, write / ? # as %2F %3F %23",
            Self::Credentials => {
                "the proxy's user name and password must be UTF-8 without control characters, of at most 255 bytes each; \
                 for http:// the user name may not contain a colon, for socks5:// it may not be empty"
            }
            Self::NotText(variable) => return write!(f, "the environment variable {variable} is not valid UTF-8"),
            Self::Variable(variable, why) => return write!(f, "the environment variable {variable}: {why}"),
        })
    }
}

impl std::error::Error for InvalidProxy {}

impl Proxy {
    /// The environment variables that name a proxy, in the order in which they are read.
    const VARIABLES: [&'static str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

    /// The environment variables with the hosts that are reached without a proxy.
    const EXCEPT_VARIABLES: [&'static str; 2] = ["no_proxy", "NO_PROXY"];

    /// Creates a proxy from `http://[user:password@]host[:port]`, `socks5://…` or `socks5h://…`. Both names of SOCKS5
    /// mean the same: the proxy looks up the exchange's name. Without a scheme, the proxy is an HTTP proxy. The default
    /// port is 80, or 1080 for SOCKS5. Characters that are special in a URL are written as `%XX` in the user name and
    /// the password.
    ///
    /// # Errors
    /// If the text is not such a URL, or its parts contain control characters, also as `%XX`.
    pub fn new(url: &str) -> Result<Self, InvalidProxy> {
        let (protocol, rest) = match url.split_once("://") {
            None => (ProxyProtocol::Http, url),
            Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
                "http" => (ProxyProtocol::Http, rest),
                "socks5" | "socks5h" => (ProxyProtocol::Socks5, rest),
                "https" => return Err(InvalidProxy::OverTls),
                _ => return Err(InvalidProxy::Scheme),
            },
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !matches!(path, "" | "/") {
            return Err(InvalidProxy::Path);
        }
        let (credentials, address) = match authority.rsplit_once('@') {
            Some((credentials, address)) => (Some(read_credentials(credentials, protocol)?), address),
            None => (None, authority),
        };
        let (host, port) = split_port(address).map_err(|_| InvalidProxy::Host)?;
        let port = match port {
            None if protocol == ProxyProtocol::Socks5 => 1080,
            None => 80,
            Some(text) if !text.bytes().all(|byte| byte.is_ascii_digit()) => return Err(InvalidProxy::Port),
            Some(text) => text.parse().ok().filter(|port| *port != 0).ok_or(InvalidProxy::Port)?,
        };
        Ok(Self { protocol, host: host.to_owned(), port, credentials, except: NoProxy::default(), variable: None })
    }

    /// Sets the hosts that are reached without the proxy, in the form of `NO_PROXY`: separated by commas or spaces, each
    /// a name (`example.com` or `.example.com`, which mean the name and all names below it), an address, a network
    /// (`10.0.0.0/8`) or `*` for all, and with `:port` only for that port.
    #[must_use]
    pub fn except(mut self, hosts: &str) -> Self {
        self.except = NoProxy::parse(hosts);
        self
    }

    /// Reads the proxy from the environment, as curl does for `https`: from `https_proxy`, `HTTPS_PROXY`, `all_proxy` or
    /// `ALL_PROXY`, the first that is not empty; and the exceptions from `no_proxy` or `NO_PROXY`. Returns `None` if no
    /// variable names a proxy. hoga reads these variables only in this call.
    ///
    /// As with curl, the proxy is used for loopback addresses too, unless the exceptions contain them.
    ///
    /// # Errors
    /// If a variable is not UTF-8, or names an invalid proxy.
    pub fn from_env() -> Result<Option<Self>, InvalidProxy> {
        let Some((variable, url)) = first_set(&Self::VARIABLES)? else { return Ok(None) };
        let proxy = Self::new(&url).map_err(|why| InvalidProxy::Variable(variable, Box::new(why)))?;
        let except = first_set(&Self::EXCEPT_VARIABLES)?.map(|(_, hosts)| hosts).unwrap_or_default();
        Ok(Some(Self { variable: Some(variable), ..proxy.except(&except) }))
    }

    /// The protocol.
    pub fn protocol(&self) -> ProxyProtocol {
        self.protocol
    }

    /// Host name or address literal, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns true if this host is reached through the proxy, and false if the exceptions contain it.
    pub fn is_for(&self, host: &str, port: u16) -> bool {
        !self.except.contains(host, port)
    }

    /// The user name and the password.
    pub(crate) fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// Returns true if the host is a literal loopback address.
    pub(super) fn is_loopback(&self) -> bool {
        self.host.parse().is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
    }
}

/// Returns the first of these variables that is set and not empty.
fn first_set(variables: &[&'static str]) -> Result<Option<(&'static str, String)>, InvalidProxy> {
    for variable in variables {
        match env::var(variable) {
            Ok(value) if !value.trim().is_empty() => return Ok(Some((variable, value.trim().to_owned()))),
            Ok(_) | Err(VarError::NotPresent) => {}
            Err(VarError::NotUnicode(_)) => return Err(InvalidProxy::NotText(variable)),
        }
    }
    Ok(None)
}

fn read_credentials(text: &str, protocol: ProxyProtocol) -> Result<(String, String), InvalidProxy> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |text| {
        let text = percent_decode_str(text).decode_utf8().map_err(|_| InvalidProxy::Credentials)?;
        // A line feed would end the header and begin another one.
        let is_valid = text.len() <= 255 && !text.chars().any(char::is_control);
        if is_valid { Ok(text.into_owned()) } else { Err(InvalidProxy::Credentials) }
    };
    let (user, password): (String, String) = (decode(user)?, decode(password)?);
    let is_valid = match protocol {
        ProxyProtocol::Http => !user.contains(':'),
        ProxyProtocol::Socks5 => !user.is_empty(),
    };
    if is_valid { Ok((user, password)) } else { Err(InvalidProxy::Credentials) }
}

/// The address, without the user name and the password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            ProxyProtocol::Http => "http",
            ProxyProtocol::Socks5 => "socks5",
        };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}", self.host, self.port)?;
        self.variable.map_or(Ok(()), |variable| write!(f, " (from {variable})"))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_a_protocol_an_address_and_perhaps_credentials() {
        for (url, shown, credentials) in [
            ("http://proxy.test:3128", "http://proxy.test:3128", None),
            ("HTTP://proxy.test/", "http://proxy.test:80", None),
            ("proxy.test:3128", "http://proxy.test:3128", None),
            ("socks5://[::1]", "socks5://[::1]:1080", None),
            ("socks5h://a:b@proxy.test:9", "socks5://proxy.test:9", Some(("a", "b"))),
            ("http://a@proxy.test", "http://proxy.test:80", Some(("a", ""))),
            ("http://a%40b:p%3Aq%2F%25@proxy.test", "http://proxy.test:80", Some(("a@b", "p:q/%"))),
            ("a:b:c@proxy.test", "http://proxy.test:80", Some(("a", "b:c"))),
            ("http://:key@proxy.test", "http://proxy.test:80", Some(("", "key"))),
        ] {
            let proxy = Proxy::new(url).unwrap();
            assert_eq!((proxy.to_string().as_str(), proxy.credentials()), (shown, credentials), "{url}");
        }
    }

    #[test]
    fn invalid_proxies_are_refused_with_a_reason() {
        use InvalidProxy::*;
        for (url, why) in [
            ("socks4://proxy.test", Scheme),
            ("ftp://proxy.test", Scheme),
            ("https://proxy.test", OverTls),
            ("", Host),
            ("http://", Host),
            ("http://a b", Host),
            ("http://proxy\r\n.test", Host),
            ("http://proxy\0", Host),
            ("http://user@", Host),
            ("http://[::1", Host),
            ("http://proxy.test:", Port),
            ("http://proxy.test:0", Port),
            ("http://proxy.test:+1", Port),
            ("http://proxy.test:65536", Port),
            ("http://proxy.test/path", Path),
            ("http://user:pa/ss@proxy.test", Path),
            ("http://us\ner:b@proxy.test", Credentials),
            ("http://a%0D%0AX:b@proxy.test", Credentials),
            ("http://a:b%00@proxy.test", Credentials),
            ("http://a:%ff@proxy.test", Credentials),
            ("http://a%3Ab:c@proxy.test", Credentials),
            ("socks5://:c@proxy.test", Credentials),
        ] {
            assert_eq!(Proxy::new(url), Err(why), "{url:?}");
        }
        let long = "x".repeat(256);
        assert_eq!(Proxy::new(&format!("socks5://a:{long}@proxy.test")), Err(Credentials));
        assert!(Proxy::new(&format!("socks5://a:{}@proxy.test", &long[1..])).is_ok());
    }

    #[test]
    fn credentials_are_never_printed() {
        let proxy = Proxy::new("http://canary-1:canary-2@proxy.test").unwrap();
        let config = crate::config::Config { proxy: Some(proxy.clone()), ..crate::config::Config::default() };
        assert!(!format!("{proxy} {proxy:?} {config:?}").contains("canary"));
        for url in ["http://canary:canary\n@proxy.test", "http://canary:canary@proxy.test:x", "canary://canary"] {
            let error = Proxy::new(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }
}
