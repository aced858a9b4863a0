//! A plugin that serves a fake of every trait that has a suite, so that the suites run on both sides of the boundary;
//! for hosts, too, that want to try their plugins' wiring. What a test does behind a provider's back goes through the
//! [`door`].

mod door;

use std::process::ExitCode;
use std::sync::Arc;

use release_core::model::{Digest, TeamId};
use release_core::port::Clock;
use release_providers::plugin::serve::Server;
use release_providers::spi::{Classification, SecretRef};
use release_providers::{Secret, SystemClock, Version};
use release_testkit::fakes::{
    FakeApprovalChannel, FakeBuildRunner, FakeChangeDesk, FakeCustomAction, FakeDataSetStore,
    FakeEventSink, FakeFlagStore, FakeIdentities, FakeMigrator, FakePager, FakePlatform,
    FakeProvisioner, FakeSecretStore,
};
use release_testkit::fixtures;

use self::door::Door;

fn main() -> ExitCode {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let on = || Arc::clone(&clock);
    let platform = FakePlatform::on(&clock);
    // What suites of deployers and routers may use is arranged by making their sandboxes, which are used elsewhere.
    drop(platform.deployer_sandbox(platform.deployer.clone()));
    drop(platform.router_sandbox(platform.router.clone()));
    let door = Door {
        custom: FakeCustomAction::new().performing(&["anything"]),
        world: platform.world.clone(),
        identities: Arc::new(FakeIdentities::of(fixtures::accounts()).with_clock(on())),
        workspaces: FakeProvisioner::new(&["network"]),
        questions: FakeApprovalChannel::new()
            .only_roles([fixtures::literal("release-manager")])
            .with_clock(on()),
        clock: on(),
    };
    let secrets = FakeSecretStore::new().with_clock(on());
    let secret = Secret::new("a password of a test");
    secrets.with(|vault| vault.put(&SecretRef::new("kv/api#password"), secret));
    let data_sets = FakeDataSetStore::new(fixtures::literal("production"))
        .with_clock(on())
        .data_set("orders", Classification::Synthetic, None)
        .data_set("customers", Classification::Production, None);
    let team: TeamId = fixtures::literal("team-a");
    let flags = FakeFlagStore::new().flag("dark-mode", &fixtures::literal("staging"));
    let builds = FakeBuildRunner::new().repository("ssh://host/api", "api");
    builds.with(|builds| builds.only(&Digest::of(b"a commit").to_string(), "release"));
    let migrations = FakeMigrator::new().migration(&fixtures::target("db"), "add-column");
    Server::new("fakes", Version::new(1, 0, 0))
        .deployer(platform.deployer)
        .traffic_router(platform.router)
        .health_probe(platform.health)
        .metrics_source(platform.metrics)
        .artifact_store(platform.artifacts)
        .notifier(platform.notifier)
        .identity_source(Arc::clone(&door.identities) as _)
        .flag_store(Arc::new(flags))
        .secret_store(Arc::new(secrets))
        .data_set_store(Arc::new(data_sets))
        .migrator(Arc::new(migrations))
        .provisioner(Arc::new(door.workspaces.clone()))
        .change_desk(Arc::new(FakeChangeDesk::new()))
        .build_runner(Arc::new(builds))
        .event_sink(Arc::new(FakeEventSink::new()))
        .pager(Arc::new(FakePager::new([team])))
        .approval_channel(Arc::new(door.questions.clone()))
        .custom_action(Arc::new(door))
        .run_blocking()
}
