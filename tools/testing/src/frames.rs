//! WebSocket frames as bytes (RFC 6455), for the peer of the code under test.

/// The first byte of a complete text message.
pub const TEXT: u8 = 0x81;
/// The first byte of a complete binary message.
pub const BINARY: u8 = 0x82;
/// The first byte of a close frame.
pub const CLOSE: u8 = 0x88;
/// The first byte of a ping.
pub const PING: u8 = 0x89;
/// The first byte of a pong.
pub const PONG: u8 = 0x8a;

const MASK: [u8; 4] = [7, 0, 255, 42];

/// Returns a frame as a client sends it: masked, with the shortest encoding of its length. `first` is the first byte,
/// the FIN bit and the opcode.
pub fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, 0x80, payload.len());
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
    bytes
}

/// Returns a frame as a server sends it: not masked, with the shortest encoding of its length.
pub fn server(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, 0, payload.len());
    bytes.extend_from_slice(payload);
    bytes
}

fn header(first: u8, mask_bit: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(mask_bit | length as u8),
        126..=0xffff => {
            bytes.push(mask_bit | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask_bit | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes
}

/// A parsed frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// FIN bit, reserved bits and opcode.
    pub first: u8,
    /// Whether the payload was masked. Clients must mask, servers must not.
    pub is_masked: bool,
    /// The payload without the mask.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Returns the opcode, the low four bits of the first byte.
    pub fn opcode(&self) -> u8 {
        self.first & 0x0f
    }
}

/// Returns the first frame in `bytes` and its length there, or `None` if it is not complete.
pub fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let &[first, second, ..] = bytes else { return None };
    let (start, length) = match second & 0x7f {
        126 => (4, u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?).into()),
        127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?) as usize),
        length => (2, usize::from(length)),
    };
    let is_masked = second & 0x80 != 0;
    let (mask, start) = if is_masked { (*bytes.get(start..)?.first_chunk()?, start + 4) } else { ([0; 4], start) };
    let end = start.checked_add(length)?;
    let payload = bytes.get(start..end)?.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
    Some((Frame { first, is_masked, payload }, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_form_are_read_back_and_only_when_complete() {
        for length in [0, 1, 125, 126, 0xffff, 0x1_0000] {
            let payload: Vec<u8> = (0..length).map(|at| at as u8).collect();
            for (mut bytes, is_masked) in [(client(PING, &payload), true), (server(PING, &payload), false)] {
                let total = bytes.len();
                assert_eq!(parse(&bytes[..total - 1]), None, "{length} bytes");
                bytes.push(0x81);
                let frame = Frame { first: PING, is_masked, payload: payload.clone() };
                assert_eq!(parse(&bytes), Some((frame, total)), "{length} bytes");
            }
        }
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        // RFC 6455 section 5.7: single-frame text messages, unmasked and masked.
        let hello = |is_masked| Frame { first: TEXT, is_masked, payload: b"Hello".to_vec() };
        assert_eq!(parse(b"\x81\x05Hello"), Some((hello(false), 7)));
        assert_eq!(parse(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), Some((hello(true), 11)));
    }
}
