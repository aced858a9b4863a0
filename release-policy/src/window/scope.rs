//! What a window concerns: places, classes of action, and who acts.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::{
    EnvironmentId, Principal, PrincipalId, PrincipalKind, RegionId, RoleId, ServiceId, TeamId,
};
use release_core::plan::{Action, Place, Step};
use release_core::run::Command;
use serde::{Deserialize, Serialize};

/// Where a window holds. What is left empty is not narrowed: an empty scope is everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Only these services.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub services: BTreeSet<ServiceId>,
    /// Only services of these teams.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<TeamId>,
    /// Only these environments.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub environments: BTreeSet<EnvironmentId>,
    /// Only these regions.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub regions: BTreeSet<RegionId>,
}

/// How a scope and a place lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Overlap {
    /// They have nothing in common.
    Apart,
    /// The place is wider: it has parts inside and parts outside of the scope.
    Part,
    /// All of the place is in the scope.
    Whole,
}

impl Scope {
    /// How it lies to `place`. A place that does not say its region, service or team is all of them; no
    /// place is the whole release.
    pub fn overlap(&self, place: Option<&Place>) -> Overlap {
        fn one<T: Ord>(wanted: &BTreeSet<T>, here: Option<&T>) -> Overlap {
            match here {
                _ if wanted.is_empty() => Overlap::Whole,
                None => Overlap::Part,
                Some(here) if wanted.contains(here) => Overlap::Whole,
                Some(_) => Overlap::Apart,
            }
        }
        let Self { services, teams, environments, regions } = self;
        one(environments, place.map(|place| &place.environment))
            .min(one(regions, place.and_then(|place| place.region.as_ref())))
            .min(one(services, place.and_then(|place| place.service.as_ref())))
            .min(one(teams, place.and_then(|place| place.team.as_ref())))
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What somebody wants to do, as far as windows go by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionClass {
    /// Any step of a release that goes forward, but for those below.
    Deploy,
    /// Moving traffic to another version.
    Advance,
    /// Approving a gate.
    Approve,
    /// Changing a schema or data.
    Migrate,
    /// Changing a feature flag.
    FlagChange,
    /// Going back to what was.
    Rollback,
    /// Switching something off in an emergency.
    KillSwitch,
    /// Cancelling a run.
    Cancel,
}

impl ActionClass {
    /// What a window concerns that names no classes: all that brings something new. To hold anything
    /// else, above all a rollback or a kill switch, a window has to name it.
    pub const USUAL: [Self; 4] = [Self::Deploy, Self::Advance, Self::Migrate, Self::FlagChange];

    /// The class of a command; most have none.
    pub const fn of_command(command: &Command) -> Option<Self> {
        match command {
            Command::Approve { .. } => Some(Self::Approve),
            Command::Cancel => Some(Self::Cancel),
            _ => None,
        }
    }

    /// The name as it stands in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Advance => "advance",
            Self::Approve => "approve",
            Self::Migrate => "migrate",
            Self::FlagChange => "flag_change",
            Self::Rollback => "rollback",
            Self::KillSwitch => "kill_switch",
            Self::Cancel => "cancel",
        }
    }
}

/// Which class the actions of a host's own providers have, by capability.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Classes(BTreeMap<String, ActionClass>);

impl Classes {
    pub(crate) fn write(&self, all: crate::canonical::Canonical) -> crate::canonical::Canonical {
        all.list(self.0.iter(), |all, (name, class)| all.text(name).text(class.name()))
    }

    /// All custom actions are deploys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says of which class `capability` is.
    #[must_use]
    pub fn with(mut self, capability: impl Into<String>, class: ActionClass) -> Self {
        self.0.insert(capability.into(), class);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The class of a step. One of a rollback is a rollback whatever it does, unless it is a kill switch.
    pub fn of_step(&self, step: &Step, rollback: bool) -> ActionClass {
        let class = match &step.action {
            Action::Route { .. } => ActionClass::Advance,
            Action::Flag(_) => ActionClass::FlagChange,
            Action::Custom { capability, .. } => {
                self.0.get(capability).copied().unwrap_or(ActionClass::Deploy)
            }
            _ => ActionClass::Deploy,
        };
        match class {
            ActionClass::KillSwitch => class,
            _ if rollback => ActionClass::Rollback,
            _ => class,
        }
    }
}

/// Whom a window concerns: whoever is any of these. When all are empty, everybody.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invokers {
    /// People, machines, or both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<PrincipalKind>,
    /// These.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub principals: BTreeSet<PrincipalId>,
    /// Whoever has one of these roles.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<RoleId>,
}

impl Invokers {
    /// Only people.
    pub fn humans() -> Self {
        Self { kinds: vec![PrincipalKind::Human], ..Self::default() }
    }

    /// Only machines: what a person asks for is not concerned.
    pub fn automation() -> Self {
        Self { kinds: vec![PrincipalKind::Service], ..Self::default() }
    }

    /// Whether it concerns `who`.
    pub fn concerns(&self, who: &Principal) -> bool {
        self.is_empty()
            || self.kinds.contains(&who.kind)
            || self.principals.contains(&who.id)
            || !self.roles.is_disjoint(&who.roles)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kinds.is_empty() && self.principals.is_empty() && self.roles.is_empty()
    }
}
