//! Work that is started, looked at, and may be cancelled.

use std::collections::BTreeMap;

use release_providers::spi::{JobPhase, JobRef};
use release_providers::{ErrorKind, ProviderError};

use super::Asked;

/// Work by the key that it was started under. It is done at the second look, unless somebody says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Jobs<R> {
    all: BTreeMap<String, Job<R>>,
    /// How many looks find it running.
    looks: u32,
}

/// One piece of work.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job<R> {
    pub(super) request: R,
    phase: JobPhase,
    looks: u32,
}

impl<R> Default for Jobs<R> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), looks: 1 }
    }
}

impl<R> Jobs<R> {
    /// So many looks find work running before it is done.
    pub const fn done_after(&mut self, looks: u32) {
        self.looks = looks;
    }

    /// What each key asked for, once each.
    pub fn started(&self) -> impl Iterator<Item = (&str, &R)> {
        self.all.iter().map(|(key, job)| (key.as_str(), &job.request))
    }

    /// Ends the work under a key like this, whatever it looks like; whether there is any.
    pub fn end(&mut self, key: &str, phase: JobPhase) -> bool {
        self.all.get_mut(key).map(|job| job.phase = phase).is_some()
    }

    pub(super) fn start(&mut self, asked: &Asked<'_>, request: R) {
        let looks = self.looks;
        let new = || Job { request, phase: JobPhase::Running, looks };
        self.all.entry(asked.key().to_owned()).or_insert_with(new);
    }

    /// How far it is, and what it is; nothing, if it was never started.
    pub(super) fn look(&mut self, at: &JobRef) -> (JobPhase, Option<&Job<R>>) {
        let Some(job) = self.all.get_mut(&at.operation) else { return (JobPhase::Unknown, None) };
        if job.phase == JobPhase::Running {
            match job.looks.checked_sub(1) {
                Some(left) => job.looks = left,
                None => job.phase = JobPhase::Succeeded,
            }
        }
        (job.phase.clone(), Some(job))
    }

    pub(super) fn cancel(&mut self, asked: &Asked<'_>, at: &JobRef) -> Result<(), ProviderError> {
        let job = self.all.get_mut(&at.operation).ok_or_else(|| {
            let error = asked.error(ErrorKind::NotFound, "nothing was started under this key");
            error.with_context("operation", &at.operation)
        })?;
        if !job.phase.is_over() {
            job.phase = JobPhase::Cancelled;
        }
        Ok(())
    }
}
