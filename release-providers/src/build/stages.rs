//! Suites and the order of the stages that they test.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use release_core::build::{Suite, SuiteRequirement, Suites};
use release_core::model::{EnvironmentId, SuiteId};

use crate::ProviderError;

/// Makes stages ready to be tested, for example by deploying there what passed before.
#[async_trait]
pub trait OpenStage: fmt::Debug + Send + Sync + 'static {
    /// Returns once what is tested in a stage is there.
    ///
    /// # Idempotency
    /// A campaign that goes on after a crash asks again, also for stages that were opened before.
    ///
    /// # Errors
    /// It never will be there: none of the stage's suites begins, and no stage after it opens. Nobody asks again.
    ///
    /// # Cancellation
    /// The future is dropped when the campaign is cancelled.
    async fn open(&self, stage: &EnvironmentId) -> Result<(), ProviderError>;
}

/// Suites, and which stage comes after which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedSuites {
    suites: Suites,
    /// In their order, or in that of their names.
    stages: Vec<EnvironmentId>,
    ordered: bool,
}

/// Stages in an order in which their suites cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StageOrderError {
    /// A stage stands there twice.
    #[error("stage `{0}` stands in the order twice; name it once")]
    Twice(EnvironmentId),
    /// A stage is missing.
    #[error("suite `{suite}` tests stage `{stage}`, which is not in the order of stages; add it")]
    Missing {
        /// The suite.
        suite: SuiteId,
        /// Its stage.
        stage: EnvironmentId,
    },
    /// A stage would wait for a later one, which waits for it.
    #[error(
        "suite `{suite}` of stage `{stage}` comes after `{after}` of the later stage `{later}`, which opens only once `{suite}` has passed; make `{suite}` advisory, or let it test a later stage"
    )]
    Backwards {
        /// The suite that is required.
        suite: SuiteId,
        /// Its stage.
        stage: EnvironmentId,
        /// What it comes after, directly or not.
        after: SuiteId,
        /// The stage of that.
        later: EnvironmentId,
    },
}

impl From<Suites> for StagedSuites {
    /// All stages are open from the beginning on.
    fn from(suites: Suites) -> Self {
        let stages: BTreeSet<_> = suites.iter().map(|suite| suite.stage.clone()).collect();
        Self { suites, stages: stages.into_iter().collect(), ordered: false }
    }
}

impl StagedSuites {
    /// Stages in an order: each opens once every suite passed that is required in those before it.
    ///
    /// # Errors
    /// [`StageOrderError`].
    pub fn in_order(
        suites: Suites,
        stages: impl IntoIterator<Item = EnvironmentId>,
    ) -> Result<Self, StageOrderError> {
        let stages: Vec<EnvironmentId> = stages.into_iter().collect();
        let mut at = BTreeMap::new();
        for (position, stage) in stages.iter().enumerate() {
            if at.insert(stage, position).is_some() {
                return Err(StageOrderError::Twice(stage.clone()));
            }
        }
        if let Some(suite) = suites.iter().find(|suite| !at.contains_key(&suite.stage)) {
            let (suite, stage) = (suite.id.clone(), suite.stage.clone());
            return Err(StageOrderError::Missing { suite, stage });
        }
        let mut roots: Vec<&Suite> = suites.iter().collect();
        roots.sort_by_key(|suite| Reverse(at.get(&suite.stage)));
        // Of each suite and all that it comes after, one of the latest stage.
        let latest = reached(&suites, roots, |_| true);
        let backwards = |suite: &&Suite| {
            let after = latest.get(&suite.id).map(|after| &after.stage);
            suite.requirement == SuiteRequirement::Required
                && after.is_some_and(|stage| at.get(stage) > at.get(&suite.stage))
        };
        if let Some(suite) = suites.iter().find(backwards)
            && let Some(after) = latest.get(&suite.id)
        {
            return Err(StageOrderError::Backwards {
                suite: suite.id.clone(),
                stage: suite.stage.clone(),
                after: after.id.clone(),
                later: after.stage.clone(),
            });
        }
        Ok(Self { suites, stages, ordered: true })
    }

    /// The suites.
    pub const fn suites(&self) -> &Suites {
        &self.suites
    }

    /// The stages, in their order; in that of their names where they have none.
    pub fn stages(&self) -> &[EnvironmentId] {
        &self.stages
    }

    /// The stages that are in an order.
    pub(super) fn order(&self) -> &[EnvironmentId] {
        if self.ordered { &self.stages } else { &[] }
    }

    /// The stages that open only after this one.
    pub(super) fn after(&self, stage: &EnvironmentId) -> impl Iterator<Item = &EnvironmentId> {
        self.order().iter().skip_while(move |other| *other != stage).skip(1)
    }
}

/// Goes from each root to what comes after it, directly or not, as far as it `goes`: from which root it first came to each.
pub(super) fn reached<'a>(
    suites: &'a Suites,
    roots: impl IntoIterator<Item = &'a Suite>,
    goes: impl Fn(&SuiteId) -> bool,
) -> BTreeMap<&'a SuiteId, &'a Suite> {
    let mut followers: BTreeMap<&SuiteId, Vec<&SuiteId>> = BTreeMap::new();
    for suite in suites.iter() {
        for after in &suite.after {
            followers.entry(after).or_default().push(&suite.id);
        }
    }
    let mut reached = BTreeMap::new();
    for root in roots {
        let mut next = vec![&root.id];
        while let Some(id) = next.pop() {
            if let Entry::Vacant(free) = reached.entry(id) {
                free.insert(root);
                next.extend(followers.get(id).into_iter().flatten().filter(|id| goes(id)));
            }
        }
    }
    reached
}
