//! The faults that tests can inject. `Exchange::inject` carries out the faults that happen once; the fields of
//! `Switches` say where each switch acts.

use crate::exchange::ConnId;
use crate::refusal::ErrorName;
use crate::request::{Kind, Want};

/// A fault to inject. Switches stay on until they are switched off, and also apply to later connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Switch: pings are answered but no data is sent. The unsent data is lost.
    Mute(bool),
    /// Switch: no data of one stream is sent, neither snapshots nor changes. It stays on the list of subscriptions.
    MuteStream {
        /// The type, such as `ticker` or `candle.1s`.
        type_name: String,
        /// The market.
        code: String,
        /// Whether the stream is mute.
        on: bool,
    },
    /// All connections lose one stream without a message, until they request it again.
    Forget {
        /// The type.
        type_name: String,
        /// The market.
        code: String,
    },
    /// Switch: requests with these streams are refused with INVALID_PARAM.
    RefuseStreams {
        /// The type.
        type_name: String,
        /// The market; `None` for all streams of the type.
        code: Option<String>,
        /// Whether they are refused.
        on: bool,
    },
    /// Switch: nothing is read or written, but TCP stays open. New connections are accepted and never answered.
    Stall(bool),
    /// All connections are closed without a close frame.
    DropAll,
    /// This connection is closed without a close frame. Has no effect if the connection is gone already.
    Drop(ConnId),
    /// All connections are closed with this code.
    CloseAll(u16),
    /// Bytes that are not a valid frame are sent on all connections.
    Garbage,
    /// The next `count` upgrades are refused.
    RejectUpgrades {
        /// The number of upgrades.
        count: u32,
        /// HTTP status.
        status: u16,
        /// `Retry-After` header in seconds.
        retry_after: Option<u32>,
        /// Body.
        body: String,
    },
    /// Requests for the list of markets are answered with this HTTP status and this body; `None` ends the fault.
    MarketList(Option<(u16, String)>),
    /// Switch: new connections are closed at once.
    RefuseConnects(bool),
    /// Switch: messages are sent as text frames.
    SendText(bool),
    /// Switch: messages are sent in three fragments with a ping between them.
    Fragment(bool),
    /// Switch: order-book timestamps are in microseconds, as on some days in August 2023.
    MicrosecondTimestamps(bool),
    /// Switch: every trade is sent twice.
    DuplicateTrades(bool),
    /// Switch: each data object has an additional key.
    UnknownKeys(bool),
    /// Switch: in the list formats, messages that leave together are sent as one list.
    MultiElementLists(bool),
    /// Switch: `{"status":"UP"}` is sent in the same bytes as the 101 response.
    EarlyData(bool),
    /// This error is sent on all connections now, followed by a close as after any error.
    ErrorNow(ErrorName),
}

/// The switches that are on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Switches {
    /// Acts in `Exchange::dispatch` and when snapshots and replayed lines are sent.
    pub mute: bool,
    /// The mute streams: their types and the indexes of their markets. Act where `mute` does, except in replays.
    pub mute_streams: Vec<(Kind, usize)>,
    /// The refused streams: their types and markets. Act in `Exchange::read_message`.
    pub refused_streams: Vec<(Kind, Option<String>)>,
    /// Acts in `receive`, `poll_transmit`, `poll_timeout` and `handle_timeout` of `Exchange`.
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
    /// Sets the switch of a fault. Returns false if the fault is not a switch.
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
            Fault::MuteStream { .. }
            | Fault::RefuseStreams { .. }
            | Fault::Forget { .. }
            | Fault::DropAll
            | Fault::Drop(_)
            | Fault::CloseAll(_)
            | Fault::Garbage
            | Fault::RejectUpgrades { .. }
            | Fault::MarketList(_)
            | Fault::ErrorNow(_) => return false,
        };
        *switch = *on;
        true
    }

    /// Refuses requests for these streams, or ends that.
    pub fn set_refused(&mut self, streams: (Kind, Option<String>), on: bool) {
        self.refused_streams.retain(|refused| *refused != streams);
        self.refused_streams.extend(on.then_some(streams));
    }

    /// Returns true if a request for these streams is refused.
    pub fn refuses(&self, wants: &[Want]) -> bool {
        let has = |(kind, code): &(Kind, Option<String>)| {
            let is_asked =
                |want: &Want| want.kind == *kind && code.as_ref().is_none_or(|code| want.codes.contains(code));
            wants.iter().any(is_asked)
        };
        self.refused_streams.iter().any(has)
    }
}
