//! The messages that wait to be sent on a connection. The callers limit their size, and a client cannot raise it with
//! pings. Messages become frames when they are sent.

use crate::fault::Switches;
use crate::frame;
use std::collections::VecDeque;

#[derive(Debug)]
enum Item {
    /// Bytes that are sent unchanged: HTTP, control frames, garbage.
    Raw(Vec<u8>),
    /// A message other than data: errors, status, LIST_SUBSCRIPTIONS.
    Notice(Vec<u8>),
    /// Market data.
    Data(Vec<u8>),
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    length: usize,
    /// The place of the waiting pong in `items`.
    pong: Option<usize>,
}

impl Outbox {
    /// The number of bytes waiting, without the frame headers of messages.
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn push_raw(&mut self, bytes: Vec<u8>) {
        self.length += bytes.len();
        self.items.push_back(Item::Raw(bytes));
    }

    pub fn push_control(&mut self, opcode: u8, payload: &[u8]) {
        let mut bytes = Vec::with_capacity(payload.len() + 2);
        frame::write(&mut bytes, opcode, payload);
        self.push_raw(bytes);
    }

    /// Answers a ping. If the answer to an earlier ping still waits, replaces it (RFC 6455 section 5.5.3).
    pub fn push_pong(&mut self, payload: &[u8]) {
        let mut bytes = Vec::with_capacity(payload.len() + 2);
        frame::write(&mut bytes, frame::PONG, payload);
        self.length += bytes.len();
        match self.pong.and_then(|place| self.items.get_mut(place)) {
            Some(Item::Raw(earlier)) => {
                self.length -= earlier.len();
                *earlier = bytes;
            }
            _ => {
                self.pong = Some(self.items.len());
                self.items.push_back(Item::Raw(bytes));
            }
        }
    }

    pub fn push_notice(&mut self, payload: Vec<u8>) {
        self.length += payload.len();
        self.items.push_back(Item::Notice(payload));
    }

    pub fn push_data(&mut self, payload: Vec<u8>, switches: &Switches) {
        self.length += payload.len();
        if switches.multi_element_lists
            && payload.starts_with(b"[")
            && let Some(Item::Data(last)) = self.items.back_mut()
            && last.ends_with(b"]")
            // All messages of a list must have keys of the same format. The first six bytes of `[{"type"` and `[{"ty":`
            // differ.
            && last.get(..6) == payload.get(..6)
        {
            last.pop();
            last.push(b',');
            last.extend_from_slice(&payload[1..]);
            // A "," replaced "]" and "[".
            self.length -= 1;
            return;
        }
        self.items.push_back(Item::Data(payload));
    }

    /// Appends all messages to `out` as bytes for the wire, and reports each data payload.
    pub fn write(&mut self, out: &mut Vec<u8>, switches: &Switches, mut sent_data: impl FnMut(&[u8])) {
        let opcode = if switches.send_text { frame::TEXT } else { frame::BINARY };
        for item in self.items.drain(..) {
            let payload = match &item {
                Item::Raw(bytes) => {
                    out.extend_from_slice(bytes);
                    continue;
                }
                Item::Notice(payload) => payload,
                Item::Data(payload) => {
                    sent_data(payload);
                    payload
                }
            };
            match switches.fragment {
                true => frame::write_fragmented(out, opcode, payload),
                false => frame::write(out, opcode, payload),
            }
        }
        self.length = 0;
        self.pong = None;
    }
}
