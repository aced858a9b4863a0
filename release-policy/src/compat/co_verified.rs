//! Sets that were verified together, as a policy of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use release_core::model::{Digest, EnvironmentId, OnCancel, RegionId, ServiceId, Target};
use release_core::plan::{Part, Plan};
use release_core::port::{Admission, CommandRequest, Decision, Inputs, Policy, Reason, ReasonKind};
use release_core::run::{Command, Phase, RunState};

use super::begun::Begun;
use super::policy::brings;
use super::record::{Announced, Recorded, digest_of, set_of};
use super::verified::told;
use super::{NotRecorded, VerifiedRecord};

/// The rule's name in reasons.
const RULE: &str = "compat/co-verified";

/// A policy that lets a run begin only where it can go back to a set that was verified together, and lets nobody make another one of it.
///
/// - A region begins only if what the release returns to ([`Release::previous`](release_core::model::Release::previous)) is just a set of
///   the record that was not gone back from. Asked is before each step that goes forward and starts instances of a version, or sends users
///   to one, as long as none such was started in its region: what is half done is not held, since nothing is gained by that. Rollbacks
///   never are, and neither is a release that brings a recorded set in place of one that was gone back from: that is a way back itself.
/// - A release that leaves things as they are when it is cancelled ([`OnCancel::Leave`]) does not begin at all.
/// - A service is left behind ([`Command::Descope`]) only if the rest is a recorded set, in each region that has it then: the new versions
///   of those that stay aboard, and of all that are left behind those from before. A region that is left behind as a whole has the set
///   from before, and that was asked for as it began.
///
/// So wherever the engine ends a run by itself, each region has all of the new set, or a set of the record. Of the record is also a set
/// that was gone back from: a release that is a way back itself may begin from it, and if that fails, the engine returns to its `previous`,
/// which is just that set. Whoever wants users on another one then begins another release. What people leave half done
/// ([`Command::Abandon`], [`Command::ForceAbandon`]), and steps whose failure only ends the run
/// ([`OnFailure::Fail`](release_core::plan::OnFailure::Fail)), nobody verified: [`NotVerified`](super::NotVerified) says so of such a run.
///
/// Where nothing ran before, there is nothing to return to. That is denied, since most of the time somebody forgot to say what runs; whoever
/// means it says so by [`first_deployments`](Self::first_deployments). Where sets are only being verified, this policy has no business:
/// name the environments that users get to with [`only_in`](Self::only_in).
///
/// It is meant for [`AllOf`](crate::AllOf), beside [`Compatible`](super::Compatible); a [`VerifiedRecord`] has the sets, and each decision
/// the digest of what was recorded then.
#[derive(Debug, Clone)]
pub struct CoVerified {
    record: VerifiedRecord,
    first_deployments: bool,
    /// None: everywhere.
    environments: BTreeSet<EnvironmentId>,
    begun: Arc<Begun>,
}

/// Environments with regions of them.
type Places = BTreeMap<EnvironmentId, BTreeSet<RegionId>>;

/// Why a run may not begin somewhere, or not leave a service behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotCoVerified {
    /// Nobody said how the run stands, so that nothing is known of it.
    #[error("nobody says of which run that is, so that nobody knows what it returns to")]
    NoRun,
    /// What the release brings and returns to is not known.
    #[error("nobody announced {}, so that nobody knows what it returns to", definition(.0.as_ref()))]
    Unannounced(Option<Digest>),
    /// The release leaves things as they are when it is cancelled.
    #[error("a cancel leaves what is half done as it is, and that nobody verified")]
    Leaves,
    /// What the release returns to is no recorded set.
    #[error(transparent)]
    Returns(#[from] NotRecorded),
    /// What stays of the release is no recorded set.
    #[error("without `{service}`, what stays in {} was not verified together: {}", places(.regions), short(.why))]
    Remainder {
        /// Who is to be left behind.
        service: ServiceId,
        /// Where the rest would stay.
        regions: BTreeMap<EnvironmentId, BTreeSet<RegionId>>,
        /// Why it is none; as `previous` it names what would stay.
        why: NotRecorded,
    },
}

fn definition(digest: Option<&Digest>) -> String {
    let of = |digest: &Digest| format!("the release of definition {}", digest.short());
    digest.map_or_else(|| "the release, whose plan names no definition".to_owned(), of)
}

fn places(places: &Places) -> String {
    let each = places.iter().map(|(environment, regions)| {
        let regions: Vec<_> = regions.iter().map(|region| format!("`{region}`")).collect();
        format!("{} of `{environment}`", regions.join(", "))
    });
    each.collect::<Vec<_>>().join(" and ")
}

/// Why versions are no recorded set, without what one does about it.
fn short(why: &NotRecorded) -> String {
    match why {
        NotRecorded::Nothing => "nothing stays".to_owned(),
        NotRecorded::NoSets => "nothing is recorded".to_owned(),
        NotRecorded::Abandoned { evidence } => {
            format!("it is the set proved by {}, which was gone back from", evidence.short())
        }
        NotRecorded::Differs { nearest, differing } => {
            format!("{}, proved by {}", told(differing), nearest.short())
        }
    }
}

impl NotCoVerified {
    /// The reason, with who can do what about it.
    fn reason(&self) -> Reason {
        let (kind, lifted_by) = match self {
            Self::NoRun => (ReasonKind::Missing, "whoever asks, with the run as it stands"),
            Self::Unannounced(_) => (
                ReasonKind::Missing,
                "the host of the engine, which announces the release's definition to the record",
            ),
            Self::Leaves => {
                (ReasonKind::Rule, "another release, with `on_cancel` set to roll back")
            }
            Self::Returns(NotRecorded::Nothing) => (
                ReasonKind::Rule,
                "another release, with what runs now as `previous`, or whoever sets up the policy to allow first deployments",
            ),
            Self::Returns(NotRecorded::Abandoned { .. }) => (
                ReasonKind::Rule,
                "another release, which returns to another set, or whoever verifies that set anew",
            ),
            Self::Returns(NotRecorded::NoSets | NotRecorded::Differs { .. }) => {
                (ReasonKind::Missing, "whoever verifies what the release returns to and records it")
            }
            Self::Remainder { why: NotRecorded::Abandoned { .. }, .. } => (
                ReasonKind::Rule,
                "whoever verifies what stays anew, or takes back all by a cancel",
            ),
            Self::Remainder { .. } => (
                ReasonKind::Missing,
                "whoever verifies what stays and records it, or takes back all by a cancel",
            ),
        };
        Reason::new(RULE, self.to_string(), lifted_by).kind(kind)
    }
}

impl CoVerified {
    /// By this record, in all environments, and not for first deployments.
    pub fn new(record: impl Into<VerifiedRecord>) -> Self {
        let (environments, begun) = (BTreeSet::new(), Arc::default());
        Self { record: record.into(), first_deployments: false, environments, begun }
    }

    /// Whether releases may begin that have nothing to return to, so that a rollback removes all of them. Not, unless this says so.
    #[must_use]
    pub const fn first_deployments(mut self, allowed: bool) -> Self {
        self.first_deployments = allowed;
        self
    }

    /// It concerns this environment, and others of which the same was said; no further ones.
    #[must_use]
    pub fn only_in(mut self, environment: EnvironmentId) -> Self {
        self.environments.insert(environment);
        self
    }

    fn concerns(&self, environment: &EnvironmentId) -> bool {
        self.environments.is_empty() || self.environments.contains(environment)
    }

    /// The release of a plan.
    fn release(&self, plan: &Plan) -> Result<Arc<Announced>, NotCoVerified> {
        let definition = plan.definition();
        let known = definition.and_then(|definition| self.record.announced(definition));
        known.ok_or(NotCoVerified::Unannounced(definition))
    }

    /// Whether a run may begin, by what it returns to. What the record says of a release that returns to none of its sets is found once.
    fn begins(&self, now: &Recorded, plan: &Plan) -> Result<(), Reason> {
        if plan.on_cancel() == OnCancel::Leave {
            return Err(NotCoVerified::Leaves.reason());
        }
        let known = self.release(plan).map_err(|why| why.reason())?;
        if now.holds(known.previous) {
            return Ok(());
        }
        let asked = (known.previous, known.versions, self.first_deployments);
        now.answer(asked, || self.returns(now, &known).map_err(|why| why.reason()))
    }

    /// What the record, the versions of a release from before and after, and the policy's own setting say alone.
    fn returns(&self, now: &Recorded, known: &Announced) -> Result<(), NotCoVerified> {
        match now.sets.returns(&known.release) {
            Ok(_) => Ok(()),
            Err(NotRecorded::Nothing) if self.first_deployments => Ok(()),
            // It is the way back itself.
            Err(NotRecorded::Abandoned { .. }) if now.holds(known.versions) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }

    /// Whether a run may leave a service behind, by what stays of its release.
    fn leaves(
        &self,
        now: &Recorded,
        state: &RunState,
        service: &ServiceId,
    ) -> Result<(), NotCoVerified> {
        let plan = state.plan().plan();
        let regions = self.staying(state);
        if regions.is_empty() {
            return Ok(());
        }
        let known = self.release(plan)?;
        let (mut then, before) = (set_of(&known.release.versions), set_of(&known.release.previous));
        let left = state.left_behind().filter_map(|part| match part {
            Part::Service { service } => Some(service),
            Part::Region { .. } => None,
        });
        for left in left.chain([service]) {
            match before.get(left) {
                Some(version) => then.insert(left.clone(), version.clone()),
                None => then.remove(left),
            };
        }
        if now.holds(digest_of(&then)) {
            return Ok(());
        }
        let remainder = |why| {
            let service = service.clone();
            NotCoVerified::Remainder { service, regions, why }
        };
        now.sets.find(&then).map(drop).map_err(remainder)
    }

    /// The regions that the rest of a release comes to: those that are not left behind.
    fn staying(&self, state: &RunState) -> Places {
        let mut all = Places::new();
        for step in state.plan().plan().steps() {
            let Some((target, _)) = brings(&step.action) else { continue };
            let Target { environment, region, .. } = target;
            let known = all.get(environment).is_some_and(|regions| regions.contains(region));
            if !known && self.concerns(environment) {
                all.entry(environment.clone()).or_default().insert(region.clone());
            }
        }
        for part in state.left_behind() {
            if let Part::Region { environment, region } = part
                && let Some(regions) = all.get_mut(environment)
            {
                regions.remove(region);
            }
        }
        all.retain(|_, regions| !regions.is_empty());
        all
    }
}

/// Whether a descope would change anything: whatever it is, the engine says what makes no sense.
fn is_new(state: &RunState, service: &ServiceId) -> bool {
    let part = Part::Service { service: service.clone() };
    *state.phase() == Phase::Forward
        && !state.left_behind().any(|left| *left == part)
        && state.plan().plan().steps().iter().any(|step| part.covers(step))
}

fn decision(now: &Recorded, answer: Result<(), Reason>) -> Decision {
    let decision = match answer {
        Ok(()) => Decision::permit(),
        Err(reason) => Decision::deny(vec![reason]),
    };
    decision.from_inputs(Inputs { facts: Some(now.digest), ..Inputs::default() })
}

impl Policy for CoVerified {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        let target = brings(&request.step.action).map(|(target, _)| target);
        let concerned = |target: &&Target| !request.rollback && self.concerns(&target.environment);
        let Some(target) = target.filter(concerned) else { return Decision::permit() };
        let now = self.record.now();
        let answer = match request.at {
            None => Err(NotCoVerified::NoRun.reason()),
            Some((state, _)) => match self.begins(&now, state.plan().plan()) {
                Err(_) if self.begun.has_begun(state, target) => Ok(()),
                answer => answer,
            },
        };
        decision(&now, answer)
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        let Command::Descope { service } = request.command else { return Decision::permit() };
        let now = self.record.now();
        let answer = match request.state {
            None => Err(NotCoVerified::NoRun),
            Some(state) if is_new(state, service) => self.leaves(&now, state, service),
            Some(_) => Ok(()),
        };
        decision(&now, answer.map_err(|why| why.reason()))
    }
}
