//! Rows of the fault table.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::model::{Delegation, Digest, Identity, Timestamp};
use release_policy::approval::{
    Answer, Anyone, ApprovalFact, ApprovalFacts, Expression, Invalid, Part, Subject, Unfit, Verdict,
};
use release_policy::directory::Directory;

use crate::support::{
    approve, ask, at, could_fill, directory, grant, id, is_met, lend, names, of_role, person,
    policy, question, role, says, subject, why,
};

#[test]
fn f22_whoever_lost_their_role_no_longer_counts_and_the_quorum_opens_again() {
    let people = |ann: Option<Identity>, lent: Option<Delegation>| {
        let others = [person("req", &[]), person("bob", &["sre"]), person("cat", &["sre"])];
        let ann = ann.or_else(|| Some(person("zoe", &[])));
        directory(others.into_iter().chain(ann), lent)
    };
    let before = people(Some(person("ann", &["sre"])), None);
    let facts = approve(&before, &["ann", "bob"]);
    let policy = policy(of_role("sre", 2));
    assert!(is_met(&ask(&policy, &question(), &facts, &before)));

    let mut ended = grant("sre");
    ended.until = Some(at(9_999));
    let mut elsewhere = grant("sre");
    elsewhere.reach.environment = Some("qa".parse().unwrap());
    let mut left = person("ann", &["sre"]);
    left.active = false;
    let revoked = || Invalid::RoleRevoked { lost: [role("sre")].into() };
    let other_role = || person("ann", &["security"]);
    for (now, want) in [
        (Some(person("ann", &[])), revoked()),
        (Some(other_role()), revoked()),
        (Some(Identity::human(id("ann")).with(ended)), revoked()),
        (Some(Identity::human(id("ann")).with(elsewhere)), revoked()),
        (Some(left), Invalid::Inactive),
        (None, Invalid::Unknown),
    ] {
        let outcome = ask(&policy, &question(), &facts, &people(now, None));
        assert_eq!(outcome.answer, Answer::Open, "{want:?}");
        assert_eq!(*why(&outcome, 1), Unfit::Invalidated { reason: want });
        assert_eq!(could_fill(&outcome), names(&["cat"]));
    }
    // A role that was granted anew is not the word of who holds it now: they had it and have it.
    assert!(is_met(&ask(&policy, &question(), &facts, &before)));
}

#[test]
fn f22_a_role_that_came_later_does_not_lift_an_earlier_word() {
    let mut later = grant("sre");
    later.from = at(9_500);
    let team = directory([person("req", &[]), Identity::human(id("ann")).with(later)], []);
    let outcome = ask(&policy(of_role("sre", 1)), &question(), &approve(&team, &["ann"]), &team);
    assert_eq!((outcome.answer, why(&outcome, 1)), (Answer::Open, &Unfit::NoRole));
}

#[test]
fn f22_what_has_begun_stays_begun() {
    let before = directory([person("req", &[]), person("ann", &["sre"])], []);
    let mut facts = approve(&before, &["ann"]);
    let admitted = (at(9_500), subject(1).digest());
    facts.apply(ApprovalFact::Admitted { seq: 9, at: admitted.0, subject: admitted.1 }).unwrap();
    let after = directory([person("req", &[]), person("ann", &[])], []);
    // The next question is answered by the directory of now; that this one was admitted stays.
    assert!(!is_met(&ask(&policy(of_role("sre", 1)), &question(), &facts, &after)));
    assert_eq!(facts.admitted(), Some(admitted));
}

fn part_of(subject: &mut Subject, part: Part) -> &mut Digest {
    match part {
        Part::Plan => &mut subject.plan,
        Part::Artifacts => &mut subject.artifacts,
        Part::Environment => &mut subject.environment,
        Part::Policy => &mut subject.policy,
        Part::Evidence => &mut subject.evidence,
    }
}

fn flip(subject: &mut Subject, part: Part, byte: usize, bits: u8) {
    let digest = part_of(subject, part);
    let mut bytes = *digest.as_bytes();
    bytes[byte] ^= bits;
    *digest = Digest::from_bytes(bytes);
}

#[test]
fn f23_every_flipped_bit_of_every_part_drops_every_approval_and_is_named() {
    let team =
        directory([person("req", &[]), person("ann", &["sre"]), person("bob", &["sre"])], []);
    let (facts, policy) = (approve(&team, &["ann", "bob"]), policy(of_role("sre", 2)));
    assert!(is_met(&ask(&policy, &question(), &facts, &team)));
    let mut tried = 0;
    for part in Part::ALL {
        for bit in 0..256 {
            let mut question = question();
            flip(&mut question.subject, part, bit / 8, 1 << (bit % 8));
            let outcome = ask(&policy, &question, &facts, &team);
            let changed = BTreeSet::from([part]);
            assert_eq!((outcome.answer, outcome.counted.len()), (Answer::Open, 0));
            assert_eq!(*why(&outcome, 1), Unfit::Stale { changed: changed.clone() });
            assert_eq!(*why(&outcome, 2), Unfit::Stale { changed });
            tried += 1;
        }
    }
    assert_eq!(tried, 1_280);
}

fn mutations() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
    prop::collection::vec((0..5_u8, 0..32_u8, 1..=255_u8), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn f23_any_mutation_of_the_subject_voids_the_approval_and_names_exactly_what_changed(
        mutations in mutations(),
    ) {
        let team = directory([person("req", &[]), person("ann", &["sre"])], []);
        let mut question = question();
        for (part, byte, bits) in mutations {
            flip(&mut question.subject, Part::ALL[usize::from(part)], byte.into(), bits);
        }
        // Two mutations of one byte may cancel each other out.
        let differs = |part: &Part| {
            let mut before = subject(1);
            let mut now = question.subject;
            *part_of(&mut before, *part) != *part_of(&mut now, *part)
        };
        let changed: BTreeSet<_> = Part::ALL.into_iter().filter(differs).collect();
        let outcome = ask(&policy(of_role("sre", 1)), &question, &approve(&team, &["ann"]), &team);
        if changed.is_empty() {
            prop_assert!(is_met(&outcome));
            prop_assert_eq!(question.subject.digest(), subject(1).digest());
        } else {
            prop_assert_eq!((outcome.answer, outcome.counted.len()), (Answer::Open, 0));
            prop_assert_eq!(why(&outcome, 1), &Unfit::Stale { changed });
            prop_assert_ne!(question.subject.digest(), subject(1).digest());
        }
    }
}

const ACCOUNTS: usize = 7;
const NAMES: [&str; ACCOUNTS] = ["a", "b", "c", "d", "e", "f", "g"];

/// Accounts, who is linked with whom, who acts for whom, and who has to do with the change.
#[derive(Debug, Clone)]
struct Graph {
    machines: [bool; ACCOUNTS],
    /// Pairs; half of them are known to the directory, the others only to what was recorded.
    links: Vec<(usize, usize)>,
    acts_for: Vec<(usize, usize)>,
    lent: Vec<(usize, usize)>,
    requester: usize,
    authors: Vec<usize>,
    n: u32,
}

impl Graph {
    fn read(bytes: [u8; 24]) -> Self {
        let pick = |index: usize| usize::from(bytes[index]) % ACCOUNTS;
        let machine = |index| bytes[0] >> index & 1 == 1 && bytes[1] >> index & 1 == 1;
        let pairs = |from: usize, most: usize, count: u8| {
            let count = usize::from(count) % (most + 1);
            (0..count).map(|at| (pick(from + 2 * at), pick(from + 2 * at + 1))).collect()
        };
        Self {
            machines: std::array::from_fn(machine),
            links: pairs(3, 4, bytes[2]),
            acts_for: pairs(11, 2, bytes[15]),
            lent: pairs(16, 1, bytes[18]),
            requester: pick(19),
            authors: (20..20 + usize::from(bytes[22]) % 3).map(pick).collect(),
            n: u32::from(bytes[23]) % 4 + 1,
        }
    }

    fn human_links(&self) -> impl Iterator<Item = (usize, usize)> {
        let both = |(one, two): &(usize, usize)| !self.machines[*one] && !self.machines[*two];
        self.links.iter().copied().filter(both)
    }

    /// The accounts of each account's person, by walking along links until nothing is new.
    fn person(&self, account: usize) -> BTreeSet<usize> {
        let mut all = BTreeSet::from([account]);
        loop {
            let before = all.len();
            for (one, two) in self.human_links() {
                if all.contains(&one) || all.contains(&two) {
                    all.extend([one, two]);
                }
            }
            if all.len() == before {
                return all;
            }
        }
    }

    fn lends(&self) -> Option<(usize, usize)> {
        let (from, to) = *self.lent.first()?;
        let people = !self.machines[from] && !self.machines[to];
        let known: Vec<_> = self.human_links().step_by(2).collect();
        let known = Self { links: known, ..self.clone() };
        (people && !known.person(from).contains(&to)).then_some((from, to))
    }

    fn directory(&self) -> Directory {
        let identities = (0..ACCOUNTS).map(|account| {
            let name = id(NAMES[account]);
            let mut who = if self.machines[account] {
                Identity::service(name)
            } else {
                Identity::human(name)
            };
            // Who is lent a role has none of their own.
            if self.lends().is_none_or(|(_, to)| to != account) {
                who = who.with(grant("sre"));
            }
            let known = self.human_links().step_by(2).filter(|(one, _)| *one == account);
            who.linked.extend(known.map(|(_, two)| id(NAMES[two])));
            let behind = self.acts_for.iter().filter(|(one, two)| {
                *one == account && self.machines[*one] && !self.machines[*two]
            });
            who.acts_for.extend(behind.map(|(_, two)| id(NAMES[*two])));
            who
        });
        let lent = self.lends().map(|(from, to)| lend(NAMES[from], NAMES[to], "sre"));
        directory(identities, lent)
    }

    fn facts(&self, directory: &Directory) -> ApprovalFacts {
        let given = (0..ACCOUNTS).map(|account| {
            let seq = account as u64 + 1;
            let mut fact = says(directory, seq, NAMES[account], 9_000, Verdict::Approve);
            if let ApprovalFact::Given(approval) = &mut fact {
                let recorded = self.human_links().skip(1).step_by(2);
                let recorded = recorded.filter(|(one, _)| *one == account);
                approval.statement.linked.extend(recorded.map(|(_, two)| id(NAMES[two])));
            }
            fact
        });
        ApprovalFacts::fold(given).unwrap()
    }

    /// The accounts of everybody who has to do with the change.
    fn parties(&self) -> BTreeSet<usize> {
        let named = self.authors.iter().copied().chain([self.requester]);
        let named: BTreeSet<_> = named.collect();
        let behind = self.acts_for.iter().filter(|(one, two)| {
            named.contains(one) && self.machines[*one] && !self.machines[*two]
        });
        let lender = self.lends().filter(|(_, to)| {
            // What the directory knows of the requester's accounts.
            let known: Vec<_> = self.human_links().step_by(2).collect();
            Self { links: known, ..self.clone() }.person(self.requester).contains(to)
        });
        let all = named.iter().copied().chain(behind.map(|(_, two)| *two));
        let all = all.chain(lender.map(|(from, _)| from));
        all.flat_map(|account| self.person(account)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn f24_one_human_is_one_voice_and_no_party_has_one_whatever_their_accounts(
        bytes in any::<[u8; 24]>(),
    ) {
        let graph = Graph::read(bytes);
        let team = graph.directory();
        let mut question = question();
        question.parties.requester = id(NAMES[graph.requester]);
        question.parties.authors = Some(graph.authors.iter().map(|who| id(NAMES[*who])).collect());
        let policy = policy(of_role("sre", graph.n));
        let outcome = ask(&policy, &question, &graph.facts(&team), &team);

        let account = |name: &str| NAMES.iter().position(|known| *known == name).unwrap();
        let counted: Vec<_> =
            outcome.counted.iter().map(|counted| account(counted.by.as_str())).collect();
        let parties = graph.parties();
        for who in &counted {
            prop_assert!(!graph.machines[*who], "a machine counts");
            prop_assert!(!parties.contains(who), "a party counts");
        }
        let people: BTreeSet<_> = counted.iter().map(|who| graph.person(*who)).collect();
        prop_assert_eq!(people.len(), counted.len(), "one person counts twice");
        // Nobody who may is left out: as many people count as there are, up to what is asked for. What was
        // lent is no voice besides that of who lent it.
        let lent_to = graph.lends().map(|(_, to)| to);
        let able = (0..ACCOUNTS).filter(|who| {
            !graph.machines[*who] && !parties.contains(who) && lent_to != Some(*who)
        });
        let able: BTreeSet<_> = able.map(|who| graph.person(who)).collect();
        prop_assert_eq!(is_met(&outcome), able.len() >= graph.n as usize);
    }
}

#[test]
fn f24_a_person_with_two_accounts_brings_the_roles_of_both_but_fills_one_place() {
    let mut ann = person("ann", &["sre"]);
    ann.linked.insert(id("ann.root"));
    let root = person("ann.root", &["security"]);
    let team = directory([person("req", &[]), ann, root, person("bob", &["sre"])], []);
    let two = policy(Expression::AllOf(vec![of_role("sre", 1), of_role("security", 1)]));
    let facts = approve(&team, &["ann", "ann.root"]);
    assert!(!is_met(&ask(&two, &question(), &facts, &team)));
    let facts = approve(&team, &["ann", "ann.root", "bob"]);
    let outcome = ask(&two, &question(), &facts, &team);
    assert_eq!((is_met(&outcome), why(&outcome, 1)), (true, &Unfit::Duplicate { of: 2 }));
    // A link that was recorded outlives its removal from the directory.
    let apart = directory(
        [person("req", &[]), person("ann", &["sre"]), person("ann.root", &["security"])],
        [],
    );
    let facts = approve(&team, &["ann", "ann.root"]);
    let anyone = policy(Expression::Anyone(Anyone { n: 2 }));
    assert!(!is_met(&ask(&anyone, &question(), &facts, &apart)));
}

#[test]
fn f24_the_word_of_a_removed_machine_is_nobodys() {
    let team = directory([person("req", &[]), Identity::service(id("ci")).with(grant("sre"))], []);
    let facts = approve(&team, &["ci"]);
    let outcome = ask(&policy(Expression::Anyone(Anyone { n: 1 })), &question(), &facts, &team);
    assert_eq!(*why(&outcome, 1), Unfit::Machine);
    assert_eq!(outcome.next_change, Some(Timestamp::from_micros(10_290_000_000)));
}
