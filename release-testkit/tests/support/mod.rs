//! A small performer over the fakes; the real one is the registry of `release-providers`.

use async_trait::async_trait;
use release_core::plan::{Action, Plan};
use release_core::port::{
    AuthorizedCommand, BindingError, EffectError, Evidence, Observed, Performer,
};
use release_providers::spi::*;
use release_providers::{Context, ProviderError};
use release_testkit::fakes::FakePlatform;

#[derive(Debug)]
pub(crate) struct OverFakes(pub(crate) FakePlatform);

impl OverFakes {
    async fn act(&self, command: &AuthorizedCommand) -> Result<Evidence, ProviderError> {
        let (cx, platform) = (Context::of(command), &self.0);
        match command.step().action.clone() {
            Action::VerifyArtifact { artifact } => {
                let found = platform.artifacts.verify(&cx, artifact).await?;
                Ok(Evidence::Artifact { digest: found.digest, bytes: found.bytes })
            }
            Action::Scale { deployment, replicas, .. } => {
                let target = deployment.target.clone();
                let digest = deployment.artifact.digest();
                let wish = ApplyRequest::new(
                    target.clone(),
                    deployment.artifact.clone(),
                    deployment.version.clone(),
                    replicas,
                );
                platform.deployer.apply(&cx, wish).await?;
                let request = ObserveDeployment::new(target, digest);
                let status = platform.deployer.observe(&cx, request).await?;
                let (target, digest) = (status.target, status.digest);
                Ok(Evidence::Instances { target, digest, running: status.running })
            }
            Action::Probe { deployment, .. } => {
                let request =
                    CheckHealth::new(deployment.target.clone(), deployment.artifact.digest());
                let report = platform.health.check(&cx, request).await?;
                let (mut ready, mut unready) = (0, Vec::new());
                for one in report.instances {
                    if one.ready {
                        ready += 1;
                    } else {
                        unready.push(one.detail);
                    }
                }
                let (target, digest) = (report.target, report.digest);
                let observed_at = Some(report.observed_at);
                Ok(Evidence::Health { target, digest, ready, unready, observed_at })
            }
            Action::Route { target, weights, rules } => {
                let wish = SetWeights::new(target.clone(), weights).by(rules.map(|rules| *rules));
                platform.router.set_weights(&cx, wish).await?;
                let status = platform.router.observe(&cx, ObserveTraffic::new(target)).await?;
                let (target, weights) = (status.target, status.weights);
                let rules = status.rules.map(Box::new);
                Ok(Evidence::Weights { target, weights, served: status.served, rules })
            }
            Action::Confirm { target, .. } => {
                let status = platform.router.observe(&cx, ObserveTraffic::new(target)).await?;
                let (target, weights) = (status.target, status.weights);
                let rules = status.rules.map(Box::new);
                Ok(Evidence::Weights { target, weights, served: status.served, rules })
            }
            Action::Analyze { deployment, analysis, .. } => {
                let request = MeasureRequest::new(
                    deployment.target.clone(),
                    deployment.artifact.digest(),
                    deployment.version.clone(),
                    analysis.metric.clone(),
                    release_core::time::Timestamp::default(), // these fakes need no window
                );
                Ok(Evidence::Measurement(platform.metrics.measure(&cx, request).await?))
            }
            Action::Notify { channel, message } => {
                let notification = Notification::new(channel, Severity::Info, message);
                platform.notifier.notify(&cx, notification).await?;
                Ok(Evidence::Done)
            }
            _ => Ok(Evidence::Done),
        }
    }
}

#[async_trait]
impl Performer for OverFakes {
    fn check(&self, _: &Plan) -> Result<(), Vec<BindingError>> {
        Ok(())
    }

    async fn perform(&self, command: &AuthorizedCommand) -> Result<Evidence, EffectError> {
        self.act(command).await.map_err(ProviderError::into_effect_error)
    }

    async fn observe(&self, _: &AuthorizedCommand) -> Result<Observed, EffectError> {
        Ok(Observed::NotApplied) // all fakes are idempotent
    }
}
