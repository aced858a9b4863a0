//! Harm that is there: is it found within the time that was planned?

use release_core::analysis::Conclusion;

use super::traffic::{Traffic, share_of};

#[test]
fn three_times_the_errors_are_found() {
    for (traffic, looks) in [
        (Traffic::errors(5.0, 50), 36),
        (Traffic::errors(5.0, 10), 60),
        (Traffic::errors(50.0, 5), 36),
        (Traffic::errors(5.0, 50).in_waves(0.8, 0.2), 60),
    ] {
        let found = share_of(Conclusion::Regressed, 400, (traffic.harmed(3.0), looks), (0.01, 1));
        println!("{traffic:?} within {looks} looks: {found}");
        assert!(found >= 0.95, "{traffic:?} within {looks} looks: {found}");
    }
}

#[test]
fn a_mean_that_is_worse_is_found() {
    for (harm, looks) in [(1.0, 100), (2.0, 48)] {
        let traffic = Traffic::mean().harmed(harm);
        let found = share_of(Conclusion::Regressed, 400, (traffic, looks), (0.01, 1));
        println!("{harm} deviations within {looks} looks: {found}");
        assert!(found >= 0.95, "{harm} deviations within {looks} looks: {found}");
    }
}

/// Latencies in the buckets of Prometheus' clients, wherever the 99th percentile lies between two of them, and ten percent more of
/// each latency.
#[test]
fn a_tenth_more_of_the_slowest_latencies_is_found() {
    for (p99, looks) in [(0.25, 60), (0.2, 60), (0.12, 60)] {
        let traffic = Traffic::slow(20_000.0, 0.4, p99).harmed(1.1).within(0.2);
        let found = share_of(Conclusion::Regressed, 60, (traffic, looks), (0.01, 1));
        println!("{traffic:?} within {looks} looks: {found}");
        assert!(found >= 0.95, "{traffic:?} within {looks} looks: {found}");
    }
}

/// The same traffic without harm passes, so that what was found is no alarm that always comes.
#[test]
fn versions_that_do_not_differ_pass() {
    for (traffic, looks) in
        [(Traffic::errors(50.0, 50), 60), (Traffic::slow(20_000.0, 0.4, 0.2).within(0.5), 60)]
    {
        let found = share_of(Conclusion::Healthy, 60, (traffic, looks), (0.01, 1));
        println!("{traffic:?} within {looks} looks: {found} pass");
        assert!(found >= 0.9, "{traffic:?} within {looks} looks: {found} pass");
    }
}
