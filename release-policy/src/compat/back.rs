//! The way back to what was verified together.

use std::collections::BTreeSet;
use std::fmt;

use release_core::model::Digest;
use serde::{Deserialize, Serialize};

use super::{Catalogue, NoOrder, Order, Versions};

/// How many sets are tried at the most, the last ones; and how many [`VerifiedSets`](super::VerifiedSets) keeps.
pub const MOST_SETS: usize = 100;

/// Versions that were verified together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifiedSet {
    /// The versions.
    pub versions: Versions,
    /// Whether that was all that ran. If it was, going back to it removes what it does not name; else that stays as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// What proves it: the digest of a report, for example.
    pub evidence: Digest,
}

impl VerifiedSet {
    /// These versions, beside whatever else ran.
    pub const fn of(versions: Versions, evidence: Digest) -> Self {
        Self { versions, whole: false, evidence }
    }

    /// These versions, and nothing else ran.
    pub const fn whole(versions: Versions, evidence: Digest) -> Self {
        Self { versions, whole: true, evidence }
    }

    /// What is deployed where one goes to it from `live`.
    pub fn over(&self, live: &Versions) -> Versions {
        if self.whole {
            return self.versions.clone();
        }
        let mut then = live.clone();
        then.extend(self.versions.iter().map(|(id, version)| (id.clone(), version.clone())));
        then
    }
}

/// Why one cannot go back to a set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotThere {
    /// It names no version.
    #[error("it names no version, and so says nothing")]
    Empty,
    /// It was gone back from before.
    #[error("it was gone back from before")]
    Abandoned,
    /// It is what is deployed.
    #[error("it is what is deployed")]
    Live,
    /// It was verified after what is deployed.
    #[error("it was verified after what is deployed, so that way would be forward")]
    Later,
    /// No order leads there.
    #[error("{0}")]
    NoOrder(NoOrder),
}

/// Why there is no way back: of each set that was verified, the last first, what stands against it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NoWayBack {
    /// The sets by their evidence, and why not.
    pub tried: Vec<(Digest, NotThere)>,
    /// How many more there are, all older, which were not tried: more than [`MOST_SETS`] never are.
    pub untried: usize,
}

impl fmt::Display for NoWayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tried.is_empty() {
            return f.write_str("nothing was verified together yet; verify a set, or go forward");
        }
        f.write_str("no verified set can be reached:")?;
        for (nth, (evidence, why)) in self.tried.iter().enumerate() {
            write!(f, "{} {}: {why}", if nth == 0 { "" } else { ";" }, evidence.short())?;
        }
        match self.untried {
            0 => Ok(()),
            more => write!(f, "; {more} older ones were not tried: give just those"),
        }
    }
}

impl Catalogue {
    /// The last of the sets that were verified together, in the order in which they were, to which one can go back, and the changes on
    /// the way. Nothing but such a set is gone back to; what it does not name stays as it is, unless it is [`whole`](VerifiedSet::whole).
    /// One can go back from what does not fit together, too: as with [`order`](Self::order), what is met now stays met on the way, and in
    /// the end all is.
    ///
    /// Back is never forward. Where just what a set says is deployed, sets that were verified after it are none to go back to. A set of some
    /// services does not tell that, since others run beside it: so whoever goes back from a release keeps the evidence of all sets that had
    /// been verified of it, and gives it as `abandoned` from then on.
    ///
    /// # Errors
    /// [`NoWayBack`] says of each set why not. The last [`MOST_SETS`] are tried, and it says how many were not.
    pub fn way_back<'a>(
        &self,
        live: &Versions,
        verified: &'a [VerifiedSet],
        abandoned: &BTreeSet<Digest>,
    ) -> Result<(&'a VerifiedSet, Order), NoWayBack> {
        let mut tried = Vec::new();
        let now = verified.iter().rposition(|set| set.versions == *live);
        let last = verified.iter().enumerate().rev().take(MOST_SETS);
        for (nth, set) in last {
            let is_later = now.is_some_and(|now| nth > now);
            let gone_to = self.way_to(live, set, (is_later, abandoned));
            match gone_to {
                Ok(order) => return Ok((set, order)),
                Err(why) => tried.push((set.evidence, why)),
            }
        }
        Err(NoWayBack { tried, untried: verified.len().saturating_sub(MOST_SETS) })
    }

    /// The changes from `live` to one set.
    fn way_to(
        &self,
        live: &Versions,
        set: &VerifiedSet,
        (is_later, abandoned): (bool, &BTreeSet<Digest>),
    ) -> Result<Order, NotThere> {
        if set.versions.is_empty() {
            return Err(NotThere::Empty);
        }
        if abandoned.contains(&set.evidence) {
            return Err(NotThere::Abandoned);
        }
        if is_later {
            return Err(NotThere::Later);
        }
        let then = set.over(live);
        if then == *live {
            return Err(NotThere::Live);
        }
        let faults = self.faults(&then);
        if !faults.is_empty() {
            return Err(NotThere::NoOrder(NoOrder::Faults(faults)));
        }
        self.order(live, &then).map_err(|why| NotThere::NoOrder(*why))
    }
}
