//! What the suite of `Deployer` may use.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use release_core::model::{ArtifactRef, Digest, Target};
use release_providers::spi::{
    ApplyRequest, Deployer, DeploymentPhase, DeploymentStatus, ObserveDeployment,
};
use release_providers::{Context, Description};

use crate::conformance::{
    Broken, Common, Hook, HookError, Provided, Sandbox, Subject, acting, broken, hook, shared,
    title, unanswered,
};

/// A deployer, and what its suite may use: one target, two artifacts.
#[derive(Clone)]
#[must_use]
pub struct DeployerSandbox {
    pub(crate) provider: Arc<dyn Deployer>,
    pub(crate) target: Target,
    pub(crate) subjects: [Subject; 2],
    pub(crate) missing: ArtifactRef,
    pub(crate) corrupt: Option<ArtifactRef>,
    pub(crate) unknown_target: Option<Target>,
    pub(crate) too_many: Option<u32>,
    instances: Option<Hook<(Target, Digest), BTreeSet<String>>>,
    reopen: Option<Hook<(), Arc<dyn Deployer>>>,
    common: Common,
}

shared!([] DeployerSandbox, dyn Deployer, "a wish may take");
acting!(DeployerSandbox);

impl fmt::Debug for DeployerSandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { provider, target, subjects, .. } = self;
        let mut out = f.debug_struct("DeployerSandbox");
        out.field("provider", provider).field("target", target).field("subjects", subjects);
        out.finish_non_exhaustive()
    }
}

impl DeployerSandbox {
    /// A sandbox: the provider, a target in which nothing runs and that nobody else uses, and two
    /// different artifacts that exist and can run there.
    pub fn new(provider: Arc<dyn Deployer>, target: Target, subjects: [Subject; 2]) -> Self {
        let [first, _] = &subjects;
        let nothing = Digest::of(b"release-testkit: content that nobody has");
        Self {
            missing: ArtifactRef::new(first.artifact.name().clone(), nothing),
            provider,
            target,
            subjects,
            corrupt: None,
            unknown_target: None,
            too_many: None,
            instances: None,
            reopen: None,
            common: Common::default(),
        }
    }

    /// Names an artifact that does not exist; by default one with a digest that nothing has.
    pub fn missing(mut self, artifact: ArtifactRef) -> Self {
        self.missing = artifact;
        self
    }

    /// Names an artifact whose stored content does not match its digest.
    pub fn corrupt(mut self, artifact: ArtifactRef) -> Self {
        self.corrupt = Some(artifact);
        self
    }

    /// Names a target that the provider does not know.
    pub fn unknown_target(mut self, target: Target) -> Self {
        self.unknown_target = Some(target);
        self
    }

    /// Names a number of instances that is beyond the provider's limit; by default one more than it declares.
    pub const fn too_many(mut self, replicas: u32) -> Self {
        self.too_many = Some(replicas);
        self
    }

    pub(crate) fn beyond_limit(&self) -> Option<u32> {
        let declared = self.abilities().deployer.most_replicas;
        self.too_many.or_else(|| declared.map(|most| most.get().saturating_add(1)))
    }

    /// Tells the names of the instances that really run, from another source than the provider's
    /// own answers. With it the suite sees doubles and restarts that the provider keeps to itself;
    /// without it `instances_are_as_told` is skipped, and said to be.
    pub fn instances<F>(
        mut self,
        instances: impl Fn(Target, Digest) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<BTreeSet<String>, HookError>> + Send + 'static,
    {
        self.instances = Some(hook(move |(target, digest)| instances(target, digest)));
        self
    }

    /// Whether another source than the provider tells what runs.
    pub(crate) const fn sees(&self) -> bool {
        self.instances.is_some()
    }

    pub(crate) fn wish(&self, subject: &Subject, replicas: u32) -> ApplyRequest {
        let Subject { artifact, version } = subject;
        ApplyRequest::new(self.target.clone(), artifact.clone(), version.clone(), replicas)
    }

    /// Wishes, under a new key.
    pub(crate) async fn apply(&self, subject: &Subject, replicas: u32) -> Result<(), Broken> {
        self.apply_as(&self.context(), subject, replicas).await
    }

    pub(crate) async fn apply_as(
        &self,
        cx: &Context,
        subject: &Subject,
        replicas: u32,
    ) -> Result<(), Broken> {
        let answer = self.provider.apply(cx, self.wish(subject, replicas)).await;
        answer.map_err(|error| unanswered(&format!("a wish for {replicas} instances"), &error))
    }

    pub(crate) async fn look(&self, digest: Digest) -> Result<DeploymentStatus, Broken> {
        let request = ObserveDeployment::new(self.target.clone(), digest);
        let answer = self.provider.observe(&self.context(), request).await;
        answer.map_err(|error| unanswered("an observation", &error))
    }

    /// The names of the instances that really run, if the sandbox can tell.
    pub(crate) async fn names(&self, digest: Digest) -> Result<Option<BTreeSet<String>>, Broken> {
        let Some(instances) = &self.instances else { return Ok(None) };
        let names = instances((self.target.clone(), digest)).await;
        names.map(Some).map_err(|error| broken("the instances that run", error))
    }

    /// Waits until exactly `replicas` instances of `subject` run, and returns their names.
    pub(crate) async fn settled(
        &self,
        subject: &Subject,
        replicas: u32,
    ) -> Result<Option<BTreeSet<String>>, Broken> {
        let digest = subject.artifact.digest();
        let seen = self.common.until(async || {
            let status = self.look(digest).await?;
            if let DeploymentPhase::Failed { reason } = &status.phase {
                return Err(broken(
                    format!("{replicas} instances"),
                    format!("it failed: {reason}"),
                ));
            }
            let so = status.phase == DeploymentPhase::Settled
                && status.running == replicas
                && status.desired == Some(replicas)
                && status.digest == digest;
            Ok(if so { Ok(()) } else { Err(status) })
        });
        if let Err(status) = seen.await? {
            let patience = self.common.patience;
            let expected = format!("{digest} settled with {replicas} instances within {patience}");
            return Err(broken(expected, format!("observed {status:?}")));
        }
        let names = self.names(digest).await?;
        if let Some(names) = names.as_ref().filter(|names| names.len() != replicas as usize) {
            let expected = format!("{replicas} instances, as the provider says");
            return Err(broken(expected, format!("there really are {names:?}")));
        }
        Ok(names)
    }
}

impl Provided for DeployerSandbox {
    fn describe(&self) -> Description {
        self.provider.describe()
    }
}

#[async_trait(?Send)]
impl Sandbox for DeployerSandbox {
    fn common(&self) -> &Common {
        &self.common
    }

    fn title(&self) -> String {
        title(&self.provider.describe())
    }

    async fn prepare(&self) -> Result<(), Broken> {
        Ok(())
    }
}
