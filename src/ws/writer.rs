//! Appends masked outgoing frames to a `Vec<u8>` (RFC 6455 sections 5.2 and 5.3).

use super::header::{FIN, MASK, MAX_CONTROL, Opcode};
use super::{CloseCode, close};

/// Appends a text message. The mask must be unpredictable and new for each frame (section 5.3). The caller passes it
/// in, because this module has no source of randomness.
pub fn write_text(out: &mut Vec<u8>, text: &str, mask: [u8; 4]) {
    write_frame(out, Opcode::Text, text.as_bytes(), mask);
}

/// Appends a binary message. The mask is as for [`write_text`].
pub fn write_binary(out: &mut Vec<u8>, payload: &[u8], mask: [u8; 4]) {
    write_frame(out, Opcode::Binary, payload, mask);
}

/// Appends a ping. The mask is as for [`write_text`].
///
/// # Panics
/// If the payload has more than 125 bytes.
pub fn write_ping(out: &mut Vec<u8>, payload: &[u8], mask: [u8; 4]) {
    write_control(out, Opcode::Ping, payload, mask);
}

/// Appends a pong. The answer to a ping carries the ping's payload (section 5.5.3). The mask is as for [`write_text`].
///
/// # Panics
/// If the payload has more than 125 bytes. A ping never has more.
pub fn write_pong(out: &mut Vec<u8>, payload: &[u8], mask: [u8; 4]) {
    write_control(out, Opcode::Pong, payload, mask);
}

/// Appends a close frame, with a code and a reason or with neither. A reason of more than 123 bytes is cut at a
/// character boundary. A code that must not be sent (section 7.4.1, such as 1005) is omitted together with the reason.
/// The mask is as for [`write_text`].
pub fn write_close(out: &mut Vec<u8>, close: Option<(CloseCode, &str)>, mask: [u8; 4]) {
    let Some((code, reason)) = close.filter(|(code, _)| close::may_be_sent(*code)) else {
        return write_control(out, Opcode::Close, b"", mask);
    };
    let mut payload = u16::from(code).to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..reason.floor_char_boundary(MAX_CONTROL - 2)]);
    write_control(out, Opcode::Close, &payload, mask);
}

fn write_control(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    assert!(payload.len() <= MAX_CONTROL, "a control frame carries at most 125 bytes (section 5.5)");
    write_frame(out, opcode, payload, mask);
}

fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    out.push(FIN | opcode as u8);
    match payload.len() {
        len @ 0..=125 => out.push(MASK | len as u8),
        len @ 126..=0xffff => {
            out.push(MASK | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(MASK | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    for chunk in out[start..].chunks_mut(4) {
        for (byte, key) in chunk.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
}
