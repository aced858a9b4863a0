//! What a run verified.

use std::collections::BTreeSet;

use release_core::model::{Digest, Release, ReleaseId, ServiceId, Target};
use release_core::plan::{Action, FrozenPlan, Part, Plan};
use release_core::report::RunReport;
use release_core::run::Outcome;
use semver::Version;

use super::VerifiedSet;
use super::policy::brings;
use super::record::set_of;

/// Why a run verified no set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotVerified {
    /// It is not over.
    #[error("the run is not over; wait until it is, and make the report then")]
    Unfinished,
    /// It left parts behind.
    #[error(
        "the run succeeded without {}, so that nowhere all of the release was verified together; release what is missing first",
        told(.left)
    )]
    NotAll {
        /// What was left behind.
        left: Vec<Part>,
    },
    /// It did not succeed.
    #[error("the run {outcome}; only what succeeded was verified")]
    Ended {
        /// How it ended.
        outcome: Box<Outcome>,
    },
    /// The report is of another release.
    #[error(
        "the report is of release `{found}`, and not of `{release}`; take the one of that release's run"
    )]
    OtherRelease {
        /// The release.
        release: ReleaseId,
        /// Whose report it is.
        found: ReleaseId,
    },
    /// Nobody announced the release, so that nobody knows which versions are of it.
    #[error(
        "nobody announced release `{release}`, so that nothing says what its run verified; announce its definition before the run starts"
    )]
    Unannounced {
        /// The release.
        release: ReleaseId,
    },
    /// The report is of a run of another plan.
    #[error(
        "the report is of a run of plan {report}, and not of {plan}; take the plan that the journal has of that run"
    )]
    OtherPlan {
        /// The plan.
        plan: Digest,
        /// Which plan the report pins.
        report: Digest,
    },
    /// The plan brings a version that is not of the release.
    #[error(
        "the plan brings `{service}` {version}, which is not what the release says; take the release from which the plan was made"
    )]
    NotOfRelease {
        /// The service.
        service: ServiceId,
        /// In which version.
        version: Version,
    },
    /// The plan does not bring a version of the release.
    #[error(
        "the plan does not bring `{service}` {version}, as the release says; take the release from which the plan was made"
    )]
    NotBrought {
        /// The service.
        service: ServiceId,
        /// In which version.
        version: Version,
    },
    /// The release changes nothing.
    #[error(
        "the release changes nothing, so that its run verified nothing that was not there before; there is nothing to record"
    )]
    Nothing,
}

fn told(left: &[Part]) -> String {
    left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl VerifiedSet {
    /// What a run verified: all versions of its release, beside whatever else ran. Only a run that succeeded with all of it counts. The
    /// evidence is the hash of the last record of the run's journal, into which all records before it go.
    ///
    /// `plan` is the one that the run pins, as `Engine::load` has it. A report says by digest which plan that is, and only the plan says
    /// which artifacts were brought: so nobody can record other versions than ran.
    ///
    /// Versions verified together are verified for all environments that the run went through. Whoever holds that staging proves nothing for
    /// production keeps a record for each.
    ///
    /// # Errors
    /// [`NotVerified`] when the run did not succeed with all, when the report is of another release or plan, and when plan and release
    /// differ.
    pub fn of_run(
        release: &Release,
        plan: &FrozenPlan,
        report: &RunReport,
    ) -> Result<Self, NotVerified> {
        match &report.outcome {
            None => return Err(NotVerified::Unfinished),
            Some(Outcome::Succeeded) => {}
            Some(Outcome::SucceededWithout { left }) => {
                return Err(NotVerified::NotAll { left: left.clone() });
            }
            Some(outcome) => {
                return Err(NotVerified::Ended { outcome: Box::new(outcome.clone()) });
            }
        }
        let plan = pinned(release, plan, report)?;
        check(release, plan.plan())?;
        Ok(Self::of(set_of(&release.versions), report.head))
    }
}

/// The plan of a release by which the run went of which a report is.
pub(super) fn pinned(
    release: &Release,
    plan: &FrozenPlan,
    report: &RunReport,
) -> Result<FrozenPlan, NotVerified> {
    if report.release != release.id {
        let (release, found) = (release.id.clone(), report.release.clone());
        return Err(NotVerified::OtherRelease { release, found });
    }
    let later = || plan.later(report.plan);
    let same = (plan.digest() == report.plan).then(|| plan.clone());
    let other = || NotVerified::OtherPlan { plan: plan.digest(), report: report.plan };
    same.or_else(later).ok_or_else(other)
}

/// Whether a plan brings just what changes in a release.
fn check(release: &Release, plan: &Plan) -> Result<(), NotVerified> {
    let mut named = BTreeSet::new();
    for step in plan.steps() {
        if let Action::VerifyArtifact { artifact } = &step.action {
            named.insert(artifact.digest());
        }
        let Some((Target { service, .. }, versions)) = brings(&step.action) else { continue };
        for (digest, version) in versions {
            let is = |member: &release_core::model::Member| {
                member.artifact.digest() == digest && member.version == *version
            };
            let sets = [&release.versions, &release.previous];
            if !sets.into_iter().filter_map(|set| set.get(service)).any(is) {
                let (service, version) = (service.clone(), version.clone());
                return Err(NotVerified::NotOfRelease { service, version });
            }
            named.insert(digest);
        }
    }
    let mut changes = false;
    for (id, member) in &release.versions.members {
        let digest = member.artifact.digest();
        if release.previous.get(id).is_some_and(|before| before.artifact.digest() == digest) {
            continue;
        }
        changes = true;
        if !named.contains(&digest) {
            let (service, version) = (id.clone(), member.version.clone());
            return Err(NotVerified::NotBrought { service, version });
        }
    }
    if changes { Ok(()) } else { Err(NotVerified::Nothing) }
}
