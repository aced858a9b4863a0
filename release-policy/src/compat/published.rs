//! The catalogue that policies decide by, while new versions become known.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use release_core::model::Digest;

use super::{Catalogue, CatalogueError, MAX_OFFERS, Offer};
use crate::canonical::Canonical;

/// The catalogue in force: what [`Compatible`](super::Compatible) decides by, and a host publishes anew as versions are built. Cheap to
/// clone; all clones are one.
///
/// Each decision is by one catalogue as a whole, whatever is published meanwhile, and its record has the digest of that one
/// ([`Inputs::policy`](release_core::port::Inputs::policy)). Whoever keeps what was published, by its digest, can give the same answer
/// again.
///
/// A step that was denied for a version that nobody knew is asked for again within 30 s, or at once if the host calls
/// `RunHandle::reconsider` after it has published.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use release_core::model::Target;
/// use release_policy::compat::{Catalogue, Compatible, Offer, Published, Versions};
/// use semver::Version;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let offer = |minor| Ok::<_, Box<dyn std::error::Error>>(Offer::new("api".parse()?, Version::new(3, minor, 0)));
/// let published = Published::new(Catalogue::new([offer(0)?])?);
/// let seen: Versions = BTreeMap::from([("api".parse()?, Version::new(3, 0, 0))]);
/// let policy = Compatible::new(published.clone(), move |_: &Target| Some(seen.clone())); // for the engine
///
/// let before = published.digest();
/// let after = published.add([offer(1)?])?; // from now on, 3.1.0 may be deployed
/// assert_ne!(before, after);
/// # drop(policy);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Published(Arc<RwLock<InForce>>);

/// A catalogue with its digest, taken once: catalogues are large.
#[derive(Clone)]
pub(super) struct InForce {
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) digest: Digest,
}

impl InForce {
    fn new(catalogue: Arc<Catalogue>) -> Self {
        Self { digest: digest(&catalogue), catalogue }
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Published").field(&self.digest()).finish()
    }
}

impl From<Catalogue> for Published {
    fn from(catalogue: Catalogue) -> Self {
        Self::new(catalogue)
    }
}

impl From<Arc<Catalogue>> for Published {
    fn from(catalogue: Arc<Catalogue>) -> Self {
        Self::new(catalogue)
    }
}

impl Published {
    /// This one is in force, until another is published.
    pub fn new(catalogue: impl Into<Arc<Catalogue>>) -> Self {
        Self(Arc::new(RwLock::new(InForce::new(catalogue.into()))))
    }

    /// Puts another in force, in place of the one before as a whole; its digest. Versions that are deployed anywhere have to be in it:
    /// what is not in it, nobody knows.
    pub fn publish(&self, catalogue: impl Into<Arc<Catalogue>>) -> Digest {
        let next = InForce::new(catalogue.into());
        let digest = next.digest;
        *self.write() = next;
        digest
    }

    /// Puts one in force that has these versions besides; its digest. What stands in it already, with the same needs, is passed over.
    ///
    /// # Errors
    /// [`CatalogueError`] says what makes no sense, such as a version that stands in it with other needs; then nothing has changed.
    pub fn add(&self, offers: impl IntoIterator<Item = Offer>) -> Result<Digest, CatalogueError> {
        // Before the lock is held: whoever gives them may ask what is in force.
        let more: Vec<Offer> = offers.into_iter().take(MAX_OFFERS + 1).collect();
        if more.len() > MAX_OFFERS {
            return Err(CatalogueError::TooMany);
        }
        // Nobody who decides waits while it is made: it is put in force unless another one was meanwhile.
        loop {
            let before = self.in_force();
            let known: Vec<Offer> = Catalogue::clone(&before.catalogue).into();
            let more = more.iter().filter(|offer| !says(&before.catalogue, offer)).cloned();
            let next = InForce::new(Arc::new(Catalogue::new(known.into_iter().chain(more))?));
            let mut held = self.write();
            if Arc::ptr_eq(&held.catalogue, &before.catalogue) {
                let digest = next.digest;
                *held = next;
                return Ok(digest);
            }
        }
    }

    /// The one that is in force now.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::clone(&self.read().catalogue)
    }

    /// What tells the one that is in force from others: what versions are in it, and what each needs.
    pub fn digest(&self) -> Digest {
        self.read().digest
    }

    /// Both of one moment.
    pub(super) fn in_force(&self) -> InForce {
        self.read().clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, InForce> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, InForce> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a catalogue says just this of a version.
fn says(catalogue: &Catalogue, offer: &Offer) -> bool {
    let Some(known) = catalogue.needs(&offer.service, &offer.version) else { return false };
    let mut needs: Vec<_> = offer.needs.iter().map(|(on, requirement)| (on, requirement)).collect();
    needs.sort_by_key(|(on, _)| *on);
    known.eq(needs)
}

fn digest(catalogue: &Catalogue) -> Digest {
    let offers: Vec<Offer> = catalogue.clone().into();
    Canonical::new("release/catalogue/1")
        .list(offers.iter(), |all, offer| {
            let all = all.text(offer.service.as_str()).text(&offer.version.to_string());
            all.list(offer.needs.iter(), |all, (on, requirement)| {
                all.text(on.as_str()).text(&requirement.to_string())
            })
        })
        .finish()
}

#[cfg(test)]
mod tests {
    use release_core::model::{ArtifactRef, Principal, Target, Timestamp};
    use release_core::plan::{Action, Deployment, Step};
    use release_core::port::{Admission, Decision, Policy as _, ReasonKind};
    use semver::Version;

    use super::super::{Compatible, Versions};
    use super::*;

    fn offer(service: &str, minor: u64) -> Offer {
        Offer::new(service.parse().unwrap(), Version::new(2, minor, 0))
    }

    fn needing(offer: Offer, on: &str, requirement: &str) -> Offer {
        offer.needing(on.parse().unwrap(), requirement.parse().unwrap())
    }

    /// `shop` 2.0 needs `api` below 2.2.
    fn before() -> Vec<Offer> {
        vec![offer("api", 0), needing(offer("shop", 0), "api", ">=2, <2.2")]
    }

    /// A policy of a region in which 2.0.0 of both serve.
    fn policy(published: &Published) -> Compatible {
        let live: Versions =
            ["api", "shop"].map(|id| (id.parse().unwrap(), Version::new(2, 0, 0))).into();
        Compatible::new(published.clone(), move |_: &Target| Some(live.clone()))
    }

    /// May an instance of `api` in that version be started?
    fn ask(policy: &Compatible, minor: u64) -> Decision {
        let [environment, region, service] = ["production", "eu-west", "api"];
        let (environment, region) = (environment.parse().unwrap(), region.parse().unwrap());
        let target = Target::new(environment, region, service.parse().unwrap());
        let artifact = ArtifactRef::new("api".parse().unwrap(), Digest::of(&[1]));
        let deployment = Deployment { target, artifact, version: Version::new(2, minor, 0) };
        let action = Action::Scale {
            deployment: Arc::new(deployment),
            replicas: 1,
            apart: None,
            metadata: None,
        };
        let step = Step::new("production/eu-west/api/start".parse().unwrap(), action);
        let (run, ann) = ("run-1".parse().unwrap(), Principal::human("ann".parse().unwrap()));
        policy.admit(&Admission::new(&run, &ann, &step, Timestamp::default()))
    }

    /// By which catalogue it was decided.
    fn by(decision: &Decision) -> Digest {
        decision.inputs().unwrap().policy.unwrap()
    }

    #[test]
    fn a_version_is_refused_before_it_is_published_and_admitted_afterwards() {
        let published = Published::new(Catalogue::new(before()).unwrap());
        let policy = policy(&published);
        let old = published.digest();
        let refused = ask(&policy, 1);
        let [reason] = refused.reasons() else { panic!("{refused:?}") };
        assert!(reason.text.contains("nobody knows what `api` 2.1.0 needs"), "{reason}");
        assert_eq!((reason.kind, by(&refused)), (ReasonKind::Missing, old));
        assert_eq!(by(&ask(&policy, 0)), old);

        let new = published.add([offer("api", 1), offer("api", 2)]).unwrap();
        assert_eq!((published.digest(), new == old), (new, false));
        let admitted = ask(&policy, 1);
        assert!(admitted.is_permit(), "{admitted:?}");
        assert_eq!(by(&admitted), new);
        // To be published is not to get along with what is deployed.
        let refused = ask(&policy, 2);
        let [reason] = refused.reasons() else { panic!("{refused:?}") };
        assert_eq!((reason.kind, by(&refused)), (ReasonKind::Rule, new));

        // The one from before is in force again, and decides as it did.
        assert_eq!(published.publish(Catalogue::new(before()).unwrap()), old);
        assert_eq!((ask(&policy, 1).is_permit(), by(&ask(&policy, 1))), (false, old));
    }

    #[test]
    fn what_says_the_same_has_the_same_digest_and_what_contradicts_changes_nothing() {
        let published = Published::new(Catalogue::new(before()).unwrap());
        let (old, catalogue) = (published.digest(), published.catalogue());
        let two = || needing(needing(offer("web", 0), "shop", "^2"), "api", "^2");
        let turned = || needing(needing(offer("web", 0), "api", "^2"), "shop", "^2");
        let new = published.add([two()]).unwrap();
        assert_eq!(published.add(before().into_iter().chain([turned(), two()])), Ok(new));
        assert_eq!(published.add([]), Ok(new));
        let mut all = before();
        all.insert(0, turned());
        assert_eq!(Published::new(Catalogue::new(all).unwrap()).digest(), new);
        assert_eq!(Published::from(catalogue).digest(), old);

        let contradictions = [
            vec![offer("web", 0)],
            vec![needing(offer("web", 0), "shop", "^3")],
            vec![needing(offer("web", 1), "ghost", "^1")],
            vec![offer("web", 1), offer("web", 1)],
        ];
        for offers in contradictions {
            assert!(published.add(offers.clone()).is_err(), "{offers:?}");
            assert_eq!(published.digest(), new, "{offers:?}");
        }
    }
}
