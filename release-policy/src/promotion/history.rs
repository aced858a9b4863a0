//! What happened to version sets on their way: the fold over verifications, presence and overrides.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{Digest, EnvironmentId, PrincipalId, Span, Timestamp, WaiverId};
use serde::{Deserialize, Serialize};

use super::error::HistoryError;
use super::sampling::Found;

/// A condition of promotion that an override can waive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waivable {
    /// That the set is verified in the stages it comes from.
    Verification,
    /// That it soaked there.
    Soak,
}

/// Leave for one version set to enter one stage without some conditions; all that it does not name still hold. It
/// says nothing of failures that come after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[doc(alias = "approvedFor")]
pub struct Override {
    /// Its name.
    pub id: WaiverId,
    /// The stage.
    pub stage: EnvironmentId,
    /// The digest of the set's artifacts.
    pub set: Digest,
    /// What need not hold.
    pub waives: BTreeSet<Waivable>,
    /// Who gave it. Whether they may is for approvals and roles to say.
    pub by: PrincipalId,
    /// Until just before when it holds.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionFact {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: PromotionEvent,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PromotionEvent {
    /// A set came into a stage, in place of what was there.
    Entered {
        /// The stage.
        stage: EnvironmentId,
        /// The digest of the set's artifacts.
        set: Digest,
    },
    /// A stage was emptied.
    Emptied {
        /// The stage.
        stage: EnvironmentId,
    },
    /// A set was verified in a stage, for the first time or again: all its exit criteria passed, or not.
    Verified {
        /// The stage.
        stage: EnvironmentId,
        /// The digest of the set's artifacts.
        set: Digest,
        /// What came of it.
        found: Found,
    },
    /// Somebody gave an override.
    Overridden(Override),
    /// An override was taken back.
    Withdrawn {
        /// Which.
        id: WaiverId,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Record {
    verified: Vec<(Timestamp, Found)>,
    /// From when until when it was there.
    there: Vec<(Timestamp, Option<Timestamp>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Given {
    pub(super) at: Timestamp,
    pub(super) over: Override,
    withdrawn: Option<Timestamp>,
}

impl Given {
    /// Whether it holds at `at`.
    pub(super) fn holds(&self, at: Timestamp) -> bool {
        self.at <= at && at < self.over.until && self.withdrawn.is_none_or(|gone| at < gone)
    }
}

/// What happened so far: the fold over its facts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct History {
    #[serde(serialize_with = "as_list")]
    records: Records,
    holds: BTreeMap<EnvironmentId, Digest>,
    overrides: BTreeMap<WaiverId, Given>,
    last: Option<Timestamp>,
}

type Records = BTreeMap<(EnvironmentId, Digest), Record>;

/// Formats with text alone as keys could not write the map.
fn as_list<S: serde::Serializer>(records: &Records, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(records)
}

impl History {
    /// Folds facts in their order.
    ///
    /// # Errors
    /// [`HistoryError`] of the first that cannot follow those before it.
    pub fn fold(facts: impl IntoIterator<Item = PromotionFact>) -> Result<Self, HistoryError> {
        let mut all = Self::default();
        facts.into_iter().try_for_each(|fact| all.apply(fact))?;
        Ok(all)
    }

    /// Adds one fact. One that is refused changes nothing.
    ///
    /// # Errors
    /// [`HistoryError`] says why it cannot follow those before it.
    pub fn apply(&mut self, fact: PromotionFact) -> Result<(), HistoryError> {
        let PromotionFact { at, event } = fact;
        if let Some(last) = self.last.filter(|last| at < *last) {
            return Err(HistoryError::Order { at, last });
        }
        match event {
            PromotionEvent::Entered { stage, set } => {
                if self.holds.get(&stage) != Some(&set) {
                    self.empty(&stage, at);
                    self.holds.insert(stage.clone(), set);
                    self.record(stage, set).there.push((at, None));
                }
            }
            PromotionEvent::Emptied { stage } => self.empty(&stage, at),
            PromotionEvent::Verified { stage, set, found } => {
                self.record(stage, set).verified.push((at, found));
            }
            PromotionEvent::Overridden(over) => self.overridden(at, over)?,
            PromotionEvent::Withdrawn { id } => match self.overrides.get_mut(&id) {
                None => return Err(HistoryError::Unknown(id)),
                Some(given) => given.withdrawn = given.withdrawn.or(Some(at)),
            },
        }
        self.last = Some(at);
        Ok(())
    }

    fn overridden(&mut self, at: Timestamp, over: Override) -> Result<(), HistoryError> {
        let id = over.id.clone();
        if over.waives.is_empty() {
            return Err(HistoryError::WaivesNothing(id));
        }
        if over.until <= at {
            return Err(HistoryError::Empty { id, until: over.until });
        }
        if over.reason.trim().is_empty() {
            return Err(HistoryError::NoReason(id));
        }
        if self.overrides.contains_key(&id) {
            return Err(HistoryError::Duplicate(id));
        }
        self.overrides.insert(id, Given { at, over, withdrawn: None });
        Ok(())
    }

    fn record(&mut self, stage: EnvironmentId, set: Digest) -> &mut Record {
        self.records.entry((stage, set)).or_default()
    }

    fn empty(&mut self, stage: &EnvironmentId, at: Timestamp) {
        if let Some(set) = self.holds.remove(stage)
            && let Some((_, until)) = self.record(stage.clone(), set).there.last_mut()
        {
            *until = Some(at);
        }
    }

    /// The last verification of a set in a stage until `now`.
    pub(super) fn last_verified(
        &self,
        stage: &EnvironmentId,
        set: Digest,
        now: Timestamp,
    ) -> Option<(Timestamp, Found)> {
        let verified = &self.records.get(&(stage.clone(), set))?.verified;
        verified.iter().rfind(|(at, _)| *at <= now).copied()
    }

    /// Since when a set has been verified in a stage: since the first good verification after the last other one.
    fn verified_since(
        &self,
        stage: &EnvironmentId,
        set: Digest,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let verified = &self.records.get(&(stage.clone(), set))?.verified;
        let known = verified.iter().rev().skip_while(|(at, _)| *at > now);
        known.take_while(|(_, found)| *found == Found::Good).last().map(|(at, _)| *at)
    }

    /// How long a set was in a stage at most, without a break and verified; and since when it is, if it is now. With
    /// `unverified`, time before the verification counts, too.
    pub(super) fn soaked(
        &self,
        stage: &EnvironmentId,
        set: Digest,
        unverified: bool,
        now: Timestamp,
    ) -> (Span, Option<Timestamp>) {
        let none = (Span::ZERO, None);
        let Some(record) = self.records.get(&(stage.clone(), set)) else { return none };
        let since = match self.verified_since(stage, set, now) {
            Some(since) if !unverified => since,
            None if !unverified => return none,
            _ => Timestamp::from_micros(i64::MIN),
        };
        let (mut longest, mut running) = none;
        for (from, until) in record.there.iter().filter(|(from, _)| *from <= now) {
            let begin = since.max(*from);
            let end = until.filter(|until| *until <= now);
            longest = longest.max(end.unwrap_or(now).since(begin));
            if end.is_none() {
                running = Some(begin);
            }
        }
        (longest, running)
    }

    /// The overrides for a set in a stage that hold at `at`.
    pub(super) fn overrides<'a>(
        &'a self,
        stage: &'a EnvironmentId,
        set: Digest,
        at: Timestamp,
    ) -> impl Iterator<Item = &'a Given> {
        let fits = move |given: &&Given| {
            given.over.stage == *stage && given.over.set == set && given.holds(at)
        };
        self.overrides.values().filter(fits)
    }
}
