//! The change advisory board.

use proptest::prelude::*;
use release_core::model::{Digest, Gate, Span};
use release_policy::approval::{Invalid, Part, Party, Statement, Unfit};
use release_policy::cab::{
    Agenda, AgendaItem, Ballot, Board, BoardAnswer, BoardError, BoardFacts, BoardOutcome,
    Condition, Interest, Minutes, SealError, Vote, WhyNot, decide,
};
use release_policy::change::{ChangeType, RiskInputs, Standing};
use release_policy::directory::{Directory, DirectoryState};

use crate::support::{NOW, at, directory, id, lend, person, question, role, scope, subject};

fn team() -> Directory {
    directory(
        [
            person("req", &["ops"]),
            person("ann", &["chair"]),
            person("bob", &["ops"]),
            person("cat", &["security", "ops"]),
            person("dan", &["product"]),
            person("eve", &["chair", "product"]),
            person("fay", &[]),
        ],
        [lend("dan", "fay", "product")],
    )
}

fn board() -> Board {
    Board::new(role("chair"), ["ops", "security", "product"].map(role), 2).unwrap()
}

fn vote(team: &Directory, seq: u64, by: &str, ballot: Ballot) -> Vote {
    let statement = Statement {
        seq,
        by: id(by),
        linked: [].into(),
        roles: team.roles(&id(by), &scope(), at(9_000)),
        at: at(9_000),
        expires: at(NOW + 1_000),
        bound_to: subject(1),
    };
    Vote { statement, ballot }
}

fn facts(team: &Directory, votes: &[(&str, Ballot)]) -> BoardFacts {
    let votes = (1_u64..).zip(votes).map(|(seq, (by, ballot))| vote(team, seq, by, ballot.clone()));
    BoardFacts { votes: votes.collect(), interests: Vec::new(), deadline: at(NOW + 100) }
}

fn ask(facts: &BoardFacts, team: &Directory) -> BoardOutcome {
    decide(&board(), &question(), facts, DirectoryState::Snapshot(team), at(NOW))
}

fn approved() -> BoardAnswer {
    BoardAnswer::Approved { conditions: Vec::new() }
}

#[test]
fn the_chair_and_enough_seats_decide() {
    use Ballot::{Approve, Defer, Reject};
    let team = team();
    let open = |chair, seats| BoardAnswer::Open { chair, seats };
    for (votes, want) in [
        (vec![], open(true, 2)),
        (vec![("ann", Approve)], open(false, 2)),
        (vec![("bob", Approve), ("cat", Approve)], open(true, 0)),
        (vec![("ann", Approve), ("bob", Approve), ("cat", Approve)], approved()),
        // cat has two of the seats and fills one.
        (vec![("ann", Approve), ("cat", Approve)], open(false, 1)),
        // eve leads, or sits for the product, not both.
        (vec![("eve", Approve), ("bob", Approve)], open(false, 1)),
        (vec![("eve", Approve), ("ann", Approve), ("bob", Approve)], approved()),
        (vec![("ann", Defer), ("bob", Approve), ("cat", Approve)], BoardAnswer::Deferred),
        (vec![("ann", Reject), ("bob", Approve), ("cat", Approve)], BoardAnswer::Rejected),
        // One of three seats against it leaves two; two leave one.
        (vec![("ann", Approve), ("bob", Reject)], open(false, 2)),
        (vec![("bob", Reject), ("dan", Reject)], BoardAnswer::Rejected),
        // Whoever votes again has changed their mind.
        (
            vec![("ann", Approve), ("bob", Approve), ("cat", Approve), ("cat", Defer)],
            open(false, 1),
        ),
        // What dan lent to fay is his voice.
        (vec![("ann", Approve), ("dan", Approve), ("fay", Approve)], open(false, 1)),
        (vec![("ann", Approve), ("bob", Approve), ("fay", Approve)], approved()),
    ] {
        assert_eq!(ask(&facts(&team, &votes), &team).answer, want, "{votes:?}");
    }
}

#[test]
fn whoever_has_an_interest_neither_votes_nor_counts() {
    let team = team();
    let votes = [("ann", Ballot::Approve), ("cat", Ballot::Approve), ("fay", Ballot::Approve)];
    let mut facts = facts(&team, &votes);
    assert_eq!(ask(&facts, &team).answer, approved());
    // Neither does what they lent.
    let reason = "sells it".to_owned();
    facts.interests = vec![Interest { seq: 9, who: id("dan"), reason: reason.clone() }];
    let outcome = ask(&facts, &team);
    assert_eq!(outcome.answer, BoardAnswer::Open { chair: false, seats: 1 });
    facts.interests = vec![Interest { seq: 9, who: id("cat"), reason: reason.clone() }];
    let outcome = ask(&facts, &team);
    assert_eq!(outcome.answer, BoardAnswer::Open { chair: false, seats: 1 });
    assert_eq!(outcome.dropped[0].why, WhyNot::Interested { reason });
    // The requester's interest need not be declared; and their veto is none either.
    let team_votes = [("req", Ballot::Reject)];
    let outcome = ask(&self::facts(&team, &team_votes), &team);
    let why = Unfit::Excluded { party: Party::Requester };
    assert_eq!(outcome.dropped[0].why, WhyNot::Unfit { why });
}

#[test]
fn votes_are_judged_by_what_is_and_who_is_now() {
    let team = team();
    let votes = [("ann", Ballot::Approve), ("bob", Ballot::Approve), ("dan", Ballot::Approve)];
    let facts = facts(&team, &votes);
    assert_eq!(ask(&facts, &team).answer, approved());
    let without = directory([person("ann", &["chair"]), person("bob", &["ops"])], []);
    let outcome = ask(&facts, &without);
    assert_eq!(outcome.answer, BoardAnswer::Open { chair: false, seats: 1 });
    let why = Unfit::Invalidated { reason: Invalid::Unknown };
    assert_eq!(outcome.dropped[0].why, WhyNot::Unfit { why });
    let mut changed = question();
    changed.subject.plan = subject(2).plan;
    let known = DirectoryState::Snapshot(&team);
    let outcome = decide(&board(), &changed, &facts, known, at(NOW));
    let why = Unfit::Stale { changed: [Part::Plan].into() };
    assert_eq!(outcome.dropped[0].why, WhyNot::Unfit { why });
    let down = DirectoryState::Down { since: at(1) };
    let outcome = decide(&board(), &question(), &facts, down, at(NOW));
    assert!(matches!(outcome.answer, BoardAnswer::Denied { .. }));
}

#[test]
fn what_is_not_decided_at_the_deadline_is_deferred() {
    let team = team();
    let mut facts = facts(&team, &[("ann", Ballot::Approve), ("bob", Ballot::Approve)]);
    facts.deadline = at(NOW);
    assert_eq!(ask(&facts, &team).answer, BoardAnswer::Deferred);
    let mut late = vote(&team, 3, "cat", Ballot::Approve);
    late.statement.at = at(NOW);
    facts.votes.push(late);
    let outcome = ask(&facts, &team);
    assert_eq!((outcome.answer, &outcome.dropped[0].why), (BoardAnswer::Deferred, &WhyNot::Late));
}

#[test]
fn conditions_become_gates_each_once() {
    let team = team();
    let soak = Condition { text: "a day in qa".into(), gate: Gate::Soak(Span::secs(86_400)) };
    let night = Condition { text: "not before night".into(), gate: Gate::NotBefore(at(20_000)) };
    let with = |all: &[&Condition]| {
        Ballot::ApproveWithConditions(all.iter().map(|condition| (*condition).clone()).collect())
    };
    let votes =
        [("ann", Ballot::Approve), ("bob", with(&[&soak])), ("cat", with(&[&night, &soak]))];
    let outcome = ask(&facts(&team, &votes), &team);
    assert_eq!(outcome.answer, BoardAnswer::Approved { conditions: vec![soak, night] });
    let gates: Vec<_> = outcome.gates().cloned().collect();
    assert_eq!(gates, [Gate::Soak(Span::secs(86_400)), Gate::NotBefore(at(20_000))]);
}

#[test]
fn minutes_that_were_changed_are_found() {
    let team = team();
    let facts = facts(&team, &[("ann", Ballot::Reject)]);
    let outcome = ask(&facts, &team);
    let (meeting, held_at, question) = ("week 48".to_owned(), at(NOW), question());
    let minutes = Minutes { meeting, held_at, question, facts, outcome };
    let sealed = minutes.seal().unwrap();
    assert_eq!(sealed.digest, Digest::of(sealed.text.as_bytes()));
    assert_eq!(sealed.open().unwrap(), minutes);
    let mut forged = sealed.clone();
    forged.text = forged.text.replace("rejected", "deferred");
    assert_ne!(forged.text, sealed.text);
    assert!(matches!(forged.open(), Err(SealError::Changed { .. })));
}

#[test]
fn an_agenda_tells_the_riskiest_first_and_is_no_markup_of_others() {
    let item = |change: &str, title: &str, cab_from| AgendaItem {
        change: change.into(),
        title: title.into(),
        kind: ChangeType::Normal,
        requester: id("req"),
        scope: scope(),
        subject: subject(1),
        routing: crate::changes::model(cab_from).route(
            &RiskInputs::new(),
            ChangeType::Normal,
            &Standing::NotYet { in_a_row: 0, of: 1, lost: None },
        ),
        deadline: at(NOW),
    };
    let mut low = item("CHG-1", "small", 50);
    low.routing.assessment.score = 7;
    let high = item("CHG-2", "big | [x](http://evil)\n# Approved", 50);
    let agenda = Agenda { meeting: "week 48".into(), at: at(0), items: vec![low, high] };
    let text = agenda.to_markdown();
    assert!(text.find("## CHG-2: big").unwrap() < text.find("## CHG-1: small").unwrap(), "{text}");
    assert!(text.contains(r"big \| \[x\]\(http://evil\) \# Approved"), "{text}");
    assert!(text.contains("- risk 100 of 100 (model 3; the board from 50)"), "{text}");
    assert!(text.contains("| data migration | not known | 40 | 40 |"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with('#')).count(), 3);
    let json = agenda.to_json().unwrap();
    assert_eq!(serde_json::from_str::<Agenda>(&json).unwrap(), agenda);
}

#[test]
fn a_board_that_can_decide_nothing_is_refused_by_name() {
    let new = |seats: &[&str], n| Board::new(role("chair"), seats.iter().map(|name| role(name)), n);
    assert_eq!(new(&["ops"], 0), Err(BoardError::Quorum { n: 0, m: 1 }));
    assert_eq!(new(&["ops"], 2), Err(BoardError::Quorum { n: 2, m: 1 }));
    assert_eq!(new(&["ops", "chair"], 1), Err(BoardError::ChairHasSeat(role("chair"))));
    let text = r#"{"chair":"chair","seats":["ops"],"n":2,"directory_max_age":"5m"}"#;
    let error = serde_json::from_str::<Board>(text).unwrap_err().to_string();
    assert!(error.starts_with("board/quorum"), "{error}");
}

const MEMBERS: [(&str, &[&str]); 5] = [
    ("ann", &["chair"]),
    ("bob", &["ops"]),
    ("cat", &["security", "ops"]),
    ("dan", &["product"]),
    ("eve", &["chair", "product"]),
];

/// Whether these people can be given the chair and two seats, by trying all ways.
fn can_sit(people: &[usize]) -> bool {
    let has = |who: usize, role: &str| MEMBERS[who].1.contains(&role);
    let pairs = [("ops", "security"), ("ops", "product"), ("security", "product")];
    people.iter().any(|chair| {
        has(*chair, "chair")
            && people.iter().any(|one| {
                people.iter().any(|two| {
                    let apart = chair != one && chair != two && one != two;
                    apart && pairs.iter().any(|(a, b)| has(*one, a) && has(*two, b))
                })
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn a_board_never_approves_without_its_chair_and_two_other_seats(
        ballots in prop::array::uniform5(0..4_u8),
        interested in prop::option::of(0..5_usize),
    ) {
        let team = team();
        let cast = |ballot| match ballot {
            0 => None,
            1 => Some(Ballot::Approve),
            2 => Some(Ballot::Defer),
            _ => Some(Ballot::Reject),
        };
        let votes: Vec<_> = MEMBERS.iter().zip(ballots)
            .filter_map(|((who, _), ballot)| Some((*who, cast(ballot)?))).collect();
        let mut facts = facts(&team, &votes);
        facts.interests.extend(interested.map(|who| {
            Interest { seq: 9, who: id(MEMBERS[who].0), reason: "any".into() }
        }));
        let outcome = ask(&facts, &team);
        let free = |who: &usize| Some(*who) != interested;
        let all = |wanted: u8| {
            (0..5).filter(free).filter(|who| ballots[*who] == wanted).collect::<Vec<_>>()
        };
        let leads = |who: &usize| MEMBERS[*who].1.contains(&"chair");
        let against = all(2).iter().chain(&all(3)).any(leads);
        if outcome.answer == approved() {
            prop_assert!(can_sit(&all(1)) && !against);
            prop_assert!(outcome.agree.len() >= 3);
        } else if can_sit(&all(1)) && !against {
            // Only seats against it stand in the way of those who agree.
            prop_assert_eq!(outcome.answer, BoardAnswer::Rejected);
            prop_assert!(all(3).len() >= 2);
        }
    }
}
