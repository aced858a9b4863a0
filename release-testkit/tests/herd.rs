//! F13: a provider that is overrun, or gone for a while, is not made worse by us. With as many runs as one likes:
//! `HERD_RUNS=10000 cargo test --release -p release-testkit --test herd`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use release_core::engine::Engine;
use release_core::journal::MemoryJournal;
use release_core::model::{RunId, Span, Timestamp};
use release_core::plan::{Action, Deployment, Plan, RetryPolicy, Step, Undo};
use release_core::port::Clock;
use release_core::run::Outcome;
use release_providers::spi::{ApplyRequest, Deployer, DeploymentStatus, ObserveDeployment};
use release_providers::{
    Context, Description, ErrorKind, ProviderError, ProviderSelector, Registry, Shielding,
};
use release_testkit::fakes::{FakeDeployer, FakePlatform};
use release_testkit::{VirtualClock, fixtures};

/// How many runs there are at once: 300, or so many as `HERD_RUNS` says, such as 10000.
fn runs() -> usize {
    #[expect(clippy::disallowed_methods, reason = "a test's own setting")]
    let asked = std::env::var("HERD_RUNS");
    asked.map_or(300, |runs| runs.parse().unwrap())
}

const PLACES: u32 = 8;

/// Takes a second for each call, counts how many are under way, and is gone until an instant.
#[derive(Debug)]
struct Busy {
    clock: Arc<VirtualClock>,
    inner: FakeDeployer,
    gone_until: Timestamp,
    under_way: AtomicU32,
    peak: AtomicU32,
    calls_while_gone: AtomicUsize,
}

struct Under<'a>(&'a AtomicU32);

impl Drop for Under<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Busy {
    fn new(clock: &Arc<VirtualClock>, gone: Span) -> Arc<Self> {
        let dynamic: Arc<dyn Clock> = clock.clone();
        let platform = FakePlatform::on(&dynamic);
        platform.world.store(&fixtures::content("api", "1.1.0"));
        Arc::new(Self {
            clock: Arc::clone(clock),
            inner: FakeDeployer::of(&platform.world),
            gone_until: clock.now().plus(gone),
            under_way: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            calls_while_gone: AtomicUsize::new(0),
        })
    }

    async fn work(&self) -> Result<(), ProviderError> {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        let _under = Under(&self.under_way);
        self.peak.fetch_max(now, Ordering::SeqCst);
        if self.clock.now() < self.gone_until {
            self.calls_while_gone.fetch_add(1, Ordering::SeqCst);
            return Err(ProviderError::new(ErrorKind::Unavailable, "busy", "gone for a while"));
        }
        self.clock.sleep_until(self.clock.now().plus(Span::secs(1))).await;
        Ok(())
    }
}

#[async_trait]
impl Deployer for Busy {
    fn describe(&self) -> Description {
        self.inner.describe()
    }

    async fn apply(&self, cx: &Context, request: ApplyRequest) -> Result<(), ProviderError> {
        self.work().await?;
        self.inner.apply(cx, request).await
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveDeployment,
    ) -> Result<DeploymentStatus, ProviderError> {
        self.work().await?;
        self.inner.observe(cx, request).await
    }
}

fn registry(busy: &Arc<Busy>, shielding: Shielding) -> Arc<Registry> {
    let deployer = Arc::clone(busy) as Arc<dyn Deployer>;
    let registry = Registry::builder(busy.clock.clone()).shielding(shielding);
    Arc::new(registry.deployer(ProviderSelector::everywhere(), deployer).build().unwrap())
}

fn one_step(service: &str) -> Plan {
    let mut plan = Plan::builder("t".parse().unwrap(), "r".parse().unwrap());
    let deployment = Deployment {
        target: fixtures::target(service),
        artifact: fixtures::artifact("api", "1.1.0"),
        version: fixtures::version("1.1.0"),
    };
    let undo = Undo::point_of_no_return("a test", "lead".parse().unwrap());
    let action =
        Action::Scale { deployment: deployment.into(), replicas: 1, apart: None, metadata: None };
    let mut step = Step::new("scale".parse().unwrap(), action).undo(undo);
    (step.timeout, step.retry) = (Span::secs(3_600), RetryPolicy::attempts(3));
    plan.step(step);
    plan.build().unwrap()
}

fn run_id(number: usize) -> RunId {
    format!("run-{number}").parse().unwrap()
}

fn engine(
    clock: &Arc<VirtualClock>,
    journal: &Arc<MemoryJournal>,
    registry: Arc<Registry>,
) -> Engine {
    Engine::builder(journal.clone(), registry).clock(clock.clone()).build()
}

/// All runs that were under way look at once when they are resumed; the provider sees a few at a time.
#[test]
fn f13_the_recovery_of_many_runs_is_no_stampede() {
    let (clock, journal) = (Arc::new(VirtualClock::new()), Arc::new(MemoryJournal::new()));
    let all = Shielding::default().max_in_flight(u32::MAX);
    let first = Busy::new(&clock, Span::ZERO);
    let crowd = engine(&clock, &journal, registry(&first, all));
    let begun = async {
        for number in 0..runs() {
            let plan = one_step(&format!("s{number}"));
            crowd.start(run_id(number), plan, fixtures::requester()).await.unwrap();
        }
        while (first.peak.load(Ordering::SeqCst) as usize) < runs() {
            tokio::task::yield_now().await;
        }
        crowd.shutdown().await;
    };
    clock.run(begun).unwrap();
    let second = Busy::new(&clock, Span::ZERO);
    let few = Shielding::default().max_in_flight(PLACES);
    let heir = engine(&clock, &journal, registry(&second, few));
    let since = clock.now();
    let done = async {
        let mut handles = Vec::new();
        for number in 0..runs() {
            handles.push(heir.resume(&run_id(number)).await.unwrap());
        }
        for handle in handles {
            assert_eq!(handle.wait().await, Ok(Outcome::Succeeded));
        }
    };
    clock.run(done).unwrap();
    assert_eq!(second.peak.load(Ordering::SeqCst), PLACES);
    // Each run needs a call of a second at least.
    let (took, rounds) = (clock.now().since(since), i64::try_from(runs()).unwrap() / 8);
    assert!(took >= Span::secs(rounds.unsigned_abs()), "{took}");
}

/// A provider is gone for ten minutes: it hears from us a few times, and afterwards everything ends well.
#[test]
fn f13_a_provider_that_is_gone_is_left_alone_and_found_again() {
    let (clock, journal) = (Arc::new(VirtualClock::new()), Arc::new(MemoryJournal::new()));
    let busy = Busy::new(&clock, Span::secs(600));
    let calm = Shielding::default().trip_after(5, Duration::from_secs(30));
    let engine = engine(&clock, &journal, registry(&busy, calm));
    let done = async {
        let mut handles = Vec::new();
        for number in 0..runs() {
            let plan = one_step(&format!("s{number}"));
            handles.push(engine.start(run_id(number), plan, fixtures::requester()).await.unwrap());
        }
        let mut good = 0;
        for handle in handles {
            good += usize::from(handle.wait().await == Ok(Outcome::Succeeded));
        }
        good
    };
    let good = clock.run(done).unwrap();
    let calls = busy.calls_while_gone.load(Ordering::SeqCst);
    // Those that were let in at once before it was known, and then one every half a minute.
    assert!((5..=64 + 21).contains(&calls), "{calls} calls");
    assert_eq!(good, runs());
}
