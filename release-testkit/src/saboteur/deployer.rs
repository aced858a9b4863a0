//! Deployers with one fault each.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use release_core::model::Digest;
use release_providers::spi::{
    ApplyRequest, Deployer, DeploymentPhase, DeploymentStatus, ObserveDeployment,
};
use release_providers::{Context, Description, ErrorKind, Fencing, ProviderError};

use super::{
    GivenUp, Late, STANDS, Token, dawdle, given_up, later, renamed, restless, stay_away, telling,
    trip_over, unsure,
};
use crate::conformance::deployer::DeployerSandbox;
use crate::fakes::{FakeDeployer, FakePlatform, World, credential, lock};

/// What a [`SabotagedDeployer`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeployerFault {
    /// Has another name each time it is asked.
    RenamesItself,
    /// Reports every wish as fulfilled and starts nothing.
    StartsNothing,
    /// Is always on the way.
    NeverSettles,
    /// Reports other content than runs.
    NamesOtherContent,
    /// Panics at every wish.
    Panics,
    /// Never answers a wish.
    Hangs,
    /// Starts instances when it is only asked to look.
    LookStarts,
    /// Replaces instances when it is only asked to look.
    LookRestarts,
    /// Starts as many again when the same is wished again.
    DoublesOnRepeat,
    /// Does so, and keeps it to itself.
    DoublesSecretly,
    /// Replaces all instances when the same is wished again.
    RestartsOnRepeat,
    /// Remembers a key as done before it has done anything.
    RemembersTooEarly,
    /// Starts instances before it stores that they are wished.
    StartsBeforeStoring,
    /// Acts on a wish long after its caller gave up.
    ActsLate,
    /// Stops everything else in the target.
    StopsOthers,
    /// Keeps one instance when none is wished.
    KeepsOne,
    /// Starts content that does not match its digest.
    StartsCorrupt,
    /// Calls wrong content an internal fault.
    CallsCorruptInternal,
    /// Starts content that does not exist.
    AcceptsUnknownArtifact,
    /// Calls what does not exist an internal fault.
    CallsUnknownInternal,
    /// Does not say that nothing happened when something does not exist.
    LeavesEffectOpen,
    /// Refuses an unknown artifact and stores the wish all the same.
    StoresRefusedWish,
    /// Deploys to targets that do not exist.
    AcceptsUnknownTarget,
    /// Starts as many as it can when more are wished.
    ClampsTooMany,
    /// Counts what runs, and starts the rest a little later.
    RacesApplies,
    /// Declares to fence and ignores the epoch.
    IgnoresEpoch,
    /// Fences and does not declare it.
    HidesFencing,
    /// Refuses a writer that was taken over when it has done what was asked.
    FencesTooLate,
    /// Takes all runs for one.
    FencesOtherRuns,
    /// Does what was cancelled.
    IgnoresCancellation,
    /// Says that nothing was done of what was cancelled on its way, and does it a little later.
    DoesLaterWhatWasCancelled,
    /// Does what is too late.
    IgnoresDeadline,
    /// Fails where a deadline is far away.
    TripsOverFarDeadlines,
    /// Does what was asked, and takes it back a little later.
    RevertsLater,
    /// Answers as before when it cannot be reached.
    AnswersFromMemory,
    /// Calls an outage an internal fault.
    CallsOutageInternal,
    /// Never comes back after an outage.
    StaysAway,
    /// Puts its credential into errors.
    TellsSecret,
    /// Passes over where instances are to stand, and takes the rest of the wish.
    DropsApart,
    /// Passes over what instances are to carry, and takes the rest of the wish.
    DropsCarried,
    /// Declares that it can keep instances apart, and refuses to.
    RefusesApart,
    /// Stops the instances of others, to have machines without any.
    ClearsMachines,
    /// Declares that it can change what instances carry, and refuses to.
    RefusesCarried,
    /// Replaces all instances to change what they carry.
    RestartsForCarried,
}

impl DeployerFault {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::RenamesItself,
        Self::StartsNothing,
        Self::NeverSettles,
        Self::NamesOtherContent,
        Self::Panics,
        Self::Hangs,
        Self::LookStarts,
        Self::LookRestarts,
        Self::DoublesOnRepeat,
        Self::DoublesSecretly,
        Self::RestartsOnRepeat,
        Self::RemembersTooEarly,
        Self::StartsBeforeStoring,
        Self::ActsLate,
        Self::StopsOthers,
        Self::KeepsOne,
        Self::StartsCorrupt,
        Self::CallsCorruptInternal,
        Self::AcceptsUnknownArtifact,
        Self::CallsUnknownInternal,
        Self::LeavesEffectOpen,
        Self::StoresRefusedWish,
        Self::AcceptsUnknownTarget,
        Self::ClampsTooMany,
        Self::RacesApplies,
        Self::IgnoresEpoch,
        Self::HidesFencing,
        Self::FencesTooLate,
        Self::FencesOtherRuns,
        Self::IgnoresCancellation,
        Self::DoesLaterWhatWasCancelled,
        Self::IgnoresDeadline,
        Self::TripsOverFarDeadlines,
        Self::RevertsLater,
        Self::AnswersFromMemory,
        Self::CallsOutageInternal,
        Self::StaysAway,
        Self::TellsSecret,
        Self::DropsApart,
        Self::DropsCarried,
        Self::RefusesApart,
        Self::ClearsMachines,
        Self::RefusesCarried,
        Self::RestartsForCarried,
    ];

    /// The cases that are meant to find it; others may find it too.
    pub const fn caught_by(self) -> &'static [&'static str] {
        match self {
            Self::RenamesItself => &["description_is_stable"],
            Self::StartsNothing
            | Self::NeverSettles
            | Self::NamesOtherContent
            | Self::Panics
            | Self::Hangs => &["applied_is_observed"],
            Self::LookStarts | Self::LookRestarts => &["observe_changes_nothing"],
            Self::DoublesOnRepeat => &["apply_is_idempotent"],
            Self::DoublesSecretly | Self::RestartsOnRepeat => {
                &["apply_is_idempotent", "instances_are_as_told"]
            }
            Self::RemembersTooEarly | Self::ActsLate => &["observe_after_lost_answer"],
            Self::StartsBeforeStoring => {
                &["observe_after_lost_answer", "concurrent_applies_converge"]
            }
            Self::StopsOthers => &["scale_down_keeps_others"],
            Self::KeepsOne => &["scale_to_zero_stops"],
            Self::StartsCorrupt | Self::CallsCorruptInternal => &["wrong_digest_is_refused"],
            Self::AcceptsUnknownArtifact | Self::StoresRefusedWish => {
                &["unknown_artifact_is_not_found"]
            }
            Self::CallsUnknownInternal | Self::LeavesEffectOpen => {
                &["unknown_artifact_is_not_found", "unknown_target_is_not_found"]
            }
            Self::AcceptsUnknownTarget => &["unknown_target_is_not_found"],
            Self::ClampsTooMany => &["too_many_is_invalid"],
            Self::RacesApplies => &["concurrent_applies_converge"],
            Self::IgnoresEpoch
            | Self::HidesFencing
            | Self::FencesTooLate
            | Self::FencesOtherRuns => &["stale_writers_are_fenced"],
            Self::IgnoresCancellation | Self::DoesLaterWhatWasCancelled => {
                &["cancelled_call_is_refused"]
            }
            Self::IgnoresDeadline => &["late_call_is_refused"],
            Self::TripsOverFarDeadlines => &["far_deadlines_change_nothing"],
            Self::RevertsLater => &["what_is_done_stays_done"],
            Self::AnswersFromMemory | Self::CallsOutageInternal | Self::StaysAway => {
                &["out_of_reach_is_unavailable"]
            }
            Self::TellsSecret => &["secrets_stay_secret"],
            Self::DropsApart | Self::DropsCarried => &["undeclared_wishes_are_refused"],
            Self::RefusesApart | Self::ClearsMachines => &["apart_is_taken_where_declared"],
            Self::RefusesCarried | Self::RestartsForCarried => {
                &["carried_is_changed_without_a_restart"]
            }
        }
    }

    const fn token(self) -> Token {
        match self {
            Self::IgnoresEpoch => Token::Ignored,
            Self::FencesOtherRuns => Token::OfOneRun,
            Self::IgnoresCancellation => Token::Uncancelled,
            Self::IgnoresDeadline => Token::Unhurried,
            _ => Token::Heeded,
        }
    }

    /// A sandbox with a deployer that has this fault.
    pub fn sandbox(self) -> DeployerSandbox {
        let platform = FakePlatform::new();
        let saboteur = Arc::new(SabotagedDeployer::new(self, &platform.world));
        platform.deployer_sandbox(saboteur)
    }
}

/// A [`FakeDeployer`] with one planted fault.
#[derive(Debug)]
pub struct SabotagedDeployer {
    fault: DeployerFault,
    world: World,
    honest: FakeDeployer,
    described: AtomicU32,
    done: Mutex<BTreeSet<String>>,
    late: Late<ApplyRequest>,
    was_away: AtomicBool,
}

impl SabotagedDeployer {
    /// A deployer in `world` that has `fault`.
    pub fn new(fault: DeployerFault, world: &World) -> Self {
        Self {
            fault,
            world: world.clone(),
            honest: FakeDeployer::of(world).able(|can| {
                can.anti_affinity = fault == DeployerFault::ClearsMachines;
                can.metadata = fault == DeployerFault::RestartsForCarried;
            }),
            described: AtomicU32::new(0),
            done: Mutex::default(),
            late: Late::default(),
            was_away: AtomicBool::new(false),
        }
    }

    fn desired(&self, wish: &ApplyRequest) -> Option<u32> {
        self.world.desired(&wish.target, wish.artifact.digest())
    }

    fn running(&self, wish: &ApplyRequest) -> u32 {
        let instances = self.world.instances(&wish.target, wish.artifact.digest());
        u32::try_from(instances.len()).unwrap_or(u32::MAX)
    }

    /// Faults that do something to instances before an honest deployer takes the wish.
    fn disturb(&self, wish: &ApplyRequest, repeated: bool) {
        let (world, target, digest) = (&self.world, &wish.target, wish.artifact.digest());
        let (restarts, stops_others) = match self.fault {
            DeployerFault::RestartsOnRepeat => (repeated, false),
            DeployerFault::RestartsForCarried => (repeated && wish.metadata.is_some(), false),
            DeployerFault::StopsOthers => (false, true),
            DeployerFault::ClearsMachines => (false, wish.apart.is_some()),
            _ => (false, false),
        };
        if restarts {
            world.restart(target, digest);
        }
        if stops_others {
            for other in world.others(target, digest) {
                world.force(target, other, 0);
            }
        }
    }

    /// Faults that do something wrong with a wish that an honest deployer takes.
    async fn mishandle(&self, cx: &Context, wish: ApplyRequest) -> Result<(), ProviderError> {
        let ApplyRequest { target, artifact, replicas, .. } = wish.clone();
        let (world, digest) = (&self.world, artifact.digest());
        let repeated = self.desired(&wish) == Some(replicas) && self.running(&wish) > 0;
        self.disturb(&wish, repeated);
        match self.fault {
            DeployerFault::StartsNothing | DeployerFault::NeverSettles => {
                world.store_wish(&target, digest, replicas);
                return Ok(());
            }
            DeployerFault::Panics => panic(),
            DeployerFault::Hangs => std::future::pending().await,
            DeployerFault::DoublesOnRepeat | DeployerFault::DoublesSecretly if repeated => {
                world.start_more(&target, digest, replicas);
                return Ok(());
            }
            DeployerFault::RemembersTooEarly => {
                if !lock(&self.done).insert(cx.key.clone()) {
                    return Ok(());
                }
                dawdle().await;
            }
            DeployerFault::StartsBeforeStoring => {
                let more = replicas.saturating_sub(self.desired(&wish).unwrap_or(0));
                world.start_more(&target, digest, more);
                dawdle().await;
                world.store_wish(&target, digest, replicas);
                return Ok(());
            }
            DeployerFault::RacesApplies => {
                let more = replicas.saturating_sub(self.running(&wish));
                dawdle().await;
                world.start_more(&target, digest, more);
                world.store_wish(&target, digest, replicas);
                return Ok(());
            }
            DeployerFault::ActsLate => {
                let mut given_up = GivenUp(&self.late, Some(wish.clone()));
                dawdle().await;
                given_up.1 = None;
            }
            DeployerFault::DoesLaterWhatWasCancelled => {
                dawdle().await;
                if cx.cancellation.is_cancelled() {
                    let world = world.clone();
                    later(STANDS, async move { world.force(&target, digest, replicas) });
                    return Err(given_up("deploy.apply"));
                }
            }
            DeployerFault::RevertsLater => {
                let (world, before) = (world.clone(), self.desired(&wish).unwrap_or(0));
                self.honest.apply(cx, wish).await?;
                later(STANDS, async move { world.force(&target, digest, before) });
                return Ok(());
            }
            DeployerFault::KeepsOne if replicas == 0 => {
                world.force(&target, digest, 1);
                world.store_wish(&target, digest, 0);
                return Ok(());
            }
            _ => {}
        }
        self.honest.apply(cx, wish).await
    }

    /// Faults that do something wrong with a wish that an honest deployer refuses.
    fn accept(&self, wish: &ApplyRequest, error: ProviderError) -> Result<(), ProviderError> {
        let ApplyRequest { target, artifact, replicas, .. } = wish;
        let digest = artifact.digest();
        let no_target = error.kind() == ErrorKind::NotFound && error.context("target").is_some();
        let no_artifact = error.kind() == ErrorKind::NotFound && !no_target;
        let wrong = error.kind() == ErrorKind::Corrupt;
        match self.fault {
            DeployerFault::StartsCorrupt if wrong => {}
            DeployerFault::CallsCorruptInternal if wrong => {
                return Err(renamed(&error, ErrorKind::Internal));
            }
            DeployerFault::AcceptsUnknownArtifact if no_artifact => {}
            DeployerFault::AcceptsUnknownTarget if no_target => {}
            DeployerFault::CallsUnknownInternal if no_artifact || no_target => {
                return Err(renamed(&error, ErrorKind::Internal));
            }
            DeployerFault::LeavesEffectOpen if no_artifact || no_target => {
                return Err(unsure(error));
            }
            DeployerFault::StoresRefusedWish if no_artifact => {
                self.world.store_wish(target, digest, *replicas);
                return Err(error);
            }
            DeployerFault::TellsSecret => return Err(telling(&error, &credential())),
            _ => return Err(error),
        }
        self.world.force(target, digest, *replicas);
        Ok(())
    }

    /// Faults of when the world is out of reach.
    fn outage(&self, error: ProviderError) -> Result<(), ProviderError> {
        self.was_away.store(true, Ordering::Relaxed);
        match self.fault {
            DeployerFault::AnswersFromMemory => Ok(()),
            DeployerFault::CallsOutageInternal => Err(renamed(&error, ErrorKind::Internal)),
            _ => Err(error),
        }
    }

    fn look(&self, request: &ObserveDeployment) {
        let ObserveDeployment { target, digest, .. } = request;
        if let Some(late) = self.late.take() {
            self.world.force(&late.target, late.artifact.digest(), late.replicas);
        }
        let unwished = self.world.desired(target, *digest).is_none();
        match self.fault {
            DeployerFault::LookStarts if unwished => self.world.force(target, *digest, 1),
            DeployerFault::LookRestarts if !unwished => self.world.restart(target, *digest),
            _ => {}
        }
    }
}

#[expect(clippy::panic, reason = "this is the fault")]
fn panic() -> ! {
    panic!("sabotaged")
}

#[async_trait]
impl Deployer for SabotagedDeployer {
    fn describe(&self) -> Description {
        let mut description = self.honest.describe();
        let can = &mut description.abilities.deployer;
        match self.fault {
            DeployerFault::HidesFencing => can.fencing = Fencing::None,
            DeployerFault::RefusesApart => can.anti_affinity = true,
            DeployerFault::RefusesCarried => can.metadata = true,
            _ => {}
        }
        if self.fault == DeployerFault::RenamesItself {
            return restless(description, self.described.fetch_add(1, Ordering::Relaxed));
        }
        description
    }

    async fn apply(&self, cx: &Context, mut request: ApplyRequest) -> Result<(), ProviderError> {
        match self.fault {
            DeployerFault::ClampsTooMany => request.replicas = request.replicas.min(3),
            DeployerFault::DropsApart => request.apart = None,
            DeployerFault::DropsCarried => request.metadata = None,
            _ => {}
        }
        if self.fault == DeployerFault::TripsOverFarDeadlines {
            trip_over(cx, "deploy.apply")?;
        }
        let cx = self.fault.token().of(cx);
        if self.fault == DeployerFault::StaysAway {
            stay_away(&self.was_away, "deploy.apply")?;
        }
        if let Err(error) = self.honest.fence(&cx) {
            if self.fault == DeployerFault::FencesTooLate {
                self.world.force(&request.target, request.artifact.digest(), request.replicas);
            }
            return Err(error);
        }
        // Whatever is wrong, an honest deployer's refusals come first.
        match self.honest.check(&request) {
            Ok(()) => self.mishandle(&cx, request).await,
            Err(error) => self.accept(&request, error),
        }
    }

    async fn observe(
        &self,
        cx: &Context,
        request: ObserveDeployment,
    ) -> Result<DeploymentStatus, ProviderError> {
        match self.honest.heed(&self.fault.token().of(cx), "deploy.observe") {
            Err(error) if error.kind() == ErrorKind::Unavailable => self.outage(error)?,
            heeded => heeded?,
        }
        if self.fault == DeployerFault::StaysAway {
            stay_away(&self.was_away, "deploy.observe")?;
        }
        self.look(&request);
        let (target, digest) = (request.target.clone(), request.digest);
        let observed = self.honest.observe_as_it_is(&request);
        let mut status = match observed {
            Err(error) if self.fault == DeployerFault::CallsUnknownInternal => {
                return Err(renamed(&error, ErrorKind::Internal));
            }
            other => other?,
        };
        match self.fault {
            DeployerFault::StartsNothing | DeployerFault::DoublesSecretly => {
                status.running = self.world.desired(&target, digest).unwrap_or(0);
            }
            DeployerFault::NeverSettles => status.phase = DeploymentPhase::Progressing,
            DeployerFault::NamesOtherContent => status.digest = Digest::of(b"something else"),
            _ => {}
        }
        Ok(status)
    }
}
