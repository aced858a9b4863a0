//! People who are called about what has not come in time: once for a key, whatever happens to the answers of the pager.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::collections::BTreeMap;
use std::sync::Arc;

use release_core::model::{Span, TeamId};
use release_core::port::Clock as _;
use release_providers::escalation::{Escalated, Escalation, EscalationError, Escalator};
use release_providers::spi::Severity;
use release_providers::{ErrorKind, ProviderError};
use release_testkit::fakes::{Behaviour, FakePager, PagerOp};
use release_testkit::{VirtualClock, fixtures};

const KEY: &str = "shop-2026-05/tested";

/// A pager that calls two teams, on a clock.
struct Bench {
    clock: Arc<VirtualClock>,
    pager: FakePager,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(VirtualClock::new());
        let teams = ["payments", "search"].map(fixtures::literal::<TeamId>);
        let pager = FakePager::new(teams).with_clock(clock.clone());
        Self { clock, pager }
    }

    /// One of a host that was just started.
    fn escalator(&self) -> Escalator {
        let pager = Arc::new(self.pager.clone());
        Escalator::new(pager, self.clock.clone(), fixtures::robot()).patience(Span::secs(20))
    }

    fn missed(&self, escalator: &mut Escalator, late: &Escalation) -> Vec<String> {
        said(&self.clock.run(escalator.missed(late)).unwrap())
    }

    fn come(&self, escalator: &mut Escalator, late: &Escalation) -> Vec<String> {
        said(&self.clock.run(escalator.come(late)).unwrap())
    }

    fn counts(&self) -> [usize; 2] {
        [PagerOp::Page, PagerOp::Resolve].map(|op| self.pager.count(op))
    }
}

fn said(became: &BTreeMap<TeamId, Escalated>) -> Vec<String> {
    let one = |(team, became): (&TeamId, &Escalated)| match became {
        Escalated::Failed(error) => format!("{team}: failed, {}", error.kind().as_str()),
        other => format!("{team}: {other:?}"),
    };
    became.iter().map(one).collect()
}

fn late(teams: &[&str]) -> Escalation {
    let teams = teams.iter().map(|team| fixtures::literal::<TeamId>(team));
    Escalation::new(KEY, teams, "the tests are a day late").unwrap()
}

#[test]
fn people_are_called_once_for_a_key_until_it_has_come() {
    let bench = Bench::new();
    let mut late = late(&["payments", "search"]);
    late.runbook = Some("https://runbooks/tests".into());
    let mut first = bench.escalator();
    assert_eq!(bench.missed(&mut first, &late), ["payments: Called", "search: Called"]);
    let call = bench.pager.with(|on_call| on_call.made().next().unwrap().1.clone());
    assert_eq!((call.severity, &*call.summary), (Severity::Critical, "the tests are a day late"));
    assert_eq!(call.runbook.as_deref(), Some("https://runbooks/tests"));
    let calling = ["payments: Stands(Calling)", "search: Stands(Calling)"];
    assert_eq!(bench.missed(&mut first, &late), calling);
    // Of a host that was started anew, too.
    let mut second = bench.escalator();
    assert_eq!(bench.missed(&mut second, &late), calling);
    let key = format!("{KEY}/payments");
    assert!(bench.pager.with(|on_call| on_call.acknowledge(&key, "ada", bench.clock.now())));
    let taken = bench.missed(&mut second, &late);
    assert!(taken.iter().any(|one| one.contains("Acknowledged { by: \"ada\"")), "{taken:?}");
    assert_eq!(bench.counts(), [2, 0]);

    let over = ["payments: Over", "search: Over"];
    assert_eq!(bench.come(&mut second, &late), over);
    assert_eq!(bench.come(&mut bench.escalator(), &late), over);
    // What came is not late any more, whoever says so.
    assert_eq!(bench.missed(&mut first, &late), over);
    assert_eq!(bench.counts(), [2, 2]);
}

#[test]
fn what_came_in_time_ends_no_call() {
    let bench = Bench::new();
    let came = bench.come(&mut bench.escalator(), &late(&["payments"]));
    assert_eq!(came, ["payments: NeverCalled"]);
    assert_eq!(bench.counts(), [0, 0]);
    assert!(Escalated::NeverCalled.is_settled() && Escalated::Over.is_settled());
    assert!(!Escalated::Doubtful.is_settled() && !Escalated::Called.is_settled());
}

#[test]
fn lost_answers_neither_call_twice_nor_leave_a_call_behind() {
    for (loss, then) in [
        (Behaviour::ApplyThenLose, "payments: Stands(Calling)"),
        (Behaviour::LoseBefore, "payments: Called"),
    ] {
        let (bench, late) = (Bench::new(), late(&["payments"]));
        let mut escalator = bench.escalator();
        bench.pager.script(PagerOp::Page, [loss]);
        bench.pager.script(PagerOp::Resolve, [Behaviour::LoseBefore, Behaviour::ApplyThenLose]);
        assert_eq!(bench.missed(&mut escalator, &late), ["payments: failed, unavailable"]);
        assert_eq!(bench.missed(&mut escalator, &late), [then]);
        assert_eq!(bench.pager.with(|on_call| on_call.made().count()), 1);
        for became in
            ["payments: failed, unavailable", "payments: failed, unavailable", "payments: Over"]
        {
            assert_eq!(bench.come(&mut escalator, &late), [became]);
        }
    }
}

#[test]
fn a_call_that_may_still_come_is_looked_for_until_it_cannot() {
    let (bench, late) = (Bench::new(), late(&["payments"]));
    let mut escalator = bench.escalator();
    bench.pager.script(PagerOp::Page, [Behaviour::LoseBefore]);
    assert_eq!(bench.missed(&mut escalator, &late), ["payments: failed, unavailable"]);
    assert_eq!(bench.come(&mut escalator, &late), ["payments: Doubtful"]);
    bench.clock.advance(Span::secs(21));
    assert_eq!(bench.come(&mut escalator, &late), ["payments: NeverCalled"]);
}

#[test]
fn a_pager_that_fails_for_one_team_still_calls_the_others() {
    let bench = Bench::new();
    let mut escalator = bench.escalator();
    // Nobody is on call for `people`, who come between the two.
    let late = late(&["payments", "people", "search"]);
    let became = bench.missed(&mut escalator, &late);
    assert_eq!(became, ["payments: Called", "people: failed, not_found", "search: Called"]);
}

#[test]
fn who_cannot_be_asked_whether_they_call_is_asked_to_call() {
    let gone = || ProviderError::new(ErrorKind::Unavailable, "observe", "gone for lunch");
    let (bench, late) = (Bench::new(), late(&["payments"]));
    let mut escalator = bench.escalator();
    bench.pager.script(PagerOp::Observe, [Behaviour::Fail(gone()), Behaviour::Fail(gone())]);
    assert_eq!(bench.missed(&mut escalator, &late), ["payments: Called"]);
    assert_eq!(bench.missed(&mut escalator, &late), ["payments: Called"]);
    assert_eq!(bench.pager.with(|on_call| on_call.made().count()), 1, "one key, one call");
}

#[test]
fn a_pager_that_hangs_is_left_alone_and_asked_again() {
    let (bench, late) = (Bench::new(), late(&["payments"]));
    let mut escalator = bench.escalator();
    bench.pager.script(PagerOp::Observe, [Behaviour::Hang]);
    bench.pager.script(PagerOp::Page, [Behaviour::ApplyThenHang]);
    let begin = bench.clock.now();
    assert_eq!(bench.missed(&mut escalator, &late), ["payments: failed, timeout"]);
    assert_eq!(bench.clock.now().since(begin), Span::secs(40));
    assert_eq!(bench.missed(&mut escalator, &late), ["payments: Stands(Calling)"]);
    assert_eq!(bench.come(&mut escalator, &late), ["payments: Over"]);
    assert_eq!(bench.counts(), [1, 1]);
}

#[test]
fn an_escalation_without_a_key_or_a_team_is_refused() {
    let team = || fixtures::literal::<TeamId>("payments");
    let refused = Escalation::new(" ", [team()], "late").unwrap_err();
    assert_eq!(refused, EscalationError::NoKey);
    let refused = Escalation::new(KEY, [], "late").unwrap_err();
    assert_eq!(refused, EscalationError::Nobody { key: KEY.into() });
    assert!(refused.to_string().contains("name a team"), "{refused}");
    let kept = Escalation::new(KEY, [team(), team()], "late").unwrap();
    assert_eq!((kept.key(), kept.teams().len()), (KEY, 1));
}
