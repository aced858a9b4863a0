//! A scanner that finds what it was told.

use std::collections::BTreeMap;

use release_core::model::Digest;
use release_providers::ProviderError;
use release_providers::spi::{JobPhase, JobRef, ScanReport, ScanStatus, StartScan};

use super::jobs::Jobs;
use super::script::other;
use super::{Asked, Fake, ScannerCall, model};

/// A [`Scanner`](release_providers::spi::Scanner) that finds what it was told.
pub type FakeScanner = Fake<ScannerCall, Scans>;

/// What a [`FakeScanner`] knows.
#[derive(Debug, Clone, Default)]
pub struct Scans {
    /// Its scans.
    pub jobs: Jobs<StartScan>,
    findings: BTreeMap<Digest, Vec<(String, String)>>,
}

impl Fake<ScannerCall, Scans> {
    /// A scanner that knows no artifact.
    pub fn new() -> Self {
        Self::of("fake-scanner", Scans::default())
    }

    /// The same, which knows content and its findings: rule and SARIF level (`error`, `warning`, `note`).
    #[must_use]
    pub fn content(self, digest: Digest, findings: &[(&str, &str)]) -> Self {
        let findings = findings.iter().map(|(rule, level)| ((*rule).into(), (*level).into()));
        self.with(|scans| scans.findings.insert(digest, findings.collect()));
        self
    }
}

impl Default for Fake<ScannerCall, Scans> {
    fn default() -> Self {
        Self::new()
    }
}

impl model::Scanner for Scans {
    fn start(&mut self, asked: &Asked<'_>, request: StartScan) -> Result<(), ProviderError> {
        let digest = request.artifact.digest();
        asked.found("artifact", &digest.to_string(), self.findings.get(&digest))?;
        self.jobs.start(asked, request);
        Ok(())
    }

    fn observe(&mut self, asked: &Asked<'_>, request: JobRef) -> Result<ScanStatus, ProviderError> {
        let (phase, job) = self.jobs.look(&request);
        let mut status = ScanStatus::new(request.operation, phase);
        if let Some(job) = job.filter(|_| status.phase == JobPhase::Succeeded) {
            let digest = job.request.artifact.digest();
            let findings = self.findings.get(&digest).map(Vec::as_slice).unwrap_or_default();
            let digest = if asked.lie { other(digest) } else { digest };
            status.report = Some(report(digest, asked, findings));
        }
        Ok(status)
    }
}

fn report(digest: Digest, asked: &Asked<'_>, findings: &[(String, String)]) -> ScanReport {
    let count = |level: &str| {
        u32::try_from(findings.iter().filter(|(_, is)| is == level).count()).unwrap_or(u32::MAX)
    };
    let result = |(rule, level): &(String, String)| serde_json::json!({ "ruleId": rule, "level": level, "message": { "text": rule } });
    let results: Vec<_> = findings.iter().map(result).collect();
    let sarif = serde_json::json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": { "name": "fake-scanner" } }, "results": results }],
    });
    let (errors, warnings, notes) = (count("error"), count("warning"), count("note"));
    ScanReport::new(digest, asked.now, errors, warnings, notes, sarif.to_string())
}
