//! The record of sets that policies decide by, while runs add to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use release_core::model::{Definition, Digest, Release, VersionSet};
use release_core::plan::{FrozenPlan, Plan};
use release_core::port::Reason;
use release_core::report::RunReport;
use release_core::run::{Cause, Outcome, Status};

use super::evidence::pinned;
use super::policy::brings;
use super::{EmptySet, NotVerified, VerifiedSet, VerifiedSets, Versions};
use crate::canonical::Canonical;

/// Of how many releases a [`VerifiedRecord`] knows what they bring and return to, the last ones.
pub const MOST_RELEASES: usize = 1_000;
/// Of how many releases it is kept what a record says of them.
const MOST_ANSWERS: usize = 64;

/// The record in force: what [`CoVerified`](super::CoVerified) decides by, and what runs that end well add to. Cheap to clone; all clones
/// are one.
///
/// A host announces a release before it starts its run ([`announce`](Self::announce)): a plan says only what changes, and not beside what.
/// Once the run is over, one line records what it verified, or that it was gone back from ([`ended`](Self::ended)). [`sets`](Self::sets)
/// is what a host stores, and begins with again ([`new`](Self::new)).
///
/// Each decision is by one record as a whole, whatever is recorded meanwhile, and has the digest of that one
/// ([`Inputs::facts`](release_core::port::Inputs::facts)). A step that was denied for what is not recorded is asked for again within 30 s,
/// or at once if the host calls `RunHandle::reconsider` after it has recorded it.
///
/// Versions that a run verified count wherever this record is asked. Whoever holds that staging proves nothing for production keeps a
/// record for each.
///
/// ```no_run
/// # use release_core::engine::{Engine, EngineError};
/// # use release_core::model::{Definition, RunId};
/// # use release_core::plan::FrozenPlan;
/// # use release_core::report::RunReport;
/// use release_policy::AllOf;
/// use release_policy::compat::{CoVerified, VerifiedRecord, VerifiedSets};
///
/// # fn host(stored: VerifiedSets, definition: Definition, plan: FrozenPlan, report: RunReport) {
/// let record = VerifiedRecord::new(stored);
/// let policy = AllOf::new().and(CoVerified::new(record.clone())); // for the engine
///
/// record.announce(&definition); // before its run is started
/// // … and once that is over, by the report of its records:
/// let learned = record.ended(&plan, &report);
/// # drop((policy, learned));
/// # }
/// ```
#[derive(Clone, Default)]
pub struct VerifiedRecord(Arc<RwLock<Kept>>);

#[derive(Default)]
struct Kept {
    record: Recorded,
    /// By the digest of their definition.
    releases: BTreeMap<Digest, Arc<Announced>>,
    /// The one that was announced first is the first to make room.
    order: VecDeque<Digest>,
}

/// The sets, with what is looked for among them, taken once.
#[derive(Clone)]
pub(super) struct Recorded {
    pub(super) sets: Arc<VerifiedSets>,
    /// Those that were not gone back from, by their versions.
    open: Arc<BTreeSet<Digest>>,
    pub(super) digest: Digest,
    /// What was said by it of releases: it goes with the record.
    answers: Arc<Mutex<BTreeMap<Asked, Result<(), Reason>>>>,
}

/// What a release returns to and brings, by digest, and whether it may have nothing to return to.
pub(super) type Asked = (Digest, Digest, bool);

impl Default for Recorded {
    fn default() -> Self {
        Self::new(VerifiedSets::default())
    }
}

impl Recorded {
    fn new(sets: VerifiedSets) -> Self {
        let open = sets.open().map(|set| digest_of(&set.versions)).collect();
        let (digest, answers) = (digest(&sets), Arc::default());
        Self { digest, open: Arc::new(open), sets: Arc::new(sets), answers }
    }

    /// An answer that follows from this record and from `asked` alone: it is found once, and kept of a few.
    pub(super) fn answer(
        &self,
        asked: Asked,
        find: impl FnOnce() -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = answers.get(&asked) {
            return known.clone();
        }
        let found = find();
        if answers.len() >= MOST_ANSWERS {
            answers.pop_first();
        }
        answers.insert(asked, found.clone());
        found
    }

    /// Whether just these versions are a set that was not gone back from.
    pub(super) fn holds(&self, versions: Digest) -> bool {
        self.open.contains(&versions)
    }
}

/// What is known of a release.
pub(super) struct Announced {
    pub(super) release: Release,
    /// What it brings, and what it returns to, by digest.
    pub(super) versions: Digest,
    pub(super) previous: Digest,
}

/// What a run that is over taught.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Learned {
    /// It verified this set, which is recorded.
    Set(VerifiedSet),
    /// It was taken back because of what it brought, wherever it had brought it: these sets of the same versions, which others had verified
    /// before, were gone back from.
    GoneBackFrom(Vec<Digest>),
    /// Nothing, and why.
    Nothing(NotVerified),
}

impl fmt::Debug for VerifiedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifiedRecord").field(&self.digest()).finish()
    }
}

impl From<VerifiedSets> for VerifiedRecord {
    fn from(sets: VerifiedSets) -> Self {
        Self::new(sets)
    }
}

impl VerifiedRecord {
    /// These are recorded, in the beginning.
    pub fn new(sets: VerifiedSets) -> Self {
        let record = Recorded::new(sets);
        Self(Arc::new(RwLock::new(Kept { record, ..Kept::default() })))
    }

    /// Puts others in place of what is recorded, as a whole; their digest.
    pub fn replace(&self, sets: VerifiedSets) -> Digest {
        let next = Recorded::new(sets);
        let digest = next.digest;
        self.write().record = next;
        digest
    }

    /// Records a set as the last one that was verified, as [`VerifiedSets::record`] does; returns the oldest, if that had to make room.
    ///
    /// # Errors
    /// [`EmptySet`] when it names no version; then nothing has changed.
    #[expect(clippy::needless_pass_by_value, reason = "as `VerifiedSets::record` takes it")]
    pub fn record(&self, set: VerifiedSet) -> Result<Option<VerifiedSet>, EmptySet> {
        if set.versions.is_empty() {
            return Err(EmptySet { evidence: set.evidence });
        }
        self.change(|sets| sets.record(set.clone()))
    }

    /// Says that what this proves was gone back from: nothing goes back to it any more. Whether there is such a set.
    pub fn abandon(&self, evidence: Digest) -> bool {
        self.change(|sets| sets.abandon(evidence))
    }

    /// The sets that are recorded now.
    pub fn sets(&self) -> Arc<VerifiedSets> {
        Arc::clone(&self.read().record.sets)
    }

    /// What tells what is recorded now from other records: the sets in their order, what proves each, and which were gone back from.
    pub fn digest(&self) -> Digest {
        self.read().record.digest
    }

    /// Says what a release brings and returns to, before its run starts: [`CoVerified`](super::CoVerified) holds the run of a release of
    /// which it does not know that. Its definition's digest, which the plan names. What was said of the last [`MOST_RELEASES`] is kept, so
    /// a host says it again when it resumes a run, and before it [migrates](release_core::run::migrate) one.
    pub fn announce(&self, definition: &Definition) -> Digest {
        let (digest, release) = (definition.digest(), definition.release.clone());
        let (versions, previous) = (set_of(&release.versions), set_of(&release.previous));
        let (versions, previous) = (digest_of(&versions), digest_of(&previous));
        let announced = Arc::new(Announced { release, versions, previous });
        let mut kept = self.write();
        if kept.releases.insert(digest, announced).is_some() {
            kept.order.retain(|one| *one != digest);
        }
        kept.order.push_back(digest);
        if kept.order.len() > MOST_RELEASES
            && let Some(first) = kept.order.pop_front()
        {
            kept.releases.remove(&first);
        }
        digest
    }

    /// Learns from a run that is over. One that succeeded with all of its release verified it ([`VerifiedSet::of_run`]), and that is recorded
    /// with the run's evidence. `plan` is the one that the run pins, as `Engine::load` has it with the records of which the report is.
    ///
    /// From one that was rolled back because something failed or somebody told of an incident, so that its versions are nowhere any more to
    /// which it had brought them, sets of just these versions were gone back from, by whomever they were verified before. If they are
    /// what it returned to as well, they still hold; and so they do where it was cancelled or superseded: that says nothing of them.
    ///
    /// Every host that watches a run may say that it is over: the second time, nothing changes.
    pub fn ended(&self, plan: &FrozenPlan, report: &RunReport) -> Learned {
        let known = plan.later(report.plan).unwrap_or_else(|| plan.clone());
        let known = known.plan().definition().and_then(|definition| self.announced(definition));
        let Some(known) = known else {
            return Learned::Nothing(NotVerified::Unannounced { release: report.release.clone() });
        };
        let why = match VerifiedSet::of_run(&known.release, plan, report) {
            Ok(set) => match self.record(set.clone()) {
                Ok(_) => return Learned::Set(set),
                Err(EmptySet { .. }) => NotVerified::Nothing,
            },
            Err(why) => why,
        };
        let gone = pinned(&known.release, plan, report)
            .is_ok_and(|plan| failed(report) && is_gone(&known.release, plan.plan(), report));
        if !gone || known.versions == known.previous {
            return Learned::Nothing(why);
        }
        Learned::GoneBackFrom(self.go_back_from(&set_of(&known.release.versions)))
    }

    /// Abandons sets of just these versions, but for such whose evidence proves another set that holds.
    fn go_back_from(&self, versions: &Versions) -> Vec<Digest> {
        self.change(|sets| {
            let proves = |evidence: Digest| {
                let mut others = sets.open().filter(|set| set.versions != *versions);
                others.any(|other| other.evidence == evidence)
            };
            let these = sets.open().filter(|set| set.versions == *versions);
            let these = these.map(|set| set.evidence).filter(|evidence| !proves(*evidence));
            let mut gone: Vec<Digest> = these.collect();
            gone.dedup();
            for evidence in &gone {
                sets.abandon(*evidence);
            }
            gone
        })
    }

    /// Nobody who decides waits while the next record is made: it is put in force unless another one was meanwhile.
    fn change<T>(&self, change: impl Fn(&mut VerifiedSets) -> T) -> T {
        loop {
            let before = self.now();
            let mut sets = VerifiedSets::clone(&before.sets);
            let out = change(&mut sets);
            if sets == *before.sets {
                return out;
            }
            let next = Recorded::new(sets);
            let mut held = self.write();
            if Arc::ptr_eq(&held.record.sets, &before.sets) {
                held.record = next;
                return out;
            }
        }
    }

    /// What is recorded, of one moment.
    pub(super) fn now(&self) -> Recorded {
        self.read().record.clone()
    }

    /// The release of a definition.
    pub(super) fn announced(&self, definition: Digest) -> Option<Arc<Announced>> {
        self.read().releases.get(&definition).cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The versions of a set of members.
pub(super) fn set_of(set: &VersionSet) -> Versions {
    set.members.iter().map(|(id, member)| (id.clone(), member.version.clone())).collect()
}

/// Whether a run was taken back, and for what it brought.
const fn failed(report: &RunReport) -> bool {
    let Some(Outcome::RolledBack { cause }) = &report.outcome else { return false };
    matches!(cause, Cause::StepFailed { .. } | Cause::Signalled { .. })
}

/// Whether a run brought new versions of a release, and took them back wherever it had brought them.
fn is_gone(release: &Release, plan: &Plan, report: &RunReport) -> bool {
    let (mut brought, mut back) = (BTreeSet::new(), BTreeSet::new());
    for (step, told) in plan.steps().iter().zip(&report.steps) {
        let Some((target, versions)) = brings(&step.action) else { continue };
        let of = |set: &VersionSet| set.get(&target.service).map(|one| one.artifact.digest());
        let new = of(&release.versions).filter(|new| of(&release.previous) != Some(*new));
        if !versions.iter().any(|(digest, _)| Some(*digest) == new) {
            continue;
        }
        let place = (&target.environment, &target.region, &target.service);
        match told.status {
            Status::Succeeded => drop(brought.insert(place)),
            Status::Compensated => drop(back.insert(place)),
            _ => {}
        }
    }
    !back.is_empty() && brought.is_subset(&back)
}

/// What tells versions from others.
pub(super) fn digest_of(versions: &Versions) -> Digest {
    named(Canonical::new("release/versions/1"), versions).finish()
}

fn digest(sets: &VerifiedSets) -> Digest {
    Canonical::new("release/verified/1")
        .list(sets.sets().iter(), |all, set| {
            named(all, &set.versions).number(u8::from(set.whole)).digest(&set.evidence)
        })
        .list(sets.abandoned().iter(), Canonical::digest)
        .finish()
}

fn named(all: Canonical, versions: &Versions) -> Canonical {
    all.list(versions.iter(), |all, (id, version)| all.text(id.as_str()).text(&version.to_string()))
}
