//! Sets that were verified together as a policy: runs that begin, runs that leave a service behind, and all sets there can be.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::sample::Index;
use release_core::model::{
    Definition, DefinitionBuilder, Digest, Environment, OnCancel, Principal, Release,
    RollbackCriteria, RollbackScope, RollbackTrigger, Service, ServiceId, Stage,
    Strategy as Rollout, Tier, Timestamp, VersionSet,
};
use release_core::plan::{Action, FrozenPlan, Step, plan};
use release_core::port::{
    Admission, CommandRequest, Decision, PermitAll, Policy, Reason, ReasonKind,
};
use release_core::run::{
    Command, Directive, Event, Fact, Input, Outcome, RunState, Status, Turn, turn,
};
use release_policy::AllOf;
use release_policy::compat::{CoVerified, VerifiedRecord, VerifiedSet, VerifiedSets, Versions};

use super::super::support::id;
use super::runs::{NEW, OLD, REGIONS, Run, Shape, run_id, set};
use super::version;

pub(super) fn versions(all: &[(&str, &str)]) -> Versions {
    all.iter().map(|(name, text)| (id(name), version(text))).collect()
}

/// A set with what proves it.
pub(super) fn proved(all: &[(&str, &str)], evidence: u8) -> VerifiedSet {
    VerifiedSet::of(versions(all), Digest::of(&[evidence]))
}

/// What runs before, in all shapes of this file.
pub(super) fn before(evidence: u8) -> VerifiedSet {
    proved(&[("api", OLD), ("web", OLD)], evidence)
}

/// One region after the other.
pub(super) fn in_turn(shape: &Shape) -> Definition {
    let mut definition = shape.definition();
    definition.stages[0].waves = REGIONS.map(|region| vec![id(region)]).to_vec();
    definition
}

fn start(definition: &Definition, policy: CoVerified) -> Run {
    Run::start(definition, &Shape::canary().before(), AllOf::new().and(policy))
}

/// Why a step was held last, and which, if none has started since.
fn held(run: &Run) -> Option<(String, Reason)> {
    let last = run.facts.iter().rev().find_map(|fact| match &fact.event {
        Event::StepStarted { step, .. } => Some((step, None)),
        Event::StepBlocked { step, reasons, .. } => Some((step, reasons.first())),
        _ => None,
    });
    let (step, reason) = last?;
    let reason = reason.filter(|reason| reason.rule == "compat/co-verified")?;
    Some((step.id.to_string(), reason.clone()))
}

/// Goes on until a step is held, for another reason than before.
fn until_held(run: &mut Run, before: &str) -> Reason {
    run.until(|run| held(run).is_some_and(|(_, reason)| reason.text != before));
    held(run).unwrap_or_else(|| panic!("nothing is held: {:?}", run.facts.last())).1
}

#[test]
fn a_run_begins_once_it_can_go_back_to_a_recorded_set() {
    let (definition, record) = (in_turn(&Shape::canary()), VerifiedRecord::default());
    let mut run = start(&definition, CoVerified::new(record.clone()));
    let reason = until_held(&mut run, "");
    assert_eq!(
        reason.text,
        format!(
            "nobody announced the release of definition {}, so that nobody knows what it returns to",
            definition.digest().short()
        )
    );
    assert_eq!(reason.kind, ReasonKind::Missing);
    assert!(reason.lifted_by.starts_with("the host of the engine"), "{}", reason.lifted_by);

    assert_eq!(record.announce(&definition), definition.digest());
    let reason = until_held(&mut run, &reason.text);
    assert_eq!(
        reason.text,
        "nothing is recorded that can be gone back to; verify what runs, and record it before the release starts"
    );
    assert_eq!(reason.kind, ReasonKind::Missing);
    assert_eq!(reason.lifted_by, "whoever verifies what the release returns to and records it");

    record.record(proved(&[("api", OLD), ("web", "1.0.0")], 1)).unwrap();
    let reason = until_held(&mut run, &reason.text);
    let differs = "what the release returns to was not verified together: `web` is 2.0.0, and 1.0.0 in the nearest set";
    assert!(reason.text.starts_with(differs), "{}", reason.text);
    assert_eq!(reason.kind, ReasonKind::Missing);

    record.record(before(2)).unwrap();
    assert!(record.abandon(Digest::of(&[2])));
    let reason = until_held(&mut run, &reason.text);
    assert!(reason.text.contains("was gone back from before"), "{}", reason.text);
    assert_eq!(reason.kind, ReasonKind::Rule);
    assert!(reason.lifted_by.ends_with("verifies that set anew"), "{}", reason.lifted_by);
    // Nothing was started so far.
    let starts = |fact: &Fact| matches!(&fact.event, Event::StepStarted { step, .. } if step.id.as_str().ends_with("/start"));
    assert!(!run.facts.iter().any(starts));

    record.record(before(3)).unwrap();
    run.until(|_| false);
    assert_eq!(run.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn what_is_half_done_is_not_held_and_what_has_not_begun_is() {
    let (definition, record) = (in_turn(&Shape::canary()), VerifiedRecord::default());
    record.announce(&definition);
    record.record(before(1)).unwrap();
    let mut run = start(&definition, CoVerified::new(record.clone()));
    run.until(|run| run.status("production/eu-west/api/start") == Some(Status::Succeeded));
    assert!(record.abandon(Digest::of(&[1])));
    until_held(&mut run, "");
    let (step, _) = held(&run).unwrap();
    assert!(step.starts_with("production/us-east/"), "{step}");
    assert_eq!(run.status("production/eu-west/web/weight-50"), Some(Status::Succeeded));
    // Going back is not held either.
    run.tell(Command::Cancel).unwrap();
    run.until(|_| false);
    assert!(matches!(run.outcome(), Some(Outcome::RolledBack { .. })), "{:?}", run.outcome());
}

/// A decision about the first step that brings a version.
fn asked(definition: &Definition, policy: &CoVerified) -> Decision {
    let case = Case::of(definition);
    case.admit(&case.state(), policy)
}

#[test]
fn first_deployments_and_ways_back_begin_and_what_stays_half_done_when_it_is_cancelled_does_not() {
    let record = VerifiedRecord::default();
    let policy = CoVerified::new(record.clone());
    let mut first = in_turn(&Shape::canary());
    first.release.previous = VersionSet::new();
    record.announce(&first);
    let denied = asked(&first, &policy);
    let [reason] = denied.reasons() else { panic!("{denied:?}") };
    assert!(reason.text.starts_with("the release names nothing to return to"), "{reason}");
    assert_eq!(reason.kind, ReasonKind::Rule);
    assert!(reason.lifted_by.ends_with("to allow first deployments"), "{}", reason.lifted_by);
    assert!(asked(&first, &policy.clone().first_deployments(true)).is_permit());

    let mut leaves = in_turn(&Shape::canary());
    leaves.release.on_cancel = OnCancel::Leave;
    record.announce(&leaves);
    record.record(before(1)).unwrap();
    let denied = asked(&leaves, &policy);
    let [reason] = denied.reasons() else { panic!("{denied:?}") };
    assert_eq!(reason.text, "a cancel leaves what is half done as it is, and that nobody verified");
    assert_eq!(reason.kind, ReasonKind::Rule);

    // From what was gone back from, to what holds.
    let mut back = in_turn(&Shape::canary());
    std::mem::swap(&mut back.release.versions, &mut back.release.previous);
    record.announce(&back);
    assert!(asked(&back, &policy).is_deny(), "nobody gave the new set up");
    record.record(proved(&[("api", NEW), ("web", NEW)], 2)).unwrap();
    record.abandon(Digest::of(&[2]));
    assert!(asked(&back, &policy).is_permit());
    record.abandon(Digest::of(&[1]));
    assert!(asked(&back, &policy).is_deny(), "neither holds");
}

#[test]
fn only_steps_that_bring_a_version_to_where_it_concerns_are_asked_about() {
    let policy = CoVerified::new(VerifiedSets::default());
    let (run, ann) = (run_id(), Principal::human(id("ann")));
    let case = Case::of(&in_turn(&Shape::canary()));
    let step = case.plan.get(case.first()).unwrap();
    let asked = Admission::new(&run, &ann, step, Timestamp::default());
    let denied = policy.admit(&asked);
    assert_eq!(
        denied.reasons().first().map(|reason| reason.text.as_str()),
        Some("nobody says of which run that is, so that nobody knows what it returns to")
    );
    assert!(policy.admit(&asked.in_rollback(true)).is_permit());
    let other = policy.clone().only_in(id("staging"));
    assert!(other.admit(&asked).is_permit());
    assert!(other.only_in(id("production")).admit(&asked).is_deny());
    let pure = Step::new(id("production/sync"), Action::Sync);
    assert!(policy.admit(&Admission::new(&run, &ann, &pure, Timestamp::default())).is_permit());

    let descope = Command::Descope { service: id("web") };
    for (command, expected) in
        [(&descope, false), (&Command::Cancel, true), (&Command::ForceAbandon, true)]
    {
        let request = CommandRequest::new(&run, &ann, &ann, command, Timestamp::default());
        assert_eq!(policy.authorize(&request).is_permit(), expected, "{command:?}");
    }
    // A plan that was made by hand.
    let mut bare = release_core::plan::Plan::builder(id("shop"), id("r-1"));
    bare.step(Step {
        undo: release_core::plan::Undo::point_of_no_return("it is a test", id("ann")),
        group: None,
        ..step.clone()
    });
    let bare = Case::new(bare.build().unwrap().freeze());
    let denied = bare.admit(&bare.state(), &policy);
    let [reason] = denied.reasons() else { panic!("{denied:?}") };
    assert!(reason.text.contains("whose plan names no definition"), "{reason}");
}

/// Why a command was denied.
fn denial(events: &[Event]) -> Option<&Reason> {
    events.iter().find_map(|event| match event {
        Event::CommandDenied { reasons, .. } => reasons.first(),
        _ => None,
    })
}

#[test]
fn a_service_is_left_behind_only_if_the_rest_is_a_recorded_set() {
    let (definition, record) = (in_turn(&Shape::canary()), VerifiedRecord::default());
    record.announce(&definition);
    record.record(before(1)).unwrap();
    let mut run = start(&definition, CoVerified::new(record.clone()));
    run.until(|run| run.status("production/eu-west/web/start") == Some(Status::Succeeded));
    let descope = || Command::Descope { service: id("web") };
    let events = run.tell(descope()).unwrap();
    let reason = denial(&events).unwrap();
    assert_eq!(
        reason.text,
        format!(
            "without `web`, what stays in `eu-west`, `us-east` of `production` was not verified together: \
             `api` is 3.0.0, and 2.0.0 in the nearest set, proved by {}",
            Digest::of(&[1]).short()
        )
    );
    assert_eq!(reason.kind, ReasonKind::Missing);
    assert!(reason.lifted_by.starts_with("whoever verifies what stays"), "{}", reason.lifted_by);

    record.record(proved(&[("api", NEW), ("web", OLD)], 2)).unwrap();
    record.abandon(Digest::of(&[2]));
    let events = run.tell(descope()).unwrap();
    let reason = denial(&events).unwrap();
    let gone =
        format!("it is the set proved by {}, which was gone back from", Digest::of(&[2]).short());
    assert!(reason.text.ends_with(&gone), "{reason}");
    assert_eq!(reason.kind, ReasonKind::Rule);

    record.record(proved(&[("api", NEW), ("web", OLD)], 3)).unwrap();
    let events = run.tell(descope()).unwrap();
    assert!(events.iter().any(|event| matches!(event, Event::Descoped { .. })), "{events:?}");
    // Once more changes nothing, whatever is recorded.
    record.replace(VerifiedSets::default());
    assert!(denial(&run.tell(descope()).unwrap()).is_none());
    record.record(before(4)).unwrap();
    run.until(|_| false);
    assert!(matches!(run.outcome(), Some(Outcome::SucceededWithout { .. })), "{:?}", run.outcome());
    for region in REGIONS {
        for (service, text) in [("api", NEW), ("web", OLD)] {
            let stands = &run.platform[&(id(region), id(service))];
            let serving: BTreeSet<_> = [version(text)].into();
            assert_eq!(stands.serving(), serving, "{service} in {region}");
        }
    }
}

#[test]
fn a_region_that_is_left_behind_keeps_the_set_from_before_and_does_not_count() {
    let shape = Shape { scope: RollbackScope::Region, stop_after: Some(2), ..Shape::canary() };
    let (definition, record) = (in_turn(&shape), VerifiedRecord::default());
    record.announce(&definition);
    record.record(before(1)).unwrap();
    let policy = AllOf::new().and(CoVerified::new(record));
    let fault = (id("production/eu-west/api/start"), false);
    let mut run = Run::start(&definition, &shape.before(), policy).failing(Some(fault));
    run.until(|run| run.status("production/us-east/api/start") == Some(Status::Succeeded));
    assert_eq!(run.state.left_behind().count(), 1);
    let events = run.tell(Command::Descope { service: id("web") }).unwrap();
    let reason = denial(&events).unwrap();
    assert!(
        reason.text.starts_with("without `web`, what stays in `us-east` of `production` was"),
        "{reason}"
    );
}

const SERVICES: usize = 4;

fn service(nth: usize) -> ServiceId {
    id(&format!("s-{nth}"))
}

/// A release, by what becomes of each service: 0 it stays, 1 it changes, 2 it is new.
fn release(fates: &[u8]) -> Definition {
    let names: Vec<String> = (0..fates.len()).map(|nth| format!("s-{nth}")).collect();
    let with = |text: fn(u8) -> Option<&'static str>| {
        let each =
            names.iter().zip(fates).filter_map(|(name, fate)| Some((name.as_str(), text(*fate)?)));
        set(&each.collect::<Vec<_>>())
    };
    let mut release = Release::new(id("r-1"), with(|fate| Some(if fate == 0 { OLD } else { NEW })));
    release.previous = with(|fate| (fate != 2).then_some(OLD));
    let triggers = vec![RollbackTrigger::StepFailed];
    release.rollback = Some(RollbackCriteria { scope: RollbackScope::Release, triggers });
    let regions = vec![id("eu-west")];
    let (environment, owner) = (id("production"), id("sre"));
    let definition = Definition::builder(id("shop"), release)
        .environment(Environment { id: environment, tier: Tier::Production, owner, regions })
        .stage(Stage::new(id("production"), Rollout::Recreate));
    let each = (0..fates.len()).map(|nth| Service::new(service(nth), id("team")));
    each.fold(definition, DefinitionBuilder::service).build()
}

/// A plan, of which runs are made that did nothing yet.
struct Case {
    plan: FrozenPlan,
    requester: Principal,
}

impl Case {
    fn of(definition: &Definition) -> Self {
        Self::new(plan(definition).unwrap().freeze())
    }

    fn new(plan: FrozenPlan) -> Self {
        Self { plan, requester: Principal::human(id("ann")) }
    }

    /// The first step that brings a version.
    fn first(&self) -> u32 {
        let brings =
            |step: &Step| matches!(&step.action, Action::Scale { replicas, .. } if *replicas > 0);
        let found = self.plan.plan().steps().iter().position(brings).unwrap();
        u32::try_from(found).unwrap()
    }

    fn state(&self) -> RunState {
        let event = Event::RunCreated {
            plan: self.plan.digest(),
            definition: self.plan.plan().definition(),
            supersedes: None,
            policy: None,
            requester: self.requester.clone(),
        };
        let first = Fact { at: Timestamp::default(), event };
        RunState::create(run_id(), self.plan.clone(), &first).unwrap()
    }

    fn admit(&self, state: &RunState, policy: &CoVerified) -> Decision {
        let (run, at) = (run_id(), self.first());
        let step = self.plan.get(at).unwrap();
        let mut asked = Admission::new(&run, &self.requester, step, Timestamp::default());
        asked.at = Some((state, at));
        policy.admit(&asked)
    }

    fn authorize(&self, state: &RunState, service: &ServiceId, policy: &CoVerified) -> Decision {
        let (run, command) = (run_id(), Command::Descope { service: service.clone() });
        let ann = &self.requester;
        let mut asked = CommandRequest::new(&run, ann, ann, &command, Timestamp::default());
        asked.state = Some(state);
        policy.authorize(&asked)
    }
}

/// All releases of so many services that change something.
fn cases() -> &'static [(Vec<u8>, Definition, Case)] {
    static CASES: OnceLock<Vec<(Vec<u8>, Definition, Case)>> = OnceLock::new();
    CASES.get_or_init(|| {
        let all = (1..3_u32.pow(4)).map(|number| {
            let fate = |nth: u32| u8::try_from(number / 3_u32.pow(nth) % 3).unwrap();
            let fates: Vec<u8> = (0..4).map(fate).collect();
            let definition = release(&fates);
            let case = Case::of(&definition);
            (fates, definition, case)
        });
        all.collect()
    })
}

/// What runs of a release without some of its services, said in other words than the policy does.
fn rest(fates: &[u8], without: &[bool]) -> Versions {
    let each = fates.iter().zip(without).enumerate().filter_map(|(nth, (fate, left))| {
        let text = match (fate, left) {
            (0, _) | (1, true) => OLD,
            (1 | 2, false) => NEW,
            _ => return None,
        };
        Some((service(nth), version(text)))
    });
    each.collect()
}

/// A set: of the release without some, whether one of its versions is another, and whether it was gone back from.
type Drawn = ([bool; SERVICES], Option<(usize, bool)>, bool);

fn drawn() -> impl Strategy<Value = Drawn> {
    let all = prop_oneof![
        2 => Just([true; SERVICES]),
        3 => prop::array::uniform4(any::<bool>()),
    ];
    let other = proptest::option::weighted(0.3, (0..SERVICES, any::<bool>()));
    (all, other, prop::bool::weighted(0.2))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_admitted_goes_back_to_or_leaves_just_a_set_of_the_record(
        which in any::<Index>(),
        sets in proptest::collection::vec(drawn(), 0..6),
        left in proptest::collection::vec(0..SERVICES, 0..3),
        first_deployments in any::<bool>(),
    ) {
        let (fates, definition, case) = which.get(cases());
        let mut recorded = VerifiedSets::default();
        let mut holding: Vec<Versions> = Vec::new();
        let mut gone: Vec<Versions> = Vec::new();
        for (nth, (without, other, abandoned)) in sets.iter().enumerate() {
            let mut versions = rest(fates, without);
            match other {
                Some((nth, true)) => drop(versions.insert(service(*nth), version("1.0.0"))),
                Some((nth, false)) => drop(versions.remove(&service(*nth))),
                None => {}
            }
            let evidence = Digest::of(&nth.to_le_bytes());
            if recorded.record(VerifiedSet::of(versions.clone(), evidence)).is_err() {
                prop_assert!(versions.is_empty());
                continue;
            }
            if *abandoned {
                recorded.abandon(evidence);
            }
            if *abandoned { gone.push(versions) } else { holding.push(versions) }
        }
        let record = VerifiedRecord::new(recorded);
        record.announce(definition);
        let policy = CoVerified::new(record.clone()).first_deployments(first_deployments);

        let mut state = case.state();
        let (before, new) = (rest(fates, &[true; SERVICES]), rest(fates, &[false; SERVICES]));
        let begins = holding.contains(&before)
            || before.is_empty() && first_deployments
            || gone.contains(&before) && holding.contains(&new);
        let decision = case.admit(&state, &policy);
        prop_assert_eq!(decision.is_permit(), begins, "{:?}", decision);
        prop_assert_eq!(decision.inputs().and_then(|inputs| inputs.facts), Some(record.digest()));

        // Some are left behind already, as far as the engine lets them.
        let mut without = [false; SERVICES];
        for nth in left {
            let command = Command::Descope { service: service(nth) };
            let told = Input::Directive(Directive::new(command, case.requester.clone(), "late"));
            let asked = Turn::new(Timestamp::default(), 0, &PermitAll);
            without[nth] |= turn(&mut state, Some(&told), &asked, 100).is_ok();
        }
        for nth in 0..SERVICES {
            let decision = case.authorize(&state, &service(nth), &policy);
            let mut then = without;
            then[nth] = true;
            let changes = !without[nth] && fates[nth] != 0;
            let stays = !changes || holding.contains(&rest(fates, &then));
            prop_assert_eq!(decision.is_permit(), stays, "{} {:?}", nth, decision);
            prop_assert_eq!(decision.inputs().and_then(|inputs| inputs.facts), Some(record.digest()));
        }
    }
}
