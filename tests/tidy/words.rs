//! Refuses words that make prose hard to read: headless clauses, old forms, and phrases for which the glossary in
//! ARCHITECTURE.md has a term. Identifiers count, so test names are prose too.

use std::fs;
use std::path::{Path, PathBuf};

use crate::source::top;

/// Refused words and phrases, in lower case, with what to write instead.
const REFUSED: &[(&str, &str)] = &[
    ("anew", "again, from the start"),
    ("are told", "learn, receive"),
    ("be told", "learn, receive"),
    ("besides", "also, beside"),
    ("by turns", "in turn, alternately, interleaved"),
    ("for ever", "forever, without limit"),
    ("gives what", "returns"),
    ("hence", "so, therefore"),
    ("is told", "learns, receives"),
    ("nobody s", "no one's, unused"),
    ("shall", "must, will"),
    ("so many", "the number of"),
    ("somebody s", "another thread's, the reader's"),
    ("thereby", "so"),
    ("thereof", "of it"),
    ("whatever", "any, all, regardless of"),
    ("what came", "what arrived, the message"),
    ("what comes", "what arrives, the next message"),
    ("whence", "where"),
    ("who sleeps", "the waiting thread, the waiting reader"),
    ("whoever", "the caller, the reader, anyone who"),
    ("whosoever", "anyone who"),
];

/// The folders and files whose prose is checked.
const CHECKED: &[&str] = &[
    "src",
    "tests",
    "tools",
    "benches",
    "docs",
    ".ci",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "Cargo.toml",
];

#[test]
fn prose_is_plain() {
    let planted =
        complaints("planted.md", "Wakes who\nwaits, for ever.\nA `whoever_asks` and nobody's.\nMarshall likes it.");
    let expected = ["planted.md:2: `for ever`", "planted.md:3: `nobody s`", "planted.md:3: `whoever`"];
    assert_eq!(planted.iter().map(|line| line.split(" (").next().unwrap()).collect::<Vec<_>>(), expected);
    let mut files = Vec::new();
    for name in CHECKED {
        text_files(&top().join(name), &mut files);
    }
    assert!(files.len() > 200, "the files were not found");
    assert!(files.contains(&top().join("src/model/words.rs")), "another file with the name of this one is checked");
    // This file lists the refused words.
    let own = top().join(file!());
    let found: Vec<_> = files
        .iter()
        .filter(|path| **path != own)
        .flat_map(|path| {
            complaints(&path.strip_prefix(top()).unwrap().to_string_lossy(), &fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Returns one line for each refused phrase in the text.
fn complaints(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, normalized(line)));
    lines
        .flat_map(|(number, line)| {
            let refused = REFUSED.iter().filter(move |(phrase, _)| line.contains(&format!(" {phrase} ")));
            refused.map(move |(phrase, instead)| format!("{path}:{number}: `{phrase}` (write: {instead})"))
        })
        .collect()
}

/// Returns the words of a line in lower case, separated and surrounded by single spaces.
fn normalized(line: &str) -> String {
    let words = line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(str::to_lowercase).collect();
    format!(" {} ", words.join(" "))
}

fn text_files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            text_files(&entry.unwrap().path(), found);
        }
    } else if path
        .extension()
        .is_none_or(|extension| ["rs", "md", "toml", "py"].iter().any(|known| extension == *known))
    {
        found.push(path.to_owned());
    }
}
