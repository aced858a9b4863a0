//! From the file to the decision: what stands in it decides who may do what, and without it nobody may.

use std::sync::Arc;

use release_core::model::{Principal, RunId, Span};
use release_core::port::{Clock, CommandRequest, Decision, Policy, ReasonKind};
use release_core::run::Command;
use release_policy::decision::{Condition, PolicyBook, PolicySet, Rule};
use release_policy::directory::Directory;
use release_policy::rbac::{Access, Action, Rbac, Role, Rules};
use release_providers::spi::ReadIdentities;
use release_providers::{Context, Registry};
use release_testkit::fakes::FakeIdentities;
use release_testkit::{VirtualClock, fixtures};

use crate::home::Home;

/// A host: it reads identities and lets its policy go by them.
struct Host {
    clock: Arc<VirtualClock>,
    registry: Registry,
    book: PolicyBook,
}

impl Host {
    /// Those on call may cancel, as long as the directory is younger than five minutes.
    async fn new(home: &Home) -> Self {
        let clock = Arc::new(VirtualClock::new());
        let shared: Arc<dyn Clock> = clock.clone();
        let source = Arc::new(home.open(&shared));
        let registry = Registry::builder(shared).identities(source).build().unwrap();
        let on_call = Role::new(fixtures::literal("on-call")).may([Action::Cancel]);
        let rules = Rules::new([on_call], []).unwrap();
        let directory = Self::read(&registry, &clock).await.unwrap();
        let rights = Rbac::new(Access::new(rules, directory, Span::secs(300))).commands_only();
        let anything = Rule::allow("anything", Condition::Always, "platform");
        let set = PolicySet::new([anything]).unwrap().rights(rights);
        Self { clock, registry, book: PolicyBook::new(set) }
    }

    async fn read(registry: &Registry, clock: &VirtualClock) -> Result<Directory, String> {
        let source = registry.identities().ok_or("no source is registered")?;
        let deadline = clock.now().plus(Span::secs(10));
        let cx = Context::new("identities", deadline, fixtures::robot());
        let snapshot =
            source.read(&cx, ReadIdentities::new()).await.map_err(|error| error.to_string())?;
        Directory::try_from(snapshot).map_err(|error| error.to_string())
    }

    /// A minute later, the next look at the source.
    async fn refresh(&self) {
        self.clock.advance(Span::secs(60));
        match Self::read(&self.registry, &self.clock).await {
            Ok(directory) => self.book.publish_directory(directory).unwrap(),
            Err(_) => self.book.lose_directory(self.clock.now()),
        }
    }

    /// Olga cancels Ann's run.
    fn cancel(&self) -> Decision {
        let run: RunId = fixtures::literal("r");
        let (ann, olga) = (fixtures::requester(), Principal::human(fixtures::operator().id));
        let request = CommandRequest::new(&run, &ann, &olga, &Command::Cancel, self.clock.now());
        self.book.authorize(&request.pinned(self.book.digest()))
    }
}

/// The rule and the kind of the first reason against it.
fn denied(decision: &Decision) -> (&str, ReasonKind) {
    let Decision::Deny { reasons, .. } = decision else { panic!("not denied: {decision:?}") };
    (&reasons[0].rule, reasons[0].kind)
}

#[tokio::test]
async fn a_role_that_is_taken_away_is_gone_with_the_next_read() {
    let home = Home::new();
    let host = Host::new(&home).await;
    let before = host.cancel();
    assert!(before.is_permit(), "{before:?}");

    let olga = fixtures::operator().id;
    home.change(|accounts| {
        for account in accounts.iter_mut().filter(|account| account.id == olga) {
            account.grants.clear();
        }
    });
    assert!(host.cancel().is_permit(), "nobody has read it yet");
    host.refresh().await;
    let after = host.cancel();
    assert_eq!(denied(&after), ("rbac/cancel", ReasonKind::Missing));
    let directories = [&before, &after].map(|decision| decision.inputs().unwrap().directory);
    assert!(directories[0].is_some() && directories[0] != directories[1]);

    // Given again, it holds again, until the account is closed.
    home.change(|accounts| *accounts = fixtures::accounts());
    host.refresh().await;
    assert!(host.cancel().is_permit());
    home.change(|accounts| accounts.iter_mut().for_each(|account| account.active = false));
    host.refresh().await;
    assert!(host.cancel().is_deny());
}

#[tokio::test]
async fn a_file_that_is_gone_denies_until_it_is_back() {
    let home = Home::new();
    let host = Host::new(&home).await;
    home.hide();
    assert!(host.cancel().is_permit(), "nobody knows yet");
    host.refresh().await;
    assert_eq!(denied(&host.cancel()), ("rbac/directory", ReasonKind::Error));
    home.show();
    host.refresh().await;
    assert!(host.cancel().is_permit());

    // An older file that was put back is no answer either.
    home.write(r#"{"version": 0, "identities": []}"#);
    host.refresh().await;
    assert_eq!(denied(&host.cancel()), ("rbac/directory", ReasonKind::Error));
}

#[tokio::test]
async fn a_snapshot_that_nobody_renews_denies_once_it_is_too_old() {
    let home = Home::new();
    let host = Host::new(&home).await;
    host.clock.advance(Span::secs(299));
    assert!(host.cancel().is_permit());
    host.clock.advance(Span::secs(1));
    assert_eq!(denied(&host.cancel()), ("rbac/directory", ReasonKind::Error));
}

#[test]
fn a_registry_has_one_source_of_identities_and_describes_it() {
    let source = || Arc::new(FakeIdentities::of(fixtures::accounts()));
    let builder = || Registry::builder(Arc::new(VirtualClock::new()));
    assert!(builder().build().unwrap().identities().is_none());
    let described = builder().identities(source()).build().unwrap().bindings();
    let [bound] = &*described else { panic!("{described:?}") };
    assert_eq!(bound.to_string(), "identity_source, everywhere: fake-identities 1.0.0");
    let errors = builder().identities(source()).identities(source()).build().unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().contains("as identity_source for `everywhere`"), "{errors:?}");
}
