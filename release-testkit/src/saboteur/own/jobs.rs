//! Whoever works for a while: build and test runners, provisioners, migrators, custom actions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use release_core::model::Digest;
use release_providers::ErrorKind;
use release_providers::spi::{
    ApplyPlan, BuildStatus, ChangeAction, CustomRequest, CustomStatus, DriftReport, DriftedField,
    JobPhase, JobRef, MigrationPhase, MigrationRef, MigrationStatus, PlanChange, ProvisionPlan,
    ResourceChange, StartBuild, StartTests, TestCase, TestOutcome, TestStatus, WorkspaceRef,
    WorkspaceStatus,
};

use super::{BY_STATE, OwnFault, sabotage};
use crate::fakes::{FakeFleet, lock};

fn failed() -> JobPhase {
    JobPhase::Failed { reason: "sabotaged".into() }
}

/// Where in a status the phase is.
type Phase<S> = fn(&mut S) -> &mut JobPhase;

/// Keys of work.
type Keys = Arc<Mutex<BTreeSet<String>>>;

/// Whoever begins anew what is over, once it is asked for again.
pub(super) fn begins_anew<R: 'static, S: 'static>(phase: Phase<S>) -> OwnFault {
    let (name, caught_by) = ("begins anew what is over", &["what_is_over_stays_as_it_is"]);
    let (over, anew) = (Keys::default(), Keys::default());
    let (ended, begun) = (Arc::clone(&over), Arc::clone(&anew));
    OwnFault::requests::<R>(name, caught_by, move |cx, _| {
        if lock(&ended).contains(&cx.key) {
            lock(&begun).insert(cx.key.clone());
        }
    })
    .and(OwnFault::answers::<JobRef, S>(name, caught_by, move |request, status| {
        let phase = phase(status);
        if lock(&anew).contains(&request.operation) {
            *phase = JobPhase::Running;
        } else if phase.is_over() {
            lock(&over).insert(request.operation.clone());
        }
    }))
}

/// A provisioner whose digests are of the declaration alone.
fn forgets_what_a_plan_starts_from() -> OwnFault {
    let (name, caught_by) = ("forgets what a plan starts from", &["an_old_plan_is_a_conflict"]);
    let (latest, all) = (Arc::new(Mutex::new(BTreeMap::new())), Arc::default());
    let (asked, told): (_, Arc<Mutex<BTreeMap<Digest, Digest>>>) =
        (Arc::clone(&latest), Arc::clone(&all));
    OwnFault::answers::<PlanChange, ProvisionPlan>(name, caught_by, move |request, plan| {
        let claimed = Digest::of(request.declared.to_string().as_bytes());
        lock(&latest).insert(claimed, plan.digest);
        lock(&all).insert(plan.digest, claimed);
        plan.digest = claimed;
    })
    .and(OwnFault::requests::<ApplyPlan>(name, caught_by, move |_, request| {
        if let Some(real) = lock(&asked).get(&request.digest) {
            request.digest = *real;
        }
    }))
    .and(OwnFault::answers::<WorkspaceRef, WorkspaceStatus>(
        name,
        caught_by,
        move |_, status| {
            let claimed = status.applied.and_then(|real| lock(&told).get(&real).copied());
            status.applied = claimed.or(status.applied);
        },
    ))
}

/// A provisioner that knows of its own changes alone.
fn sees_no_other_hands() -> OwnFault {
    let (name, caught_by) = ("sees no other hands", &["what_others_changed_is_a_conflict"]);
    // How often it changed something, and how often it had when each plan was made.
    let state = Arc::new(Mutex::new((0, BTreeMap::new())));
    let (planned, applied, destroyed) =
        (Arc::clone(&state), Arc::clone(&state), Arc::clone(&state));
    OwnFault::answers::<PlanChange, ProvisionPlan>(name, caught_by, move |_, plan| {
        let mut state = lock(&planned);
        let changes = state.0;
        state.1.insert(plan.digest, changes);
    })
    .and(OwnFault::answers::<ApplyPlan, ()>(name, caught_by, move |_, ()| lock(&applied).0 += 1))
    .and(OwnFault::answers::<WorkspaceRef, ()>(name, caught_by, move |_, ()| {
        lock(&destroyed).0 += 1;
    }))
    .and(OwnFault::forgives::<ApplyPlan, ()>(name, caught_by, move |request, kind| {
        let state = lock(&state);
        let current = state.1.get(&request.digest) == Some(&state.0);
        (kind == ErrorKind::Conflict && current).then_some(())
    }))
}

/// A provisioner that takes each first attempt once.
fn takes_a_key_once() -> OwnFault {
    let (name, caught_by) = ("takes a key once", &["callers_at_once_do_it_once"]);
    let (asked, again) = (Keys::default(), Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&again);
    OwnFault::requests::<ApplyPlan>(name, caught_by, move |cx, _| {
        let new = lock(&asked).insert(cx.key.clone());
        seen.store(cx.attempt == 1 && !new, Ordering::SeqCst);
    })
    .and(OwnFault::refuses::<ApplyPlan>(name, caught_by, move |_| {
        again.load(Ordering::SeqCst).then_some(ErrorKind::Internal)
    }))
}

/// A migrator that fails where it is asked twice for the second step before anybody looked.
fn trips_over_haste() -> OwnFault {
    let (name, caught_by) = ("trips over haste", &["expanded_then_contracted"]);
    let (steps, expanded) = (Arc::new(Mutex::new(0)), Arc::new(AtomicBool::new(false)));
    let (asked, seen) = (Arc::clone(&steps), Arc::clone(&expanded));
    OwnFault::answers::<MigrationRef, ()>(name, caught_by, move |_, ()| *lock(&asked) += 1).and(
        OwnFault::answers::<MigrationRef, MigrationStatus>(name, caught_by, move |_, status| {
            let mut steps = lock(&steps);
            if *steps > 1 && expanded.load(Ordering::SeqCst) {
                status.phase = MigrationPhase::Failed { reason: "sabotaged".into() };
                return;
            }
            *steps = 0;
            seen.store(status.phase == MigrationPhase::Expanded, Ordering::SeqCst);
        }),
    )
}

/// Whoever calls it cancelled what was over before.
fn cancels_what_is_over<S: 'static>(phase: Phase<S>) -> OwnFault {
    let (name, caught_by) = ("cancels what is over", &["what_is_over_stays_as_it_is"]);
    let cancelled = Keys::default();
    let ended = Arc::clone(&cancelled);
    OwnFault::answers::<JobRef, ()>(name, caught_by, move |request, ()| {
        lock(&ended).insert(request.operation.clone());
    })
    .and(OwnFault::answers::<JobRef, S>(name, caught_by, move |request, status| {
        let phase = phase(status);
        if phase.is_over() && lock(&cancelled).contains(&request.operation) {
            *phase = JobPhase::Cancelled;
        }
    }))
}

sabotage!(
    BuildRunner,
    [],
    [
        OwnFault::answers::<JobRef, BuildStatus>(
            "makes nothing",
            &["a_build_ends_with_its_artifacts"],
            |_, status| status.artifacts.clear(),
        ),
        OwnFault::answers::<JobRef, BuildStatus>(
            "calls it a failure that it was cancelled",
            &["what_was_cancelled_is_over"],
            |_, status| {
                if status.phase == JobPhase::Cancelled {
                    status.phase = failed();
                }
            },
        ),
        begins_anew::<StartBuild, BuildStatus>(|status| &mut status.phase),
        cancels_what_is_over::<BuildStatus>(|status| &mut status.phase),
        OwnFault::forgives::<StartBuild, ()>(
            "builds what is not there",
            &["wrong_requests_are_refused"],
            |request, kind| {
                (kind == ErrorKind::NotFound && request.repository == FakeFleet::REPOSITORY)
                    .then_some(())
            },
        ),
        OwnFault::answers::<JobRef, BuildStatus>(
            "has built everything",
            &["an_unused_key_is_unknown"],
            |_, status| {
                if status.phase == JobPhase::Unknown {
                    status.phase = JobPhase::Running;
                }
            },
        ),
    ]
);

sabotage!(
    TestRunner,
    [],
    [
        OwnFault::answers::<JobRef, TestStatus>(
            "tells a test twice",
            &["a_run_ends_with_its_tests"],
            |_, status| status.cases.extend(status.cases.first().cloned()),
        ),
        OwnFault::answers::<JobRef, TestStatus>(
            "takes a failed test for none",
            &["a_failed_test_fails_the_run"],
            |_, status| {
                if status.cases.iter().any(|case| case.outcome == TestOutcome::Failed) {
                    status.phase = JobPhase::Succeeded;
                }
            },
        ),
        OwnFault::requests::<StartTests>(
            "runs them all",
            &["only_what_was_named_is_run"],
            |_, request| request.only.clear(),
        ),
        OwnFault::answers::<JobRef, TestStatus>(
            "takes no test for a good one",
            &["nothing_that_was_run_is_no_success"],
            |_, status| {
                if status.phase.is_over() && status.cases.is_empty() {
                    status.phase = JobPhase::Succeeded;
                }
            },
        ),
        OwnFault::answers::<JobRef, TestStatus>(
            "calls it a failure that it was cancelled",
            &["what_was_cancelled_is_over"],
            |_, status| {
                if status.phase == JobPhase::Cancelled {
                    status.phase = failed();
                }
            },
        ),
        OwnFault::answers::<JobRef, TestStatus>(
            "leaves a test out",
            &["a_run_ends_with_its_tests"],
            |_, status| {
                if let Some(last) = status.cases.last_mut().filter(|one| one.name == "two") {
                    last.outcome = TestOutcome::Skipped;
                }
            },
        ),
        OwnFault::answers::<JobRef, TestStatus>(
            "takes skipped tests for good ones",
            &["skipped_tests_are_no_success"],
            |_, status| {
                let skipped = |one: &TestCase| one.outcome == TestOutcome::Skipped;
                if !status.cases.is_empty() && status.cases.iter().all(skipped) {
                    status.phase = JobPhase::Succeeded;
                }
            },
        ),
        OwnFault::forgives::<StartTests, ()>(
            "tests what is not there",
            &["wrong_requests_are_refused"],
            |request, kind| {
                (kind == ErrorKind::NotFound && request.suite == "passes").then_some(())
            },
        ),
        begins_anew::<StartTests, TestStatus>(|status| &mut status.phase),
        cancels_what_is_over::<TestStatus>(|status| &mut status.phase),
        OwnFault::answers::<JobRef, TestStatus>(
            "has run everything",
            &["an_unused_key_is_unknown"],
            |_, status| {
                if status.phase == JobPhase::Unknown {
                    status.phase = JobPhase::Running;
                }
            },
        ),
    ]
);

sabotage!(
    Provisioner,
    [BY_STATE],
    [
        OwnFault::answers::<PlanChange, ProvisionPlan>(
            "plans nothing",
            &["a_plan_changes_nothing"],
            |_, plan| plan.changes.clear(),
        ),
        OwnFault::answers::<PlanChange, ProvisionPlan>(
            "changes what is not there",
            &["a_plan_changes_nothing"],
            |_, plan| {
                let created = |one: &&mut ResourceChange| one.change == ChangeAction::Create;
                for one in plan.changes.iter_mut().filter(created) {
                    one.change = ChangeAction::Update;
                }
            },
        ),
        OwnFault::answers::<WorkspaceRef, WorkspaceStatus>(
            "tells resources that nobody declared",
            &["what_is_applied_is_observed"],
            |_, status| {
                if !status.resources.is_empty() {
                    status.resources.push("a stranger".into());
                }
            },
        ),
        forgets_what_a_plan_starts_from(),
        sees_no_other_hands(),
        takes_a_key_once(),
        OwnFault::forgives::<ApplyPlan, ()>(
            "takes plans of any workspace",
            &["wrong_requests_are_refused"],
            |request, kind| {
                let unknown = request.workspace != FakeFleet::WORKSPACE;
                (kind == ErrorKind::NotFound && unknown).then_some(())
            },
        ),
        OwnFault::forgives::<PlanChange, ProvisionPlan>(
            "takes any declaration",
            &["wrong_requests_are_refused"],
            |request, kind| {
                let plan = || {
                    let digest = Digest::of(request.declared.to_string().as_bytes());
                    ProvisionPlan::new(request.workspace.clone(), digest, Vec::new())
                };
                (kind == ErrorKind::Invalid).then(plan)
            },
        ),
        OwnFault::answers::<PlanChange, ProvisionPlan>(
            "is never done",
            &["what_is_applied_is_observed"],
            |_, plan| {
                if plan.changes.is_empty() {
                    plan.changes.push(ResourceChange::new("db".into(), ChangeAction::Update));
                }
            },
        ),
        OwnFault::forgives::<ApplyPlan, ()>(
            "carries out old plans",
            &["an_old_plan_is_a_conflict"],
            |_, kind| (kind == ErrorKind::Conflict).then_some(()),
        ),
        OwnFault::says_done(
            "destroys nothing",
            &["what_is_destroyed_is_gone"],
            ("provisioner", "destroy"),
        ),
        OwnFault::answers::<WorkspaceRef, DriftReport>(
            "sees drift where there is none",
            &["what_is_as_declared_has_no_drift"],
            |_, report| {
                if report.fields.is_empty() {
                    report.fields.push(DriftedField::new("db".into(), "/size".into()));
                }
            },
        ),
        OwnFault::answers::<WorkspaceRef, DriftReport>(
            "tells one field alone",
            &["drift_is_told_field_by_field"],
            |_, report| report.fields.truncate(1),
        ),
    ]
);

sabotage!(
    Migrator,
    [BY_STATE],
    [
        OwnFault::forgives::<MigrationRef, ()>(
            "contracts what is not expanded",
            &["nothing_is_contracted_before_it_is_expanded"],
            |_, kind| (kind == ErrorKind::Conflict).then_some(()),
        ),
        OwnFault::forgives::<MigrationRef, ()>(
            "migrates what is not there",
            &["wrong_requests_are_refused"],
            |request, kind| {
                let known = request.migration == FakeFleet::MIGRATION;
                (kind == ErrorKind::NotFound && known).then_some(())
            },
        ),
        trips_over_haste(),
        OwnFault::answers::<MigrationRef, MigrationStatus>(
            "goes back",
            &["expanded_then_contracted"],
            |_, status| {
                if status.phase == MigrationPhase::Contracted {
                    status.phase = MigrationPhase::Expanded;
                }
            },
        ),
    ]
);

sabotage!(
    CustomAction,
    [],
    [
        OwnFault::answers::<CustomRequest, CustomStatus>(
            "forgets what it answered",
            &["what_was_done_is_observed"],
            |_, status| {
                if let Some(done) = &mut status.done {
                    done.output = serde_json::Value::Null;
                }
            },
        ),
        OwnFault::answers::<CustomRequest, CustomStatus>(
            "has done everything",
            &["what_was_done_is_observed"],
            |request, status| {
                let done = || release_providers::spi::CustomOutput::new(request.input.clone());
                status.done.get_or_insert_with(done);
            },
        ),
    ]
);
