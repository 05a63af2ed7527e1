//! A recorded file of any content: each line is counted once, and a message that was found is found again when it is
//! alone in its line.
//!
//! Input: the file.

#![no_main]

use std::io::Cursor;

use hoga_exchange::Recording;
use libfuzzer_sys::fuzz_target;

fn read(file: Vec<u8>) -> (Vec<String>, u64) {
    let mut recording = Recording::new("file", Cursor::new(file));
    let mut messages = Vec::new();
    loop {
        match recording.next_message() {
            Ok(Some(message)) => messages.push(message.text),
            Ok(None) => break,
            Err(error) => panic!("no line is too long: {error}"),
        }
    }
    let lines = match recording.finish() {
        Ok(contents) => {
            assert_eq!(contents.messages, messages.len() as u64);
            contents.lines
        }
        Err(error) => {
            assert!(messages.is_empty(), "{error}");
            0
        }
    };
    (messages, lines)
}

fuzz_target!(|file: &[u8]| {
    let (messages, lines) = read(file.to_vec());
    assert!(messages.len() as u64 <= lines);
    for message in &messages {
        assert!(!message.contains('\n'), "{message:?}");
        assert_eq!(read(message.clone().into_bytes()), (vec![message.clone()], 1), "{message:?}");
    }
});
