//! The hotfix lane: time that is kept for urgent changes after each departure, and what becomes of later departures when it does
//! not suffice.

use std::fmt;

use release_core::model::{HotfixId, RunId, ServiceId, Span, Timestamp, TrainId};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::plus;
use crate::train::calendar::ScheduledDeparture;

/// An urgent change between two departures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hotfix {
    /// Its name.
    pub id: HotfixId,
    /// When it came.
    pub arrives: Timestamp,
    /// How much of the time that is kept for hotfixes it takes.
    pub work: Span,
    /// The service that it mends.
    pub service: ServiceId,
    /// The version that mends it.
    pub version: Version,
}

/// A departure that has to wait for hotfixes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slip {
    /// Which departs later.
    pub train: TrainId,
    /// When it was to depart.
    pub planned: Timestamp,
    /// When it departs.
    pub departs: Timestamp,
    /// By how much that is later.
    pub by: Span,
    /// Because of which hotfixes, and how much of it is each one's: what they take beyond the time that was kept, in the order in which
    /// they came.
    pub because: Vec<(HotfixId, Span)>,
}

impl fmt::Display for Slip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` departs {} later, at {}:", self.train, self.by, self.departs)?;
        for (nth, (id, span)) in self.because.iter().enumerate() {
            write!(f, "{} `{id}` {span}", if nth == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// What cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LaneError {
    /// A hotfix came before there was anything to mend.
    #[error(
        "hotfix `{hotfix}` came at {arrives}, before the first departure at {first}; begin with an earlier one"
    )]
    TooEarly {
        /// Which.
        hotfix: HotfixId,
        /// When it came.
        arrives: Timestamp,
        /// The first departure.
        first: Timestamp,
    },
    /// Departures or hotfixes stand out of order.
    #[error("`{0}` stands behind what comes after it; put them in order of time")]
    OutOfOrder(String),
}

/// What hotfixes do to the departures of one train.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// The departures that have to wait, in order.
    pub slips: Vec<Slip>,
    /// What is not done when the time that is kept after the last departure is over: whose it is, and how much.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<(HotfixId, Span)>,
}

/// What the hotfixes of one train do to its departures.
///
/// A hotfix takes from the time that is kept after the last departure before it. What does not fit there moves the next
/// departure by just that much, and what moves it is missing from its own time for hotfixes. So while all hotfixes of each departure
/// fit its time, nothing moves.
///
/// # Errors
/// [`LaneError`] for hotfixes before the first departure, and for what is out of order.
pub fn lane(departures: &[ScheduledDeparture], hotfixes: &[Hotfix]) -> Result<Lane, LaneError> {
    ordered(departures.iter().map(|one| (one.departs, one.id.as_str())))?;
    ordered(hotfixes.iter().map(|one| (one.arrives, one.id.as_str())))?;
    if departures.is_empty() {
        let left = hotfixes.iter().map(|one| (one.id.clone(), one.work)).collect();
        return Ok(Lane { slips: Vec::new(), left });
    }
    let first = departures.first().map(|one| one.departs);
    if let (Some(first), Some(early)) = (first, hotfixes.first())
        && early.arrives < first
    {
        let (hotfix, arrives) = (early.id.clone(), early.arrives);
        return Err(LaneError::TooEarly { hotfix, arrives, first });
    }
    let (mut slips, mut at) = (Vec::new(), 0);
    // What moves a departure, and whose it is, the oldest first.
    let mut debt: Vec<(HotfixId, Span)> = Vec::new();
    let nexts = departures.iter().skip(1).map(Some).chain([None]);
    for (departure, next) in departures.iter().zip(nexts) {
        while let Some(hotfix) = hotfixes.get(at) {
            if next.is_some_and(|next| hotfix.arrives >= next.departs) {
                break;
            }
            debt.push((hotfix.id.clone(), hotfix.work));
            at += 1;
        }
        let kept = departure.closes.since(departure.validated);
        debt = beyond(debt, kept);
        if let Some(next) = next.filter(|_| !debt.is_empty()) {
            let by = debt.iter().fold(Span::ZERO, |sum, (_, span)| plus(sum, *span));
            slips.push(Slip {
                train: next.id.clone(),
                planned: next.departs,
                departs: next.departs.plus(by),
                by,
                because: debt.clone(),
            });
        }
    }
    Ok(Lane { slips, left: debt })
}

/// What is left of the work when the first `kept` of it is done.
fn beyond(work: Vec<(HotfixId, Span)>, kept: Span) -> Vec<(HotfixId, Span)> {
    let mut kept = kept.as_duration();
    let rest = work.into_iter().filter_map(|(id, span)| {
        let done = kept.min(span.as_duration());
        kept -= done;
        let left = Span::from(span.as_duration().saturating_sub(done));
        (left > Span::ZERO).then_some((id, left))
    });
    rest.collect()
}

fn ordered<'a>(mut all: impl Iterator<Item = (Timestamp, &'a str)>) -> Result<(), LaneError> {
    let mut last = None;
    match all.find(|(at, _)| last.replace(*at).is_some_and(|last| *at < last)) {
        Some((_, name)) => Err(LaneError::OutOfOrder(name.to_owned())),
        None => Ok(()),
    }
}

/// A rollout that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnderWay {
    /// Its run.
    pub run: RunId,
    /// The service that it rolls out.
    pub service: ServiceId,
    /// The version.
    pub version: Version,
}

/// The decision that a hotfix takes the place of rollouts: one for each hotfix that landed, whatever it replaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Superseded {
    /// The hotfix.
    pub by: HotfixId,
    /// When.
    pub at: Timestamp,
    /// The service.
    pub service: ServiceId,
    /// The version that it is in from now on.
    pub version: Version,
    /// What is replaced: rollouts of older versions of the service, by run.
    pub replaces: Vec<(RunId, Version)>,
}

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, at, service, version, replaces } = self;
        write!(f, "{at}: hotfix `{by}` brings `{service}` {version} and replaces")?;
        for (nth, (run, version)) in replaces.iter().enumerate() {
            write!(f, "{} {version} of run `{run}`", if nth == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl Hotfix {
    /// What it replaces now that it has landed; none where nothing older is under way, or where that was decided before.
    pub fn supersedes(
        &self,
        under_way: &[UnderWay],
        decided: &[Superseded],
        at: Timestamp,
    ) -> Option<Superseded> {
        if decided.iter().any(|decision| decision.by == self.id) {
            return None;
        }
        let older = under_way
            .iter()
            .filter(|one| one.service == self.service && one.version < self.version);
        let mut replaces: Vec<_> =
            older.map(|one| (one.run.clone(), one.version.clone())).collect();
        replaces.sort();
        let (by, service, version) = (self.id.clone(), self.service.clone(), self.version.clone());
        (!replaces.is_empty()).then_some(Superseded { by, at, service, version, replaces })
    }
}
