//! The hosts that are reached without the proxy: the list that `NO_PROXY` contains.

use std::net::IpAddr;

/// A list of hosts. An entry that is not understood is a host name that matches nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NoProxy(Vec<Entry>);

/// One entry, and the port for which it holds; without one, it holds for all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// This name and all names below it, in lower case and without dots at either end.
    Domain(String),
    /// The addresses that have the first `bits` bits of `address`.
    Network {
        address: IpAddr,
        bits: u32,
    },
}

impl NoProxy {
    /// Reads a list that is separated by commas or spaces.
    pub fn parse(list: &str) -> Self {
        let entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
        Self(entries.map(Entry::parse).collect())
    }

    pub fn contains(&self, host: &str, port: u16) -> bool {
        self.0.iter().any(|entry| entry.port.is_none_or(|only| only == port) && entry.hosts.contain(host))
    }
}

impl Entry {
    fn parse(text: &str) -> Self {
        // An IPv6 address needs brackets before a port, and contains colons without one.
        let (host, port) = match (text.rsplit_once(':'), Hosts::network(text)) {
            (Some((host, port)), None) => match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => (text, None),
            },
            _ => (text, None),
        };
        Self { hosts: Hosts::parse(host), port }
    }
}

impl Hosts {
    fn parse(text: &str) -> Self {
        if text == "*" {
            return Self::All;
        }
        // `*.example.com` is not in curl's documentation, but is common and has one meaning.
        let name = text.strip_prefix('*').unwrap_or(text);
        Self::network(text).unwrap_or_else(|| Self::Domain(plain(name.strip_prefix('.').unwrap_or(name))))
    }

    /// Reads `10.0.0.1`, `10.0.0.0/8`, `::1`, `[::1]` or `fd00::/8`.
    fn network(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (text, None),
        };
        let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Self::Network { address, bits })
    }

    fn contain(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Domain(domain) => {
                let host = plain(host);
                // An address has no domains above it.
                let above = host.strip_suffix(domain.as_str()).filter(|_| host.parse::<IpAddr>().is_err());
                !domain.is_empty() && (host == *domain || above.is_some_and(|above| above.ends_with('.')))
            }
            Self::Network { address, bits } => {
                let leading = match (address, host.parse().map(|ip: IpAddr| ip.to_canonical())) {
                    (IpAddr::V4(network), Ok(IpAddr::V4(ip))) => (network.to_bits() ^ ip.to_bits()).leading_zeros(),
                    (IpAddr::V6(network), Ok(IpAddr::V6(ip))) => (network.to_bits() ^ ip.to_bits()).leading_zeros(),
                    _ => return false,
                };
                leading >= *bits
            }
        }
    }
}

/// Returns a name in the form in which names are compared.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_entry_matches_its_hosts_and_no_others() {
        for (list, hosts, others) in [
            ("*", &["api.upbit.com", "127.0.0.1", "::1"][..], &[][..]),
            ("", &[], &["api.upbit.com"]),
            (",, ,", &[], &["api.upbit.com"]),
            (
                "upbit.com",
                &["upbit.com", "api.upbit.com", "API.UPBIT.COM.", "a.b.upbit.com"],
                &["notupbit.com", "upbit.co"],
            ),
            (".upbit.com", &["upbit.com", "api.upbit.com"], &["notupbit.com", "com"]),
            ("*.upbit.com", &["api.upbit.com"], &["upbit.org"]),
            ("Upbit.COM.", &["upbit.com"], &[]),
            ("other.test, upbit.com", &["other.test", "upbit.com"], &["third.test"]),
            ("other.test upbit.com", &["other.test", "upbit.com"], &[]),
            ("upbit.com:443", &["upbit.com"], &[]),
            ("upbit.com:8443", &[], &["upbit.com"]),
            ("127.0.0.1", &["127.0.0.1", "::ffff:127.0.0.1"], &["127.0.0.2", "1.127.0.0.1", "localhost"]),
            ("0.0.1", &[], &["127.0.0.1"]),
            ("10.0.0.0/8", &["10.0.0.1", "10.255.255.255"], &["11.0.0.0", "::1"]),
            ("0.0.0.0/0", &["10.0.0.1"], &["::1", "upbit.com"]),
            ("127.0.0.1:443", &["127.0.0.1"], &[]),
            ("127.0.0.1:80", &[], &["127.0.0.1"]),
            ("::1", &["::1", "0:0:0:0:0:0:0:1"], &["::2"]),
            ("[::1]", &["::1"], &[]),
            ("[::1]:443", &["::1"], &["::2"]),
            ("[::1]:80", &[], &["::1"]),
            ("fd00::/8", &["fd12::1"], &["fe00::1"]),
            // Not understood, so they match nothing.
            ("10.0.0.0/33", &[], &["10.0.0.1"]),
            ("upbit.com:https", &[], &["upbit.com"]),
            (".", &[], &["upbit.com", ""]),
        ] {
            let list_of = NoProxy::parse(list);
            for host in hosts {
                assert!(list_of.contains(host, 443), "{list:?} must contain {host}");
            }
            for host in others {
                assert!(!list_of.contains(host, 443), "{list:?} must not contain {host}");
            }
        }
    }
}
