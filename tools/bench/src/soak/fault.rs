//! The kinds of faults, and how each is injected.

use std::time::Duration;

use hoga::model::StreamKey;
use hoga_exchange::{ErrorName, Fault};
use hoga_testing::Rng;

use crate::bed::Bed;
use crate::proxy::Harm;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Reset,
    Cut,
    Stall,
    Delay,
    Split,
    Drop,
    Close,
    Garbage,
    Error,
    Refuse,
    Reject,
    Mute,
    Freeze,
    MuteStream,
    Forget,
    Text,
    Fragment,
    Duplicates,
    UnknownKeys,
}

/// The sockets that a fault ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Those of all connections.
    All,
    /// At least one.
    One,
    /// None, or as many as the engine replaces because they bring nothing.
    Any,
    /// None: one that is replaced is a false alarm.
    None,
}

impl Kind {
    pub const ALL: [Self; 19] = [
        Self::Reset,
        Self::Cut,
        Self::Stall,
        Self::Delay,
        Self::Split,
        Self::Drop,
        Self::Close,
        Self::Garbage,
        Self::Error,
        Self::Refuse,
        Self::Reject,
        Self::Mute,
        Self::Freeze,
        Self::MuteStream,
        Self::Forget,
        Self::Text,
        Self::Fragment,
        Self::Duplicates,
        Self::UnknownKeys,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Reset => "TCP reset",
            Self::Cut => "cut inside a frame",
            Self::Stall => "half-open connection",
            Self::Delay => "delay of 20 to 40 ms",
            Self::Split => "pieces of 7 bytes",
            Self::Drop => "all closed without a close frame",
            Self::Close => "all closed with a close frame",
            Self::Garbage => "garbage instead of a frame",
            Self::Error => "error object and close",
            Self::Refuse => "all closed, connects refused",
            Self::Reject => "all closed, upgrades answered 503",
            Self::Mute => "pings answered, no data",
            Self::Freeze => "exchange frozen",
            Self::MuteStream => "one stream mute",
            Self::Forget => "one stream forgotten",
            Self::Text => "text frames",
            Self::Fragment => "fragments with pings between",
            Self::Duplicates => "every trade twice",
            Self::UnknownKeys => "unknown keys",
        }
    }

    /// Returns how long the fault lasts; zero if it happens once.
    pub fn lasts(self) -> Duration {
        Duration::from_secs(match self {
            // Longer than `stale_after`, so that blind time would show.
            Self::Mute => 13,
            Self::Freeze => 7,
            Self::MuteStream => 6,
            Self::Delay | Self::Split | Self::Refuse => 3,
            Self::Text | Self::Fragment | Self::Duplicates | Self::UnknownKeys => 3,
            _ => 0,
        })
    }

    pub fn ends(self) -> Ends {
        match self {
            Self::Reset | Self::Cut | Self::Stall => Ends::One,
            Self::Drop | Self::Close | Self::Garbage | Self::Error | Self::Refuse | Self::Reject => Ends::All,
            Self::Mute | Self::Freeze => Ends::Any,
            Self::Delay | Self::Split | Self::MuteStream | Self::Forget => Ends::None,
            Self::Text | Self::Fragment | Self::Duplicates | Self::UnknownKeys => Ends::None,
        }
    }

    /// Returns whether nothing can arrive while the fault lasts, so that the time does not count as up-time.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::Mute | Self::Freeze | Self::Refuse)
    }

    /// Returns the stream that the fault is about, if it is only one. It is busy.
    pub fn stream(self, bed: &Bed) -> Option<StreamKey> {
        let is_of_one = matches!(self, Self::MuteStream | Self::Forget);
        bed.book(0).filter(|_| is_of_one)
    }

    /// Begins the fault.
    pub fn begin(self, bed: &Bed, random: &mut Rng) {
        match self {
            Self::Reset => bed.proxy.harm_one(random.below(64), Harm::Reset),
            Self::Cut => bed.proxy.harm_one(random.below(64), Harm::Cut),
            Self::Stall => bed.proxy.harm_one(random.below(64), Harm::Stall),
            Self::Delay => bed.proxy.harm_all(Some(Harm::Delay(Duration::from_millis(20 + random.below(20) as u64)))),
            Self::Split => bed.proxy.harm_all(Some(Harm::Split)),
            Self::Drop => bed.inject(Fault::DropAll),
            Self::Close => bed.inject(Fault::CloseAll(*random.pick(&[1000, 1001, 1011, 1012, 4000]))),
            Self::Garbage => bed.inject(Fault::Garbage),
            Self::Error => bed.inject(Fault::ErrorNow(ErrorName::WrongFormat)),
            Self::Refuse => {
                bed.inject(Fault::RefuseConnects(true));
                bed.inject(Fault::DropAll);
            }
            Self::Reject => {
                let (count, status, body) = (2, 503, "no".to_owned());
                bed.inject(Fault::RejectUpgrades { count, status, retry_after: None, body });
                bed.inject(Fault::DropAll);
            }
            Self::Forget => bed.inject(Fault::Forget { type_name: "orderbook".to_owned(), code: bed.market(0) }),
            _ => self.switch(bed, true),
        }
    }

    /// Ends a fault that lasts.
    pub fn end(self, bed: &Bed) {
        match self {
            Self::Delay | Self::Split => bed.proxy.harm_all(None),
            Self::Refuse => bed.inject(Fault::RefuseConnects(false)),
            _ => self.switch(bed, false),
        }
    }

    fn switch(self, bed: &Bed, on: bool) {
        bed.inject(match self {
            Self::Mute => Fault::Mute(on),
            Self::Freeze => Fault::Stall(on),
            Self::MuteStream => Fault::MuteStream { type_name: "orderbook".to_owned(), code: bed.market(0), on },
            Self::Text => Fault::SendText(on),
            Self::Fragment => Fault::Fragment(on),
            Self::Duplicates => Fault::DuplicateTrades(on),
            Self::UnknownKeys => Fault::UnknownKeys(on),
            _ => return,
        });
    }
}
