//! Who follows instances that come and go, and how far they are: whoever stops an instance waits for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use release_core::model::Target;
use tokio::sync::watch;

use crate::sync::lock;

/// Changes of instances, for [`follow`](super::follow): each counts one. A clone is the same.
///
/// Those of a platform that waits for its followers, such as `LocalPlatform::instance_changes`, tell it what has been seen to: it
/// stops an instance only when no router that follows sends there any more. A receiver of counts alone tells nobody.
///
/// ```
/// use release_providers::endpoints::InstanceChanges;
/// let (counts, receiver) = tokio::sync::watch::channel(0);
/// let changes = InstanceChanges::from(receiver);
/// # drop((counts, changes));
/// ```
#[derive(Debug, Clone)]
pub struct InstanceChanges {
    counts: watch::Receiver<u64>,
    followers: Followers,
}

impl From<watch::Receiver<u64>> for InstanceChanges {
    fn from(counts: watch::Receiver<u64>) -> Self {
        Self { counts, followers: Followers::default() }
    }
}

impl InstanceChanges {
    #[cfg(feature = "local")]
    pub(crate) fn new(counts: watch::Receiver<u64>, followers: &Followers) -> Self {
        Self { counts, followers: followers.clone() }
    }

    /// Begins to follow the instances of `targets`, until what is returned is dropped.
    pub(super) fn begin(self, targets: &[Target]) -> Follower {
        let Self { counts, followers } = self;
        let mut inside = lock(&followers.inside);
        inside.last = inside.last.wrapping_add(1);
        let id = inside.last;
        let none = targets.iter().map(|target| (target.clone(), None)).collect();
        inside.seen.insert(id, none);
        drop(inside);
        Follower { counts, followers, id }
    }
}

/// Somebody who follows.
#[derive(Debug)]
pub(super) struct Follower {
    counts: watch::Receiver<u64>,
    followers: Followers,
    id: u64,
}

impl Follower {
    /// The count of now: what is seen to after this is up to date with it.
    pub(super) fn now(&mut self) -> u64 {
        *self.counts.borrow_and_update()
    }

    /// Waits for the next change; `false` when there will be none.
    pub(super) async fn changed(&mut self) -> bool {
        self.counts.changed().await.is_ok()
    }

    /// Says that a target has been seen to as of this count.
    pub(super) fn has_seen(&self, target: &Target, count: u64) {
        if let Some(all) = lock(&self.followers.inside).seen.get_mut(&self.id) {
            all.insert(target.clone(), Some(count));
        }
        self.followers.tell();
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        lock(&self.followers.inside).seen.remove(&self.id);
        self.followers.tell();
    }
}

/// All who follow one platform. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Followers {
    inside: Arc<Mutex<Inside>>,
    progress: watch::Sender<()>,
}

impl Default for Followers {
    fn default() -> Self {
        Self { inside: Arc::default(), progress: watch::Sender::new(()) }
    }
}

#[derive(Debug, Default)]
struct Inside {
    last: u64,
    /// As of which count each of them has seen to each of its targets; none yet.
    seen: BTreeMap<u64, BTreeMap<Target, Option<u64>>>,
}

impl Followers {
    fn tell(&self) {
        self.progress.send_replace(());
    }

    /// Waits until all who follow `target` have seen to it as of `count`; tells whether there are any.
    #[cfg(feature = "local")]
    pub(crate) async fn have_seen(&self, target: &Target, count: u64) -> bool {
        let mut progress = self.progress.subscribe();
        loop {
            let all: Vec<Option<u64>> = {
                let inside = lock(&self.inside);
                inside.seen.values().filter_map(|seen| seen.get(target).copied()).collect()
            };
            if all.iter().all(|seen| seen.is_some_and(|seen| seen >= count)) {
                return !all.is_empty();
            }
            if progress.changed().await.is_err() {
                return false;
            }
        }
    }
}

#[cfg(feature = "local")]
#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn target(service: &str) -> Target {
        let (environment, region) = ("prod".parse().unwrap(), "eu".parse().unwrap());
        Target::new(environment, region, service.parse().unwrap())
    }

    #[test]
    fn who_stops_an_instance_waits_for_all_who_follow_its_target_and_for_nobody_else() {
        let (counts, followers) = (watch::Sender::new(7), Followers::default());
        let changes = InstanceChanges::new(counts.subscribe(), &followers);
        let api = target("api");
        let seen = |count| followers.have_seen(&api, count).now_or_never();
        assert_eq!(seen(7), Some(false), "nobody follows");
        let other = changes.clone().begin(&[target("other")]);
        assert_eq!(seen(7), Some(false), "who follows another target is not waited for");
        let mut one = changes.clone().begin(std::slice::from_ref(&api));
        let two = changes.begin(&[api.clone(), target("other")]);
        assert_eq!(one.now(), 7);
        one.has_seen(&api, 7);
        assert_eq!(seen(7), None, "the second has seen nothing");
        two.has_seen(&target("other"), 9);
        assert_eq!(seen(7), None, "nor has it, of this target");
        two.has_seen(&api, 6);
        assert_eq!((seen(6), seen(7)), (Some(true), None));
        // Who went away sends nothing.
        drop(two);
        assert_eq!(seen(7), Some(true));
        drop((one, other));
        assert_eq!(seen(7), Some(false));
    }
}
