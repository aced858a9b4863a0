//! Which version of one service counts as deployed in one place, while it gets another one and else.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::TrackId;
use release_core::plan::Weight;
use semver::Version;

/// How a service stands in one place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Stand {
    /// The version that counts.
    now: Option<Version>,
    /// Of which versions instances run, those that are kept apart by their track.
    running: BTreeMap<(Version, Option<TrackId>), u32>,
    /// To which versions users are sent, in percent; empty where nobody has told, or nobody is served.
    shares: BTreeMap<Version, u32>,
    /// To which versions something under way may send users, or has started instances where nobody knows about users.
    maybe: BTreeSet<Version>,
    /// Whether a run has it in hand.
    open: bool,
    /// Whether that run deployed it for the first time.
    fresh: bool,
}

impl Stand {
    /// The version that counts; none where there is none.
    pub(super) const fn now(&self) -> Option<&Version> {
        self.now.as_ref()
    }

    /// Whether a run has it in hand.
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// The other versions that serve as well, or may.
    pub(super) fn beside(&self) -> BTreeSet<&Version> {
        let all = self.there().into_keys().chain(&self.maybe);
        all.filter(|version| self.now() != Some(version)).collect()
    }

    /// A host saw that this version serves. What is known of a run under way is finer than that, if it has that version at all.
    pub(super) fn saw(&mut self, version: Version) {
        let under_way = self.open && self.there().contains_key(&version);
        if !under_way {
            *self = Self { running: [((version.clone(), None), 1)].into(), ..Self::default() };
        }
        self.now = Some(version);
    }

    /// Instances are being started.
    pub(super) fn starting(&mut self, version: &Version) {
        self.open = true;
        if self.shares.is_empty() {
            self.maybe.insert(version.clone());
        }
    }

    /// Users are being sent to these, some of them by what their requests say.
    pub(super) fn sending(&mut self, weights: &[Weight], by_rules: &BTreeSet<Version>) {
        self.open = true;
        self.maybe.extend(shares(weights, by_rules).into_keys());
    }

    /// So many instances of a version run.
    pub(super) fn runs(&mut self, version: &Version, track: Option<&TrackId>, count: u32) {
        self.open = true;
        let key = (version.clone(), track.cloned());
        if count == 0 {
            self.running.remove(&key);
        } else {
            self.running.insert(key, count);
        }
        if self.shares.is_empty() {
            self.maybe.remove(version);
        }
        self.settle();
    }

    /// Users are sent to these, some of them by what their requests say.
    pub(super) fn sends(&mut self, weights: &[Weight], by_rules: &BTreeSet<Version>) {
        self.open = true;
        self.shares = shares(weights, by_rules);
        self.maybe.clear();
        self.settle();
    }

    /// The run that had it in hand is over. Whether anything is left of it.
    pub(super) fn rest(&mut self) -> bool {
        (self.open, self.fresh) = (false, false);
        !self.running.is_empty() || !self.shares.is_empty() || !self.maybe.is_empty()
    }

    /// The versions to which users are sent, or else of which instances run, with how many.
    fn there(&self) -> BTreeMap<&Version, u32> {
        if !self.shares.is_empty() {
            return self.shares.iter().map(|(version, percent)| (version, *percent)).collect();
        }
        let mut all: BTreeMap<&Version, u32> = BTreeMap::new();
        for ((version, _), count) in &self.running {
            let sum = all.entry(version).or_default();
            *sum = sum.saturating_add(*count);
        }
        all
    }

    /// The version that counts goes on counting as long as it is there, and while nothing else is: what is stopped before the other starts
    /// is judged by others all the same. What was deployed for the first time and is taken back is gone at once.
    fn settle(&mut self) {
        let there = self.there();
        if self.now.as_ref().is_some_and(|now| there.contains_key(now)) {
            return;
        }
        let most = there.into_iter().max_by_key(|(version, count)| (*count, *version));
        match most.map(|(version, _)| version.clone()) {
            Some(version) => {
                self.fresh |= self.now.is_none();
                self.now = Some(version);
            }
            None if self.fresh => (self.now, self.fresh) = (None, false),
            None => {}
        }
    }
}

/// In percent, of those that only some requests get to none.
fn shares(weights: &[Weight], by_rules: &BTreeSet<Version>) -> BTreeMap<Version, u32> {
    let mut shares: BTreeMap<_, _> = by_rules.iter().map(|version| (version.clone(), 0)).collect();
    for weight in weights.iter().filter(|weight| weight.percent > 0) {
        *shares.entry(weight.version.clone()).or_default() += u32::from(weight.percent);
    }
    shares
}
