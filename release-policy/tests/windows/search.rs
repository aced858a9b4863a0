//! How far the search for an opening goes, and what it says where it ends.

use release_core::model::Span;
use release_core::port::Decision;
use release_policy::window::{ActionClass, NeverOpens, Query, When, WindowSpec};

use super::support::{all, ann, at, between, deployment, freeze, name, place};

/// Services `a` and `b` are open in turns, and together for an hour in years: what concerns both begins then.
/// Where they never are, the search says how far it got, and not that no window opens any more.
#[test]
fn a_search_that_is_given_up_does_not_say_that_windows_never_open() {
    let windows = |more: Vec<WindowSpec>| {
        let turn = |id, service: &str, schedule: &str| {
            deployment(id, When::cron(schedule, "30m")).of_service(name(service))
        };
        let turns = [turn("a", "a", "0 * * * *"), turn("b", "b", "30 * * * *")];
        all(turns.into_iter().chain(more))
    };
    let (ann, place) = (ann(), place("production", None));
    let query = Query::new(ActionClass::Deploy, &ann, at("2026-01-01T00:00")).place(&place);
    let once = between("2029-01-01T00:00", "2029-01-01T01:00");
    let both = windows(vec![deployment("b-once", once).of_service(name("b"))]);
    assert_eq!(both.next_open(&query), Ok(at("2029-01-01T00:00")));

    let never = windows(Vec::new());
    let Err(NeverOpens::GivenUp { until }) = never.next_open(&query) else { panic!() };
    assert!(until > at("2030-01-01T00:00"), "{until}");
    let Decision::Wait { until: asked_again, reasons, .. } = never.decide(&query) else { panic!() };
    assert_eq!(asked_again, Some(until), "there the search goes on");
    let why = &reasons.last().unwrap().text;
    assert!(why.contains("the search was given up"), "{why}");
    // A window for all of the place that opens earlier needs none of the parts.
    let whole = deployment("whole", between("2040-01-01T00:00", "2040-01-02T00:00"));
    let whole = windows(vec![whole]);
    let late = query.at(at("2039-01-01T00:00"));
    assert_eq!(whole.next_open(&late), Ok(at("2040-01-01T00:00")));
}

/// The work for one answer is bounded over all windows together: 25 times as many give up sooner instead.
#[test]
fn one_answer_looks_no_further_with_many_windows_than_its_budget_lets_it() {
    let ann = ann();
    let query = Query::new(ActionClass::Deploy, &ann, at("2026-01-01T00:00"));
    let query = query.lasting(Span::secs(12 * 3_600));
    let of = |count: usize| {
        let often =
            |n: usize| freeze(&format!("w{n}"), When::cron(format!("{} */12 * * *", n % 60), "1m"));
        let windows = all((0..count).map(often));
        let given_up = windows.next_open(&query);
        let Err(NeverOpens::GivenUp { until }) = given_up else { panic!("{given_up:?}") };
        assert!(until > query.at);
        assert_eq!(windows.next_open(&query), given_up, "the same again");
        until
    };
    let (far, near) = (of(10), of(250));
    assert!(near < far, "{near} {far}");
}
