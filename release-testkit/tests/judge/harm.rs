//! Harm that is there: is it found within the time that was planned?

use release_core::analysis::Conclusion;
use release_core::analysis::{DETECTS, PASSES};
use release_core::stats::special::normal_sf;

use super::said;
use super::traffic::{ONE_IN_A_HUNDRED, Traffic, promised, share_of};

#[test]
fn three_times_the_errors_are_found() {
    for (traffic, looks) in [
        (Traffic::errors(5.0, 50), 36),
        (Traffic::errors(5.0, 10), 60),
        (Traffic::errors(50.0, 5), 36),
        (Traffic::errors(5.0, 50).in_waves(0.8, 0.2), 60),
    ] {
        let found = share_of(Conclusion::Regressed, 400, (traffic.harmed(3.0), looks), (0.01, 1));
        said(&format!("{traffic:?} within {looks} looks: {found}"));
        assert!(found >= 0.95, "{traffic:?} within {looks} looks: {found}");
    }
}

/// The same where half as many more are tolerated: that takes longer.
#[test]
fn three_times_the_errors_are_found_to_be_more_than_is_tolerated() {
    for (traffic, looks) in [
        (Traffic::errors(5.0, 50), 108),
        (Traffic::errors(5.0, 10), 180),
        (Traffic::errors(50.0, 5), 108),
        (Traffic::errors(5.0, 50).in_waves(0.8, 0.2), 180),
    ] {
        let traffic = traffic.tolerant();
        let found = share_of(Conclusion::Regressed, 100, (traffic.harmed(3.0), looks), (0.01, 1));
        said(&format!("{traffic:?} within {looks} looks: {found}"));
        assert!(found >= 0.95, "{traffic:?} within {looks} looks: {found}");
    }
}

#[test]
fn a_mean_that_is_worse_is_found() {
    for (harm, looks) in [(1.0, 100), (2.0, 48)] {
        for traffic in [Traffic::mean(), Traffic::sums().within(0.01)] {
            let traffic = traffic.harmed(harm);
            let found = share_of(Conclusion::Regressed, 400, (traffic, looks), (0.01, 1));
            said(&format!("{harm} deviations within {looks} looks: {found}"));
            assert!(found >= 0.95, "{traffic:?} within {looks} looks: {found}");
        }
    }
}

/// The fewest looks with which a plan is accepted, of so many or more.
fn fewest_planned(traffic: Traffic, from: u32) -> u32 {
    (from..2_000).find(|looks| promised(traffic, *looks, 0.05, 1).suffices(1)).unwrap()
}

/// The least share of so many paths that keeps a promise: within three standard errors.
fn least(chance: f64, paths: u32) -> f64 {
    chance - 3.0 * (chance * (1.0 - chance) / f64::from(paths)).sqrt()
}

/// With the fewest looks that the planner accepts, harm of the planned size is found, and a version without any passes, as often
/// as it says: whether any harm counts, or only what is beyond the margin. Who passes does not depend on that.
#[test]
fn what_a_plan_promises_is_kept() {
    for traffic in [
        Traffic::errors(5.0, 50),
        Traffic::errors(5.0, 10),
        Traffic::errors(50.0, 50).within(0.2),
        Traffic::split(5.0, 50),
        Traffic::errors(5.0, 50).by(0.0005),
        Traffic::errors(20.0, 20).by(0.001),
        Traffic { margin: 0.5, ..Traffic::errors(5.0, 50).by(0.0004) },
        Traffic::sums().within(0.05),
        Traffic::slow(20_000.0, 0.4, 0.25).within(0.5),
    ] {
        let looks = fewest_planned(traffic, 1);
        let paths = 400;
        let share = |wanted, traffic| share_of(wanted, paths, (traffic, looks), (0.05, 1));
        let found = share(Conclusion::Regressed, traffic.harmed(3.0));
        let passes = share(Conclusion::Healthy, traffic);
        said(&format!("{traffic:?}: {looks} looks are planned; {found} found, {passes} pass"));
        assert!(found >= least(DETECTS, paths), "{traffic:?} within {looks} looks: {found} found");
        assert!(passes >= least(PASSES, paths), "{traffic:?} within {looks} looks: {passes} pass");

        // It takes no fewer looks to find that harm is beyond the margin.
        let (traffic, paths) = (traffic.tolerant(), 200);
        let looks = fewest_planned(traffic, looks);
        let harmed = traffic.harmed(3.0);
        let found = share_of(Conclusion::Regressed, paths, (harmed, looks), (0.05, 1));
        said(&format!("{traffic:?}: {looks} looks are planned; {found} found"));
        assert!(found >= least(DETECTS, paths), "{traffic:?} within {looks} looks: {found} found");
    }
}

/// Latencies in the buckets of Prometheus' clients, wherever the 99th percentile lies between two of them, and ten percent more of
/// each latency: a plan of so many looks says beforehand that it finds as many more slow ones as that makes, and it does.
#[test]
fn a_tenth_more_of_the_slowest_latencies_is_found() {
    const SPREAD: f64 = 0.4;
    // How many times as many take longer than the 99th percentile.
    let more = normal_sf(ONE_IN_A_HUNDRED - 1.1_f64.ln() / SPREAD) / 0.01;
    for (p99, looks) in [(0.25, 60), (0.2, 60), (0.12, 60)] {
        let traffic = Traffic::slow(20_000.0, SPREAD, p99).within(0.2).to_find(more);
        let power = promised(traffic, looks, 0.01, 1);
        assert!(power.detects >= DETECTS, "{power}");
        let harmed = traffic.harmed(1.1);
        let found = share_of(Conclusion::Regressed, 200, (harmed, looks), (0.01, 1));
        said(&format!("{traffic:?} within {looks} looks, which {power}: {found}"));
        assert!(found >= 0.95, "{traffic:?} within {looks} looks: {found}");
    }
}

/// The same traffic without harm passes, so that what was found is no alarm that always comes.
#[test]
fn versions_that_do_not_differ_pass() {
    for (traffic, looks) in [
        (Traffic::errors(50.0, 50), 60),
        (Traffic::slow(20_000.0, 0.4, 0.2).within(0.5), 60),
        // It takes twenty looks until it is fixed where the quantile lies: no look is without data.
        (Traffic::slow(100.0, 0.4, 0.25).within(1.0), 600),
    ] {
        let found = share_of(Conclusion::Healthy, 60, (traffic, looks), (0.01, 1));
        said(&format!("{traffic:?} within {looks} looks: {found} pass"));
        assert!(found >= 0.9, "{traffic:?} within {looks} looks: {found} pass");
    }
}
