//! The file keeps every promise. This is what a vendor writes.

use std::sync::Arc;

use release_core::engine::SystemClock;
use release_core::model::Identity;
use release_core::port::Clock;
use release_providers::spi::IdentitySource;
use release_testkit::conformance::Level;
use release_testkit::conformance::identity::{self, IdentitySandbox};
use release_testkit::fixtures;

use crate::home::Home;

fn sandbox() -> IdentitySandbox {
    let (home, clock): (_, Arc<dyn Clock>) = (Home::new(), Arc::new(SystemClock::new()));
    let [changed, closed, hidden] = [(); 3].map(|()| Arc::clone(&home));
    IdentitySandbox::new(Arc::new(home.open(&clock)))
        .clock(Arc::clone(&clock))
        .change(move |number| {
            let id = fixtures::literal(&format!("newcomer-{number}"));
            changed.change(|accounts| accounts.push(Identity::human(id)));
            async { Ok(()) }
        })
        .close_account(fixtures::approver().id, move |id| {
            closed.change(|accounts| {
                for account in accounts.iter_mut().filter(|account| account.id == id) {
                    account.active = false;
                }
            });
            async { Ok(()) }
        })
        .reach(move |within| {
            if within {
                hidden.show();
            } else {
                hidden.hide();
            }
            async { Ok(()) }
        })
        .reopen(move || {
            let opened: Arc<dyn IdentitySource> = Arc::new(home.open(&clock));
            async { Ok(opened) }
        })
}

release_testkit::identity_conformance! {
    name: identity_file,
    level: V1,
    provider: async || sandbox(),
}

#[tokio::test]
async fn nothing_is_skipped_but_what_a_file_does_not_have() {
    let report = identity::run(Level::V1, &async || sandbox()).await;
    let skipped: Vec<_> = report.skipped().map(|case| case.case.as_str()).collect();
    let no_credential = ["refused_credentials_are_denied", "secrets_stay_secret"];
    let no_service = ["throttling_is_rate_limited", "stalled_calls_end_in_time"];
    assert!(report.is_conformant(), "{report}");
    let lacks = |case: &&str| no_credential.contains(case) || no_service.contains(case);
    assert!(skipped.iter().all(lacks) && skipped.len() == 4, "{report}");
}
