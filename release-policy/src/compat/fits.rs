//! Which of the versions that there are fit a requirement, as a few stretches of their numbers.
//!
//! Versions are numbered with releases first and prereleases after them, each the oldest first. What a requirement says of releases is
//! one stretch then, and of prereleases it fits but those of the versions that it names a prerelease of: so a set is as small as its
//! requirement, however many versions there are.

use std::fmt;
use std::ops::Bound;

use pubgrub::{Ranges, VersionSet};
use semver::{Comparator, Op, Prerelease, Version, VersionReq};

/// Versions of one service by number: from one up to another, without that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set(Ranges<usize>);

impl Set {
    /// Those from `from` up to `to`, without that.
    pub(super) fn stretch(from: usize, to: usize) -> Self {
        Self::of([(from, to)])
    }

    /// All of these stretches.
    pub(super) fn of(stretches: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let some = stretches.into_iter().filter(|(from, to)| from < to);
        Self(some.map(|(from, to)| (Bound::Included(from), Bound::Excluded(to))).collect())
    }

    /// Those for which it is true, of so many.
    pub(super) fn of_those(those: impl IntoIterator<Item = bool>) -> Self {
        let numbers = those.into_iter().enumerate().filter(|(_, is)| *is);
        Self::of(numbers.map(|(number, _)| (number, number + 1)))
    }

    /// The stretches.
    pub(super) fn stretches(&self) -> impl Iterator<Item = (usize, usize)> {
        self.0.iter().map(|(from, to)| {
            let from = match from {
                Bound::Included(from) => *from,
                Bound::Excluded(from) => from.saturating_add(1),
                Bound::Unbounded => 0,
            };
            let to = match to {
                Bound::Included(to) => to.saturating_add(1),
                Bound::Excluded(to) => *to,
                Bound::Unbounded => usize::MAX,
            };
            (from, to)
        })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.stretches().fold(0, |sum, (from, to)| sum.saturating_add(to - from))
    }

    /// The numbers, the least first.
    pub(super) fn numbers(&self) -> impl Iterator<Item = usize> {
        self.stretches().flat_map(|(from, to)| from..to)
    }

    /// The last of them that lies from `from` up to `to`, without that.
    pub(super) fn last_within(&self, from: usize, to: usize) -> Option<usize> {
        let within = self.stretches().map(|(a, b)| (a.max(from), b.min(to)));
        within.filter(|(from, to)| from < to).last().map(|(_, to)| to - 1)
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl VersionSet for Set {
    type V = usize;

    fn empty() -> Self {
        Self(Ranges::empty())
    }
    fn singleton(number: usize) -> Self {
        Self::stretch(number, number.saturating_add(1))
    }
    fn complement(&self) -> Self {
        Self(self.0.complement())
    }
    fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0))
    }
    fn contains(&self, number: &usize) -> bool {
        self.0.contains(number)
    }
    fn full() -> Self {
        Self(Ranges::full())
    }
    fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0))
    }
    fn is_disjoint(&self, other: &Self) -> bool {
        self.0.is_disjoint(&other.0)
    }
    fn subset_of(&self, other: &Self) -> bool {
        self.0.subset_of(&other.0)
    }
}

/// The versions that fit: just those of which `semver` says so. There are so many `releases`, and prereleases after them.
pub(super) fn fitting<T: AsRef<Version>>(
    versions: &[T],
    releases: usize,
    requirement: &VersionReq,
) -> Set {
    let (done, early) = versions.split_at_checked(releases).unwrap_or((versions, &[]));
    let comparators = &requirement.comparators;
    let all = (0, done.len());
    let of_releases = comparators.iter().fold(all, |stretch, comparator| {
        both(stretch, within(done, comparator, |version| comparator.matches(version)))
    });
    let named = comparators.iter().filter(|one| !one.pre.is_empty());
    let of_prereleases = named.filter_map(|one| {
        let of = (one.major, one.minor?, one.patch?);
        let start = early.partition_point(|version| numbers(version.as_ref()) < of);
        let rest = early.get(start..)?;
        let block = rest.get(..rest.partition_point(|version| numbers(version.as_ref()) == of))?;
        let (from, to) = comparators.iter().fold((0, block.len()), |stretch, comparator| {
            both(stretch, within(block, comparator, |version| alone(comparator, version)))
        });
        Some((releases + start + from, releases + start + to))
    });
    Set::of(std::iter::once(of_releases).chain(of_prereleases))
}

fn both(one: (usize, usize), other: (usize, usize)) -> (usize, usize) {
    (one.0.max(other.0), one.1.min(other.1))
}

/// The stretch of `versions` that one comparator allows.
fn within<T: AsRef<Version>>(
    versions: &[T],
    comparator: &Comparator,
    does: impl Fn(&Version) -> bool,
) -> (usize, usize) {
    let Comparator { op, major, minor, patch, pre } = comparator;
    let least = (*major, minor.unwrap_or(0), patch.unwrap_or(0));
    let from = match op {
        // One that says less than all of a prerelease's numbers says the same of all prereleases of these.
        _ if versions.iter().next().is_some_and(|first| does(first.as_ref())) => 0,
        Op::Greater | Op::GreaterEq => versions.partition_point(|version| !does(version.as_ref())),
        _ => versions.partition_point(|version| {
            (numbers(version.as_ref()), &version.as_ref().pre) < (least, pre)
        }),
    };
    let rest = versions.get(from..).unwrap_or_default();
    (from, from + rest.partition_point(|version| does(version.as_ref())))
}

const fn numbers(version: &Version) -> (u64, u64, u64) {
    (version.major, version.minor, version.patch)
}

/// What a comparator says of a prerelease that another one named.
fn alone(comparator: &Comparator, version: &Version) -> bool {
    let Version { major, minor, patch, .. } = *version;
    let Ok(pre) = Prerelease::new("0") else { return false };
    // The first prerelease that there can be: it fits all of the version.
    let names =
        Comparator { op: Op::GreaterEq, major, minor: Some(minor), patch: Some(patch), pre };
    VersionReq { comparators: vec![comparator.clone(), names] }.matches(version)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct It(Version);

    impl AsRef<Version> for It {
        fn as_ref(&self) -> &Version {
            &self.0
        }
    }

    fn version() -> impl Strategy<Value = Version> {
        let (pre, build) = (["", "", "0", "a", "a.1", "a.2", "b"], ["", "", "x"]);
        (0..3_u64, 0..3_u64, 0..3_u64, 0..pre.len(), 0..build.len()).prop_map(
            move |(major, minor, patch, nth, build_nth)| {
                let mut version = Version::new(major, minor, patch);
                version.pre = pre[nth].parse().unwrap();
                version.build = build[build_nth].parse().unwrap();
                version
            },
        )
    }

    fn comparator() -> impl Strategy<Value = String> {
        let signs = prop::sample::select(vec!["=", ">", ">=", "<", "<=", "~", "^"]);
        (signs, version(), 0..5_usize).prop_map(|(sign, version, shape)| match shape {
            0 => format!("{sign}{}", version.major),
            1 => format!("{sign}{}.{}", version.major, version.minor),
            2 => format!("{}.{}.*", version.major, version.minor),
            _ => format!("{sign}{version}"),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

        #[test]
        fn what_fits_is_just_what_semver_says(
            mut versions in proptest::collection::vec(version(), 0..40),
            comparators in proptest::collection::vec(comparator(), 1..4),
        ) {
            versions.sort_by_key(|version| (!version.pre.is_empty(), version.clone()));
            versions.dedup();
            let releases = versions.iter().filter(|version| version.pre.is_empty()).count();
            let versions: Vec<_> = versions.into_iter().map(It).collect();
            let requirement: VersionReq = comparators.join(", ").parse().unwrap();
            let set = fitting(&versions, releases, &requirement);
            for (number, It(version)) in versions.iter().enumerate() {
                prop_assert_eq!(set.contains(&number), requirement.matches(version), "{} {}", requirement, version);
            }
            prop_assert!(set.stretches().count() <= 1 + comparators.len());
            prop_assert_eq!(set.numbers().count(), set.len());
            prop_assert_eq!(set.last_within(0, versions.len()), set.numbers().last());
        }
    }
}
