//! The suite of [`Scanner`].

use std::sync::Arc;

use release_core::model::{ArtifactRef, Digest};
use release_providers::spi::{JobPhase, JobRef, ScanReport, ScanStatus, Scanner, StartScan};
use release_providers::{Context, ErrorKind};
use serde_json::Value;

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, broken, case, stays, unanswered};

/// A scanner, and a scan of it that comes to its end.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type ScannerSandbox = ProviderSandbox<dyn Scanner, StartScan>;

suite!(
    Scanner,
    "scanner",
    ScannerSandbox,
    acting,
    [
        case!(
            a_scan_ends_with_its_report,
            "a scan that succeeded has a report of just that content, and then always the same"
        ),
        case!(counts_are_those_of_the_report, "the counts are those of the SARIF report"),
        case!(
            knowledge_is_dated,
            "the report says of when its knowledge is, which is not of the future"
        ),
        case!(
            what_is_over_stays_as_it_is,
            "one key is one scan: what is over is not begun anew when it is asked for again"
        ),
        case!(an_unused_key_is_unknown, "a key that was never used is `Unknown`, no error"),
    ]
);

/// The scanner, and a scan that finds something.
pub fn sandbox(provider: Arc<dyn Scanner>, scan: StartScan) -> ScannerSandbox {
    ProviderSandbox::of(provider, scan)
        .deed(
            "start",
            |provider, cx, at| async move { text(provider.start(&cx, (*at).clone()).await) },
            |provider, cx, _, key| async move {
                // How far it is changes by itself; that it is there does not.
                let answer = provider.observe(&cx, JobRef::new(key)).await;
                text(answer.map(|status| (status.operation, status.phase != JobPhase::Unknown)))
            },
        )
        .look("observe", true, |provider, cx, _| async move {
            text(provider.observe(&cx, JobRef::new("a scan that nobody started".into())).await)
        })
        .refusal("an unknown artifact", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = (*at).clone();
            let digest = Digest::of(b"content that nobody stored");
            request.artifact = ArtifactRef::new(request.artifact.name().clone(), digest);
            text(provider.start(&cx, request).await)
        })
}

async fn a_scan_ends_with_its_report(sandbox: &ScannerSandbox) -> Check {
    let cx = sandbox.context();
    start(sandbox, &cx).await?;
    let status = over(sandbox, &cx.key).await?;
    let digest = status.report.as_ref().map(|report| report.digest);
    let wanted = sandbox.at.artifact.digest();
    if status.phase != JobPhase::Succeeded || digest != Some(wanted) || status.operation != cx.key {
        return Err(broken(format!("a report of {wanted}"), format!("{status:?}")));
    }
    stays(&status, &look_at(sandbox, &cx.key).await?)
}

async fn counts_are_those_of_the_report(sandbox: &ScannerSandbox) -> Check {
    let report = report(sandbox).await?;
    let sarif: Value = serde_json::from_str(&report.sarif)
        .map_err(|error| broken("a SARIF log as JSON", error))?;
    let version = sarif.get("version").and_then(Value::as_str);
    if version != Some("2.1.0") {
        return Err(broken("SARIF 2.1.0", format!("version {version:?}")));
    }
    let list = |of: &Value, name: &str| of.get(name).and_then(Value::as_array).cloned();
    let runs = list(&sarif, "runs").unwrap_or_default();
    let results: Vec<_> = runs.iter().filter_map(|run| list(run, "results")).flatten().collect();
    let count = |level: &str| {
        // SARIF 2.1.0, section 3.27.10: without a level it is a warning.
        let is = |result: &&Value| {
            result.get("level").and_then(Value::as_str).unwrap_or("warning") == level
        };
        results.iter().filter(is).count()
    };
    let wanted = [count("error"), count("warning"), count("note")];
    let told = [report.errors, report.warnings, report.notes];
    let same = told.iter().zip(wanted).all(|(told, wanted)| usize::try_from(*told) == Ok(wanted));
    if same && !results.is_empty() {
        return Ok(());
    }
    Err(broken(format!("{wanted:?} errors, warnings and notes, some"), format!("{told:?}")))
}

async fn knowledge_is_dated(sandbox: &ScannerSandbox) -> Check {
    let known_until = report(sandbox).await?.known_until;
    let now = sandbox.now();
    if known_until <= now {
        return Ok(());
    }
    Err(broken(format!("knowledge of before {now}"), known_until))
}

async fn what_is_over_stays_as_it_is(sandbox: &ScannerSandbox) -> Check {
    let mut cx = sandbox.context();
    start(sandbox, &cx).await?;
    let first = over(sandbox, &cx.key).await?;
    cx.attempt = 2;
    start(sandbox, &cx).await?;
    stays(&first, &look_at(sandbox, &cx.key).await?)?;
    sandbox.linger().await;
    stays(&first, &look_at(sandbox, &cx.key).await?)
}

async fn an_unused_key_is_unknown(sandbox: &ScannerSandbox) -> Check {
    let status = look_at(sandbox, &sandbox.context().key).await?;
    if status.phase == JobPhase::Unknown && status.report.is_none() {
        return Ok(());
    }
    Err(broken("an unknown scan", format!("{status:?}")))
}

async fn start(sandbox: &ScannerSandbox, cx: &Context) -> Check {
    let answer = sandbox.provider.start(cx, (*sandbox.at).clone()).await;
    answer.map_err(|error| unanswered("a scan", &error))
}

async fn report(sandbox: &ScannerSandbox) -> Result<ScanReport, Broken> {
    let cx = sandbox.context();
    start(sandbox, &cx).await?;
    let status = over(sandbox, &cx.key).await?;
    let missing = || broken("a report", format!("it ended {:?} without one", status.phase));
    status.report.clone().ok_or_else(missing)
}

async fn over(sandbox: &ScannerSandbox, key: &str) -> Result<ScanStatus, Broken> {
    let end = sandbox.until(async || {
        let status = look_at(sandbox, key).await?;
        Ok(if status.phase.is_over() { Ok(status) } else { Err(status) })
    });
    end.await?.map_err(|status| broken("a scan that ends", format!("{status:?}")))
}

async fn look_at(sandbox: &ScannerSandbox, key: &str) -> Result<ScanStatus, Broken> {
    let request = JobRef::new(key.to_owned());
    let answer = sandbox.provider.observe(&sandbox.context(), request).await;
    answer.map_err(|error| unanswered("a look at the scan", &error))
}
