//! RFC 6455 frames on the server side: reads masked frames, writes unmasked ones. permessage-deflate is never
//! negotiated.

/// The maximum size of a client's message. The largest real request, with 855 codes, has less than 10 kB.
const MESSAGE_MAX: usize = 1 << 20;

const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// One message or control frame of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A whole text or binary message. Whether Upbit accepts binary requests is not known; this exchange does.
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    /// The close code, if there was one.
    Close(Option<u16>),
}

/// A protocol violation of a client. The connection is closed with [`code`](Self::code).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Violation {
    Unmasked,
    /// Reserved bits, unknown opcodes, bad fragmentation, long control frames.
    Malformed,
    NotUtf8,
    TooLong,
}

impl Violation {
    pub fn code(self) -> u16 {
        match self {
            Self::Unmasked | Self::Malformed => 1002,
            Self::NotUtf8 => 1007,
            Self::TooLong => 1009,
        }
    }
}

/// Assembles messages from any split of the byte stream.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
    /// The number of `bytes` that were read already. They are removed when more bytes arrive, not after each frame,
    /// because every removal moves the rest.
    read: usize,
    /// Opcode of the fragmented message in progress.
    fragmented: Option<u8>,
    message: Vec<u8>,
}

struct Header {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    start: usize,
    end: usize,
}

impl Reader {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.read));
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next message or control frame; `None` if more bytes are needed.
    pub fn next(&mut self) -> Result<Option<Incoming>, Violation> {
        while let Some(header) = header(&self.bytes[self.read..])? {
            let mut payload = self.bytes[self.read..][header.start..header.end].to_vec();
            self.read += header.end;
            for (index, byte) in payload.iter_mut().enumerate() {
                *byte ^= header.mask[index % 4];
            }
            let incoming =
                if header.opcode >= CLOSE { control(&header, payload)? } else { self.data(&header, payload)? };
            if incoming.is_some() {
                return Ok(incoming);
            }
        }
        Ok(None)
    }

    fn data(&mut self, header: &Header, payload: Vec<u8>) -> Result<Option<Incoming>, Violation> {
        let opcode = match (header.opcode, self.fragmented) {
            (CONTINUATION, Some(first)) => first,
            (TEXT | BINARY, None) => header.opcode,
            _ => return Err(Violation::Malformed),
        };
        if self.message.len() + payload.len() > MESSAGE_MAX {
            return Err(Violation::TooLong);
        }
        self.message.extend_from_slice(&payload);
        if !header.fin {
            self.fragmented = Some(opcode);
            return Ok(None);
        }
        self.fragmented = None;
        let message = std::mem::take(&mut self.message);
        if opcode == TEXT && std::str::from_utf8(&message).is_err() {
            return Err(Violation::NotUtf8);
        }
        Ok(Some(Incoming::Message(message)))
    }
}

fn header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Violation::Malformed);
    }
    if second & 0x80 == 0 {
        return Err(Violation::Unmasked);
    }
    let (fin, opcode, short) = (first & 0x80 != 0, first & 0x0F, usize::from(second & 0x7F));
    if opcode >= CLOSE && (!fin || short > 125) {
        return Err(Violation::Malformed);
    }
    let extra = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some((length, rest)) = rest.split_at_checked(extra) else { return Ok(None) };
    let length = if extra == 0 { short as u64 } else { length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) };
    if length > MESSAGE_MAX as u64 {
        return Err(Violation::TooLong);
    }
    let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let (start, length) = (2 + extra + 4, length as usize);
    Ok((rest.len() >= length).then_some(Header { fin, opcode, mask: *mask, start, end: start + length }))
}

fn control(header: &Header, payload: Vec<u8>) -> Result<Option<Incoming>, Violation> {
    match header.opcode {
        CLOSE if payload.len() == 1 => Err(Violation::Malformed),
        CLOSE => Ok(Some(Incoming::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))))),
        PING => Ok(Some(Incoming::Ping(payload))),
        PONG => Ok(Some(Incoming::Pong)),
        _ => Err(Violation::Malformed),
    }
}

/// Appends one whole frame.
pub(crate) fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    write_part(out, opcode, true, payload);
}

/// Appends the message in three fragments with a ping between them.
pub(crate) fn write_fragmented(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    let third = payload.len() / 3;
    write_part(out, opcode, false, &payload[..third]);
    write_part(out, CONTINUATION, false, &payload[third..2 * third]);
    write(out, PING, b"between");
    write_part(out, CONTINUATION, true, &payload[2 * third..]);
}

fn write_part(out: &mut Vec<u8>, opcode: u8, fin: bool, payload: &[u8]) {
    out.push(if fin { 0x80 | opcode } else { opcode });
    match payload.len() {
        length @ 0..126 => out.push(length as u8),
        length @ 126..65_536 => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoga_testing::frames::client;

    fn read(parts: &[&[u8]]) -> Vec<Incoming> {
        let (mut reader, mut seen) = (Reader::default(), Vec::new());
        for part in parts {
            reader.feed(part);
            while let Some(incoming) = reader.next().unwrap() {
                seen.push(incoming);
            }
        }
        seen
    }

    #[test]
    fn every_split_of_the_stream_reads_the_same() {
        let long = vec![b'x'; 300];
        let stream = [
            client(0x81, b"PING"),
            client(0x01, b"he"),
            client(0x89, b"?"),
            client(0x80, b"llo"),
            client(0x82, &long),
            client(0x88, &1000u16.to_be_bytes()),
        ]
        .concat();
        let whole = read(&[&stream]);
        assert_eq!(
            whole,
            [
                Incoming::Message(b"PING".to_vec()),
                Incoming::Ping(b"?".to_vec()),
                Incoming::Message(b"hello".to_vec()),
                Incoming::Message(long),
                Incoming::Close(Some(1000)),
            ]
        );
        for cut in 1..stream.len() {
            let (a, b) = stream.split_at(cut);
            assert_eq!(read(&[a, b]), whole, "cut after byte {cut}");
        }
    }

    #[test]
    fn violations_of_rfc_6455_are_refused() {
        let refuse = |bytes: &[u8]| {
            let mut reader = Reader::default();
            reader.feed(bytes);
            reader.next().unwrap_err()
        };
        assert_eq!(refuse(&[0x81, 0x01, b'x']), Violation::Unmasked);
        assert_eq!(refuse(&client(0xC1, b"x")), Violation::Malformed);
        assert_eq!(refuse(&client(0x80, b"x")), Violation::Malformed);
        assert_eq!(refuse(&client(0x83, b"x")), Violation::Malformed);
        assert_eq!(refuse(&client(0x09, b"x")), Violation::Malformed);
        assert_eq!(refuse(&client(0x88, b"x")), Violation::Malformed);
        assert_eq!(refuse(&client(0x81, b"\xFF")), Violation::NotUtf8);
        assert_eq!(refuse(&[0x81, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0]), Violation::TooLong);
    }
}
