use proptest::prelude::*;
use release_core::model::{Principal, RunId};
use release_core::plan::{Action, Place, Step};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn window(id: &str, from: i64, until: i64) -> FreezeWindow {
    FreezeWindow::new(id.parse().unwrap(), at(from), at(until), "sre".parse().unwrap(), "peak")
        .unwrap()
}

fn scope(environment: &str, region: Option<&str>) -> StepScope {
    let (environment, region) = (environment.parse().unwrap(), region.map(|r| r.parse().unwrap()));
    StepScope::of(Place { region, ..Place::new(environment) })
}

fn ask(freezes: &FreezeWindows, scope: &StepScope, now: i64, rollback: bool) -> Decision {
    let mut step = Step::new("s".parse().unwrap(), Action::Sync);
    step.scope = scope.clone();
    let (run, who): (RunId, _) = ("r".parse().unwrap(), Principal::human("ann".parse().unwrap()));
    freezes.admit(&Admission::new(&run, &who, &step, at(now)).in_rollback(rollback))
}

/// `want`: until when, and the names of the windows.
#[track_caller]
fn check(windows: &[FreezeWindow], scope: &StepScope, now: i64, want: Option<(i64, &[&str])>) {
    let freezes = FreezeWindows::new(windows.to_vec()).unwrap();
    let got = match ask(&freezes, scope, now, false) {
        Decision::Permit => None,
        Decision::Wait { until, reasons } => {
            let rules: Vec<_> = reasons.into_iter().map(|reason| reason.rule).collect();
            Some((until.unwrap(), rules))
        }
        deny @ Decision::Deny { .. } => panic!("a freeze never denies: {deny:?}"),
    };
    let want =
        want.map(|(until, ids)| (at(until), ids.iter().map(|id| format!("freeze/{id}")).collect()));
    assert_eq!(got, want, "at {now}");
    assert_eq!(ask(&freezes, scope, now, true), Decision::Permit, "a rollback is never stopped");
}

#[test]
fn windows_are_half_open_and_chains_are_followed() {
    let prod = &scope("prod", Some("eu"));
    let windows =
        [window("a", 10, 20), window("b", 15, 30), window("c", 30, 40), window("d", 41, 50)];
    check(&windows, prod, 9, None);
    check(&windows, prod, 10, Some((40, &["a", "b", "c"])));
    check(&windows, prod, 15, Some((40, &["a", "b", "c"])));
    check(&windows, prod, 19, Some((40, &["a", "b", "c"])));
    check(&windows, prod, 20, Some((40, &["b", "c"])));
    check(&windows, prod, 30, Some((40, &["c"])));
    check(&windows, prod, 39, Some((40, &["c"])));
    check(&windows, prod, 40, None);
    check(&windows, prod, 41, Some((50, &["d"])));
    check(&windows, prod, 50, None);
    check(&[], prod, 10, None);
    // A longer one hides none that it covers.
    check(
        &[window("long", 0, 90), window("short", 10, 20)],
        prod,
        5,
        Some((90, &["long", "short"])),
    );
}

#[test]
fn scopes_narrow_a_freeze() {
    let everywhere = window("f", 0, 10);
    let prod = everywhere.clone().in_environment("prod".parse().unwrap());
    let eu = everywhere.clone().in_region("eu".parse().unwrap());
    let both = prod.clone().in_region("eu".parse().unwrap());
    let frozen: Option<(i64, &[&str])> = Some((10, &["f"]));
    let (prod_eu, prod_us) = (scope("prod", Some("eu")), scope("prod", Some("us")));
    let (qa_eu, all_regions) = (scope("qa", Some("eu")), scope("prod", None));
    let nowhere = StepScope::default();
    for (window, want) in [
        (&everywhere, [frozen, frozen, frozen, frozen, None]),
        (&prod, [frozen, frozen, None, frozen, None]),
        (&eu, [frozen, None, frozen, frozen, None]),
        (&both, [frozen, None, None, frozen, None]),
    ] {
        let scopes = [&prod_eu, &prod_us, &qa_eu, &all_regions, &nowhere];
        for (scope, want) in scopes.into_iter().zip(want) {
            check(std::slice::from_ref(window), scope, 5, want);
        }
    }
}

#[test]
fn a_reason_says_what_until_when_and_who() {
    let freezes = FreezeWindows::new([window("peak", 0, 10)]).unwrap();
    let Decision::Wait { reasons, .. } = ask(&freezes, &scope("prod", None), 5, false) else {
        panic!("not frozen");
    };
    assert_eq!(
        reasons[0].to_string(),
        "freeze/peak: frozen from 1970-01-01T00:00:00.000000Z until 1970-01-01T00:00:10.000000Z: \
         peak (lifted by time, or team sre)"
    );
}

#[test]
fn unusable_windows_are_refused() {
    let make = |from, until| {
        FreezeWindow::new("f".parse().unwrap(), at(from), at(until), "sre".parse().unwrap(), "")
    };
    for (from, until) in [(10, 10), (10, 9)] {
        assert!(matches!(make(from, until), Err(FreezeError::Empty { .. })));
    }
    let twice = FreezeWindows::new([window("f", 0, 1), window("f", 2, 3)]);
    assert!(matches!(twice, Err(FreezeError::Duplicate { .. })));
    for bad in ["", "-x", "A", "a b", "a/b", &"a".repeat(65)] {
        assert!(bad.parse::<FreezeId>().is_err(), "{bad:?}");
    }
}

#[test]
fn windows_are_checked_when_they_are_read() {
    let good = FreezeWindows::new([window("f", 0, 1).in_region("eu".parse().unwrap())]).unwrap();
    let json = serde_json::to_string(&good).unwrap();
    assert_eq!(serde_json::from_str::<FreezeWindows>(&json).unwrap(), good);
    let wrong = json.replace("00:00:01", "00:00:00");
    assert!(serde_json::from_str::<FreezeWindows>(&wrong).is_err());
    assert!(serde_json::from_str::<FreezeWindows>(&json.replace("owner", "ower")).is_err());
}

proptest! {
    /// Against the obvious oracle: walk second by second.
    #[test]
    fn until_is_the_first_free_instant(spans in prop::collection::vec((0_i64..60, 1_i64..20), 0..8), now in 0_i64..80) {
        let windows: Vec<_> = spans.iter().enumerate()
            .map(|(n, (from, length))| window(&format!("w{n}"), *from, from + length)).collect();
        let freezes = FreezeWindows::new(windows.clone()).unwrap();
        let held = |second: i64| windows.iter().any(|window| window.holds(at(second)));
        let free = (now..200).find(|second| !held(*second)).unwrap();
        match ask(&freezes, &scope("prod", None), now, false) {
            Decision::Permit => prop_assert_eq!(free, now),
            Decision::Wait { until, reasons } => {
                prop_assert!(free > now);
                prop_assert_eq!(until, Some(at(free)));
                let on_the_way = windows.iter().filter(|w| at(now) < w.until() && w.from() <= at(free) && w.until() <= at(free));
                prop_assert_eq!(reasons.len(), on_the_way.count());
            }
            Decision::Deny { .. } => prop_assert!(false, "a freeze never denies"),
        }
    }

    #[test]
    fn one_more_freeze_never_allows_more(spans in prop::collection::vec((0_i64..60, 1_i64..20), 1..8), now in 0_i64..80) {
        let windows: Vec<_> = spans.iter().enumerate()
            .map(|(n, (from, length))| window(&format!("w{n}"), *from, from + length)).collect();
        let fewer = FreezeWindows::new(windows[1..].to_vec()).unwrap();
        let all = FreezeWindows::new(windows).unwrap();
        let place = scope("prod", None);
        if ask(&all, &place, now, false) == Decision::Permit {
            prop_assert_eq!(ask(&fewer, &place, now, false), Decision::Permit);
        }
    }
}
