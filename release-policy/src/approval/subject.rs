//! What is approved: the digests of everything that an approver relied on.

use std::fmt;

use release_core::model::{ArtifactRef, Digest};
use serde::{Deserialize, Serialize};

use crate::canonical::Canonical;

/// What is approved. An approval holds for exactly this and for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The plan.
    pub plan: Digest,
    /// The set of artifacts; [`artifact_set`] computes it.
    pub artifacts: Digest,
    /// The environment as it is declared.
    pub environment: Digest,
    /// The policy that the run is pinned to.
    pub policy: Digest,
    /// What the approvers were shown: test results, scans, the assessment of the risk.
    pub evidence: Digest,
}

/// A part of a [`Subject`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The plan.
    Plan,
    /// The set of artifacts.
    Artifacts,
    /// The environment.
    Environment,
    /// The policy.
    Policy,
    /// The evidence.
    Evidence,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Plan, Self::Artifacts, Self::Environment, Self::Policy, Self::Evidence];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plan => "plan",
            Self::Artifacts => "artifacts",
            Self::Environment => "environment",
            Self::Policy => "policy",
            Self::Evidence => "evidence",
        })
    }
}

impl Subject {
    /// The digest of one part.
    pub const fn part(&self, part: Part) -> Digest {
        match part {
            Part::Plan => self.plan,
            Part::Artifacts => self.artifacts,
            Part::Environment => self.environment,
            Part::Policy => self.policy,
            Part::Evidence => self.evidence,
        }
    }

    /// The parts in which `other` differs.
    pub fn changed<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Part> + 'a {
        Part::ALL.into_iter().filter(|part| self.part(*part) != other.part(*part))
    }

    /// One digest of all parts, to name the subject by: SHA-256 over the parts in order, each with its
    /// length before it.
    pub fn digest(&self) -> Digest {
        let begun = Canonical::new("release/subject/1");
        Part::ALL.iter().fold(begun, |all, part| all.digest(&self.part(*part))).finish()
    }
}

/// The digest of a set of artifacts: of their names and digests, sorted. Tags are only for people and are
/// left out.
pub fn artifact_set<'a>(artifacts: impl IntoIterator<Item = &'a ArtifactRef>) -> Digest {
    let mut all: Vec<_> = artifacts
        .into_iter()
        .map(|artifact| (artifact.name().clone(), artifact.digest()))
        .collect();
    all.sort();
    all.dedup();
    Canonical::new("release/artifacts/1")
        .list(all.iter(), |sum, (name, digest)| sum.text(name.as_str()).digest(digest))
        .finish()
}
