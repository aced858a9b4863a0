//! What the macros expand to; no part of the public interface.

use std::io::Write as _;

use crate::conformance::Verdict;

/// Runs a case on a runtime of its own and panics if it found something.
///
/// # Panics
/// So that the test fails, with the violation as its message.
#[track_caller]
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn check(case: &str, run: impl Future<Output = Option<Verdict>>) {
    // More than one thread, so that calls at the same time really are.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime for {case}: {error}"),
    };
    match runtime.block_on(run) {
        Some(Verdict::Passed) => {}
        Some(Verdict::Skipped { missing }) => say(case, &missing),
        Some(Verdict::Violated { violation }) => panic!("{violation}"),
        None => panic!("the level has no case `{case}`"),
    }
}

/// Past the capture of the test's output, which shows nothing of a test that passes.
fn say(case: &str, missing: &str) {
    // Nowhere to say it is no fault of the provider.
    let _ = writeln!(
        std::io::stderr(),
        "conformance: SKIPPED {case}, and so nothing is known of it: the sandbox offers no {missing}"
    );
}
