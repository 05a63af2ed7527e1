//! What can be made to go wrong. One enum; one-shot faults act in `exchange`, switches where the comment says.

use crate::exchange::ConnId;
use crate::refusal::ErrorName;

/// A fault to inject. Switches stay until switched off and hold for connections that come later, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Switch: pings are answered, no data is sent. What would have been sent is lost.
    Mute(bool),
    /// Switch: nothing is read and nothing is written, TCP stays open; new connections are accepted, never answered.
    Stall(bool),
    /// All connections are closed without a close frame.
    DropAll,
    /// This connection is closed without a close frame. One that is gone already changes nothing.
    Drop(ConnId),
    /// All connections are closed with this code.
    CloseAll(u16),
    /// Bytes that are no frame are sent on all connections.
    Garbage,
    /// The next `count` upgrades are refused.
    RejectUpgrades {
        /// How many.
        count: u32,
        /// HTTP status.
        status: u16,
        /// `Retry-After` header in seconds.
        retry_after: Option<u32>,
        /// Body.
        body: String,
    },
    /// Switch: new connections are closed at once.
    RefuseConnects(bool),
    /// Switch: messages are sent as text frames.
    SendText(bool),
    /// Switch: messages are sent in three fragments with a ping between them.
    Fragment(bool),
    /// Switch: order-book timestamps in microseconds, as for some days in August 2023.
    MicrosecondTimestamps(bool),
    /// Switch: every trade is sent twice.
    DuplicateTrades(bool),
    /// Switch: each object of data has one more key.
    UnknownKeys(bool),
    /// Switch: in the list formats, messages that leave together leave as one list.
    MultiElementLists(bool),
    /// Switch: `{"status":"UP"}` comes in the same bytes as the 101 answer.
    EarlyData(bool),
    /// This error now, on all connections, and the close that follows an error.
    ErrorNow(ErrorName),
}

/// The switches that are on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Switches {
    /// Acts in `Exchange::dispatch` and in the snapshot and replay pumps.
    pub mute: bool,
    /// Acts at the four entrances of `Exchange`.
    pub stall: bool,
    /// Acts in `Exchange::connect`.
    pub refuse_connects: bool,
    /// Acts in `Outbox::write`.
    pub send_text: bool,
    /// Acts in `Outbox::write`.
    pub fragment: bool,
    /// Acts in `message::orderbook`.
    pub microseconds: bool,
    /// Acts in `Exchange::dispatch`.
    pub duplicate_trades: bool,
    /// Acts in `format::Writer`.
    pub unknown_keys: bool,
    /// Acts in `Outbox::push_data`.
    pub multi_element_lists: bool,
    /// Acts in `Exchange::open`.
    pub early_data: bool,
}

impl Switches {
    /// Sets the switch a fault is about; false when it is not about a switch.
    pub fn set(&mut self, fault: &Fault) -> bool {
        let (switch, on) = match fault {
            Fault::Mute(on) => (&mut self.mute, on),
            Fault::Stall(on) => (&mut self.stall, on),
            Fault::RefuseConnects(on) => (&mut self.refuse_connects, on),
            Fault::SendText(on) => (&mut self.send_text, on),
            Fault::Fragment(on) => (&mut self.fragment, on),
            Fault::MicrosecondTimestamps(on) => (&mut self.microseconds, on),
            Fault::DuplicateTrades(on) => (&mut self.duplicate_trades, on),
            Fault::UnknownKeys(on) => (&mut self.unknown_keys, on),
            Fault::MultiElementLists(on) => (&mut self.multi_element_lists, on),
            Fault::EarlyData(on) => (&mut self.early_data, on),
            Fault::DropAll
            | Fault::Drop(_)
            | Fault::CloseAll(_)
            | Fault::Garbage
            | Fault::RejectUpgrades { .. }
            | Fault::ErrorNow(_) => return false,
        };
        *switch = *on;
        true
    }
}
