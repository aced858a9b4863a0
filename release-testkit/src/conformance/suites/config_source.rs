//! The suite of [`ConfigSource`].

use std::fmt;
use std::sync::Arc;

use release_providers::ErrorKind;
use release_providers::spi::{ConfigSnapshot, ConfigSource, ReadConfig};

use crate::conformance::any::{ProviderSandbox, suite, text};
use crate::conformance::{Broken, Check, Hook, HookError, broken, case, hook, unanswered};

/// A source of configuration, and what of it the suite may use.
///
/// What else it can be shown, such as troubles and secrets, are the methods of [`ProviderSandbox`].
pub type ConfigSourceSandbox = ProviderSandbox<dyn ConfigSource, Place>;

/// What of a source the suite may use.
#[derive(Clone)]
#[must_use]
pub struct Place {
    request: ReadConfig,
    change: Option<Hook<u32, ()>>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.request).finish()
    }
}

impl Place {
    /// A place that the source knows, with at least one setting.
    pub const fn new(request: ReadConfig) -> Self {
        Self { request, change: None }
    }

    /// Sets one setting of the place to a number. Without it `a_change_is_seen` is skipped, and said to be.
    pub fn change<F>(mut self, change: impl Fn(u32) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), HookError>> + Send + 'static,
    {
        self.change = Some(hook(change));
        self
    }
}

suite!(
    ConfigSource,
    "config_source",
    ConfigSourceSandbox,
    looking,
    [
        case!(settings_are_whole, "all settings are told, with their revision"),
        case!(
            a_change_is_seen,
            "what was changed is told, with another digest and revision; equal settings have equal digests",
            |sandbox: &ConfigSourceSandbox| {
                sandbox.at.change.is_none().then_some("way to change a setting")
            }
        ),
    ]
);

/// The source, and a place that it knows. The sandbox's canary is the value of a secret setting of the place, if it has one.
pub fn sandbox(provider: Arc<dyn ConfigSource>, place: Place) -> ConfigSourceSandbox {
    ProviderSandbox::of(provider, place)
        .look("read", true, |provider, cx, at| async move {
            text(provider.read(&cx, at.request.clone()).await)
        })
        .refusal("an unknown place", ErrorKind::NotFound, |provider, cx, at| async move {
            let mut request = at.request.clone();
            request.environment = crate::fixtures::literal("an-environment-that-nobody-has");
            text(provider.read(&cx, request).await)
        })
}

async fn settings_are_whole(sandbox: &ConfigSourceSandbox) -> Check {
    let settings = read(sandbox).await?;
    if settings.values.is_empty() || settings.revision.is_empty() {
        return Err(broken("settings and their revision", format!("{settings:?}")));
    }
    let twice = settings.secrets.keys().find(|name| settings.values.contains_key(*name));
    match twice {
        None => Ok(()),
        Some(name) => Err(broken("secrets as references alone", format!("`{name}` has a value"))),
    }
}

async fn a_change_is_seen(sandbox: &ConfigSourceSandbox) -> Check {
    let [one, two, back] = [set(sandbox, 1).await?, set(sandbox, 2).await?, set(sandbox, 1).await?];
    if one.values == two.values || one.digest == two.digest || one.revision == two.revision {
        let expected = format!("other settings, another digest and revision than {one:?}");
        return Err(broken(expected, format!("{two:?}")));
    }
    if back.values != one.values || back.digest != one.digest {
        return Err(broken(format!("the settings and the digest of {one:?}"), format!("{back:?}")));
    }
    Ok(())
}

async fn set(sandbox: &ConfigSourceSandbox, to: u32) -> Result<ConfigSnapshot, Broken> {
    if let Some(change) = &sandbox.at.change {
        change(to).await.map_err(|error| broken("a setting to be changed", error))?;
    }
    read(sandbox).await
}

async fn read(sandbox: &ConfigSourceSandbox) -> Result<ConfigSnapshot, Broken> {
    let answer = sandbox.provider.read(&sandbox.context(), sandbox.at.request.clone()).await;
    answer.map_err(|error| unanswered("the settings", &error))
}
