//! A train as a policy: what it lets runs do.

use std::sync::Arc;

use release_core::model::{
    ArtifactRef, Canary, CanaryStep, Definition, Digest, Environment, Principal, Release,
    RollbackCriteria, RollbackScope, RollbackTrigger, Service, Span, Stage, Strategy, Target, Tier,
    Timestamp, VersionSet,
};
use release_core::plan::{Action, Deployment, FrozenPlan, Step, plan};
use release_core::port::{Admission, Decision, EffectError, PermitAll, Policy, ReasonKind};
use release_core::run::{
    Command, Directive, EffectOutcome, Event as RunEvent, Fact, Input, Mode, Outcome, Phase,
    RunState, Status, Turn, turn,
};
use release_policy::AllOf;
use release_policy::compat::{VerifiedSet, Versions};
use release_policy::train::departure::{
    Boarded, Car, Conductor, ConductorError, Event, MAX_TOLD, Next, NotProven, Stop, SyncPoint,
    TellError, Train, TrainSpec, Why,
};
use semver::Version;

use super::compat::policy::faithful;
use super::journeys::minutes;
use super::one_train;
use super::support::{id, minute};

const SERVICES: [&str; 2] = ["api", "web"];
const REGIONS: [&str; 3] = ["eu", "us", "ap"];

fn two() -> Version {
    Version::new(2, 0, 0)
}

/// `api` and `web` to all regions at once: the plan knows no order of them.
pub(super) fn definition() -> Definition {
    let set = |major: u64| {
        SERVICES.into_iter().fold(VersionSet::new(), |set, name| {
            let digest = Digest::of(format!("{name} {major}").as_bytes());
            set.with(id(name), Version::new(major, 0, 0), ArtifactRef::new(id(name), digest))
        })
    };
    let mut release = Release::new(id("r-1"), set(2));
    release.previous = set(1);
    let triggers = vec![RollbackTrigger::StepFailed];
    release.rollback = Some(RollbackCriteria { scope: RollbackScope::Environment, triggers });
    let regions: Vec<_> = REGIONS.map(id).into();
    let (environment, owner) = (id("production"), id("sre"));
    let canary = Canary::new([10, 50].map(|share| CanaryStep::new(share, minutes(1))).to_vec());
    let mut stage = Stage::new(id("production"), Strategy::Canary(canary));
    stage.waves = vec![regions.clone()];
    let builder =
        SERVICES.into_iter().fold(Definition::builder(id("shop"), release), |all, name| {
            all.service(Service::new(id(name), id("team")))
        });
    builder
        .environment(Environment { id: environment, tier: Tier::Production, owner, regions })
        .stage(stage)
        .build()
}

/// Departs at 10, first to `eu`; `pay` is late.
pub(super) fn spec() -> TrainSpec {
    let stop = |name: &str, regions: &[&str]| Stop {
        id: id(name),
        regions: regions.iter().map(|region| id(region)).collect(),
        takes: minutes(10),
    };
    let car = |name: &str, team: &str| Car::new(id(name), two(), id(team));
    TrainSpec {
        cars: vec![
            car("api", "billing").ready(minute(0)),
            car("web", "search").ready(minute(0)),
            car("pay", "billing"),
        ],
        stops: vec![stop("few", &["eu"]), stop("rest", &["us", "ap"])],
        ..one_train::spec(&[1])
    }
}

fn all_at(major: u64) -> Versions {
    let all = SERVICES.into_iter().map(|name| (id(name), Version::new(major, 0, 0)));
    all.chain([(id("pay"), Version::new(1, 0, 0))]).collect()
}

fn boarded(train: &Train) -> Boarded {
    let proof = VerifiedSet::of(all_at(2), Digest::of(b"report"));
    train.board(&all_at(1), &[proof]).unwrap()
}

/// The train as which its definition knows it.
const SHOP: &str = "shop";

pub(super) fn conductor(spec: TrainSpec) -> Conductor {
    conductor_of(spec, SHOP).unwrap()
}

fn conductor_of(spec: TrainSpec, of: &str) -> Result<Conductor, ConductorError> {
    let train = Train::new(spec).unwrap();
    let boarded = boarded(&train);
    Conductor::new(train, &boarded, [id(of)])
}

pub(super) fn blocked(at: u64) -> Event {
    let (blocker, by) = (id("bug-1"), id("ann"));
    Event::Blocked { blocker, by, reason: "500s in checkout".into(), at: minute(at) }
}

pub(super) fn cleared(at: u64) -> Event {
    Event::Cleared { blocker: id("bug-1"), by: id("bob"), at: minute(at) }
}

/// A run that an engine would drive: whoever is held is asked for again every 30 s.
pub(super) struct Run {
    pub(super) state: RunState,
    pub(super) now: Timestamp,
    policy: Arc<dyn Policy>,
    events: Vec<(Timestamp, RunEvent)>,
    /// Which effects fail on the way forward.
    pub(super) fails: fn(&Step) -> bool,
}

impl Run {
    fn start(policy: impl Policy + 'static) -> Self {
        Self::of(&definition(), policy)
    }

    pub(super) fn of(definition: &Definition, policy: impl Policy + 'static) -> Self {
        let plan: FrozenPlan = plan(definition).unwrap().freeze();
        let requester = Principal::human(id("ann"));
        let (definition, supersedes, policy_digest) = (None, None, None);
        let event = RunEvent::RunCreated {
            plan: plan.digest(),
            definition,
            supersedes,
            policy: policy_digest,
            requester,
        };
        let now = minute(0);
        let state = RunState::create(id("run-1"), plan, &Fact { at: now, event }).unwrap();
        Self {
            state,
            now,
            policy: Arc::new(AllOf::new().and_shared(Arc::new(policy))),
            events: Vec::new(),
            fails: |_| false,
        }
    }

    pub(super) fn input(&mut self, input: Option<&Input>) {
        let asked = Turn::new(self.now, 0, &*self.policy);
        let events = turn(&mut self.state, input, &asked, 10_000).unwrap();
        self.events.extend(events.into_iter().map(|event| (self.now, event)));
    }

    /// Lets the run go on until then, or until it is over. Effects take no time.
    pub(super) fn go(&mut self, until: u64) -> &Phase {
        self.input(Some(&Input::Reconsider));
        while self.state.outcome().is_none() {
            let running = self.state.all_active().into_iter().find_map(|(step, active)| {
                let running = self.state.status(step) == Some(Status::Running);
                running.then_some((step, active.attempt))
            });
            if let Some((step, attempt)) = running {
                let (plan, never) = (self.state.plan(), EffectError::permanent("no", "never"));
                let known = plan.get(step).unwrap();
                let fails = !plan.in_rollback(step) && (self.fails)(known);
                let evidence = faithful(&known.action, self.now);
                let outcome =
                    EffectOutcome::Performed(if fails { Err(never) } else { Ok(evidence) });
                self.input(Some(&Input::Outcome { step, attempt, outcome }));
                continue;
            }
            if self.now >= minute(until) {
                break;
            }
            let again = self.now.plus(Span::secs(30));
            let next = self.state.next_wakeup().map_or(again, |at| at.min(again));
            self.now = next.max(self.now).min(minute(until));
            self.input(None);
            self.input(Some(&Input::Reconsider));
        }
        self.state.phase()
    }

    /// When steps with an effect began on the way forward in a region, but for those that tidy up.
    pub(super) fn began(&self, region: &str) -> Vec<Timestamp> {
        let plan = self.state.plan();
        let own = |event: &RunEvent| {
            let RunEvent::StepStarted { step, mode: Mode::Perform, .. } = event else {
                return false;
            };
            let known = plan.get(step.index).unwrap();
            let here = known.scope.region() == Some(&id(region));
            here && !plan.in_rollback(step.index) && !known.finale && !known.action.is_pure()
        };
        self.events.iter().filter(|(_, event)| own(event)).map(|(at, _)| *at).collect()
    }

    /// The reasons of the steps that wait now.
    pub(super) fn reasons(&self) -> String {
        let active = self.state.all_active();
        let all = active.iter().flat_map(|(_, active)| &active.reasons);
        all.map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn a_plan_without_an_order_goes_from_stop_to_stop() {
    let mut free = Run::start(PermitAll);
    assert_eq!(free.go(60), &Phase::Finished(Outcome::Succeeded));
    let last = |run: &Run| *run.began("eu").last().unwrap();
    assert!(free.began("us")[0] < last(&free) && free.began("eu")[0] == minute(0));

    let mut run = Run::start(conductor(spec()));
    assert_eq!(run.go(9), &Phase::Forward);
    assert!(run.began("eu").is_empty(), "it has not departed");
    assert!(run.reasons().contains("`weekly-1` departs at"), "{}", run.reasons());
    assert_eq!(run.go(10), &Phase::Forward);
    assert_eq!(run.began("eu")[0], minute(10), "without waiting for the next half minute");
    let order = "`rest` of `weekly-1` begins after `few`, which is not done";
    assert!(run.reasons().contains(order), "{}", run.reasons());
    assert_eq!(run.go(60), &Phase::Finished(Outcome::Succeeded));
    for region in ["us", "ap"] {
        assert!(run.began(region)[0] >= last(&run), "{region}");
        assert_eq!(run.began(region).len(), free.began(region).len());
    }
}

/// What is in the same release without a car goes as it likes: it begins no stop, and ends none.
#[test]
fn what_is_not_aboard_says_nothing_of_stops() {
    let mut definition = definition();
    let artifact =
        |major| ArtifactRef::new(id("docs"), Digest::of(format!("docs {major}").as_bytes()));
    let add =
        |set: VersionSet, major| set.with(id("docs"), Version::new(major, 0, 0), artifact(major));
    definition.release.versions = add(definition.release.versions, 2);
    definition.release.previous = add(definition.release.previous, 1);
    definition.services.push(Service::new(id("docs"), id("team")));
    let mut run = Run::of(&definition, conductor(spec()));
    run.go(9);
    let docs = run.began("us").len();
    assert!(docs > 0, "it waits for nobody");
    run.go(11);
    assert!(!run.began("eu").is_empty());
    let aboard = |run: &Run| {
        let places = run.state.plan().plan().steps().iter().enumerate();
        let in_us = places.filter(|(_, step)| {
            let place = step.scope.place();
            let of = |name: &str| {
                place.is_some_and(|at| at.service.as_ref().is_some_and(|s| s.as_str() == name))
            };
            step.scope.region().is_some_and(|region| region.as_str() == "us")
                && (of("api") || of("web"))
        });
        let begun = in_us.filter(|(index, _)| {
            run.state.status(u32::try_from(*index).unwrap()) == Some(Status::Succeeded)
        });
        begun.filter(|(_, step)| step.action.mutates()).count()
    };
    assert_eq!(aboard(&run), 0, "{}", run.reasons());
    assert_eq!(run.go(90), &Phase::Finished(Outcome::Succeeded));
    assert!(aboard(&run) > 0);
}

#[test]
fn a_blocker_holds_later_stops_lets_the_one_under_way_end_and_no_rollback_waits_for_it() {
    for cancels in [false, true] {
        let conductor = conductor(spec());
        let mut run = Run::start(conductor.clone());
        run.go(11);
        let before = run.began("eu").len();
        assert_eq!(conductor.tell(blocked(11)), Ok(true));
        run.go(40);
        assert!(before > 0 && run.began("eu").len() > before, "what began goes on");
        assert!(run.began("us").is_empty() && run.began("ap").is_empty());
        let told = format!(
            "train: `bug-1` holds `weekly-1`: 500s in checkout (ann, at {}) (lifted by ann, or whoever mends `bug-1` and says that it is cleared)",
            minute(11)
        );
        assert!(run.reasons().contains(&told), "{}", run.reasons());
        let halts = Next::Halts { blockers: [id("bug-1")].into() };
        assert_eq!(conductor.next(Some(&run.state), run.now), halts);
        if cancels {
            let ann = Principal::human(id("ann"));
            let cancel = Directive::new(Command::Cancel, ann, "it is not mended today");
            run.input(Some(&Input::Directive(cancel)));
            let phase = run.go(60).clone();
            let is_back = matches!(phase, Phase::Finished(Outcome::RolledBack { .. }));
            assert!(is_back, "{phase:?}");
            continue;
        }
        assert_eq!(conductor.tell(cleared(41)), Ok(true));
        assert_eq!(run.go(90), &Phase::Finished(Outcome::Succeeded));
        assert!(run.began("us")[0] >= minute(41));
        assert_eq!(conductor.next(Some(&run.state), run.now), Next::Through);
    }
}

fn awaiting() -> TrainSpec {
    let point = SyncPoint {
        id: id("seen"),
        before: id("rest"),
        awaits: [id("billing"), id("search")].into(),
        deadline: minute(18),
        escalate: id("conductors"),
    };
    TrainSpec { sync_points: vec![point], ..spec() }
}

#[test]
fn teams_are_awaited_and_who_is_missing_after_the_deadline_is_named() {
    let conductor = conductor(awaiting());
    let mut run = Run::start(conductor.clone());
    let came =
        |team: &str, at| Event::Arrived { point: id("seen"), team: id(team), at: minute(at) };
    run.go(17);
    assert!(!run.began("eu").is_empty() && run.began("us").is_empty());
    let waits = "`rest` of `weekly-1` waits at `seen` for billing, search";
    assert!(run.reasons().contains(waits), "{}", run.reasons());
    assert_eq!(conductor.tell(came("billing", 17)), Ok(true));
    assert!(conductor.missed(Some(&run.state), minute(17)).is_empty());
    run.go(25);
    let [missed] = &conductor.missed(Some(&run.state), run.now)[..] else {
        panic!("one is missed")
    };
    assert!(run.began("us").is_empty() && run.reasons().contains(&missed.to_string()));
    assert_eq!(missed.missing, [id("search")].into());
    assert_eq!(conductor.tell(came("search", 26)), Ok(true));
    assert_eq!(run.go(60), &Phase::Finished(Outcome::Succeeded));
    assert!(run.began("us")[0] >= minute(26));
    assert!(conductor.missed(Some(&run.state), run.now).is_empty());
}

#[test]
fn a_train_that_would_be_half_done_is_taken_back_in_time() {
    let mut straddles = spec();
    straddles.straddle_rule.closed = vec![(minute(40), minute(60))];
    let conductor = conductor(straddles.clone());
    let mut run = Run::start(conductor.clone());
    run.go(11);
    conductor.tell(blocked(11)).unwrap();
    run.go(30);
    assert_eq!(run.state.phase(), &Phase::Forward, "there is time yet");
    assert!(matches!(run.go(70), Phase::Finished(Outcome::RolledBack { .. })));
    assert!(run.now <= minute(40), "at {}", run.now);
    assert!(run.began("us").is_empty() && run.began("ap").is_empty());
    let told = run.events.iter().any(|(_, event)| {
        let RunEvent::StepFailed { error, .. } = event else { return false };
        error.message.contains("`weekly-1` has to go back, to be back before")
    });
    assert!(told);

    // A minute sooner, and it does not depart before.
    straddles.straddle_rule.closed = vec![(minute(35), minute(60))];
    let mut waits = Run::start(self::conductor(straddles));
    waits.go(59);
    assert!(waits.began("eu").is_empty());
    waits.go(60);
    assert_eq!(waits.began("eu")[0], minute(60));
}

fn scale(environment: &str, region: &str, service: &str, major: u64) -> Step {
    let target = Target::new(id(environment), id(region), id(service));
    let artifact = ArtifactRef::new(id(service), Digest::of(service.as_bytes()));
    let deployment = Deployment { target, artifact, version: Version::new(major, 0, 0) };
    let action =
        Action::Scale { deployment: deployment.into(), replicas: 1, apart: None, metadata: None };
    Step::new(id("step"), action)
}

#[test]
fn it_concerns_what_is_aboard_where_the_train_stops() {
    let conductor = conductor(spec());
    conductor.tell(blocked(0)).unwrap();
    let (run, ann) = (id("run-1"), Principal::human(id("ann")));
    let ask = |step: &Step, rollback| {
        conductor.admit(&Admission::new(&run, &ann, step, minute(20)).in_rollback(rollback))
    };
    let own = scale("production", "eu", "api", 2);
    let held = ask(&own, false);
    assert!(held.is_deny() && held.reasons().len() == 1, "{held:?}");
    assert!(held.inputs().is_some_and(|made| made.policy.is_some() && made.facts.is_some()));
    assert!(ask(&own, true).is_permit(), "a rollback is never held");
    for other in [
        scale("staging", "eu", "api", 2),
        scale("production", "eu", "docs", 2),
        scale("production", "eu", "pay", 1),
    ] {
        assert!(ask(&other, false).is_permit(), "{other:?}");
    }
    let late = ask(&scale("production", "eu", "pay", 2), false);
    assert_eq!(late.reasons()[0].text, "`pay` 2.0.0 is not aboard `weekly-1`: it is not ready");
    let nowhere = ask(&scale("production", "sa", "api", 2), false);
    assert_eq!(nowhere.reasons()[0].text, "`weekly-1` does not stop in `sa`");
    assert_eq!(nowhere.reasons()[0].kind, ReasonKind::Missing);

    // What it was made from changes with what is told.
    let before = held.inputs().unwrap().facts;
    conductor.tell(cleared(1)).unwrap();
    let now = ask(&own, false);
    assert!(now.is_permit() && now.inputs().unwrap().facts != before);
    let rest = ask(&scale("production", "us", "web", 2), false);
    assert!(matches!(rest, Decision::Wait { until: None, .. }), "{rest:?}");
    // Where several runs bring a stop, the host says what became of it.
    let done = [
        Event::Began { stop: id("few"), at: minute(10) },
        Event::Done { stop: id("few"), at: minute(15) },
    ];
    for event in done {
        assert_eq!(conductor.tell(event), Ok(true));
    }
    assert!(ask(&scale("production", "us", "web", 2), false).is_permit());
    conductor.tell(Event::TurnedBack { at: minute(20) }).unwrap();
    let back = ask(&own, false);
    assert!(back.is_deny() && back.reasons()[0].text.contains("on its way back"), "{back:?}");
    let waits = conductor.next(None, minute(20));
    assert!(matches!(waits, Next::Waits { why: Why::GoingBack, .. }), "{waits:?}");
}

#[test]
fn runs_of_others_are_let_pass() {
    let of = |of: &str| conductor_of(spec(), of).unwrap();
    let held = minute(10);
    for (conductor, first) in [
        (of(SHOP), held),
        (of("hotfixes"), minute(0)),
        (of(SHOP).release(id("r-1")), held),
        // Another departure of the same definition.
        (of(SHOP).release(id("r-2")), minute(0)),
        (of(SHOP).release(id("r-2")).release(id("r-1")), held),
    ] {
        let text = format!("{conductor:?}");
        let mut run = Run::start(conductor);
        assert_eq!(run.go(60), &Phase::Finished(Outcome::Succeeded));
        assert_eq!(run.began("eu")[0], first, "{text}");
    }
    let train = Train::new(spec()).unwrap();
    let nobody = Conductor::new(train.clone(), &boarded(&train), []).unwrap_err();
    assert_eq!(nobody, ConductorError::NoRuns(train.id().clone()));
}

#[test]
fn what_cannot_have_happened_is_refused_and_what_is_told_twice_is_one() {
    let conductor = conductor(awaiting());
    let refused = [
        (Event::Done { stop: id("all"), at: minute(1) }, TellError::NoStop(id("all"))),
        (
            Event::Arrived { point: id("heard"), team: id("billing"), at: minute(1) },
            TellError::NoPoint(id("heard")),
        ),
        (
            Event::Arrived { point: id("seen"), team: id("docs"), at: minute(1) },
            TellError::NotAwaited { point: id("seen"), team: id("docs") },
        ),
        (cleared(1), TellError::NoBlocker(id("bug-1"))),
    ];
    for (event, error) in refused {
        assert_eq!(conductor.tell(event), Err(error.clone()));
        assert!(error.to_string().contains("mend the name"), "{error}");
    }
    assert!(conductor.told().is_empty());
    // Whatever was told first, it counts from when it happened.
    assert_eq!(conductor.tell(blocked(5)), Ok(true));
    assert_eq!(conductor.tell(cleared(7)), Ok(true));
    assert_eq!(conductor.tell(blocked(6)), Ok(true));
    assert_eq!(conductor.tell(blocked(5)), Ok(false));
    assert_eq!(conductor.told(), [blocked(5), blocked(6), cleared(7)]);
    assert!(matches!(conductor.next(None, minute(6)), Next::Halts { .. }));
    assert!(matches!(conductor.next(None, minute(7)), Next::Waits { .. }));
    // After a restart it is told all of it again.
    let again = self::conductor(awaiting());
    conductor.told().into_iter().for_each(|event| assert_eq!(again.tell(event), Ok(true)));
    assert_eq!(again.told(), conductor.told());
    // Also where it is told from the last to the first.
    let mut many = (again.told().len()..MAX_TOLD).rev();
    assert!(many.all(|nth| again.tell(blocked(10 + nth as u64)) == Ok(true)));
    assert_eq!(again.told().len(), MAX_TOLD);
    assert!(again.told().is_sorted_by_key(Event::at));
    assert_eq!(again.tell(blocked(1)), Err(TellError::TooMany));
}

#[test]
fn nobody_conducts_what_may_not_depart() {
    let train = Train::new(spec()).unwrap();
    let unproven = train.board(&all_at(1), &[]).unwrap();
    let refused = Conductor::new(train.clone(), &unproven, [id(SHOP)]).unwrap_err();
    assert!(matches!(refused, ConductorError::NotProven(NotProven::Together { .. })), "{refused}");
    let mut other = boarded(&train);
    other.aboard.insert(id("docs"), two());
    let refused = Conductor::new(train, &other, [id(SHOP)]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`docs` 2.0.0 boarded, and is no car of `weekly-1`; take what boarded this one"
    );
}
