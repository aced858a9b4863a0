//! Rows of the fault table that no other file has: doubled and late answers, freezes that race approvals,
//! what a rollback needs before it is needed, traffic before readiness, members of a train that fail.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use release_core::ids::TrackId;
use release_core::model::{BlueGreen, Definition, Digest, Gate, Strategy, Target};
use release_core::plan::{Action, FrozenPlan, Reach, RetryPolicy, Step, Touched, plan, rollback};
use release_core::port::{Admission, CommandRequest, Decision, Policy, Reason};
use release_core::run::{Command, Event, Outcome, Status};
use release_core::time::{Span, Timestamp};

use super::support::drive::{End, Run, snapshot};
use super::support::random;
use super::support::samples::{approval, chain, change, id, one_service, one_way, shop};
use super::support::words::{approve, failures, started};
use super::support::world::START;

/// The same approval, delivered up to five times, is one decision.
#[test]
fn f8_doubled_approvals_and_answers_are_one() {
    let Gate::Approval(mut two) = approval("go") else { panic!("an approval") };
    two.quorum = 2;
    let mut run = Run::start(&chain(vec![change("a").gate(Gate::Approval(two)), change("b")]));
    run.command(approve("go"), "bob").unwrap();
    let before = snapshot(&run.state);
    for _ in 0..4 {
        assert_eq!(run.command(approve("go"), "bob").unwrap(), []);
    }
    assert_eq!(snapshot(&run.state), before);
    run.command(approve("go"), "eve").unwrap();
    run.end("a", End::Good);
    for _ in 0..4 {
        assert_eq!(run.late(0, End::Good), [], "the answer again");
    }
    assert_eq!(started(&run), ["a 1", "b 1"]);
}

/// An answer of an attempt that was given up says nothing about the one that is under way.
#[test]
fn f9_late_answers_of_an_earlier_attempt_change_nothing() {
    let mut step = change("a");
    step.retry = RetryPolicy::attempts(3);
    let mut run = Run::start(&chain(vec![step, change("b")]));
    run.end("a", End::Transient);
    run.next_effect();
    for end in [End::Good, End::Permanent, End::Unknown, End::Garbage] {
        assert_eq!(run.late(0, end), [], "{end:?}");
    }
    assert_eq!(run.status("a"), Status::Running, "the second attempt is waited for");
    run.take_over();
    run.next_effect();
    for nth in 0..run.stale.len() {
        assert_eq!(run.late(nth, End::Good), [], "of the engine before");
    }
    run.end("a", End::Absent);
    assert_eq!(run.heal(20), Outcome::Succeeded);
}

/// Frozen in `[begin, end)`.
#[derive(Debug, Clone, Copy)]
struct Freeze(Timestamp, Timestamp);

impl Policy for Freeze {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        if request.now < self.0 || request.now >= self.1 {
            return Decision::permit();
        }
        let reasons = vec![Reason::new("freeze/peak", "peak season", "time")];
        Decision::wait(Some(self.1), reasons)
    }

    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

/// Every order of the approval, the beginning and the end of the freeze: the approval is always taken, and
/// the step never starts inside.
#[test]
fn f20_a_freeze_that_begins_while_a_run_waits_for_an_approval_holds_it() {
    let at = |second: u64| START.plus(Span::secs(second));
    for begin in 1..=4 {
        for length in 1..=3 {
            for approved in 1..=8 {
                let freeze = Freeze(at(begin), at(begin + length));
                let plan = chain(vec![change("a").gate(approval("go"))]);
                let mut run = Run::start_with(&plan, Box::new(freeze), 1_000);
                run.pass(Span::secs(approved));
                run.command(approve("go"), "bob").unwrap();
                while run.effects.is_empty() {
                    assert!(run.pass_to_next(), "begin {begin}, length {length}, at {approved}");
                }
                let first = run.facts.iter().find(|f| matches!(f.event, Event::StepStarted { .. }));
                let first = first.unwrap().at;
                assert!(first < freeze.0 || first >= freeze.1, "{first} in {freeze:?}");
                let wanted = at(approved);
                let wanted = if wanted < freeze.0 { wanted } else { wanted.max(freeze.1) };
                assert_eq!(first, wanted, "and no later than needed");
            }
        }
    }
}

/// What a rollback would bring back is verified before anything changes.
#[test]
fn f28_without_a_version_to_return_to_nothing_is_begun() {
    for strategy in [Strategy::Recreate, Strategy::BlueGreen(BlueGreen::default())] {
        let mut run = Run::start(&plan(&one_service(strategy)).unwrap().freeze());
        run.end("artifacts/api/new", End::Good);
        run.end("artifacts/api/previous", End::Permanent);
        assert!(matches!(run.state.outcome(), Some(Outcome::Failed { .. })));
        let changed = started(&run).into_iter().filter(|step| step.starts_with("prod/"));
        assert_eq!(changed.collect::<Vec<_>>(), [""; 0]);
    }
}

/// A migration that was contracted is no way back, and that can be read before it is needed.
#[test]
fn f29_behind_a_forward_only_migration_a_rollback_is_refused_and_said_before() {
    let plan = chain(vec![change("expand"), one_way("contract"), change("cleanup")]);
    let mut run = Run::start(&plan);
    run.end("expand", End::Good);
    assert!(run.state.rollback_plan(&Reach::Release).is_err(), "`contract` is under way");
    run.end("contract", End::Good);
    run.command(Command::Cancel, "bob").unwrap();
    run.end("cleanup", End::Good);
    let refused = run.last(|event| matches!(event, Event::RollbackBlocked { .. }));
    assert!(
        matches!(refused, Some(Event::RollbackBlocked { step, .. }) if step.as_str() == "contract")
    );
    assert!(matches!(run.state.outcome(), Some(Outcome::Cancelled { .. })));
}

/// What is known of one target, step after step: how many instances of each version were seen to be ready since they may
/// last have died, and the shares.
#[derive(Clone, Default)]
struct Seen {
    ready: BTreeMap<(Digest, Option<TrackId>), u32>,
    shares: BTreeMap<(Digest, Option<TrackId>), u8>,
}

/// How many instances each service has, and how many of them may be missing in an environment.
struct Needs<'a>(&'a Definition);

impl Needs<'_> {
    /// How many instances a share of the traffic needs, rounded down, and at least one.
    fn of(&self, target: &Target, percent: u8) -> u32 {
        let service = self.0.services.iter().find(|s| s.id == target.service).unwrap();
        let stage = self.0.stages.iter().find(|s| s.environment == target.environment).unwrap();
        let missing = match &stage.strategy {
            Strategy::Rolling(rolling) => rolling.max_unavailable.rounded_down(service.replicas),
            _ => 0,
        };
        (service.replicas * u32::from(percent) / 100).saturating_sub(missing).max(1)
    }

    /// The versions from before serve, and are ready.
    fn before(&self) -> BTreeMap<Target, Seen> {
        let mut all = BTreeMap::new();
        for environment in &self.0.environments {
            for region in &environment.regions {
                for (service, old) in &self.0.release.previous.members {
                    let (place, region) = (environment.id.clone(), region.clone());
                    let seen = Seen {
                        ready: [((old.artifact.digest(), None), u32::MAX)].into(),
                        shares: [((old.artifact.digest(), None), 100)].into(),
                    };
                    all.insert(Target::new(place, region, service.clone()), seen);
                }
            }
        }
        all
    }

    /// That no step gives a version more of the traffic than instances of it were just seen to be ready for.
    fn follow(&self, step: &Step, all: &mut BTreeMap<Target, Seen>) {
        let place = step.scope.place();
        match &step.action {
            Action::Scale { deployment, replicas, .. } => {
                let seen = all.entry(whole(&deployment.target)).or_default();
                let key = (deployment.artifact.digest(), deployment.target.track.clone());
                seen.ready.entry(key).and_modify(|ready| *ready = (*ready).min(*replicas));
            }
            Action::Probe { deployment, min_ready } => {
                let seen = all.entry(whole(&deployment.target)).or_default();
                let key = (deployment.artifact.digest(), deployment.target.track.clone());
                seen.ready.insert(key, *min_ready);
            }
            Action::Route { target, weights, .. } => {
                let seen = all.entry(target.clone()).or_default();
                for weight in weights {
                    let key = (weight.digest, weight.track.clone());
                    let had = seen.shares.get(&key).copied().unwrap_or(0);
                    let ready = seen.ready.get(&key).copied().unwrap_or(0);
                    let needed = self.of(target, weight.percent);
                    let enough = weight.percent <= had || ready >= needed;
                    let (id, label) = (&step.id, weight.label());
                    assert!(
                        enough,
                        "{id}: {ready} of {label} were seen ready, {needed} are needed"
                    );
                }
                let shares = weights.iter().map(|w| ((w.digest, w.track.clone()), w.percent));
                seen.shares = shares.collect();
            }
            // Time passes.
            Action::Bake { .. } | Action::Analyze { .. } | Action::Custom { .. } => {
                let here = all.iter_mut().filter(|(target, _)| {
                    place.is_some_and(|place| place.service.as_ref() == Some(&target.service))
                });
                here.for_each(|(_, seen)| seen.ready.clear());
            }
            _ => {}
        }
    }

    /// On the way forward, and on the way back from behind `count` steps of it.
    fn hold(&self, frozen: &FrozenPlan, count: usize) {
        let order = frozen.plan().order().unwrap();
        let (mut all, mut behind) = (self.before(), None);
        for (index, at) in order.iter().enumerate() {
            if index == count % order.len() {
                behind = Some(all.clone());
            }
            self.follow(frozen.get(*at).unwrap(), &mut all);
        }
        let done: BTreeSet<u32> = order.iter().take(count % order.len()).copied().collect();
        let touched = |at| if done.contains(&at) { Touched::Done } else { Touched::No };
        let Ok(back) = rollback(frozen, touched, &Reach::Release) else { return };
        let mut all = behind.unwrap();
        // Whatever was seen on the way, versions may have died since.
        for seen in all.values_mut() {
            seen.ready.clear();
        }
        // The steps of each target are in their order.
        for step in &back.steps {
            self.follow(step, &mut all);
        }
    }
}

/// The target, whoever on it.
fn whole(target: &Target) -> Target {
    Target { track: None, ..target.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn f30_no_traffic_goes_to_what_was_not_seen_ready(
        definition in random::definition(), count in proptest::num::usize::ANY,
    ) {
        Needs(&definition).hold(&plan(&definition).unwrap().freeze(), count);
    }

    /// A member of the train fails: whatever needs it has not begun, and nobody passes the sync point.
    #[test]
    fn f49_dependents_of_a_member_that_fails_are_not_begun(
        definition in random::definition(), nth in proptest::num::usize::ANY,
    ) {
        let frozen = plan(&definition).unwrap().freeze();
        let probes: Vec<u32> = (0..).zip(frozen.plan().steps())
            .filter(|(_, step)| step.id.as_str().ends_with("/ready") && step.group.is_some())
            .map(|(index, _)| index)
            .collect();
        if let Some(failing) = probes.get(nth % probes.len().max(1)).copied() {
            a_member_fails(&frozen, failing);
        }
    }
}

fn a_member_fails(frozen: &FrozenPlan, failing: u32) {
    let mut run = Run::start(frozen);
    for _ in 0..10_000 {
        if run.effects.contains_key(&failing) || run.state.outcome().is_some() {
            break;
        }
        match run.effects.keys().copied().find(|step| *step != failing) {
            Some(step) => drop(run.outcome(step, End::Good)),
            None if run.pass_to_next() => {}
            None => run.help(),
        }
    }
    assert!(run.effects.contains_key(&failing), "the member is deployed at some time");
    run.outcome(failing, End::Permanent);
    let plan = frozen.plan();
    let group = plan.steps()[failing as usize].group.unwrap();
    let needs = |other: &u32| plan.groups()[*other as usize].after.contains(&group);
    for dependent in (0..u32::try_from(plan.groups().len()).unwrap()).filter(needs) {
        for (index, step) in (0_u32..).zip(plan.steps()) {
            let begun = matches!(
                run.state.status(index),
                Some(Status::Running | Status::Succeeded | Status::Compensated)
            );
            assert!(step.group != Some(dependent) || !begun, "{} began", step.id);
        }
    }
    assert!(!failures(&run).is_empty());
}

/// By hand, so that the property above cannot pass for want of dependents.
#[test]
fn f49_a_train_holds_where_its_first_member_failed() {
    let frozen = plan(&shop()).unwrap().freeze();
    let failing = frozen.find(&id("staging/eu/db/ready")).unwrap();
    a_member_fails(&frozen, failing);
}
