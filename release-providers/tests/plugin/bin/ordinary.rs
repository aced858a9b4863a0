//! A plugin as vendors write them, for the tests: it remembers what it is told, in memory.

mod stores;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use release_core::model::{Digest, Span, Target};
use release_core::plan::Weight;
use release_core::port::{EffectCertainty, Served};
use release_core::time::Timestamp;
use release_providers::plugin::serve::Server;
use release_providers::spi::{
    ApplyRequest, CheckHealth, Deployer, DeploymentPhase, DeploymentStatus, FlagStore, HealthProbe,
    HealthReport, InstanceHealth, Notification, Notifier, ObserveDeployment, ObserveTraffic,
    SecretStore, SetWeights, TrafficRouter, TrafficStatus,
};
use release_providers::{
    Context, Description, EffectClass, ErrorKind, Fencing, ProviderError, RetryAdvice, Splitting,
};
use semver::Version;

/// Everything that it was told.
#[derive(Debug, Default)]
struct Memory {
    wishes: Mutex<BTreeMap<(Target, Digest), u32>>,
    weights: Mutex<BTreeMap<Target, Vec<Weight>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn describe(name: &str) -> Description {
    Description::new(name, Version::new(1, 2, 3), EffectClass::Idempotent)
        .with_config_schema(serde_json::json!({ "type": "object" }))
}

#[async_trait]
impl Deployer for Memory {
    fn describe(&self) -> Description {
        describe("memory deployer").able(|can| can.deployer.fencing = Fencing::Epochs)
    }

    async fn apply(&self, _: &Context, request: ApplyRequest) -> Result<(), ProviderError> {
        let key = (request.target, request.artifact.digest());
        lock(&self.wishes).insert(key, request.replicas);
        Ok(())
    }

    async fn observe(
        &self,
        _: &Context,
        request: ObserveDeployment,
    ) -> Result<DeploymentStatus, ProviderError> {
        let ObserveDeployment { target, digest, .. } = request;
        let desired = lock(&self.wishes).get(&(target.clone(), digest)).copied();
        let running = desired.unwrap_or_default();
        Ok(DeploymentStatus::new(target, digest, desired, running, DeploymentPhase::Settled))
    }
}

#[async_trait]
impl TrafficRouter for Memory {
    fn describe(&self) -> Description {
        describe("memory router").able(|can| can.traffic_router.splitting = Splitting::Shares)
    }

    async fn set_weights(&self, _: &Context, request: SetWeights) -> Result<(), ProviderError> {
        lock(&self.weights).insert(request.target, request.weights);
        Ok(())
    }

    async fn observe(
        &self,
        _: &Context,
        request: ObserveTraffic,
    ) -> Result<TrafficStatus, ProviderError> {
        let target = request.target;
        let Some(weights) = lock(&self.weights).get(&target).cloned() else {
            let text = "no shares were ever set for this target; set some first";
            return Err(ProviderError::new(ErrorKind::NotFound, "traffic.observe", text)
                .with_context("target", target));
        };
        let served = weights.iter().map(|w| Served::new(w.digest, 7)).collect();
        Ok(TrafficStatus::new(target, weights, served, 3))
    }
}

#[async_trait]
impl HealthProbe for Memory {
    fn describe(&self) -> Description {
        describe("memory probe")
    }

    async fn check(
        &self,
        _: &Context,
        request: CheckHealth,
    ) -> Result<HealthReport, ProviderError> {
        let CheckHealth { target, digest, .. } = request;
        let instance = |instance: &str, ready, detail: &str| {
            InstanceHealth::new(instance.to_owned(), ready, detail.to_owned())
        };
        let instances = vec![instance("a", true, "ok"), instance("b", false, "starting")];
        Ok(HealthReport::new(target, digest, instances, Timestamp::from_micros(-5)))
    }
}

#[async_trait]
impl Notifier for Memory {
    fn describe(&self) -> Description {
        describe("memory notifier")
    }

    /// Does what the message says, and otherwise nothing.
    async fn notify(&self, cx: &Context, notification: Notification) -> Result<(), ProviderError> {
        let fail = |text: String| Err(ProviderError::new(ErrorKind::Failed, "memory.notify", text));
        match notification.message.as_str() {
            "panic" => panics(),
            "wait" => {
                cx.cancellation.cancelled().await;
                let text = "gave up as asked";
                Err(ProviderError::new(ErrorKind::Cancelled, "memory.notify", text)
                    .with_effect(EffectCertainty::NotApplied))
            }
            "context" => fail(format!(
                "{} {} {:?} {} {}",
                cx.key, cx.attempt, cx.run, cx.epoch, cx.principal.id
            )),
            "environment" => fail(environment()),
            "limits" => fail(std::fs::read_to_string("/proc/self/limits").unwrap_or_default()),
            "files" => fail(files()),
            "fail" => Err(ProviderError::new(ErrorKind::RateLimited, "memory.notify", "slow down")
                .with_effect(EffectCertainty::Applied)
                .with_retry(RetryAdvice::After(Span::millis(1_500).as_duration()))
                .with_context("quota", 7)
                .with_source(std::io::Error::other("429"))),
            _ => Ok(()),
        }
    }
}

#[expect(clippy::panic, reason = "that is what is asked for")]
fn panics() -> ! {
    panic!("asked to panic")
}

#[expect(clippy::disallowed_methods, reason = "the test asks what a plugin inherits")]
fn environment() -> String {
    let names = std::env::vars().map(|(name, _)| name);
    // Two that some shells set for what they become.
    let mut names: Vec<_> = names.filter(|name| name != "_" && name != "SHLVL").collect();
    names.sort_unstable();
    let place = std::env::current_dir().unwrap_or_default();
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let entries = entries.fold(String::new(), |mut text, entry| {
        let _infallible = write!(text, " {}", entry.file_name().display());
        text
    });
    format!("{};{entries}", names.join(" "))
}

/// What it has open, but for what its runtime opens.
fn files() -> String {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let mut kinds: Vec<_> = links
        .map(|link| link.display().to_string())
        .filter(|link| {
            link.starts_with('/') && !link.starts_with("/proc/") || link.starts_with("pipe:")
        })
        .collect();
    kinds.sort_unstable();
    kinds.join(" ")
}

fn main() -> ExitCode {
    let memory = Arc::new(Memory::default());
    let stores = Arc::new(stores::Stores::new());
    Server::new("ordinary", Version::new(1, 0, 0))
        .deployer(Arc::clone(&memory) as Arc<dyn Deployer>)
        .traffic_router(Arc::clone(&memory) as Arc<dyn TrafficRouter>)
        .health_probe(Arc::clone(&memory) as Arc<dyn HealthProbe>)
        .notifier(memory)
        .flag_store(Arc::clone(&stores) as Arc<dyn FlagStore>)
        .secret_store(Arc::clone(&stores) as Arc<dyn SecretStore>)
        .provisioner(stores)
        .run_blocking()
}
