//! What a change concerns, and how far a right or a duty reaches.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::{EnvironmentId, RegionId, ServiceId, TrainId};

/// What a change concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeScope {
    /// The environment, unless the change concerns the whole release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// The services; none: all of the environment.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<ServiceId>,
    /// The region, unless the change concerns all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionId>,
    /// The train, unless the change concerns all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainId>,
}

impl ChangeScope {
    /// All of an environment.
    pub const fn new(environment: EnvironmentId) -> Self {
        Self {
            environment: Some(environment),
            services: BTreeSet::new(),
            region: None,
            train: None,
        }
    }

    /// Everything: all environments, services, regions and trains.
    pub const fn everywhere() -> Self {
        Self { environment: None, services: BTreeSet::new(), region: None, train: None }
    }

    /// Narrows it to a service, besides those named already.
    #[must_use]
    pub fn of_service(mut self, service: ServiceId) -> Self {
        self.services.insert(service);
        self
    }

    /// Narrows it to a region.
    #[must_use]
    pub fn in_region(mut self, region: RegionId) -> Self {
        self.region = Some(region);
        self
    }

    /// Narrows it to a train.
    #[must_use]
    pub fn of_train(mut self, train: TrainId) -> Self {
        self.train = Some(train);
        self
    }

    /// Whether all that `other` concerns lies within this.
    pub fn contains(&self, other: &Self) -> bool {
        let services = self.services.is_empty()
            || (!other.services.is_empty() && other.services.is_subset(&self.services));
        within(self.environment.as_ref(), other.environment.as_ref())
            && within(self.region.as_ref(), other.region.as_ref())
            && within(self.train.as_ref(), other.train.as_ref())
            && services
    }

    /// Whether both concern something in common. What is not narrowed down concerns everything.
    pub fn touches(&self, other: &Self) -> bool {
        let services = self.services.is_empty()
            || other.services.is_empty()
            || !self.services.is_disjoint(&other.services);
        meet(self.environment.as_ref(), other.environment.as_ref())
            && meet(self.region.as_ref(), other.region.as_ref())
            && meet(self.train.as_ref(), other.train.as_ref())
            && services
    }
}

/// Whether what `here` says lies within what `only` says; nothing said is everything.
fn within<T: PartialEq>(only: Option<&T>, here: Option<&T>) -> bool {
    only.is_none() || only == here
}

/// Whether both have something in common; nothing said is everything.
fn meet<T: PartialEq>(one: Option<&T>, two: Option<&T>) -> bool {
    one.is_none() || two.is_none() || one == two
}

/// How far a right reaches; what is not named is not limited.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Only in this environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// Only for this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// Only in this region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionId>,
    /// Only for this train.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainId>,
}

impl Reach {
    /// Only in an environment.
    pub fn environment(environment: EnvironmentId) -> Self {
        Self { environment: Some(environment), ..Self::default() }
    }

    /// Whether it reaches over *all* of `scope`: a right over one of two services is none over both.
    pub fn covers(&self, scope: &ChangeScope) -> bool {
        let Self { environment, service, region, train } = self;
        within(environment.as_ref(), scope.environment.as_ref())
            && within(region.as_ref(), scope.region.as_ref())
            && within(train.as_ref(), scope.train.as_ref())
            && service
                .as_ref()
                .is_none_or(|only| scope.services.len() == 1 && scope.services.contains(only))
    }

    /// Whether it reaches over *any* part of `scope`. What a change does not narrow down, it concerns.
    pub fn touches(&self, scope: &ChangeScope) -> bool {
        let Self { environment, service, region, train } = self;
        meet(environment.as_ref(), scope.environment.as_ref())
            && meet(region.as_ref(), scope.region.as_ref())
            && meet(train.as_ref(), scope.train.as_ref())
            && service
                .as_ref()
                .is_none_or(|only| scope.services.is_empty() || scope.services.contains(only))
    }

    /// As far as both reach, if they have anything in common.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        fn both<T: Clone>(one: Option<&T>, two: Option<&T>) -> Option<T> {
            one.or(two).cloned()
        }
        let (service, other_service) = (self.service.as_ref(), other.service.as_ref());
        let (environment, other_environment) =
            (self.environment.as_ref(), other.environment.as_ref());
        let (region, other_region) = (self.region.as_ref(), other.region.as_ref());
        let (train, other_train) = (self.train.as_ref(), other.train.as_ref());
        let overlap = meet(environment, other_environment)
            && meet(service, other_service)
            && meet(region, other_region)
            && meet(train, other_train);
        overlap.then(|| Self {
            environment: both(environment, other_environment),
            service: both(service, other_service),
            region: both(region, other_region),
            train: both(train, other_train),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(services: &[&str], region: Option<&str>) -> ChangeScope {
        let all = ChangeScope::new("production".parse().unwrap());
        let some = services.iter().fold(all, |all, name| all.of_service(name.parse().unwrap()));
        region.into_iter().fold(some, |some, name| some.in_region(name.parse().unwrap()))
    }

    fn reach(service: Option<&str>, region: Option<&str>) -> Reach {
        Reach {
            environment: Some("production".parse().unwrap()),
            service: service.map(|name| name.parse().unwrap()),
            region: region.map(|name| name.parse().unwrap()),
            train: None,
        }
    }

    #[test]
    fn a_right_must_cover_all_of_a_change() {
        assert!(reach(None, None).covers(&scope(&[], None)));
        assert!(reach(None, None).covers(&scope(&["api", "web"], Some("eu"))));
        assert!(reach(Some("api"), None).covers(&scope(&["api"], None)));
        assert!(!reach(Some("api"), None).covers(&scope(&["api", "web"], None)));
        assert!(!reach(Some("api"), None).covers(&scope(&[], None)));
        assert!(reach(None, Some("eu")).covers(&scope(&[], Some("eu"))));
        assert!(!reach(None, Some("eu")).covers(&scope(&[], None)));
        assert!(!reach(None, None).covers(&ChangeScope::new("qa".parse().unwrap())));
        assert!(!reach(None, None).covers(&ChangeScope::everywhere()));
        assert!(Reach::default().covers(&ChangeScope::everywhere()));
        let train = Reach { train: Some("web".parse().unwrap()), ..Reach::default() };
        assert!(!train.covers(&scope(&[], None)));
        assert!(train.covers(&scope(&[], None).of_train("web".parse().unwrap())));
    }

    #[test]
    fn a_right_touches_what_it_covers_in_part() {
        assert!(reach(Some("api"), None).touches(&scope(&["api", "web"], None)));
        assert!(reach(Some("api"), Some("eu")).touches(&scope(&[], None)));
        assert!(reach(Some("api"), Some("eu")).touches(&ChangeScope::everywhere()));
        assert!(!reach(Some("api"), Some("eu")).touches(&scope(&["api"], Some("us"))));
        assert!(!reach(Some("api"), None).touches(&scope(&["web"], None)));
        let narrow = reach(Some("api"), None).intersect(&reach(None, Some("eu")));
        assert_eq!(narrow, Some(reach(Some("api"), Some("eu"))));
        assert_eq!(reach(Some("api"), None).intersect(&reach(Some("web"), None)), None);
    }

    #[test]
    fn a_scope_contains_what_is_narrower() {
        assert!(scope(&[], None).contains(&scope(&["api"], Some("eu"))));
        assert!(scope(&["api", "web"], None).contains(&scope(&["api"], None)));
        assert!(!scope(&["api"], None).contains(&scope(&[], None)));
        assert!(!scope(&["api"], None).contains(&scope(&["api", "web"], None)));
        assert!(!scope(&[], Some("eu")).contains(&scope(&[], None)));
        assert!(!scope(&[], None).contains(&ChangeScope::new("qa".parse().unwrap())));
    }

    #[test]
    fn changes_touch_unless_something_tells_them_apart() {
        assert!(scope(&["api"], None).touches(&scope(&["api", "web"], Some("eu"))));
        assert!(scope(&["api"], None).touches(&scope(&[], None)));
        assert!(!scope(&["api"], None).touches(&scope(&["web"], None)));
        assert!(!scope(&[], Some("eu")).touches(&scope(&[], Some("us"))));
        assert!(!scope(&[], None).touches(&ChangeScope::new("qa".parse().unwrap())));
    }
}
