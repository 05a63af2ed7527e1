//! Dialogues about changes of the configuration while a socket is open.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use super::super::testing::{Harness, config, ms, secs};
use super::super::{Closed, Disconnect};
use crate::config::{Backoff, Config, Limits, Timeouts};

#[test]
fn another_configuration_applies_to_the_open_socket() {
    let mut harness = Harness::active(config());
    harness.sent();
    let timeouts = Timeouts { ping_after: ms(500), silent_after: ms(900), ..Timeouts::default() };
    harness.session.set_config(Arc::new(Config { timeouts, backoff: Backoff::constant(ms(5)), ..config() }));
    harness.advance(ms(899));
    assert_eq!(harness.disconnects(), []);
    harness.advance(ms(1));
    assert_eq!(harness.pause(), Duration::ZERO, "the socket had worked");
    assert_eq!(harness.disconnects(), [Disconnect::Silent(ms(900))]);
    harness.advance(Duration::ZERO);
    for _ in 0..20 {
        assert!(!harness.dials().is_empty());
        harness.closed(Closed::Io(ErrorKind::ConnectionRefused));
        assert!(harness.pause() <= ms(5));
        harness.advance(secs(1));
    }
    // Fewer requests are allowed, and those that were sent count.
    let mut harness = Harness::active(config());
    harness.requests();
    let limits = Limits { requests_per_second: 2, ..Limits::default() };
    harness.session.set_config(Arc::new(Config { limits, ..config() }));
    for n in 0..3 {
        harness.subscribe(&["KRW-BTC", &format!("KRW-C{n}")]);
    }
    assert_eq!(harness.requests().len(), 1, "the first of the two was sent before");
}
