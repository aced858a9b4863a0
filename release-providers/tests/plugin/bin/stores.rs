//! What the ordinary plugin keeps: one flag, one secret, and workspaces.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use release_core::model::Digest;
use release_core::port::EffectCertainty;
use release_providers::spi::{
    ApplyPlan, ChangeAction, DriftReport, DriftedField, FlagRef, FlagState, FlagStatus, FlagStore,
    JobPhase, KillFlag, LeaseRef, LeaseSecret, LeaseStatus, ObserveSecret, PlanChange,
    ProvisionPlan, Provisioner, RenewLease, ResourceChange, RotateSecret, SecretLease,
    SecretStatus, SecretStore, SetFlag, WorkspaceRef, WorkspaceStatus,
};
use release_providers::{
    Context, Description, EffectClass, ErrorKind, ProviderError, RetryAdvice, Secret,
};
use semver::Version;
use serde_json::Value;

/// One flag `dark-mode`, a secret at `kv/shop#password` and `kv/slow`, and workspaces.
#[derive(Debug)]
pub(crate) struct Stores(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    flag: FlagState,
    killed: Option<String>,
    revision: u64,
    version: u64,
    leases: BTreeMap<String, u64>,
    workspaces: BTreeMap<String, Workspace>,
}

#[derive(Debug, Default)]
struct Workspace {
    planned: Value,
    applied: Option<Value>,
}

impl Stores {
    pub(crate) fn new() -> Self {
        let (leases, workspaces) = (BTreeMap::new(), BTreeMap::new());
        let (flag, killed) = (FlagState::Off, None);
        Self(Mutex::new(Kept { flag, killed, revision: 1, version: 1, leases, workspaces }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn describe(name: &str) -> Description {
    Description::new(name, Version::new(1, 2, 3), EffectClass::Queryable)
}

fn error(kind: ErrorKind, operation: &'static str, text: &str) -> ProviderError {
    ProviderError::new(kind, operation, text).with_effect(EffectCertainty::NotApplied)
}

fn not_found(operation: &'static str, what: &'static str, name: &str) -> ProviderError {
    error(ErrorKind::NotFound, operation, "there is no such thing").with_context(what, name)
}

#[async_trait]
impl FlagStore for Stores {
    fn describe(&self) -> Description {
        describe("memory flags")
    }

    async fn set(&self, _: &Context, request: SetFlag) -> Result<(), ProviderError> {
        const SET: &str = "memory.set";
        let mut kept = self.kept();
        if request.flag != "dark-mode" {
            return Err(not_found(SET, "flag", &request.flag));
        }
        if matches!(request.state, FlagState::Share { percent } if percent > 100) {
            return Err(error(ErrorKind::Invalid, SET, "a share is of a hundred"));
        }
        if request.expected.is_some_and(|expected| expected != kept.revision) {
            return Err(error(ErrorKind::Conflict, SET, "somebody else changed it")
                .with_context("revision", kept.revision)
                .with_context("environment", request.environment));
        }
        if kept.killed.is_some() && !request.revive && request.state != FlagState::Off {
            return Err(error(ErrorKind::Conflict, SET, "somebody killed it"));
        }
        let revived = request.revive && kept.killed.take().is_some();
        if kept.flag != request.state || revived {
            kept.flag = request.state;
            kept.revision += 1;
        }
        Ok(())
    }

    async fn kill(&self, _: &Context, request: KillFlag) -> Result<(), ProviderError> {
        if request.flag != "dark-mode" {
            return Err(not_found("memory.kill", "flag", &request.flag));
        }
        let mut kept = self.kept();
        if kept.killed.is_none() {
            (kept.flag, kept.killed) = (FlagState::Off, Some(request.reason));
            kept.revision += 1;
        }
        Ok(())
    }

    async fn observe(&self, _: &Context, request: FlagRef) -> Result<FlagStatus, ProviderError> {
        let FlagRef { flag, environment, .. } = request;
        if flag != "dark-mode" {
            return Err(not_found("memory.observe", "flag", &flag));
        }
        let kept = self.kept();
        let mut status = FlagStatus::new(flag, environment, kept.flag, kept.revision);
        status.killed.clone_from(&kept.killed);
        Ok(status)
    }
}

/// The secret of a version.
fn secret(version: u64) -> String {
    format!("canary-{version}\nand a second line of it")
}

#[async_trait]
impl SecretStore for Stores {
    fn describe(&self) -> Description {
        describe("memory secrets")
    }

    async fn lease(
        &self,
        cx: &Context,
        request: LeaseSecret,
    ) -> Result<SecretLease, ProviderError> {
        let slow = request.secret.as_str() == "kv/slow";
        if !slow && request.secret.as_str() != "kv/shop#password" {
            return Err(not_found("memory.lease", "secret", request.secret.as_str()));
        }
        let version = self.kept().version;
        self.kept().leases.insert(cx.key.clone(), version);
        if slow {
            cx.cancellation.cancelled().await; // and leases it for all that
        }
        let expires = cx.deadline.plus(request.ttl);
        Ok(SecretLease::new(cx.key.clone(), version, expires, Secret::new(secret(version))))
    }

    async fn renew(&self, cx: &Context, request: RenewLease) -> Result<LeaseStatus, ProviderError> {
        let Some(version) = self.kept().leases.get(&request.lease).copied() else {
            return Err(not_found("memory.renew", "lease", &request.lease));
        };
        if request.ttl.as_duration().is_zero() {
            // What no store should do.
            let text = format!("cannot renew the lease of {} for no time", secret(version));
            return Err(error(ErrorKind::Invalid, "memory.renew", &text)
                .with_context("value", secret(version)));
        }
        Ok(LeaseStatus::new(request.lease, cx.deadline.plus(request.ttl)))
    }

    async fn revoke(&self, _: &Context, request: LeaseRef) -> Result<(), ProviderError> {
        match self.kept().leases.remove(&request.lease) {
            Some(_) => Ok(()),
            None => Err(not_found("memory.revoke", "lease", &request.lease)),
        }
    }

    async fn rotate(
        &self,
        cx: &Context,
        request: RotateSecret,
    ) -> Result<SecretStatus, ProviderError> {
        if request.secret.as_str() == "kv/late" {
            self.kept().leases.insert(cx.key.clone(), 0); // so that it can be seen
            cx.cancellation.cancelled().await;
            for _ in 0..1_000 {
                tokio::task::yield_now().await; // and rotates it for all that, a little later
            }
        }
        if request.secret.as_str() == "kv/careless" {
            print_and_abort(&secret(self.kept().version));
        }
        let mut kept = self.kept();
        kept.version += 1;
        Ok(SecretStatus::new(request.secret, kept.version, 0))
    }

    async fn observe(
        &self,
        _: &Context,
        request: ObserveSecret,
    ) -> Result<SecretStatus, ProviderError> {
        let kept = self.kept();
        let leases = u32::try_from(kept.leases.len()).unwrap_or(u32::MAX);
        Ok(SecretStatus::new(request.secret, kept.version, leases))
    }
}

#[expect(clippy::print_stderr, reason = "the test asks what becomes of it")]
fn print_and_abort(secret: &str) -> ! {
    eprintln!("the last words: {secret}");
    std::process::abort()
}

#[async_trait]
impl Provisioner for Stores {
    fn describe(&self) -> Description {
        describe("memory workspaces")
    }

    async fn plan(&self, _: &Context, request: PlanChange) -> Result<ProvisionPlan, ProviderError> {
        let Value::Object(resources) = &request.declared else {
            return Err(error(ErrorKind::Invalid, "memory.plan", "the resources are no object"));
        };
        let change = |name: &String| ResourceChange::new(name.clone(), ChangeAction::Create);
        let changes = resources.keys().map(change).collect();
        let digest = Digest::of(request.declared.to_string().as_bytes());
        let mut kept = self.kept();
        kept.workspaces.entry(request.workspace.clone()).or_default().planned = request.declared;
        Ok(ProvisionPlan::new(request.workspace, digest, changes))
    }

    async fn apply(&self, _: &Context, request: ApplyPlan) -> Result<(), ProviderError> {
        const APPLY: &str = "memory.apply";
        let mut kept = self.kept();
        let Some(workspace) = kept.workspaces.get_mut(&request.workspace) else {
            return Err(not_found(APPLY, "workspace", &request.workspace));
        };
        if Digest::of(workspace.planned.to_string().as_bytes()) != request.digest {
            return Err(error(ErrorKind::Conflict, APPLY, "another plan was made since"));
        }
        workspace.applied = Some(workspace.planned.clone());
        Ok(())
    }

    async fn destroy(&self, _: &Context, request: WorkspaceRef) -> Result<(), ProviderError> {
        if self.kept().workspaces.remove(&request.workspace).is_none() {
            return Err(not_found("memory.destroy", "workspace", &request.workspace));
        }
        Ok(())
    }

    async fn observe(
        &self,
        _: &Context,
        request: WorkspaceRef,
    ) -> Result<WorkspaceStatus, ProviderError> {
        let kept = self.kept();
        let applied = kept.workspaces.get(&request.workspace).and_then(|w| w.applied.as_ref());
        let phase = match applied {
            Some(_) => JobPhase::Succeeded,
            None if kept.workspaces.contains_key(&request.workspace) => JobPhase::Unknown,
            None => JobPhase::Failed { reason: "it was destroyed".to_owned() },
        };
        let mut status = WorkspaceStatus::new(request.workspace, phase);
        status.applied = applied.map(|applied| Digest::of(applied.to_string().as_bytes()));
        let names = applied.and_then(Value::as_object).into_iter().flat_map(|all| all.keys());
        status.resources = names.cloned().collect();
        Ok(status)
    }

    async fn drift(
        &self,
        _: &Context,
        request: WorkspaceRef,
    ) -> Result<DriftReport, ProviderError> {
        if request.workspace == "busy" {
            return Err(ProviderError::new(ErrorKind::RateLimited, "memory.drift", "slow down")
                .with_effect(EffectCertainty::Unknown)
                .with_retry(RetryAdvice::After(Duration::from_millis(2_500)))
                .with_context("quota", 7));
        }
        let kept = self.kept();
        let declared = kept.workspaces.get(&request.workspace).map(|w| w.planned.clone());
        let mut field = DriftedField::new("queue".to_owned(), "/size".to_owned());
        field.declared =
            declared.unwrap_or_default().pointer("/queue/size").cloned().unwrap_or_default();
        field.observed = serde_json::json!({ "deep": [1, -2.5, 1e300, null, "é\u{0}"] });
        Ok(DriftReport::new(request.workspace, vec![field]))
    }
}
