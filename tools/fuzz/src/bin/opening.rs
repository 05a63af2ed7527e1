//! A server's answer to the opening request, and a proxy's to the request for a tunnel: any bytes, with any cuts, have
//! the same result.
//!
//! Input: one byte that selects the cuts, then the answer.

#![no_main]

use hoga::ws::{
    Handshake, HandshakeError, MAX_BODY_BYTES, MAX_HEADER_BYTES, Progress, ReceiveBuffer, Tunnel, TunnelError,
    TunnelStep,
};
use hoga_fuzz::{KEY, pieces, receive};
use libfuzzer_sys::fuzz_target;

/// Returns the result, after the end of the stream if it was not complete before.
fn read(pieces: &[&[u8]], capacity: usize) -> Result<Option<i64>, HandshakeError> {
    let start = Handshake::start("api.upbit.com", 443, "/websocket/v1", true, &[], KEY);
    let (mut handshake, request) = start.unwrap_or_else(|error| panic!("{error}"));
    assert!(request.ends_with(b"\r\n\r\n"));
    let mut buffer = ReceiveBuffer::new(capacity);
    let mut progress = Ok(Progress::NeedMore);
    for piece in pieces {
        let is_unfinished = receive(&mut buffer, piece, |buffer| {
            progress = handshake.handle(buffer);
            progress == Ok(Progress::NeedMore)
        });
        assert!(buffer.footprint() <= 2 * (MAX_HEADER_BYTES + MAX_BODY_BYTES) + capacity, "{}", buffer.footprint());
        if !is_unfinished {
            break;
        }
    }
    match progress {
        Ok(Progress::Done) => Ok(handshake.date().map(|date| date.0 as i64)),
        Ok(Progress::NeedMore) => Err(handshake.handle_eof(&mut buffer)),
        Err(error) => Err(error),
    }
}

/// Returns the number of bytes that belong to the proxy's answer; `None` if it is not complete.
fn open_tunnel(mut tunnel: Tunnel, pieces: &[&[u8]]) -> Result<Option<usize>, TunnelError> {
    let (mut pending, mut total) = (Vec::new(), 0);
    for piece in pieces {
        pending.extend_from_slice(piece);
        loop {
            let (consumed, step) = tunnel.handle(&pending)?;
            pending.drain(..consumed);
            total += consumed;
            match step {
                TunnelStep::NeedMore => break,
                TunnelStep::Send(bytes) => assert!(!bytes.is_empty()),
                TunnelStep::Done => return Ok(Some(total)),
            }
        }
    }
    Ok(None)
}

fuzz_target!(|input: &[u8]| {
    let Some((&seed, answer)) = input.split_first() else { return };
    // Of a longer body, the cuts decide how much has arrived when the refusal is reported.
    let answer = &answer[..answer.len().min(MAX_BODY_BYTES - 1)];
    let whole = read(&[answer], MAX_BODY_BYTES);
    assert_eq!(read(&pieces(seed, answer), 1 + usize::from(seed)), whole);
    if let Err(error) = whole {
        let printed = error.to_string();
        assert!(!printed.contains(char::is_control), "{printed:?}");
    }
    for start in [Tunnel::http, Tunnel::socks5] {
        let tunnel = || start("api.upbit.com", 443, Some(("user", "password"))).0;
        let whole = open_tunnel(tunnel(), &[answer]);
        assert_eq!(open_tunnel(tunnel(), &pieces(seed, answer)), whole);
        if let Err(error) = whole {
            let printed = error.to_string();
            assert!(!printed.contains(char::is_control), "{printed:?}");
        }
    }
});
