//! Checks the rules of ARCHITECTURE.md that the compiler does not: imports between rooms, lengths of files and
//! functions, clock reads, memory ordering, plain words, and the public interface. Each test first checks a planted
//! violation, so that no rule can pass by doing nothing.

mod api;
mod face;
mod parity;
mod recovery;
mod source;
mod words;

use std::collections::BTreeMap;

use source::{File, library, workspace};

/// The rooms of the library in import order, and the rooms that each may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("sync", &["model"]),
    ("wire", &["model"]),
    ("ws", &["model"]),
    ("config", &["model"]),
    ("plan", &["model", "config"]),
    ("session", &["model", "wire", "ws", "plan", "config"]),
    ("net", &["model", "sync", "ws", "config", "session"]),
    ("pool", &["model", "sync"]),
    ("monitor", &["model", "plan", "pool"]),
    ("feed", &["model", "sync"]),
    ("error", &["model", "config", "plan", "session", "net", "pool", "feed"]),
    ("route", &["model", "sync", "config", "plan", "pool", "feed"]),
    ("call", &["model", "sync", "feed"]),
    (
        "engine",
        &[
            "model", "sync", "wire", "ws", "plan", "config", "session", "net", "pool", "monitor", "feed", "error",
            "route", "call",
        ],
    ),
];

/// Maximum number of lines of a file, without tests.
const FILE_LINES_MAX: usize = 500;

/// Files that are longer, until they are split. The list may only get shorter.
const LONG_FILES: &[&str] = &["src/plan/planner.rs"];

/// Maximum number of lines of a function.
const FUNCTION_LINES_MAX: usize = 60;

/// The functions that read a clock.
const CLOCK_READS: &[&str] = &["Instant::now", "SystemTime::now", "clock_gettime"];

/// The files of the library that may read a clock. `sync::prim` only measures how much of a wait is left.
const CLOCK_READERS: &[&str] = &["src/net/clock.rs", "src/sync/prim.rs"];

/// Orderings of memory between threads. Only `sync` may use them, because the model checker covers it. Other rooms use
/// its types, or `Relaxed` with a reason.
const ORDERINGS: &[&str] = &["Acquire", "Release", "AcqRel", "SeqCst", "fence"];

#[test]
fn rooms_import_only_lower_rooms() {
    let rooms: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let planted = File::parse("src/wire/planted.rs", "use crate::{model::Market, session::State};");
    assert_eq!(upward_imports(&planted, &rooms), ["src/wire/planted.rs:1: wire must not import session"]);
    let planted = File::parse("src/plan/deep/planted.rs", "fn f() { super::super::super::net::pin(1) }");
    assert_eq!(upward_imports(&planted, &rooms), ["src/plan/deep/planted.rs:1: plan must not import net"]);
    assert_none(library().iter().flat_map(|file| upward_imports(file, &rooms)));
}

#[test]
fn no_file_is_too_long() {
    let long = File::parse("src/planted.rs", &"const A: u8 = 0;\n".repeat(FILE_LINES_MAX + 1));
    assert_eq!(long_files(&long).len(), 1);
    let tests =
        format!("const A: u8 = 0;\n#[cfg(test)]\nmod tests {{\n{}}}\n", "const A: u8 = 0;\n".repeat(FILE_LINES_MAX));
    assert!(long_files(&File::parse("src/planted.rs", &tests)).is_empty(), "tests do not count");
    let workspace = workspace();
    let (known, others): (Vec<_>, Vec<_>) = workspace.iter().partition(|file| LONG_FILES.contains(&file.path.as_str()));
    assert_none(others.into_iter().flat_map(long_files));
    let short: Vec<_> = known.into_iter().filter(|file| long_files(file).is_empty()).map(|file| &file.path).collect();
    assert!(short.is_empty(), "no longer too long, remove from the list: {short:?}");
}

#[test]
fn no_function_is_too_long() {
    let body = "    g();\n".repeat(FUNCTION_LINES_MAX - 1);
    let planted = File::parse("src/planted.rs", &format!("impl A {{\nfn f() {{\n{body}}}\n}}\n"));
    assert_eq!(long_functions(&planted), ["src/planted.rs:2: `f` has 61 lines, 60 are allowed"]);
    assert_none(workspace().iter().flat_map(long_functions));
}

#[test]
fn only_the_clock_reads_the_time() {
    let planted = File::parse("src/plan/planted.rs", "use std::time::Instant;\nfn f() { Instant::now(); }");
    assert_eq!(clock_reads(&planted), ["src/plan/planted.rs:2: reads a clock (Instant::now)"]);
    assert_none(library().iter().flat_map(clock_reads));
}

#[test]
fn only_sync_orders_memory() {
    let planted =
        "use std::sync::atomic::{Ordering::{Acquire, Relaxed}, fence};\nfn f() { A.store(1, Ordering::SeqCst) }";
    let complaints = orderings(&File::parse("src/pool/planted.rs", planted));
    let expected = [(1, "Acquire"), (1, "fence"), (2, "SeqCst")];
    let expected = expected.map(|(line, name)| format!("src/pool/planted.rs:{line}: orders memory ({name})"));
    assert_eq!(complaints, expected);
    assert!(orderings(&File::parse("src/sync/planted.rs", planted)).is_empty());
    assert_none(library().iter().flat_map(orderings));
}

fn upward_imports(file: &File, rooms: &BTreeMap<&str, &[&str]>) -> Vec<String> {
    let Some(room) = file.room() else { return Vec::new() };
    let Some(allowed) = rooms.get(room) else { return vec![format!("{}: {room} is not a known room", file.path)] };
    let is_upward = |other: &str| other != room && rooms.contains_key(other) && !allowed.contains(&other);
    let imports = file.imports().into_iter().filter(|import| is_upward(&import.name));
    imports.map(|import| format!("{}:{}: {room} must not import {}", file.path, import.line, import.name)).collect()
}

fn long_files(file: &File) -> Vec<String> {
    let lines = file.lines();
    let message = || format!("{}: {lines} lines without tests, {FILE_LINES_MAX} are allowed", file.path);
    (lines > FILE_LINES_MAX).then(message).into_iter().collect()
}

fn long_functions(file: &File) -> Vec<String> {
    let long = file.functions().into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    let message = |function: source::Function| {
        let source::Function { name, line, lines } = function;
        format!("{}:{line}: `{name}` has {lines} lines, {FUNCTION_LINES_MAX} are allowed", file.path)
    };
    long.map(message).collect()
}

fn clock_reads(file: &File) -> Vec<String> {
    if CLOCK_READERS.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let read = |path: &source::PathUse| CLOCK_READS.iter().find(|read| path.name.ends_with(**read)).copied();
    let reads = file.paths().into_iter().filter_map(|path| Some((path.line, read(&path)?)));
    reads.map(|(line, read)| format!("{}:{line}: reads a clock ({read})", file.path)).collect()
}

fn orderings(file: &File) -> Vec<String> {
    if file.room() == Some("sync") {
        return Vec::new();
    }
    let named =
        |path: &source::PathUse| ORDERINGS.iter().find(|name| path.name.rsplit("::").next() == Some(name)).copied();
    let uses = file.paths().into_iter().filter_map(|path| Some((path.line, named(&path)?)));
    uses.map(|(line, name)| format!("{}:{line}: orders memory ({name})", file.path)).collect()
}

#[track_caller]
fn assert_none(complaints: impl Iterator<Item = String>) {
    let complaints: Vec<_> = complaints.collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}
