//! Calls people about what was awaited and has not come, and ends the calls once it has.
//!
//! What is late, and whom that concerns, decides whoever waits: for example a train whose sync point passed its deadline. They
//! tell an [`Escalator`] as often as they look, and say the same again after a restart: under one key people are called once.
//!
//! ```
//! use std::sync::Arc;
//! use release_core::model::{Principal, TeamId};
//! use release_providers::escalation::{Escalation, Escalator};
//! use release_providers::spi::Pager;
//! use release_providers::{Clock, SystemClock};
//!
//! # async fn example(pager: Arc<dyn Pager>) -> Result<(), Box<dyn std::error::Error>> {
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
//! let mut escalator = Escalator::new(pager, clock, Principal::service("trains".parse()?));
//! let payments: TeamId = "payments".parse()?;
//! let late = Escalation::new("shop/2026-05/tested", [payments], "payments has not tested yet")?;
//! for (team, became) in escalator.missed(&late).await {
//!     println!("{team}: {became:?}");
//! }
//! // And when it has come:
//! escalator.come(&late).await;
//! # Ok(()) }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use release_core::model::{Principal, TeamId};
use release_core::port::{Clock, EffectCertainty};
use release_core::time::{Span, Timestamp};

use crate::spi::{JobRef, PagePhase, PageTeam, Pager, Severity};
use crate::{Context, ErrorKind, ProviderError};

/// The operations, as errors name them.
const PAGE: &str = "pager.page";
const OBSERVE: &str = "pager.observe";
const RESOLVE: &str = "pager.resolve";

/// What was awaited and has not come, and who is called about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Escalation {
    key: String,
    teams: BTreeSet<TeamId>,
    /// How urgent it is (default: [critical](Severity::Critical)).
    pub severity: Severity,
    /// What is missing, in one line.
    pub summary: String,
    /// What to do, as a URL.
    pub runbook: Option<String>,
}

/// An escalation that would reach nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EscalationError {
    /// It has no key.
    #[error(
        "an escalation has no key; give it one that is the same after a restart, such as `train/point`"
    )]
    NoKey,
    /// It has no team.
    #[error("the escalation `{key}` has nobody to call; name a team at least")]
    Nobody {
        /// Its key.
        key: String,
    },
}

impl Escalation {
    /// Something that is late, by a key that is the same whenever this is said, also after a restart. What is late once more,
    /// after it had come, needs another key.
    ///
    /// # Errors
    /// [`EscalationError`] without a key, and without a team.
    pub fn new(
        key: impl Into<String>,
        teams: impl IntoIterator<Item = TeamId>,
        summary: impl Into<String>,
    ) -> Result<Self, EscalationError> {
        let (key, teams): (String, BTreeSet<TeamId>) = (key.into(), teams.into_iter().collect());
        if key.trim().is_empty() {
            return Err(EscalationError::NoKey);
        }
        if teams.is_empty() {
            return Err(EscalationError::Nobody { key });
        }
        let (severity, summary, runbook) = (Severity::Critical, summary.into(), None);
        Ok(Self { key, teams, severity, summary, runbook })
    }

    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Who is called.
    pub const fn teams(&self) -> &BTreeSet<TeamId> {
        &self.teams
    }

    /// The key of the call of one team: each is called by itself.
    fn call_of(&self, team: &TeamId) -> String {
        format!("{}/{team}", self.key)
    }
}

/// What became of the call of one team.
#[derive(Debug)]
#[non_exhaustive]
pub enum Escalated {
    /// The pager took the call: now, or before, if it could not be asked whether it had.
    Called,
    /// They were called before, and so far it is.
    Stands(PagePhase),
    /// The call is over. It is not made again under this key.
    Over,
    /// They were never called, so that there is nothing to end.
    NeverCalled,
    /// The pager knows of no call, but the answer to one was lost: it may come yet. Ask again.
    Doubtful,
    /// The pager failed. The other teams were called all the same; ask again.
    Failed(ProviderError),
}

impl Escalated {
    /// Whether nothing is left to do once what was awaited [has come](Escalator::come).
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Over | Self::NeverCalled)
    }
}

/// Calls people over a [`Pager`]: one call a team and key, however often it is asked for, and by whichever host.
///
/// Every request is one attempt for each team, and no failure keeps the others from being called. Whoever looks every minute
/// tries again every minute.
#[derive(Debug)]
pub struct Escalator {
    pager: Arc<dyn Pager>,
    clock: Arc<dyn Clock>,
    by: Principal,
    patience: Span,
    /// Calls whose answer was lost, and until when they may still come.
    doubtful: BTreeMap<String, Timestamp>,
}

impl Escalator {
    /// Calls over `pager`, on behalf of `by`. A request of the pager may take 30 seconds.
    pub const fn new(pager: Arc<dyn Pager>, clock: Arc<dyn Clock>, by: Principal) -> Self {
        Self { pager, clock, by, patience: Span::secs(30), doubtful: BTreeMap::new() }
    }

    /// How long one request of the pager may take.
    #[must_use]
    pub const fn patience(mut self, patience: Span) -> Self {
        self.patience = patience;
        self
    }

    /// It is late: calls each team, unless it was called under this key. Says of each what became of it.
    pub async fn missed(&mut self, late: &Escalation) -> BTreeMap<TeamId, Escalated> {
        let mut became = BTreeMap::new();
        for team in &late.teams {
            became.insert(team.clone(), self.call(late, team).await);
        }
        became
    }

    /// It has come: ends the call of each team, if there is one. Says of each what became of it; whoever wants calls to be
    /// ended for sure asks until all are [settled](Escalated::is_settled).
    pub async fn come(&mut self, late: &Escalation) -> BTreeMap<TeamId, Escalated> {
        let mut became = BTreeMap::new();
        for team in &late.teams {
            became.insert(team.clone(), self.end(&late.call_of(team)).await);
        }
        became
    }

    async fn call(&mut self, late: &Escalation, team: &TeamId) -> Escalated {
        let call = late.call_of(team);
        match self.phase(&call).await {
            Ok(PagePhase::Unknown) => {}
            Ok(PagePhase::Resolved) => return Escalated::Over,
            Ok(phase) => return Escalated::Stands(phase),
            // To ask for one call twice does no harm; not to call does.
            Err(error) => tracing::debug!(%error, call, "nobody can say whether there is a call"),
        }
        let cx = self.context(&call);
        let mut request = PageTeam::new(team.clone(), late.severity, late.summary.clone());
        request.runbook.clone_from(&late.runbook);
        let page = self.pager.page(&cx, request);
        match cx.within(&*self.clock, PAGE, EffectCertainty::Unknown, page).await {
            Ok(()) => {
                self.doubtful.remove(&call);
                Escalated::Called
            }
            Err(error) => {
                if error.effect() != EffectCertainty::NotApplied {
                    self.doubtful.insert(call, self.clock.now().plus(self.patience));
                }
                Escalated::Failed(error)
            }
        }
    }

    async fn end(&mut self, call: &str) -> Escalated {
        match self.phase(call).await {
            Ok(PagePhase::Unknown) => {
                let now = self.clock.now();
                if self.doubtful.get(call).is_some_and(|until| now < *until) {
                    return Escalated::Doubtful;
                }
                self.doubtful.remove(call);
                return Escalated::NeverCalled;
            }
            Ok(PagePhase::Resolved) => {
                self.doubtful.remove(call);
                return Escalated::Over;
            }
            Ok(_) => {}
            Err(error) => return Escalated::Failed(error),
        }
        // Another operation than the call, so another key.
        let cx = self.context(&format!("{call}/resolve"));
        let resolve = self.pager.resolve(&cx, JobRef::new(call.to_owned()));
        match cx.within(&*self.clock, RESOLVE, EffectCertainty::Unknown, resolve).await {
            Ok(()) => {
                self.doubtful.remove(call);
                Escalated::Over
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Escalated::NeverCalled,
            Err(error) => Escalated::Failed(error),
        }
    }

    /// How far a call is.
    async fn phase(&self, call: &str) -> Result<PagePhase, ProviderError> {
        let cx = self.context(call);
        let look = self.pager.observe(&cx, JobRef::new(call.to_owned()));
        let found = cx.within(&*self.clock, OBSERVE, EffectCertainty::NotApplied, look).await?;
        Ok(found.phase)
    }

    fn context(&self, key: &str) -> Context {
        Context::new(key, self.clock.now().plus(self.patience), self.by.clone())
    }
}
