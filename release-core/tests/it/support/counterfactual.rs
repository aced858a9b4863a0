//! The past as it was not: a run in which some of what holds a step is lifted.

use release_core::explain::{Explanation, ObstacleKind};
use release_core::plan::Plan;
use release_core::port::{Admission, CommandRequest, Decision, Evidence, Policy};
use release_core::run::{Event, Fact, Permits, RunState, StepRef, Turn, Wait, WakeUp, advance};
use release_core::time::Timestamp;
use serde_json::{Value, json};

use super::bounds::Bounds;
use super::drive::Run;
use super::samples::{id, person};

/// What the policy says, but for one step that it permits; while nobody knows what time it is, it permits
/// nothing else.
#[derive(Debug)]
struct But<'a>(&'a dyn Policy, Option<String>, bool);

impl But<'_> {
    fn asks(&self, request: &Admission<'_>) -> Decision {
        if self.1.as_deref() == Some(request.step.id.as_str()) {
            return Decision::permit();
        }
        match self.0.admit(request) {
            Decision::Permit { .. } if self.2 => Decision::wait(None, Vec::new()),
            decision => decision,
        }
    }
}

/// A policy is `'static`, so the answers of one that is borrowed are looked up beforehand.
#[derive(Debug)]
struct Answers(Vec<(String, Decision)>);

impl Policy for Answers {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let step = request.step.id.as_str();
        self.0.iter().find(|(id, _)| id == step).map_or(Decision::permit(), |(_, d)| d.clone())
    }
    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

fn answers(state: &RunState, now: Timestamp, but: &But<'_>) -> Answers {
    let steps = state.plan().plan().steps().iter();
    let ask = |step| but.asks(&Admission::new(state.run(), state.requester(), step, now));
    Answers(steps.map(|step| (step.id.to_string(), ask(step))).collect())
}

/// A past in which the named obstacles of one step are lifted.
pub(crate) struct Counterfactual<'a> {
    run: &'a Run,
    step: u32,
    plan: Value,
    facts: Vec<Fact>,
    aux: Option<StepRef>,
    resumed: bool,
    looked_at: bool,
    permitted: bool,
    permits: Permits,
    bounds: &'a Bounds,
}

impl<'a> Counterfactual<'a> {
    pub(crate) fn of(run: &'a Run, step: u32, found: &Explanation, bounds: &'a Bounds) -> Self {
        let permits = bounds.once_asked(run, step);
        let plan = serde_json::from_slice(run.state.plan().bytes()).unwrap();
        let late = |kind: &ObstacleKind| matches!(kind, ObstacleKind::AskedAgain { .. });
        let looked_at = !found.obstacles.iter().any(|obstacle| late(&obstacle.kind));
        let facts = run.facts.clone();
        let (aux, resumed, permitted) = (None, false, false);
        Self { run, step, plan, facts, aux, resumed, looked_at, permitted, permits, bounds }
    }

    pub(crate) fn lift(&mut self, kind: &ObstacleKind) {
        match kind {
            ObstacleKind::Dependency { step, .. } => self.lift_dependency(step.index),
            ObstacleKind::Paused => self.resumed = true,
            ObstacleKind::Approval { gate, .. } | ObstacleKind::Rejected { gate, .. } => {
                self.keep_gates(|g| g["approval"]["id"] != gate.as_str());
            }
            ObstacleKind::Soak { .. } => self.keep_gates(|gate| gate.get("soak").is_none()),
            ObstacleKind::NotBefore { .. } => {
                self.keep_gates(|gate| gate.get("not_before").is_none());
            }
            ObstacleKind::Policy { .. } => self.permitted = true,
            ObstacleKind::Permits { .. } => {
                for want in self.permits.wants(&self.run.state, self.step) {
                    self.permits.has(want.unit);
                }
            }
            ObstacleKind::AskedAgain { .. } => self.looked_at = true,
            ObstacleKind::Places { .. } => self.plan["max_parallel"] = json!(1_000),
            ObstacleKind::Retry { .. }
            | ObstacleKind::Measurement { .. }
            | ObstacleKind::OutcomeUnknown { .. } => self.hurry(),
            other => panic!("{other:?} is not lifted by another past"),
        }
    }

    /// The step waits for a step that was always there instead, and that is done last of all.
    fn lift_dependency(&mut self, other: u32) {
        let base = u32::try_from(self.run.state.plan().base_len()).unwrap();
        let aux_step = json!({"id": "aux", "action": {"type": "sync"}});
        if self.step >= base {
            let (step, other) = (self.step - base, other - base);
            let started = self.facts.iter_mut().find_map(|fact| match &mut fact.event {
                Event::RollbackStarted { extension, .. } => Some(extension),
                _ => None,
            });
            let extension = started.expect("a rollback");
            let count = u32::try_from(extension.steps.len()).unwrap();
            let aux = self.aux.get_or_insert_with(|| {
                extension.steps.push(serde_json::from_value(aux_step).unwrap());
                StepRef { index: base + count, id: id("aux") }
            });
            for edge in extension.edges.iter_mut().filter(|e| e.from == other && e.to == step) {
                edge.from = aux.index - base;
            }
            return;
        }
        let aux = self.aux.get_or_insert_with(|| {
            self.plan["steps"].as_array_mut().unwrap().push(aux_step);
            StepRef { index: base, id: id("aux") }
        });
        for edge in self.plan["edges"].as_array_mut().unwrap() {
            if edge["from"] == other && edge["to"] == self.step {
                edge["from"] = json!(aux.index);
            }
        }
    }

    fn keep_gates(&mut self, keep: impl Fn(&Value) -> bool) {
        let gates = &mut self.plan["steps"][self.step as usize]["gates"];
        gates.as_array_mut().expect("gates").retain(keep);
    }

    /// The instant that the step waits for came at once.
    fn hurry(&mut self) {
        let step = self.step;
        let about = |fact: &&mut Fact| fact.event.step().is_some_and(|s| s.index == step);
        for fact in self.facts.iter_mut().rev().filter(about) {
            match &mut fact.event {
                Event::StepRetried { at, .. }
                | Event::OutcomeUnknown { at, .. }
                | Event::AlternateChosen { at, .. }
                | Event::StepMeasured { next: at, .. } => {
                    *at = fact.at;
                    return;
                }
                _ => {}
            }
        }
        panic!("nothing sets an instant for step {step}");
    }

    /// Whether the step goes on at once; nothing, if another failed first, or if what was kept went away
    /// with the others: a point where steps meet is passed as soon as the run is resumed.
    pub(crate) fn goes_on(
        mut self,
        policy: &dyn Policy,
        kept: Option<&ObstacleKind>,
    ) -> Option<bool> {
        let now = self.run.now;
        let bytes = serde_json::to_vec(&self.plan).unwrap();
        let plan = Plan::decode(&bytes).unwrap_or_else(|e| panic!("{e}: {}", self.plan));
        if let Event::RunCreated { plan: pinned, .. } = &mut self.facts[0].event {
            *pinned = plan.digest();
        }
        let mut state = RunState::replay(id("run-1"), plan, &self.facts).unwrap();
        let happens = |state: &mut RunState, event: Event| state.evolve(now, &event).unwrap();
        if let Some(step) = self.aux.take() {
            let event = Event::StepSucceeded {
                step,
                evidence: Evidence::Done,
                because: None,
                basis: None,
                finding: None,
            };
            happens(&mut state, event);
        }
        // What is due is looked at anyway, and in its turn.
        let later = state.active(self.step).is_some_and(|active| match &active.wait {
            Wait::Blocked(WakeUp::Instant { at }) => *at > now,
            wait => matches!(wait, Wait::Blocked(_)),
        });
        if self.looked_at && later {
            let name = state.plan().get(self.step).unwrap().id.clone();
            let step = StepRef { index: self.step, id: name };
            let wake = WakeUp::Instant { at: now };
            happens(&mut state, Event::StepBlocked { step, reasons: vec![], wake, inputs: None });
        }
        if self.resumed {
            happens(&mut state, Event::Resumed { by: person("bob"), reason: "because".into() });
        }
        let name = state.plan().get(self.step).unwrap().id.to_string();
        let policy = answers(
            &state,
            now,
            &But(policy, self.permitted.then_some(name), self.bounds.doubtful),
        );
        let waited_for = kept.and_then(|kind| match kind {
            ObstacleKind::Dependency { step, .. } => Some(step.index),
            _ => None,
        });
        drive(&mut state, (self.step, waited_for), now, (&policy, &self.permits))
    }
}

fn drive(
    state: &mut RunState,
    (step, waited_for): (u32, Option<u32>),
    now: Timestamp,
    (policy, permits): (&dyn Policy, &Permits),
) -> Option<bool> {
    loop {
        let mut fresh = Vec::new();
        let turn = Turn { permits: Some(permits), ..Turn::new(now, 7, policy) };
        advance(state, &turn, 1, &mut fresh);
        let Some(event) = fresh.first() else { return Some(false) };
        match event {
            Event::StepStarted { step: s, .. } | Event::StepSucceeded { step: s, .. }
                if s.index == step =>
            {
                return Some(true);
            }
            Event::StepSucceeded { step: s, .. } if Some(s.index) == waited_for => return None,
            Event::StepFailed { .. } => return None,
            _ => {}
        }
        state.evolve(now, event).unwrap();
    }
}
