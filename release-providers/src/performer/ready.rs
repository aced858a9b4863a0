//! What comes before a version gets traffic: it is still as ready as it was seen to be.

use release_core::model::TrafficRules;
use release_core::plan::{Deployment, Weight};
use release_core::port::{AuthorizedCommand, EffectCertainty, MAX_HEALTH_AGE};

use super::{Call, FIRST_PAUSE, LOOKS};
use crate::spi::{CheckHealth, ObserveTraffic, SetWeights, TrafficRouter};
use crate::{ErrorKind, ProviderError};

const READY: &str = "ready";

impl Call<'_> {
    /// Looks whether whoever is about to get traffic is still as ready as the plan saw it last, right before: a run that was paused,
    /// frozen or without a permit since then goes on here, and so does a step that is retried by hand. One that is not is looked
    /// at a few times within a second or so.
    ///
    /// No share changes where too few are ready of a version that gets more by it than it has: that is an error, with no effect, which
    /// passes once they are. Nor does one where nobody can look, unless it is put back: what a rollback leaves is worse than what it
    /// was just seen to return to. Whoever gets less, as the router tells, may be as unready as it is.
    pub(super) async fn still_ready(
        &self,
        command: &AuthorizedCommand,
        router: &dyn TrafficRouter,
        wish: &SetWeights,
    ) -> Result<(), ProviderError> {
        #[cfg(planted_bugs)]
        if release_core::planted::is(release_core::planted::Bug::RunningIsReady)
            || release_core::planted::is(release_core::planted::Bug::NeverLook)
        {
            return Ok(());
        }
        for (deployment, min_ready) in command.looked_for() {
            let gets = Gets::of(&deployment, &wish.weights, wish.rules.as_ref());
            if gets == Gets::NOTHING {
                continue;
            }
            let Err(unready) = self.as_ready(&deployment, min_ready).await else { continue };
            // Seldom: who is as ready as it was needs no look at the router.
            let has = router.observe(&self.cx, ObserveTraffic::new(wish.target.clone())).await;
            let less = has.is_ok_and(|status| {
                gets.is_within(Gets::of(&deployment, &status.weights, status.rules.as_ref()))
            });
            if !less {
                return Err(unready);
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
            let now = self.registry.clock.now();
            // What is dated ahead, by more than clocks may differ, is of no more use than what is old.
            let age = now.since(report.observed_at).max(report.observed_at.since(now));
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

/// What a version gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gets<'a> {
    /// Its share of the traffic, in percent.
    share: u8,
    /// The rules, where headers or copies bring it requests by them.
    told: Option<&'a TrafficRules>,
}

impl<'a> Gets<'a> {
    const NOTHING: Self = Self { share: 0, told: None };

    fn of(deployment: &Deployment, weights: &[Weight], rules: Option<&'a TrafficRules>) -> Self {
        let (digest, track) = (deployment.artifact.digest(), &deployment.target.track);
        let its = |weight: &&Weight| weight.digest == digest && weight.track == *track;
        let shares = weights.iter().filter(its).map(|weight| weight.percent);
        let told =
            |rules: &&TrafficRules| track.is_none() && rules.targets().any(|to| to == digest);
        Self { share: shares.max().unwrap_or(0), told: rules.filter(told) }
    }

    /// Whether it is surely no more than `other`.
    fn is_within(self, other: Gets<'_>) -> bool {
        self.share <= other.share && (self.told.is_none() || self.told == other.told)
    }
}
