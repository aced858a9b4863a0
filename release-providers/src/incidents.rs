//! Tells a run of incidents, so that it does what its release planned for them.
//!
//! An [`IncidentWatch`] reads an [`IncidentSource`] again and again while a run is driven, and tells the run of each open incident
//! that its [`IncidentRule`] is about, once. What the run does then is decided by its plan
//! ([`RollbackTrigger::Signal`](release_core::model::RollbackTrigger::Signal)), and journaled.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::{Principal, RunId, ServiceId, Signal, SignalKind};
use release_core::plan::Plan;
use release_core::port::{Clock, EffectCertainty};
use release_core::run::{Command, Directive};
use release_core::time::{Span, Timestamp};

use crate::spi::{Incident, IncidentSeverity, IncidentSource, ListIncidents};
use crate::{Context, ProviderError};

/// The operation, as errors name it.
const LIST: &str = "incident_source.list";
/// So much of an incident's summary is told.
const MOST_CHARS: usize = 300;

/// Which incidents a run is told of: open ones, by what they concern, how bad they are and when they began.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncidentRule {
    /// Those that concern one of these services, and those that name no service, which concern all.
    pub services: BTreeSet<ServiceId>,
    /// Those that are as bad as this, or worse (default: [major](IncidentSeverity::Major)).
    pub least: IncidentSeverity,
    /// Those that began then or later: what was there before a run is not by its doing.
    pub since: Timestamp,
}

impl IncidentRule {
    /// Incidents of these services that began at `since` or later.
    pub const fn new(services: BTreeSet<ServiceId>, since: Timestamp) -> Self {
        Self { services, least: IncidentSeverity::Major, since }
    }

    /// Incidents of all services that a plan has steps for.
    pub fn of(plan: &Plan, since: Timestamp) -> Self {
        let places = plan.steps().iter().filter_map(|step| step.scope.place());
        Self::new(places.filter_map(|place| place.service.clone()).collect(), since)
    }

    /// The same for incidents that are as bad as this, or worse.
    #[must_use]
    pub const fn at_least(mut self, least: IncidentSeverity) -> Self {
        self.least = least;
        self
    }

    /// Whether a run is told of an incident.
    ///
    /// ```
    /// use std::collections::BTreeSet;
    /// use release_providers::incidents::IncidentRule;
    /// use release_providers::model::ServiceId;
    /// use release_providers::spi::{Incident, IncidentSeverity};
    /// use release_providers::{Span, Timestamp};
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let begin = Timestamp::default();
    /// let (api, web): (ServiceId, ServiceId) = ("api".parse()?, "web".parse()?);
    /// let rule = IncidentRule::new(BTreeSet::from([api.clone()]), begin);
    /// let at = begin.plus(Span::secs(60));
    /// let mut incident = Incident::new("INC-7".into(), IncidentSeverity::Critical, "it burns".into(), at);
    /// incident.services.insert(web);
    /// assert!(!rule.fits(&incident));
    /// incident.services.insert(api);
    /// assert!(rule.fits(&incident));
    /// # Ok(()) }
    /// # example().unwrap();
    /// ```
    pub fn fits(&self, incident: &Incident) -> bool {
        let Incident { severity, opened_at, resolved_at, services, .. } = incident;
        let concerns = services.is_empty() || !services.is_disjoint(&self.services);
        // The first is the worst.
        concerns && *severity <= self.least && *opened_at >= self.since && resolved_at.is_none()
    }

    /// What a run is told of an incident: about the one service of the run that it concerns, or about all.
    fn signal(&self, source: &str, incident: &Incident) -> Signal {
        let mut signal = Signal::new(SignalKind::Incident, source, &*incident.id);
        signal.environment.clone_from(&incident.environment);
        let mut concerned = incident.services.intersection(&self.services);
        signal.service = match (concerned.next(), concerned.next()) {
            (Some(one), None) => Some(one.clone()),
            _ => None,
        };
        signal
    }
}

/// What a run did with what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is in its journal.
    Taken,
    /// The run does not take it, now or later: it is not told again.
    Refused,
    /// Nobody could take it now, for example because the journal fails: it is told again at the next look.
    NotNow,
}

/// A run that is being driven: over the engine's `RunHandle`, `hear` sends, and `over` waits.
#[async_trait]
pub trait WatchedRun: fmt::Debug + Send + Sync {
    /// Which run it is, where somebody has to tell it from the one before: how often a run is told of drift is counted for each.
    fn id(&self) -> Option<RunId> {
        None
    }

    /// Gives the run a directive, and returns once what it led to is durable.
    async fn hear(&self, directive: Directive) -> Heard;

    /// Returns once the run is over, or is not driven here any more.
    async fn over(&self);

    /// Is told that the source could not be read. The watch goes on; until it can be read again nobody tells the run.
    fn blind(&self, error: &ProviderError);
}

/// Reads incidents again and again, and tells a run of those that a rule is about.
#[derive(Debug)]
pub struct IncidentWatch {
    source: Arc<dyn IncidentSource>,
    clock: Arc<dyn Clock>,
    by: Principal,
    rule: IncidentRule,
    interval: Span,
    patience: Span,
    /// The incidents that the run was told of.
    told: BTreeSet<String>,
}

impl IncidentWatch {
    /// A watch over `source` that tells a run what it sees on behalf of `by`, whom policies have to permit that. It looks every 30
    /// seconds, and one look may take as long.
    pub const fn new(
        source: Arc<dyn IncidentSource>,
        clock: Arc<dyn Clock>,
        by: Principal,
        rule: IncidentRule,
    ) -> Self {
        let (interval, patience) = (Span::secs(30), Span::secs(30));
        Self { source, clock, by, rule, interval, patience, told: BTreeSet::new() }
    }

    /// The time from the end of one look to the next.
    #[must_use]
    pub const fn every(mut self, interval: Span) -> Self {
        self.interval = interval;
        self
    }

    /// How long one look may take.
    #[must_use]
    pub const fn patience(mut self, patience: Span) -> Self {
        self.patience = patience;
        self
    }

    /// Looks until the run is over. Begun anew, after a restart, it tells the run again of what is open; a run counts what it
    /// is told twice once.
    pub async fn watch(&mut self, run: &dyn WatchedRun) {
        tokio::select! {
            biased;
            () = run.over() => {}
            () = self.look_again_and_again(run) => {}
        }
    }

    async fn look_again_and_again(&mut self, run: &dyn WatchedRun) {
        loop {
            match self.look().await {
                Ok(found) => self.tell(run, found).await,
                Err(error) => run.blind(&error),
            }
            self.clock.sleep_until(self.clock.now().plus(self.interval)).await;
        }
    }

    async fn tell(&mut self, run: &dyn WatchedRun, found: Vec<Incident>) {
        let source = self.source.describe().name;
        for incident in found {
            let signal = Box::new(self.rule.signal(&source, &incident));
            let summary: String = incident.summary.chars().take(MOST_CHARS).collect();
            let reason = format!("{} incident: {summary}", word(incident.severity));
            let directive = Directive::new(Command::Signal { signal }, self.by.clone(), reason);
            match run.hear(directive).await {
                Heard::Taken | Heard::Refused => {
                    self.told.insert(incident.id);
                }
                Heard::NotNow => {}
            }
        }
    }

    /// The incidents that the run has to be told of and was not, as they are now.
    ///
    /// # Errors
    /// Those of the source; `Timeout` where it does not answer in time.
    pub async fn look(&self) -> Result<Vec<Incident>, ProviderError> {
        let deadline = self.clock.now().plus(self.patience);
        let cx = Context::new(LIST, deadline, self.by.clone());
        let mut request = ListIncidents::new(self.rule.since);
        request.services.clone_from(&self.rule.services);
        let list = self.source.list(&cx, request);
        let found = cx.within(&*self.clock, LIST, EffectCertainty::NotApplied, list).await?;
        let news = |one: &Incident| self.rule.fits(one) && !self.told.contains(&one.id);
        Ok(found.incidents.into_iter().filter(news).collect())
    }
}

const fn word(severity: IncidentSeverity) -> &'static str {
    match severity {
        IncidentSeverity::Critical => "critical",
        IncidentSeverity::Major => "major",
        IncidentSeverity::Minor => "minor",
    }
}
