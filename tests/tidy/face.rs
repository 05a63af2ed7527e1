//! Rules for the public interface and its dump in `docs/api.txt`, which every change of the interface must update.

use std::collections::BTreeSet;
use std::fs;

use proc_macro2::{TokenStream, TokenTree};

use super::source::top;
use super::{api, assert_none};

/// Maximum number of types at the root of the crate.
const ROOT_TYPES_MAX: usize = 80;

/// Words in the names of types that open connections or run services. Only `Engine` does, and only `Builder` creates
/// it.
const SERVICE_WORDS: &[&str] =
    &["Service", "Manager", "Hub", "Reactor", "Session", "Socket", "Transport", "Runtime", "Publisher", "Supervisor"];

const DUMP: &str = "docs/api.txt";

const PLANTED: &str = "\
enum hoga::EngineV2
fn hoga::Engine::start_v1 = fn start_v1(&self)
fn hoga::status::ticker2 = fn ticker2()
mod hoga::engine_v6
fn hoga::Client::engine = fn engine(&self) -> Result<Engine>
struct hoga::net::ClientHub
";

#[test]
fn the_dump_of_the_interface_is_up_to_date() {
    let (now, path) = (api::dump(), top().join(DUMP));
    if std::env::var_os("HOGA_UPDATE_API").is_some() {
        fs::write(&path, now).unwrap();
    }
    let before = fs::read_to_string(&path).unwrap_or_default();
    let changes = difference(&before, now);
    let hint = "if the change is intended: HOGA_UPDATE_API=1 cargo test --workspace --test tidy";
    assert!(changes.is_empty(), "the public interface differs from {DUMP}; {hint}\n{}", changes.join("\n"));
    assert_eq!(difference("mod a\nmod b\n", "mod a\nmod c\n"), ["- mod b", "+ mod c"]);
}

#[test]
fn the_root_of_the_crate_is_small() {
    let planted: String = (0..=ROOT_TYPES_MAX).map(|n| format!("struct hoga::A{n}x\n")).collect();
    assert_eq!(too_many_types(&planted), ["81 types at the root, 80 are allowed"]);
    assert_none(too_many_types(api::dump()).into_iter());
}

#[test]
fn no_name_has_a_version() {
    assert_eq!(
        versions(PLANTED),
        ["hoga::EngineV2", "hoga::Engine::start_v1", "hoga::status::ticker2", "hoga::engine_v6"]
    );
    assert_none(versions(api::dump()).into_iter());
}

#[test]
fn only_the_engine_opens_connections() {
    let expected = ["hoga::Client::engine makes an engine", "hoga::net::ClientHub sounds like a second engine"];
    assert_eq!(services(PLANTED), expected);
    assert_none(services(api::dump()).into_iter());
}

#[test]
fn every_type_is_in_the_test_of_the_face() {
    let planted = "// EngineV2\n/// ClientHub\n#[test] fn f() { all!(value: \"EngineV2\", ClientHub) }";
    assert_eq!(untested(PLANTED, planted), ["hoga::EngineV2"], "comments and texts do not count");
    let test = fs::read_to_string(top().join("tests/engine/face.rs")).unwrap();
    assert_eq!(untested(PLANTED, &test), ["hoga::EngineV2", "hoga::net::ClientHub"]);
    assert_none(untested(api::dump(), &test).into_iter());
}

/// Returns the lines that only one of two dumps has.
fn difference(before: &str, now: &str) -> Vec<String> {
    let missing = |these: &str, others: &str, sign: char| -> Vec<String> {
        let others: Vec<_> = others.lines().collect();
        these.lines().filter(|line| !others.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    [missing(before, now, '-'), missing(now, before, '+')].concat()
}

/// Splits a line into the kind of the item, its path, and the rest.
fn parts(line: &str) -> (&str, &str, &str) {
    let (kind, rest) = line.split_once(' ').unwrap_or_default();
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
    (kind, rest[..end].trim_end_matches(':'), &rest[end..])
}

fn is_type(kind: &str) -> bool {
    ["struct", "enum", "trait", "type", "union"].contains(&kind)
}

fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or_default()
}

fn too_many_types(dump: &str) -> Vec<String> {
    let at_root = |line: &&str| {
        let (kind, path, _) = parts(line);
        is_type(kind) && path.matches("::").count() == 1
    };
    let types = dump.lines().filter(at_root).count();
    let message = || format!("{types} types at the root, {ROOT_TYPES_MAX} are allowed");
    (types > ROOT_TYPES_MAX).then(message).into_iter().collect()
}

/// Returns types, functions and modules whose name ends with a number.
fn versions(dump: &str) -> Vec<String> {
    let named = dump.lines().map(parts).filter(|(kind, _, _)| is_type(kind) || ["fn", "mod"].contains(kind));
    let versions = named.filter(|(_, path, _)| path.ends_with(|c: char| c.is_ascii_digit()));
    versions.map(|(_, path, _)| path.to_owned()).collect()
}

fn services(dump: &str) -> Vec<String> {
    let judge = |line| {
        let (kind, path, rest) = parts(line);
        if is_type(kind) && SERVICE_WORDS.iter().any(|word| last(path).contains(word)) {
            return Some(format!("{path} sounds like a second engine"));
        }
        let made = rest.split_once("-> ").map(|(_, made)| made).unwrap_or_default();
        let makes_engine = kind == "fn" && ["Engine", "Result<Engine>"].contains(&made);
        (makes_engine && path != "hoga::Builder::start").then(|| format!("{path} makes an engine"))
    };
    dump.lines().filter_map(judge).collect()
}

fn untested(dump: &str, test: &str) -> Vec<String> {
    let mut names = BTreeSet::new();
    add_identifiers(test.parse().expect("Rust code"), &mut names);
    let types = dump.lines().map(parts).filter(|(kind, path, _)| is_type(kind) && path.starts_with("hoga::"));
    let unnamed = types.filter(|(_, path, _)| !names.contains(last(path)));
    unnamed.map(|(_, path, _)| path.to_owned()).collect()
}

/// Adds the identifiers of the code, but no words of comments and texts.
fn add_identifiers(code: TokenStream, names: &mut BTreeSet<String>) {
    for token in code {
        match token {
            TokenTree::Ident(name) => drop(names.insert(name.to_string())),
            TokenTree::Group(group) => add_identifiers(group.stream(), names),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}
