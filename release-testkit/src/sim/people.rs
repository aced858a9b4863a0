//! What people do in a simulation: they answer what runs wait for, make mistakes, and give commands that
//! nobody asked for.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{GateId, Principal, ServiceId, Span, StepId};
use release_core::port::Observed;
use release_core::run::{Awaiting, Command, Directive, Input, Wait};

use super::course::What;
use super::machine::{Happening, Machine, TRY_AGAIN};
use super::world::World;

/// Something that somebody does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// As the scenario says.
    Scripted(Directive),
    /// Approves a gate.
    Approve(GateId),
    /// Sees to a step that waits for a person.
    Operate(StepId),
    /// Resumes the run.
    Resume,
    /// Does what nobody asked for.
    Meddle(Command),
}

/// What people are about to do, and have done.
#[derive(Debug, Clone, Default)]
pub(super) struct People {
    /// For each run, what somebody was asked for and has not done yet.
    asked: Vec<BTreeSet<String>>,
    approvals: BTreeMap<(usize, GateId), usize>,
    retries: BTreeMap<(usize, StepId), u32>,
}

impl People {
    pub(super) fn new(runs: usize) -> Self {
        Self { asked: vec![BTreeSet::new(); runs], ..Self::default() }
    }

    /// Somebody approves a gate: how many did before.
    pub(super) fn approves(&mut self, run: usize, gate: &GateId) -> usize {
        let count = self.approvals.entry((run, gate.clone())).or_insert(0);
        let nth = *count;
        *count += 1;
        nth
    }
}

/// The note of a command, without an answer yet.
pub(super) fn commanded(run: usize, input: &Input) -> Option<What> {
    let Input::Directive(Directive { command, by, .. }) = input else { return None };
    let (by, command) = (by.to_string(), command.name().to_owned());
    Some(What::Commanded { run, by, command, refused: None })
}

impl Machine<'_> {
    /// Tells people what a run waits for.
    pub(super) fn ask_people(&mut self, run: usize) {
        let Some(driver) =
            self.driver_of(run).and_then(|engine| self.engines.get(engine)?.drivers.get(&run))
        else {
            return;
        };
        if driver.busy != super::shell::Busy::No || (self.setup.humans.absent && !self.healed) {
            return;
        }
        let mut acts = Vec::new();
        for waiting in driver.state.awaiting() {
            acts.extend(match waiting {
                Awaiting::Approval(gate) => Some((format!("approve {gate}"), Act::Approve(gate))),
                Awaiting::Operator(step) => Some((format!("operate {step}"), Act::Operate(step))),
                Awaiting::Resume => Some(("resume".to_owned(), Act::Resume)),
                _ => None,
            });
        }
        for (name, act) in acts {
            if self.people.asked.get_mut(run).is_some_and(|asked| asked.insert(name)) {
                let at = if self.healed {
                    self.now.plus(Span::secs(1))
                } else {
                    self.setup.humans.answers_at(self.now, &mut self.chance)
                };
                self.later(at, Happening::Human { run, act });
            }
        }
        if !self.healed && self.chance.happens(self.setup.humans.meddle) {
            let command = match self.chance.pick(6) {
                0 => Command::Cancel,
                1 => Command::ForceAbandon,
                2 => {
                    let members = self.members(run);
                    let count = u32::try_from(members.len()).unwrap_or(u32::MAX);
                    let member = members.into_iter().nth(self.chance.pick(count) as usize);
                    member.map_or(Command::Pause, |service| Command::Descope { service })
                }
                _ => Command::Pause,
            };
            let at = self.setup.humans.answers_at(self.now, &mut self.chance);
            self.later(at, Happening::Human { run, act: Act::Meddle(command) });
        }
    }

    /// The services that a run changes.
    fn members(&self, run: usize) -> BTreeSet<ServiceId> {
        let engine = self.driver_of(run).and_then(|engine| self.engines.get(engine));
        let driver = engine.and_then(|engine| engine.drivers.get(&run));
        let plan = driver.map(|driver| driver.state.plan().plan());
        let places = plan.iter().flat_map(|plan| plan.steps()).filter_map(|s| s.scope.place());
        places.filter_map(|place| place.service.clone()).collect()
    }

    pub(super) fn human(&mut self, run: usize, act: Act) {
        if self.over.get(run) != Some(&false) {
            return;
        }
        let Some(engine) = self.driver_of(run) else {
            // Nobody to tell it to now.
            return self.later(self.now.plus(TRY_AGAIN), Happening::Human { run, act });
        };
        if let Some(asked) = self.people.asked.get_mut(run) {
            match &act {
                Act::Approve(gate) => drop(asked.remove(&format!("approve {gate}"))),
                Act::Operate(step) => drop(asked.remove(&format!("operate {step}"))),
                Act::Resume => drop(asked.remove("resume")),
                Act::Scripted(_) | Act::Meddle(_) => {}
            }
        }
        let operator = self.setup.humans.operator.clone();
        match act {
            Act::Scripted(directive) => self.tell(engine, run, directive),
            Act::Resume => self.tell(engine, run, says(Command::Resume, operator)),
            Act::Meddle(command) => self.tell(engine, run, says(command, operator)),
            Act::Approve(gate) => self.approve(engine, run, gate),
            Act::Operate(step) => self.operate(engine, run, &step),
        }
        self.ask_people(run);
    }

    fn tell(&mut self, engine: usize, run: usize, directive: Directive) {
        self.send(engine, run, Input::Directive(directive));
    }

    fn approve(&mut self, engine: usize, run: usize, gate: GateId) {
        let humans = &self.setup.humans;
        let nth = self.people.approves(run, &gate);
        let Some(approver) = humans.approvers.get(nth % humans.approvers.len().max(1)).cloned()
        else {
            return;
        };
        let (twice, wrong) = (humans.twice, humans.wrong_button);
        if nth > 3 * humans.approvers.len() {
            let command = says(Command::Abandon, humans.operator.clone());
            return self.tell(engine, run, command);
        }
        if !self.healed && self.chance.happens(wrong) {
            return self.tell(engine, run, says(Command::Reject { gate }, approver));
        }
        let eager = !self.healed && self.chance.happens(twice);
        let approve = |by: Principal| says(Command::Approve { gate: gate.clone() }, by);
        if eager && let Some(departure) = self.setup.departures.get(run) {
            self.tell(engine, run, approve(departure.requester.clone()));
            self.tell(engine, run, approve(approver.clone()));
        }
        self.tell(engine, run, approve(approver));
    }

    /// A person looks what became of an unknown effect and says so, retries what failed, or gives up.
    fn operate(&mut self, engine: usize, run: usize, step: &StepId) {
        let operator = self.setup.humans.operator.clone();
        let driver = self.engines.get(engine).and_then(|slot| slot.drivers.get(&run));
        let Some(driver) = driver else { return };
        let Some(index) = driver.state.plan().find(step) else { return };
        let unknown = match driver.state.active(index).map(|active| &active.wait) {
            Some(Wait::Operator { unknown }) => *unknown,
            _ => return,
        };
        if unknown {
            let Some(definition) = driver.state.plan().get(index) else { return };
            let generation = driver.state.generation(index);
            let key = format!("{}/{}/{generation}", driver.state.run(), definition.id);
            let asking = self.world.asking(&definition.action, &driver.state);
            let resource = World::subject(asking.as_ref(), &definition.action, &key);
            if resource.is_some_and(|resource| self.world.pending(&resource)) {
                return; // it is still under way; they will be asked again
            }
            let applied = match (&asking, &mut self.world.fakes) {
                (Some(asking), Some(fakes)) => fakes.follow(None, (&key, asking)).is_ok(),
                _ => matches!(self.world.look(&definition.action, &key), Observed::Applied(_)),
            };
            let command = Command::Reconcile { step: step.clone(), applied };
            return self.tell(engine, run, says(command, operator));
        }
        let rejected = driver.state.plan().get(index).is_some_and(|step| {
            step.gates.iter().any(|gate| matches!(gate, release_core::model::Gate::Approval(_)))
        });
        if let Some(failed) = driver.state.plan().get(index) {
            self.world.put_right(&failed.action);
        }
        let retries = self.people.retries.entry((run, step.clone())).or_insert(0);
        *retries += 1;
        let command = if *retries > self.setup.humans.patience || rejected {
            if driver.state.needs_a_person() { Command::Abandon } else { Command::ForceAbandon }
        } else {
            Command::Retry { step: step.clone() }
        };
        self.tell(engine, run, says(command, operator));
    }
}

fn says(command: Command, by: Principal) -> Directive {
    Directive::new(command, by, "as people do")
}
