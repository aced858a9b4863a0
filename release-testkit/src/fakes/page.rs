//! A pager that calls nobody.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::TeamId;
use release_core::time::Timestamp;
use release_providers::ProviderError;
use release_providers::spi::{JobRef, PagePhase, PageStatus, PageTeam};

use super::{Asked, Fake, PagerCall, model};

/// A [`Pager`](release_providers::spi::Pager) that calls nobody.
pub type FakePager = Fake<PagerCall, OnCall>;

/// What a [`FakePager`] knows.
#[derive(Debug, Clone, Default)]
pub struct OnCall {
    teams: BTreeSet<TeamId>,
    calls: BTreeMap<String, (PageTeam, PagePhase, u32)>,
}

impl Fake<PagerCall, OnCall> {
    /// A pager for these teams.
    pub fn new(teams: impl IntoIterator<Item = TeamId>) -> Self {
        let (teams, calls) = (teams.into_iter().collect(), BTreeMap::new());
        Self::of("fake-pager", OnCall { teams, calls })
    }
}

impl OnCall {
    /// The calls that were made, by the key of each.
    pub fn made(&self) -> impl Iterator<Item = (&str, &PageTeam)> {
        self.calls.iter().map(|(key, (page, ..))| (key.as_str(), page))
    }

    /// Somebody takes a call; whether there was one to take.
    pub fn acknowledge(&mut self, key: &str, by: &str, at: Timestamp) -> bool {
        let calling = |call: &&mut (PageTeam, PagePhase, u32)| call.1 == PagePhase::Calling;
        let Some(call) = self.calls.get_mut(key).filter(calling) else { return false };
        call.1 = PagePhase::Acknowledged { by: by.to_owned(), at };
        true
    }

    /// Nobody answers, and the next one is called; whether there was such a call.
    pub fn escalate(&mut self, key: &str) -> bool {
        let calling = |call: &&mut (PageTeam, PagePhase, u32)| call.1 == PagePhase::Calling;
        self.calls.get_mut(key).filter(calling).map(|call| call.2 += 1).is_some()
    }
}

impl model::Pager for OnCall {
    fn page(&mut self, asked: &Asked<'_>, request: PageTeam) -> Result<(), ProviderError> {
        asked.found("team", request.team.as_str(), self.teams.get(&request.team))?;
        let call = (request, PagePhase::Calling, 0);
        self.calls.entry(asked.key().to_owned()).or_insert(call);
        Ok(())
    }

    fn observe(&mut self, asked: &Asked<'_>, request: JobRef) -> Result<PageStatus, ProviderError> {
        let call = self.calls.get(&request.operation);
        let (phase, escalations) =
            call.map_or((PagePhase::Unknown, 0), |(_, phase, count)| (phase.clone(), *count));
        let phase = if asked.lie { PagePhase::Resolved } else { phase };
        let mut status = PageStatus::new(request.operation, phase);
        status.escalations = escalations;
        Ok(status)
    }

    fn resolve(&mut self, asked: &Asked<'_>, request: JobRef) -> Result<(), ProviderError> {
        let call = self.calls.get_mut(&request.operation);
        asked.found("call", &request.operation, call)?.1 = PagePhase::Resolved;
        Ok(())
    }
}
