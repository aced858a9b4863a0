//! Two versions that do not differ: how often is one taken back over a whole run, and how often does nobody know?

use release_core::analysis::PASSES;

use super::said;
use super::traffic::{Ends, Traffic, ends_of, promised};

const ALPHA: f64 = 0.05;

/// How many paths a cell gets.
#[derive(Debug, Clone, Copy)]
enum Paths {
    /// As many as are asked for: looks are independent.
    All,
    /// A tenth: looks come in waves.
    Tenth,
    /// A hundredth: the margin is so narrow, or the waves are so great, that hardly any path ends before its last look.
    Hundredth,
}

impl Paths {
    /// As many as the documented command asks for, or so many that the test is quick.
    fn of(self, looks: u32) -> u32 {
        let asked: Option<u32> = asked("JUDGE_PATHS").and_then(|paths| paths.parse().ok());
        match (self, asked) {
            (Self::All, Some(paths)) => paths,
            (Self::Tenth, Some(paths)) => paths.div_ceil(10),
            (Self::Hundredth, Some(paths)) => paths.div_ceil(100),
            (Self::All | Self::Tenth, None) => 24_000 / looks.max(100),
            (Self::Hundredth, None) => (2_400 / looks).max(4),
        }
    }
}

/// What whoever starts the tests asks for.
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn asked(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[track_caller]
fn check(name: &str, traffic: Traffic, cell: Paths) {
    if asked("JUDGE_ONLY").is_some_and(|only| !name.contains(&only)) {
        said(&format!("{name}: not asked for"));
        return;
    }
    let (mut hits, mut all) = (0.0, 0.0);
    for looks in [24, 100, 1_000] {
        for metrics in [1, 4] {
            let paths = cell.of(looks);
            let found = ends_of(paths, (traffic, looks), (ALPHA, metrics));
            let Ends { regressed, undetermined } = found;
            let power = promised(traffic, looks, ALPHA, metrics);
            let accepted = power.suffices(metrics);
            let plan = if accepted { "accepted" } else { "refused" };
            let cell = format!("{name}, {looks} looks, {metrics} metrics");
            said(&format!(
                "{cell}: {regressed:.4} regressed and {undetermined:.4} undetermined of {paths} paths; the plan is {plan}: {power}"
            ));
            assert!(
                regressed <= most(ALPHA, f64::from(paths)),
                "{cell}: {regressed} of {paths} paths were false alarms"
            );
            // A plan speaks of looks that are independent, with no more waves than chance makes.
            if accepted && traffic.is_as_planned() {
                assert!(
                    undetermined <= most(UNDETERMINED, f64::from(paths)),
                    "{cell}: {undetermined} of {paths} paths ended undetermined"
                );
            }
            hits += regressed * f64::from(paths);
            all += f64::from(paths);
        }
    }
    // Of few paths each, all together tell more.
    let found = hits / all;
    assert!(found <= most(ALPHA, all), "{name}: {found} of {all} paths were false alarms");
}

/// How many runs of two equal versions may end undetermined under a plan that the planner accepts. It reckons with one in ten, by an
/// approximation that takes for known how much looks vary: with the fewest looks that it accepts, up to one in six was measured.
const UNDETERMINED: f64 = 2.0 * (1.0 - PASSES);

/// The share of ends that is allowed, with three standard errors of what so many paths tell of it.
fn most(chance: f64, paths: f64) -> f64 {
    chance + 3.0 * (chance * (1.0 - chance) / paths).sqrt()
}

/// With the fewest looks that the planner accepts, more runs of two equal versions end undetermined than are found regressed: by no
/// more than twice what it reckons with. These are what [`Undecided`](release_core::model::Undecided) is about.
#[test]
fn what_ends_undetermined_is_no_more_than_is_planned() {
    for metrics in [1, 4] {
        for traffic in [
            Traffic::errors(5.0, 50),
            Traffic::errors(5.0, 10),
            Traffic::errors(50.0, 50).within(0.2),
            Traffic::sums().within(0.05),
        ] {
            let accepted =
                |looks: &u32| promised(traffic, *looks, ALPHA, metrics).suffices(metrics);
            let looks = (1..2_000).find(accepted).unwrap();
            let paths = Paths::All.of(looks);
            let Ends { regressed, undetermined } =
                ends_of(paths, (traffic, looks), (ALPHA, metrics));
            said(&format!(
                "{traffic:?}, {metrics} metrics, {looks} looks at the least: {regressed:.4} regressed and {undetermined:.4} undetermined of {paths} paths"
            ));
            assert!(regressed <= most(ALPHA, f64::from(paths)), "{traffic:?}: {regressed}");
            assert!(
                undetermined <= most(UNDETERMINED, f64::from(paths)),
                "{traffic:?}, {metrics} metrics, {looks} looks: {undetermined} of {paths}"
            );
        }
    }
}

#[test]
fn rare_errors_are_no_harm() {
    check("rare errors", Traffic::errors(0.2, 50), Paths::All);
}

#[test]
fn errors_that_come_as_they_come_are_no_harm() {
    check("some errors", Traffic::errors(5.0, 50), Paths::All);
    check("some errors, a tenth of the traffic", Traffic::errors(5.0, 10), Paths::All);
}

#[test]
fn requests_that_are_divided_by_chance_are_no_harm() {
    check("requests by chance", Traffic::split(5.0, 50), Paths::All);
}

#[test]
fn errors_in_waves_are_no_harm() {
    for waves in [0.2, 0.5] {
        let of = |name, a_look, share, correlation| {
            let traffic = Traffic::errors(a_look, share).in_waves(correlation, waves);
            check(&format!("{name}, {waves}"), traffic, Paths::Tenth);
        };
        of("errors in waves", 5.0, 50, 0.8);
        of("many errors in waves", 50.0, 50, 0.8);
        of("a tenth of the traffic", 50.0, 10, 0.8);
        of("a tenth of little traffic", 5.0, 10, 0.8);
        of("a quarter of little traffic", 5.0, 25, 0.8);
        of("short waves", 50.0, 50, 0.4);
    }
}

/// Where there are many events a look, few looks know nothing but their waves.
#[test]
fn waves_of_any_volume_are_no_harm() {
    for a_look in [500.0, 5_000.0] {
        for (correlation, waves) in [(0.0, 0.2), (0.8, 0.5)] {
            let traffic = Traffic::errors(a_look, 50).in_waves(correlation, waves);
            let name = format!("{a_look} errors, waves {waves} that go on by {correlation}");
            let cell = if correlation > 0.0 { Paths::Hundredth } else { Paths::All };
            check(&name, traffic, cell);
        }
    }
}

/// Paths end with the first look at which they are healthy: with a narrow margin that is late.
#[test]
fn what_is_watched_for_long_is_no_harm() {
    let chance = Traffic::split(50.0, 50).within(0.05);
    check("requests by chance, 5 %", chance, Paths::All);
    let waves = Traffic::errors(50.0, 50).in_waves(0.8, 0.2).within(0.1);
    check("errors in waves, 10 %", waves, Paths::Hundredth);
}

#[test]
fn latencies_that_vary_are_no_harm() {
    let slow = Traffic::slow(10_000.0, 0.5, 0.2).within(0.1);
    check("p99 between two bounds, 10 %", slow, Paths::All);
    check("the same in waves", slow.in_waves(0.8, 0.05), Paths::Hundredth);
}

#[test]
fn means_that_vary_are_no_harm() {
    check("means, 0", Traffic::mean(), Paths::All);
    for correlation in [0.3, 0.5, 0.8] {
        let traffic = Traffic::mean().in_waves(correlation, 0.0);
        check(&format!("means, {correlation}"), traffic, Paths::Tenth);
        let traffic = Traffic::sums().in_waves(correlation, 0.0).within(0.05);
        check(&format!("sums, {correlation}"), traffic, Paths::Tenth);
    }
    check("sums, 0", Traffic::sums().within(0.05), Paths::All);
}

/// What may be worse by an amount, is judged by the difference.
#[test]
fn differences_that_vary_are_no_harm() {
    let by = |traffic: Traffic| traffic.by(0.0005);
    check("an amount", by(Traffic::errors(5.0, 50)), Paths::All);
    let both = Traffic { margin: 0.5, ..by(Traffic::errors(5.0, 10)) };
    check("a part or an amount", both, Paths::All);
    check("an amount, in waves", by(Traffic::errors(5.0, 50).in_waves(0.8, 0.2)), Paths::Tenth);
}
