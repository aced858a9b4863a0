//! The suite of [`Provisioner`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use release_core::model::Digest;
use release_providers::spi::{
    ApplyPlan, ChangeAction, DriftReport, JobPhase, PlanChange, ProvisionPlan, Provisioner,
    WorkspaceRef, WorkspaceStatus,
};
use release_providers::{Context, ErrorKind, ProviderError};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::conformance::any::{ProviderSandbox, keyed, suite, text};
use crate::conformance::{
    Broken, Check, Hook, HookError, broken, case, hook, refused, stays, unanswered, wait,
};

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
    /// Whether what other hands change makes plans old.
    sees: bool,
    /// The plan that the deed of applying carries out.
    planned: Arc<Mutex<Option<Digest>>>,
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
        let (name, meddle, sees) = (workspace.into(), None, false);
        Self { name, declared, meddle, sees, planned: Arc::default() }
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

    /// The provisioner sees that a plan is of before other hands changed something. Without it, or without
    /// [`meddle`](Self::meddle), `what_others_changed_is_a_conflict` is skipped, and said to be.
    pub const fn sees_other_hands(mut self) -> Self {
        self.sees = true;
        self
    }

    fn whole(&self) -> WorkspaceRef {
        WorkspaceRef::new(self.name.clone())
    }

    fn change(&self, which: usize) -> PlanChange {
        let [one, two] = &self.declared;
        PlanChange::new(self.name.clone(), if which == 0 { one } else { two }.clone())
    }

    /// The names of what is declared, in order.
    fn names(&self, which: usize) -> Vec<String> {
        let declared = self.change(which).declared;
        let names = declared.as_object().into_iter().flat_map(|all| all.keys().cloned());
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The plan of the first declaration that is carried out, made by whoever comes first.
    async fn planned(
        &self,
        provider: &Arc<dyn Provisioner>,
        cx: &Context,
    ) -> Result<Digest, ProviderError> {
        let mut planned = self.planned.lock().await;
        if let Some(digest) = *planned {
            return Ok(digest);
        }
        let cx = keyed(cx.clone(), format!("{}/plan", cx.key));
        let digest = provider.plan(&cx, self.change(0)).await?.digest;
        Ok(*planned.insert(digest))
    }

    /// Carries out that plan to its end, however often it is asked for.
    async fn applied(
        &self,
        provider: &Arc<dyn Provisioner>,
        cx: &Context,
    ) -> Result<(), ProviderError> {
        let digest = self.planned(provider, cx).await?;
        provider.apply(cx, ApplyPlan::new(self.name.clone(), digest)).await?;
        self.rests(provider, cx).await
    }

    /// Takes all away, to the end.
    async fn destroyed(
        &self,
        provider: &Arc<dyn Provisioner>,
        cx: &Context,
    ) -> Result<(), ProviderError> {
        provider.destroy(cx, self.whole()).await?;
        self.rests(provider, cx).await
    }

    /// Waits until nothing is under way: the next plan starts from how it is then. Whoever cancels the call that began it
    /// does not cancel this.
    async fn rests(
        &self,
        provider: &Arc<dyn Provisioner>,
        cx: &Context,
    ) -> Result<(), ProviderError> {
        let calm = Context::new(format!("{}/rest", cx.key), cx.deadline, cx.principal.clone());
        for _ in 0..LOOKS {
            if provider.observe(&calm, self.whole()).await?.phase != JobPhase::Running {
                return Ok(());
            }
            wait(PAUSE).await;
        }
        let text = format!("it is under way after {LOOKS} looks still");
        Err(ProviderError::new(ErrorKind::Internal, "conformance", text))
    }
}

/// So many times it is looked whether a workspace is at rest, ten times a second: for ten minutes.
const LOOKS: u32 = 6_000;
const PAUSE: Duration = Duration::from_millis(100);
/// So long it is left alone before something is planned that starts from how it is.
const AT_REST: Duration = Duration::from_millis(50);

suite!(
    Provisioner,
    "provisioner",
    ProvisionerSandbox,
    acting,
    [
        case!(
            a_plan_changes_nothing,
            "planning changes nothing, tells what would come into being, and equal plans have equal digests"
        ),
        case!(
            what_is_applied_is_observed,
            "just the plan is carried out, and told once it is with the resources that are there"
        ),
        case!(
            an_old_plan_is_a_conflict,
            "`Conflict` for a plan of a workspace that changed since, with no effect; a new one has another digest"
        ),
        case!(
            what_others_changed_is_a_conflict,
            "`Conflict` for a plan of before other hands changed something, with no effect",
            |sandbox: &ProvisionerSandbox| {
                let unseen = (!sandbox.at.sees).then_some("plans that other hands make old");
                meddled_with(sandbox).or(unseen)
            }
        ),
        case!(
            what_is_destroyed_is_gone,
            "after it is destroyed nothing is left, also when asked again"
        ),
        case!(what_is_as_declared_has_no_drift, "no field is told that does not differ"),
        case!(
            drift_is_told_field_by_field,
            "every field that differs is told, and no other",
            meddled_with
        ),
    ]
);

fn meddled_with(sandbox: &ProvisionerSandbox) -> Option<&'static str> {
    sandbox.at.meddle.is_none().then_some("other hands that change something")
}

/// The provisioner, and what of it the suite may use.
pub fn sandbox(provider: Arc<dyn Provisioner>, at: Workspace) -> ProvisionerSandbox {
    let sandbox = ProviderSandbox::of(provider, at)
        .deed(
            "apply",
            |provider, cx, at| async move { text(at.applied(&provider, &cx).await) },
            |provider, cx, at, _| async move {
                // How far it is changes by itself; that it was accepted does not.
                let status = provider.observe(&cx, at.whole()).await?;
                let planned = *at.planned.lock().await;
                let is = planned.is_some() && status.applied == planned;
                text(Ok(is || status.phase == JobPhase::Running))
            },
        )
        .undone_by(|provider, cx, at| async move {
            at.rests(&provider, &cx).await?;
            at.destroyed(&provider, &cx).await?;
            wait(AT_REST).await;
            *at.planned.lock().await = None;
            text(at.planned(&provider, &cx).await)
        })
        .deed(
            "destroy",
            |provider, cx, at| async move { text(at.destroyed(&provider, &cx).await) },
            |provider, cx, at, _| async move {
                text(provider.observe(&cx, at.whole()).await.map(|status| status.resources))
            },
        )
        .undone_by(|provider, cx, at| async move {
            at.rests(&provider, &cx).await?;
            *at.planned.lock().await = None;
            text(at.applied(&provider, &cx).await)
        })
        .look("plan", true, |provider, cx, at| async move {
            text(provider.plan(&cx, at.change(0)).await)
        })
        .look("observe", false, |provider, cx, at| async move {
            text(provider.observe(&cx, at.whole()).await)
        })
        .look("drift", true, |provider, cx, at| async move {
            text(provider.drift(&cx, at.whole()).await)
        });
    refusing(sandbox)
}

/// What has to be refused.
fn refusing(sandbox: ProvisionerSandbox) -> ProvisionerSandbox {
    sandbox
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
            let digest = Digest::of(b"a plan that nobody made");
            text(provider.apply(&cx, ApplyPlan::new(at.name.clone(), digest)).await)
        })
        .refusal(
            "a plan of another workspace",
            ErrorKind::NotFound,
            |provider, cx, at| async move {
                let planning = keyed(cx.clone(), format!("{}/plan", cx.key));
                let plan = provider.plan(&planning, at.change(0)).await?;
                text(provider.apply(&cx, ApplyPlan::new(nobodys().workspace, plan.digest)).await)
            },
        )
        .refusal("what declares no resources", ErrorKind::Invalid, |provider, cx, at| async move {
            let request = PlanChange::new(at.name.clone(), Value::from("no object"));
            text(provider.plan(&cx, request).await)
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
    let created = one.changes.iter().filter(|one| one.change == ChangeAction::Create);
    let mut created: Vec<_> = created.map(|one| one.resource.clone()).collect();
    created.sort();
    let names = sandbox.at.names(0);
    if created != names || one.changes.len() != names.len() {
        let wanted = format!("{names:?} to come into being in an empty workspace");
        return Err(broken(wanted, format!("{one:?}")));
    }
    let other = planned(sandbox, 1).await?;
    if other.digest == one.digest {
        return Err(broken("another digest for another plan", one.digest));
    }
    stays(&before, &look_at(sandbox).await?)
}

async fn what_is_applied_is_observed(sandbox: &ProvisionerSandbox) -> Check {
    for which in [0, 1, 0] {
        let plan = planned(sandbox, which).await?;
        for _ in 0..2 {
            apply(sandbox, &plan).await?;
            let mut there = applied(sandbox, &plan).await?.resources;
            there.sort();
            if there != sandbox.at.names(which) {
                let wanted = format!("{:?}, as declared", sandbox.at.names(which));
                return Err(broken(wanted, format!("{there:?}")));
            }
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
    stays(&before, &look_at(sandbox).await?)?;
    // What is declared is the same, and what it starts from is not.
    let anew = planned(sandbox, 1).await?;
    if anew.digest == second.digest {
        return Err(broken("another digest for a plan of another state", anew.digest));
    }
    apply(sandbox, &anew).await?;
    applied(sandbox, &anew).await.map(drop)
}

async fn what_others_changed_is_a_conflict(sandbox: &ProvisionerSandbox) -> Check {
    let Some(meddle) = &sandbox.at.meddle else { return Ok(()) };
    let first = planned(sandbox, 0).await?;
    apply(sandbox, &first).await?;
    applied(sandbox, &first).await?;
    let old = planned(sandbox, 1).await?;
    meddle(()).await.map_err(|error| broken("other hands", error))?;
    let before = (look_at(sandbox).await?, drifted(sandbox).await?);
    let request = ApplyPlan::new(sandbox.at.name.clone(), old.digest);
    let answer = sandbox.provider.apply(&sandbox.context(), request).await;
    refused("a plan of before other hands came", answer, ErrorKind::Conflict)?;
    sandbox.linger().await;
    stays(&before, &(look_at(sandbox).await?, drifted(sandbox).await?))?;
    let anew = planned(sandbox, 1).await?;
    apply(sandbox, &anew).await?;
    applied(sandbox, &anew).await.map(drop)
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
