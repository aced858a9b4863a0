//! The record of what was verified together: nothing else is gone back to.

use std::collections::BTreeSet;
use std::fmt;

use release_core::model::{Digest, Release, ServiceId};
use semver::Version;
use serde::{Deserialize, Serialize};

use super::record::set_of;
use super::{Catalogue, MOST_SETS, NoWayBack, Order, VerifiedSet, Versions};

/// The sets that were verified together, in the order in which they were, and which of them were gone back from. The last [`MOST_SETS`] are
/// kept: as many as [`Catalogue::way_back`] tries.
///
/// ```
/// use release_core::model::{ArtifactRef, Digest, Release, VersionSet};
/// use release_policy::compat::{VerifiedSet, VerifiedSets};
/// use semver::Version;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (service, version) = ("api".parse()?, Version::new(2, 0, 0));
/// let mut verified = VerifiedSets::default();
/// verified.record(VerifiedSet::of([(service, version)].into(), Digest::of(b"of a run")))?;
///
/// let set = |version| -> Result<VersionSet, Box<dyn std::error::Error>> {
///     Ok(VersionSet::new().with("api".parse()?, version, ArtifactRef::new("api".parse()?, Digest::of(b"api"))))
/// };
/// let mut release = Release::new("r-2".parse()?, set(Version::new(3, 0, 0))?);
/// release.previous = set(Version::new(2, 1, 0))?;
/// assert_eq!(
///     verified.returns(&release).unwrap_err().to_string(),
///     "what the release returns to was not verified together: `api` is 2.1.0, and 2.0.0 in the nearest set, proved by de64a4fee06c; \
///      write what was verified as `previous`, or verify what runs and record it before the release starts"
/// );
/// release.previous = set(Version::new(2, 0, 0))?;
/// assert!(verified.returns(&release).is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct VerifiedSets {
    /// The oldest first.
    sets: Vec<VerifiedSet>,
    /// By their evidence; only such as are recorded.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    abandoned: BTreeSet<Digest>,
}

/// A record as it is stored.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default)]
    sets: Vec<VerifiedSet>,
    #[serde(default)]
    abandoned: BTreeSet<Digest>,
}

impl TryFrom<Stored> for VerifiedSets {
    type Error = EmptySet;
    fn try_from(stored: Stored) -> Result<Self, EmptySet> {
        let mut all = Self::default();
        for set in stored.sets {
            all.record(set)?;
        }
        for evidence in stored.abandoned {
            all.abandon(evidence);
        }
        Ok(all)
    }
}

/// A set that names no version: it says nothing, and so is not recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the set proved by {} names no version, and so says nothing; record what ran", .evidence.short())]
pub struct EmptySet {
    /// What proves it.
    pub evidence: Digest,
}

/// A service whose version is not the same in two sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The service.
    pub service: ServiceId,
    /// Its version in what a release returns to, or in what stays of it; none where it is not in that.
    pub previous: Option<Version>,
    /// Its version in the set that was verified; none where it is not in that.
    pub verified: Option<Version>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is ", self.service)?;
        match &self.previous {
            Some(version) => write!(f, "{version}")?,
            None => f.write_str("not there")?,
        }
        match &self.verified {
            Some(version) => write!(f, ", and {version} in the nearest set"),
            None => f.write_str(", and in the nearest set it is not"),
        }
    }
}

/// Why what a release returns to is no recorded set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotRecorded {
    /// The release has nothing to return to.
    #[error(
        "the release names nothing to return to, so that a rollback removes all of it; write what runs now as `previous`, or go on if nothing does"
    )]
    Nothing,
    /// No set is recorded, or no other than such as were gone back from.
    #[error(
        "nothing is recorded that can be gone back to; verify what runs, and record it before the release starts"
    )]
    NoSets,
    /// It is just a set that was gone back from.
    #[error(
        "what the release returns to, proved by {}, was gone back from before; write a set as `previous` that was not",
        .evidence.short()
    )]
    Abandoned {
        /// What proves the last such set.
        evidence: Digest,
    },
    /// It is none of the sets that are recorded.
    #[error(
        "what the release returns to was not verified together: {}, proved by {}; write what was verified as `previous`, or verify what runs and record it before the release starts",
        told(.differing),
        .nearest.short()
    )]
    Differs {
        /// What proves the set that differs in the fewest services, of several the last.
        nearest: Digest,
        /// In which services it differs, by name.
        differing: Vec<Difference>,
    },
}

pub(super) fn told(differing: &[Difference]) -> String {
    differing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl VerifiedSets {
    /// Records a set as the last one that was verified; returns the oldest, if that had to make room. With the oldest goes what is known of
    /// whether it was gone back from. A set that is recorded already with the same evidence stays where it is.
    ///
    /// # Errors
    /// [`EmptySet`] when it names no version.
    pub fn record(&mut self, set: VerifiedSet) -> Result<Option<VerifiedSet>, EmptySet> {
        if set.versions.is_empty() {
            return Err(EmptySet { evidence: set.evidence });
        }
        // Evidence is told apart at once, and hardly ever the same.
        if self.sets.iter().any(|known| known.evidence == set.evidence && *known == set) {
            return Ok(None);
        }
        let oldest = (self.sets.len() >= MOST_SETS).then(|| self.sets.remove(0));
        self.sets.push(set);
        if let Some(oldest) = &oldest
            && !self.sets.iter().any(|set| set.evidence == oldest.evidence)
        {
            self.abandoned.remove(&oldest.evidence);
        }
        Ok(oldest)
    }

    /// Says that what this proves was gone back from: nothing goes back to it any more. Whether there is such a set.
    pub fn abandon(&mut self, evidence: Digest) -> bool {
        let is_known = self.sets.iter().any(|set| set.evidence == evidence);
        if is_known {
            self.abandoned.insert(evidence);
        }
        is_known
    }

    /// The sets, in the order in which they were verified.
    pub fn sets(&self) -> &[VerifiedSet] {
        &self.sets
    }

    /// What proves those that were gone back from.
    pub const fn abandoned(&self) -> &BTreeSet<Digest> {
        &self.abandoned
    }

    /// The last recorded set to which one can go back from `live`, and the changes on the way: [`Catalogue::way_back`].
    ///
    /// # Errors
    /// [`NoWayBack`] says of each set why not.
    pub fn way_back(
        &self,
        catalogue: &Catalogue,
        live: &Versions,
    ) -> Result<(&VerifiedSet, Order), NoWayBack> {
        catalogue.way_back(live, &self.sets, &self.abandoned)
    }

    /// Whether just these versions, no more and no fewer, are a recorded set that was not gone back from.
    pub fn holds(&self, versions: &Versions) -> bool {
        self.open().any(|set| set.versions == *versions)
    }

    /// The recorded set to which a rollback of a release returns: its [`previous`](Release::previous), which has to be just such a set. Ask
    /// before it starts: the engine goes back to whatever that says.
    ///
    /// # Errors
    /// [`NotRecorded`] when it is none, with the versions in which it differs from the nearest one.
    pub fn returns(&self, release: &Release) -> Result<&VerifiedSet, NotRecorded> {
        self.find(&set_of(&release.previous))
    }

    /// The recorded set of just these versions.
    pub(super) fn find(&self, versions: &Versions) -> Result<&VerifiedSet, NotRecorded> {
        if versions.is_empty() {
            return Err(NotRecorded::Nothing);
        }
        if let Some(set) = self.open().find(|set| set.versions == *versions) {
            return Ok(set);
        }
        if let Some(set) = self.sets.iter().rev().find(|set| set.versions == *versions) {
            return Err(NotRecorded::Abandoned { evidence: set.evidence });
        }
        let differing = self.open().map(|set| (set.evidence, differences(versions, set)));
        let nearest = differing.min_by_key(|(_, differing)| differing.len());
        let Some((nearest, differing)) = nearest else { return Err(NotRecorded::NoSets) };
        Err(NotRecorded::Differs { nearest, differing })
    }

    /// Those that were not gone back from, the last first.
    pub(super) fn open(&self) -> impl Iterator<Item = &VerifiedSet> {
        self.sets.iter().rev().filter(|set| !self.abandoned.contains(&set.evidence))
    }
}

fn differences(previous: &Versions, set: &VerifiedSet) -> Vec<Difference> {
    let services: BTreeSet<&ServiceId> = previous.keys().chain(set.versions.keys()).collect();
    let differing = services.into_iter().filter_map(|service| {
        let (previous, verified) = (previous.get(service), set.versions.get(service));
        let (service, differs) = (service.clone(), previous != verified);
        let (previous, verified) = (previous.cloned(), verified.cloned());
        differs.then_some(Difference { service, previous, verified })
    });
    differing.collect()
}
