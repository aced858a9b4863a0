//! What came of suites of tests.

use std::collections::{BTreeMap, BTreeSet};

use release_core::build::{Learned, Suite, SuiteStanding, Suites};
use release_core::model::{Digest, EnvironmentId, SuiteId};
use release_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::stages::reached;
use crate::spi::TestCase;

/// What came of a campaign of tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TestReport {
    /// Its name.
    pub campaign: String,
    /// Whether somebody cancelled it before its end.
    pub cancelled: bool,
    /// Each stage.
    pub stages: BTreeMap<EnvironmentId, StageVerdict>,
    /// Each suite.
    pub suites: BTreeMap<SuiteId, SuiteResult>,
    /// Each run that came to an end, in the order of the suites' names. The same campaign again tells the same ones again: count
    /// each campaign once.
    pub attempts: Vec<SuiteAttempt>,
    /// How long suites took, as it was seen from here. What was found under way or over, as after a crash, is not among them, nor
    /// what was broken off or failed without a test that did: nobody saw it from its beginning to its end.
    pub took: BTreeMap<SuiteId, Span>,
    /// What was learned before, and these: to be kept for the next time.
    pub learned: Learned<SuiteId>,
}

/// What came of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
#[non_exhaustive]
pub enum StageVerdict {
    /// Every suite passed that was required.
    Passed,
    /// It was opened, and required suites did not pass.
    Failed {
        /// Those that failed, could not be run, were broken off, or never began.
        because: BTreeSet<SuiteId>,
    },
    /// It was not opened, since one before it did not pass.
    Held {
        /// The first of these.
        because: EnvironmentId,
    },
    /// It could not be opened.
    Closed {
        /// Why.
        reason: String,
    },
    /// The campaign was cancelled before its end.
    Unfinished,
}

/// What came of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SuiteResult {
    /// How far it is. Of several that it was lost for, the first by name is the cause; one that was lost only because its stage did not
    /// open is its own.
    pub standing: SuiteStanding,
    /// Whether its failure holds what comes after it: it is required, and not excused.
    pub holds: bool,
    /// Why it did not pass, if it was to be run.
    pub reason: Option<String>,
    /// What each of its tests came to.
    pub cases: Vec<TestCase>,
}

/// A suite was run on a content, and ended: what `release_policy::quarantine::Attempt` is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SuiteAttempt {
    /// Which suite.
    pub suite: SuiteId,
    /// What it tested.
    pub content: Digest,
    /// When its end was seen.
    pub at: Timestamp,
    /// Whether it passed.
    pub passed: bool,
}

impl TestReport {
    /// Whether every stage passed.
    pub fn has_passed(&self) -> bool {
        self.stages.values().all(|verdict| *verdict == StageVerdict::Passed)
    }
}

/// What each suite that was cancelled was lost for, whichever came first: the same every time.
pub(super) fn causes<'a>(
    suites: &'a Suites,
    standings: &BTreeMap<SuiteId, SuiteStanding>,
    holds: impl Fn(&Suite) -> bool,
    given_up: impl Fn(&EnvironmentId) -> bool,
) -> BTreeMap<&'a SuiteId, &'a Suite> {
    let standing = |id: &SuiteId| standings.get(id);
    let lost = |id: &SuiteId| matches!(standing(id), Some(SuiteStanding::Cancelled { .. }));
    let failed = suites
        .iter()
        .filter(|suite| standing(&suite.id) == Some(&SuiteStanding::Failed) && holds(suite));
    let closed = suites.iter().filter(|suite| lost(&suite.id) && given_up(&suite.stage));
    let mut causes = reached(suites, failed.chain(closed), lost);
    causes.retain(|id, _| lost(id));
    causes
}
