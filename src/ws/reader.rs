//! Reads frames from the receive buffer, in place, and reassembles fragmented messages (RFC 6455 section 5).

use super::header::{FIN, Header, Opcode};
use super::{Incoming, Payload, ReceiveBuffer, SLACK, Violation, close};
use std::ops::Range;

/// Bounds on what a peer can make us store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum size of one message, in bytes. Default 1 MiB, far above the largest frame the exchange sends (a few
    /// KiB).
    pub max_message: usize,
    /// Maximum number of fragments of one message, including empty ones. Default 1024. The exchange does not fragment.
    pub max_fragments: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_message: 1 << 20, max_fragments: 1024 }
    }
}

/// Reads frames from a [`ReceiveBuffer`], in place.
///
/// An unfragmented message is borrowed from the buffer: no copy, no allocation, and no UTF-8 check unless it is text. A
/// fragmented message is assembled in a side buffer that is reused. Text is checked as it arrives, even inside an
/// unfinished frame, so the first invalid byte ends the connection.
///
/// ```text
///          data frame, whole                     control frame (any state but Inside)
///        ┌──────────────────┐                              close, violation
///        ▼                  │                       ┌─────────────────────────► Ended
///      Idle ────────────────┘                       │
///       │  ▲ last fragment read                  (any state)
///       ▼  │
///     Inside ◄──── header of a continuation ──── Between
///       └────────── fragment read, not the last ───▲
/// ```
pub struct FrameReader {
    limits: Limits,
    state: State,
    /// The message being assembled. [`SLACK`] zeros follow it once it is complete.
    assembly: Vec<u8>,
    fragments: u32,
    /// The number of bytes of the current text message that are known to be UTF-8.
    checked: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between messages.
    Idle,
    /// Inside a fragment, of which `remaining` bytes have not arrived.
    Inside { kind: Kind, remaining: usize, last: bool },
    /// Between two fragments of a message.
    Between(Kind),
    /// The peer has closed or violated the protocol. Further bytes are discarded (section 5.5.1).
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

/// A frame or message, by its range in the buffer. Borrows nothing, so that the search for the next one can continue.
enum Found {
    Frame(Opcode, Range<usize>),
    Assembled(Kind),
}

impl FrameReader {
    /// Creates a reader for a new connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: State::Idle, assembly: Vec::new(), fragments: 0, checked: 0 }
    }

    /// Returns the size of the memory allocated for fragmented messages, in bytes: 0 at first, at most about twice the
    /// largest message.
    pub fn footprint(&self) -> usize {
        self.assembly.capacity()
    }

    /// Returns true if an end of the stream here would cut off a message.
    pub fn is_inside_message(&self, buffer: &ReceiveBuffer) -> bool {
        match self.state {
            State::Idle => !buffer.unparsed().is_empty(),
            State::Inside { .. } | State::Between(_) => true,
            State::Ended => false,
        }
    }

    /// Returns the next message or control frame, or `None` if more bytes are needed.
    ///
    /// Call it until it returns `None` before receiving again; only then is the buffer's size bounded. After an
    /// [`Incoming::Close`] or an error it returns `None` forever and discards all further bytes. Use a new reader for a
    /// new connection.
    ///
    /// Costs a few nanoseconds per frame of any length, plus the UTF-8 check for text.
    #[inline]
    pub fn next<'a>(&'a mut self, buffer: &'a mut ReceiveBuffer) -> Result<Option<Incoming<'a>>, Violation> {
        if let Some(place) = self.find_binary(buffer) {
            return Ok(Some(Incoming::Binary(Payload::new(buffer.padded(place)))));
        }
        self.next_slow(buffer)
    }

    /// The fast path: a complete binary message in one frame with a short header. Accepts only frames that the general
    /// path would read in the same way.
    #[inline]
    fn find_binary(&self, buffer: &mut ReceiveBuffer) -> Option<Range<usize>> {
        const BINARY: u8 = FIN | Opcode::Binary as u8;
        let arrived = buffer.unparsed();
        let (header, len) = match *arrived {
            [BINARY, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            [BINARY, len @ 0..=125, ..] => (2, usize::from(len)),
            _ => return None,
        };
        let is_minimal = header == 2 || len > 125;
        if self.state != State::Idle || !is_minimal || len > self.limits.max_message || arrived.len() < header + len {
            return None;
        }
        let place = buffer.consume(header + len);
        Some(place.start + header..place.end)
    }

    #[inline(never)]
    fn next_slow<'a>(&'a mut self, buffer: &'a mut ReceiveBuffer) -> Result<Option<Incoming<'a>>, Violation> {
        let (opcode, place) = match self.find(buffer) {
            Ok(Some(Found::Frame(opcode, place))) => (opcode, place),
            Ok(Some(Found::Assembled(Kind::Text))) => return Ok(Some(Incoming::Text(Payload::new(&self.assembly)))),
            Ok(Some(Found::Assembled(Kind::Binary))) => {
                return Ok(Some(Incoming::Binary(Payload::new(&self.assembly))));
            }
            Ok(None) => return Ok(None),
            Err(violation) => {
                self.state = State::Ended;
                return Err(violation);
            }
        };
        let payload = Payload::new(buffer.padded(place));
        Ok(Some(match opcode {
            // `find` never returns a continuation by itself.
            Opcode::Binary | Opcode::Continuation => Incoming::Binary(payload),
            Opcode::Text => Incoming::Text(payload),
            Opcode::Ping => Incoming::Ping(payload.bytes()),
            Opcode::Pong => Incoming::Pong(payload.bytes()),
            Opcode::Close => {
                self.state = State::Ended;
                Incoming::Close(close::parse(payload.bytes())?)
            }
        }))
    }

    fn find(&mut self, buffer: &mut ReceiveBuffer) -> Result<Option<Found>, Violation> {
        loop {
            match self.state {
                State::Idle | State::Between(_) => {
                    let Some(header) = Header::parse(buffer.unparsed())? else { return Ok(None) };
                    if header.opcode.is_control() {
                        return Ok(whole(&header, buffer));
                    }
                    let kind = self.expect(&header)?;
                    if self.state == State::Idle && header.last {
                        return self.find_message(kind, &header, buffer);
                    }
                    self.start_fragment(kind, &header)?;
                    buffer.consume(header.size);
                }
                State::Inside { kind, remaining, last } => {
                    let remaining = remaining - self.absorb(remaining, buffer);
                    self.state = State::Inside { kind, remaining, last };
                    let whole = last && remaining == 0;
                    if kind == Kind::Text {
                        self.checked += check_utf8(&self.assembly[self.checked..], whole)?;
                    }
                    if remaining > 0 {
                        return Ok(None);
                    }
                    if whole {
                        return Ok(Some(self.finish_assembly(kind)));
                    }
                    self.state = State::Between(kind);
                }
                State::Ended => {
                    buffer.consume(buffer.unparsed().len());
                    return Ok(None);
                }
            }
        }
    }

    /// Checks that this data frame is allowed now (section 5.4) and within the limits. Returns the type of its message.
    fn expect(&self, header: &Header) -> Result<Kind, Violation> {
        let (kind, before) = match (self.state, header.opcode) {
            (State::Between(kind), Opcode::Continuation) => (kind, self.assembly.len()),
            (State::Between(_), _) => return Err(Violation::InterruptedMessage),
            (_, Opcode::Continuation) => return Err(Violation::LoneContinuation),
            (_, Opcode::Text) => (Kind::Text, 0),
            (_, _) => (Kind::Binary, 0),
        };
        let (size, limit) = (header.len.saturating_add(before as u64), self.limits.max_message);
        if size > limit as u64 {
            return Err(Violation::TooBig { size, limit });
        }
        Ok(kind)
    }

    /// Reads a message in one frame. The arrived part of a text is checked, each byte once.
    fn find_message(
        &mut self,
        kind: Kind,
        header: &Header,
        buffer: &mut ReceiveBuffer,
    ) -> Result<Option<Found>, Violation> {
        if kind == Kind::Text {
            let arrived = &buffer.unparsed()[header.size..];
            let len = arrived.len().min(header.len as usize);
            let whole = len as u64 == header.len;
            self.checked += check_utf8(&arrived[self.checked..len], whole)?;
            if whole {
                self.checked = 0;
            }
        }
        Ok(whole(header, buffer))
    }

    fn start_fragment(&mut self, kind: Kind, header: &Header) -> Result<(), Violation> {
        if self.state == State::Idle {
            self.assembly.clear();
            self.fragments = 0;
            self.checked = 0;
        }
        self.fragments += 1;
        if self.fragments > self.limits.max_fragments {
            return Err(Violation::TooManyFragments { limit: self.limits.max_fragments });
        }
        self.state = State::Inside { kind, remaining: header.len as usize, last: header.last };
        Ok(())
    }

    /// Moves the arrived part of the fragment into the side buffer. Reserves no memory for the rest, because a peer may
    /// announce a length and not send it.
    fn absorb(&mut self, remaining: usize, buffer: &mut ReceiveBuffer) -> usize {
        let arrived = buffer.unparsed();
        let n = arrived.len().min(remaining);
        self.assembly.extend_from_slice(&arrived[..n]);
        buffer.consume(n);
        n
    }

    fn finish_assembly(&mut self, kind: Kind) -> Found {
        self.assembly.resize(self.assembly.len() + SLACK, 0);
        self.state = State::Idle;
        self.checked = 0;
        Found::Assembled(kind)
    }
}

/// Returns the frame if it is complete; otherwise requests space for all of it.
#[inline]
fn whole(header: &Header, buffer: &mut ReceiveBuffer) -> Option<Found> {
    // Lengths above the limits are refused earlier, so this cannot overflow.
    let size = header.size + header.len as usize;
    if buffer.unparsed().len() < size {
        buffer.want(size);
        return None;
    }
    let place = buffer.consume(size);
    Some(Found::Frame(header.opcode, place.start + header.size..place.end))
}

/// Returns the number of bytes at the front of `bytes` that are complete characters of UTF-8. The last character may be
/// incomplete, unless `whole` is true.
fn check_utf8(bytes: &[u8], whole: bool) -> Result<usize, Violation> {
    match str::from_utf8(bytes) {
        Ok(_) => Ok(bytes.len()),
        Err(error) if error.error_len().is_none() && !whole => Ok(error.valid_up_to()),
        Err(_) => Err(Violation::InvalidUtf8),
    }
}
