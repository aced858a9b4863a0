//! The suite of [`Provisioner`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use release_providers::ErrorKind;
use release_providers::spi::{
    ApplyPlan, DriftReport, JobPhase, PlanChange, ProvisionPlan, Provisioner, WorkspaceRef,
    WorkspaceStatus,
};
use serde_json::Value;

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, Hook, HookError, broken, case, hook, refused, unanswered};

/// A provisioner, and what of it the suite may use.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type ProvisionerSandbox = ProviderSandbox<dyn Provisioner, Workspace>;

/// What of a provisioner the suite may use.
#[derive(Clone)]
#[must_use]
pub struct Workspace {
    name: String,
    declared: [Value; 2],
    meddle: Option<Hook<(), (String, String)>>,
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, declared, .. } = self;
        let mut out = f.debug_struct("Workspace");
        out.field("name", name).field("declared", declared).finish_non_exhaustive()
    }
}

impl Workspace {
    /// An empty workspace that nobody else uses, and two different declarations that can be applied in it: each an
    /// object of resources by name.
    pub fn new(workspace: impl Into<String>, declared: [Value; 2]) -> Self {
        Self { name: workspace.into(), declared, meddle: None }
    }

    /// Changes one field of one resource by other hands than the provisioner's, and says which: the resource, and the
    /// field as a JSON pointer. Without it `drift_is_told_field_by_field` is skipped, and said to be.
    pub fn meddle<F>(mut self, meddle: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(String, String), HookError>> + Send + 'static,
    {
        self.meddle = Some(hook(move |()| meddle()));
        self
    }

    fn whole(&self) -> WorkspaceRef {
        WorkspaceRef::new(self.name.clone())
    }

    fn change(&self, which: usize) -> PlanChange {
        let [one, two] = &self.declared;
        PlanChange::new(self.name.clone(), if which == 0 { one } else { two }.clone())
    }
}

suite!(
    Provisioner,
    "provisioner",
    ProvisionerSandbox,
    acting,
    [
        case!(
            a_plan_changes_nothing,
            "planning changes nothing of the workspace, and equal plans have equal digests"
        ),
        case!(what_is_applied_is_observed, "just the plan is carried out, and told once it is"),
        case!(
            an_old_plan_is_a_conflict,
            "`Conflict` for a plan of a workspace that changed since, with no effect"
        ),
        case!(
            what_is_destroyed_is_gone,
            "after it is destroyed nothing is left, also when asked again"
        ),
        case!(what_is_as_declared_has_no_drift, "no field is told that does not differ"),
        case!(
            drift_is_told_field_by_field,
            "every field that differs is told, and no other",
            |sandbox: &ProvisionerSandbox| {
                sandbox.at.meddle.is_none().then_some("other hands that change something")
            }
        ),
    ]
);

/// The provisioner, and what of it the suite may use.
pub fn sandbox(provider: Arc<dyn Provisioner>, at: Workspace) -> ProvisionerSandbox {
    ProviderSandbox::of(provider, at)
        .deed(
            "destroy",
            |provider, cx, at| async move { text(provider.destroy(&cx, at.whole()).await) },
            |provider, cx, at, _| async move {
                text(provider.observe(&cx, at.whole()).await.map(|status| status.resources))
            },
        )
        .undone_by(|provider, cx, at| async move {
            let plan = provider.plan(&cx, at.change(0)).await?;
            text(provider.apply(&cx, ApplyPlan::new(at.name.clone(), plan.digest)).await)
        })
        .look("plan", true, |provider, cx, at| async move {
            text(provider.plan(&cx, at.change(0)).await)
        })
        .look("observe", false, |provider, cx, at| async move {
            text(provider.observe(&cx, at.whole()).await)
        })
        .look("drift", true, |provider, cx, at| async move {
            text(provider.drift(&cx, at.whole()).await)
        })
        .refusal("an unknown workspace", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = at.change(0);
            request.workspace = "a workspace that nobody has".into();
            text(provider.plan(&cx, request).await)
        })
        .refusal(
            "the end of an unknown workspace",
            ErrorKind::NotFound,
            |provider, cx, _| async move { text(provider.destroy(&cx, nobodys()).await) },
        )
        .refusal(
            "a look at an unknown workspace",
            ErrorKind::NotFound,
            |provider, cx, _| async move { text(provider.observe(&cx, nobodys()).await) },
        )
        .refusal(
            "drift of an unknown workspace",
            ErrorKind::NotFound,
            |provider, cx, _| async move { text(provider.drift(&cx, nobodys()).await) },
        )
        .refusal("a plan that was never made", ErrorKind::NotFound, |provider, cx, at| async move {
            let digest = release_core::model::Digest::of(b"a plan that nobody made");
            text(provider.apply(&cx, ApplyPlan::new(at.name.clone(), digest)).await)
        })
}

fn nobodys() -> WorkspaceRef {
    WorkspaceRef::new("a workspace that nobody has".into())
}

async fn a_plan_changes_nothing(sandbox: &ProvisionerSandbox) -> Check {
    let before = look_at(sandbox).await?;
    let (one, two) = (planned(sandbox, 0).await?, planned(sandbox, 0).await?);
    if one != two || one.changes.is_empty() {
        return Err(broken(format!("{one:?} with changes, twice"), format!("then {two:?}")));
    }
    let other = planned(sandbox, 1).await?;
    if other.digest == one.digest {
        return Err(broken("another digest for another plan", one.digest));
    }
    let after = look_at(sandbox).await?;
    if before == after {
        return Ok(());
    }
    Err(broken(format!("{before:?} still"), format!("{after:?}")))
}

async fn what_is_applied_is_observed(sandbox: &ProvisionerSandbox) -> Check {
    for which in [0, 1, 0] {
        let plan = planned(sandbox, which).await?;
        for _ in 0..2 {
            apply(sandbox, &plan).await?;
            applied(sandbox, &plan).await?;
        }
        let left = planned(sandbox, which).await?.changes;
        if !left.is_empty() {
            return Err(broken("nothing that is left to change", format!("{left:?}")));
        }
    }
    Ok(())
}

async fn an_old_plan_is_a_conflict(sandbox: &ProvisionerSandbox) -> Check {
    let (first, second) = (planned(sandbox, 0).await?, planned(sandbox, 1).await?);
    apply(sandbox, &first).await?;
    let before = applied(sandbox, &first).await?;
    let request = ApplyPlan::new(sandbox.at.name.clone(), second.digest);
    let answer = sandbox.provider.apply(&sandbox.context(), request).await;
    refused("a plan of the workspace as it was", answer, ErrorKind::Conflict)?;
    let after = look_at(sandbox).await?;
    if before == after {
        return Ok(());
    }
    Err(broken(format!("{before:?} still"), format!("{after:?}")))
}

async fn what_is_destroyed_is_gone(sandbox: &ProvisionerSandbox) -> Check {
    let plan = planned(sandbox, 0).await?;
    apply(sandbox, &plan).await?;
    applied(sandbox, &plan).await?;
    for _ in 0..2 {
        let answer = sandbox.provider.destroy(&sandbox.context(), sandbox.at.whole()).await;
        answer.map_err(|error| unanswered("destroying it", &error))?;
        let gone = sandbox.until(async || {
            let status = look_at(sandbox).await?;
            Ok(if status.resources.is_empty() && status.phase.is_over() {
                Ok(())
            } else {
                Err(status)
            })
        });
        gone.await?.map_err(|status| broken("nothing that is left", format!("{status:?}")))?;
    }
    Ok(())
}

async fn what_is_as_declared_has_no_drift(sandbox: &ProvisionerSandbox) -> Check {
    let plan = planned(sandbox, 1).await?;
    apply(sandbox, &plan).await?;
    applied(sandbox, &plan).await?;
    let report = drifted(sandbox).await?;
    if report.fields.is_empty() {
        return Ok(());
    }
    Err(broken("no drift", format!("{report:?}")))
}

async fn drift_is_told_field_by_field(sandbox: &ProvisionerSandbox) -> Check {
    let Some(meddle) = &sandbox.at.meddle else { return Ok(()) };
    let plan = planned(sandbox, 0).await?;
    apply(sandbox, &plan).await?;
    applied(sandbox, &plan).await?;
    let mut changed = BTreeSet::new();
    for _ in 0..2 {
        let field = meddle(()).await.map_err(|error| broken("other hands", error))?;
        changed.insert(field);
        let report = drifted(sandbox).await?;
        let told = report.fields.iter().map(|field| (field.resource.clone(), field.path.clone()));
        let told: BTreeSet<_> = told.collect();
        if told != changed || report.fields.iter().any(|field| field.declared == field.observed) {
            return Err(broken(format!("drift of {changed:?} alone"), format!("{report:?}")));
        }
    }
    Ok(())
}

async fn planned(sandbox: &ProvisionerSandbox, which: usize) -> Result<ProvisionPlan, Broken> {
    let answer = sandbox.provider.plan(&sandbox.context(), sandbox.at.change(which)).await;
    answer.map_err(|error| unanswered("a plan", &error))
}

async fn apply(sandbox: &ProvisionerSandbox, plan: &ProvisionPlan) -> Check {
    let request = ApplyPlan::new(sandbox.at.name.clone(), plan.digest);
    let answer = sandbox.provider.apply(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("a plan that was just made", &error))
}

async fn applied(
    sandbox: &ProvisionerSandbox,
    plan: &ProvisionPlan,
) -> Result<WorkspaceStatus, Broken> {
    let done = sandbox.until(async || {
        let status = look_at(sandbox).await?;
        let done = status.phase == JobPhase::Succeeded && status.applied == Some(plan.digest);
        Ok(if done { Ok(status) } else { Err(status) })
    });
    done.await?
        .map_err(|status| broken(format!("{} to be applied", plan.digest), format!("{status:?}")))
}

async fn look_at(sandbox: &ProvisionerSandbox) -> Result<WorkspaceStatus, Broken> {
    let answer = sandbox.provider.observe(&sandbox.context(), sandbox.at.whole()).await;
    answer.map_err(|error| unanswered("a look at the workspace", &error))
}

async fn drifted(sandbox: &ProvisionerSandbox) -> Result<DriftReport, Broken> {
    let answer = sandbox.provider.drift(&sandbox.context(), sandbox.at.whole()).await;
    answer.map_err(|error| unanswered("a look for drift", &error))
}
