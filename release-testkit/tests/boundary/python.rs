//! The example plugin in Python keeps what a flag store promises.

#[path = "../../../release-providers/tests/plugin/python/build.rs"]
mod build;

use release_testkit::conformance::Level;
use release_testkit::conformance::flag_store::{run, sandbox};
use release_testkit::fixtures;

use super::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_python_passes_the_suite() {
    let directory = tempfile::tempdir().unwrap();
    let Some(path) = build::build(directory.path()) else { return };
    let flags = async || {
        let stage = Stage::start(&path, &["staging/dark-mode"]).await;
        let provider = stage.plugin.flag_store().unwrap();
        sandbox(provider, "dark-mode", fixtures::literal("staging")).on_close(stage.closing())
    };
    let report = run(Level::V1, &flags).await;
    let skipped: Vec<_> = report.skipped().map(|case| &*case.case).collect();
    assert!(report.is_conformant(), "{report}");
    // It keeps its flags in its own memory, and knows no secret.
    let nothing_behind_it = [
        "out_of_reach_is_unavailable",
        "refused_credentials_are_denied",
        "throttling_is_rate_limited",
        "stalled_calls_end_in_time",
        "secrets_stay_secret",
        "reopening_loses_nothing",
        "nothing_else_happens_again",
    ];
    assert_eq!(skipped, nothing_behind_it, "{report}");
}
