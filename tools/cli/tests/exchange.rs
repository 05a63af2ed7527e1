//! `hoga exchange` as a process.

use std::fs;
use std::path::Path;

use super::common::{Exchange, run};

#[test]
fn its_certificate_exists_while_it_runs() {
    let exchange = Exchange::start(&["--seed", "3"]);
    assert!(exchange.url.starts_with("wss://127.0.0.1:") && exchange.url.ends_with("/websocket/v1"));
    let ca = exchange.ca.clone().expect("TLS has a certificate");
    assert!(fs::read_to_string(&ca).expect("the certificate").starts_with("-----BEGIN CERTIFICATE-----"));

    exchange.process.signal("TERM");
    let output = exchange.process.finish();
    assert_eq!((output.code, output.stdout.as_str()), (Some(130), ""));
    assert!(output.stderr.contains("connections 0"), "{}", output.stderr);
    assert!(!Path::new(&ca).exists());
}

#[test]
fn a_port_in_use_is_reported_in_one_line() {
    let exchange = Exchange::start(&["--plain"]);
    assert_eq!(exchange.ca, None);
    let output = run(&["exchange", "--plain", "--listen", &exchange.address()]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""));
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(output.stderr.starts_with(&format!("hoga: --listen {}: ", exchange.address())), "{}", output.stderr);
}
