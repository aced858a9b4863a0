//! Runs the mixed scenarios of the simulator for many seeds, and says how to see the first failure again.
//!
//! ```text
//! cargo run --release -p release-testkit --example simulate -- 0 10000      seeds 0 to 9999
//! cargo run --release -p release-testkit --example simulate -- 0 1000000    a million: some time
//! cargo run --release -p release-testkit --example simulate -- 4711         one seed, and what came of it
//! cargo run --release -p release-testkit --example simulate -- 4711 trace   and all that happened
//! cargo run --release -p release-testkit --example simulate -- 0 1000 pct   with random priorities (`Pct`)
//! cargo run --release -p release-testkit --example simulate -- 0 1000 typed steps that act on the fakes of the SDK
//! ```
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it is a program for people")]

use std::process::ExitCode;

use release_core::model::Span;
use release_testkit::sim::{Coverage, Pct, Scheduler, mixed, typed};

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let pct = words.iter().position(|word| word == "pct").map(|at| words.remove(at)).is_some();
    let fakes = words.iter().position(|word| word == "typed").map(|at| words.remove(at)).is_some();
    let traces = words.pop_if(|word| word == "trace").is_some();
    let numbers: Option<Vec<u64>> = words.iter().map(|text| text.parse().ok()).collect();
    let (seeds, one) = match numbers.as_deref() {
        Some([from, to]) => (*from..*to, false),
        Some([seed]) => (*seed..*seed + 1, true),
        _ => {
            println!("give one seed, or the first and the one behind the last");
            return ExitCode::FAILURE;
        }
    };
    let by_priority = Scheduler::Pct(Pct::depth(3).steps(500).within(Span::secs(90)));
    let scheduler = if pct { by_priority } else { Scheduler::Uniform };
    let scenarios: Vec<_> = mixed().into_iter().map(|sim| sim.scheduler(scheduler)).collect();
    let count = u64::try_from(scenarios.len()).unwrap_or(1);
    let (mut records, mut calls) = (0, 0);
    let mut coverage = Coverage::default();
    for seed in seeds.clone() {
        let Some(sim) = scenarios.get(usize::try_from(seed % count).unwrap_or(0)) else { continue };
        // With fakes, each seed has a plan of its own.
        let sim = if fakes { typed(seed).scheduler(scheduler) } else { sim.clone() }.seed(seed);
        let report = sim.report();
        if one && traces {
            println!("{}", sim.trace());
        }
        coverage.add(&report.coverage);
        (records, calls) = (records + report.records, calls + report.calls);
        if one || !report.is_green() {
            println!("{report}");
        }
        if !report.is_green() {
            let how = if fakes { " typed" } else { "" };
            println!(
                "again: cargo run --release -p release-testkit --example simulate -- {seed}{how}"
            );
            return ExitCode::FAILURE;
        }
    }
    let many = seeds.end - seeds.start;
    println!(
        "{many} seeds are green: {records} records, {calls} calls; what faults struck, how often:"
    );
    print!("{coverage}");
    ExitCode::SUCCESS
}
