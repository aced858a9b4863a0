//! Small worlds of accounts, roles and statements.

use std::collections::BTreeSet;

use release_core::model::{
    ChangeScope, Delegation, Digest, Identity, PrincipalId, RoleGrant, RoleId, Timestamp,
};
use release_policy::approval::{
    Answer, Approval, ApprovalFact, ApprovalFacts, ApprovalOutcome, ApprovalPolicy, Expression,
    OfRole, Parties, Question, Quorum, Statement, Subject, Unfit, Verdict, evaluate,
};
use release_policy::directory::{Directory, DirectoryState};

pub(crate) const NOW: i64 = 10_000;

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

pub(crate) fn id(name: &str) -> PrincipalId {
    name.parse().unwrap()
}

pub(crate) fn role(name: &str) -> RoleId {
    name.parse().unwrap()
}

pub(crate) fn scope() -> ChangeScope {
    ChangeScope::new("production".parse().unwrap()).of_service("api".parse().unwrap())
}

pub(crate) fn subject(seed: u8) -> Subject {
    let part = |part: u8| Digest::from_bytes([seed.wrapping_mul(8).wrapping_add(part); 32]);
    Subject {
        plan: part(0),
        artifacts: part(1),
        environment: part(2),
        policy: part(3),
        evidence: part(4),
    }
}

pub(crate) fn question() -> Question {
    Question { subject: subject(1), parties: Parties::new(id("req"), at(0)), scope: scope() }
}

pub(crate) fn grant(name: &str) -> RoleGrant {
    RoleGrant::new(role(name), at(0), id("hr"), "job")
}

pub(crate) fn person(name: &str, roles: &[&str]) -> Identity {
    roles.iter().fold(Identity::human(id(name)), |who, role| who.with(grant(role)))
}

pub(crate) fn lend(from: &str, to: &str, name: &str) -> Delegation {
    let (from, to, role) = (id(from), id(to), role(name));
    Delegation { from, to, role, starts: at(0), ends: at(1_000_000), reason: "holidays".into() }
}

pub(crate) fn directory(
    people: impl IntoIterator<Item = Identity>,
    lent: impl IntoIterator<Item = Delegation>,
) -> Directory {
    Directory::new(1, at(NOW - 10), people, lent).unwrap()
}

/// What an account says at `second`, with the roles that `directory` has for it then.
pub(crate) fn says(
    directory: &Directory,
    seq: u64,
    by: &str,
    second: i64,
    verdict: Verdict,
) -> ApprovalFact {
    let linked = directory.identity(&id(by)).map(|who| who.linked.clone()).unwrap_or_default();
    let statement = Statement {
        seq,
        by: id(by),
        linked,
        roles: directory.roles(&id(by), &scope(), at(second)),
        at: at(second),
        expires: at(second + 50_000),
        bound_to: subject(1),
    };
    ApprovalFact::Given(Box::new(Approval { statement, verdict, comment: String::new() }))
}

/// Approvals of these accounts, one after the other.
pub(crate) fn approve(directory: &Directory, by: &[&str]) -> ApprovalFacts {
    let all = (1_u64..).zip(by).map(|(seq, by)| says(directory, seq, by, 9_000, Verdict::Approve));
    ApprovalFacts::fold(all).unwrap()
}

pub(crate) fn of_role(name: &str, n: u32) -> Expression {
    Expression::OfRole(OfRole { role: role(name), n })
}

pub(crate) fn policy(expression: Expression) -> ApprovalPolicy {
    ApprovalPolicy::new(Quorum::new(expression).unwrap())
}

pub(crate) fn ask(
    policy: &ApprovalPolicy,
    question: &Question,
    facts: &ApprovalFacts,
    directory: &Directory,
) -> ApprovalOutcome {
    evaluate(policy, question, facts, DirectoryState::Snapshot(directory), at(NOW))
}

/// The accounts that fill places, by record.
pub(crate) fn counted(outcome: &ApprovalOutcome) -> Vec<&str> {
    outcome.counted.iter().map(|counted| counted.by.as_str()).collect()
}

/// Why the statement of record `seq` does not count.
#[track_caller]
pub(crate) fn why(outcome: &ApprovalOutcome, seq: u64) -> &Unfit {
    let dropped = outcome.dropped.iter().find(|dropped| dropped.seq == seq);
    &dropped.unwrap_or_else(|| panic!("record {seq} counts: {outcome:?}")).why
}

pub(crate) fn could_fill(outcome: &ApprovalOutcome) -> BTreeSet<String> {
    let all = outcome.missing.iter().flat_map(|missing| &missing.could_fill);
    all.map(ToString::to_string).collect()
}

pub(crate) fn names(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(ToString::to_string).collect()
}

pub(crate) fn is_met(outcome: &ApprovalOutcome) -> bool {
    assert_eq!(outcome.is_met(), outcome.answer == Answer::Met);
    outcome.is_met()
}
