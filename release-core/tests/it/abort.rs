//! From every state of every built-in strategy, an abort reaches a state in which all traffic is on a
//! version that runs and is healthy. Explored exhaustively: every way in which each effect can end, a
//! cancel and a crash at every state.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{
    BlueGreen, Canary, CanaryStep, Definition, Digest, Rolling, Service, Span, Strategy, Target,
};
use release_core::plan::{Action, FrozenPlan, Weight, plan};
use release_core::port::{EffectError, Evidence, Observed, PermitAll};
use release_core::run::{
    Command, Directive, EffectOutcome, Event, Fact, Input, Mode, Outcome, Phase, RunState, Status,
    Turn, Wait, turn,
};
use release_core::time::Timestamp;

use super::support::samples::{any, artifact, id, one_service, person, set};
use super::support::world::{START, faithful, ratio};

const REPLICAS: u32 = 2;

/// What is really there, in each target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct World(BTreeMap<Target, Place>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    running: BTreeMap<Digest, u32>,
    shares: BTreeMap<Digest, u8>,
}

impl World {
    /// The old versions run and have all traffic.
    fn before(definition: &Definition) -> Self {
        let old = |service: &Service| {
            let digest = definition.release.previous.get(&service.id).unwrap().artifact.digest();
            let place = Place {
                running: BTreeMap::from([(digest, REPLICAS)]),
                shares: BTreeMap::from([(digest, 100)]),
            };
            (Target::new(id("prod"), id("eu"), service.id.clone()), place)
        };
        Self(definition.services.iter().map(old).collect())
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Scale { deployment, replicas } => {
                let place = self.0.get_mut(&deployment.target).unwrap();
                place.running.insert(deployment.artifact.digest(), *replicas);
                place.running.retain(|_, running| *running > 0);
            }
            Action::Route { target, weights } => {
                let shares =
                    weights.iter().map(|Weight { digest, percent, .. }| (*digest, *percent));
                self.0.get_mut(target).unwrap().shares = shares.collect();
            }
            _ => {}
        }
    }

    fn running(&self, target: &Target, digest: Digest) -> u32 {
        self.0[target].running.get(&digest).copied().unwrap_or(0)
    }

    /// What an honest provider sees: not what was asked for, but what is.
    fn observe(&self, action: &Action) -> Evidence {
        match action {
            Action::Scale { deployment, .. } => {
                let digest = deployment.artifact.digest();
                let (target, running) =
                    (&deployment.target, self.running(&deployment.target, digest));
                Evidence::Instances { target: target.clone(), digest, running }
            }
            Action::Probe { deployment, .. } => {
                let digest = deployment.artifact.digest();
                let ready = self.running(&deployment.target, digest);
                let target = deployment.target.clone();
                Evidence::Health { target, digest, ready, unready: Vec::new() }
            }
            Action::Route { target, .. } => {
                let weight =
                    |(digest, percent): (&Digest, &u8)| Weight::new(*digest, id("0.0.0"), *percent);
                let weights = self.0[target].shares.iter().map(weight).collect();
                Evidence::Weights { target: target.clone(), weights, served: Vec::new() }
            }
            other => faithful(other),
        }
    }

    fn is_as(&self, action: &Action) -> bool {
        let mut wanted = self.clone();
        wanted.apply(action);
        wanted == *self
    }

    /// All traffic is on versions that run, all of them fully.
    fn is_whole(&self) -> bool {
        self.0.values().all(|place| {
            place.shares.values().map(|share| u32::from(*share)).sum::<u32>() == 100
                && place.shares.iter().all(|(digest, share)| {
                    *share == 0 || place.running.get(digest) == Some(&REPLICAS)
                })
        })
    }

    /// Somebody serves every request, if not with all instances.
    fn serves(&self) -> bool {
        self.0.values().all(|place| {
            let runs = |digest: &Digest| place.running.get(digest).is_some_and(|n| *n > 0);
            place.shares.iter().all(|(digest, share)| *share == 0 || runs(digest))
        })
    }
}

/// How an effect under way goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Good,
    Refused,
    Busy,
    /// Nobody hears of it, and it took effect, or did not.
    Lost {
        applied: bool,
    },
    /// A measurement beyond its limit.
    Bad,
}

#[derive(Clone)]
struct Node {
    state: RunState,
    world: World,
    now: Timestamp,
    cancelled: bool,
}

/// What tells two nodes apart: neither the time nor the number of attempts, by which nothing is decided.
type Key = (Vec<u8>, String, Vec<(u32, bool, u32, [u32; 3], String)>, World, bool);

impl Node {
    fn key(&self) -> Key {
        let statuses = (0..).map_while(|index| self.state.status(index)).map(|s| s as u8).collect();
        let phase = match self.state.phase() {
            Phase::Forward => "forward".to_owned(),
            Phase::Stopping(cause) => format!("stopping {cause}"),
            Phase::RollingBack(cause) => format!("rolling back {cause}"),
            Phase::Abandoning { .. } => "abandoning".to_owned(),
            Phase::Finished(outcome) => outcome.to_string(),
        };
        let active = self.state.all_active().into_iter().map(|(index, active)| {
            let measured =
                [active.measured.good, active.measured.bad, active.measured.inconclusive];
            let wait = match &active.wait {
                Wait::Outcome { mode, .. } => format!("{mode:?}"),
                Wait::Bake { .. } => "bake".into(),
                Wait::Attempt { .. } => "attempt".into(),
                Wait::Measurement { .. } => "measurement".into(),
                Wait::Look { .. } => "look".into(),
                Wait::Blocked(_) => "blocked".into(),
                Wait::Operator { unknown } => format!("operator {unknown}"),
            };
            (index, active.attempt > 0, active.failures, measured, wait)
        });
        (statuses, phase, active.collect(), self.world.clone(), self.cancelled)
    }

    fn input(&mut self, input: Option<&Input>) -> Vec<Event> {
        let decision = Turn::new(self.now, 7, &PermitAll);
        turn(&mut self.state, input, &decision, 10_000).unwrap()
    }

    fn under_way(&self) -> Vec<(u32, u32, Mode)> {
        let active = self.state.all_active().into_iter();
        active
            .filter_map(|(index, active)| match active.wait {
                Wait::Outcome { mode, .. } => Some((index, active.attempt, mode)),
                _ => None,
            })
            .collect()
    }

    fn end(&self, (step, attempt, mode): (u32, u32, Mode), end: End) -> Option<Self> {
        let mut next = self.clone();
        let action = self.state.plan().get(step).unwrap().action.clone();
        let changes = action.mutates() && mode == Mode::Perform;
        let outcome = match end {
            End::Good => {
                if changes {
                    next.world.apply(&action);
                }
                Ok(next.world.observe(&action))
            }
            End::Bad => match &action {
                Action::Analyze { deployment, .. } => {
                    Ok(ratio(deployment.artifact.digest(), 99.0, 100.0))
                }
                _ => return None,
            },
            End::Refused if mode == Mode::Perform => Err(EffectError::permanent("no", "never")),
            End::Busy if mode == Mode::Perform => Err(EffectError::transient("busy", "later")),
            End::Lost { applied } if !applied || changes => {
                if applied {
                    next.world.apply(&action);
                }
                Err(EffectError::unknown("lost", "no answer"))
            }
            _ => return None,
        };
        let outcome = match mode {
            Mode::Perform => EffectOutcome::Performed(outcome),
            Mode::Look => EffectOutcome::Looked(outcome.map(|evidence| {
                if next.world.is_as(&action) {
                    Observed::Applied(evidence)
                } else {
                    Observed::NotApplied
                }
            })),
        };
        next.input(Some(&Input::Outcome { step, attempt, outcome }));
        Some(next)
    }

    fn command(&self, command: Command) -> Self {
        let mut next = self.clone();
        next.input(Some(&Input::Directive(Directive::new(command, person("bob"), "because"))));
        next
    }

    /// Everything that can happen next. In a rollback, effects fail in passing only: one that fails for good
    /// waits for a person, which `a_rollback_that_fails_is_never_called_one` is about.
    fn successors(&self, failing: bool) -> Vec<Self> {
        let mut next = Vec::new();
        let back = matches!(self.state.phase(), Phase::RollingBack(_));
        for effect in self.under_way() {
            let mut ends = vec![End::Good];
            if failing {
                ends.extend([End::Lost { applied: true }, End::Lost { applied: false }, End::Busy]);
            }
            if failing && !back {
                ends.extend([End::Refused, End::Bad]);
            }
            next.extend(ends.into_iter().filter_map(|end| self.end(effect, end)));
        }
        if !self.cancelled && *self.state.phase() == Phase::Forward {
            let mut cancelled = self.command(Command::Cancel);
            cancelled.cancelled = true;
            next.push(cancelled);
        }
        if failing && !self.under_way().is_empty() {
            let mut crashed = self.clone();
            crashed.input(Some(&Input::TakeOver { engine: "heir".into() }));
            next.push(crashed);
        }
        if self.under_way().is_empty()
            && let Some(at) = self.state.next_wakeup()
        {
            let mut later = self.clone();
            later.now = later.now.max(at);
            later.input(None);
            next.push(later);
        }
        for (index, active) in self.state.all_active() {
            let step = self.state.plan().get(index).unwrap();
            next.extend(match active.wait {
                // A person looks and says what is.
                Wait::Operator { unknown: true } => {
                    let applied = !step.action.mutates() || self.world.is_as(&step.action);
                    Some(self.command(Command::Reconcile { step: step.id.clone(), applied }))
                }
                Wait::Operator { unknown: false } => {
                    Some(self.command(Command::Retry { step: step.id.clone() }))
                }
                _ => None,
            });
        }
        next
    }
}

fn begin(definition: &Definition) -> Node {
    let plan: FrozenPlan = plan(definition).unwrap().freeze();
    let event = Event::RunCreated {
        plan: plan.digest(),
        definition: None,
        supersedes: None,
        policy: None,
        requester: person("ann"),
    };
    let first = Fact { at: START, event };
    let state = RunState::create(id("run"), plan, &first).unwrap();
    let mut node = Node { state, world: World::before(definition), now: START, cancelled: false };
    node.input(None);
    node
}

/// Explores everything, and returns how many states there are.
fn explore(definition: &Definition, downtime: bool, failing: bool) -> usize {
    let before = World::before(definition);
    let (mut seen, mut open) = (BTreeSet::new(), vec![begin(definition)]);
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    while let Some(node) = open.pop() {
        if !seen.insert(node.key()) {
            continue;
        }
        assert!(downtime || node.world.serves(), "nobody serves: {:?}", node.key());
        if let Some(outcome) = node.state.outcome() {
            *ends.entry(outcome.name()).or_default() += 1;
            assert!(node.world.is_whole(), "{outcome}: {:?}", node.world);
            let back = matches!(outcome, Outcome::RolledBack { .. } | Outcome::Cancelled { .. });
            assert!(!back || node.world == before, "{outcome}: {:?}", node.world);
            assert!(
                matches!(outcome, Outcome::Failed { .. }) || back || *outcome == Outcome::Succeeded
            );
            continue;
        }
        let next = node.successors(failing);
        assert!(!next.is_empty(), "stuck: {:?}", node.state.awaiting());
        open.extend(next);
    }
    assert!(ends.contains_key("rolled_back") && ends.contains_key("succeeded"), "{ends:?}");
    println!("{:>8} states, ends {ends:?}", seen.len());
    seen.len()
}

fn release(strategy: Strategy) -> Definition {
    let mut definition = one_service(strategy);
    definition.services[0].replicas = REPLICAS;
    definition.stages[0].attempts = 2;
    definition.analyses[0].count = 1;
    definition
}

fn canary(weights: &[u8]) -> Strategy {
    let steps = weights.iter().map(|weight| CanaryStep::new(*weight, Span::secs(60)));
    Strategy::Canary(Canary { steps: steps.collect(), keep_old: Span::secs(60) })
}

fn blue_green() -> Strategy {
    let bake = Span::secs(60);
    Strategy::BlueGreen(BlueGreen { bake, keep_old: bake, ..BlueGreen::default() })
}

fn rolling(max_unavailable: u32) -> Strategy {
    Strategy::Rolling(Rolling { batches: 2, max_unavailable, bake: Span::secs(60) })
}

#[test]
fn f25_f30_from_every_state_of_every_strategy_an_abort_ends_on_a_healthy_version() {
    let all = [
        ("recreate", Strategy::Recreate, true),
        ("rolling, adding first", rolling(0), false),
        ("rolling, making room", rolling(1), false),
        ("blue-green", blue_green(), false),
        ("canary", canary(&[10, 50]), false),
        ("canary to 100", canary(&[50, 100]), false),
    ];
    let mut total = 0;
    for (name, strategy, downtime) in all {
        print!("{name:>22}: ");
        total += explore(&release(strategy), downtime, true);
    }
    println!("{total} states in all");
    assert!(total > 10_000, "{total}");
}

/// Two services of which one needs the other: the set is aborted as one, at every state.
#[test]
fn from_every_state_of_a_set_an_abort_ends_on_the_set_that_was_there() {
    let mut definition = release(canary(&[50]));
    let web = Service { depends_on: vec![any("api")], ..Service::new(id("web"), id("team")) };
    definition.services.push(web.replicas(REPLICAS));
    definition.release.versions = set(&[("api", "2.0.0"), ("web", "2.0.0")]);
    definition.release.previous = set(&[("api", "1.0.0"), ("web", "1.0.0")]);
    explore(&definition, false, false);
}

/// flagger #1898: an abort during promotion sent all traffic to the broken version and scaled the
/// healthy one to zero. Here the healthy one is back and ready before it gets any traffic, and the
/// broken one goes only then.
#[test]
fn flagger_1898_an_abort_while_the_old_version_is_removed_brings_it_back_first() {
    let mut node = begin(&release(canary(&[50])));
    let (old, new) = (artifact("api", "1.0.0").digest(), artifact("api", "2.0.0").digest());
    let target = Target::new(id("prod"), id("eu"), id("api"));
    let remove = node.state.plan().find(&id("prod/eu/api/remove-old")).unwrap();
    while node.state.status(remove) != Some(Status::Running) {
        let effect = node.under_way().first().copied();
        node = match effect {
            Some(effect) => node.end(effect, End::Good).unwrap(),
            None => node.successors(false).pop().unwrap(),
        };
    }
    // The old version is gone, and nobody heard of it.
    let effect = node.under_way()[0];
    node = node.end(effect, End::Lost { applied: true }).unwrap().command(Command::Cancel);
    assert_eq!((node.world.running(&target, old), node.world.0[&target].shares[&new]), (0, 100));
    let mut course = Vec::new();
    while node.state.outcome().is_none() {
        let effect = node.under_way().first().copied();
        node = match effect {
            Some(effect) => node.end(effect, End::Good).unwrap(),
            None => node.successors(false).pop().unwrap(),
        };
        let place = &node.world.0[&target];
        let share = |digest| place.shares.get(&digest).copied().unwrap_or(0);
        let now = (node.world.running(&target, old), share(old), node.world.running(&target, new));
        if course.last() != Some(&now) {
            course.push(now);
        }
    }
    assert!(matches!(node.state.outcome(), Some(Outcome::RolledBack { .. })));
    // (old instances, the old version's share, new instances)
    assert_eq!(course, [(0, 0, 2), (2, 0, 2), (2, 100, 2), (2, 100, 0)]);
}
