//! Which rules can apply somewhere, so that most are never looked at.

use release_core::model::{EnvironmentId, ServiceId};
use release_core::plan::Place;

use super::rule::{Condition, Rule};
use crate::window::Scope;

/// Rules by the place that they name: those that can apply nowhere else. All others are looked at for every
/// request.
///
/// A rule that names services and environments stands under its services, which tell more apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    services: Table<ServiceId>,
    environments: Table<EnvironmentId>,
    rest: Vec<usize>,
    count: usize,
}

/// It is looked up in and never walked.
#[expect(clippy::disallowed_types, reason = "looked up in alone: its order reaches nobody")]
type Table<K> = std::collections::HashMap<K, Vec<usize>>;

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut index = Self { count: rules.len(), ..Self::default() };
        for (at, rule) in rules.iter().enumerate() {
            let scopes = scopes(&rule.when);
            let mut named = false;
            for services in scopes.iter().map(|scope| &scope.services) {
                if !named && !services.is_empty() {
                    named = true;
                    for id in services {
                        index.services.entry(id.clone()).or_default().push(at);
                    }
                }
            }
            for environments in scopes.iter().map(|scope| &scope.environments) {
                if !named && !environments.is_empty() {
                    named = true;
                    for id in environments {
                        index.environments.entry(id.clone()).or_default().push(at);
                    }
                }
            }
            if !named {
                index.rest.push(at);
            }
        }
        index
    }

    /// The rules that can apply in a place, in their order; all of them for what belongs to no one place.
    pub(super) fn at(&self, place: Option<&Place>) -> Vec<usize> {
        let Some(place) = place else { return (0..self.count).collect() };
        let mut all = self.rest.clone();
        // What concerns all services, touches those that rules name.
        match &place.service {
            None => all.extend(self.services.values().flatten()),
            Some(service) => all.extend(self.services.get(service).into_iter().flatten()),
        }
        all.extend(self.environments.get(&place.environment).into_iter().flatten());
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The scopes within which a condition can hold at all.
fn scopes(when: &Condition) -> Vec<&Scope> {
    match when {
        Condition::In(scope) => vec![scope],
        Condition::All(parts) => parts.iter().flat_map(scopes).collect(),
        Condition::Always
        | Condition::Action(_)
        | Condition::Command(_)
        | Condition::By(_)
        | Condition::Fact { .. }
        | Condition::Any(_)
        | Condition::Not(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Map;

    use super::*;

    #[test]
    fn a_rule_is_found_wherever_it_can_apply() {
        let scope = |services: &[&str], environments: &[&str]| Scope {
            services: services.iter().map(|id| id.parse().unwrap()).collect(),
            environments: environments.iter().map(|id| id.parse().unwrap()).collect(),
            ..Scope::default()
        };
        let rules = [
            ("everywhere", Condition::Always),
            ("api", Condition::In(scope(&["api"], &["prod"]))),
            ("prod", Condition::All(vec![Condition::Always, Condition::In(scope(&[], &["prod"]))])),
            ("either", Condition::Any(vec![Condition::In(scope(&["web"], &[]))])),
            ("both", Condition::In(scope(&["api", "web"], &[]))),
        ];
        let rules: Vec<_> =
            rules.into_iter().map(|(name, when)| Rule::deny(name, when, "o")).collect();
        let index = Index::new(&rules);
        let found = |environment: &str, service: Option<&str>| {
            let mut place = Place::new(environment.parse().unwrap());
            place.service = service.map(|id| id.parse().unwrap());
            index.at(Some(&place))
        };
        let want = Map::from([
            (("prod", Some("api")), vec![0, 1, 2, 3, 4]),
            (("prod", Some("web")), vec![0, 2, 3, 4]),
            (("prod", None), vec![0, 1, 2, 3, 4]),
            (("qa", Some("api")), vec![0, 1, 3, 4]),
            (("qa", Some("db")), vec![0, 3]),
        ]);
        for ((environment, service), rules) in want {
            assert_eq!(found(environment, service), rules, "{environment} {service:?}");
        }
        assert_eq!(index.at(None), [0, 1, 2, 3, 4]);
    }
}
