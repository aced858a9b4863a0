//! The engine's port, implemented by submitting to providers and observing what came of it.

mod drain;
mod flags;
mod ready;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use release_core::flags::FlagReading;
use release_core::model::{Principal, Target, Timestamp, TrafficRules};
use release_core::plan::{Action, CriterionUnobservable, Deployment, Plan, Step, Weight};
use release_core::port::{
    AuthorizedCommand, BindingError, DRIFT, EffectCertainty, EffectError, Evidence, KillOrder,
    Observed, Performer,
};

use crate::measure::Look;
use crate::registry::{Bound, Progress, ProviderSelector, Registry, Typed};
use crate::spi::{
    ApplyRequest, CheckHealth, CustomOutput, CustomRequest, Deployer, DeploymentPhase,
    DeploymentStatus, FlagStore, HealthProbe, InstanceHealth, Notification, ObserveDeployment,
    ObserveTraffic, SetWeights, Severity, TrafficRouter, TrafficStatus,
};
use crate::{Context, EffectClass, ErrorKind, ProviderError, RetryAdvice};

/// The first pause between two looks; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How often traffic that is not distributed as it was set is looked at.
const LOOKS: u32 = 8;

#[async_trait]
impl Performer for Registry {
    fn check(&self, plan: &Plan) -> Result<(), Vec<BindingError>> {
        let errors = self.unbound(plan);
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn check_new(&self, plan: &Plan) -> Result<(), Vec<BindingError>> {
        let mut errors = self.unbound(plan);
        errors.extend(self.undrained(plan));
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    async fn can_judge(
        &self,
        plan: &Plan,
        requester: &Principal,
    ) -> Result<(), Vec<CriterionUnobservable>> {
        self.can_be_judged(plan, requester).await
    }

    fn provider(&self, step: &Step) -> Option<String> {
        Some(self.bind(step).ok()?.describe()?.name)
    }

    async fn perform(&self, command: &AuthorizedCommand) -> Result<Evidence, EffectError> {
        let bound = self.bind(command.step()).map_err(unbound)?;
        let call = Call::new(self, command, &bound);
        call.perform(&bound, command).await.map_err(|error| match &command.step().action {
            // Shares that a router does not know as its own any more: somebody else's hand was there.
            Action::Confirm { .. } if error.kind() == ErrorKind::Corrupt => {
                EffectError::permanent(DRIFT, error.to_string())
            }
            _ => error.into_effect_error(),
        })
    }

    async fn observe(&self, command: &AuthorizedCommand) -> Result<Observed, EffectError> {
        let bound = self.bind(command.step()).map_err(unbound)?;
        let call = Call::new(self, command, &bound);
        call.observe(&bound, command).await.map_err(ProviderError::into_effect_error)
    }

    async fn kill(&self, order: &KillOrder) -> Result<FlagReading, EffectError> {
        let mut at = ProviderSelector::everywhere();
        at.environment = Some(order.environment().clone());
        let store: Option<Arc<dyn FlagStore>> = self.find(&at);
        let missing =
            || EffectError::permanent("unbound", crate::registry::missing("flag_store", &at));
        let store = store.ok_or_else(missing)?;
        let cx = Context::of_kill(order);
        flags::kill(&*store, &cx, order).await.map_err(ProviderError::into_effect_error)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "fits `map_err`")]
fn unbound(error: BindingError) -> EffectError {
    EffectError::permanent("unbound", error.to_string())
}

/// One command on its way through providers.
struct Call<'a> {
    registry: &'a Registry,
    cx: Context,
    rollback: bool,
    /// What may be done when nobody knows whether a call took effect; `None` for what changes nothing.
    effects: Option<EffectClass>,
    /// Since when the step is to measure.
    since: Timestamp,
    /// Whether the step only tidies up behind a release that is live.
    finale: bool,
    /// A little before the engine gives up, so that the answer says what was missing.
    give_up: Timestamp,
}

impl<'a> Call<'a> {
    fn new(registry: &'a Registry, command: &AuthorizedCommand, bound: &Bound) -> Self {
        let left = command.deadline().since(registry.clock.now()).as_duration();
        let give_up = registry.clock.now().plus((left.mul_f64(0.95)).into());
        let (cx, rollback) = (Context::of(command), command.is_rollback());
        let described = bound.describe();
        let effects = described.as_ref().filter(|_| bound.acts()).map(|one| one.effects);
        let (since, finale) = (command.since(), command.step().finale);
        Self { registry, cx, rollback, effects, since, finale, give_up }
    }

    async fn perform(
        &self,
        bound: &Bound,
        command: &AuthorizedCommand,
    ) -> Result<Evidence, ProviderError> {
        match (bound, &command.step().action) {
            (Bound::Artifacts(store), Action::VerifyArtifact { artifact }) => {
                let found = store.verify(&self.cx, artifact.clone()).await?;
                Ok(Evidence::Artifact { digest: found.digest, bytes: found.bytes })
            }
            (
                Bound::Deployer(deployer),
                Action::Scale { deployment, replicas, apart, metadata },
            ) => {
                if *replicas == 0 {
                    self.drained(deployment).await?;
                }
                let Deployment { target, artifact, version } = Deployment::clone(deployment);
                let wish = ApplyRequest::new(target, artifact, version, *replicas)
                    .keeping(*apart)
                    .carrying(metadata.as_deref().cloned());
                self.scale(&**deployer, wish).await
            }
            (Bound::Probe(probe), Action::Probe { deployment, min_ready }) => {
                self.probe(&**probe, deployment, *min_ready).await
            }
            (Bound::Router(router), Action::Route { target, weights, rules }) => {
                let wish =
                    SetWeights::new(target.clone(), weights.clone()).by(rules.as_deref().cloned());
                self.still_ready(command, &**router, &wish).await?;
                router.set_weights(&self.cx, wish).await?;
                let mut pause = FIRST_PAUSE;
                loop {
                    let seen = router.observe(&self.cx, ObserveTraffic::new(target.clone())).await;
                    let status = seen.map_err(accepted)?;
                    #[cfg(planted_bugs)]
                    let status = taken(status, weights, rules.as_deref());
                    if in_effect(&status, weights, rules.as_deref()) {
                        return Ok(evidence(status));
                    }
                    let missing = || {
                        "the router took weights and rules, but they are not in effect".to_owned()
                    };
                    self.pause(&mut pause, "observe_traffic", missing).await.map_err(accepted)?;
                }
            }
            (Bound::Traffic(router), Action::Confirm { target, weights, rules }) => {
                self.confirm(&**router, target, (weights, rules.as_deref())).await
            }
            (Bound::Metrics(source), Action::Analyze { deployment, analysis, beside, .. }) => {
                let (cx, source, since) = (&self.cx, &**source, self.since);
                let (canary, beside) = (deployment, beside.as_deref());
                Look { cx, source, since, analysis, canary, beside }.take().await
            }
            (Bound::Notifier(notifier), Action::Notify { channel, message }) => {
                let severity = if self.rollback { Severity::Warning } else { Severity::Info };
                let notification = Notification::new(channel.clone(), severity, message.clone());
                notifier.notify(&self.cx, notification).await.map(|()| Evidence::Done)
            }
            (Bound::Flags(store), Action::Flag(flag)) => {
                flags::perform(&**store, &self.cx, flag).await
            }
            (Bound::Custom(custom), Action::Custom { capability, input }) => {
                let request = CustomRequest::new(capability.clone(), input.clone());
                let CustomOutput { output, .. } = custom.perform(&self.cx, request).await?;
                Ok(Evidence::Custom { output })
            }
            (Bound::Typed(typed), _) => self.typed(typed, command).await,
            _ => Ok(Evidence::Done),
        }
    }

    /// Asks for what a custom step names, and follows it until it is over.
    async fn typed(
        &self,
        typed: &Typed,
        command: &AuthorizedCommand,
    ) -> Result<Evidence, ProviderError> {
        let key_of = |step: &str| command.key_of(&step.parse().ok()?);
        let answer = typed.call(&self.cx, key_of).await?;
        let mut pause = FIRST_PAUSE;
        loop {
            let missing = match typed.look(&self.cx).await.map_err(accepted)? {
                None => {
                    return match typed.is_a_no(&answer) {
                        None => Ok(Evidence::Custom { output: answer }),
                        Some(reason) => {
                            let operation = typed.operation.to_string();
                            Err(ProviderError::new(ErrorKind::Failed, operation, reason))
                        }
                    };
                }
                Some(Progress::Done(output)) => return Ok(Evidence::Custom { output }),
                // Seen to have failed for good: no doubt is left that a look could remove.
                Some(Progress::Failed(reason)) => {
                    let operation = typed.operation.to_string();
                    return Err(ProviderError::new(ErrorKind::Failed, operation, reason));
                }
                Some(Progress::Underway(missing)) => missing,
                Some(Progress::Nothing) => "it was accepted, and there is no sign of it".to_owned(),
            };
            self.pause(&mut pause, "follow", || missing).await.map_err(accepted)?;
        }
    }

    /// Looks whether traffic is distributed so. One that is not is looked at a few times within a second or so: a server that was just
    /// started anew may not have read its shares yet.
    async fn confirm(
        &self,
        router: &dyn TrafficRouter,
        target: &Target,
        (weights, rules): (&[Weight], Option<&TrafficRules>),
    ) -> Result<Evidence, ProviderError> {
        let (mut pause, mut look) = (FIRST_PAUSE, 1);
        loop {
            let status = router.observe(&self.cx, ObserveTraffic::new(target.clone())).await?;
            #[cfg(planted_bugs)]
            let status = taken(status, weights, rules);
            if look == LOOKS || in_effect(&status, weights, rules) {
                return Ok(evidence(status));
            }
            let missing = || "the traffic is not distributed as it was set".to_owned();
            match self.pause(&mut pause, "observe_traffic", missing).await {
                Err(error) if error.kind() == ErrorKind::Timeout => return Ok(evidence(status)),
                waited => waited?,
            }
            look += 1;
        }
    }

    /// Submits the wish, then observes until it is fulfilled.
    async fn scale(
        &self,
        deployer: &dyn Deployer,
        wish: ApplyRequest,
    ) -> Result<Evidence, ProviderError> {
        let (target, replicas) = (wish.target.clone(), wish.replicas);
        let look = ObserveDeployment::new(target.clone(), wish.artifact.digest());
        deployer.apply(&self.cx, wish).await?;
        let mut pause = FIRST_PAUSE;
        loop {
            let status = deployer.observe(&self.cx, look.clone()).await.map_err(accepted)?;
            match status.phase {
                DeploymentPhase::Settled if fulfils(&status, replicas) => {
                    return Ok(instances(status));
                }
                // Seen to have failed for good: no doubt is left that a look could remove.
                DeploymentPhase::Failed { reason } => {
                    return Err(ProviderError::new(ErrorKind::Failed, "scale", reason)
                        .with_context("target", &target));
                }
                DeploymentPhase::Settled | DeploymentPhase::Progressing => {}
            }
            let missing = || format!("{} of {replicas} instances run", status.running);
            self.pause(&mut pause, "scale", missing).await.map_err(accepted)?;
        }
    }

    async fn probe(
        &self,
        probe: &dyn HealthProbe,
        deployment: &Deployment,
        min_ready: u32,
    ) -> Result<Evidence, ProviderError> {
        let request = CheckHealth::new(deployment.target.clone(), deployment.artifact.digest());
        let mut pause = FIRST_PAUSE;
        loop {
            let report = probe.check(&self.cx, request.clone()).await?;
            let is_ready = |instance: &InstanceHealth| instance.ready;
            #[cfg(planted_bugs)]
            let is_ready = |instance: &InstanceHealth| {
                is_ready(instance)
                    || release_core::planted::is(release_core::planted::Bug::RunningIsReady)
            };
            let (ready, unready): (Vec<_>, Vec<_>) =
                report.instances.into_iter().partition(is_ready);
            let ready = u32::try_from(ready.len()).unwrap_or(u32::MAX);
            let unready: Vec<_> =
                unready.into_iter().map(|i| format!("{}: {}", i.instance, i.detail)).collect();
            if ready >= min_ready {
                let (target, digest, observed_at) =
                    (report.target, report.digest, Some(report.observed_at));
                return Ok(Evidence::Health { target, digest, ready, unready, observed_at });
            }
            let missing =
                || format!("{ready} of {min_ready} instances are ready; {}", unready.join("; "));
            self.pause(&mut pause, "probe", missing).await?;
        }
    }

    /// Looks without acting.
    async fn observe(
        &self,
        bound: &Bound,
        command: &AuthorizedCommand,
    ) -> Result<Observed, ProviderError> {
        if self.effects == Some(EffectClass::Opaque) {
            return Err(nobody_can_tell(
                "its provider is opaque: it can neither be asked nor repeat",
            ));
        }
        match (bound, &command.step().action) {
            (Bound::Deployer(deployer), Action::Scale { deployment, replicas, .. }) => {
                let look =
                    ObserveDeployment::new(deployment.target.clone(), deployment.artifact.digest());
                let status = deployer.observe(&self.cx, look).await?;
                if status.phase == DeploymentPhase::Settled && fulfils(&status, *replicas) {
                    return Ok(Observed::Applied(instances(status)));
                }
                Ok(Observed::NotApplied)
            }
            (Bound::Router(router), Action::Route { target, weights, rules }) => {
                let status = router.observe(&self.cx, ObserveTraffic::new(target.clone())).await?;
                // What the way back asks for may be in effect because nothing else is yet: if just this call was lost, shares
                // that were accepted before still come. So it is asked for again, which changes nothing where it was heard.
                if !self.rollback && in_effect(&status, weights, rules.as_deref()) {
                    return Ok(Observed::Applied(evidence(status)));
                }
                Ok(Observed::NotApplied)
            }
            (Bound::Flags(store), Action::Flag(flag)) => {
                flags::observe(&**store, &self.cx, flag).await
            }
            (Bound::Notifier(_), _) if self.effects != Some(EffectClass::Idempotent) => {
                Err(nobody_can_tell("whether a message was sent cannot be asked"))
            }
            (Bound::Custom(custom), Action::Custom { capability, input }) => {
                let request = CustomRequest::new(capability.clone(), input.clone());
                let found = custom.observe(&self.cx, request).await?;
                Ok(found.done.map_or(Observed::NotApplied, |CustomOutput { output, .. }| {
                    Observed::Applied(Evidence::Custom { output })
                }))
            }
            (Bound::Typed(typed), _) if typed.operation.acts => self.trace(typed, command).await,
            // Reading changes nothing: just read again.
            _ => Ok(Observed::NotApplied),
        }
    }

    /// Looks what became of what a custom step names.
    async fn trace(
        &self,
        typed: &Typed,
        command: &AuthorizedCommand,
    ) -> Result<Observed, ProviderError> {
        let key_of = |step: &str| command.key_of(&step.parse().ok()?);
        let found = match typed.look(&self.cx).await? {
            None if self.effects == Some(EffectClass::Idempotent) => {
                return Ok(Observed::NotApplied);
            }
            None => typed.trace(&self.cx, key_of).await?,
            followed => followed,
        };
        match found {
            Some(Progress::Done(output)) => Ok(Observed::Applied(Evidence::Custom { output })),
            // Asked again with the same key, it is followed to its end.
            Some(_) => Ok(Observed::NotApplied),
            None => {
                let why = format!("whether `{}` was done cannot be asked", typed.operation);
                Err(nobody_can_tell(&why))
            }
        }
    }

    /// Waits before the next look, or gives up with what is missing. Looking itself changes nothing.
    async fn pause(
        &self,
        pause: &mut Duration,
        operation: &'static str,
        missing: impl FnOnce() -> String,
    ) -> Result<(), ProviderError> {
        let now = self.registry.clock.now();
        if now >= self.give_up {
            return Err(ProviderError::new(ErrorKind::Timeout, operation, missing())
                .with_effect(EffectCertainty::NotApplied));
        }
        let until = now.plus((*pause).into()).min(self.give_up);
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = self.registry.clock.sleep_until(until) => Ok(()),
            () = self.cx.cancellation.cancelled() => {
                Err(ProviderError::new(ErrorKind::Cancelled, operation, "the engine stops")
                    .with_effect(EffectCertainty::NotApplied))
            }
        }
    }
}

/// No look helps, now or later: a person is to say what became of it.
fn nobody_can_tell(why: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Unsupported, "observe", why)
        .with_effect(EffectCertainty::Unknown)
        .with_retry(RetryAdvice::Never)
}

/// What goes wrong after a provider has accepted a wish does not take the wish back: it may be
/// fulfilled by now, in part, or later.
fn accepted(error: ProviderError) -> ProviderError {
    match error.effect() {
        EffectCertainty::NotApplied => error.with_effect(EffectCertainty::Unknown),
        EffectCertainty::Unknown | EffectCertainty::Applied => error,
    }
}

fn evidence(status: TrafficStatus) -> Evidence {
    let TrafficStatus { target, weights, served, rules, .. } = status;
    Evidence::Weights { target, weights, served, rules: rules.map(Box::new) }
}

/// Whether a router shows what was asked of it.
fn in_effect(status: &TrafficStatus, weights: &[Weight], rules: Option<&TrafficRules>) -> bool {
    Weight::same_shares(&status.weights, weights) && status.rules.as_ref() == rules
}

/// What was asked for, where that is believed without a look.
#[cfg(planted_bugs)]
fn taken(status: TrafficStatus, weights: &[Weight], rules: Option<&TrafficRules>) -> TrafficStatus {
    if !release_core::planted::is(release_core::planted::Bug::NeverLook) {
        return status;
    }
    TrafficStatus { weights: weights.to_vec(), ..status }.by(rules.cloned())
}

/// Whether a settled status answers a wish for `replicas`. What an earlier wish settled to is no answer;
/// only what is to be gone may be forgotten.
fn fulfils(status: &DeploymentStatus, replicas: u32) -> bool {
    let same_wish = status.desired.map_or(replicas == 0, |desired| desired == replicas);
    same_wish && status.running == replicas
}

fn instances(status: DeploymentStatus) -> Evidence {
    let DeploymentStatus { target, digest, running, .. } = status;
    Evidence::Instances { target, digest, running }
}
