//! What comes before a version gets traffic: it is still as ready as it was seen to be.

use release_core::model::TrafficRules;
use release_core::plan::{Deployment, Weight};
use release_core::port::{AuthorizedCommand, EffectCertainty, MAX_HEALTH_AGE};

use super::{Call, FIRST_PAUSE, LOOKS};
use crate::spi::CheckHealth;
use crate::{ErrorKind, ProviderError};

const READY: &str = "ready";

impl Call<'_> {
    /// Looks whether whoever is about to get traffic is still as ready as the plan saw it last, right before: a run that was paused,
    /// frozen or without a permit since then goes on here, and so does a step that is retried by hand. One that is not is looked
    /// at a few times within a second or so.
    ///
    /// No share changes where too few are ready: that is an error, with no effect, which passes once they are. Nor does one where nobody can
    /// look, unless it is put back: what a rollback leaves is worse than what it was just seen to return to.
    pub(super) async fn still_ready(
        &self,
        command: &AuthorizedCommand,
        weights: &[Weight],
        rules: Option<&TrafficRules>,
    ) -> Result<(), ProviderError> {
        #[cfg(planted_bugs)]
        if release_core::planted::is(release_core::planted::Bug::RunningIsReady)
            || release_core::planted::is(release_core::planted::Bug::NeverLook)
        {
            return Ok(());
        }
        for (deployment, min_ready) in command.looked_for() {
            if is_served(&deployment, weights, rules) {
                self.as_ready(&deployment, min_ready).await?;
            }
        }
        Ok(())
    }

    async fn as_ready(&self, deployment: &Deployment, min_ready: u32) -> Result<(), ProviderError> {
        let Deployment { target, artifact, version } = deployment;
        let Some(probe) = self.registry.probe_of(target) else { return Ok(()) };
        let say = |error: ProviderError| {
            error
                .with_effect(EffectCertainty::NotApplied)
                .with_context("target", target)
                .with_context("version", version)
        };
        let request = CheckHealth::new(target.clone(), artifact.digest());
        let (mut pause, mut look) = (FIRST_PAUSE, 1);
        loop {
            let report = match probe.check(&self.cx, request.clone()).await {
                Ok(report) => report,
                // On the way back, where nobody can look it is better to go: there is no good version that it would be kept from.
                Err(_) if self.rollback => return Ok(()),
                Err(error) => return Err(say(error)),
            };
            let age = self.registry.clock.now().since(report.observed_at);
            let tells = report.target == request.target
                && report.digest == request.digest
                && age <= MAX_HEALTH_AGE;
            let ready = report.instances.iter().filter(|one| tells && one.ready).count();
            let ready = u32::try_from(ready).unwrap_or(u32::MAX);
            if ready >= min_ready {
                return Ok(());
            }
            let missing = || {
                format!(
                    "{ready} of the {min_ready} instances that were ready are so now, and the traffic stays as it is; mend them, and retry"
                )
            };
            if look == LOOKS {
                return Err(say(ProviderError::new(ErrorKind::Unavailable, READY, missing())));
            }
            self.pause(&mut pause, READY, missing).await.map_err(say)?;
            look += 1;
        }
    }
}

/// Whether requests, or copies of them, are to go there.
fn is_served(deployment: &Deployment, weights: &[Weight], rules: Option<&TrafficRules>) -> bool {
    let (digest, track) = (deployment.artifact.digest(), &deployment.target.track);
    let mut shares = weights.iter().filter(|weight| weight.percent > 0);
    let told = rules.is_some_and(|rules| rules.targets().any(|to| to == digest));
    shares.any(|weight| weight.digest == digest && weight.track == *track)
        || (told && track.is_none())
}
