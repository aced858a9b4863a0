//! Asks several policies and makes one answer of theirs.
//!
//! The order of the members can never matter, and no member can lift what another says.

use std::collections::BTreeSet;
use std::sync::Arc;

use release_core::model::{Digest, Timestamp};
use release_core::port::{Admission, CommandRequest, Decision, Inputs, Policy, Reason};

use crate::canonical::Canonical;

/// Several policies as one: deny beats wait beats permit. Without members it denies.
///
/// Every member is asked, and all reasons are kept, also those of members that would only wait where
/// another denies: whoever lifts the denial should know what comes next. Reasons are sorted and each
/// is said once, so that the order of members never matters, and neither does nesting.
///
/// # Until when
/// The latest instant of all waiting members: before it that member does not permit by time alone. It is unknown
/// where any waiting member knows none: what lifts that may lift the others, too, and then nobody should be asleep.
#[derive(Debug, Clone, Default)]
pub struct AllOf {
    members: Vec<Arc<dyn Policy>>,
}

impl AllOf {
    /// No members yet: denies everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member.
    #[must_use]
    pub fn and(self, policy: impl Policy + 'static) -> Self {
        self.and_shared(Arc::new(policy))
    }

    /// Adds a member that others use too.
    #[must_use]
    pub fn and_shared(mut self, policy: Arc<dyn Policy>) -> Self {
        self.members.push(policy);
        self
    }

    fn ask(&self, decide: impl Fn(&dyn Policy) -> Decision) -> Decision {
        if self.members.is_empty() {
            let text = "there is no rule that could permit it";
            let reason = Reason::new("all_of/empty", text, "whoever sets up the policy");
            return Decision::deny(vec![reason]);
        }
        combine(self.members.iter().map(|member| decide(&**member)))
    }
}

impl Policy for AllOf {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        self.ask(|member| member.admit(request))
    }

    fn opens(&self, request: &Admission<'_>) -> Decision {
        self.ask(|member| member.opens(request))
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        self.ask(|member| member.authorize(request))
    }

    /// That of the one member that has rules to pin; of several, none: a run can pin one policy, so put
    /// their rules into one [`PolicySet`](crate::decision::PolicySet).
    fn digest(&self) -> Option<Digest> {
        let mut pinned = self.members.iter().filter_map(|member| member.digest());
        pinned.next().filter(|_| pinned.next().is_none())
    }
}

/// The order in which reasons are told.
fn in_order(a: &Reason, b: &Reason) -> std::cmp::Ordering {
    let key = |reason: &Reason| reason.kind;
    (&a.rule, &a.text, &a.lifted_by, key(a)).cmp(&(&b.rule, &b.text, &b.lifted_by, key(b)))
}

pub(crate) fn combine(decisions: impl Iterator<Item = Decision>) -> Decision {
    let (mut denied, mut waits, mut timed) = (false, false, true);
    let mut latest: Option<Timestamp> = None;
    let (mut all, mut given, mut made_from) = (Vec::new(), Vec::new(), Vec::new());
    for decision in decisions {
        made_from.extend(decision.inputs().copied());
        match decision {
            Decision::Permit { grants, .. } => given.extend(grants),
            Decision::Wait { until, reasons, .. } => {
                waits = true;
                timed &= until.is_some();
                latest = latest.max(until);
                all.extend(reasons);
            }
            Decision::Deny { reasons, .. } => {
                denied = true;
                all.extend(reasons);
            }
        }
    }
    all.sort_by(in_order);
    all.dedup();
    let inputs = together(&made_from);
    match (denied, waits) {
        (true, _) => Decision::Deny { reasons: all, inputs },
        (false, true) => Decision::Wait { until: latest.filter(|_| timed), reasons: all, inputs },
        (false, false) => {
            given.sort_by(|a, b| (&a.rule, a.valid_until).cmp(&(&b.rule, b.valid_until)));
            Decision::Permit { grants: given, inputs }
        }
    }
}

/// What all members went by. Where several name another input of one kind, it is the digest of all theirs.
pub(crate) fn together(all: &[Inputs]) -> Option<Box<Inputs>> {
    if let [] | [_] = all {
        return all.first().copied().map(Box::new);
    }
    let one =
        |field: fn(&Inputs) -> Option<Digest>| as_one(&all.iter().filter_map(field).collect());
    Some(Box::new(Inputs {
        policy: one(|inputs| inputs.policy),
        pinned: one(|inputs| inputs.pinned),
        rights: one(|inputs| inputs.rights),
        calendar: one(|inputs| inputs.calendar),
        directory: one(|inputs| inputs.directory),
        facts: one(|inputs| inputs.facts),
    }))
}

/// The one digest, or the digest of all of them.
pub(crate) fn as_one(all: &BTreeSet<Digest>) -> Option<Digest> {
    if all.len() < 2 {
        return all.first().copied();
    }
    let inputs = Canonical::new("release/inputs/1");
    Some(inputs.list(all.iter(), Canonical::digest).finish())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use release_core::model::{Principal, RunId};
    use release_core::plan::{Action, Step};
    use release_core::run::Command;

    use super::*;

    /// Always says the same.
    #[derive(Debug, Clone)]
    struct Says(Decision);

    impl Policy for Says {
        fn admit(&self, _: &Admission<'_>) -> Decision {
            self.0.clone()
        }
        fn authorize(&self, _: &CommandRequest<'_>) -> Decision {
            self.0.clone()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn reasons(rules: &[&str]) -> Vec<Reason> {
        rules.iter().map(|rule| Reason::new(*rule, "text", "time")).collect()
    }

    fn wait(until: Option<i64>, rules: &[&str]) -> Decision {
        Decision::wait(until.map(at), reasons(rules))
    }

    fn deny(rules: &[&str]) -> Decision {
        Decision::deny(reasons(rules))
    }

    fn all(decisions: &[Decision]) -> AllOf {
        decisions.iter().fold(AllOf::new(), |all, decision| all.and(Says(decision.clone())))
    }

    /// Both questions get the same answer from [`Says`], and so they must from the whole.
    fn ask(policy: &AllOf) -> Decision {
        let run: RunId = "r".parse().unwrap();
        let who = Principal::human("ann".parse().unwrap());
        let step = Step::new("s".parse().unwrap(), Action::Sync);
        let admitted = policy.admit(&Admission::new(&run, &who, &step, at(0)));
        let authorized =
            policy.authorize(&CommandRequest::new(&run, &who, &who, &Command::Pause, at(0)));
        assert_eq!(admitted, authorized);
        admitted
    }

    #[track_caller]
    fn check(decisions: &[Decision], want: &Decision) {
        assert_eq!(ask(&all(decisions)), *want, "{decisions:?}");
    }

    #[test]
    fn deny_beats_wait_beats_permit() {
        let permit = Decision::permit();
        check(std::slice::from_ref(&permit), &permit);
        check(&[permit.clone(), permit.clone()], &permit);
        check(&[permit.clone(), wait(Some(9), &["a"])], &wait(Some(9), &["a"]));
        check(&[wait(Some(9), &["b"]), wait(Some(5), &["a"])], &wait(Some(9), &["a", "b"]));
        check(&[wait(None, &["b"]), wait(Some(5), &["a"])], &wait(None, &["a", "b"]));
        check(&[wait(None, &["b"]), wait(None, &["b"])], &wait(None, &["b"]));
        check(&[deny(&["d"]), permit, wait(Some(5), &["a"])], &deny(&["a", "d"]));
        check(&[deny(&["d"]), deny(&["c"])], &deny(&["c", "d"]));
    }

    #[test]
    fn nobody_permits_nothing() {
        let Decision::Deny { reasons, .. } = ask(&AllOf::new()) else { panic!("it must deny") };
        assert_eq!(reasons[0].rule, "all_of/empty");
        // An empty part makes the whole deny, too.
        assert!(matches!(
            ask(&AllOf::new().and(Says(Decision::permit())).and(AllOf::new())),
            Decision::Deny { .. }
        ));
    }

    fn decision() -> impl Strategy<Value = Decision> {
        let rules = || prop::collection::vec("[a-d]", 0..3);
        let made =
            |rules: Vec<String>| reasons(&rules.iter().map(String::as_str).collect::<Vec<_>>());
        prop_oneof![
            Just(Decision::permit()),
            (prop::option::of(0_i64..9), rules())
                .prop_map(move |(until, rules)| Decision::wait(until.map(at), made(rules))),
            rules().prop_map(move |rules| Decision::deny(made(rules))),
        ]
    }

    fn shuffled() -> impl Strategy<Value = (Vec<Decision>, Vec<Decision>)> {
        prop::collection::vec(decision(), 1..7)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    }

    proptest! {
        #[test]
        fn the_order_of_members_never_matters((some, same) in shuffled()) {
            prop_assert_eq!(ask(&all(&some)), ask(&all(&same)));
        }

        #[test]
        fn nesting_never_matters(some in prop::collection::vec(decision(), 1..5), more in prop::collection::vec(decision(), 1..5)) {
            let flat: Vec<_> = some.iter().chain(&more).cloned().collect();
            let nested = AllOf::new().and(all(&some)).and(all(&more));
            prop_assert_eq!(ask(&nested), ask(&all(&flat)));
        }

        #[test]
        fn one_more_member_never_allows_more(some in prop::collection::vec(decision(), 1..5), more in decision()) {
            let rank = |decision: &Decision| match decision {
                Decision::Permit { .. } => 0,
                Decision::Wait { .. } => 1,
                Decision::Deny { .. } => 2,
            };
            let with: Vec<_> = some.iter().cloned().chain([more]).collect();
            prop_assert!(rank(&ask(&all(&with))) >= rank(&ask(&all(&some))));
        }
    }
}
