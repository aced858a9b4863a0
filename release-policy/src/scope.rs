//! What a change concerns, and how far a right or a duty reaches.

use std::collections::BTreeSet;

use release_core::model::{EnvironmentId, RegionId, ServiceId};
use serde::{Deserialize, Serialize};

/// What a change concerns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeScope {
    /// The environment.
    pub environment: EnvironmentId,
    /// The services; none: all of the environment.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<ServiceId>,
    /// The region, unless the change concerns all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionId>,
}

impl ChangeScope {
    /// All of an environment.
    pub const fn new(environment: EnvironmentId) -> Self {
        Self { environment, services: BTreeSet::new(), region: None }
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

    /// Whether all that `other` concerns lies within this.
    pub fn contains(&self, other: &Self) -> bool {
        let services = self.services.is_empty()
            || (!other.services.is_empty() && other.services.is_subset(&self.services));
        let region = self.region.is_none() || self.region == other.region;
        self.environment == other.environment && services && region
    }

    /// Whether both concern something in common. What is not narrowed down concerns everything.
    pub fn touches(&self, other: &Self) -> bool {
        let services = self.services.is_empty()
            || other.services.is_empty()
            || !self.services.is_disjoint(&other.services);
        let regions = match (&self.region, &other.region) {
            (Some(one), Some(two)) => one == two,
            (None, _) | (_, None) => true,
        };
        self.environment == other.environment && services && regions
    }
}

/// How far a right reaches; what is not named is not limited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
}

impl Reach {
    /// Whether it reaches over *all* of `scope`: a right over one of two services is none over both.
    pub fn covers(&self, scope: &ChangeScope) -> bool {
        let environment = self.environment.as_ref().is_none_or(|only| *only == scope.environment);
        let service = self
            .service
            .as_ref()
            .is_none_or(|only| scope.services.len() == 1 && scope.services.contains(only));
        let region = self.region.is_none() || self.region == scope.region;
        environment && service && region
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
