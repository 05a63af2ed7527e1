//! The proxy and the trusted roots of `hoga watch`, by its options and by the environment.

use super::common::{Exchange, Output, json, run, run_with};
use hoga_testing::proxy::{PASSWORD, Proxy, USER};

/// The options with which a watch ends as soon as it works.
const ONE: [&str; 5] = ["watch", "KRW-BTC", "--json", "--count", "1"];

fn watch(exchange: &Exchange, options: &[&str], variables: &[(&str, &str)]) -> Output {
    let ca = exchange.ca.as_deref().map(|ca| ["--ca", ca]);
    let ca = ca.as_ref().map(|ca| &ca[..]).unwrap_or_default();
    let output = run_with(&[&ONE[..], &["--endpoint", &exchange.url], ca, options].concat(), variables);
    assert!(!format!("{}{}", output.stdout, output.stderr).contains("canary"), "{output:?}");
    output
}

/// Returns the network of the summary.
#[track_caller]
fn network(output: &Output) -> serde_json::Value {
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    json(output.stdout.lines().last().unwrap())["network"].clone()
}

fn with_login(scheme: &str, proxy: &Proxy) -> String {
    format!("{scheme}://{USER}:{}@{}", PASSWORD.replace(':', "%3A"), proxy.address())
}

#[test]
fn the_proxy_of_the_environment_is_used_and_named() {
    let exchange = Exchange::start(&[]);
    for (variable, scheme) in
        [("HTTPS_PROXY", "http"), ("https_proxy", "socks5"), ("ALL_PROXY", "socks5h"), ("all_proxy", "http")]
    {
        let proxy = Proxy::start(true);
        let output = watch(&exchange, &[], &[(variable, &with_login(scheme, &proxy))]);
        assert_eq!(proxy.asked(), [exchange.address()], "{variable}");
        let shown = format!("{}://{} (from {variable})", scheme.trim_end_matches('h'), proxy.address());
        assert_eq!(network(&output)["proxy"], shown);
        assert!(output.stderr.contains(&format!("hoga: proxy: {shown}; trusted: ")), "{}", output.stderr);
    }
}

#[test]
fn no_proxy_and_the_option_override_the_environment() {
    let exchange = Exchange::start(&["--plain"]);
    let (stray, chosen) = (Proxy::start(false), Proxy::start(false));
    let variable = format!("http://{}", stray.address());
    for (options, exceptions) in [(&[][..], "127.0.0.1"), (&[][..], "x,127.0.0.0/8"), (&["--proxy", "none"][..], "")] {
        let output = watch(&exchange, options, &[("HTTPS_PROXY", &variable), ("NO_PROXY", exceptions)]);
        assert!(network(&output)["proxy"].is_null());
        assert_eq!((stray.asked().len(), output.stderr.as_str()), (0, ""), "{options:?} {exceptions}");
    }
    let option = format!("socks5://{}", chosen.address());
    let output = watch(&exchange, &["--proxy", &option], &[("HTTPS_PROXY", &variable), ("NO_PROXY", "*")]);
    assert_eq!(network(&output)["proxy"], option);
    assert_eq!((stray.asked().len(), chosen.asked().len()), (0, 1));
}

#[test]
fn the_list_of_markets_arrives_through_the_proxy_too() {
    let exchange = Exchange::start(&["--markets", "10"]);
    let proxy = Proxy::start(true);
    let output = watch(&exchange, &["KRW-*", "--proxy", &with_login("http", &proxy)], &[]);
    network(&output);
    assert_eq!(proxy.asked().len(), 2, "one for the list, one for the WebSocket");
}

#[test]
fn a_proxy_that_refuses_is_named_with_the_remedy() {
    let proxy = Proxy::start(true);
    let args = ["watch", "KRW-*", "--endpoint", "wss://exchange.test", "--connect-timeout", "2s", "--proxy"];
    let output = run(&[&args[..], &[&format!("http://{}", proxy.address())]].concat());
    assert_eq!(output.code, Some(3));
    let named = format!("the proxy http://{} requires a user name and a password (407)", proxy.address());
    assert!(output.stderr.contains(&named), "{}", output.stderr);
}

#[test]
fn the_demo_uses_no_proxy() {
    let variables =
        [("HTTPS_PROXY", "http://127.0.0.1:1"), ("ALL_PROXY", "x://"), ("SSL_CERT_FILE", "/does/not/exist")];
    let output = run_with(&["demo", "--duration", "1s", "--markets", "3", "--json"], &variables);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
}

#[test]
fn invalid_proxies_and_roots_are_refused_with_the_reason() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let empty = empty.path().to_str().unwrap();
    let plain = ["--endpoint", "ws://127.0.0.1:1"];
    for (options, variables, reasons) in [
        (&["--proxy", "ftp://canary:canary@x"][..], &[][..], &["must start with http://", "--proxy none"][..]),
        (&["--proxy", "http://canary:canary%0A@x"], &[], &["control characters"]),
        (&["--proxy", "http://a\r\nb"], &[], &["no valid host"]),
        (&["--proxy", "https://x"], &[], &["TLS to the proxy itself"]),
        (&[], &[("HTTPS_PROXY", "http://canary:canary@x:y")], &["the environment variable HTTPS_PROXY", "port"]),
        (&plain, &[("HTTPS_PROXY", "http://10.0.0.1:1")], &["plain ws://", "(from HTTPS_PROXY)", "--proxy none"]),
        (&["--ca", empty], &[], &["it is empty", empty]),
        (&[], &[("SSL_CERT_FILE", "/does/not/exist")], &["/does/not/exist (SSL_CERT_FILE)"]),
        (&[], &[("SSL_CERT_FILE", empty)], &["it is empty", "(SSL_CERT_FILE)"]),
        (&[], &[("SSL_CERT_DIR", "/does/not/exist")], &["/does/not/exist (SSL_CERT_DIR)"]),
    ] {
        let output = run_with(&[&ONE[..], options].concat(), variables);
        assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{options:?}: {}", output.stderr);
        for reason in reasons {
            assert!(output.stderr.contains(reason), "{options:?} {variables:?}: {}", output.stderr);
        }
        assert!(!output.stderr.contains("canary"), "{}", output.stderr);
    }
}

#[test]
fn the_roots_of_the_environment_replace_the_bundled_ones_and_are_named() {
    let mut exchange = Exchange::start(&[]);
    let ca = exchange.ca.take().unwrap();
    let output = watch(&exchange, &[], &[("SSL_CERT_FILE", &ca)]);
    assert_eq!(network(&output)["roots"], format!("1 from {ca} (SSL_CERT_FILE)"));
    assert_eq!(output.stderr, format!("hoga: proxy: none; trusted: 1 from {ca} (SSL_CERT_FILE)\n"));
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(&ca, directory.path().join("ca.pem")).unwrap();
    let directory = directory.path().to_str().unwrap();
    let output = watch(&exchange, &[], &[("SSL_CERT_DIR", directory)]);
    assert_eq!(network(&output)["roots"], format!("1 from {directory} (SSL_CERT_DIR)"));

    // The option overrides the variable, and what is trusted is in the error.
    for (roots, named) in [("bundled", "bundled roots"), ("system", "(SSL_CERT_FILE)")] {
        let output = watch(&exchange, &["--roots", roots, "--connect-timeout", "2s"], &[("SSL_CERT_FILE", &ca)]);
        let is_trusted = roots == "system";
        assert_eq!(output.code, Some(if is_trusted { 0 } else { 3 }), "{}", output.stderr);
        assert!(output.stderr.contains(named), "{}", output.stderr);
        assert_eq!(output.stderr.contains("add the issuer's root certificate"), !is_trusted, "{}", output.stderr);
    }
}
