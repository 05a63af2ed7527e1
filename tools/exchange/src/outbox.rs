//! The messages that wait to be sent on a connection. The callers limit the size. Frames are made when the messages are
//! sent.

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
            // The first six bytes of `[{"type"` and `[{"ty":` differ: all messages of a list must have keys of the same
            // format.
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
    }
}
