//! Calls of providers: how each goes on, takes effect, and is answered.

use release_core::analysis::example;
use release_core::model::{Digest, Span, Timestamp};
use release_core::plan::Action;
use release_core::port::{EffectError, Evidence, Measurement, Observed, Pair};
use release_core::run::{EffectOutcome, Input, Mode, Phase};

use super::course::{Call, What};
use super::fakes::{Asking, Progress};
use super::faults::{Fault, When};
use super::machine::{Happening, Machine};
use super::provider::{Capability, Nature, ProviderFault};
use super::shell::Driver;
use super::world::{Resource, World};

/// How a call gets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It takes effect.
    Apply,
    /// It is answered.
    Answer,
    /// It takes effect and is answered.
    Done,
    /// It is answered once more.
    Again,
    /// It notices that nobody needs it.
    LeaveOff,
    /// Somebody else undoes it.
    Revert,
}

/// What a provider does about a call.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    action: Action,
    /// What it asks of a fake, if it does.
    asking: Option<Asking>,
    life: u64,
    resource: Option<(Resource, u64)>,
    fault: Option<ProviderFault>,
    answered: bool,
    /// What was there before it.
    before: Option<super::world::Place>,
}

impl Machine<'_> {
    /// An effect begins.
    pub(super) fn launch(
        &mut self,
        (engine, run): (usize, usize),
        driver: &mut Driver,
        (step, attempt, mode): (u32, u32, Mode),
    ) {
        let plan = driver.state.plan();
        let Some(definition) = plan.get(step) else { return };
        let (action, timeout) = (definition.action.clone(), definition.timeout);
        let id = definition.id.clone();
        let generation = driver.state.generation(step);
        let key = format!("{}/{}/{generation}", driver.state.run(), definition.id);
        let asking = self.world.asking(&action, &driver.state);
        let capability = Capability::of(&action);
        let nature = match &action {
            // Who only looks can look again, whatever its provider does about what it changes.
            Action::Confirm { .. } => Nature::Queryable,
            _ => self.setup.providers.nature_of(capability),
        };
        let fault = self.fault_of(capability, mode, asking.is_some());
        if let Some(fault) = fault {
            self.coverage.note(super::coverage::acting(driver, mode), fault.name(), 1);
        }
        let number = self.calls.len();
        let tick = self.note(What::Called { call: number });
        let resource = match mode {
            Mode::Perform => World::subject(asking.as_ref(), &action, &key),
            Mode::Look => None,
        };
        let resource = resource.map(|resource| (resource, tick));
        let epoch = driver.sealer.epoch();
        let (at, over, applied) = (self.now, None, None);
        self.calls.push(Call {
            run,
            engine,
            epoch,
            id,
            step,
            attempt,
            mode,
            key,
            tick,
            at,
            over,
            applied,
            nature,
        });
        let operation = Operation {
            action,
            asking,
            life: driver.life,
            resource: resource.clone(),
            fault,
            answered: false,
            before: None,
        };
        self.operations.push(operation);
        if let Some((_, before)) = driver.effects.insert(step, (attempt, number)) {
            self.end_of_call(before);
        }
        if let Some((resource, operation)) = resource
            && takes_effect(fault)
        {
            self.world.accept(resource, operation);
        }
        self.schedule(number, (mode, fault), timeout);
        self.poisons(engine, run, driver.life);
    }

    fn schedule(
        &mut self,
        call: usize,
        (mode, fault): (Mode, Option<ProviderFault>),
        timeout: Span,
    ) {
        use ProviderFault as F;
        let soon = self.now.plus(self.setup.providers.delay(&mut self.chance));
        let late = soon.plus(timeout);
        let now = self.now;
        let mut at = |at: Timestamp, part| self.later(at, Happening::Provider { call, part });
        match (mode, fault) {
            (_, Some(F::Hang)) => {}
            (Mode::Perform, Some(F::ApplyThenTimeout)) => at(soon, Part::Apply),
            (Mode::Perform, Some(F::TimeoutThenApply)) => at(late, Part::Apply),
            (Mode::Perform, Some(F::Duplicate)) => {
                at(soon, Part::Done);
                at(late, Part::Again);
            }
            (Mode::Perform, Some(F::Late)) => {
                at(soon, Part::Apply);
                at(late, Part::Answer);
            }
            (Mode::Perform, Some(F::Revert)) => {
                at(soon, Part::Done);
                at(late, Part::Revert);
            }
            (Mode::Perform, Some(F::Slow)) => {
                let most = timeout.as_duration().mul_f64(0.9);
                at(now.plus(most.into()), Part::Done);
            }
            (Mode::Look, _) | (_, Some(F::Transient | F::Permanent | F::WrongDigest)) => {
                at(soon, Part::Answer);
            }
            (Mode::Perform, _) => at(soon, Part::Done),
        }
    }

    fn fault_of(
        &mut self,
        capability: Capability,
        mode: Mode,
        of_a_fake: bool,
    ) -> Option<ProviderFault> {
        use ProviderFault as F;
        let mut found = None;
        for clause in 0..self.faults.plan.clauses.len() {
            let Some(clause) = self.faults.plan.clauses.get(clause) else { break };
            let (Fault::Provider(of, fault), When::Chance(ppm)) = (&clause.fault, clause.when)
            else {
                continue;
            };
            let (of, fault) = (*of, *fault);
            if of.is_some_and(|of| of != capability) {
                continue;
            }
            let fits = mode == Mode::Perform
                || matches!(fault, F::Hang | F::Unknown | F::Transient | F::Permanent);
            if fits && self.chance.happens(ppm) {
                found = Some(fault);
            }
        }
        let metrics = capability == Capability::Metrics;
        match found {
            Some(F::NoData | F::Nan) if !metrics => Some(F::Transient),
            Some(F::Bad) if !metrics => Some(F::Permanent),
            // What fakes answer here has no digest that could be another's.
            Some(F::WrongDigest) if of_a_fake => Some(F::Transient),
            Some(F::Unknown) if self.chance.pick(2) == 0 => Some(F::ApplyThenTimeout),
            other => other,
        }
    }

    pub(super) fn provider(&mut self, call: usize, part: Part) {
        match part {
            Part::Apply => self.apply(call),
            Part::Answer => self.answer(call, false),
            Part::Done => {
                self.apply(call);
                self.answer(call, false);
            }
            Part::Again => self.answer(call, true),
            Part::LeaveOff => self.leaves_off(call),
            Part::Revert => self.revert(call),
        }
    }

    fn apply(&mut self, number: usize) {
        let (Some(operation), Some(call)) =
            (self.operations.get_mut(number), self.calls.get(number))
        else {
            return;
        };
        let Some(resource) = operation.resource.take() else { return };
        if let Resource::Instances(target, _) | Resource::Traffic(target) = &resource.0 {
            operation.before = Some(self.world.places.get(target).cloned().unwrap_or_default());
        }
        let once = call.nature == Nature::Idempotent;
        let (action, key) = (operation.action.clone(), call.key.clone());
        let applied = match operation.asking.clone() {
            Some(asking) => self.lands(number, (&key, &asking), resource),
            None => self.world.apply(&action, &key, resource, once),
        };
        if applied {
            let tick = self.note(What::Applied { call: number });
            if let Some(call) = self.calls.get_mut(number) {
                call.applied = Some(tick);
            }
        }
    }

    /// What is asked of a fake reaches it; whether no newer operation on the same took its place.
    fn lands(
        &mut self,
        number: usize,
        asked: (&str, &Asking),
        (resource, operation): (Resource, u64),
    ) -> bool {
        if !self.world.arrives(resource, operation) {
            return false;
        }
        let (tick, forgets) = (self.tick(), self.setup.providers.forgets);
        #[cfg(planted_bugs)]
        let forgets = forgets || release_core::planted::is(release_core::planted::Bug::ForgetKeys);
        if let Some(fakes) = &mut self.world.fakes {
            fakes.land((number, tick), asked, forgets);
        }
        true
    }

    fn revert(&mut self, number: usize) {
        let Some(operation) = self.operations.get_mut(number) else { return };
        let Some(before) = operation.before.take() else { return };
        let place = match &operation.action {
            Action::Scale { deployment, .. } => &deployment.target,
            Action::Route { target, .. } => target,
            _ => return,
        };
        let now = self.world.places.entry(place.clone()).or_default();
        match &operation.action {
            Action::Scale { deployment, .. } => {
                let digest = deployment.artifact.digest();
                match before.running.get(&digest) {
                    Some(count) => drop(now.running.insert(digest, *count)),
                    None => drop(now.running.remove(&digest)),
                }
            }
            _ => now.weights = before.weights,
        }
        self.note(What::Struck { fault: format!("somebody undoes call {number}") });
    }

    fn answer(&mut self, number: usize, again: bool) {
        let (Some(operation), Some(call)) =
            (self.operations.get_mut(number), self.calls.get(number))
        else {
            return;
        };
        if operation.answered && !again {
            return;
        }
        operation.answered = true;
        let (life, engine, run) = (operation.life, call.engine, call.run);
        let (step, attempt, mode) = (call.step, call.attempt, call.mode);
        let outcome = match mode {
            Mode::Perform => EffectOutcome::Performed(self.performed(number)),
            Mode::Look => EffectOutcome::Looked(self.looked(number)),
        };
        let slot = self.engines.get_mut(engine).and_then(|slot| slot.drivers.get_mut(&run));
        let driver = slot.filter(|driver| driver.life == life);
        let waits = driver
            .as_ref()
            .is_some_and(|driver| driver.effects.get(&step) == Some(&(attempt, number)));
        let heard = waits || (again && driver.is_some());
        if let Some(driver) = driver.filter(|_| waits) {
            driver.effects.remove(&step);
        }
        let said = said(&outcome);
        let tick = self.note(What::Answered { call: number, heard, said });
        if let Some(call) = self.calls.get_mut(number) {
            call.over.get_or_insert(tick);
        }
        if heard {
            self.send(engine, run, Input::Outcome { step, attempt, outcome });
        }
    }

    fn performed(&mut self, number: usize) -> Result<Evidence, EffectError> {
        use ProviderFault as F;
        let (Some(operation), Some(call)) = (self.operations.get(number), self.calls.get(number))
        else {
            return Err(EffectError::permanent("unknown_call", "there is no such call"));
        };
        let Operation { action, asking, fault, .. } = operation;
        let looks = self.calls.iter().take(number).filter(|before| before.key == call.key);
        let looks = u32::try_from(looks.count()).unwrap_or(u32::MAX);
        let truth = self.world.evidence(action, looks, self.now);
        let nothing = || Evidence::Artifact { digest: Digest::of(b"nothing"), bytes: 0 };
        match fault {
            #[cfg(planted_bugs)]
            Some(F::Transient)
                if release_core::planted::is(release_core::planted::Bug::LeakCredential) =>
            {
                Err(EffectError::transient("busy", format!("not for {}", super::CANARY)))
            }
            Some(F::Transient) => Err(EffectError::transient("busy", "try again later")),
            Some(F::Permanent) => Err(EffectError::permanent("refused", "this cannot be done")),
            Some(F::Unknown) => Err(EffectError::unknown("lost", "the connection was lost")),
            Some(F::WrongDigest) => Ok(other_digest(truth)),
            Some(F::Garbage) => Ok(nothing()),
            Some(F::NoData | F::Nan | F::Bad) => {
                let Action::Analyze { deployment, .. } = action else { return Ok(truth) };
                let digest = deployment.artifact.digest();
                let zero = release_core::model::Finite::ZERO;
                let canary = match fault {
                    Some(F::NoData) => Measurement::NoData { reason: "no samples".into() },
                    Some(F::Nan) => {
                        Measurement::Ratio { digest, numerator: zero, denominator: zero }
                    }
                    _ => return Ok(example(action, looks, self.now, false)),
                };
                Ok(match truth {
                    Evidence::Comparison { baseline, .. } => {
                        Evidence::Comparison { canary: Box::new(canary), baseline }
                    }
                    Evidence::Measurements { of } => {
                        Evidence::Measurements { of: of.iter().map(|_| canary.clone()).collect() }
                    }
                    Evidence::Comparisons { of } => {
                        let pair =
                            |Pair { baseline, .. }| Pair { canary: canary.clone(), baseline };
                        Evidence::Comparisons { of: of.into_iter().map(pair).collect() }
                    }
                    _ => Evidence::Measurement(canary),
                })
            }
            _ => match (asking, &mut self.world.fakes) {
                (Some(asking), Some(fakes)) => {
                    let output = fakes.follow(Some(number), (&call.key, asking))?;
                    Ok(Evidence::Custom { output })
                }
                _ => Ok(truth),
            },
        }
    }

    fn looked(&mut self, number: usize) -> Result<Observed, EffectError> {
        use ProviderFault as F;
        let (Some(operation), Some(call)) = (self.operations.get(number), self.calls.get(number))
        else {
            return Err(EffectError::permanent("unknown_call", "there is no such call"));
        };
        if let Some(F::Transient | F::Permanent | F::Unknown) = operation.fault {
            return Err(EffectError::unknown("lost", "the connection was lost"));
        }
        if call.nature == Nature::Opaque {
            return Err(EffectError::unknown("opaque", "it cannot be told what was done"));
        }
        let asking = operation.asking.as_ref();
        let resource = World::subject(asking, &operation.action, &call.key);
        let pending = resource.is_some_and(|resource| self.world.pending(&resource));
        if call.nature == Nature::Queryable && pending {
            return Err(EffectError::unknown("in_progress", "it is still under way"));
        }
        if let (Some(asking), Some(fakes)) = (asking, &mut self.world.fakes) {
            // As the SDK's registry does it: what is under way is asked for again, and so is what only the
            // answer tells of. Its key makes that one operation.
            return Ok(match fakes.look(&call.key, asking) {
                Progress::Done(output) => Observed::Applied(Evidence::Custom { output }),
                _ => Observed::NotApplied,
            });
        }
        Ok(self.world.look(&operation.action, &call.key))
    }

    /// Nobody waits for a call any more.
    fn end_of_call(&mut self, number: usize) {
        let tick = self.tick();
        if let Some(call) = self.calls.get_mut(number) {
            call.over.get_or_insert(tick);
        }
    }

    /// Drops the effects of a driver but those that are kept.
    pub(super) fn drop_effects(&mut self, driver: &mut Driver, keep: impl Fn(u32, u32) -> bool) {
        let dropped: Vec<_> = driver
            .effects
            .iter()
            .filter(|(step, (attempt, _))| !keep(**step, *attempt))
            .map(|(step, (_, call))| (*step, *call))
            .collect();
        for (step, call) in dropped {
            driver.effects.remove(&step);
            self.end_of_call(call);
        }
    }

    /// Tells the effects that go forward that nobody needs them, once the run no longer does. Half of the
    /// providers listen.
    pub(super) fn leave_off(&mut self, driver: &mut Driver) {
        if !driver.forward || *driver.state.phase() == Phase::Forward {
            return;
        }
        driver.forward = false;
        let calls: Vec<usize> = driver.effects.values().map(|(_, call)| *call).collect();
        for call in calls {
            if self.chance.pick(2) == 1 {
                let at = self.now.plus(Span::secs(1));
                self.later(at, Happening::Provider { call, part: Part::LeaveOff });
            }
        }
    }

    /// A provider noticed that nobody needs what it does: it leaves off, and cannot say how far it was.
    fn leaves_off(&mut self, number: usize) {
        let Some(operation) = self.operations.get_mut(number) else { return };
        if operation.answered {
            return;
        }
        if let Some((resource, newest)) = operation.resource.take() {
            self.world.forget(resource, newest);
        }
        operation.fault = Some(ProviderFault::Unknown);
        self.answer(number, false);
    }
}

/// Whether a call with this fault takes effect at all.
const fn takes_effect(fault: Option<ProviderFault>) -> bool {
    use ProviderFault as F;
    !matches!(fault, Some(F::Transient | F::Permanent | F::WrongDigest | F::Hang))
}

fn other_digest(evidence: Evidence) -> Evidence {
    let other = Digest::of(b"another artifact");
    match evidence {
        Evidence::Artifact { bytes, .. } => Evidence::Artifact { digest: other, bytes },
        Evidence::Instances { target, running, .. } => {
            Evidence::Instances { target, digest: other, running }
        }
        Evidence::Health { target, ready, unready, observed_at, .. } => {
            Evidence::Health { target, digest: other, ready, unready, observed_at }
        }
        Evidence::Measurement(one) => Evidence::Measurement(of_another(one, other)),
        Evidence::Comparison { canary, baseline } => {
            Evidence::Comparison { canary: Box::new(of_another(*canary, other)), baseline }
        }
        Evidence::Measurements { of } => Evidence::Measurements {
            of: of.into_iter().map(|one| of_another(one, other)).collect(),
        },
        Evidence::Comparisons { of } => {
            let pair =
                |Pair { canary, baseline }| Pair { canary: of_another(canary, other), baseline };
            Evidence::Comparisons { of: of.into_iter().map(pair).collect() }
        }
        same => same,
    }
}

fn of_another(measurement: Measurement, digest: Digest) -> Measurement {
    match measurement {
        Measurement::Ratio { numerator, denominator, .. } => {
            Measurement::Ratio { digest, numerator, denominator }
        }
        Measurement::Histogram { buckets, .. } => Measurement::Histogram { digest, buckets },
        Measurement::Value { value, at, .. } => Measurement::Value { digest, value, at },
        Measurement::Points { points, .. } => Measurement::Points { digest, points },
        none @ Measurement::NoData { .. } => none,
    }
}

fn said(outcome: &EffectOutcome) -> String {
    match outcome {
        EffectOutcome::Performed(Ok(_)) => "done".to_owned(),
        EffectOutcome::Looked(Ok(Observed::Applied(_))) => "applied".to_owned(),
        EffectOutcome::Looked(Ok(Observed::NotApplied)) => "not applied".to_owned(),
        EffectOutcome::Performed(Err(error)) | EffectOutcome::Looked(Err(error)) => {
            error.kind.clone()
        }
    }
}
