//! The suite of [`IncidentSource`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use release_core::model::ServiceId;
use release_core::time::{Span, Timestamp};
use release_providers::spi::{
    Incident, IncidentSeverity, IncidentSource, Incidents, ListIncidents,
};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, Hook, HookError, broken, case, hook, unanswered};
use crate::fixtures;

/// A source of incidents, and whoever makes some.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type IncidentSourceSandbox = ProviderSandbox<dyn IncidentSource, Reports>;

/// Whoever makes incidents.
#[derive(Clone, Default)]
#[must_use]
pub struct Reports {
    tell: Option<Hook<Incident, ()>>,
    many: Option<u32>,
    one_service: bool,
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reports(told: {})", self.tell.is_some())
    }
}

impl Reports {
    /// Nobody makes any: what needs incidents is skipped, and said to be.
    pub fn none() -> Self {
        Self::default()
    }

    /// Tells the source of an incident, or of another state of the one with that id.
    pub fn told<F>(tell: impl Fn(Incident) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        Self { tell: Some(hook(tell)), ..Self::default() }
    }

    /// Says how many incidents are more than the source tells in one page, and may be made. Without it
    /// `all_pages_are_read` is skipped, and said to be.
    pub const fn many(mut self, incidents: u32) -> Self {
        self.many = Some(incidents);
        self
    }

    /// An incident of this source concerns one service: none is made that concerns more, or all.
    pub const fn one_service_each(mut self) -> Self {
        self.one_service = true;
        self
    }
}

const QUIET: fn(&IncidentSourceSandbox) -> Option<&'static str> =
    |sandbox| sandbox.at.tell.is_none().then_some("incidents that can be made");

suite!(
    IncidentSource,
    "incident_source",
    IncidentSourceSandbox,
    telling,
    [
        case!(answers_are_dated, "an answer says when the source was read"),
        case!(incidents_are_told_as_they_are, "all of an open incident is told", QUIET),
        case!(
            what_ended_is_told_for_a_while,
            "incidents that are over are told if they ended since then, and no others",
            QUIET
        ),
        case!(
            only_those_that_concern_are_told,
            "where services are named, incidents that concern none of them are not told",
            QUIET
        ),
        case!(
            all_pages_are_read,
            "all incidents are told, by id, however many pages they fill",
            |sandbox| QUIET(sandbox).or(sandbox.at.many.is_none().then_some("more than a page"))
        ),
    ]
);

/// The source, and whoever makes incidents.
pub fn sandbox(provider: Arc<dyn IncidentSource>, trouble: Reports) -> IncidentSourceSandbox {
    ProviderSandbox::of(provider, trouble).look("list", true, |provider, cx, _| async move {
        // When it was read is another time each time.
        let answer = provider.list(&cx, ListIncidents::new(Timestamp::default())).await;
        text(answer.map(|incidents| incidents.incidents))
    })
}

async fn answers_are_dated(sandbox: &IncidentSourceSandbox) -> Check {
    let before = sandbox.now();
    let at = list(sandbox, ListIncidents::new(before)).await?.taken_at;
    let after = sandbox.now();
    if before <= at && at <= after {
        return Ok(());
    }
    Err(broken(format!("an answer of between {before} and {after}"), at))
}

async fn incidents_are_told_as_they_are(sandbox: &IncidentSourceSandbox) -> Check {
    let mut incident = incident(sandbox, "one", "orders");
    incident.environment = Some(fixtures::literal("production"));
    for severity in [IncidentSeverity::Minor, IncidentSeverity::Major, IncidentSeverity::Critical] {
        incident.severity = severity;
        tell(sandbox, &incident).await?;
        for services in [BTreeSet::new(), incident.services.clone()] {
            told(sandbox, sandbox.now(), services, &[&incident]).await?;
        }
    }
    Ok(())
}

async fn what_ended_is_told_for_a_while(sandbox: &IncidentSourceSandbox) -> Check {
    let ended = sandbox.now();
    let mut one = incident(sandbox, "one", "orders");
    let two = incident(sandbox, "two", "orders");
    one.resolved_at = Some(ended);
    tell(sandbox, &one).await?;
    tell(sandbox, &two).await?;
    told(sandbox, ended, BTreeSet::new(), &[&one, &two]).await?;
    let later = ended.plus(Span::millis(1));
    told(sandbox, later, BTreeSet::new(), &[&two]).await
}

async fn only_those_that_concern_are_told(sandbox: &IncidentSourceSandbox) -> Check {
    let (one, two) = (incident(sandbox, "one", "orders"), incident(sandbox, "two", "billing"));
    tell(sandbox, &one).await?;
    tell(sandbox, &two).await?;
    for incident in [&one, &two] {
        told(sandbox, sandbox.now(), incident.services.clone(), &[incident]).await?;
    }
    let all = &[&one, &two][..];
    told(sandbox, sandbox.now(), BTreeSet::new(), all).await?;
    let (orders, billing, shipping) = (service("orders"), service("billing"), service("shipping"));
    told(sandbox, sandbox.now(), [orders.clone(), billing.clone()].into(), all).await?;
    told(sandbox, sandbox.now(), [shipping.clone()].into(), &[]).await?;
    if sandbox.at.one_service {
        return Ok(());
    }
    // One that concerns two, and one that concerns all.
    let (mut both, mut everybody) =
        (incident(sandbox, "three", "orders"), incident(sandbox, "four", "orders"));
    both.services.insert(billing);
    everybody.services.clear();
    tell(sandbox, &both).await?;
    tell(sandbox, &everybody).await?;
    told(sandbox, sandbox.now(), one.services.clone(), &[&everybody, &one, &both]).await?;
    told(sandbox, sandbox.now(), two.services.clone(), &[&everybody, &both, &two]).await?;
    told(sandbox, sandbox.now(), [shipping, orders].into(), &[&everybody, &one, &both]).await
}

async fn all_pages_are_read(sandbox: &IncidentSourceSandbox) -> Check {
    let mut made = Vec::new();
    for number in 0..sandbox.at.many.unwrap_or_default() {
        let incident = incident(sandbox, &format!("{number:04}"), "orders");
        tell(sandbox, &incident).await?;
        made.push(incident);
    }
    let made: Vec<_> = made.iter().collect();
    for services in [BTreeSet::new(), [service("orders")].into()] {
        told(sandbox, sandbox.now(), services, &made).await?;
    }
    Ok(())
}

fn service(name: &str) -> ServiceId {
    fixtures::literal(&format!("conformance-{name}"))
}

fn incident(sandbox: &IncidentSourceSandbox, id: &str, service: &str) -> Incident {
    let (id, summary) = (format!("conformance-{id}"), format!("conformance: {service}, ignore"));
    let opened = sandbox.now();
    let mut incident = Incident::new(id, IncidentSeverity::Minor, summary, opened);
    incident.services.insert(self::service(service));
    incident
}

/// Demands that of the suite's own incidents just these are told.
async fn told(
    sandbox: &IncidentSourceSandbox,
    since: Timestamp,
    services: BTreeSet<ServiceId>,
    wanted: &[&Incident],
) -> Check {
    let mut request = ListIncidents::new(since);
    request.services = services;
    let found = list(sandbox, request).await?.incidents;
    let ours: Vec<_> =
        found.iter().filter(|incident| incident.id.starts_with("conformance-")).collect();
    if ours == wanted {
        return Ok(());
    }
    Err(broken(format!("{wanted:?}"), format!("{ours:?}")))
}

async fn tell(sandbox: &IncidentSourceSandbox, incident: &Incident) -> Check {
    let Some(tell) = &sandbox.at.tell else { return Ok(()) };
    tell(incident.clone()).await.map_err(|error| broken("an incident", error))
}

async fn list(
    sandbox: &IncidentSourceSandbox,
    request: ListIncidents,
) -> Result<Incidents, Broken> {
    let answer = sandbox.provider.list(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("the incidents", &error))
}
