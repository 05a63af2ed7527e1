//! The header of a frame from a server (RFC 6455 section 5.2). Reads no payload.

use super::Violation;

/// The length of the longest header that a server may send, which has no mask.
pub(super) const MAX_HEADER: usize = 10;
/// The length of the longest control payload (section 5.5).
pub(super) const MAX_CONTROL: usize = 125;

pub(super) const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
/// The bit of the second byte that marks a masked frame.
pub(super) const MASK: u8 = 0x80;

/// The type of a frame (section 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    #[inline]
    fn new(bits: u8) -> Result<Self, Violation> {
        Ok(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return Err(Violation::ReservedOpcode(bits)),
        })
    }

    #[inline]
    pub(super) fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// A header that is valid by itself. The reader decides whether it is allowed in the current state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub opcode: Opcode,
    /// True for the last or only fragment of a message.
    pub last: bool,
    /// The length of the header in bytes.
    pub size: usize,
    /// The length of the payload in bytes.
    pub len: u64,
}

impl Header {
    /// Parses the header at the front of `bytes`. Returns `None` if more bytes are needed.
    #[inline]
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(Violation::ReservedBits);
        }
        let opcode = Opcode::new(first & OPCODE)?;
        let last = first & FIN != 0;
        if second & MASK != 0 {
            return Err(Violation::Masked);
        }
        if opcode.is_control() {
            control(last, second)?;
        }
        let (size, len) = match (second, rest) {
            (0..=125, _) => (2, u64::from(second)),
            (126, &[a, b, ..]) => (4, minimal(u16::from_be_bytes([a, b]).into(), 126)?),
            (127, &[a, b, c, d, e, f, g, h, ..]) => {
                (MAX_HEADER, minimal(u64::from_be_bytes([a, b, c, d, e, f, g, h]), 1 << 16)?)
            }
            _ => return Ok(None),
        };
        Ok(Some(Self { opcode, last, size, len }))
    }
}

/// Checks that a control frame is not fragmented and carries at most 125 bytes (section 5.5).
fn control(last: bool, len: u8) -> Result<(), Violation> {
    if !last {
        return Err(Violation::FragmentedControl);
    }
    if usize::from(len) > MAX_CONTROL {
        return Err(Violation::LongControl);
    }
    Ok(())
}

/// "The minimal number of bytes MUST be used to encode the length" (section 5.2). Many clients accept longer encodings.
/// We refuse them, because a server that sends one has lost track of its stream.
#[inline]
fn minimal(len: u64, least: u64) -> Result<u64, Violation> {
    if len < least { Err(Violation::NonMinimalLength) } else { Ok(len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_of_a_length_is_read_and_every_shorter_prefix_needs_more() {
        let cases: [(&[u8], usize, u64); 5] = [
            (b"\x82\x7d", 2, 125),
            (b"\x82\x7e\x00\x7e", 4, 126),
            (b"\x82\x7e\xff\xff", 4, 0xffff),
            (b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10, 0x10000),
            (b"\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00", 10, 1 << 63),
        ];
        for (bytes, size, len) in cases {
            let header = Header { opcode: Opcode::Binary, last: true, size, len };
            assert_eq!(Header::parse(bytes), Ok(Some(header)));
            for cut in 0..bytes.len() {
                assert_eq!(Header::parse(&bytes[..cut]), Ok(None), "{cut} bytes of {bytes:?}");
            }
        }
    }

    #[test]
    fn a_length_in_more_bytes_than_needed_is_refused() {
        for bytes in [&b"\x82\x7e\x00\x7d"[..], b"\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff"] {
            assert_eq!(Header::parse(bytes), Err(Violation::NonMinimalLength));
        }
    }

    #[test]
    fn only_legal_first_bytes_are_accepted() {
        let legal: Vec<u8> = (0..=255).filter(|&first| Header::parse(&[first, 0]).is_ok()).collect();
        assert_eq!(legal, [0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a]);
    }
}
