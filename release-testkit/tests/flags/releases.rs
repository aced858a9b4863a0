//! A run that changes flags in a file, through the registry and its layers.

use std::sync::Arc;

use release_core::engine::Engine;
use release_core::flags::{FlagKey, FlagState};
use release_core::journal::MemoryJournal;
use release_core::model::{OnCancel, Principal};
use release_core::plan::{Action, EdgeKind, FlagDeed, FlagStep, Plan, Step};
use release_core::port::Performer;
use release_core::run::{Command, Directive, Outcome};
use release_providers::spi::FlagStore;
use release_providers::{ProviderSelector, Registry, SystemClock};
use release_testkit::fixtures::literal;

use super::{Place, production};

/// Reads the flag, sets it to 25 of a hundred, waits for a gate, turns it on.
fn plan() -> Plan {
    let flag =
        |deed| FlagStep { environment: production(), flag: "newCheckout".parse().unwrap(), deed };
    let mut plan = Plan::builder(literal("shop"), literal("shop-2"));
    plan.on_cancel(OnCancel::RollBack);
    let read = Step::new(literal("read"), Action::Flag(flag(FlagDeed::Read)));
    let set = |name: &str, state| {
        let step = flag(FlagDeed::Set { state });
        let undo = step.restored_from(&read.id);
        Step::new(literal(name), Action::Flag(step)).undo(undo)
    };
    let some = set("some", FlagState::Share { percent: 25 });
    let gate =
        release_core::model::Gate::Approval(release_core::model::Approval::new(literal("go")));
    let all = set("all", FlagState::On).gate(gate);
    let [read, some, all] = [read, some, all].map(|step| plan.step(step));
    plan.edge(read, some, EdgeKind::Order);
    plan.edge(some, all, EdgeKind::Order);
    plan.build().unwrap()
}

fn engine(place: &Place) -> Engine {
    let store = Arc::clone(&place.store) as Arc<dyn FlagStore>;
    let registry = Registry::builder(Arc::new(SystemClock::new()))
        .provider(ProviderSelector::everywhere(), store)
        .build()
        .unwrap();
    let journal = Arc::new(MemoryJournal::new());
    Engine::builder(journal, Arc::new(registry) as Arc<dyn Performer>)
        .clock(Arc::new(SystemClock::new()))
        .build()
}

fn ann() -> Principal {
    Principal::human(literal("ann"))
}

fn tell(command: Command) -> Directive {
    Directive::new(command, ann(), "because")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_sets_flags_in_the_file_and_a_cancel_restores_them() {
    for before in [FlagState::Off, FlagState::Share { percent: 3 }] {
        let place = Place::new();
        place.set(before).await;
        let text = place.text();
        let engine = engine(&place);
        let run = engine.start(literal("run-1"), plan(), ann()).await.unwrap();
        run.settled().await.unwrap();
        assert_eq!(place.look().await.state, FlagState::Share { percent: 25 });
        run.send(tell(Command::Cancel)).await.unwrap();
        assert!(matches!(run.wait().await, Ok(Outcome::RolledBack { .. })));
        assert_eq!(place.text(), text);

        let run = engine.start(literal("run-2"), plan(), ann()).await.unwrap();
        run.settled().await.unwrap();
        let approve = Command::Approve { gate: literal("go") };
        let bob = Principal::human(literal("bob"));
        run.send(Directive::new(approve, bob, "it works")).await.unwrap();
        assert_eq!(run.wait().await, Ok(Outcome::Succeeded));
        assert_eq!(place.look().await.state, FlagState::On);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_killed_meanwhile_stays_off_in_the_file() {
    let place = Place::new();
    place.set(FlagState::On).await;
    let engine = engine(&place);
    let run = engine.start(literal("run-1"), plan(), ann()).await.unwrap();
    run.settled().await.unwrap();
    let flag: FlagKey = "newCheckout".parse().unwrap();
    let killed = engine.kill_flag(production(), flag.clone(), ann(), "it burns").await.unwrap();
    killed.recorded.unwrap();
    assert_eq!(killed.reading.killed.as_deref(), Some("ann: it burns"));
    run.send(tell(Command::Cancel)).await.unwrap();
    assert!(matches!(run.wait().await, Ok(Outcome::RolledBack { .. })));
    let status = place.look().await;
    assert_eq!((status.state, status.killed.as_deref()), (FlagState::Off, Some("ann: it burns")));

    let run = engine.start(literal("run-2"), plan(), ann()).await.unwrap();
    let Ok(Outcome::Failed { cause }) = run.wait().await else { panic!("it was turned on") };
    assert!(cause.to_string().contains("was killed in production by ann: it burns"), "{cause}");
    assert_eq!(place.look().await.state, FlagState::Off);
    let unknown = engine.kill_flag(literal("nowhere"), flag, ann(), "").await.unwrap_err();
    assert_eq!(unknown.error.kind, "not_found");
}
