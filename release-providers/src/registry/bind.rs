//! Which provider performs a step, asked before a run begins and again when the step does.

use std::any::Any;
use std::sync::Arc;

use release_core::model::{Analysis, Target};
use release_core::plan::{Action, Deployment, Plan, Step, Undo};
use release_core::port::BindingError;
use release_core::time::Timestamp;

use super::any::Tabled as _;
use super::typed::Typed;
use super::{Capable, ProviderSelector, Registry};
use crate::Description;
use crate::spi::{
    ApplyRequest, ArtifactStore, CheckHealth, CustomAction, Deployer, FlagStore, HealthProbe,
    MeasureRequest, MetricsSource, Notifier, SetWeights, TrafficRouter,
};

/// The provider of one step.
#[derive(Debug, Clone)]
pub(crate) enum Bound {
    Pure,
    Artifacts(Arc<dyn ArtifactStore>),
    Deployer(Arc<dyn Deployer>),
    Probe(Arc<dyn HealthProbe>),
    Router(Arc<dyn TrafficRouter>),
    /// A router that is only asked how traffic is distributed.
    Traffic(Arc<dyn TrafficRouter>),
    Metrics(Arc<dyn MetricsSource>),
    Notifier(Arc<dyn Notifier>),
    Flags(Arc<dyn FlagStore>),
    Custom(Arc<dyn CustomAction>),
    /// A custom step that names an operation of a capability.
    Typed(Typed),
}

impl Bound {
    /// Whether its calls change anything; the others just read again.
    pub(crate) const fn acts(&self) -> bool {
        match self {
            Self::Deployer(_)
            | Self::Router(_)
            | Self::Notifier(_)
            | Self::Flags(_)
            | Self::Custom(_) => true,
            Self::Typed(typed) => typed.operation.acts,
            Self::Pure
            | Self::Artifacts(_)
            | Self::Probe(_)
            | Self::Traffic(_)
            | Self::Metrics(_) => false,
        }
    }

    /// What the provider says of itself, if there is one.
    pub(crate) fn describe(&self) -> Option<Description> {
        match self {
            Self::Pure => None,
            Self::Artifacts(store) => Some(store.describe()),
            Self::Deployer(deployer) => Some(deployer.describe()),
            Self::Probe(probe) => Some(probe.describe()),
            Self::Router(router) | Self::Traffic(router) => Some(router.describe()),
            Self::Metrics(source) => Some(source.describe()),
            Self::Notifier(notifier) => Some(notifier.describe()),
            Self::Flags(store) => Some(store.describe()),
            Self::Custom(custom) => Some(custom.describe()),
            Self::Typed(typed) => Some(typed.provider.describe()),
        }
    }
}

impl Registry {
    pub(crate) fn bind(&self, step: &Step) -> Result<Bound, BindingError> {
        let at = about(step);
        match &step.action {
            Action::Sync | Action::Bake { .. } => Ok(Bound::Pure),
            Action::VerifyArtifact { .. } => self.need(step, &at).map(Bound::Artifacts),
            Action::Scale { deployment, replicas, apart, metadata } => {
                let deployer: Arc<dyn Deployer> = self.need(step, &at)?;
                let Deployment { target, artifact, version } = Deployment::clone(deployment);
                let wish = ApplyRequest::new(target, artifact, version, *replicas)
                    .keeping(*apart)
                    .carrying(metadata.as_deref().cloned());
                able(step, "deployer", &deployer.describe(), &wish)?;
                Ok(Bound::Deployer(deployer))
            }
            Action::Probe { deployment, .. } => {
                let probe: Arc<dyn HealthProbe> = self.need(step, &at)?;
                let look =
                    CheckHealth::new(deployment.target.clone(), deployment.artifact.digest());
                able(step, "health probe", &probe.describe(), &look)?;
                Ok(Bound::Probe(probe))
            }
            Action::Route { target, weights, rules } => {
                let router: Arc<dyn TrafficRouter> = self.need(step, &at)?;
                let wish =
                    SetWeights::new(target.clone(), weights.clone()).by(rules.as_deref().cloned());
                able(step, "traffic router", &router.describe(), &wish)?;
                Ok(Bound::Router(router))
            }
            // It is to look at nothing but what a step before it set there.
            Action::Confirm { .. } => self.need(step, &at).map(Bound::Traffic),
            Action::Analyze { deployment, analysis, beside, .. } => {
                let source: Arc<dyn MetricsSource> = self.need(step, &at)?;
                // What runs beside it is measured by the same source, on a track of its own.
                let both = [Some(deployment), beside.as_deref().map(|beside| &beside.baseline)];
                for measured in both.into_iter().flatten() {
                    measurable(step, &*source, measured, analysis)?;
                }
                Ok(Bound::Metrics(source))
            }
            Action::Flag(_) => self.need(step, &at).map(Bound::Flags),
            Action::Notify { .. } => self.need(step, &at).map(Bound::Notifier),
            Action::Custom { capability, input } => {
                // What a host registers by that very name is meant first.
                let custom = <dyn CustomAction>::table(&self.tables).find(&at);
                let typed = || Typed::bind(self, &at, capability, input);
                match custom.filter(|(selector, _)| selector.action.is_some()) {
                    Some((_, custom)) => Ok(Bound::Custom(Arc::clone(custom))),
                    None => match typed() {
                        Some(Ok(typed)) => Ok(Bound::Typed(typed)),
                        Some(Err(problem)) => Err(BindingError { step: step.id.clone(), problem }),
                        None => self.need(step, &at).map(Bound::Custom),
                    },
                }
            }
            _ => {
                let problem =
                    "no provider knows this kind of step; use a newer version of this crate";
                Err(BindingError { step: step.id.clone(), problem: problem.into() })
            }
        }
    }

    /// A plan is journaled, printed and approved: no secret that is known here may stand in it.
    fn secret_in(&self, step: &Step) -> Option<BindingError> {
        if self.redactor.is_empty() {
            return None;
        }
        let mut value = serde_json::to_value(step).ok()?;
        if !self.redactor.clean(&mut value) {
            return None;
        }
        let problem =
            "a secret stands in it; put in where the secret is, and let the provider ask for it";
        Some(BindingError { step: step.id.clone(), problem: problem.into() })
    }

    /// Who distributes traffic over the versions in a target, if anybody does.
    pub(crate) fn router_of(&self, target: &Target) -> Option<Arc<dyn TrafficRouter>> {
        let mut at = ProviderSelector::everywhere();
        in_target(&mut at, target);
        self.find(&at)
    }

    /// Who tells whether instances in a target are ready, if anybody does.
    pub(crate) fn probe_of(&self, target: &Target) -> Option<Arc<dyn HealthProbe>> {
        let mut at = ProviderSelector::everywhere();
        in_target(&mut at, target);
        self.find(&at)
    }

    fn need<T: ?Sized + Capable>(
        &self,
        step: &Step,
        at: &ProviderSelector,
    ) -> Result<Arc<T>, BindingError> {
        self.find(at).ok_or_else(|| BindingError {
            step: step.id.clone(),
            problem: missing(T::CAPABILITY, at),
        })
    }

    /// Every step of `plan` that nobody here can perform, with those of its compensations.
    pub(crate) fn unbound(&self, plan: &Plan) -> Vec<BindingError> {
        let mut errors = Vec::new();
        for step in plan.steps() {
            let wrong = |step: &Step| {
                self.bind(step)
                    .err()
                    .or_else(|| super::typed::unkeyed(plan, step))
                    .or_else(|| self.secret_in(step))
            };
            errors.extend(wrong(step));
            if let Undo::Compensate(all) = &step.undo {
                let undo = all.iter().map(|c| Step { action: c.action.clone(), ..step.clone() });
                errors.extend(undo.filter_map(|step| wrong(&step)));
            }
        }
        // What is wrong with an input may quote it.
        for error in &mut errors {
            if let Some(clean) = self.redactor.redact(&error.problem) {
                error.problem = clean;
            }
        }
        errors.dedup();
        errors
    }
}

/// A provider that does not declare what a request needs is missed before the run.
fn able(
    step: &Step,
    capability: &str,
    provider: &Description,
    request: &dyn Any,
) -> Result<(), BindingError> {
    let Some(ability) = provider.abilities.lacks(request) else { return Ok(()) };
    let problem = unable(capability, &provider.name, &ability);
    Err(BindingError { step: step.id.clone(), problem })
}

/// Of a version, wherever its instances are, each metric of an analysis has to be measurable.
fn measurable(
    step: &Step,
    source: &dyn MetricsSource,
    deployment: &Deployment,
    analysis: &Analysis,
) -> Result<(), BindingError> {
    let (described, since) = (source.describe(), Timestamp::default());
    for metric in analysis.metrics() {
        let Deployment { target, artifact, version } = Deployment::clone(deployment);
        let digest = artifact.digest();
        let look = MeasureRequest::new(target, digest, version, metric.clone(), since);
        able(step, "metrics source", &described, &look)?;
    }
    Ok(())
}

pub(super) fn unable(capability: &str, provider: &str, ability: &str) -> String {
    let capability = capability.replace('_', " ");
    format!(
        "the {capability} `{provider}` does not declare that it can {ability}; use another provider, or another step"
    )
}

pub(crate) fn missing(capability: &str, at: &ProviderSelector) -> String {
    let (capability, at) = (capability.replace('_', " "), at.to_string());
    let place = if at == "everywhere" { "the whole release" } else { &at };
    format!("no {capability} is registered for {place}; register one that serves it")
}

/// What a step is about: where it acts, or else where it stands.
fn about(step: &Step) -> ProviderSelector {
    let mut at = ProviderSelector::everywhere();
    if let Some(place) = step.scope.place() {
        at.environment = Some(place.environment.clone());
        at.region.clone_from(&place.region);
        at.service.clone_from(&place.service);
    }
    match &step.action {
        Action::Scale { deployment, .. } | Action::Probe { deployment, .. } => {
            in_target(&mut at, &deployment.target);
        }
        Action::Analyze { deployment, analysis, .. } => {
            in_target(&mut at, &deployment.target);
            at.source.clone_from(&analysis.source);
        }
        Action::Route { target, .. } | Action::Confirm { target, .. } => {
            in_target(&mut at, target);
        }
        Action::Flag(flag) => at.environment = Some(flag.environment.clone()),
        Action::Notify { channel, .. } => at.channel = Some(channel.clone()),
        Action::Custom { capability, .. } => at.action = Some(capability.clone()),
        _ => {}
    }
    at
}

fn in_target(at: &mut ProviderSelector, target: &Target) {
    at.environment = Some(target.environment.clone());
    at.region = Some(target.region.clone());
    at.service = Some(target.service.clone());
}
