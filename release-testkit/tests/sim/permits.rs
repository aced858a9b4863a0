//! F35 in the simulator: what runs that share limits do, and what the report says of it.

use release_core::limits::{Limit, Limits, LimitsFile, Per, Quota, Scope, Window};
use release_core::model::Span;
use release_testkit::fixtures::{Shop, literal};
use release_testkit::sim::{FaultPlan, Sim, days, invariants};

fn shared(capacity: u32, hourly: u32) -> Limits {
    let quota = Quota {
        id: literal("hourly"),
        scope: Scope { provider: Some("deploy".into()), ..Scope::default() },
        per: Per::Step,
        amount: hourly,
        window: Window::Rolling(Span::secs(3600)),
    };
    let limits = vec![Limit { rollback_reserve: 1, ..Limit::new(literal("all"), capacity) }];
    Limits::new(LimitsFile { limits, quotas: vec![quota], ..LimitsFile::default() }).unwrap()
}

fn three_runs(limits: Limits) -> Sim {
    let shop = |nth: u32| {
        // Each in a region of its own: one that changes another's traffic would be found.
        let region = ["eu", "us", "ap"][nth as usize % 3];
        let mut definition = Shop::new().without_staging().regions([region]).definition();
        definition.release.id = literal(&format!("r-{nth}"));
        definition
    };
    let sim = Sim::new(1).train(3, Span::secs(60), shop).unwrap();
    sim.limits(limits).run_for(days(1)).check(invariants::all())
}

#[test]
fn f35_a_report_tells_how_long_steps_wait_and_what_quota_is_used() {
    let tight = three_runs(shared(1, 4)).report();
    assert!(tight.is_green(), "{tight}");
    let (limit, quota) = (&tight.limits[0], &tight.quotas[0]);
    assert_eq!((limit.most, limit.of, limit.waiting), (1, 1, 0), "{tight}");
    assert!(limit.longest_wait > Span::secs(60) && limit.granted > 30, "{tight}");
    assert!(limit.average_milli > 0 && limit.average_milli <= 1000, "{tight}");
    assert_eq!((quota.most, quota.amount), (4, 4), "{tight}");
    assert!(quota.waited > 0 && quota.begun > 8, "{tight}");
    assert!(tight.to_string().contains("limit all: at most 1 of 1"), "{tight}");
    // What would be enough.
    let wide = three_runs(shared(50, 100)).report();
    assert!(wide.is_green(), "{wide}");
    assert!(wide.limits[0].longest_wait < Span::secs(1), "{wide}");
    assert_eq!(wide.quotas[0].waited, 0, "{wide}");
    assert_eq!(wide.quotas[0].begun, quota.begun, "{wide}");
}

#[test]
fn f35_engines_that_crash_and_stand_still_share_limits() {
    let faults = "crash engine 3%; takeover 3%; pause engine 10m 1%; journal: unknown-late 2%; \
                  journal: unknown-lost 2%; journal: slow 3%; provider: hang 1%";
    let sim = three_runs(shared(2, 8)).engines(3).faults(FaultPlan::parse(faults).unwrap());
    for seed in 0..12 {
        let report = sim.clone().seed(seed).report();
        assert!(report.is_green(), "{report}");
        assert_eq!(report.limits[0].waiting, 0, "{report}");
    }
}

#[test]
fn f35_a_ledger_that_turns_its_pages_while_the_journal_fails_loses_no_permit() {
    let faults = "crash engine 1%; journal: unknown-stored 4%; journal: unknown-lost 4%; \
                  journal: unknown-late 4%; journal: unavailable 4%; journal: no-space 4%";
    let sim = three_runs(shared(2, 100)).engines(2).faults(FaultPlan::parse(faults).unwrap());
    for seed in 0..12 {
        let report = sim.clone().ledger_page(1 + seed % 4).seed(seed).report();
        assert!(report.is_green(), "{report}");
        assert_eq!(report.limits[0].waiting, 0, "{report}");
    }
}
