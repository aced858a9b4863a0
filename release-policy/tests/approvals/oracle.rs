//! The answer beside that of a solver which tries every assignment and shares no code with ours.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::model::{Identity, PrincipalId};
use release_policy::approval::{
    Answer, Anyone, Approval, ApprovalFact, ApprovalFacts, ApprovalPolicy, Expression, OfRole,
    Question, Quorum, Statement, Verdict, evaluate,
};
use release_policy::directory::{Directory, DirectoryState};

use crate::support::{NOW, at, could_fill, grant, id, person, question, role, scope, subject};

const ACCOUNTS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const ROLES: [&str; 2] = ["sre", "qa"];

/// A person, and the roles that they bring.
type Voice = (usize, BTreeSet<&'static str>);

/// Whether a person fits a place.
type Fits<'a> = Box<dyn Fn(&Voice) -> bool + 'a>;

/// Draws small numbers from bytes, which shrink.
struct Draws<'a>(std::slice::Iter<'a, u8>);

impl Draws<'_> {
    fn below(&mut self, end: u8) -> u8 {
        self.0.next().copied().unwrap_or(0) % end
    }
    fn one_in(&mut self, n: u8) -> bool {
        self.below(n) == n - 1
    }
    fn account(&mut self) -> usize {
        usize::from(self.below(6))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    Stale,
    Expired,
    TooOld,
    Withdrawn,
    Reset,
}

#[derive(Debug, Clone)]
struct Account {
    machine: bool,
    inactive: bool,
    linked: Option<usize>,
    had: BTreeSet<&'static str>,
    has: BTreeSet<&'static str>,
}

#[derive(Debug, Clone)]
struct World {
    accounts: Vec<Account>,
    said: Vec<(usize, Flaw)>,
    requester: Option<usize>,
    author: Option<usize>,
    expression: Expression,
}

impl World {
    fn draw(bytes: &[u8]) -> Self {
        let mut draws = Draws(bytes.iter());
        let expression = expression(&mut draws, 2);
        let mut accounts: Vec<Account> = Vec::new();
        for index in 0..ACCOUNTS.len() {
            let machine = draws.one_in(10);
            let linked = (index > 0 && draws.one_in(6)).then(|| draws.account() % index);
            let linked = linked.filter(|other| !machine && !accounts[*other].machine);
            let had: BTreeSet<_> = ROLES.into_iter().filter(|_| draws.below(3) > 0).collect();
            let has = had.iter().copied().filter(|_| !draws.one_in(6)).collect();
            accounts.push(Account { machine, inactive: draws.one_in(10), linked, had, has });
        }
        let said = (0..draws.below(8)).map(|_| {
            let flaw = match draws.below(16) {
                0 => Flaw::Stale,
                1 => Flaw::Expired,
                2 => Flaw::TooOld,
                3 => Flaw::Withdrawn,
                4 => Flaw::Reset,
                _ => Flaw::None,
            };
            (draws.account(), flaw)
        });
        let said = said.collect();
        let requester = draws.one_in(3).then(|| draws.account());
        let author = draws.one_in(4).then(|| draws.account());
        Self { accounts, said, requester, author, expression }
    }

    fn identity(&self, index: usize) -> Identity {
        let account = &self.accounts[index];
        let name = id(ACCOUNTS[index]);
        let mut who = if account.machine { Identity::service(name) } else { Identity::human(name) };
        who.active = !account.inactive;
        who.linked.extend(account.linked.map(|other| id(ACCOUNTS[other])));
        for role in &account.had {
            let mut grant = grant(role);
            grant.until = (!account.has.contains(role)).then(|| at(9_500));
            who.grants.push(grant);
        }
        who
    }

    fn directory(&self) -> Directory {
        let all = (0..ACCOUNTS.len()).map(|index| self.identity(index));
        Directory::new(1, at(NOW - 10), all.chain([person("req", &[])]), []).unwrap()
    }

    fn question(&self) -> Question {
        let mut question = question();
        let account = |index: usize| id(ACCOUNTS[index]);
        question.parties.requester = self.requester.map_or_else(|| id("req"), account);
        question.parties.authors = Some(self.author.map(account).into_iter().collect());
        question
    }

    fn statement(&self, index: usize, seq: u64, flaw: Flaw) -> Statement {
        let second = match flaw {
            Flaw::TooOld => 1_000,
            Flaw::Reset => 2_000,
            _ => 9_000,
        };
        Statement {
            seq,
            by: id(ACCOUNTS[index]),
            linked: BTreeSet::new(),
            roles: self.accounts[index].had.iter().map(|name| role(name)).collect(),
            at: at(second),
            expires: at(if flaw == Flaw::Expired { NOW } else { NOW + 1 }),
            bound_to: subject(if flaw == Flaw::Stale { 2 } else { 1 }),
        }
    }

    fn facts(&self) -> ApprovalFacts {
        // In the order of their instants, with the reset after those that it concerns.
        let order = |flaw: Flaw| match flaw {
            Flaw::TooOld => 0,
            Flaw::Reset => 1,
            _ => 2,
        };
        let mut said: Vec<_> = self.said.clone();
        said.sort_by_key(|(_, flaw)| order(*flaw));
        let mut facts = ApprovalFacts::default();
        let mut seq = 0;
        let mut next = || {
            seq += 1;
            seq
        };
        for rank in 0..3 {
            let ours = said.iter().filter(|(_, flaw)| order(*flaw) == rank);
            let mut withdrawn = Vec::new();
            for (index, flaw) in ours {
                let seq = next();
                let statement = self.statement(*index, seq, *flaw);
                if *flaw == Flaw::Withdrawn {
                    withdrawn.push((seq, statement.by.clone()));
                }
                let (verdict, comment) = (Verdict::Approve, String::new());
                facts
                    .apply(ApprovalFact::Given(Box::new(Approval { statement, verdict, comment })))
                    .unwrap();
            }
            for (of, by) in withdrawn {
                let fact = ApprovalFact::Withdrawn { seq: next(), of, by, at: at(9_100) };
                facts.apply(fact).unwrap();
            }
            if rank == 1 {
                let reason = String::new();
                let reset = ApprovalFact::Reset { seq: next(), at: at(3_000), reason };
                facts.apply(reset).unwrap();
            }
        }
        facts
    }

    fn policy(&self) -> ApprovalPolicy {
        let mut policy = ApprovalPolicy::new(Quorum::new(self.expression.clone()).unwrap());
        policy.valid_for = release_core::model::Span::secs(9_000);
        policy
    }

    /// The smallest account of each account's person.
    fn person(&self, account: usize) -> usize {
        let mut labels: Vec<_> = (0..ACCOUNTS.len()).collect();
        for _ in 0..ACCOUNTS.len() {
            for (index, account) in self.accounts.iter().enumerate() {
                if let Some(other) = account.linked {
                    let least = labels[index].min(labels[other]);
                    labels[index] = least;
                    labels[other] = least;
                }
            }
        }
        labels[account]
    }

    /// Each person who approves, with the roles that they bring.
    fn voices(&self) -> Vec<Voice> {
        let mut all: Vec<Voice> = Vec::new();
        for (index, flaw) in &self.said {
            let account = &self.accounts[*index];
            let person = self.person(*index);
            let out = [self.requester, self.author].into_iter().flatten();
            let out = out.map(|party| self.person(party)).any(|party| party == person);
            if *flaw != Flaw::None || account.machine || account.inactive || out {
                continue;
            }
            match all.iter_mut().find(|(known, _)| *known == person) {
                Some((_, roles)) => roles.extend(account.has.iter()),
                None => all.push((person, account.has.clone())),
            }
        }
        all
    }

    /// Whether there is any way to give each part people of its own.
    fn is_met(&self, voices: &[Voice]) -> bool {
        self.solve(vec![self.expression.clone()], voices, &BTreeSet::new())
    }

    fn solve(&self, mut open: Vec<Expression>, voices: &[Voice], used: &BTreeSet<usize>) -> bool {
        let Some(part) = open.pop() else { return true };
        let (rest, fits): (_, Fits<'_>) = match part {
            Expression::AllOf(parts) => {
                open.extend(parts);
                return self.solve(open, voices, used);
            }
            Expression::AnyOf(parts) => {
                return parts.into_iter().any(|part| {
                    let open = open.iter().cloned().chain([part]).collect();
                    self.solve(open, voices, used)
                });
            }
            Expression::OfRole(OfRole { role, n }) => {
                let rest = OfRole { role: role.clone(), n: n - 1 };
                let rest = (n > 1).then_some(Expression::OfRole(rest));
                (rest, Box::new(move |(_, roles)| roles.contains(role.as_str())))
            }
            Expression::Anyone(Anyone { n }) => {
                let rest = (n > 1).then_some(Expression::Anyone(Anyone { n: n - 1 }));
                (rest, Box::new(|_| true))
            }
            Expression::MustInclude(who) => {
                let index = ACCOUNTS.iter().position(|name| *name == who.as_str()).unwrap();
                (None, Box::new(move |(person, _)| *person == self.person(index)))
            }
        };
        open.extend(rest);
        voices.iter().filter(|voice| !used.contains(&voice.0) && fits(voice)).any(|voice| {
            let used = used.iter().copied().chain([voice.0]).collect();
            self.solve(open.clone(), voices, &used)
        })
    }
}

fn expression(draws: &mut Draws<'_>, depth: u8) -> Expression {
    let n = u32::from(draws.below(3)) / 2 + 1;
    let parts = |draws: &mut Draws<'_>| {
        (0..=draws.below(3)).map(|_| expression(draws, depth - 1)).collect()
    };
    match draws.below(if depth == 0 { 4 } else { 8 }) {
        0 | 1 => Expression::OfRole(OfRole { role: role(ROLES[usize::from(draws.below(2))]), n }),
        2 => Expression::Anyone(Anyone { n }),
        3 => Expression::MustInclude(id(ACCOUNTS[draws.account()])),
        4..=6 => Expression::AllOf(parts(draws)),
        _ => Expression::AnyOf(parts(draws)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn nothing_is_approved_that_no_assignment_of_different_people_approves(
        bytes in prop::collection::vec(any::<u8>(), 96),
    ) {
        let world = World::draw(&bytes);
        let voices = world.voices();
        let (directory, question) = (world.directory(), world.question());
        let (policy, facts) = (world.policy(), world.facts());
        let ask = |at| evaluate(&policy, &question, &facts, DirectoryState::Snapshot(&directory), at);
        let outcome = ask(at(NOW));
        prop_assert_eq!(outcome.answer == Answer::Met, world.is_met(&voices), "{:?}", world);

        // Every statement is told of once, and different people count.
        let told: BTreeSet<_> = outcome.counted.iter().map(|counted| counted.seq)
            .chain(outcome.dropped.iter().map(|dropped| dropped.seq)).collect();
        prop_assert_eq!(told.len(), outcome.counted.len() + outcome.dropped.len());
        prop_assert_eq!(told.len(), world.said.len());
        let humans: BTreeSet<_> = outcome.counted.iter().map(|counted| &counted.human).collect();
        prop_assert_eq!(humans.len(), outcome.counted.len());

        // The answer holds until the instant that it names.
        let change = outcome.next_change.unwrap();
        let just_before = release_core::model::Timestamp::from_micros(change.as_micros() - 1);
        let mut later = ask(just_before);
        later.at = outcome.at;
        prop_assert_eq!(later, outcome);
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn who_could_fill_a_place_is_who_would_bring_it_nearer(
        bytes in prop::collection::vec(any::<u8>(), 96),
    ) {
        let world = World::draw(&bytes);
        let (directory, question) = (world.directory(), world.question());
        let (policy, facts) = (world.policy(), world.facts());
        let ask = |facts: &ApprovalFacts| {
            evaluate(&policy, &question, facts, DirectoryState::Snapshot(&directory), at(NOW))
        };
        let outcome = ask(&facts);
        let named = could_fill(&outcome);
        let spoke: BTreeSet<_> = world.voices().into_iter().map(|(person, _)| person).collect();
        for (index, name) in ACCOUNTS.iter().enumerate() {
            let counts = outcome.counted.iter().any(|counted| counted.human == id(
                ACCOUNTS[world.person(index)],
            ));
            prop_assert!(!(counts && named.contains(*name)), "{} counts already", name);
            if spoke.contains(&world.person(index)) {
                continue; // what another account of theirs may add is not asked here
            }
            let mut more = facts.clone();
            let by: PrincipalId = id(name);
            let roles = directory.roles(&by, &scope(), at(NOW));
            let (linked, expires) = (BTreeSet::new(), at(NOW + 1));
            let seq = 1_000;
            let bound_to = subject(1);
            let statement = Statement { seq, by, linked, roles, at: at(NOW), expires, bound_to };
            let (verdict, comment) = (Verdict::Approve, String::new());
            more.apply(ApprovalFact::Given(Box::new(Approval { statement, verdict, comment }))).unwrap();
            let nearer = ask(&more).missing.len() < outcome.missing.len();
            // Other ways may be nearer with somebody whom the nearest way of now does not need.
            if outcome.other_ways == 0 || named.contains(*name) {
                // A place for one person is told by the id it was written with.
                let must = policy.quorum.ways().iter().flatten().any(|slot| {
                    matches!(slot, release_policy::approval::Slot::Person(_))
                });
                if !must || named.contains(*name) {
                    prop_assert_eq!(named.contains(*name), nearer, "{} in {:?}", name, world);
                }
            }
        }
    }
}
