//! Changes of the streams of a subscription that is held.

use super::hub::Hub;
use crate::error::{Error, Result};
use crate::model::{IntoMarkets, MarketSelector, Nanos};
use crate::plan::{CheckedSubscription, DemandId};

/// A change of the streams of a subscription.
#[derive(Debug, Clone)]
pub(super) enum Revision {
    /// Adds streams.
    Widen(CheckedSubscription),
    /// Removes the streams of some markets or patterns.
    Narrow(Vec<MarketSelector>),
}

impl Revision {
    /// Returns the removal of some markets or patterns.
    pub fn narrow(markets: impl IntoMarkets) -> Result<Self> {
        let invalid = |(code, reason)| Error::InvalidArgument(format!("{code:?}: {reason}").into());
        let selectors = markets.into_markets().into_iter().map(|selector| selector.map_err(invalid));
        Ok(Self::Narrow(selectors.collect::<Result<_>>()?))
    }

    fn apply(self, asked: CheckedSubscription) -> Result<CheckedSubscription> {
        match self {
            Self::Widen(more) => Ok(asked.and(more)),
            Self::Narrow(removed) => asked.without(&removed).map_err(|pattern| {
                Error::InvalidArgument(
                    format!("the pattern {pattern} selects a removed market; remove {pattern}").into(),
                )
            }),
        }
    }
}

impl Hub {
    /// Changes what a demand asks for. Returns the revision that includes the change.
    pub fn revise(&mut self, now: Nanos, id: DemandId, revision: Revision) -> Result<u64> {
        if matches!(revision, Revision::Widen(_)) && self.feeds.contains_key(&id) {
            return Err(Error::InvalidArgument(
                "the subscription of a feed cannot be widened; open another feed".into(),
            ));
        }
        let asked = self.planner().asked(id).ok_or(Error::LeaseExpired)?;
        let revised = revision.apply(asked)?;
        let relisted = self.planner().revise(now, id, revised).map_err(Error::refused)?;
        self.relist(relisted);
        Ok(self.planner().revisions().desired)
    }
}
