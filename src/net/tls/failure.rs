//! Says what a failed TLS handshake means, and what to do about it.

use std::fmt::{self, Write};
use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// The number of the peer's first bytes that are kept.
const FIRST_BYTES: usize = 24;
/// The maximum number of a certificate's names that are printed, and the maximum length of each.
const NAMES_MAX: usize = 5;
const NAME_CHARS_MAX: usize = 60;

/// What is known about a handshake.
pub(super) struct Context {
    /// The name that the server must prove.
    pub host: Box<str>,
    /// The trusted roots.
    pub roots: Arc<str>,
    /// The first bytes that the server sent.
    first: Vec<u8>,
}

impl Context {
    /// Creates the context of a handshake whose server has already sent these bytes.
    pub fn new(host: &str, roots: Arc<str>, received: &[u8]) -> Self {
        let mut context = Self { host: host.into(), roots, first: Vec::new() };
        context.received(received);
        context
    }

    /// Notes the beginning of `bytes`, which were received and not processed. Has no effect once some were processed.
    pub fn received(&mut self, bytes: &[u8]) {
        if self.first.len() < FIRST_BYTES && bytes.starts_with(&self.first) {
            self.first = bytes[..bytes.len().min(FIRST_BYTES)].to_vec();
        }
    }

    /// Returns true if the server's first bytes cannot begin a TLS record: a type from 20 to 24, then version 3.
    pub fn is_foreign(&self) -> bool {
        !matches!(self.first[..], [] | [20..=24] | [20..=24, 3, ..])
    }

    /// Explains why the handshake failed.
    pub fn explain(&self, error: &io::Error) -> String {
        if self.is_foreign() {
            return self.foreign();
        }
        if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            return self.refused(error);
        }
        match error.kind() {
            io::ErrorKind::InvalidData => error.to_string(),
            io::ErrorKind::UnexpectedEof => self.ended("the server closed the connection"),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                self.ended("the server reset the connection")
            }
            kind => format!("the network broke the connection during the handshake: {kind}"),
        }
    }

    fn foreign(&self) -> String {
        if self.first.starts_with(b"HTTP") {
            return "the server answered in plain HTTP, so this port does not speak TLS; use its port for wss://, or ws:// \
                    if it is a test server on a loopback address"
                .to_owned();
        }
        format!("the server does not speak TLS on this port: its answer begins with \"{}\"", self.first.escape_ascii())
    }

    fn ended(&self, how: &str) -> String {
        if self.first.is_empty() {
            format!(
                "{how} without an answer to the TLS handshake; check that this port is for wss://, and that no firewall \
                 or proxy on the way refuses {}",
                self.host
            )
        } else {
            format!("{how} in the middle of the TLS handshake and sent no alert; see the server's log")
        }
    }

    fn refused(&self, error: &Error) -> String {
        match error {
            Error::InvalidCertificate(error) => self.certificate(error),
            Error::AlertReceived(alert) => self.alert(*alert),
            Error::PeerIncompatible(why) => incompatible(why),
            other => other.to_string(),
        }
    }

    fn certificate(&self, error: &CertificateError) -> String {
        let (host, roots) = (&self.host, &self.roots);
        match error {
            CertificateError::UnknownIssuer => format!(
                "no trusted root has issued the server's certificate; trusted: {roots}. If you trust its issuer, add the \
                 issuer's root certificate (Builder::root_certificates_file; hoga watch --ca FILE)"
            ),
            // Typical of a CA that was made again under the same name.
            CertificateError::BadSignature => format!(
                "the server's certificate names a trusted root as its issuer, but another key has signed it; trusted: \
                 {roots}. If the issuer's root certificate was made again, use the new one (hoga watch --ca FILE)"
            ),
            CertificateError::ExpiredContext { time, not_after } => format!(
                "the server's certificate expired at {}, {} ago by this machine's clock ({}); if the clock is right, the \
                 server needs a new certificate",
                date(*not_after),
                span(time.as_secs().saturating_sub(not_after.as_secs())),
                date(*time)
            ),
            CertificateError::NotValidYetContext { time, not_before } => format!(
                "the server's certificate is not valid before {}, {} from now by this machine's clock ({}); check the \
                 clock",
                date(*not_before),
                span(not_before.as_secs().saturating_sub(time.as_secs())),
                date(*time)
            ),
            CertificateError::NotValidForNameContext { presented, .. } => format!(
                "the server's certificate is not for {host}, but for {}; check the host of the endpoint",
                Names(presented)
            ),
            CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
                "the server's certificate is not for servers (extendedKeyUsage without serverAuth); it needs another one"
                    .to_owned()
            }
            CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
                Some(error) => misused(error),
                None => format!("the server's certificate is invalid: {other}"),
            },
            other => format!("the server's certificate is invalid: {other}"),
        }
    }

    fn alert(&self, alert: AlertDescription) -> String {
        let hint = match alert {
            AlertDescription::ProtocolVersion => "it offers neither TLS 1.2 nor TLS 1.3",
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
                "it shares no version or cipher with hoga, or requires a client certificate, which hoga has not"
            }
            AlertDescription::UnrecognisedName => {
                return format!("the server sent the alert unrecognized_name: it does not know the name {}", self.host);
            }
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate | AlertDescription::UnknownCA => {
                "it requires a client certificate, which hoga has not"
            }
            AlertDescription::InternalError => "it has a fault of its own",
            _ => "see the server's log",
        };
        format!("the server ended the handshake with the alert {}: {hint}", alert_name(alert))
    }
}

/// Explains a failure after the handshake.
pub(in crate::net) fn explain_broken(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(alert)) => format!("the server sent the alert {}", alert_name(*alert)),
        _ => error.to_string(),
    }
}

fn incompatible(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => {
            "the server offers neither TLS 1.2 nor TLS 1.3; it needs a newer version of TLS".to_owned()
        }
        PeerIncompatible::NoCipherSuitesInCommon => "the server and hoga share no cipher".to_owned(),
        other => format!("the server and hoga cannot agree on TLS: {other:?}"),
    }
}

/// Explains a certificate that was trusted but not made for a server.
fn misused(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CaUsedAsEndEntity => {
            "the server uses the certificate of a CA (basicConstraints CA:TRUE) as its own, as `openssl req -x509` makes \
             it; make one with CA:FALSE, or sign the server's certificate with that CA"
                .to_owned()
        }
        webpki::Error::UnsupportedCertVersion => {
            "the server's certificate is not of X.509 version 3; it needs a new one, with a subjectAltName".to_owned()
        }
        other => format!("the server's certificate is invalid: {other}"),
    }
}

/// Returns the name of an alert as in RFC 8446: `handshake_failure`.
fn alert_name(alert: AlertDescription) -> String {
    let name = match alert {
        AlertDescription::UnknownCA => return "unknown_ca".to_owned(),
        AlertDescription::UnrecognisedName => return "unrecognized_name".to_owned(),
        AlertDescription::Unknown(code) => return format!("number {code}"),
        alert => format!("{alert:?}"),
    };
    name.char_indices().fold(String::new(), |mut out, (at, letter)| {
        if at > 0 && letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
        out
    })
}

/// The names of a certificate, as rustls formats them: `DnsName("a.test")`, `IpAddress(127.0.0.1)`.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no name at all (it has no subjectAltName)");
        }
        for (index, name) in self.0.iter().take(NAMES_MAX).enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            let inner =
                name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name).trim_matches('"');
            let printable = inner.escape_debug().filter(char::is_ascii);
            printable.take(NAME_CHARS_MAX).try_for_each(|letter| f.write_char(letter))?;
        }
        match self.0.len().saturating_sub(NAMES_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn date(time: UnixTime) -> String {
    // `httpdate` panics beyond the year 9999, and a certificate may be valid for longer.
    const YEAR_9999: u64 = 253_402_300_799;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(time.as_secs().min(YEAR_9999)))
}

fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
