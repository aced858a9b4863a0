//! Plans that mix deploying with feature flags: an abort anywhere puts every flag back to what was recorded of it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use release_core::engine::{EngineError, Settled};
use release_core::flags::{FlagKey, FlagState};
use release_core::journal::History;
use release_core::model::{FlagChange, Gate, RollbackScope, Span};
use release_core::plan::{
    Action, EdgeKind, FlagDeed, FlagStep, Plan, PlanError, Reach, Step, Touched, plan, rollback,
};
use release_core::port::Evidence;
use release_core::run::{Cause, Command, Event, Outcome, RunState};

use super::support::engines::{command, events, run_id};
use super::support::flags::{Deed, FlagWorld, before, engine, release};
use super::support::samples::{approval, environment, id, person};
use super::support::world::{memory, pass};

fn steps(plan: &Plan) -> Vec<&str> {
    let order = plan.order().unwrap();
    order.iter().map(|index| plan.steps()[*index as usize].id.as_str()).collect()
}

fn position(steps: &[impl AsRef<str>], wanted: &str) -> usize {
    steps.iter().position(|step| step.as_ref() == wanted).unwrap_or_else(|| panic!("no {wanted}"))
}

#[test]
fn flags_are_read_before_they_are_set_and_old_versions_go_last() {
    let plan = plan(&release()).unwrap();
    let all = steps(&plan);
    let order = [
        "prod/enter",
        "prod/flags/dual-write/read",
        "prod/flags/dual-write/share-100",
        "prod/eu/api/start",
        "prod/eu/api/promote",
        "prod/flags/newcheckout/read",
        "prod/flags/newcheckout/share-10",
        "prod/flags/newcheckout/share-10/bake",
        "prod/flags/newcheckout/share-100",
        "prod/flags/newcheckout/share-100/bake",
        "prod/flags/old-banner/read",
        "prod/flags/old-banner/share-0",
        "prod/eu/api/remove-old",
    ];
    let places: Vec<usize> = order.iter().map(|step| position(&all, step)).collect();
    assert!(places.is_sorted(), "{all:?}");
    let set = plan.steps().iter().find(|s| s.id.as_str().ends_with("share-10")).unwrap();
    assert_eq!(set.action.to_string(), "flag newCheckout on for 10%");
    assert!(set.action.mutates());
    let json = serde_json::to_value(&set.action).unwrap();
    let wanted = serde_json::json!({
        "type": "flag", "environment": "prod", "flag": "newCheckout",
        "deed": { "do": "set", "state": { "state": "share", "percent": 10 } },
    });
    assert_eq!(json, wanted);
    assert_eq!(serde_json::from_value::<Action>(json).unwrap(), set.action);
    let read = Plan::decode(&serde_json::to_vec(&plan).unwrap()).unwrap();
    assert_eq!(read.plan(), &plan);
}

#[test]
fn a_flag_of_one_service_comes_before_or_after_its_rollouts_alone() {
    let mut definition = release();
    definition.environments =
        vec![environment("prod", release_core::model::Tier::Production, &["eu", "us"])];
    let gate = Gate::Approval(release_core::model::Approval::new(id("flags")));
    definition.stages[0].flags = vec![
        FlagChange::new(id("first"), vec![50]).before().of(id("api")).gate(gate),
        FlagChange::new(id("last"), vec![50]).of(id("api")),
    ];
    let plan = plan(&definition).unwrap();
    let all = steps(&plan);
    let order = [
        "prod/flags/first/enter",
        "prod/flags/first/read",
        "prod/flags/first/share-50",
        "prod/eu/api/start",
        "prod/us/api/promote",
        "prod/flags/last/read",
    ];
    let places: Vec<usize> = order.iter().map(|step| position(&all, step)).collect();
    assert!(places.is_sorted(), "{all:?}");
    let enter = &plan.steps()[plan.steps().iter().position(Step::is_gated).unwrap()];
    assert_eq!(enter.id.as_str(), "prod/flags/first/enter");
    assert_eq!(enter.gates[0].approval().unwrap().id, id("prod/flags/first/flags"));
}

#[test]
fn faults_of_flags_are_told_all_at_once() {
    let mut definition = release();
    let change = |flag: &str, shares: Vec<u8>| FlagChange::new(id(flag), shares);
    definition.stages[0].flags = vec![
        change("a", vec![]),
        change("b", vec![10, 101]),
        change("c", vec![10, 10]),
        change("C", vec![10]),
        change("d", vec![10]).of(id("nobody")),
        change("e", vec![10]).bake(Span::secs(u64::MAX / 2_000_000)),
    ];
    let errors = plan(&definition).unwrap_err().to_string();
    for text in [
        "flag `a` has no `shares`",
        "flag `b` has a share of 101 %",
        "flag `c` has one of its shares [10, 10] twice",
        "prod/C",
        "nobody",
        "flags.bake",
    ] {
        assert!(errors.contains(text), "{text}: {errors}");
    }
}

#[test]
fn what_nobody_read_cannot_be_restored() {
    let flag = |deed| FlagStep { environment: id("prod"), flag: id("dark-mode"), deed };
    let set = flag(FlagDeed::Set { state: FlagState::On });
    let build = |from: &str, edge: bool, other: bool| {
        let mut read = flag(FlagDeed::Read);
        if other {
            read.flag = id("other");
        }
        let mut plan = Plan::builder(id("shop"), id("r-1"));
        let read = plan.step(Step::new(id("read"), Action::Flag(read)));
        let undo = set.restored_from(&id(from));
        let set = plan.step(Step::new(id("set"), Action::Flag(set.clone())).undo(undo));
        if edge {
            plan.edge(read, set, EdgeKind::Order);
        }
        plan.build()
    };
    assert!(build("read", true, false).is_ok());
    let refused = |from: &str, edge, other| {
        let wanted = PlanError::FlagNotRead { step: id("set"), from: Some(id(from)) };
        assert_eq!(build(from, edge, other).unwrap_err().0, [wanted], "{from} {edge} {other}");
    };
    refused("read", false, false);
    refused("read", true, true);
    refused("elsewhere", true, false);
    // A plan restores nothing by itself: what was before is known only once it runs.
    let mut plan = Plan::builder(id("shop"), id("r-1"));
    let restore = flag(FlagDeed::Restore { from: id("read"), state: None });
    let undo = set.restored_from(&id("read"));
    let read = plan.step(Step::new(id("read"), Action::Flag(flag(FlagDeed::Read))));
    let alone = plan.step(Step::new(id("alone"), Action::Flag(restore)).undo(undo));
    plan.edge(read, alone, EdgeKind::Order);
    let wanted = PlanError::FlagNotRead { step: id("alone"), from: None };
    assert_eq!(plan.build().unwrap_err().0, [wanted]);
}

#[test]
fn a_rollback_restores_later_flags_first_and_each_once() {
    let plan = plan(&release()).unwrap().freeze();
    let back = rollback(&plan, |_| Touched::Done, &Reach::Release).unwrap();
    let ids: Vec<String> = back.steps.iter().map(|step| step.action.to_string()).collect();
    let order = [
        "flag old-banner back to what prod/flags/old-banner/read read",
        "flag newCheckout back to what prod/flags/newcheckout/read read",
        "route 100%→1.0.0",
        "flag dual-write back to what prod/flags/dual-write/read read",
    ];
    let places: Vec<usize> = order.iter().map(|text| position(&ids, text)).collect();
    assert!(places.is_sorted(), "{ids:?}");
    assert_eq!(ids.iter().filter(|text| text.starts_with("flag ")).count(), 3);
    // In edges too, not only in the list.
    let edges: Vec<_> = back.edges.iter().map(|edge| (edge.from, edge.to)).collect();
    for pair in places.windows(2) {
        let (from, to) = (u32::try_from(pair[0]).unwrap(), u32::try_from(pair[1]).unwrap());
        let mut reached = vec![from];
        let mut at = 0;
        while let Some(from) = reached.get(at).copied() {
            reached.extend(edges.iter().filter(|(f, _)| *f == from).map(|(_, to)| *to));
            at += 1;
            assert!(at < 10_000);
        }
        assert!(reached.contains(&to), "{ids:?}");
    }
}

/// The reading of each flag, as the journal has it.
fn recorded(events: &[Event]) -> BTreeMap<FlagKey, FlagState> {
    let reads = events.iter().filter_map(|event| match event {
        Event::StepSucceeded { step, evidence: Evidence::Flag(reading), .. }
            if step.id.as_str().ends_with("/read") =>
        {
            Some((reading.flag.clone(), reading.state))
        }
        _ => None,
    });
    reads.collect()
}

/// What was set, in order, once for each state that a flag was given.
fn sets(world: &FlagWorld) -> Vec<String> {
    let mut all: Vec<String> = world.done().into_iter().map(|(_, what)| what).collect();
    all.retain(|what| what.starts_with("flag "));
    all.dedup();
    all
}

#[tokio::test(start_paused = true)]
async fn a_release_activates_its_flags_by_degrees() {
    let (journal, world) = (memory(), FlagWorld::new(|_| Deed::Faithful));
    let plan = plan(&release()).unwrap();
    let handle = engine(&journal, &world, "e").start(run_id(), plan, person("ann")).await.unwrap();
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    let wanted = [
        "flag dual-write on",
        "flag newCheckout on for 10%",
        "flag newCheckout on",
        "flag old-banner off",
    ];
    assert_eq!(sets(&world), wanted);
    assert_eq!(recorded(&events(&journal).await), before());
}

/// That all flags are as they were recorded, and went back in reverse order; returns how many were restored.
fn went_back(world: &FlagWorld, events: &[Event], place: &str) -> usize {
    assert_eq!(world.flags(), before(), "{place}");
    let went = sets(world);
    let back: Vec<&String> = went.iter().filter(|what| what.contains(" back to ")).collect();
    let order = ["old-banner", "newCheckout", "dual-write"];
    let of = |what: &String| order.iter().position(|flag| what.contains(flag)).unwrap();
    assert!(back.iter().map(|what| of(what)).is_sorted(), "{place}");
    for what in &back {
        let flag: FlagKey = id(what.split(' ').nth(1).unwrap());
        let was = recorded(events)[&flag];
        assert_eq!(**what, format!("flag {flag} back to {was}"), "{place}");
    }
    let done: Vec<String> = world.done().into_iter().map(|(_, what)| what).collect();
    let last_of = |text: &str| done.iter().rposition(|what| what.starts_with(text));
    let returned = last_of("route 100%→1.0.0");
    if let (Some(flag), Some(returned)) = (last_of("flag newCheckout back"), returned) {
        assert!(flag < returned, "{place}");
    }
    if let (Some(flag), Some(returned)) = (last_of("flag dual-write back"), returned) {
        assert!(returned < flag, "{place}");
    }
    back.len()
}

/// Refused, or lost in a crash and then cancelled, at every effect that there is: what was recorded is restored, later
/// flags first, and traffic returns before the flag that was set before the rollout.
#[tokio::test(start_paused = true)]
async fn an_abort_at_any_step_restores_the_recorded_flags_in_reverse_order() {
    let plan = plan(&release()).unwrap().freeze();
    let whole = FlagWorld::new(|_| Deed::Faithful);
    let journal = memory();
    let first = engine(&journal, &whole, "e");
    let run = first.start_frozen(run_id(), plan.clone(), person("ann")).await.unwrap();
    assert_eq!(run.wait().await, Ok(Outcome::Succeeded));
    let calls = whole.calls();
    assert!(calls > 15, "{calls}");
    let mut restored = 0;
    for at in 0..calls {
        for crash in [false, true] {
            let world = FlagWorld::new(move |call| match (call.cmp(&at), crash) {
                (Ordering::Equal, true) => Deed::ApplyThenHang,
                (Ordering::Equal, false) => Deed::Refuse,
                // It goes on only once it is cancelled.
                (Ordering::Greater, true) => Deed::Hold,
                _ => Deed::Faithful,
            });
            let journal = memory();
            let first = engine(&journal, &world, "first");
            let started = first.start_frozen(run_id(), plan.clone(), person("ann")).await.unwrap();
            let handle = if crash {
                while world.calls() <= at {
                    pass(Span::secs(1)).await;
                }
                first.shutdown().await;
                assert_eq!(started.wait().await, Err(EngineError::ShutDown));
                let second = engine(&journal, &world, "second");
                let resumed = second.resume(&run_id()).await.unwrap();
                // Over already, if what was lost was the last.
                let _ = resumed.send(command(Command::Cancel, "bob")).await;
                world.gate.add_permits(1_000);
                resumed
            } else {
                started
            };
            let place = format!("call {at}, crash: {crash}, {:?}", world.done());
            let outcome = match handle.settled().await.unwrap() {
                Settled::Finished(outcome) => outcome,
                // The old version could not be removed: nothing is taken back for that.
                Settled::NeedsPerson(_) => {
                    handle.send(command(Command::Cancel, "bob")).await.unwrap();
                    handle.wait().await.unwrap()
                }
            };
            let events = events(&journal).await;
            if outcome == Outcome::Succeeded {
                assert!(crash && at + 1 == calls, "{place}");
                continue;
            }
            restored += went_back(&world, &events, &place);
            let records = journal.read(&run_id()).await.unwrap();
            let history = History::verify(&run_id(), &records).unwrap();
            let state = RunState::replay(run_id(), plan.clone(), history.facts()).unwrap();
            assert_eq!(state.digest(), state.digest_recounted(), "{place}");
        }
    }
    assert!(restored > 30, "{restored}");
    println!("{calls} calls, {restored} flags restored");
}

/// A crash between the change of a flag and its record: what it was is in the journal already.
#[tokio::test(start_paused = true)]
async fn what_a_flag_was_is_on_record_before_it_is_set() {
    let world = FlagWorld::new(|call| if call == 3 { Deed::ApplyThenHang } else { Deed::Faithful });
    let journal = memory();
    let plan = plan(&release()).unwrap();
    let first = engine(&journal, &world, "first");
    first.start(run_id(), plan, person("ann")).await.unwrap();
    while world.flags()[&id::<FlagKey>("dual-write")] != FlagState::On {
        pass(Span::secs(1)).await;
    }
    first.shutdown().await;
    let seen = recorded(&events(&journal).await);
    assert_eq!(seen, BTreeMap::from([(id("dual-write"), FlagState::Share { percent: 30 })]));
    let second = engine(&journal, &world, "second");
    let handle = second.resume(&run_id()).await.unwrap();
    let shown = handle.state().await.unwrap().rollback_plan(&Reach::Release).unwrap();
    let told: Vec<_> = shown.steps.iter().map(|step| step.action.to_string()).collect();
    assert!(told.contains(&"flag dual-write back to on for 30%".to_owned()), "{told:?}");
    handle.send(command(Command::Cancel, "bob")).await.unwrap();
    assert!(matches!(
        handle.wait().await,
        Ok(Outcome::RolledBack { cause: Cause::Cancelled { .. } })
    ));
    assert_eq!(world.flags(), before());
}

/// A region that goes back alone takes the flag with it that is being changed, and no other.
#[test]
fn a_smaller_rollback_takes_a_flag_with_it_that_is_under_way() {
    let plan = plan(&release()).unwrap().freeze();
    let trigger = plan.get(plan.find(&id("prod/eu/api/promote")).unwrap()).unwrap();
    let reach = Reach::of(plan.plan(), trigger, RollbackScope::Region);
    let under_way = plan.find(&id("prod/flags/newcheckout/share-10")).unwrap();
    let order = plan.plan().order().unwrap();
    let place = |index: u32| order.iter().position(|at| *at == index).unwrap();
    let touched = |index: u32| match place(index).cmp(&place(under_way)) {
        Ordering::Less => Touched::Done,
        Ordering::Equal => Touched::Yes,
        Ordering::Greater => Touched::No,
    };
    let back = rollback(&plan, touched, &reach).unwrap();
    let told: Vec<_> = back.steps.iter().map(|step| step.action.to_string()).collect();
    let flags: Vec<_> = told.iter().filter(|text| text.starts_with("flag ")).collect();
    assert_eq!(flags, ["flag newCheckout back to what prod/flags/newcheckout/read read"]);
}

#[test]
fn a_gate_of_a_flag_is_a_gate() {
    let mut definition = release();
    let flags = std::mem::take(&mut definition.stages[0].flags);
    definition.stages[0].flags = flags.into_iter().map(|f| f.gate(approval("go"))).collect();
    let plan = plan(&definition).unwrap();
    assert_eq!(plan.steps().iter().filter(|step| step.is_gated()).count(), 3);
}
