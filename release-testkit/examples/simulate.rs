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
use std::sync::atomic::{AtomicU64, Ordering};

use release_core::model::Span;
use release_testkit::sim::{Coverage, Pct, Scheduler, Sim, mixed, typed};

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
    let course = Course { scenarios, scheduler, fakes, one, traces };
    let next = AtomicU64::new(seeds.start);
    let threads = if one { 1 } else { std::thread::available_parallelism().map_or(1, Into::into) };
    // Each seed is a world of its own, so they may be run beside each other.
    let sums = std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| course.seeds(&next, seeds.end))).collect();
        all.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let (mut records, mut calls, mut coverage) = (0, 0, Coverage::default());
    for sum in sums {
        let Ok(Some(sum)) = sum else { return ExitCode::FAILURE };
        (records, calls) = (records + sum.records, calls + sum.calls);
        coverage.add(&sum.coverage);
    }
    let many = seeds.end - seeds.start;
    println!(
        "{many} seeds are green: {records} records, {calls} calls; what faults struck, how often:"
    );
    print!("{coverage}");
    ExitCode::SUCCESS
}

/// How the seeds are run.
struct Course {
    scenarios: Vec<Sim>,
    scheduler: Scheduler,
    fakes: bool,
    one: bool,
    traces: bool,
}

/// What came of the seeds of one thread.
#[derive(Default)]
struct Sum {
    records: usize,
    calls: usize,
    coverage: Coverage,
}

impl Course {
    /// Runs seeds until all are taken or one fails; `None` then, and it is said how to see it again.
    fn seeds(&self, next: &AtomicU64, end: u64) -> Option<Sum> {
        let mut sum = Sum::default();
        let count = u64::try_from(self.scenarios.len()).unwrap_or(1);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return Some(sum);
            }
            let scenario = self.scenarios.get(usize::try_from(seed % count).unwrap_or(0))?;
            // With fakes, each seed has a plan of its own.
            let sim =
                if self.fakes { typed(seed).scheduler(self.scheduler) } else { scenario.clone() };
            let sim = sim.seed(seed);
            let report = sim.report();
            if self.one && self.traces {
                println!("{}", sim.trace());
            }
            if self.one || !report.is_green() {
                println!("{report}");
            }
            if !report.is_green() {
                next.fetch_max(end, Ordering::Relaxed); // nobody takes another one
                let how = if self.fakes { " typed" } else { "" };
                println!(
                    "again: cargo run --release -p release-testkit --example simulate -- {seed}{how}"
                );
                return None;
            }
            sum.coverage.add(&report.coverage);
            sum.records += report.records;
            sum.calls += report.calls;
        }
    }
}
