//! The suites, as a vendor would write them, of what a plugin serves.

use release_core::model::{Digest, TeamId};
use release_providers::Secret;
use release_providers::spi::{CustomRequest, MigrationRef, SecretRef, StartBuild};
use release_testkit::conformance as suites;
use release_testkit::conformance::Subject;
use release_testkit::conformance::approval_channel::{ApprovalChannelSandbox, People};
use release_testkit::conformance::build_runner::BuildRunnerSandbox;
use release_testkit::conformance::change_desk::{ChangeDeskSandbox, Desk};
use release_testkit::conformance::custom_action::CustomActionSandbox;
use release_testkit::conformance::data_set_store::{DataSetPlace, DataSetStoreSandbox};
use release_testkit::conformance::deployer::DeployerSandbox;
use release_testkit::conformance::event_sink::EventSinkSandbox;
use release_testkit::conformance::flag_store::FlagStoreSandbox;
use release_testkit::conformance::identity::IdentitySandbox;
use release_testkit::conformance::migrator::MigratorSandbox;
use release_testkit::conformance::pager::PagerSandbox;
use release_testkit::conformance::provisioner::{ProvisionerSandbox, Workspace};
use release_testkit::conformance::router::RouterSandbox;
use release_testkit::conformance::secret_store::SecretStoreSandbox;
use release_testkit::fixtures;
use serde_json::json;

use super::stage::Stage;

fn subjects() -> [Subject; 2] {
    let subject = |v| Subject::new(fixtures::artifact("api", v), fixtures::version(v));
    ["1.0.0", "1.1.0"].map(subject)
}

async fn deployments() -> DeployerSandbox {
    let stage = Stage::fakes().await;
    let (provider, close) = (stage.plugin.deployer().unwrap(), stage.closing());
    DeployerSandbox::new(provider, fixtures::target("api"), subjects())
        .corrupt(fixtures::artifact("api", "0.9.0"))
        .unknown_target(fixtures::target("no-such-service"))
        .too_many(6)
        .instances(move |target, digest| {
            let stage = stage.clone();
            async move { stage.door("instances", (target, digest)).await }
        })
        .on_close(close)
}
release_testkit::conformance!(Deployer, deployments);

async fn traffic() -> RouterSandbox {
    let stage = Stage::fakes().await;
    let (provider, close) = (stage.plugin.traffic_router().unwrap(), stage.closing());
    let deployer = stage.plugin.deployer().unwrap();
    RouterSandbox::new(provider, fixtures::target("api"), subjects())
        .deployed_by(deployer)
        .traffic(move |requests| {
            let stage = stage.clone();
            async move {
                let served: u64 =
                    stage.door("traffic", (fixtures::target("api"), requests)).await?;
                if served == requests { Ok(()) } else { Err(format!("only {served}").into()) }
            }
        })
        .on_close(close)
}
release_testkit::conformance!(TrafficRouter, traffic);

async fn accounts() -> IdentitySandbox {
    let stage = Stage::fakes().await;
    let (provider, close) = (stage.plugin.identity_source().unwrap(), stage.closing());
    let [changed, closed, cut, again] = [(); 4].map(|()| stage.clone());
    IdentitySandbox::new(provider)
        .change(move |number| {
            let stage = changed.clone();
            async move { stage.door("newcomer", number).await }
        })
        .close_account(fixtures::approver().id, move |account| {
            let stage = closed.clone();
            async move { stage.door("close", account).await }
        })
        .reach(move |within| {
            let stage = cut.clone();
            async move { stage.door("directory", within).await }
        })
        .reopen(move || {
            let again = again.plugin.identity_source();
            async move { Ok(again?) }
        })
        .on_close(close)
}
release_testkit::conformance!(IdentitySource, accounts);

async fn flags() -> FlagStoreSandbox {
    let (stage, environment) = (Stage::fakes().await, fixtures::literal("staging"));
    let provider = stage.plugin.flag_store().unwrap();
    suites::flag_store::sandbox(provider, "dark-mode", environment).on_close(stage.closing())
}
release_testkit::conformance!(FlagStore, flags);

async fn secrets() -> SecretStoreSandbox {
    let stage = Stage::fakes().await;
    let provider = stage.plugin.secret_store().unwrap();
    suites::secret_store::sandbox(provider, SecretRef::new("kv/api#password"))
        .canary(Secret::new("a password of a test"))
        .on_close(stage.closing())
}
release_testkit::conformance!(SecretStore, secrets);

async fn data_sets() -> DataSetStoreSandbox {
    let stage = Stage::fakes().await;
    let place = DataSetPlace::new("orders", fixtures::literal("staging")).raw("customers");
    suites::data_set_store::sandbox(stage.plugin.data_set_store().unwrap(), place)
        .on_close(stage.closing())
}
release_testkit::conformance!(DataSetStore, data_sets);

async fn migrations() -> MigratorSandbox {
    let (stage, target) = (Stage::fakes().await, fixtures::target("db"));
    let migration = MigrationRef::new(target, "add-column".into());
    suites::migrator::sandbox(stage.plugin.migrator().unwrap(), migration).on_close(stage.closing())
}
release_testkit::conformance!(Migrator, migrations);

async fn workspaces() -> ProvisionerSandbox {
    let stage = Stage::fakes().await;
    let (provider, close) = (stage.plugin.provisioner().unwrap(), stage.closing());
    let (small, large) = (json!({ "db": { "size": 1, "a/b": 2 } }), json!({ "db": { "size": 2 } }));
    let place = Workspace::new("network", [small, large]).meddle(move || {
        let stage = stage.clone();
        async move {
            let field: Option<String> = stage.door("meddle", ()).await?;
            field.map(|path| ("db".to_owned(), path)).ok_or_else(|| "no field is left".into())
        }
    });
    suites::provisioner::sandbox(provider, place.sees_other_hands()).on_close(close)
}
release_testkit::conformance!(Provisioner, workspaces);

async fn changes() -> ChangeDeskSandbox {
    let stage = Stage::fakes().await;
    suites::change_desk::sandbox(stage.plugin.change_desk().unwrap(), Desk::unattended())
        .on_close(stage.closing())
}
release_testkit::conformance!(ChangeDesk, changes);

async fn builds() -> BuildRunnerSandbox {
    let stage = Stage::fakes().await;
    let revision = Digest::of(b"a commit").to_string();
    let build = StartBuild::new("ssh://host/api".into(), revision, "release".into());
    suites::build_runner::sandbox(stage.plugin.build_runner().unwrap(), build)
        .on_close(stage.closing())
}
release_testkit::conformance!(BuildRunner, builds);

async fn deeds() -> CustomActionSandbox {
    let stage = Stage::fakes().await;
    let request = CustomRequest::new("anything".into(), json!({ "for": "a test" }));
    suites::custom_action::sandbox(stage.plugin.custom_action().unwrap(), request)
        .on_close(stage.closing())
}
release_testkit::conformance!(CustomAction, deeds);

async fn events() -> EventSinkSandbox {
    let stage = Stage::fakes().await;
    suites::event_sink::sandbox(stage.plugin.event_sink().unwrap()).on_close(stage.closing())
}
release_testkit::conformance!(EventSink, events);

async fn pages() -> PagerSandbox {
    let (stage, team) = (Stage::fakes().await, fixtures::literal::<TeamId>("team-a"));
    suites::pager::sandbox(stage.plugin.pager().unwrap(), team).on_close(stage.closing())
}
release_testkit::conformance!(Pager, pages);

async fn questions() -> ApprovalChannelSandbox {
    let stage = Stage::fakes().await;
    let (provider, close) = (stage.plugin.approval_channel().unwrap(), stage.closing());
    let people = People::who(move |key, by, vote| {
        let stage = stage.clone();
        async move { stage.door("answer", (key, by, vote)).await }
    });
    suites::approval_channel::sandbox(provider, people).on_close(close)
}
release_testkit::conformance!(ApprovalChannel, questions);
