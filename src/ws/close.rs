//! The body of a close frame (RFC 6455 sections 5.5.1 and 7.4).

use super::{CloseCode, Violation};

/// Parses the body of a close frame: empty, or a code that may be sent and a reason in UTF-8.
pub(super) fn parse(body: &[u8]) -> Result<Option<(CloseCode, &str)>, Violation> {
    match body {
        [] => Ok(None),
        [_] => Err(Violation::ShortClose),
        [high, low, reason @ ..] => {
            let code = CloseCode::from(u16::from_be_bytes([*high, *low]));
            if !may_be_sent(code) {
                return Err(Violation::InvalidCloseCode(code.into()));
            }
            let reason = str::from_utf8(reason).map_err(|_| Violation::InvalidCloseReason)?;
            Ok(Some((code, reason)))
        }
    }
}

/// Returns true if the code may appear in a close frame. IANA has registered 1014 (bad gateway, sent by proxies) since
/// `CloseCode` was written.
pub(super) fn may_be_sent(code: CloseCode) -> bool {
    code.is_allowed() || u16::from(code) == 1014
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_must_not_be_sent_are_refused() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            let body = u16::to_be_bytes(code);
            assert_eq!(parse(&body), Err(Violation::InvalidCloseCode(code)), "{code}");
        }
        for code in (1000..=1003).chain(1007..=1014).chain([3000, 3999, 4000, 4999]) {
            let body = u16::to_be_bytes(code);
            assert_eq!(parse(&body), Ok(Some((CloseCode::from(code), ""))), "{code}");
        }
    }
}
