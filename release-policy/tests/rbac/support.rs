//! Small worlds of accounts and rules, drawn from a seed, and a naive reading of what they allow.

use std::collections::BTreeSet;

use release_core::model::{
    ChangeScope, Delegation, Identity, PrincipalId, PrincipalKind, Reach, RoleGrant, RoleId, Span,
    Timestamp,
};
use release_policy::directory::Directory;
use release_policy::rbac::{
    Access, Action, Condition, Deny, Fact, Facts, Permission, Query, Role, Rules, Whom,
};

pub(crate) const ACTIONS: [Action; 3] = [Action::Request, Action::Approve, Action::Deploy];
pub(crate) const PEOPLE: [&str; 4] = ["ann", "bob", "cyd", "bot"];
pub(crate) const ROLES: [&str; 3] = ["dev", "ops", "lead"];

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

pub(crate) fn id(name: &str) -> PrincipalId {
    name.parse().unwrap()
}

pub(crate) fn role(name: &str) -> RoleId {
    name.parse().unwrap()
}

pub(crate) fn grant(name: &str) -> RoleGrant {
    RoleGrant::new(role(name), at(0), id("hr"), "job")
}

pub(crate) fn person(name: &str, roles: &[&str]) -> Identity {
    roles.iter().fold(Identity::human(id(name)), |who, role| who.with(grant(role)))
}

pub(crate) fn lend(from: &str, to: &str, name: &str) -> Delegation {
    let (from, to, role) = (id(from), id(to), role(name));
    Delegation { from, to, role, starts: at(0), ends: at(100), reason: "holidays".into() }
}

pub(crate) fn deny(name: &str, whom: Whom, action: Action) -> Deny {
    Deny::new(name, whom, [action], id("sec"), "because")
}

pub(crate) fn production() -> ChangeScope {
    ChangeScope::new("production".parse().unwrap())
}

/// Written down and not yet checked, so that tests can change it.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) people: Vec<Identity>,
    pub(crate) lent: Vec<Delegation>,
    pub(crate) roles: Vec<Role>,
    pub(crate) denies: Vec<Deny>,
}

impl World {
    pub(crate) fn access(&self) -> Access {
        self.try_access().unwrap()
    }

    pub(crate) fn try_access(&self) -> Option<Access> {
        let rules = Rules::new(self.roles.clone(), self.denies.clone()).unwrap();
        let people = self.people.clone();
        let directory = Directory::new(1, at(0), people, self.lent.clone()).ok()?;
        Some(Access::new(rules, directory, Span::secs(1_000)))
    }

    pub(crate) fn may(
        &self,
        who: &str,
        action: Action,
        resource: &ChangeScope,
        second: i64,
    ) -> bool {
        self.access().authorize(&Query::new(&id(who), action, resource, at(second))).is_allowed()
    }
}

/// Numbers from a seed (SplitMix64, Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(n).unwrap()).unwrap()
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn maybe<T>(&mut self, text: &[&str]) -> Option<T>
    where
        T: std::str::FromStr<Err: std::fmt::Debug>,
    {
        self.one_in(3).then(|| self.pick(text).parse().unwrap())
    }

    pub(crate) fn reach(&mut self) -> Reach {
        Reach {
            environment: self.maybe(&["qa", "production"]),
            service: self.maybe(&["api", "web"]),
            region: self.maybe(&["eu"]),
            train: self.maybe(&["web"]),
        }
    }

    pub(crate) fn resource(&mut self) -> ChangeScope {
        let mut scope = ChangeScope::everywhere();
        scope.environment =
            (!self.one_in(5)).then(|| self.pick(&["qa", "production"]).parse().unwrap());
        for service in ["api", "web"] {
            if self.one_in(2) {
                scope.services.insert(service.parse().unwrap());
            }
        }
        scope.region = self.maybe(&["eu", "us"]);
        scope.train = self.maybe(&["web", "app"]);
        scope
    }

    fn when(&mut self) -> Vec<Condition> {
        let flag = |name: &str| Condition::is(name, Fact::Flag(true));
        match self.below(8) {
            0 => vec![flag("urgent")],
            1 => vec![flag("urgent"), Condition::is("risk", Fact::Number(3))],
            _ => Vec::new(),
        }
    }

    pub(crate) fn facts(&mut self) -> Facts {
        let mut facts = Facts::new();
        if !self.one_in(3) {
            facts.insert("urgent".into(), Fact::Flag(self.one_in(2)));
        }
        if self.one_in(2) {
            let fact = if self.one_in(3) { Fact::Flag(true) } else { Fact::Number(3) };
            facts.insert("risk".into(), fact);
        }
        facts
    }

    pub(crate) fn actions(&mut self) -> BTreeSet<Action> {
        let mut all: BTreeSet<_> = ACTIONS.into_iter().filter(|_| self.one_in(2)).collect();
        all.insert(self.pick(&ACTIONS));
        all
    }

    pub(crate) fn permission(&mut self) -> Permission {
        Permission { actions: self.actions(), reach: self.reach(), when: self.when() }
    }

    pub(crate) fn grant(&mut self, name: &str) -> RoleGrant {
        let from = i64::try_from(self.below(4)).unwrap();
        let mut grant = RoleGrant::new(role(name), at(from), id("hr"), "job");
        grant.until = self.one_in(2).then(|| at(from + 2));
        grant.reach = if self.one_in(2) { self.reach() } else { Reach::default() };
        grant
    }

    pub(crate) fn deny(&mut self, name: &str) -> Deny {
        let whom = match self.below(6) {
            0 => Whom::Everyone,
            1 => Whom::Kind(self.pick(&[PrincipalKind::Human, PrincipalKind::Service])),
            2 | 3 => Whom::principals([id(self.pick(&PEOPLE))]),
            4 => Whom::roles([role(self.pick(&ROLES))]),
            _ => Whom::roles([role(self.pick(&ROLES)), role(self.pick(&ROLES))]),
        };
        let mut deny = Deny::new(name, whom, self.actions(), id("sec"), "because");
        deny.reach = self.reach();
        deny.when = self.when();
        deny.from = self.one_in(3).then(|| at(1));
        deny.until = self.one_in(3).then(|| at(3));
        deny
    }

    pub(crate) fn world(&mut self) -> World {
        let mut people: Vec<_> = PEOPLE
            .iter()
            .map(|name| {
                let machine = *name == "bot";
                let mut who =
                    if machine { Identity::service(id(name)) } else { Identity::human(id(name)) };
                who.active = !self.one_in(8);
                if machine && self.one_in(2) {
                    who.acts_for.insert(id(self.pick(&["ann", "bob"])));
                }
                for _ in 0..self.below(3) {
                    let name = self.pick(&ROLES);
                    who.grants.push(self.grant(name));
                }
                who
            })
            .collect();
        if self.one_in(3) {
            people[2].linked.insert(id("ann"));
        }
        let roles = ROLES
            .iter()
            .map(|name| {
                let count = self.below(3);
                let permissions = (0..count).map(|_| self.permission()).collect();
                Role { id: role(name), permissions }
            })
            .collect();
        let count = self.below(4);
        let denies = (0..count).map(|n| self.deny(&format!("d{n}"))).collect();
        let mut world = World { people, lent: Vec::new(), roles, denies };
        if self.one_in(2) {
            let mut lent = lend(self.pick(&PEOPLE), self.pick(&PEOPLE), self.pick(&ROLES));
            lent.ends = at(3);
            world.lent.push(lent);
            if world.try_access().is_none() {
                world.lent.clear();
            }
        }
        world
    }
}

/// The same by reading it all, every time: slow, and as the words of the manual say.
pub(crate) fn naive(world: &World, query: &Query<'_>) -> bool {
    let find = |id: &PrincipalId| world.people.iter().find(|who| who.id == *id);
    let Some(who) = find(query.principal) else { return false };
    let allowed = |name: &RoleId| {
        let role = world.roles.iter().find(|role| role.id == *name);
        role.is_some_and(|role| {
            role.permissions.iter().any(|may| {
                may.actions.contains(&query.action)
                    && may.reach.covers(query.resource)
                    && may.when.iter().all(|one| one.holds(query.facts) == Ok(true))
            })
        })
    };
    let useful = |grant: &RoleGrant| {
        grant.holds(query.at) && grant.reach.covers(query.resource) && allowed(&grant.role)
    };
    let lent = world.lent.iter().any(|lent| {
        let lender = find(&lent.from).unwrap();
        lent.to == who.id
            && lent.holds(query.at)
            && lender.active
            && !forbidden(world, lender, query)
            && lender.grants.iter().any(|grant| grant.role == lent.role && useful(grant))
    });
    who.active && (lent || who.grants.iter().any(useful)) && !forbidden(world, who, query)
}

fn forbidden(world: &World, who: &Identity, query: &Query<'_>) -> bool {
    let one = |a: &PrincipalId, b: &PrincipalId| {
        let names = [a.as_str(), b.as_str()];
        let linked = world.people[2].linked.contains(&id("ann"));
        a == b || (linked && names.iter().all(|name| ["ann", "cyd"].contains(name)))
    };
    let behind = |account: &PrincipalId| {
        one(account, &who.id) || who.acts_for.iter().any(|person| one(person, account))
    };
    let accounts = || world.people.iter().filter(|account| behind(&account.id));
    let brands = |account: &Identity, name: &RoleId| {
        let touches = |grant: &RoleGrant| {
            grant.role == *name && grant.holds(query.at) && grant.reach.touches(query.resource)
        };
        let lent = world.lent.iter().any(|lent| {
            let lender = world.people.iter().find(|person| person.id == lent.from).unwrap();
            lent.to == account.id
                && lent.role == *name
                && lent.holds(query.at)
                && lender.active
                && lender.grants.iter().any(touches)
        });
        account.active && (lent || account.grants.iter().any(touches))
    };
    world.denies.iter().any(|deny| {
        let meant = match &deny.whom {
            Whom::Everyone => true,
            Whom::Kind(kind) => *kind == who.kind,
            Whom::Any { principals, roles } => accounts().any(|account| {
                principals.contains(&account.id) || roles.iter().any(|role| brands(account, role))
            }),
        };
        let when: Vec<_> = deny.when.iter().map(|one| one.holds(query.facts)).collect();
        meant
            && deny.actions.contains(&query.action)
            && deny.holds(query.at)
            && deny.reach.touches(query.resource)
            && (when.iter().any(Result::is_err) || when.iter().all(|one| *one == Ok(true)))
    })
}
