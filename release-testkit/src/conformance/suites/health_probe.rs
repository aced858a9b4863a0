//! The suite of [`HealthProbe`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use release_core::model::{Digest, Target};
use release_providers::ErrorKind;
use release_providers::spi::{CheckHealth, HealthProbe, HealthReport};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, Hook, HookError, broken, case, hook, unanswered};

/// A probe, and what of it the suite may use.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type HealthProbeSandbox = ProviderSandbox<dyn HealthProbe, Instances>;

/// Instances of one version that are ready.
#[derive(Clone)]
#[must_use]
pub struct Instances {
    target: Target,
    digest: Digest,
    count: usize,
    ready: Option<Hook<bool, ()>>,
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, digest, count, .. } = self;
        write!(f, "Instances({count} of {digest} in {target})")
    }
}

impl Instances {
    /// So many instances of `digest` run in `target`, and all are ready.
    pub const fn new(target: Target, digest: Digest, count: usize) -> Self {
        Self { target, digest, count, ready: None }
    }

    /// Makes one of them unready (`false`), or ready again. Without it `old_answers_are_not_reused` is skipped, and said
    /// to be.
    pub fn ready<F>(mut self, set: impl Fn(bool) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        self.ready = Some(hook(set));
        self
    }

    fn request(&self) -> CheckHealth {
        CheckHealth::new(self.target.clone(), self.digest)
    }
}

suite!(
    HealthProbe,
    "health_probe",
    HealthProbeSandbox,
    looking,
    [
        case!(
            every_instance_is_asked,
            "each instance answers once, under its name, for the version that was asked after"
        ),
        case!(what_runs_nowhere_has_no_instances, "a version that nobody runs has no instances"),
        case!(answers_are_dated, "an answer says when the instances were asked"),
        case!(
            old_answers_are_not_reused,
            "each instance is asked anew; one that is not ready is told, and no other, and no error",
            |sandbox: &HealthProbeSandbox| {
                sandbox.at.ready.is_none().then_some("instance that can be made unready")
            }
        ),
    ]
);

/// The probe, and instances that it may ask.
pub fn sandbox(provider: Arc<dyn HealthProbe>, instances: Instances) -> HealthProbeSandbox {
    ProviderSandbox::of(provider, instances)
        .look("check", true, |provider, cx, at| async move {
            // When they were asked is another time each time.
            let answer = provider.check(&cx, at.request()).await;
            text(answer.map(|report| (report.target, report.digest, report.instances)))
        })
        .refusal("an unknown target", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = at.request();
            request.target.service = crate::fixtures::literal("a-service-that-nobody-has");
            text(provider.check(&cx, request).await)
        })
}

async fn every_instance_is_asked(sandbox: &HealthProbeSandbox) -> Check {
    let Instances { target, digest, count, .. } = &*sandbox.at;
    let report = check(sandbox, sandbox.at.request()).await?;
    let names: BTreeSet<_> = report.instances.iter().map(|one| one.instance.as_str()).collect();
    let all_ready = report.instances.iter().all(|one| one.ready);
    if report.target != *target
        || report.digest != *digest
        || names.len() != *count
        || report.instances.len() != *count
        || !all_ready
    {
        let expected = format!("{count} instances of {digest} in {target}, all ready");
        return Err(broken(expected, format!("{report:?}")));
    }
    Ok(())
}

async fn what_runs_nowhere_has_no_instances(sandbox: &HealthProbeSandbox) -> Check {
    let mut request = sandbox.at.request();
    request.digest = Digest::of(b"a version that nobody runs");
    let report = check(sandbox, request.clone()).await?;
    if report.instances.is_empty() && report.digest == request.digest {
        return Ok(());
    }
    Err(broken(format!("no instances of {}", request.digest), format!("{report:?}")))
}

async fn answers_are_dated(sandbox: &HealthProbeSandbox) -> Check {
    let before = sandbox.now();
    let at = check(sandbox, sandbox.at.request()).await?.observed_at;
    let after = sandbox.now();
    if before <= at && at <= after {
        return Ok(());
    }
    Err(broken(format!("an answer of between {before} and {after}"), at))
}

async fn old_answers_are_not_reused(sandbox: &HealthProbeSandbox) -> Check {
    let Some(ready) = &sandbox.at.ready else { return Ok(()) };
    for wanted in [false, true] {
        ready(wanted).await.map_err(|error| broken("an instance to change", error))?;
        let report = check(sandbox, sandbox.at.request()).await?;
        let unready = report.instances.iter().filter(|one| !one.ready).count();
        if unready != usize::from(!wanted) || report.instances.len() != sandbox.at.count {
            let expected =
                if wanted { "all to be ready again" } else { "one to be unready, and no other" };
            return Err(broken(expected, format!("{report:?}")));
        }
    }
    Ok(())
}

async fn check(sandbox: &HealthProbeSandbox, request: CheckHealth) -> Result<HealthReport, Broken> {
    let answer = sandbox.provider.check(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("a check", &error))
}
