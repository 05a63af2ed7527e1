//! Applies the answers of the source of markets, and keeps their status.

use super::control::Control;
use super::log::Note;
use crate::model::Market;
use crate::net::{SourceError, SourceFailure};
use crate::plan::{MarketList, Universe};

/// What is known about the list of markets at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct MarketListStatus {
    /// Why the last request for the list failed. `None` if it succeeded, or if no request has ended yet.
    pub failure: Option<SourceError>,
    /// The number of entries of the newest list without a usable market code.
    pub unusable: u64,
    /// Markets that the newest list lacks and that stay, because that list is doubtful.
    pub kept: Vec<Market>,
}

impl Control {
    /// Applies an answer of the source: its list with the number of unusable entries, or its failure.
    pub fn take_markets(&self, list: &mut MarketList, answer: Result<(Vec<Market>, u64), SourceError>) {
        match answer {
            Ok((markets, unusable)) => self.take_list(list, markets.into_iter().collect(), unusable),
            Err(failure) => {
                list.failed(failure.failure == SourceFailure::Status(418));
                self.log.note(Note::NoMarkets(failure.clone()));
                self.change_market_list(|status| status.failure = Some(failure));
            }
        }
    }

    fn take_list(&self, list: &mut MarketList, listed: Universe, unusable: u64) {
        let known = self.universe();
        let now = list.listed(&known, listed.clone(), unusable);
        let kept: Vec<_> = listed.delisted_since(&now).collect();
        let delisted: Vec<_> = now.delisted_since(&known).collect();
        if unusable > 0 {
            self.log.note(Note::NotMarkets(unusable));
        }
        if !kept.is_empty() {
            self.log.note(Note::KeptMarkets(kept.clone()));
        }
        if !delisted.is_empty() {
            self.log.note(Note::Delisted(delisted));
        }
        self.set_universe(now);
        self.change_market_list(|status| *status = MarketListStatus { failure: None, unusable, kept });
    }
}
