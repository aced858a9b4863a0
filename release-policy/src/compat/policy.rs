//! Compatible sets as a policy of the engine.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use release_core::model::{Digest, ServiceId, Target};
use release_core::plan::Action;
use release_core::port::{Admission, CommandRequest, Decision, Inputs, Policy, Reason, ReasonKind};
use semver::Version;

use super::stock::Regions;
use super::{Change, Denied, Fault, Published, Stock, Versions};

/// The rule's name in reasons.
const RULE: &str = "compat";

/// Tells what is deployed: the host's side of [`Compatible`].
///
/// Any function of a target that answers at once is one; [`Deployed`](super::Deployed) is one that follows runs. It is asked in the midst
/// of a decision: it looks up what the host has seen, and calls nobody.
pub trait Inventory: Send + Sync {
    /// Which versions serve now in the target's region and environment, of all services; `None` where nobody knows. While a service gets
    /// another version, it is the one that was there before, or the one that comes: the other is what steps deploy.
    fn deployed(&self, target: &Target) -> Option<Versions>;

    /// Which versions serve there as well, of services that are getting another one just then: a change has to get along with both. None,
    /// unless an inventory knows.
    fn beside(&self, _: &Target) -> Vec<(ServiceId, Version)> {
        Vec::new()
    }

    /// Both of one moment; `None` where nobody knows. An inventory that keeps what it gives here, until something else is deployed, spares
    /// policies to look at all of it for each decision: they ask for nothing else.
    fn stock(&self, target: &Target) -> Option<Arc<Stock>> {
        let versions = self.deployed(target)?;
        Some(Arc::new(Stock { versions, beside: self.beside(target) }))
    }
}

impl<F: Fn(&Target) -> Option<Versions> + Send + Sync> Inventory for F {
    fn deployed(&self, target: &Target) -> Option<Versions> {
        self(target)
    }
}

/// A policy that denies what does not get along with what is deployed in the same region.
///
/// It concerns steps that go forward and start instances of a version, or send users to one. Each is judged by what is deployed just then
/// ([`Catalogue::admit`](super::Catalogue::admit)), so that a step waits no longer once the others have moved. What removes a version,
/// looks, or is an action of a host's own is not its business; neither are commands. A rollback is never held; a rollout that is under
/// way is, where it is.
///
/// Where nobody knows what is deployed, it denies, and says so.
///
/// As long as an inventory keeps what it gives ([`Inventory::stock`]), as [`Deployed`](super::Deployed) does, a decision costs time in
/// proportion to what the new version needs, to the services that need this one, and to the versions that nobody knows. After a change, the
/// first decision about the region looks at all that is deployed there; with an inventory that makes it anew each time, every one does.
///
/// What versions need is told by a catalogue. Where new versions come while it decides, a host keeps a [`Published`] and tells that of
/// them; each decision has the digest of the catalogue by which it was made.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use release_core::model::Target;
/// use release_policy::AllOf;
/// use release_policy::compat::{Catalogue, Compatible, Offer, Versions};
/// use semver::Version;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let catalogue = Catalogue::new([Offer::new("api".parse()?, Version::new(3, 0, 0))])?;
/// let seen: Versions = BTreeMap::from([("api".parse()?, Version::new(3, 0, 0))]);
/// let inventory = move |target: &Target| (target.region.as_str() == "eu-west").then(|| seen.clone());
/// let policy = AllOf::new().and(Compatible::new(catalogue, inventory));
/// # drop(policy);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Compatible {
    published: Published,
    inventory: Arc<dyn Inventory>,
    regions: Arc<Regions>,
}

impl fmt::Debug for Compatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compatible").field("published", &self.published).finish_non_exhaustive()
    }
}

impl Compatible {
    /// By what a [`Catalogue`](super::Catalogue) says of versions, the same one for ever or the one that is [`Published`] then, and a
    /// host of what is deployed.
    pub fn new(catalogue: impl Into<Published>, inventory: impl Inventory + 'static) -> Self {
        let (published, inventory) = (catalogue.into(), Arc::new(inventory));
        Self { published, inventory, regions: Arc::default() }
    }

    fn decide(&self, target: &Target, versions: BTreeSet<&Version>) -> Decision {
        let by = self.published.in_force();
        let inputs = Inputs { policy: Some(by.digest), ..Inputs::default() };
        let Some(stock) = self.inventory.stock(target) else {
            let Target { environment, region, .. } = target;
            let text = format!("nobody knows what is deployed in `{region}` of `{environment}`");
            let reason = Reason::new(RULE, text, "whoever looks what is deployed there");
            return Decision::deny(vec![reason.kind(ReasonKind::Missing)]).from_inputs(inputs);
        };
        let known = self.regions.known(target, stock, &by);
        let inputs = Inputs { facts: Some(known.facts), ..inputs };
        let denied = versions.into_iter().flat_map(|version| {
            let change = Change::to(target.service.clone(), version.clone());
            let faults = [
                known.against(&by.catalogue, &change),
                known.against_beside(&by.catalogue, &change),
            ];
            faults.into_iter().filter(|faults| !faults.is_empty()).map(move |faults| {
                let regions = [(target.region.clone(), faults)].into();
                Denied { change: change.clone(), regions }
            })
        });
        let reasons: Vec<_> = denied.map(|denied| reason(&denied)).collect();
        let decision =
            if reasons.is_empty() { Decision::permit() } else { Decision::deny(reasons) };
        decision.from_inputs(inputs)
    }
}

/// What a step deploys or sends users to, and where; nothing where it does neither.
pub(crate) fn brings(action: &Action) -> Option<(&Target, Vec<(Digest, &Version)>)> {
    let (target, versions) = match action {
        Action::Scale { deployment, replicas, .. } if *replicas > 0 => {
            (&deployment.target, vec![(deployment.artifact.digest(), &deployment.version)])
        }
        Action::Route { target, weights, .. } => {
            let served = weights.iter().filter(|weight| weight.percent > 0);
            (target, served.map(|weight| (weight.digest, &weight.version)).collect())
        }
        _ => return None,
    };
    (!versions.is_empty()).then_some((target, versions))
}

/// The derivation, and who can do what about it.
fn reason(denied: &Denied) -> Reason {
    let broken = |fault: &Fault| matches!(fault, Fault::Broken(_));
    let rule = denied.regions.values().flatten().any(broken);
    let (lifted_by, kind) = if rule {
        ("versions that get along with it, deployed there first", ReasonKind::Rule)
    } else {
        ("whoever keeps the catalogue", ReasonKind::Missing)
    };
    Reason::new(RULE, denied.to_string(), lifted_by).kind(kind)
}

impl Policy for Compatible {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        match brings(&request.step.action) {
            Some((target, versions)) if !request.rollback => {
                self.decide(target, versions.into_iter().map(|(_, version)| version).collect())
            }
            _ => Decision::permit(),
        }
    }

    fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
        Decision::permit()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use release_core::model::{ArtifactRef, Principal, Timestamp};
    use release_core::plan::{Deployment, Step, Weight};

    use super::super::{Catalogue, Offer};
    use super::*;

    fn target() -> Target {
        let [environment, region, service] = ["production", "eu-west", "api"];
        let (environment, region) = (environment.parse().unwrap(), region.parse().unwrap());
        Target::new(environment, region, service.parse().unwrap())
    }

    fn scale(major: u64, replicas: u32) -> Action {
        let artifact = ArtifactRef::new("api".parse().unwrap(), Digest::of(&[1]));
        let version = Version::new(major, 0, 0);
        let deployment = Deployment { target: target(), artifact, version }.into();
        Action::Scale { deployment, replicas, apart: None, metadata: None }
    }

    fn route(shares: &[(u64, u8)]) -> Action {
        let weight = |(major, percent): &(u64, u8)| {
            Weight::new(Digest::of(&[1]), Version::new(*major, 0, 0), *percent)
        };
        let weights = shares.iter().map(weight).collect();
        Action::Route { target: target(), weights, rules: None }
    }

    fn offer(service: &str, major: u64) -> Offer {
        Offer::new(service.parse().unwrap(), Version::new(major, 0, 0))
    }

    fn live(shop: u64) -> Versions {
        [("api", 2), ("shop", shop)]
            .map(|(id, major)| (id.parse().unwrap(), Version::new(major, 0, 0)))
            .into()
    }

    #[test]
    fn what_does_not_get_along_with_what_is_deployed_is_denied_until_that_has_moved() {
        let needing =
            |offer: Offer, text: &str| offer.needing("api".parse().unwrap(), text.parse().unwrap());
        let shops = [needing(offer("shop", 2), "^2"), needing(offer("shop", 3), ">=2, <4")];
        let offers = shops.into_iter().chain([offer("api", 2), offer("api", 3)]);
        let catalogue = Catalogue::new(offers).unwrap();
        let deployed = Arc::new(Mutex::new(Some(live(2))));
        let seen = Arc::clone(&deployed);
        let inventory =
            move |_: &Target| seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let policy = Compatible::new(catalogue, inventory);
        let (run, ann) = ("run-1".parse().unwrap(), Principal::human("ann".parse().unwrap()));
        let ask = |action: Action, rollback: bool| {
            let step = Step::new("production/eu-west/api/start".parse().unwrap(), action);
            let asked = Admission::new(&run, &ann, &step, Timestamp::default());
            policy.admit(&asked.in_rollback(rollback))
        };
        let forward = [scale(3, 1), route(&[(2, 90), (3, 10)])];
        let harmless = [scale(2, 1), scale(3, 0), route(&[(2, 100), (3, 0)]), route(&[])];
        for action in forward.clone() {
            let decision = ask(action.clone(), false);
            let [reason] = decision.reasons() else { panic!("{decision:?}") };
            assert!(matches!(decision, Decision::Deny { .. }), "{decision:?}");
            assert_eq!(
                reason.text,
                "`api` 3.0.0 cannot be deployed to `eu-west`: `shop` 2.0.0, which runs there, needs `api` ^2"
            );
            assert_eq!((reason.rule.as_str(), reason.kind), (RULE, ReasonKind::Rule));
            let inputs = decision.inputs().unwrap();
            assert!(inputs.policy.is_some() && inputs.facts.is_some());
            assert!(ask(action, true).is_permit(), "a rollback is never held");
        }
        assert!(harmless.into_iter().all(|action| ask(action, false).is_permit()));
        *deployed.lock().unwrap() = Some(live(3));
        assert!(forward.clone().into_iter().all(|action| ask(action, false).is_permit()));
        // Where nobody knows what is there, or what it needs, nothing is let in.
        for (known, why) in [
            (None, "nobody knows what is deployed in `eu-west` of `production`"),
            (Some(live(9)), "nobody knows what `shop` 9.0.0 needs"),
        ] {
            *deployed.lock().unwrap() = known;
            for action in forward.clone() {
                let decision = ask(action.clone(), false);
                let [reason] = decision.reasons() else { panic!("{decision:?}") };
                assert!(reason.text.contains(why), "{reason}");
                assert_eq!(reason.kind, ReasonKind::Missing);
                assert!(ask(action, true).is_permit());
            }
        }
    }
}
