//! Calls across the plugin boundary, in turns with bare ones.

use std::path::PathBuf;
use std::sync::Arc;

use benches::plugin::{
    Answering, Answers, Asked, Bench, Question, at_once, in_turn, with_all_layers,
    with_default_layers,
};
use serde_json::json;
use tokio::runtime::Runtime;

use super::{Failure, Options, median, medians, per, ratio};

/// `--python FILE`: a plugin that `examples/plugins/python/build` made.
pub(super) fn plugin(options: &Options) -> Result<(), Failure> {
    let (calls, samples) = (options.number("--calls", 20_000)?, options.samples()?);
    let runtime = Runtime::new()?;
    let bench = Bench::new()?;
    let echo = std::env::current_exe()?.with_file_name("echo");
    let spec = bench.spec(&echo, &[])?;
    let (_plugin, ours) = runtime.block_on(bench.plugin(spec.clone()))?;
    let bare = runtime.block_on(bench.bare(&echo))?;
    for (name, provider) in [
        ("in process", Arc::new(Answers) as _),
        ("default layers", with_default_layers()),
        ("all layers", with_all_layers()),
    ] {
        let asked = Asked(provider, Question::new()?);
        let took = median(samples, || run(&runtime, &asked, calls * 10, false))?;
        let line = json!({ "bench": "plugin", "what": name, "median_ns": per(took, calls * 10) });
        println!("{line}");
    }
    for (name, many) in [("in turn", false), ("32 at once", true)] {
        let (took, theirs) = medians(
            samples,
            || run(&runtime, &ours, calls, many),
            || run(&runtime, &bare, calls, many),
        )?;
        let line = json!({
            "bench": "plugin", "what": name, "median_ns": per(took, calls),
            "bare_ns": per(theirs, calls), "ratio": ratio(took, theirs), "samples": samples,
        });
        println!("{line}");
    }
    drop((ours, bare));
    let (took, theirs) = medians(
        samples * 4,
        || runtime.block_on(bench.cold_plugin(&spec)),
        || runtime.block_on(bench.cold_bare(&echo)),
    )?;
    let line = json!({
        "bench": "plugin", "what": "cold", "median_ns": per(took, 1), "bare_ns": per(theirs, 1),
        "ratio": ratio(took, theirs),
    });
    println!("{line}");
    let Some(python) = options.text("--python") else { return Ok(()) };
    let spec = bench.spec(&PathBuf::from(python), &["dark-mode"])?;
    let (plugin, asked) = runtime.block_on(bench.plugin(spec.clone()))?;
    let calls = calls / 10;
    let took = median(samples, || run(&runtime, &asked, calls, false))?;
    runtime.block_on(plugin.shutdown());
    let cold = median(samples, || runtime.block_on(bench.cold_plugin(&spec)))?;
    let line = json!({
        "bench": "plugin", "what": "python", "median_ns": per(took, calls), "cold_ns": per(cold, 1),
    });
    println!("{line}");
    Ok(())
}

fn run(
    runtime: &Runtime,
    to: &impl Answering,
    calls: u64,
    many: bool,
) -> Result<std::time::Duration, Failure> {
    runtime
        .block_on(async { if many { at_once(to, calls).await } else { in_turn(to, calls).await } })
}
