//! The hotfix lane: time that is kept for urgent changes after each departure, and what becomes of later departures when it does
//! not suffice.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use release_core::model::{HotfixId, RunId, ServiceId, Span, Timestamp, TrainId};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::plus;
use crate::train::calendar::ScheduledDeparture;

/// How many departures, and how many hotfixes, are gone by.
pub const MAX_LANE: usize = 100_000;
/// How often slips may name hotfixes, all together: each names whatever moves it.
pub const MAX_NAMED: usize = 1_000_000;

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

/// A departure that has to wait for hotfixes. The time from when a departure [closes](ScheduledDeparture::closes) until the next one
/// departs is not kept for hotfixes: what does not fit before it moves the next departure, even if nothing else goes on until then.
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
    /// It is too much.
    #[error("there are {count} {what}, and at most {MAX_LANE} are gone by; divide the season")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
    },
    /// So many hotfixes move so many departures that it would not be read.
    #[error(
        "until `{train}` slips, departures are moved {MAX_NAMED} times by hotfixes; keep more time for hotfixes, or divide the season"
    )]
    Swamped {
        /// The departure that is one too many.
        train: TrainId,
    },
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
/// [`LaneError`] for hotfixes before the first departure, for what is out of order, and beyond [`MAX_LANE`] and [`MAX_NAMED`].
pub fn lane(departures: &[ScheduledDeparture], hotfixes: &[Hotfix]) -> Result<Lane, LaneError> {
    for (what, count) in [("departures", departures.len()), ("hotfixes", hotfixes.len())] {
        if count > MAX_LANE {
            return Err(LaneError::TooMany { what, count });
        }
    }
    ordered(departures.iter().map(|one| (one.departs, one.id.as_str())))?;
    ordered(hotfixes.iter().map(|one| (one.arrives, one.id.as_str())))?;
    let first = departures.first().map(|one| one.departs);
    if let (Some(first), Some(early)) = (first, hotfixes.first())
        && early.arrives < first
    {
        let (hotfix, arrives) = (early.id.clone(), early.arrives);
        return Err(LaneError::TooEarly { hotfix, arrives, first });
    }
    let (mut slips, mut named, mut debt) = (Vec::new(), 0, Debt::default());
    let mut coming = hotfixes.iter().peekable();
    let nexts = departures.iter().skip(1).map(Some).chain([None]);
    for (departure, next) in departures.iter().zip(nexts) {
        let before_next = |hotfix: &&Hotfix| next.is_none_or(|next| hotfix.arrives < next.departs);
        while let Some(hotfix) = coming.next_if(before_next) {
            debt.add(hotfix);
        }
        debt.work_off(departure.closes.since(departure.validated));
        if let Some(next) = next.filter(|_| !debt.each.is_empty()) {
            named += debt.each.len();
            if named > MAX_NAMED {
                return Err(LaneError::Swamped { train: next.id.clone() });
            }
            let because: Vec<_> = debt.each.iter().cloned().collect();
            let by = because.iter().fold(Span::ZERO, |sum, (_, span)| plus(sum, *span));
            let (train, planned) = (next.id.clone(), next.departs);
            slips.push(Slip { train, planned, departs: planned.plus(by), by, because });
        }
    }
    coming.for_each(|hotfix| debt.add(hotfix));
    Ok(Lane { slips, left: debt.each.into() })
}

/// What moves a departure: whose it is, the oldest first.
#[derive(Default)]
struct Debt {
    each: VecDeque<(HotfixId, Span)>,
}

impl Debt {
    fn add(&mut self, hotfix: &Hotfix) {
        if hotfix.work > Span::ZERO {
            self.each.push_back((hotfix.id.clone(), hotfix.work));
        }
    }

    /// What is left of it when the first `kept` of it is done.
    fn work_off(&mut self, kept: Span) {
        let mut kept = kept.as_duration();
        while let Some((_, work)) = self.each.front_mut() {
            let done = kept.min(work.as_duration());
            kept -= done;
            *work = Span::from(work.as_duration().saturating_sub(done));
            if *work > Span::ZERO {
                break;
            }
            self.each.pop_front();
        }
    }
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
    /// What it replaces now that it has landed; none where nothing older is under way, or where that was decided before. A rollout
    /// that an earlier decision replaced is not replaced again, even if it is still under way.
    pub fn supersedes(
        &self,
        under_way: &[UnderWay],
        decided: &[Superseded],
        at: Timestamp,
    ) -> Option<Superseded> {
        if decided.iter().any(|decision| decision.by == self.id) {
            return None;
        }
        let before = decided.iter().flat_map(|decision| &decision.replaces);
        let gone: BTreeSet<&RunId> = before.map(|(run, _)| run).collect();
        let older = under_way.iter().filter(|one| {
            let own = one.service == self.service && one.version < self.version;
            own && !gone.contains(&one.run)
        });
        let mut replaces: Vec<_> =
            older.map(|one| (one.run.clone(), one.version.clone())).collect();
        replaces.sort();
        let (by, service, version) = (self.id.clone(), self.service.clone(), self.version.clone());
        (!replaces.is_empty()).then_some(Superseded { by, at, service, version, replaces })
    }
}
