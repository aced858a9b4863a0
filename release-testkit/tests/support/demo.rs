//! The demo service, for tests that run it.

use crate::compile::compiled;

/// The demo service in a version, of whose 100 requests so many fail.
pub(crate) fn program(version: &str, failure_percent: u8) -> Vec<u8> {
    let percent = failure_percent.to_string();
    let environment = [("DEMO_VERSION", version), ("DEMO_FAILURE_PERCENT", &percent)];
    let name = format!("demo-{version}-{percent}");
    compiled("../examples/quickstart/demo_service.rs", &name, &environment)
}
