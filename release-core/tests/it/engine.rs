//! The engine, with tokio's clock standing still but when all is idle: faults of providers, and what
//! people say, each with what is promised.

use release_core::engine::{SendError, Settled};
use release_core::model::{Approval, BlueGreen, Gate, Span, Strategy, Target, Timestamp};
use release_core::plan::{Action, EdgeKind, OnFailure, RetryPolicy, Step, Weight, plan};
use release_core::port::{EffectError, Evidence, Measurement};
use release_core::run::{Awaiting, Command, Event, Mode, Outcome, Rejected, Status};
use std::sync::atomic::{AtomicU32, Ordering};

use super::support::engines::{command, events, operator, run_id, settle, start};
use super::support::samples::{
    approval, artifact, builder, chain, change, deployment, id, one_service, one_way, person, shop,
    side_by_side,
};
use super::support::words::back;
use super::support::world::{Act, START, World, engine, memory, ratio};

#[tokio::test(start_paused = true)]
async fn a_release_succeeds_and_subscribers_see_what_the_journal_has() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let mut definition = shop();
    definition.stages[1].gates.remove(0);
    let handle = start(&journal, &world, plan(&definition).unwrap().freeze()).await;
    // One that reads as it goes, and one that began late and never looked until the end.
    let (mut early, mut late) = (handle.events(0), handle.events(3));
    let mut seen = Vec::new();
    while let Some(recorded) = early.next().await.unwrap() {
        seen.push(Event::clone(&recorded.event));
        assert_eq!(recorded.seq, seen.len() as u64);
    }
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    let all = events(&journal).await;
    assert_eq!(seen, all);
    for (event, seq) in all.iter().zip(1..).skip(3) {
        let recorded = late.next().await.unwrap().expect("more");
        assert_eq!((recorded.seq, &recorded.event), (seq, event));
    }
    assert_eq!(late.next().await, Ok(None));
    assert_eq!(handle.events(0).next().await.unwrap().unwrap().seq, 1, "also once it is over");
    let paused = handle.send(command(Command::Pause, "ann")).await;
    assert_eq!(paused, Err(SendError::Finished(Outcome::Succeeded)));
    assert_eq!(world.unannounced(), []);
    assert!(world.by_key().values().all(|count| *count == 1), "{:?}", world.by_key());
    let heads = journal.heads().await.unwrap();
    assert!(heads[0].finished && heads[0].seq == all.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn f13_transient_failures_are_tried_again_after_a_pause() {
    let step = change("a").retry(RetryPolicy {
        max_attempts: 3,
        backoff: Span::secs(1),
        max_backoff: Span::secs(8),
    });
    let (handle, world, settled) = settle(chain(vec![step]), |call| match call.attempt {
        1 | 2 => Act::Fail(EffectError::transient("busy", "later")),
        _ => Act::Faithful,
    })
    .await;
    assert_eq!(settled, Settled::Finished(Outcome::Succeeded));
    assert_eq!(world.by_key(), [("run-1/a/0".to_owned(), 3)].into());
    assert!(handle.state().await.is_err(), "over is over");
}

/// A provider that asks for a pause gets it, within reason.
#[tokio::test(start_paused = true)]
async fn a_provider_is_left_alone_as_long_as_it_asks_for() {
    for (asked, least, most) in [(90, 90, 120), (1_000_000, 3600, 3700)] {
        let journal = memory();
        let world = World::new(&journal, move |call| match call.attempt {
            1 => Act::Fail(EffectError::transient("rate", "slow").after(Span::secs(asked))),
            _ => Act::Faithful,
        });
        let handle =
            start(&journal, &world, chain(vec![change("a").retry(RetryPolicy::attempts(2))])).await;
        assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
        let (history, _) = engine(&journal, &world, "x").load(&run_id()).await.unwrap();
        let took = history.facts().last().unwrap().at.since(START);
        assert!(took >= Span::secs(least) && took < Span::secs(most), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn f10_a_hang_is_given_up_at_its_deadline_and_looked_for() {
    let (_, world, settled) = settle(chain(vec![change("a")]), |call| match call.mode {
        Mode::Perform => Act::ApplyThenHang,
        Mode::Look => Act::Faithful,
    })
    .await;
    assert_eq!(settled, Settled::Finished(Outcome::Succeeded));
    let modes: Vec<_> = world.calls().iter().map(|call| call.mode).collect();
    assert_eq!(modes, [Mode::Perform, Mode::Look], "found, so not performed twice");
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_dropped() {
    let plan = chain(vec![change("a"), change("b").gate(approval("go"))]);
    let (handle, world, _) = settle(plan, |call| match (call.attempt, call.mode) {
        (1, _) => Act::ApplyThenHang,
        (_, _) => Act::Faithful,
    })
    .await;
    assert!(handle.state().await.unwrap().outcome().is_none());
    assert_eq!((world.calls().len(), world.hanging()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hang_that_changed_nothing_is_performed_again_with_the_same_key() {
    let step = change("a").retry(RetryPolicy::attempts(2));
    let (_, world, settled) = settle(chain(vec![step]), |call| match call.attempt {
        1 => Act::Hang,
        _ => Act::Faithful,
    })
    .await;
    assert_eq!(settled, Settled::Finished(Outcome::Succeeded));
    assert_eq!(world.by_key(), [("run-1/a/0".to_owned(), 2)].into());
}

#[tokio::test(start_paused = true)]
async fn f10_what_cannot_be_found_out_waits_for_a_person_who_says() {
    for applied in [true, false] {
        let calls = AtomicU32::new(0);
        let (handle, world, settled) = settle(chain(vec![change("a"), change("b")]), move |call| {
            let first = calls.fetch_add(1, Ordering::Relaxed) < 2;
            if call.step == "a" && first { Act::Hang } else { Act::Faithful }
        })
        .await;
        assert_eq!(settled, operator("a"));
        let reconcile = Command::Reconcile { step: id("a"), applied };
        handle.send(command(reconcile, "bob")).await.unwrap();
        assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
        let performed = if applied { vec!["a", "b"] } else { vec!["a", "a", "b"] };
        assert_eq!(world.performed(), performed);
    }
}

#[tokio::test(start_paused = true)]
async fn f36_a_panic_of_a_provider_is_an_unknown_outcome_and_hurts_nobody() {
    let step = change("a").retry(RetryPolicy::attempts(2));
    let (_, world, settled) = settle(side_by_side(vec![step, change("b")]), |call| {
        if call.step == "a" && call.attempt == 1 { Act::Panic } else { Act::Faithful }
    })
    .await;
    assert_eq!(settled, Settled::Finished(Outcome::Succeeded));
    let a: Vec<_> = world.calls().into_iter().filter(|call| call.step == "a").collect();
    let modes: Vec<_> = a.iter().map(|call| call.mode).collect();
    assert_eq!(
        modes,
        [Mode::Perform, Mode::Look, Mode::Perform],
        "looked for before it is repeated"
    );

    let (_, _, settled) = settle(chain(vec![change("a")]), |_| Act::Panic).await;
    assert_eq!(settled, operator("a"), "also a look may panic");
}

#[tokio::test(start_paused = true)]
async fn f12_a_provider_that_lies_is_not_believed() {
    let other = artifact("api", "9.9.9").digest();
    let here = deployment("api", "2.0.0");
    let there = Target::new(id("prod"), id("us"), id("api"));
    let (new, elsewhere) = (here.artifact.digest(), there.clone());
    let all = vec![Weight::new(new, id("2.0.0"), 100)];
    let lies: [(&str, Evidence); 6] = [
        ("artifacts/api/new", Evidence::Artifact { digest: other, bytes: 1 }),
        (
            "prod/eu/api/start",
            Evidence::Instances { target: here.target.clone(), digest: other, running: 4 },
        ),
        (
            "prod/eu/api/start",
            Evidence::Instances { target: there.clone(), digest: new, running: 4 },
        ),
        (
            "prod/eu/api/ready",
            Evidence::Health {
                target: there,
                digest: new,
                ready: 4,
                unready: vec![],
                observed_at: None,
            },
        ),
        (
            "prod/eu/api/serve",
            Evidence::Weights { target: elsewhere, weights: all, served: vec![], rules: None },
        ),
        ("prod/eu/api/ready", Evidence::Done),
    ];
    for (step, lie) in lies {
        let plan = plan(&one_service(Strategy::Recreate)).unwrap().freeze();
        let (_, world, settled) =
            settle(
                plan,
                move |call| {
                    if call.step == step { Act::Say(lie.clone()) } else { Act::Faithful }
                },
            )
            .await;
        let Settled::Finished(outcome) = settled else { panic!("{settled:?}") };
        let rolled_back = matches!(outcome, Outcome::RolledBack { .. });
        assert_eq!(rolled_back, step != "artifacts/api/new", "{outcome}");
        assert!(rolled_back || matches!(outcome, Outcome::Failed { .. }), "{outcome}");
        let asked = world.performed().iter().filter(|name| *name == step).count();
        assert_eq!(asked, 1, "a liar is not asked again");
    }
}

#[tokio::test(start_paused = true)]
async fn health_of_no_age_or_of_another_day_brings_no_traffic() {
    let deployment = deployment("api", "2.0.0");
    let said = |observed_at| Evidence::Health {
        target: deployment.target.clone(),
        digest: deployment.artifact.digest(),
        ready: 4,
        unready: vec![],
        observed_at,
    };
    let ages = [
        (None, "does not say when it observed health"),
        (
            Some(Timestamp::from_micros(START.as_micros() - 3_600_000_000)),
            "older than 1m is no evidence",
        ),
        (Some(START.plus(Span::secs(86_400))), "set the clocks right"),
    ];
    for (observed_at, why) in ages {
        let plan = plan(&one_service(Strategy::Recreate)).unwrap().freeze();
        let evidence = said(observed_at);
        let (_, world, settled) = settle(plan, move |call| {
            if call.step == "prod/eu/api/ready" {
                Act::Say(evidence.clone())
            } else {
                Act::Faithful
            }
        })
        .await;
        let Settled::Finished(Outcome::RolledBack { cause }) = settled else {
            panic!("{settled:?}")
        };
        assert!(cause.to_string().contains(why), "{cause}");
        assert!(!world.performed().contains(&"prod/eu/api/serve".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn measurements_of_another_version_and_of_nothing_are_no_pass() {
    let other = artifact("api", "1.0.0").digest();
    let nothing = Measurement::NoData { reason: "silence".into() };
    for evidence in [ratio(other, 0.0, 1_000.0), Evidence::Measurement(nothing)] {
        let strategy = Strategy::BlueGreen(BlueGreen::default());
        let plan = plan(&one_service(strategy)).unwrap().freeze();
        let (_, world, settled) = settle(plan, move |call| {
            let analysis = call.step == "prod/eu/api/errors";
            if analysis { Act::Say(evidence.clone()) } else { Act::Faithful }
        })
        .await;
        let Settled::Finished(Outcome::RolledBack { cause }) = settled else {
            panic!("{settled:?}")
        };
        assert!(cause.to_string().contains("11 such measurements, 10 tolerated"), "{cause}");
        assert!(!world.performed().contains(&"prod/eu/api/remove-old".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_and_a_resume_goes_on() {
    let gated = change("b").gate(approval("go"));
    let (handle, world, _) = settle(chain(vec![change("a"), gated]), |_| Act::Faithful).await;
    handle.send(command(Command::Pause, "bob")).await.unwrap();
    handle.send(command(Command::Approve { gate: id("go") }, "bob")).await.unwrap();
    assert_eq!(handle.settled().await, Ok(Settled::NeedsPerson(vec![Awaiting::Resume])));
    assert_eq!(world.performed(), ["a"]);
    handle.send(command(Command::Resume, "bob")).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    let late = handle.send(command(Command::Pause, "bob")).await;
    assert_eq!(late, Err(SendError::Finished(Outcome::Succeeded)));
}

#[tokio::test(start_paused = true)]
async fn the_requester_may_not_approve_and_that_is_on_record() {
    let journal = memory();
    let world = World::new(&journal, |_| Act::Faithful);
    let two = Gate::Approval(Approval { quorum: 2, ..Approval::new(id("go")) });
    let handle = start(&journal, &world, chain(vec![change("a").gate(two)])).await;
    let approve = |by: &str| handle.send(command(Command::Approve { gate: id("go") }, by));
    let denied = approve("ann").await.unwrap_err();
    assert!(matches!(&denied, SendError::Rejected(Rejected::Denied { .. })), "{denied:?}");
    assert!(denied.to_string().contains("separation of duties"), "{denied}");
    let last = events(&journal).await.pop().unwrap();
    assert!(
        matches!(last, Event::CommandDenied { command, by, .. } if command == "approve" && by == person("ann"))
    );
    approve("bob").await.unwrap();
    approve("bob").await.unwrap();
    assert_eq!(
        handle.settled().await,
        Ok(Settled::NeedsPerson(vec![Awaiting::Approval(id("go"))]))
    );
    assert_eq!(world.performed(), [""; 0]);
    approve("eve").await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_brings_back_what_was_changed() {
    let plan = chain(vec![change("a"), back(change("b").gate(approval("go")))]);
    let (handle, world, _) = settle(plan, |_| Act::Faithful).await;
    handle.send(command(Command::Reject { gate: id("go") }, "bob")).await.unwrap();
    assert!(matches!(handle.wait().await, Ok(Outcome::RolledBack { .. })));
    assert_eq!(world.performed(), ["a", "rollback/a/custom"]);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_rolls_back_and_is_denied_while_it_does() {
    let hold = change("b").on_failure(OnFailure::Hold);
    let (handle, world, settled) = settle(chain(vec![change("a"), hold]), |call| {
        let fails = call.step == "b" || (call.step.starts_with("rollback/b") && call.attempt <= 5);
        if fails { Act::Fail(EffectError::transient("busy", "later")) } else { Act::Faithful }
    })
    .await;
    assert_eq!(settled, operator("b"));
    handle.send(command(Command::Cancel, "bob")).await.unwrap();
    let stuck = handle.settled().await.unwrap();
    assert_eq!(stuck, operator("rollback/b/custom"), "five attempts, then a person");
    let denied = handle.send(command(Command::Cancel, "bob")).await.unwrap_err();
    assert!(matches!(denied, SendError::Rejected(Rejected::Denied { .. })), "{denied}");
    let state = handle.state().await.unwrap();
    assert_eq!(state.status(0), Some(Status::Succeeded), "not undone before what came after it");
    handle.send(command(Command::Retry { step: id("rollback/b/custom") }, "bob")).await.unwrap();
    assert!(matches!(handle.wait().await, Ok(Outcome::RolledBack { .. })));
    assert_eq!(world.performed().last().unwrap(), "rollback/a/custom");
}

/// Nobody waits out the timeout of an effect that heeds its token: what it left is looked for, and put
/// back. What the rollback itself does is not cancelled.
#[tokio::test(start_paused = true)]
async fn effects_under_way_are_told_to_leave_off_when_the_run_stops() {
    let slow = change("a").timeout(Span::secs(3600));
    for failing in [true, false] {
        let plan = side_by_side(vec![slow.clone(), back(change("b"))]);
        let journal = memory();
        let world = World::new(&journal, move |call| match call.step.as_str() {
            "a" => Act::ApplyUntilCancelled,
            "b" if failing => Act::Fail(EffectError::permanent("no", "broken")),
            _ => Act::Faithful,
        });
        let handle = start(&journal, &world, plan).await;
        if !failing {
            handle.send(command(Command::Cancel, "bob")).await.unwrap();
        }
        assert!(matches!(handle.wait().await, Ok(Outcome::RolledBack { .. })));
        let undone = world.performed();
        assert!(undone.contains(&"rollback/a/custom".to_owned()), "{undone:?}");
        let (history, _) = engine(&journal, &world, "x").load(&run_id()).await.unwrap();
        let took = history.facts().last().unwrap().at.since(START);
        assert!(took < Span::secs(60), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn behind_a_point_of_no_return_the_run_waits_to_go_forward() {
    let broken = AtomicU32::new(1);
    let plan = chain(vec![one_way("migrate"), back(change("a"))]);
    let (handle, world, settled) = settle(plan, move |call| {
        if call.step == "a" && broken.swap(0, Ordering::Relaxed) == 1 {
            return Act::Fail(EffectError::permanent("no", "broken"));
        }
        Act::Faithful
    })
    .await;
    assert_eq!(settled, operator("a"));
    handle.send(command(Command::Retry { step: id("a") }, "bob")).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    assert_eq!(world.performed(), ["migrate", "a", "a"]);
    assert_eq!(world.by_key().len(), 3, "asked for by hand, it is a new operation");
}

/// Found here: the answer to a command came before the run had left what it waited for, and
/// whoever then asked what it waits for was told what it had waited for.
#[tokio::test(start_paused = true)]
async fn what_a_run_waits_for_is_never_told_from_before_a_command() {
    let mut plan = builder();
    let mut last = plan.step(Step::new(id("first"), Action::Sync).gate(approval("first")));
    for n in 0..9_000 {
        let next = plan.step(Step::new(id(&format!("s{n}")), Action::Sync));
        plan.edge(last, next, EdgeKind::Order);
        last = next;
    }
    let gated = plan.step(Step::new(id("second"), Action::Sync).gate(approval("second")));
    plan.edge(last, gated, EdgeKind::Order);
    let (handle, _, _) = settle(plan.build().unwrap().freeze(), |_| Act::Faithful).await;
    handle.send(command(Command::Approve { gate: id("first") }, "bob")).await.unwrap();
    let settled = handle.settled().await.unwrap();
    assert_eq!(settled, Settled::NeedsPerson(vec![Awaiting::Approval(id("second"))]));
}
