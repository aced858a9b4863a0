//! A host, a plugin, and what happened to it.

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use release_core::model::Digest;
use release_core::port::Clock as _;
use release_core::time::Span;
use release_providers::plugin::host::{
    Host, Plugin, PluginEvent, PluginEvents, PluginRecord, PluginSpec,
};
use release_providers::spi::{CustomAction, CustomRequest};
use release_providers::{Context, SystemClock};
use release_testkit::conformance::HookError;
use release_testkit::fixtures;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const FAKES: &str = env!("CARGO_BIN_EXE_fake-plugin");

/// What no plugin of these tests has a reason for: crashes, hangs, answers that break the contract.
#[derive(Debug, Default)]
struct Faults(Mutex<Vec<String>>);

impl PluginEvents for Faults {
    fn on_event(&self, PluginRecord { event, .. }: &PluginRecord) {
        if !matches!(event, PluginEvent::Loaded { .. } | PluginEvent::Stopped { .. }) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }
}

/// A plugin that runs, for one case.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) plugin: Plugin,
    faults: Arc<Faults>,
    _directory: Arc<TempDir>,
}

impl Stage {
    /// The plugin of the fakes.
    pub(crate) async fn fakes() -> Self {
        Self::start(FAKES.as_ref(), &[]).await
    }

    pub(crate) async fn start(binary: &Path, args: &[&str]) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let faults = Arc::new(Faults::default());
        let host = Host::new(Arc::new(SystemClock::new()), directory.path());
        let digest = Digest::of(&std::fs::read(binary).unwrap());
        let mut spec = PluginSpec::new("plugin", binary.to_owned(), digest);
        spec.missed_looks = 100; // the machine may be busy
        spec.stop_grace = Span::secs(20);
        spec.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        let plugin = Plugin::start(&host.events(faults.clone()), spec).await.unwrap();
        Self { plugin, faults, _directory: directory }
    }

    /// What a sandbox ends with: the plugin ends as it is asked to, and there was no fault.
    pub(crate) fn closing(
        &self,
    ) -> impl Fn() -> BoxFuture<'static, Result<(), HookError>> + Send + Sync + 'static {
        let stage = self.clone();
        move || {
            let stage = stage.clone();
            Box::pin(async move {
                stage.plugin.shutdown().await;
                match stage.faults.0.lock().unwrap().first() {
                    None => Ok(()),
                    Some(fault) => Err(fault.clone().into()),
                }
            })
        }
    }

    /// Goes behind the providers' backs.
    pub(crate) async fn door<T: DeserializeOwned>(
        &self,
        what: &str,
        input: impl Serialize,
    ) -> Result<T, HookError> {
        let door: Arc<dyn CustomAction> = self.plugin.custom_action()?;
        let deadline = SystemClock::new().now().plus(Span::secs(30));
        let cx = Context::new("door", deadline, fixtures::robot());
        let input: Value = serde_json::to_value(input)?;
        let request = CustomRequest::new(format!("door/{what}"), input);
        Ok(serde_json::from_value(door.perform(&cx, request).await?.output)?)
    }
}
