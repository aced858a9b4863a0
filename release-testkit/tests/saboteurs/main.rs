//! The suites' own test: every saboteur is found by the cases that it names, every case finds at
//! least one saboteur that few others do, and honest fakes are left in peace.

mod every;
mod kinds;

use std::collections::BTreeSet;

use release_testkit::conformance::ConformanceReport;

/// So many cases at the most find a saboteur that shows what just these are for.
const FEW: usize = 4;

fn found(report: &ConformanceReport) -> BTreeSet<String> {
    report.violations().map(|violation| violation.case.clone()).collect()
}
