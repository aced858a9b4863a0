//! What windows of other systems mean can be said with these.

use release_core::model::Span;
use release_policy::window::{ActionClass, Invokers, NeverOpens, OnStart, Query, When};

use super::support::{all, ann, at, deployment, freeze, may_deploy, place, robot};

/// Argo CD: without windows all is allowed; with allow windows only while one is active; an active deny
/// window beats it.
#[test]
fn argo_cd_sync_windows_deny_beats_allow() {
    let none = all([]);
    assert!(may_deploy(&none, &robot(), "2026-03-02T03:00"));
    let allow = deployment("allow", When::cron("0 8 * * *", "10h"));
    let deny = freeze("deny", When::cron("0 12 * * *", "1h"));
    let windows = all([allow, deny]);
    for (text, want) in [
        ("2026-03-02T07:59", false),
        ("2026-03-02T08:00", true),
        ("2026-03-02T12:00", false),
        ("2026-03-02T13:00", true),
        ("2026-03-02T18:00", false),
    ] {
        assert_eq!(may_deploy(&windows, &robot(), text), want, "{text}");
    }
    // Only a deny window: all other times are allowed.
    let windows = all([freeze("deny", When::cron("0 12 * * *", "1h"))]);
    assert!(may_deploy(&windows, &robot(), "2026-03-02T03:00"));
    assert!(!may_deploy(&windows, &robot(), "2026-03-02T12:30"));
}

/// Argo CD `manualSync`: the window does not hold what a person asks for.
#[test]
fn argo_cd_sync_windows_manual_sync() {
    let deny = freeze("deny", When::cron("0 12 * * *", "1h"));
    let manual = all([deny.clone().invokers(Invokers::automation())]);
    assert!(may_deploy(&manual, &ann(), "2026-03-02T12:30"));
    assert!(!may_deploy(&manual, &robot(), "2026-03-02T12:30"));
    let allow = deployment("allow", When::cron("0 8 * * *", "1h")).invokers(Invokers::automation());
    let manual = all([allow]);
    assert!(may_deploy(&manual, &ann(), "2026-03-02T12:30"));
    assert!(!may_deploy(&manual, &robot(), "2026-03-02T12:30"));
    // A second window without it holds the person, too.
    let both =
        all([deny.invokers(Invokers::automation()), freeze("all", When::cron("0 12 * * *", "1h"))]);
    assert!(!may_deploy(&both, &ann(), "2026-03-02T12:30"));
}

/// Argo CD `syncOverrun`: what has begun goes on, but only if every window in the way says so.
#[test]
fn argo_cd_sync_windows_sync_overrun() {
    let noon = || When::cron("0 12 * * *", "1h");
    let finish = freeze("finish", noon()).on_start(OnStart::Finish);
    let ann = ann();
    let query = Query::new(ActionClass::Advance, &ann, at("2026-03-02T12:30"));
    assert_eq!(all([finish.clone()]).on_start(&query), Some(OnStart::Finish));
    assert_eq!(
        all([finish.clone(), freeze("b", noon())]).on_start(&query),
        Some(OnStart::HoldAtSafePoint)
    );
    let revert = freeze("c", noon()).on_start(OnStart::Revert);
    assert_eq!(all([finish.clone(), revert]).on_start(&query), Some(OnStart::Revert));
    let allow = deployment("d", When::cron("0 8 * * *", "1h")).on_start(OnStart::Finish);
    assert_eq!(all([allow]).on_start(&query), Some(OnStart::Finish), "also as a window closes");
    assert_eq!(
        all([finish]).on_start(&Query::new(ActionClass::Advance, &ann, at("2026-03-02T13:00"))),
        None
    );
}

/// Kargo `PromotionWindow`: kinds Allow and Deny by RRULE with a TZID, the union of all that select a
/// stage, and the status fields `closed`, `nextOpen`, `nextClose`. Unlike there, a rollback is not held.
#[test]
fn kargo_promotion_window() {
    let office = When::rrule("2024-01-01T09:00", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "8h");
    let late = When::rrule("2024-01-03T20:00", "FREQ=WEEKLY;BYDAY=WE", "2h");
    let in_production = |spec: release_policy::WindowSpec| {
        spec.zone("America/New_York").in_environment("production".parse().unwrap())
    };
    let windows = all([
        in_production(deployment("office", office)),
        in_production(deployment("late", late)),
        in_production(freeze("lunch", When::rrule("2024-01-01T12:00", "FREQ=DAILY", "1h"))),
    ]);
    let (ann, production, staging) = (ann(), place("production", None), place("staging", None));
    let ask = |text| Query::new(ActionClass::Deploy, &ann, at(text)).place(&production);
    // Wednesday 4 March 2026, five hours behind UTC.
    assert!(windows.is_open(&ask("2026-03-04T14:00")));
    assert_eq!(windows.next_close(&ask("2026-03-04T14:00")), Some(at("2026-03-04T17:00")));
    assert_eq!(windows.next_open(&ask("2026-03-04T17:10")), Ok(at("2026-03-04T18:00")));
    assert_eq!(windows.next_close(&ask("2026-03-04T18:00")), Some(at("2026-03-04T22:00")));
    assert_eq!(windows.next_open(&ask("2026-03-04T22:00")), Ok(at("2026-03-05T01:00")));
    // Friday evening: next on Monday, by when summer time has begun there.
    assert_eq!(windows.next_open(&ask("2026-03-06T23:00")), Ok(at("2026-03-09T13:00")));
    assert!(
        windows.is_open(
            &Query::new(ActionClass::Deploy, &ann, at("2026-03-07T12:00")).place(&staging)
        )
    );
    let back = Query::new(ActionClass::Rollback, &ann, at("2026-03-07T12:00")).place(&production);
    assert!(windows.is_open(&back));
}

/// Wikimedia: no train may straddle a span without deployments.
#[test]
fn nothing_begins_that_would_go_on_past_a_closing() {
    let windows = all([freeze("weekend", When::cron("0 18 * * FRI", "60h"))]);
    let ann = ann();
    let ask = |text, hours: u64| {
        Query::new(ActionClass::Deploy, &ann, at(text)).lasting(Span::secs(hours * 3_600))
    };
    let monday = at("2026-03-09T06:00");
    assert_eq!(windows.next_open(&ask("2026-03-06T12:00", 6)), Ok(at("2026-03-06T12:00")));
    assert_eq!(windows.next_open(&ask("2026-03-06T12:01", 6)), Ok(monday));
    assert!(matches!(
        windows.next_open(&ask("2026-03-06T12:00", 200)),
        Err(NeverOpens::GivenUp { .. } | NeverOpens::TooShort { .. })
    ));
}
