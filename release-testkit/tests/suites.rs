//! Every fake keeps what its trait promises: the suites of the traits, as a vendor would write them.

use std::sync::Arc;

use release_core::model::Digest;
use release_providers::Secret;
use release_providers::spi::{Classification, CustomRequest, MigrationRef, SecretRef, StartBuild};
use release_testkit::conformance as suites;
use release_testkit::conformance::approval_channel::{ApprovalChannelSandbox, People};
use release_testkit::conformance::build_runner::BuildRunnerSandbox;
use release_testkit::conformance::change_desk::ChangeDeskSandbox;
use release_testkit::conformance::custom_action::CustomActionSandbox;
use release_testkit::conformance::data_set_store::{DataSetPlace, DataSetStoreSandbox};
use release_testkit::conformance::event_sink::EventSinkSandbox;
use release_testkit::conformance::flag_store::FlagStoreSandbox;
use release_testkit::conformance::migrator::MigratorSandbox;
use release_testkit::conformance::pager::PagerSandbox;
use release_testkit::conformance::provisioner::{ProvisionerSandbox, Workspace};
use release_testkit::conformance::secret_store::SecretStoreSandbox;
use release_testkit::fakes::*;
use release_testkit::{VirtualClock, fixtures};
use serde_json::json;

async fn flags() -> FlagStoreSandbox {
    let environment = fixtures::literal("staging");
    let store = FakeFlagStore::new().flag("dark-mode", &environment);
    suites::flag_store::sandbox(Arc::new(store), "dark-mode", environment)
}
release_testkit::conformance!(FlagStore, flags);

async fn secrets() -> SecretStoreSandbox {
    let clock = Arc::new(VirtualClock::new());
    let store = FakeSecretStore::new().with_clock(clock.clone());
    let secret = SecretRef::new("kv/api#password");
    store.with(|vault| vault.put(&secret, Secret::new("a password of a test")));
    let canary = Secret::new("a password of a test");
    suites::secret_store::sandbox(Arc::new(store), secret).clock(clock).canary(canary)
}
release_testkit::conformance!(SecretStore, secrets);

async fn data_sets() -> DataSetStoreSandbox {
    let clock = Arc::new(VirtualClock::new());
    let store = FakeDataSetStore::new(fixtures::literal("production"))
        .with_clock(clock.clone())
        .data_set("orders", Classification::Synthetic, None)
        .data_set("customers", Classification::Production, None);
    let place = DataSetPlace::new("orders", fixtures::literal("staging")).raw("customers");
    suites::data_set_store::sandbox(Arc::new(store), place).clock(clock)
}
release_testkit::conformance!(DataSetStore, data_sets);

async fn migrations() -> MigratorSandbox {
    let target = fixtures::target("db");
    let fake = FakeMigrator::new().migration(&target, "add-column");
    suites::migrator::sandbox(Arc::new(fake), MigrationRef::new(target, "add-column".into()))
}
release_testkit::conformance!(Migrator, migrations);

async fn workspaces() -> ProvisionerSandbox {
    let fake = FakeProvisioner::new(&["network"]);
    let (small, large) = (json!({ "db": { "size": 1, "a/b": 2 } }), json!({ "db": { "size": 2 } }));
    let other_hands = fake.clone();
    let place =
        Workspace::new("network", [small, large]).meddle(move || {
            // Every call changes another field.
            let field = other_hands.with(|all| {
                let first = all.meddle_field("network", "db", "/a~1b", json!(9));
                first.or_else(|| all.meddle_field("network", "db", "/size", json!(9)))
            });
            async move {
                field.map(|path| ("db".to_owned(), path)).ok_or_else(|| "no field is left".into())
            }
        });
    suites::provisioner::sandbox(Arc::new(fake), place)
}
release_testkit::conformance!(Provisioner, workspaces);

async fn changes() -> ChangeDeskSandbox {
    suites::change_desk::sandbox(Arc::new(FakeChangeDesk::new()))
}
release_testkit::conformance!(ChangeDesk, changes);

async fn builds() -> BuildRunnerSandbox {
    let fake = FakeBuildRunner::new().repository("ssh://host/api", "api");
    let revision = Digest::of(b"a commit").to_string();
    let build = StartBuild::new("ssh://host/api".into(), revision, "release".into());
    suites::build_runner::sandbox(Arc::new(fake), build)
}
release_testkit::conformance!(BuildRunner, builds);

async fn deeds() -> CustomActionSandbox {
    let request = CustomRequest::new("anything".into(), json!({ "for": "a test" }));
    suites::custom_action::sandbox(Arc::new(FakeCustomAction::new()), request)
}
release_testkit::conformance!(CustomAction, deeds);

async fn events() -> EventSinkSandbox {
    suites::event_sink::sandbox(Arc::new(FakeEventSink::new()))
}
release_testkit::conformance!(EventSink, events);

async fn pages() -> PagerSandbox {
    let team: release_core::model::TeamId = fixtures::literal("team-a");
    suites::pager::sandbox(Arc::new(FakePager::new([team.clone()])), team)
}
release_testkit::conformance!(Pager, pages);

async fn questions() -> ApprovalChannelSandbox {
    let clock = Arc::new(VirtualClock::new());
    let fake = FakeApprovalChannel::new().with_clock(clock.clone());
    let (people, now) = (fake.clone(), clock.clone());
    let people = People::who(move |key, by, vote| {
        let at = release_core::port::Clock::now(&*now);
        let taken = people.with(|questions| questions.answer(&key, by, vote, at));
        async move { Ok(taken) }
    });
    suites::approval_channel::sandbox(Arc::new(fake), people).clock(clock)
}
release_testkit::conformance!(ApprovalChannel, questions);
