//! What needs no disk.

use benches::{
    Setup, bytes_a_pending_step, definition, engine_run, explanations, join_set, percentile, plan,
    pure_plan, sealings, timed_blocking, turns,
};
use release_core::model::Span;
use release_core::plan::Plan;
use release_core::port::{Admission, Policy as _};
use serde_json::json;

use super::{Duration, Failure, Options, medians, per, ratio};

pub(super) fn engine(options: &Options) -> Result<(), Failure> {
    let (shape, n, samples) = (options.shape()?, options.size("--n", 1000)?, options.samples()?);
    let pure = options.text("--effects") == Some("none");
    let setup = Setup {
        journal: options.text("--journal") != Some("off"),
        poll_first: options.text("--effects") == Some("polled"),
    };
    let (build, plan) = timed_blocking(|| if pure { pure_plan(shape, n) } else { plan(shape, n) });
    let plan = plan?;
    let (ours, bare) = medians(
        samples,
        || engine_run(&plan, setup),
        || join_set(if options.text("--bare").is_some() { 1 } else { n }),
    )?;
    let how = if pure { "no effect" } else { setup.name() };
    for (engine, took, build, how) in
        [("release", ours, per(build, n as u64), how), ("joinset", bare, 0, "a task each")]
    {
        let line = json!({
            "bench": "engine_overhead", "engine": engine, "shape": shape.name(), "n": n, "how": how,
            "journal": setup.journal && engine == "release",
            "median_ns_per_step": per(took, n as u64), "median_build_ns_per_step": build,
            "samples": samples, "ratio": ratio(took, bare),
        });
        println!("{line}");
    }
    Ok(())
}

/// What a definition becomes: planned, frozen, and read again from its bytes.
pub(super) fn plans(options: &Options) -> Result<(), Failure> {
    let (n, samples) = (options.size("--n", 1000)?, options.samples()?);
    let definition = definition(n)?;
    let (mut planned, mut frozen, mut decoded) = (Vec::new(), Vec::new(), Vec::new());
    let (mut steps, mut bytes) = (0, 0);
    for _ in 0..samples.max(1) {
        let (took, plan) = timed_blocking(|| release_core::plan::plan(&definition));
        planned.push(took);
        let (took, plan) = timed_blocking(|| plan.map(Plan::freeze));
        frozen.push(took);
        let plan = plan?;
        let (took, again) = timed_blocking(|| Plan::decode(plan.bytes()));
        decoded.push(took);
        steps = again?.len() as u64;
        bytes = plan.bytes().len() as u64;
    }
    let middle = |mut times: Vec<Duration>| {
        times.sort();
        per(times.get(times.len() / 2).copied().unwrap_or_default(), steps)
    };
    let line = json!({
        "bench": "plan", "steps": steps, "bytes_per_step": bytes / steps.max(1), "samples": samples,
        "plan_ns_per_step": middle(planned), "freeze_ns_per_step": middle(frozen),
        "decode_ns_per_step": middle(decoded),
    });
    println!("{line}");
    Ok(())
}

pub(super) fn memory(options: &Options) -> Result<(), Failure> {
    let n = options.size("--n", 1_000_000)?;
    let bytes = bytes_a_pending_step(n)?;
    println!("{}", json!({ "bench": "memory", "n": n, "bytes_per_pending_step": bytes }));
    Ok(())
}

pub(super) fn seal(options: &Options) -> Result<(), Failure> {
    for _ in 0..options.samples()? {
        for sealing in sealings(200_000)? {
            let count = sealing.count.into();
            let line = json!({
                "bench": "seal", "event": sealing.event, "bytes": sealing.bytes,
                "encode_and_chain_ns": per(sealing.sealed, count),
                "sha256_ns": per(sealing.hashed, count),
                "ratio": ratio(sealing.sealed, sealing.hashed),
            });
            println!("{line}");
        }
    }
    Ok(())
}

pub(super) fn latency(options: &Options) -> Result<(), Failure> {
    let (shape, n) = (options.shape()?, options.size("--n", 10_000)?);
    let plan = plan(shape, n)?;
    let decided = turns(&plan, usize::MAX, |_, _| Ok(()))?;
    let explained = explanations(&plan)?;
    for (what, mut times) in [("decide", decided), ("explain", explained)] {
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| percentile(&mut times, share));
        let line = json!({
            "bench": "latency", "what": what, "shape": shape.name(), "n": n, "calls": times.len(),
            "p50_ns": per(p50, 1), "p99_ns": per(p99, 1), "max_ns": per(most, 1),
        });
        println!("{line}");
    }
    Ok(())
}

/// How long decisions about steps take at their slowest, of a hundred thousand.
pub(super) fn policy(options: &Options) -> Result<(), Failure> {
    let [rules, windows, grants] = [("--rules", 1_000), ("--windows", 200), ("--grants", 50)]
        .map(|(name, n)| options.size(name, n));
    let (rules, windows, grants) = (rules?, windows?, grants?);
    let book = benches::policy::book(rules, windows, grants)?;
    let (run, who, at) =
        (benches::policy::run()?, benches::policy::person()?, benches::policy::noon()?);
    let steps = benches::policy::steps()?;
    let mut times = Vec::new();
    for (nth, step) in (0..100_000).zip(steps.iter().cycle()) {
        let asked = Admission::new(&run, &who, step, at.plus(Span::millis(nth)));
        let (took, decision) = timed_blocking(|| book.admit(&asked));
        if !decision.is_permit() {
            return Err(format!("denied: {decision:?}").into());
        }
        times.push(took);
    }
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| percentile(&mut times, share));
    let line = json!({
        "bench": "policy", "rules": rules, "windows": windows, "grants": grants, "calls": times.len(),
        "p50_ns": per(p50, 1), "p99_ns": per(p99, 1), "max_ns": per(most, 1),
    });
    println!("{line}");
    Ok(())
}
