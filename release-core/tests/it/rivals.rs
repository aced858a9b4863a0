//! Faults F14 and F15: several engines on one journal, each of which stands still now and then for longer
//! than the others wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::engine::{Engine, EngineError};
use release_core::journal::{
    AppendError, Batch, Head, History, Journal, MemoryJournal, ReadError, Record,
};
use release_core::model::{Digest, RunId};
use release_core::plan::FrozenPlan;
use release_core::port::{Clock, Performer};
use release_core::run::{Event, Mode, Outcome};
use release_core::time::Span;

use super::support::engines::run_id;
use super::support::samples::{chain, change, person, side_by_side};
use super::support::world::{Act, TokioClock, World};

/// A small generator (`SplitMix64`, Steele et al., OOPSLA 2014): the same course for the same seed.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// One engine's way to the journal: it stands still before an append, after it, or not at all.
#[derive(Debug)]
struct Pausing {
    inner: Arc<MemoryJournal>,
    clock: Arc<TokioClock>,
    chance: Mutex<Chance>,
    /// What this engine was told is stored.
    told: Mutex<Vec<Batch>>,
}

impl Pausing {
    async fn stand_still(&self) {
        let pause = {
            let mut chance = self.chance.lock().unwrap();
            if chance.below(3) > 0 { 0 } else { chance.below(5_000) }
        };
        if pause > 0 {
            self.clock.sleep_until(self.clock.now().plus(Span::millis(pause))).await;
        }
    }
}

#[async_trait]
impl Journal for Pausing {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        self.stand_still().await;
        let answer = self.inner.append(batch.clone()).await;
        if answer.is_ok() {
            self.told.lock().unwrap().push(batch);
        }
        self.stand_still().await;
        answer
    }
    async fn read(&self, run: &RunId) -> Result<Vec<Record>, ReadError> {
        self.inner.read(run).await
    }
    async fn blob(&self, digest: Digest) -> Result<Option<Arc<[u8]>>, ReadError> {
        self.inner.blob(digest).await
    }
    async fn heads(&self) -> Result<Vec<Head>, ReadError> {
        self.inner.heads().await
    }
}

/// Lets `count` engines compete for one run until it is over; returns how often one was fenced.
async fn compete(seed: u64, count: usize, plan: FrozenPlan) -> usize {
    let store = Arc::new(MemoryJournal::new());
    let shared: Arc<dyn Journal> = store.clone();
    let world = World::new(&shared, |_| Act::Faithful);
    let clock = TokioClock::new();
    let ways: Vec<_> = (0..count as u64)
        .map(|number| {
            Arc::new(Pausing {
                inner: Arc::clone(&store),
                clock: Arc::clone(&clock),
                chance: Mutex::new(Chance(seed.wrapping_mul(1_000) + number)),
                told: Mutex::default(),
            })
        })
        .collect();
    let engine = |way: &Arc<Pausing>| {
        let performer: Arc<dyn Performer> = Arc::<World>::clone(&world);
        let clock: Arc<dyn Clock> = Arc::<TokioClock>::clone(&clock);
        Engine::builder(Arc::<Pausing>::clone(way), performer).clock(clock).build()
    };
    let engines: Vec<_> = ways.iter().map(engine).collect();
    engines[0].start_frozen(run_id(), plan.clone(), person("ann")).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for (number, engine) in engines.into_iter().enumerate() {
        let (clock, mut chance) = (Arc::clone(&clock), Chance(seed ^ (number as u64) << 32));
        tasks.spawn(async move {
            let mut fenced = 0;
            loop {
                clock.sleep_until(clock.now().plus(Span::millis(chance.below(4_000)))).await;
                let ended = match engine.resume(&run_id()).await {
                    Ok(handle) => handle.wait().await,
                    Err(error) => Err(error),
                };
                match ended {
                    Ok(outcome) => return (outcome, fenced),
                    Err(EngineError::TakenOver(_)) => fenced += 1,
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
    let mut fenced = 0;
    while let Some(ended) = tasks.join_next().await {
        let (outcome, times) = ended.unwrap();
        assert_eq!(outcome, Outcome::Succeeded, "seed {seed}");
        fenced += times;
    }
    one_history(seed, &store, &world, &ways, plan).await;
    fenced
}

/// There is one history: what any engine was told is in it, at its place, in its epoch, and nothing else.
async fn one_history(
    seed: u64,
    store: &MemoryJournal,
    world: &World,
    ways: &[Arc<Pausing>],
    plan: FrozenPlan,
) {
    let records = store.read(&run_id()).await.unwrap();
    let history = History::verify(&run_id(), &records).unwrap();
    // Each batch leads to the state that its writer was in: nobody decided from another's.
    history.state(plan, None).unwrap();
    let mut writers = BTreeMap::new();
    let mut told = 0;
    for (number, way) in ways.iter().enumerate() {
        for batch in way.told.lock().unwrap().iter() {
            for record in &batch.records {
                let place = usize::try_from(record.seq - 1).unwrap();
                assert_eq!(records[place], *record, "seed {seed}");
                told += 1;
            }
            let writer = writers.entry(batch.epoch).or_insert(number);
            assert_eq!(*writer, number, "seed {seed}: two writers in epoch {}", batch.epoch);
        }
    }
    assert_eq!(told, records.len(), "seed {seed}: what nobody was told is stored");
    assert_eq!(world.unannounced(), [], "seed {seed}");
    // An owner may stand still between what it was told and its effect: then that effect comes late, under
    // the same key, with the older epoch, by which a provider can refuse it. No owner acts twice itself.
    let mut acted = BTreeMap::new();
    for call in world.calls().into_iter().filter(|call| call.mode == Mode::Perform) {
        let before = acted.insert((call.key.clone(), call.epoch), call.attempt);
        assert_eq!(before, None, "seed {seed}: {} twice in epoch {}", call.key, call.epoch);
    }
    let ends = history.facts().iter().filter(|f| matches!(f.event, Event::RunFinished { .. }));
    assert_eq!(ends.count(), 1, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn f14_of_many_engines_one_wins_each_append_and_there_is_one_history() {
    let mut fenced = 0;
    for seed in 0..60 {
        let count = 2 + usize::try_from(seed % 4).unwrap();
        let steps = || (0..12).map(|n| change(&format!("s{n}"))).collect();
        let plan = if seed % 2 == 0 { chain(steps()) } else { side_by_side(steps()) };
        fenced += compete(seed, count, plan).await;
    }
    assert!(fenced > 100, "only {fenced} times was an engine fenced");
}

/// An owner that stood still while another took its run over stores nothing more and starts nothing more.
#[tokio::test(start_paused = true)]
async fn f15_an_owner_that_stood_still_past_a_take_over_is_fenced_and_stops() {
    let store = Arc::new(MemoryJournal::new());
    let shared: Arc<dyn Journal> = store.clone();
    let world = World::new(&shared, |_| Act::Faithful);
    let clock = TokioClock::new();
    let mut came_late = 0;
    for seed in 0..40 {
        let way = Arc::new(Pausing {
            inner: Arc::clone(&store),
            clock: Arc::clone(&clock),
            chance: Mutex::new(Chance(seed)),
            told: Mutex::default(),
        });
        let build = |journal: Arc<dyn Journal>| {
            let performer: Arc<dyn Performer> = Arc::<World>::clone(&world);
            let clock: Arc<dyn Clock> = Arc::<TokioClock>::clone(&clock);
            Engine::builder(journal, performer).clock(clock).build()
        };
        let run: RunId = format!("run-{seed}").parse().unwrap();
        let plan = chain((0..9).map(|n| change(&format!("s{n}"))).collect());
        let old = build(Arc::<Pausing>::clone(&way));
        let old = old.start_frozen(run.clone(), plan, person("ann")).await.unwrap();
        clock.sleep_until(clock.now().plus(Span::millis(seed * 97))).await;
        // The other one does not stand still: it is through before the first goes on.
        let new = build(Arc::<MemoryJournal>::clone(&store)).resume(&run).await;
        let ended = old.wait().await;
        match new {
            Ok(new) if new.wait().await.is_ok() && ended.is_err() => {
                let Err(EngineError::TakenOver(_)) = ended else { panic!("{ended:?}") };
                let records = store.read(&run).await.unwrap();
                let history = History::verify(&run, &records).unwrap();
                assert_eq!(history.epoch(), 2);
                let told = way.told.lock().unwrap();
                assert!(told.iter().all(|batch| batch.epoch == 1));
                // At most the effects of the one append that it was told of last come late; their
                // epoch is the older one, by which a provider refuses them.
                let calls = world.calls().into_iter();
                let mine = calls.filter(|call| call.key.starts_with(&format!("{run}/")));
                let late: Vec<_> = mine
                    .skip_while(|call| call.epoch == 1)
                    .filter(|call| call.epoch == 1)
                    .collect();
                assert!(late.len() <= 1, "seed {seed}: {late:?}");
                came_late += late.len();
            }
            // It was over before the other came.
            _ => assert_eq!(ended, Ok(Outcome::Succeeded)),
        }
    }
    assert!(came_late > 0, "no owner ever stood still at the worst moment");
    assert_eq!(world.unannounced(), []);
}
