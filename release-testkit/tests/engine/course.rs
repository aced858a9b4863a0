//! The course of one release: the real engine on virtual time, with crashes, signals, and people who help.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::engine::{Engine, EngineError, RunHandle, Settled};
use release_core::journal::{AppendError, Batch, Head, Journal, MemoryJournal, ReadError, Record};
use release_core::model::{Digest, RunId, StepId};
use release_core::plan::{FrozenPlan, plan};
use release_core::port::Clock;
use release_core::report::RunReport;
use release_core::run::{Awaiting, Command, Directive, Fact, Outcome};
use release_core::time::Span;
use release_policy::AllOf;
use release_providers::spi::{ApplyRequest, Deployer as _, SetWeights, TrafficRouter as _};
use release_testkit::VirtualClock;
use release_testkit::fakes::FakePlatform;
use release_testkit::fixtures::{self, content, literal};
use tokio::sync::{Notify, watch};

use crate::shapes::{Fate, Mishaps, NEW, OLD, OLDER, Shape};
use crate::witness::{Witness, fallible, target_of};

/// No release takes longer, so that one that waits for ever is found.
const LONGEST: Span = Span::secs(10 * 24 * 3_600);

/// A journal that counts, and at whose appends the engine dies as planned.
#[derive(Debug)]
struct Deadly {
    inner: MemoryJournal,
    appends: watch::Sender<u64>,
    planned: Mutex<BTreeMap<u64, bool>>,
    died: Notify,
}

#[async_trait]
impl Journal for Deadly {
    async fn append(&self, batch: Batch) -> Result<(), AppendError> {
        let number = *self.appends.borrow() + 1;
        let planned = self.planned.lock().unwrap().remove(&number);
        if planned != Some(false) {
            self.inner.append(batch).await?;
            self.appends.send_replace(number);
        }
        if planned.is_some() {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
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

/// What came of a release.
pub(crate) struct Course {
    pub(crate) outcome: Outcome,
    pub(crate) plan: FrozenPlan,
    pub(crate) facts: Vec<Fact>,
    pub(crate) report: RunReport,
    pub(crate) witness: Arc<Witness>,
    /// The steps that were made to fail.
    pub(crate) faults: BTreeSet<StepId>,
    /// How often the engine died.
    pub(crate) crashes: usize,
}

struct World {
    clock: Arc<VirtualClock>,
    journal: Arc<Deadly>,
    witness: Arc<Witness>,
    plan: FrozenPlan,
    run: RunId,
    asked: Mutex<BTreeSet<StepId>>,
    patient: bool,
}

/// The platform before the release, on which the version from before is live everywhere.
fn platform(clock: &Arc<VirtualClock>, shape: &Shape) -> FakePlatform {
    let dynamic: Arc<dyn Clock> = clock.clone();
    let platform = FakePlatform::on(&dynamic);
    for service in shape.needs().keys() {
        for number in [OLDER, OLD, NEW] {
            platform.world.store(&content(service.as_str(), number));
        }
        platform.metrics.set_errors(fixtures::digest(service.as_str(), NEW), 1.0, 1_000.0);
    }
    let first = shape.of_fate(Fate::First);
    let before = async {
        for region in shape.regions() {
            let old = shape.services.iter().zip(shape.needs().into_keys());
            for (one, service) in old.filter(|(_, service)| !first.contains(service)) {
                let target = target_of(region, &service);
                let artifact = fixtures::artifact(service.as_str(), OLD);
                let (digest, number) = (artifact.digest(), fixtures::version(OLD));
                let cx = fixtures::context("earlier");
                let wish =
                    ApplyRequest::new(target.clone(), artifact, number.clone(), one.replicas);
                platform.deployer.apply(&cx, wish).await.unwrap();
                let all = release_core::plan::Weight::new(digest, number, 100);
                let wish = SetWeights::new(target, vec![all]);
                platform.router.set_weights(&cx, wish).await.unwrap();
            }
        }
    };
    clock.run(before).unwrap();
    platform
}

/// Releases `shape` by a policy of its platform, if there is one, with all that goes wrong.
pub(crate) fn course(
    clock: &Arc<VirtualClock>,
    shape: &Shape,
    mishaps: &Mishaps,
    policy: impl FnOnce(&FakePlatform) -> Option<AllOf>,
) -> Course {
    let platform = platform(clock, shape);
    let policy = policy(&platform);
    let plan = plan(&shape.definition()).unwrap().freeze();
    let drawn = (mishaps.seed, mishaps.stubborn);
    let witness = Arc::new(Witness::new(platform, Arc::clone(clock), shape, drawn));
    let all: Vec<&StepId> = fallible(plan.plan()).collect();
    let mut faults = BTreeSet::new();
    for fault in &mishaps.faults {
        let step = all[usize::from(fault.which) % all.len()];
        witness.break_at(step.clone(), fault.clone());
        faults.insert(step.clone());
    }
    let journal = Arc::new(Deadly {
        inner: MemoryJournal::new(),
        appends: watch::Sender::new(0),
        planned: Mutex::new(mishaps.crashes.clone()),
        died: Notify::new(),
    });
    let world = World {
        clock: Arc::clone(clock),
        journal,
        witness,
        plan,
        run: literal("run-1"),
        asked: Mutex::default(),
        patient: mishaps.patient,
    };
    let (outcome, crashes) = world.release(mishaps, policy.as_ref());
    let World { journal, witness, plan, run, .. } = world;
    let engine = Engine::builder(journal, Arc::<Witness>::clone(&witness)).build();
    let (history, _) = clock.run(engine.load(&run)).unwrap().unwrap();
    let facts = history.facts().to_vec();
    let report = RunReport::new(&history, plan.clone()).unwrap();
    Course { outcome, plan, facts, report, witness, faults, crashes }
}

impl World {
    /// Drives the run to its end, by as many engines as that takes.
    fn release(&self, mishaps: &Mishaps, policy: Option<&AllOf>) -> (Outcome, usize) {
        let (orders, mut told) = (mishaps.orders(), 0);
        for crashes in 0.. {
            let performer = Arc::<Witness>::clone(&self.witness);
            let builder = Engine::builder(Arc::<Deadly>::clone(&self.journal), performer)
                .clock(Arc::<VirtualClock>::clone(&self.clock))
                .name(format!("engine-{crashes}"));
            let engine = match policy {
                Some(policy) => builder.policy(policy.clone()).build(),
                None => builder.build(),
            };
            let life = async {
                tokio::select! {
                    biased;
                    () = self.journal.died.notified() => None,
                    outcome = self.live(&engine, &orders, &mut told) => Some(outcome.unwrap()),
                }
            };
            if let Some(outcome) = self.clock.run(life).unwrap() {
                return (outcome, crashes);
            }
        }
        panic!("there are fewer crashes than numbers")
    }

    /// The life of one engine, which is given those orders that were not yet.
    async fn live(
        &self,
        engine: &Engine,
        orders: &[(u64, Command)],
        told: &mut usize,
    ) -> Result<Outcome, EngineError> {
        let handle = if *self.journal.appends.borrow() == 0 {
            let plan = self.plan.clone();
            engine.start_frozen(self.run.clone(), plan, fixtures::requester()).await?
        } else {
            engine.resume(&self.run).await?
        };
        let mut appends = self.journal.appends.subscribe();
        let (give_up, mut helped) = (self.clock.now().plus(LONGEST), 0_u32);
        loop {
            let order = orders.get(*told);
            let moment = order.map_or(u64::MAX, |(moment, _)| *moment);
            tokio::select! {
                biased;
                // What this returns would hold the journal up.
                () = async { drop(appends.wait_for(|count| *count >= moment).await) } => {
                    *told += 1;
                    if let Some((_, command)) = order {
                        self.say(&handle, command.clone()).await;
                    }
                }
                () = self.clock.sleep_until(give_up) => {
                    panic!("it has not ended after {LONGEST}: {:?}", self.why(engine).await)
                }
                settled = handle.settled() => match settled? {
                    Settled::Finished(outcome) => return Ok(outcome),
                    Settled::NeedsPerson(awaiting) => {
                        helped += 1;
                        assert!(helped < 1_000, "nobody can help: {:#?}", self.why(engine).await);
                        self.help(&handle, &awaiting).await;
                    }
                }
            }
        }
    }

    /// What holds it, and what was recorded last.
    async fn why(&self, engine: &Engine) -> Vec<String> {
        let (history, _) = engine.load(&self.run).await.unwrap();
        let last = history.facts().iter().rev().take(12);
        last.map(|fact| format!("{} {:?}", fact.at, fact.event)).collect()
    }

    /// Gives a command; one that comes too late makes no difference.
    async fn say(&self, handle: &RunHandle, command: Command) {
        let _ = handle.send(Directive::new(command, fixtures::operator(), "seen")).await;
    }

    /// Does what the run waits for: what failed is tried again, or all is cancelled.
    async fn help(&self, handle: &RunHandle, awaiting: &[Awaiting]) {
        let command = awaiting.iter().find_map(|one| match one {
            Awaiting::Resume => Some(Command::Resume),
            Awaiting::Operator(step) => Some(self.about(step)),
            _ => None,
        });
        let command = command.unwrap_or_else(|| panic!("nobody can help with {awaiting:?}"));
        self.say(handle, command).await;
    }

    fn about(&self, step: &StepId) -> Command {
        let forward = self.plan.find(step).is_some();
        if !forward {
            self.witness.heal();
        }
        let first = self.asked.lock().unwrap().insert(step.clone());
        let again = !forward || self.patient && first && self.witness.mend(step, self.plan.plan());
        if again { Command::Retry { step: step.clone() } } else { Command::Cancel }
    }
}
