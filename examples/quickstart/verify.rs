//! What has to hold; each returns a line for people, or why it does not hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use release_core::model::{Digest, Target};
use release_core::report::RunReport;
use release_core::run::{Cause, Outcome};
use release_providers::local::{EffectChange, effects};
use release_providers::spi::{ObserveTraffic, TrafficRouter as _};

use crate::Failure;
use crate::load::Count;
use crate::stage::Stage;
use crate::train::{ERROR_RATE, REGIONS, SERVICES, Versions};

/// How many instances of each service a target has, in the order of [`SERVICES`].
const REPLICAS: [usize; 3] = [1, 2, 1];

pub(crate) fn succeeded(report: &RunReport) -> Result<(), Failure> {
    match &report.outcome {
        Some(Outcome::Succeeded) => Ok(()),
        other => Err(format!("run {} should have succeeded, but: {other:?}", report.run).into()),
    }
}

/// The canary's metrics, and nothing else, took the release back.
pub(crate) fn rolled_back(report: &RunReport) -> Result<(), Failure> {
    if let Some(Outcome::RolledBack { cause: Cause::StepFailed { step, message, .. } }) =
        &report.outcome
        && step.id.as_str().contains("/payments/")
        && step.id.as_str().ends_with(ERROR_RATE)
    {
        crate::say(&format!("rolled back, because {message}"));
        return Ok(());
    }
    Err(format!("run {} should have been rolled back, but: {:?}", report.run, report.outcome)
        .into())
}

/// All of production's traffic goes to these versions.
pub(crate) async fn serves(
    stage: &Stage,
    versions: &Versions,
    wanted: &[(&'static str, &'static str)],
) -> Result<(), Failure> {
    for region in REGIONS {
        for (service, version) in wanted {
            let target = Target::new("production".parse()?, region.parse()?, service.parse()?);
            let status = stage
                .platform
                .observe(&stage.context("verify")?, ObserveTraffic::new(target.clone()))
                .await?;
            let artifact =
                versions.get(&(*service, *version)).ok_or("a version that was not built")?;
            let only =
                status.weights.iter().all(|w| w.digest == artifact.digest() && w.percent == 100);
            if !only || status.weights.len() != 1 {
                return Err(format!(
                    "{target} should serve {version} alone, but: {:?}",
                    status.weights
                )
                .into());
            }
        }
    }
    Ok(())
}

/// Every request was answered, by a service, and well, but for those of the version that is bad.
pub(crate) fn nothing_lost(when: &str, count: &Count) -> Result<String, Failure> {
    if let Some(first) = count.lost.first() {
        return Err(
            format!("{when}: {} requests were lost, the first: {first}", count.lost.len()).into()
        );
    }
    let failed = count.of(|_, version, status| version != "3.0.0" && status != 200);
    if failed > 0 {
        return Err(format!("{when}: {failed} requests to good versions failed").into());
    }
    if count.requests() == 0 {
        return Err(format!("{when}: there was no load, so nothing was shown").into());
    }
    Ok(format!("{when}: {} requests, none lost to the switching", count.requests()))
}

/// No step was blindly performed again, and no effect was brought about twice, by two witnesses that
/// know nothing of the journal: each instance leaves a log file behind, also those that a killed
/// process had started, and the platform's own log has every change under the key that asked for it.
pub(crate) fn nothing_twice(
    dir: &Path,
    versions: &Versions,
    report: &RunReport,
) -> Result<String, Failure> {
    let repeated: Vec<_> = report.repeated().iter().map(|step| step.id.clone()).collect();
    if !repeated.is_empty() {
        return Err(format!("these steps were blindly performed again: {repeated:?}").into());
    }
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(dir.join("platform/logs"))? {
        let entry = entry?;
        // One that never ran has said nothing.
        if entry.metadata()?.len() > 0 {
            logs.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    let died = died(dir)?;
    let mut started = BTreeMap::new();
    for (service, replicas) in SERVICES.into_iter().zip(REPLICAS) {
        for version in ["1.0.0", "2.0.0"] {
            let artifact =
                versions.get(&(service, version)).ok_or("a version that was not built")?;
            let prefix = format!("{service}-{}", artifact.digest().short());
            let count = logs.iter().filter(|log| log.starts_with(&prefix)).count();
            // And staging; and one more for each that ended by itself, say because somebody else had
            // snatched its port before it came to listen.
            let again = died.iter().filter(|instance| instance.starts_with(&prefix)).count();
            let wanted = replicas * (REGIONS.len() + 1) + again;
            if count != wanted {
                return Err(format!(
                    "{wanted} instances of {service} {version} were wanted, {count} were started"
                )
                .into());
            }
            started.insert((service.to_owned(), artifact.digest()), count);
        }
    }
    let (keys, lines) = no_key_twice(dir, &started)?;
    Ok(format!(
        "{}: {} steps, none performed again blindly; {} instances, none started twice: {keys} keys brought about {lines} changes, each once",
        report.run,
        report.steps.len(),
        started.values().sum::<usize>(),
    ))
}

/// The instances that ended by themselves; the platform rightly started others in their places.
fn died(dir: &Path) -> Result<BTreeSet<String>, Failure> {
    let log = effects(dir.join("platform"))?.into_iter();
    Ok(log
        .filter_map(|line| match line.change {
            EffectChange::Died { instance } => Some(instance),
            _ => None,
        })
        .collect())
}

/// What was done under one idempotency key.
#[derive(Default)]
struct Done {
    started: BTreeSet<(Target, Digest, String)>,
    died: usize,
    weights: usize,
}

/// No key started more than its step wished for, none set shares twice, no instance was started under
/// two keys, and as many instances were started as left a log file. Returns how many keys and changes
/// there were.
fn no_key_twice(
    dir: &Path,
    logs: &BTreeMap<(String, Digest), usize>,
) -> Result<(usize, usize), Failure> {
    let log = effects(dir.join("platform"))?;
    let (mut by_key, mut by_content) = (BTreeMap::<_, Done>::new(), BTreeMap::new());
    for line in &log {
        let done = by_key.entry(&line.key).or_default();
        match &line.change {
            EffectChange::Started { instance, digest } => {
                let started = (line.target.clone(), *digest, instance.clone());
                if done.started.insert(started) {
                    let content = (line.target.service.to_string(), *digest);
                    *by_content.entry(content).or_default() += 1;
                }
            }
            EffectChange::Died { .. } => done.died += 1,
            EffectChange::Weights { .. } => done.weights += 1,
            _ => {}
        }
    }
    for (key, done) in &by_key {
        let wished = done.started.first().map_or(0, |(target, ..)| replicas(target));
        if done.started.len() > wished + done.died || done.weights > 1 {
            let (all, weights) = (&done.started, done.weights);
            return Err(format!(
                "`{key}` started {all:?}, wished were {wished}; it set shares {weights} times"
            )
            .into());
        }
    }
    if by_content != *logs {
        return Err(format!("log files tell of {logs:?}, the platform of {by_content:?}").into());
    }
    Ok((by_key.len(), log.len()))
}

/// How many instances of a service a target has.
fn replicas(target: &Target) -> usize {
    let known = SERVICES.into_iter().zip(REPLICAS);
    known.filter(|(service, _)| target.service.as_str() == *service).map(|(_, count)| count).sum()
}

/// The bad version was noticed by few.
pub(crate) fn bad_version_seen_little(before: &Count, after: &Count) -> Result<String, Failure> {
    let bad = after.of(|_, version, _| version == "3.0.0");
    let errors = after.of(|_, version, status| version == "3.0.0" && status == 500);
    let all = after.requests() - before.requests();
    if bad == 0 || errors == 0 {
        return Err("the bad version got no traffic, so nothing was shown".into());
    }
    if bad * 10 > all {
        return Err(format!("{bad} of {all} requests saw the bad version; that is too many").into());
    }
    Ok(format!(
        "(b): {bad} of {all} requests saw the bad version, {errors} of them failed, then the set was back"
    ))
}

/// Checks that the page shows when judges decided, and that one of them found harm where there was some.
pub(crate) fn plotted(page: &str, harm: bool) -> Result<(), Failure> {
    let decided = page.matches("class=\"decided ").count();
    let bad = page.matches("class=\"decided bad\"").count();
    if decided == 0 || (harm && bad == 0) {
        let text = format!("{decided} decisions are plotted, {bad} of them of a bad version");
        return Err(text.into());
    }
    Ok(())
}
