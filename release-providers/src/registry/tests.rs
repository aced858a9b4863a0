//! Which of several providers serves a step.

use async_trait::async_trait;
use release_core::time::Timestamp;
use semver::Version;
use serde_json::json;

use super::*;
use crate::spi::{ClockReading, ClockSource, Notification, Notifier, ReadClock};
use crate::{Context, Description, EffectClass, ProviderError};

#[derive(Debug)]
struct Named(&'static str);

fn description(name: &str) -> Description {
    Description::new(name, Version::new(1, 0, 0), EffectClass::Idempotent)
}

#[async_trait]
impl ClockSource for Named {
    fn describe(&self) -> Description {
        description(self.0)
    }
    async fn read(&self, _: &Context, _: ReadClock) -> Result<ClockReading, ProviderError> {
        Err(ProviderError::new(crate::ErrorKind::Unavailable, "clock_source.read", "stopped"))
    }
}

#[async_trait]
impl Notifier for Named {
    fn describe(&self) -> Description {
        description(self.0)
    }
    async fn notify(&self, _: &Context, _: Notification) -> Result<(), ProviderError> {
        Ok(())
    }
}

#[derive(Debug)]
struct Stopped;

#[async_trait]
impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }
    async fn sleep_until(&self, _: Timestamp) {}
    fn anomaly(&self) -> Option<release_core::port::ClockAnomaly> {
        None
    }
}

/// `environment/region/service`, with `*` for what is not set.
fn selector(text: &str) -> ProviderSelector {
    let mut parts = text.split('/').map(|part| (part != "*").then_some(part));
    let mut next = || parts.next().flatten();
    let mut selector = ProviderSelector::everywhere();
    selector.environment = next().map(|id| id.parse().unwrap());
    selector.region = next().map(|id| id.parse().unwrap());
    selector.service = next().map(|id| id.parse().unwrap());
    selector
}

fn registry(bound: &[&'static str]) -> Result<Registry, Vec<RegistryError>> {
    let builder = Registry::builder(Arc::new(Stopped));
    let add = |builder: RegistryBuilder, text: &&'static str| {
        builder.provider(selector(text), AnyProvider::ClockSource(Arc::new(Named(text))))
    };
    bound.iter().fold(builder, add).build()
}

#[test]
fn the_narrowest_serves_whatever_the_order() {
    let table: &[(&[&str], &str, Option<&str>)] = &[
        (&[], "prod/eu/api", None),
        (&["prod"], "*/*/*", None),
        (&["prod"], "staging/eu/api", None),
        (&["*"], "prod/eu/api", Some("*")),
        (&["*", "prod"], "prod/eu/api", Some("prod")),
        (&["prod", "*"], "prod/eu/api", Some("prod")),
        (&["prod/eu", "prod", "*"], "prod/eu/api", Some("prod/eu")),
        (&["prod/eu", "prod", "*"], "prod/us/api", Some("prod")),
        (&["prod/eu", "prod", "*"], "prod", Some("prod")),
        (&["prod/eu/api", "prod/eu"], "prod/eu/web", Some("prod/eu")),
        (&["*/eu"], "prod/eu/api", Some("*/eu")),
        (&["*/*/api", "prod", "prod/*/api"], "prod/eu/api", Some("prod/*/api")),
    ];
    for (bound, at, wanted) in table {
        let registry = registry(bound).unwrap();
        let found = registry.find::<dyn ClockSource>(&selector(at));
        assert_eq!(found.map(|one| one.describe().name).as_deref(), *wanted, "{bound:?} {at}");
    }
}

#[test]
fn bindings_that_no_order_should_decide_are_refused() {
    let both = registry(&["prod", "*/*/api"]).unwrap_err();
    let [error] = &*both else { panic!("{both:?}") };
    assert_eq!(
        error.to_string(),
        "the providers that are registered as clock_source for `service api` and for `environment prod` both serve \
         `environment prod, service api`; say who does by registering one for that"
    );
    assert!(registry(&["prod", "*/*/api", "prod/*/api"]).is_ok());
    assert!(registry(&["prod/eu", "staging/*/api"]).is_ok(), "they meet nowhere");
    assert_eq!(registry(&["prod/eu", "prod/*/api", "prod/us"]).unwrap_err().len(), 2);
    let twice = registry(&["prod", "prod"]).unwrap_err();
    assert!(matches!(&*twice, [RegistryError::Twice { .. }]), "{twice:?}");
}

#[test]
fn what_a_capability_is_not_selected_by_is_refused() {
    let channel = || ProviderSelector::channel("ops".parse().unwrap());
    let notifier = || AnyProvider::Notifier(Arc::new(Named("n")));
    let clock = AnyProvider::ClockSource(Arc::new(Named("c")));
    let builder = || Registry::builder(Arc::new(Stopped));
    assert!(builder().provider(channel(), notifier()).build().is_ok());
    let errors = builder().provider(channel(), clock).build().unwrap_err();
    assert!(errors[0].to_string().starts_with("`channel` selects nothing"), "{errors:?}");
    let errors = builder().provider(ProviderSelector::action("x"), notifier()).build().unwrap_err();
    assert!(errors[0].to_string().starts_with("`action` selects nothing"), "{errors:?}");
}

#[test]
fn a_registry_tells_who_serves_what() {
    let bound: Vec<_> = registry(&["prod", "*"]).unwrap().bindings();
    let bound: Vec<_> = bound.iter().map(ToString::to_string).collect();
    assert_eq!(
        bound,
        ["clock_source, everywhere: * 1.0.0", "clock_source, environment prod: prod 1.0.0"]
    );
}

#[tokio::test]
async fn any_provider_is_called_by_name_and_says_what_is_wrong_with_a_call() {
    let clock = AnyProvider::ClockSource(Arc::new(Named("c")));
    let who = release_core::model::Principal::service("test".parse().unwrap());
    let cx = Context::new("k", Timestamp::from_micros(1), who);
    let call = async |operation, request| {
        let error = clock.call(operation, &cx, &request).await.unwrap_err();
        error.to_string()
    };
    assert_eq!(call("read", json!({})).await, "clock_source.read: stopped");
    let unknown = call("write", json!({})).await;
    assert!(
        unknown.contains("`clock_source` has no operation `write`; it has `read`"),
        "{unknown}"
    );
    let field = call("read", json!({ "when": 1 })).await;
    assert!(field.contains("there is no field `when`"), "{field}");
}
