use release_core::model::{
    ArtifactRef, Canary, CanaryStep, Definition, Environment, Principal, Release, RollbackCriteria,
    RollbackScope, RollbackTrigger, Service, Stage, Strategy, Tier, VersionSet,
};
use release_core::plan::{Action, FrozenPlan, plan};
use release_core::port::Evidence;
use release_core::run::{EffectOutcome, Event, Fact, Input, RunState, Status, Turn, turn};

use super::*;

fn finite(value: f64) -> Finite {
    Finite::new(value).unwrap()
}

fn now() -> Timestamp {
    "2026-11-23T14:00:00Z".parse().unwrap()
}

/// A tenth of what 0.999 allows has to be left.
fn checkout() -> ErrorBudget {
    let reach = Reach::environment("production".parse().unwrap());
    ErrorBudget::new("checkout", reach, finite(0.999), finite(0.1))
}

/// Of a million requests a thousand may fail.
fn failed(failed: f64) -> BudgetReading {
    BudgetReading::new(finite(failed), finite(1e6), now())
}

fn budgets(reading: BudgetReading) -> ErrorBudgets {
    ErrorBudgets::new([checkout()]).unwrap().read("checkout", reading)
}

fn definition(environment: &str, priority: Priority) -> Definition {
    let set = |version: &str| {
        let digest = Digest::of(version.as_bytes());
        let artifact = ArtifactRef::new("api".parse().unwrap(), digest);
        VersionSet::new().with("api".parse().unwrap(), version.parse().unwrap(), artifact)
    };
    let mut release = Release::new("r-1".parse().unwrap(), set("2.0.0"));
    release.previous = set("1.0.0");
    release.priority = priority;
    let triggers = vec![RollbackTrigger::StepFailed];
    release.rollback = Some(RollbackCriteria { scope: RollbackScope::Environment, triggers });
    let steps = [10, 50].map(|weight| CanaryStep::new(weight, Span::secs(60))).to_vec();
    let id = environment.parse().unwrap();
    let (owner, regions) = ("sre".parse().unwrap(), vec!["eu".parse().unwrap()]);
    Definition::builder("shop".parse().unwrap(), release)
        .service(Service::new("api".parse().unwrap(), "team".parse().unwrap()))
        .environment(Environment { id, tier: Tier::Production, owner, regions })
        .stage(Stage::new(environment.parse().unwrap(), Strategy::Canary(Canary::new(steps))))
        .build()
}

/// A run whose policy may change from turn to turn.
struct Run {
    state: RunState,
    now: Timestamp,
    events: Vec<Event>,
}

impl Run {
    fn start(environment: &str, priority: Priority) -> Self {
        let plan: FrozenPlan = plan(&definition(environment, priority)).unwrap().freeze();
        let event = Event::RunCreated {
            plan: plan.digest(),
            definition: None,
            supersedes: None,
            policy: None,
            requester: Principal::human("ann".parse().unwrap()),
        };
        let fact = Fact { at: now(), event };
        let state = RunState::create("run-1".parse().unwrap(), plan, &fact).unwrap();
        Self { state, now: now(), events: Vec::new() }
    }

    fn input(&mut self, policy: &dyn Policy, input: Option<&Input>) {
        let events = turn(&mut self.state, input, &Turn::new(self.now, 0, policy), 1_000);
        self.events.extend(events.unwrap());
    }

    /// Effects end well and time passes until the step called `name` is done, or nothing goes on.
    fn go(&mut self, policy: &dyn Policy, name: &str) -> Option<Status> {
        self.input(policy, None);
        for _ in 0..100 {
            let at = self.state.plan().find(&name.parse().unwrap()).unwrap();
            if self.state.status(at) == Some(Status::Succeeded) {
                return self.state.status(at);
            }
            let running = self.state.all_active().into_iter().find_map(|(step, active)| {
                let running = self.state.status(step) == Some(Status::Running);
                running.then_some((step, active.attempt))
            });
            match (running, self.state.next_wakeup()) {
                (Some((step, attempt)), _) => {
                    let evidence = faithful(&self.state.plan().get(step).unwrap().action, self.now);
                    let outcome = EffectOutcome::Performed(Ok(evidence));
                    self.input(policy, Some(&Input::Outcome { step, attempt, outcome }));
                }
                (None, Some(at)) => {
                    self.now = self.now.max(at);
                    self.input(policy, None);
                }
                (None, None) => return self.state.status(at),
            }
        }
        panic!("no end: {:?}", self.state.awaiting());
    }

    fn reasons(&self) -> Vec<String> {
        let blocked = self.events.iter().rev().find_map(|event| match event {
            Event::StepBlocked { reasons, .. } => Some(reasons),
            _ => None,
        });
        blocked.into_iter().flatten().map(ToString::to_string).collect()
    }
}

fn faithful(action: &Action, now: Timestamp) -> Evidence {
    match action {
        Action::VerifyArtifact { artifact } => {
            Evidence::Artifact { digest: artifact.digest(), bytes: 1 }
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
                target: target.clone(),
                weights: weights.clone(),
                rules: rules.clone(),
                served: Vec::new(),
            }
        }
        _ => Evidence::Done,
    }
}

const FIRST: &str = "production/eu/api/start";

#[test]
fn where_too_little_is_left_nothing_begins_until_there_is_more() {
    let mut run = Run::start("production", Priority::Normal);
    let status = run.go(&budgets(failed(950.0)), FIRST);
    assert_eq!(status, Some(Status::Waiting));
    let reasons = run.reasons().join("; ");
    assert!(reasons.contains("5.0 % of the error budget of 30days are left"), "{reasons}");
    assert!(reasons.contains("at least 10.0 % are needed"), "{reasons}");
    assert!(run.state.asks_policy());
    let plenty = budgets(failed(900.0));
    run.input(&plenty, Some(&Input::Reconsider));
    assert_eq!(run.go(&plenty, FIRST), Some(Status::Succeeded));
}

#[test]
fn a_rollout_that_is_under_way_goes_on_to_its_next_safe_point_and_says_by_whose_leave() {
    let mut run = Run::start("production", Priority::Normal);
    run.go(&budgets(failed(0.0)), "production/eu/api/weight-10");
    // Traffic is split: it is used up, and the rollout goes through.
    let late = |run: &Run| BudgetReading { at: run.now, ..failed(2_000.0) };
    let used_up = budgets(late(&run));
    let status = run.go(&used_up, "production/eu/api/weight-50");
    assert_eq!(status, Some(Status::Succeeded));
    let leave = run.events.iter().rev().find_map(|event| match event {
        Event::StepStarted { basis: Some(basis), .. } if !basis.grants.is_empty() => {
            Some(basis.to_string())
        }
        _ => None,
    });
    assert!(leave.unwrap().contains("mid-flight/error-budget/checkout"));
}

#[test]
fn hotfixes_and_other_places_are_free_unless_a_budget_says_so() {
    let used_up = budgets(failed(5_000.0));
    let mut hotfix = Run::start("production", Priority::Hotfix);
    assert_eq!(hotfix.go(&used_up, FIRST), Some(Status::Succeeded));
    let strict = ErrorBudget { holds_hotfixes: true, ..checkout() };
    let strict = ErrorBudgets::new([strict]).unwrap().read("checkout", failed(5_000.0));
    let mut held = Run::start("production", Priority::Hotfix);
    assert_eq!(held.go(&strict, FIRST), Some(Status::Waiting));
    let mut elsewhere = Run::start("staging", Priority::Normal);
    assert_eq!(elsewhere.go(&used_up, "staging/eu/api/start"), Some(Status::Succeeded));
}

#[test]
fn what_is_not_known_holds_and_rollbacks_and_kill_switches_never_wait() {
    let step = |action: Action| {
        let mut step = release_core::plan::Step::new(FIRST.parse().unwrap(), action);
        let environment = "production".parse().unwrap();
        step.scope = release_core::plan::StepScope::of(Place::new(environment));
        step
    };
    let custom = |capability: &str| Action::Custom {
        capability: capability.into(),
        input: serde_json::Value::Null,
    };
    let (run, ann) = ("run-1".parse().unwrap(), Principal::human("ann".parse().unwrap()));
    let classes = Classes::new().with("off", ActionClass::KillSwitch);
    let ask = |budgets: &ErrorBudgets, action: Action, rollback: bool| {
        let (step, budgets) = (step(action), budgets.clone().classes(classes.clone()));
        budgets.admit(&Admission::new(&run, &ann, &step, now()).in_rollback(rollback))
    };
    let early = BudgetReading { at: now().plus(Span::secs(1)), ..failed(0.0) };
    let long_ago = BudgetReading { at: "2026-11-23T13:44:59Z".parse().unwrap(), ..failed(0.0) };
    for (why, budgets) in [
        ("nobody has measured it", ErrorBudgets::new([checkout()]).unwrap()),
        ("after now", budgets(early)),
        ("ago, at most 15m", budgets(long_ago)),
        ("expected", budgets(BudgetReading { expected: finite(0.0), ..failed(0.0) })),
        ("-400.0 % of the error budget", budgets(failed(5_000.0))),
    ] {
        let decision = ask(&budgets, custom("deploy"), false);
        assert!(matches!(decision, Decision::Wait { until: None, .. }), "{decision:?}");
        assert!(decision.reasons()[0].text.contains(why), "{decision:?}");
        assert_eq!(decision.reasons()[0].rule, "error-budget/checkout");
        assert!(decision.inputs().unwrap().facts.is_some());
        assert!(ask(&budgets, custom("deploy"), true).is_permit());
        assert!(ask(&budgets, custom("off"), false).is_permit());
        assert!(ask(&budgets, Action::Sync, false).is_permit());
    }
    assert!(ask(&budgets(failed(900.0)), custom("deploy"), false).is_permit());
    // The newer reading counts, whenever it comes.
    let newer = BudgetReading { at: "2026-11-23T13:59:00Z".parse().unwrap(), ..failed(5_000.0) };
    assert!(
        ask(&budgets(failed(0.0)).read("checkout", newer), custom("deploy"), false).is_permit()
    );
}

#[test]
fn budgets_that_make_no_sense_are_refused() {
    let refused = |budget: ErrorBudget| ErrorBudgets::new([budget]).unwrap_err().to_string();
    for (part, budget) in [
        ("no `name`", ErrorBudget { name: " ".into(), ..checkout() }),
        ("`objective` between 0 and 1", ErrorBudget { objective: finite(1.0), ..checkout() }),
        ("`floor` from 0 to 1", ErrorBudget { floor: finite(1.1), ..checkout() }),
        ("above 0", ErrorBudget { max_age: Span::ZERO, ..checkout() }),
    ] {
        assert!(refused(budget).contains(part), "{part}");
    }
    let twice = ErrorBudgets::new([checkout(), checkout()]);
    assert!(matches!(twice, Err(BudgetError::Twice { .. })));
    let text = serde_json::to_string(&checkout()).unwrap();
    assert_eq!(serde_json::from_str::<ErrorBudget>(&text).unwrap(), checkout());
}
