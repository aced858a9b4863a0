//! F35 and F31 with the real engine: runs that share limits, crashes at every append of the ledger, two
//! engines on one journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use release_core::engine::{Engine, EngineError, RunHandle};
use release_core::journal::{
    AppendError, Batch, Head, Journal, LedgerHistory, MemoryJournal, ReadError, Record,
    ledger_stream,
};
use release_core::limits::{Blockage, LedgerEvent, Limit, Limits, Per, Quota, Window};
use release_core::limits::{LimitsFile, Scope};
use release_core::model::{Digest, RunId, Span, Strategy, Tier};
use release_core::plan::{FrozenPlan, Plan, plan};
use release_core::port::{
    AuthorizedCommand, BindingError, EffectError, Evidence, Observed, Performer,
};
use release_core::run::{Awaiting, Command, Event, Outcome};

use super::support::desk::{limits, sweep};
use super::support::engines::command;
use super::support::samples::{approval, chain, change, environment, id, one_service, person};
use super::support::world::{Act, START, TokioClock, World, faithful_to, memory};

/// Takes a moment for everything, and counts how much it does at once.
#[derive(Debug, Default)]
struct Busy {
    now: AtomicU32,
    most: AtomicU32,
    done: AtomicU32,
}

#[async_trait]
impl Performer for Busy {
    fn check(&self, _: &Plan) -> Result<(), Vec<BindingError>> {
        Ok(())
    }
    async fn perform(&self, command: &AuthorizedCommand) -> Result<Evidence, EffectError> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
        Ok(faithful_to(command))
    }
    async fn observe(&self, _: &AuthorizedCommand) -> Result<Observed, EffectError> {
        Ok(Observed::NotApplied)
    }
}

fn engine(journal: &Arc<dyn Journal>, performer: Arc<dyn Performer>, limits: &Limits) -> Engine {
    let engine = Engine::builder(Arc::clone(journal), performer).limits(limits.clone());
    engine.clock(TokioClock::new()).build()
}

fn steps(count: usize) -> FrozenPlan {
    chain((0..count).map(|nth| change(&format!("s{nth}"))).collect())
}

async fn start(engine: &Engine, run: &str, plan: FrozenPlan) -> RunHandle {
    engine.start_frozen(id(run), plan, person("ann")).await.unwrap()
}

/// All that the ledger says, from all of its streams.
async fn entries(journal: &Arc<dyn Journal>) -> Vec<(release_core::model::Timestamp, LedgerEvent)> {
    let mut all = Vec::new();
    for nth in 1.. {
        let run = ledger_stream(nth).unwrap();
        let records = journal.read(&run).await.unwrap();
        if records.is_empty() {
            break;
        }
        all.extend(LedgerHistory::verify(&run, &records).unwrap().entries);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn f35_many_runs_never_do_more_at_once_than_the_limit() {
    let (journal, busy) = (memory(), Arc::<Busy>::default());
    let limits = limits(vec![Limit::new(id("all"), 3)]);
    let engine = engine(&journal, Arc::<Busy>::clone(&busy), &limits);
    let mut handles = Vec::new();
    for nth in 0..40 {
        handles.push(start(&engine, &format!("r{nth}"), steps(3)).await);
    }
    for handle in handles {
        assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    }
    assert_eq!((busy.most.load(Ordering::SeqCst), busy.done.load(Ordering::SeqCst)), (3, 120));
    assert_eq!(engine.ledger().await.unwrap().permits(), []);
    let most = sweep(&entries(&journal).await, &limits);
    assert_eq!(most[&id("all")], 3);
    let mut names = engine.open_runs().await.unwrap().into_iter().map(|head| head.run);
    assert_eq!(names.next(), None, "the ledger is no run");
}

#[tokio::test(start_paused = true)]
async fn f35_two_engines_on_one_journal_share_a_limit_and_its_queue() {
    let (journal, busy) = (memory(), Arc::<Busy>::default());
    let limits = limits(vec![Limit::new(id("all"), 2)]);
    let engines = [(); 2].map(|()| engine(&journal, Arc::<Busy>::clone(&busy), &limits));
    let mut handles = Vec::new();
    for nth in 0..20 {
        handles.push(start(&engines[nth % 2], &format!("r{nth}"), steps(2)).await);
    }
    for handle in handles {
        assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    }
    assert_eq!((busy.most.load(Ordering::SeqCst), busy.done.load(Ordering::SeqCst)), (2, 40));
    assert_eq!(engines[0].ledger().await.unwrap().permits(), []);
    let log = entries(&journal).await;
    sweep(&log, &limits);
    let taken = log.iter().filter(|(_, event)| matches!(event, LedgerEvent::Taken { .. })).count();
    assert!(taken > 0, "no engine ever granted what another's run waited for");
}

#[tokio::test(start_paused = true)]
async fn f35_a_step_that_waits_says_who_has_what_it_needs() {
    let journal = memory();
    let world = World::new(&journal, |call| match call.key.as_str() {
        "first/s0/0" => Act::Hang,
        _ => Act::Faithful,
    });
    let engine = engine(&journal, world, &limits(vec![Limit::new(id("all"), 1)]));
    let first = start(&engine, "first", steps(1)).await;
    while engine.usage().await.unwrap()[0].used == 0 {
        tokio::task::yield_now().await;
    }
    let second = start(&engine, "second", steps(1)).await;
    let mut events = second.events(0);
    let told = loop {
        match &events.next().await.unwrap().unwrap().event {
            Event::StepBlocked { reasons, .. } if reasons[0].text.contains("held by") => {
                break reasons[0].to_string();
            }
            _ => {}
        }
    };
    assert!(
        told.starts_with("limit/all: 1 of 1 permits are held by step `s0` of run `first`"),
        "{told}"
    );
    let state = second.state().await.unwrap();
    assert_eq!(state.awaiting(), [Awaiting::Permit(id("s0"))]);
    assert!(!state.needs_a_person());
    let policy = release_core::port::PermitAll;
    let explained = release_core::explain::explain(&state, 0, START, &policy).unwrap();
    assert_eq!(explained.obstacles[0].kind.name(), "permits");
    let why = engine.why_waiting(&id("second"), &id("s0")).await.unwrap().unwrap();
    let [Blockage::Full { holders, .. }] = &why.blockages[..] else { panic!("{why:?}") };
    assert_eq!(holders[0].run, id("first"));
    assert_eq!(engine.why_waiting(&id("first"), &id("s0")).await, Ok(None));
    // What is paused lets others pass, and asks again.
    second.send(command(Command::Pause, "bob")).await.unwrap();
    first.send(command(Command::ForceAbandon, "bob")).await.unwrap();
    assert!(matches!(first.wait().await, Ok(Outcome::Abandoned { .. })));
    let third = start(&engine, "third", steps(1)).await;
    assert_eq!(third.wait().await, Ok(Outcome::Succeeded));
    second.send(command(Command::Resume, "bob")).await.unwrap();
    assert_eq!(second.wait().await, Ok(Outcome::Succeeded));
    assert_eq!(engine.ledger().await.unwrap().permits(), []);
}

#[tokio::test(start_paused = true)]
async fn f35_a_rollback_takes_the_reserve_while_others_wait() {
    let journal = memory();
    let world = World::new(&journal, |call| match call.key.as_str() {
        "holder/s0/0" => Act::Hang,
        _ => Act::Faithful,
    });
    let limit = Limit { rollback_reserve: 1, ..Limit::new(id("all"), 1) };
    let engine = engine(&journal, world, &limits(vec![limit]));
    let gated = change("b").gate(approval("go"));
    let back = start(&engine, "back", chain(vec![change("a"), gated])).await;
    back.settled().await.unwrap();
    let holder = start(&engine, "holder", steps(1)).await;
    while engine.usage().await.unwrap()[0].used == 0 {
        tokio::task::yield_now().await;
    }
    let waits = start(&engine, "waits", steps(1)).await;
    back.send(command(Command::Cancel, "bob")).await.unwrap();
    assert!(matches!(back.wait().await, Ok(Outcome::RolledBack { .. })));
    let usage = &engine.usage().await.unwrap()[0];
    assert_eq!((usage.used, usage.waiting), (1, 1), "one holds, one waits, the rollback is done");
    holder.send(command(Command::ForceAbandon, "bob")).await.unwrap();
    assert_eq!(waits.wait().await, Ok(Outcome::Succeeded));
}

/// Fails for good after so many appends, as a process does that is killed; the last one may still have
/// been stored.
#[derive(Debug)]
struct Cut {
    inner: Arc<dyn Journal>,
    left: AtomicU32,
    stores_the_last: bool,
}

#[async_trait]
impl Journal for Cut {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let down = |left: u32| left.checked_sub(1);
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, down);
        match left {
            Ok(2..) => return self.inner.append(batch).await,
            Ok(_) if self.stores_the_last => self.inner.append(batch).await?,
            _ => {}
        }
        Err(AppendError::Unavailable { detail: "killed".into() })
    }
    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError> {
        if self.left.load(Ordering::SeqCst) == 0 {
            return Err(ReadError::Unavailable { detail: "killed".into() });
        }
        self.inner.read(run).await
    }
    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.inner.blob(digest).await
    }
    async fn heads(&self) -> Result<Vec<Head>, ReadError> {
        self.inner.heads().await
    }
}

/// Whichever append of a run or of the ledger is the last one of a process: whoever comes next finds
/// every permit, gives back what nobody uses, and all runs come to their end.
#[tokio::test(start_paused = true)]
async fn f35_a_crash_at_any_append_leaks_no_permit() {
    let quota = Quota {
        id: id("day"),
        scope: Scope::default(),
        per: Per::Run,
        amount: 3,
        window: Window::Day,
    };
    let limits =
        vec![Limit::new(id("all"), 1), Limit { per: Per::Run, ..Limit::new(id("runs"), 2) }];
    let file = LimitsFile { limits, quotas: vec![quota], ..LimitsFile::default() };
    let limits = Limits::new(file).unwrap();
    let mut whole = 0;
    for (cut, stores_the_last) in (1..60).flat_map(|cut| [(cut, false), (cut, true)]) {
        let inner = memory();
        let left = AtomicU32::new(cut);
        let journal: Arc<dyn Journal> =
            Arc::new(Cut { inner: Arc::clone(&inner), left, stores_the_last });
        let world = World::new(&inner, |_| Act::Faithful);
        let performer: Arc<dyn Performer> = Arc::<World>::clone(&world);
        let first = engine(&journal, performer, &limits);
        let mut begun = Vec::new();
        for run in ["a", "b", "c"] {
            begun.extend(first.start_frozen(id(run), steps(2), person("ann")).await.ok());
        }
        let killed = async {
            tokio::join!(async {
                for handle in &begun {
                    let _ = handle.wait().await;
                }
            })
        };
        let clock = TokioClock::new();
        tokio::select! {
            _ = killed => {}
            () = release_core::port::Clock::sleep_until(&*clock, START.plus(Span::secs(120))) => {}
        }
        first.shutdown().await;

        let performer: Arc<dyn Performer> = Arc::<World>::clone(&world);
        let second = engine(&inner, performer, &limits);
        let mut resumed = Vec::new();
        for head in second.open_runs().await.unwrap() {
            resumed.push(second.resume(&head.run).await.unwrap());
        }
        for handle in resumed {
            assert_eq!(handle.wait().await, Ok(Outcome::Succeeded), "{cut} {stores_the_last}");
        }
        let ledger = second.ledger().await.unwrap();
        assert_eq!((ledger.permits(), ledger.queue_len()), (&[][..], 0), "{cut} {stores_the_last}");
        assert_eq!(world.unannounced(), []);
        let twice: Vec<_> = world.by_key().into_iter().filter(|(_, n)| *n > 1).collect();
        assert_eq!(twice, [], "{cut} {stores_the_last}");
        let used = ledger.usage(START).into_iter().find(|usage| usage.id == id("day"));
        let runs = inner.heads().await.unwrap().len();
        let streams = inner.heads().await.unwrap();
        let streams = streams.iter().filter(|h| h.run.as_str().starts_with("limits-")).count();
        assert_eq!(used.unwrap().used as usize, runs - streams, "{cut}: each run is charged once");
        whole += usize::from(begun.len() == 3);
        sweep(&entries(&inner).await, &limits);
    }
    assert!(whole > 20, "{whole}: most crashes came after all runs had begun");
}

/// A run that is never resumed keeps its permits, since its effects may go on; people are told who it
/// is, and can say that they do not.
#[tokio::test(start_paused = true)]
async fn f35_only_a_person_frees_what_a_lost_run_holds() {
    let journal = memory();
    let world = World::new(&journal, |call| match call.key.as_str() {
        "lost/s0/0" => Act::Hang,
        _ => Act::Faithful,
    });
    let limits = limits(vec![Limit::new(id("all"), 1)]);
    let first = engine(&journal, Arc::<World>::clone(&world), &limits);
    let _lost = start(&first, "lost", steps(1)).await;
    while world.hanging() == 0 {
        tokio::task::yield_now().await;
    }
    first.shutdown().await;
    let second = engine(&journal, world, &limits);
    let waits = start(&second, "waits", steps(1)).await;
    let clock = TokioClock::new();
    release_core::port::Clock::sleep_until(&*clock, START.plus(Span::secs(86_400))).await;
    let why = second.why_waiting(&id("waits"), &id("s0")).await.unwrap().unwrap();
    let [Blockage::Full { holders, .. }] = &why.blockages[..] else { panic!("{why:?}") };
    assert_eq!(holders[0].run, id("lost"));
    let freed = second.force_release(&id("lost"), person("bob"), "its host is gone").await;
    assert_eq!(freed, Ok(true));
    assert_eq!(waits.wait().await, Ok(Outcome::Succeeded));
    let forced = entries(&journal).await.into_iter().find_map(|(_, event)| match event {
        LedgerEvent::ForceReleased { by, reason, .. } => Some((by, reason)),
        _ => None,
    });
    assert_eq!(forced, Some((person("bob"), "its host is gone".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn f35_a_ledger_of_many_streams_is_read_from_the_last() {
    let (journal, busy) = (memory(), Arc::<Busy>::default());
    let limits = limits(vec![Limit::new(id("all"), 1)]);
    let first = engine(&journal, Arc::<Busy>::clone(&busy), &limits);
    let handle = start(&first, "r", steps(800)).await;
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    let ledger = first.ledger().await.unwrap();
    first.shutdown().await;
    let heads = journal.heads().await.unwrap();
    let streams = heads.iter().filter(|head| head.run != id::<RunId>("r")).count();
    assert!(streams >= 2, "{streams}");
    let second = engine(&journal, busy, &limits);
    assert_eq!(second.ledger().await.unwrap(), ledger);
    let handle = start(&second, "s", steps(2)).await;
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
}

#[tokio::test(start_paused = true)]
async fn f35_names_of_the_ledger_are_not_free_and_no_limits_say_so() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let world = World::new(&journal, |_| Act::Faithful);
    let engine = super::support::world::engine(&journal, &world, "first");
    assert_eq!(engine.usage().await, Err(EngineError::NoLimits));
    let run: RunId = id("limits-ledger.1");
    let refused = engine.start_frozen(run.clone(), steps(1), person("ann")).await;
    assert_eq!(refused.err(), Some(EngineError::Reserved { run }));
}

/// How many regions were changing at once at most: from their first step to their last.
async fn most_regions(limits: &Limits) -> usize {
    let mut definition = one_service(Strategy::Recreate);
    let regions = ["eu", "us", "ap", "sa"];
    definition.environments = vec![environment("prod", Tier::Production, &regions)];
    definition.stages[0].waves = vec![regions.map(id).to_vec()];
    let plan = plan(&definition).unwrap().freeze();
    let journal = memory();
    let engine = engine(&journal, Arc::<Busy>::default(), limits);
    let handle = start(&engine, "r", plan.clone()).await;
    assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
    let (history, _) = engine.load(&id("r")).await.unwrap();
    let mut left: BTreeMap<_, usize> = BTreeMap::new();
    for region in plan.plan().steps().iter().filter_map(|step| step.scope.region()) {
        *left.entry(region.clone()).or_default() += 1;
    }
    let (mut changing, mut most) = (BTreeSet::new(), 0);
    for fact in history.facts() {
        let Some(step) = fact.event.step() else { continue };
        let Some(region) = plan.get(step.index).and_then(|s| s.scope.region()) else { continue };
        match fact.event {
            Event::StepStarted { .. } => drop(changing.insert(region.clone())),
            Event::StepSucceeded { .. } => {
                let left = left.get_mut(region).unwrap();
                *left -= 1;
                if *left == 0 {
                    changing.remove(region);
                }
            }
            _ => {}
        }
        most = changing.len().max(most);
    }
    assert_eq!(engine.ledger().await.unwrap().permits(), []);
    most
}

#[tokio::test(start_paused = true)]
async fn f31_no_more_regions_change_at_once_than_a_limit_lets() {
    let scope = Scope { environment: Some(id("prod")), ..Scope::default() };
    let regions = Limit { per: Per::Region, scope, ..Limit::new(id("max-regions"), 2) };
    assert_eq!(most_regions(&limits(vec![regions])).await, 2);
    assert_eq!(
        most_regions(&Limits::default()).await,
        4,
        "without, all of the wave change at once"
    );
}
