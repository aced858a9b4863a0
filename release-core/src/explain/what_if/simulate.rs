//! Lets assumptions happen to a run. It decides by `run` alone, as the engine does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::assumed::{self, Assumed};
use super::course::{Course, Refused};
use super::{Assumptions, WhatIfError};
use crate::analysis::example;
use crate::explain::{Explanation, explain};
use crate::flags::FlagReading;
use crate::ids::{GateId, StepId};
use crate::model::{Approval, Gate};
use crate::plan::Action;
use crate::port::{Evidence, Observed, Policy};
use crate::run::{
    Command, Directive, EffectOutcome, Event, Fact, Input, Mode, RunState, Status, Turn, Wait,
    advance, decide,
};
use crate::time::{Span, Timestamp};

/// Most events that are decided at once.
const EVENTS_A_TURN: usize = 4_096;
/// How often a policy is asked again that holds a step without naming an instant: as by the engine.
const ASK_AGAIN: Span = Span::secs(30);
/// The draw for jitter: half of the longest pause.
const DRAW: u64 = 1 << 63;
/// Most steps of which it is told what they still wait for.
const MOST_WAITING: usize = 64;

pub(super) struct Simulation<'a> {
    state: RunState,
    facts: Vec<Fact>,
    assumptions: &'a Assumptions,
    policy: &'a dyn Policy,
    now: Timestamp,
    until: Timestamp,
    /// When effects under way end: step, attempt, and whether it acts or looks.
    ends: BTreeSet<(Timestamp, u32, u32)>,
    modes: BTreeMap<(u32, u32), Mode>,
    /// When steps first acted, by step and generation.
    acted: BTreeMap<(u32, u32), Timestamp>,
    /// Commands to come, in order.
    inputs: VecDeque<(Timestamp, Directive)>,
    /// When approvals of gates come that were not named one by one.
    votes: BTreeSet<(Timestamp, GateId)>,
    asked_for: BTreeSet<GateId>,
    ask_again: Timestamp,
    refused: Vec<Refused>,
}

impl<'a> Simulation<'a> {
    pub(super) fn new(
        state: RunState,
        facts: Vec<Fact>,
        assumptions: &'a Assumptions,
        policy: &'a dyn Policy,
    ) -> Self {
        let now = assumptions.start.max(state.now());
        let mut inputs = assumptions.inputs.clone();
        inputs.sort_by_key(|(at, _)| *at);
        let mut all = Self {
            state,
            facts,
            assumptions,
            policy,
            now,
            until: now.plus(assumptions.horizon),
            ends: BTreeSet::new(),
            modes: BTreeMap::new(),
            acted: BTreeMap::new(),
            inputs: inputs.into(),
            votes: BTreeSet::new(),
            asked_for: BTreeSet::new(),
            ask_again: now,
            refused: Vec::new(),
        };
        all.take_up();
        all
    }

    /// What is under way, and what already waits for approvals.
    fn take_up(&mut self) {
        let mut under_way = Vec::new();
        let mut blocked = Vec::new();
        for (index, active) in self.state.all_active() {
            match &active.wait {
                Wait::Outcome { deadline, mode } => {
                    under_way.push((index, active.attempt, *deadline, *mode));
                }
                Wait::Blocked(_) => blocked.push(index),
                _ => {}
            }
        }
        for (index, attempt, deadline, mode) in under_way {
            let timeout = self.state.plan().step(index).timeout.as_duration();
            let before = i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX);
            let began = Timestamp::from_micros(deadline.as_micros().saturating_sub(before));
            self.begin(index, attempt, mode, began);
        }
        for index in blocked {
            self.ask_for_approvals(index);
        }
    }

    pub(super) fn run(mut self) -> Result<Course, WhatIfError> {
        self.check_gates()?;
        self.settle()?;
        while self.state.outcome().is_none() {
            let Some(next) = self.next_instant().filter(|next| *next <= self.until) else { break };
            self.now = self.now.max(next);
            self.happen()?;
            self.settle()?;
        }
        self.check_steps()?;
        let waiting = self.waiting();
        Ok(Course::new(&self.state, self.facts, waiting, self.refused))
    }

    fn check_gates(&self) -> Result<(), WhatIfError> {
        for (_, directive) in &self.assumptions.inputs {
            if let Command::Approve { gate } | Command::Reject { gate } | Command::Withdraw { gate } =
                &directive.command
                && self.approval(gate).is_none()
            {
                return Err(WhatIfError::UnknownGate { gate: gate.clone() });
            }
        }
        Ok(())
    }

    /// Steps of a rollback are known only once there is one; one that was not needed has none.
    fn check_steps(&self) -> Result<(), WhatIfError> {
        let plan = self.state.plan();
        let mut named: BTreeSet<&StepId> = self.assumptions.steps.keys().collect();
        named.extend(self.assumptions.fails.keys());
        if named.is_empty() {
            return Ok(());
        }
        let appended = plan.extensions().flat_map(|(_, extension)| &extension.steps);
        for step in plan.plan().steps().iter().chain(appended) {
            named.remove(&step.id);
        }
        match named.first() {
            Some(step) => Err(WhatIfError::UnknownStep { step: StepId::clone(step) }),
            None => Ok(()),
        }
    }

    fn approval(&self, id: &GateId) -> Option<&Approval> {
        let gates = self.state.plan().plan().steps().iter().flat_map(|step| &step.gates);
        gates.filter_map(Gate::approval).find(|approval| approval.id == *id)
    }

    fn next_instant(&self) -> Option<Timestamp> {
        let effects = self.ends.first().map(|(at, _, _)| *at);
        let inputs = self.inputs.front().map(|(at, _)| *at);
        let votes = self.votes.first().map(|(at, _)| *at);
        let again = self.state.asks_policy().then_some(self.ask_again);
        let all = [effects, inputs, votes, again, self.state.next_wakeup()];
        all.into_iter().flatten().min()
    }

    /// All that comes in by now.
    fn happen(&mut self) -> Result<(), WhatIfError> {
        while let Some((_, step, attempt)) = pop_due(&mut self.ends, self.now) {
            let outcome = self.outcome(step, attempt);
            self.decide(&Input::Outcome { step, attempt, outcome })?;
        }
        while self.inputs.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, directive)) = self.inputs.pop_front() else { break };
            self.decide(&Input::Directive(directive))?;
        }
        while self.votes.first().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, gate)) = self.votes.pop_first() else { break };
            self.asked_for.remove(&gate);
            let wanted = self.approval(&gate).map(assumed::approvals);
            for directive in wanted.into_iter().flatten().collect::<Vec<_>>() {
                self.decide(&Input::Directive(directive))?;
            }
        }
        if self.state.asks_policy() && self.ask_again <= self.now {
            self.ask_again = self.now.plus(ASK_AGAIN);
            self.decide(&Input::Reconsider)?;
        }
        Ok(())
    }

    fn decide(&mut self, input: &Input) -> Result<(), WhatIfError> {
        if self.state.outcome().is_some() {
            return Ok(());
        }
        let mut fresh = Vec::new();
        let policy = Assumed(self.policy);
        let turn = Turn::new(self.now, DRAW, &policy);
        if let Err(rejected) = decide(&self.state, input, &turn, &mut fresh)
            && let Input::Directive(directive) = input
        {
            let command = directive.command.name().to_owned();
            self.refused.push(Refused { at: self.now, command, why: rejected.to_string() });
        }
        self.fold(&mut fresh)?;
        self.settle()
    }

    fn settle(&mut self) -> Result<(), WhatIfError> {
        let (mut fresh, policy) = (Vec::new(), Assumed(self.policy));
        loop {
            let turn = Turn::new(self.now, DRAW, &policy);
            advance(&self.state, &turn, EVENTS_A_TURN, &mut fresh);
            if fresh.is_empty() {
                return Ok(());
            }
            self.fold(&mut fresh)?;
        }
    }

    fn fold(&mut self, fresh: &mut Vec<Event>) -> Result<(), WhatIfError> {
        for event in fresh.drain(..) {
            if self.facts.len() >= self.assumptions.limit {
                return Err(WhatIfError::TooManyEvents { limit: self.assumptions.limit });
            }
            self.state.evolve(self.now, &event)?;
            match &event {
                Event::StepStarted { step, attempt, mode, .. }
                    if !self.state.plan().step(step.index).action.is_pure() =>
                {
                    self.begin(step.index, *attempt, *mode, self.now);
                }
                Event::StepBlocked { step, .. } => self.ask_for_approvals(step.index),
                _ => {}
            }
            self.facts.push(Fact { at: self.now, event });
        }
        Ok(())
    }

    /// An effect is under way since `began`; a look takes no time.
    fn begin(&mut self, index: u32, attempt: u32, mode: Mode, began: Timestamp) {
        let end = match mode {
            Mode::Perform => {
                self.acted.entry((index, self.state.generation(index))).or_insert(began);
                began.plus(self.duration(index))
            }
            Mode::Look => began,
        };
        self.ends.insert((end.max(self.now), index, attempt));
        self.modes.insert((index, attempt), mode);
    }

    fn duration(&self, index: u32) -> Span {
        let Assumptions { steps, effects, .. } = self.assumptions;
        steps.get(&self.state.plan().step(index).id).copied().unwrap_or(*effects)
    }

    fn ask_for_approvals(&mut self, index: u32) {
        let Some(span) = self.assumptions.approvals else { return };
        let at = self.now.plus(span);
        let wanted = self.state.approvals_for(index).map(|wanted| wanted.id.clone());
        for id in wanted.collect::<Vec<_>>() {
            if self.asked_for.insert(id.clone()) {
                self.votes.insert((at, id));
            }
        }
    }

    /// How an effect ends: as was assumed. A look finds what was begun long enough ago.
    fn outcome(&mut self, index: u32, attempt: u32) -> EffectOutcome {
        let step = self.state.plan().step(index);
        let mode = self.modes.remove(&(index, attempt)).unwrap_or(Mode::Perform);
        let fails = self.assumptions.fails.get(&step.id);
        let looks = self.state.active(index).map_or(0, |active| active.measured.looks());
        let good = || faithful(&step.action, looks, self.now);
        match mode {
            Mode::Perform => {
                EffectOutcome::Performed(fails.map_or_else(|| Ok(good()), |e| Err(e.clone())))
            }
            Mode::Look => {
                let acted = self.acted.get(&(index, self.state.generation(index)));
                let done = acted.is_some_and(|at| at.plus(self.duration(index)) <= self.now);
                let found = done && fails.is_none();
                let observed = if found { Observed::Applied(good()) } else { Observed::NotApplied };
                EffectOutcome::Looked(Ok(observed))
            }
        }
    }

    fn waiting(&self) -> Vec<Explanation> {
        if self.state.outcome().is_some() {
            return Vec::new();
        }
        let all = (0..).map_while(|index| Some((index, self.state.status(index)?)));
        let waits = |(index, status): &(u32, Status)| {
            !matches!(status, Status::Pending) && !self.state.is_done(*index)
        };
        let policy = Assumed(self.policy);
        let found = all.filter(waits).filter_map(|(index, _)| {
            let found = explain(&self.state, index, self.now, &policy).ok()?;
            (!found.is_free() && !found.is_final()).then_some(found)
        });
        found.take(MOST_WAITING).collect()
    }
}

fn pop_due(
    ends: &mut BTreeSet<(Timestamp, u32, u32)>,
    now: Timestamp,
) -> Option<(Timestamp, u32, u32)> {
    if ends.first().is_some_and(|(at, _, _)| *at <= now) { ends.pop_first() } else { None }
}

/// What an effect observes that did what it was asked.
fn faithful(action: &Action, looks: u32, now: Timestamp) -> Evidence {
    match action {
        Action::VerifyArtifact { artifact } => {
            Evidence::Artifact { digest: artifact.digest(), bytes: 0 }
        }
        Action::Scale { deployment, replicas, .. } => Evidence::Instances {
            target: deployment.target.clone(),
            digest: deployment.artifact.digest(),
            running: *replicas,
        },
        Action::Probe { deployment, min_ready } => Evidence::Health {
            target: deployment.target.clone(),
            digest: deployment.artifact.digest(),
            ready: *min_ready,
            unready: Vec::new(),
            observed_at: Some(now),
        },
        Action::Route { target, weights, rules } | Action::Confirm { target, weights, rules } => {
            Evidence::Weights {
                rules: rules.clone(),
                target: target.clone(),
                weights: weights.clone(),
                served: Vec::new(),
            }
        }
        Action::Analyze { .. } => example(action, looks, now, true),
        Action::Flag(flag) => Evidence::Flag(FlagReading {
            environment: flag.environment.clone(),
            flag: flag.flag.clone(),
            state: flag.wanted().unwrap_or_default(),
            revision: 0,
            killed: None,
        }),
        Action::Sync | Action::Bake { .. } | Action::Notify { .. } | Action::Custom { .. } => {
            Evidence::Done
        }
    }
}
