//! Flags in flag definition files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use release_core::flags::{FlagState, Variant};
use release_core::model::EnvironmentId;
use release_core::port::{Clock, EffectCertainty};

use super::document::{Change, Flag, Standing};
use super::file::{Held, Waits};
use super::settings::FlagdSettings;
use crate::spi::{FlagRef, FlagStatus, FlagStore, KillFlag, SetFlag};
use crate::{Context, Description, EffectClass, ErrorKind, ProviderError, Version};

const SET: &str = "flagd.set";
const KILL: &str = "flagd.kill";
const OBSERVE: &str = "flagd.observe";

/// Keeps flags in files that flagd and OpenFeature providers watch; see [the module](crate::flagd).
///
/// Cheap to clone. Files are read anew at every call, so that whatever else changes them is seen.
#[derive(Debug, Clone)]
pub struct FlagdStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: FlagdSettings,
    on: Variant,
    off: Variant,
    clock: Arc<dyn Clock>,
}

pub(super) fn description() -> Description {
    Description::new("flagd", Version::new(1, 0, 0), EffectClass::Idempotent)
}

impl FlagdStore {
    /// A store over these files, which are not touched yet.
    ///
    /// # Errors
    /// `Invalid`, when the settings make no sense.
    pub fn open(settings: FlagdSettings, clock: Arc<dyn Clock>) -> Result<Self, ProviderError> {
        let (on, off) = settings.check()?;
        Ok(Self { shared: Arc::new(Shared { settings, on, off, clock }) })
    }

    /// Does `work` with the file of an environment, on a thread that may block.
    async fn with<T: Send + 'static>(
        &self,
        cx: &Context,
        (operation, effect): (&'static str, EffectCertainty),
        environment: &EnvironmentId,
        work: impl FnOnce(&Shared, &Path, Waits) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        cx.check(operation, self.shared.clock.now())?;
        let missing = || {
            let text = "no file is set for this environment";
            ProviderError::new(ErrorKind::NotFound, operation, text)
                .with_context("environment", environment)
        };
        let path: PathBuf =
            self.shared.settings.files.get(environment).cloned().ok_or_else(missing)?;
        let shared = Arc::clone(&self.shared);
        // Until this is over, or is dropped.
        let (waits, _waiting) = Waits::somebody();
        let work = async move {
            let done = tokio::task::spawn_blocking(move || work(&shared, &path, waits)).await;
            done.unwrap_or_else(|error| {
                Err(ProviderError::new(ErrorKind::Internal, operation, "a task broke off")
                    .with_effect(effect)
                    .with_source(error))
            })
        };
        cx.within(&*self.shared.clock, operation, effect, work).await
    }
}

impl Shared {
    /// The flag in a file that is held, and how it stands.
    fn find<'a>(
        &self,
        held: &'a Held,
        flag: &str,
        operation: &'static str,
    ) -> Result<(Flag<'a>, Standing), ProviderError> {
        let found = Flag::find(&held.text, flag).map_err(|text| invalid(operation, text))?;
        let found = found.ok_or_else(|| {
            let text = "the file has no such flag; people define it there, with its variants";
            ProviderError::new(ErrorKind::NotFound, operation, text).with_context("flag", flag)
        })?;
        let standing = found.standing(&self.on, &self.off);
        Ok((found, standing))
    }

    fn change(
        &self,
        held: &Held,
        (flag, change): (&Flag<'_>, &Change<'_>),
        (key, operation): (&str, &'static str),
    ) -> Result<(), ProviderError> {
        let text = flag.changed(change, &self.on, &self.off);
        let text = text.map_err(|text| invalid(operation, text).with_context("flag", key))?;
        held.write(&text)
    }

    fn set(&self, path: &Path, request: &SetFlag, waits: Waits) -> Result<(), ProviderError> {
        let SetFlag { flag: key, state, expected, revive, .. } = request;
        if state.percent() > 100 {
            return Err(invalid(SET, "a share is of a hundred".into()));
        }
        // A share of none or of all is off or on.
        let state = FlagState::share(state.percent()).unwrap_or(*state);
        let held = Held::take(path, SET, waits)?;
        let (flag, standing) = self.find(&held, key, SET)?;
        let is = standing.state.map_err(|text| invalid(SET, text).with_context("flag", key))?;
        let revived = *revive && standing.killed.is_some();
        if is == state && !revived {
            return Ok(());
        }
        let conflict = |text: String| ProviderError::new(ErrorKind::Conflict, SET, text);
        if let Some(why) = standing.killed.filter(|_| !revive) {
            return Err(conflict(format!("it was killed by {why}")).with_context("flag", key));
        }
        let revision = held.revision(key, &standing.mark)?;
        if expected.is_some_and(|expected| expected != revision) {
            let error = conflict("somebody else changed the flag; look at it again".into());
            return Err(error.with_context("flag", key).with_context("revision", revision));
        }
        self.change(&held, (&flag, &Change::Set(state)), (key, SET))
    }

    fn kill(&self, path: &Path, request: &KillFlag, waits: Waits) -> Result<(), ProviderError> {
        let KillFlag { flag: key, reason, .. } = request;
        let held = Held::take(path, KILL, waits)?;
        let (flag, standing) = self.find(&held, key, KILL)?;
        if standing.killed.is_some() && standing.state == Ok(FlagState::Off) {
            return Ok(());
        }
        // So that the revision behind it is another one, whether or not anybody ever looked.
        held.revision(key, &standing.mark)?;
        self.change(&held, (&flag, &Change::Kill(reason)), (key, KILL))
    }

    fn observe(
        &self,
        path: &Path,
        request: FlagRef,
        waits: Waits,
    ) -> Result<FlagStatus, ProviderError> {
        let FlagRef { flag: key, environment, .. } = request;
        let held = Held::take(path, OBSERVE, waits)?;
        let (_, standing) = self.find(&held, &key, OBSERVE)?;
        let state =
            standing.state.map_err(|text| invalid(OBSERVE, text).with_context("flag", &key))?;
        let revision = held.revision(&key, &standing.mark)?;
        let mut status = FlagStatus::new(key, environment, state, revision);
        status.killed = standing.killed;
        Ok(status)
    }
}

fn invalid(operation: &'static str, text: String) -> ProviderError {
    ProviderError::new(ErrorKind::Invalid, operation, text)
}

#[async_trait]
impl FlagStore for FlagdStore {
    fn describe(&self) -> Description {
        description()
    }

    async fn set(&self, cx: &Context, request: SetFlag) -> Result<(), ProviderError> {
        let environment = request.environment.clone();
        let about = (SET, EffectCertainty::Unknown);
        self.with(cx, about, &environment, move |shared, path, waits| {
            shared.set(path, &request, waits)
        })
        .await
    }

    async fn kill(&self, cx: &Context, request: KillFlag) -> Result<(), ProviderError> {
        let environment = request.environment.clone();
        let about = (KILL, EffectCertainty::Unknown);
        self.with(cx, about, &environment, move |shared, path, waits| {
            shared.kill(path, &request, waits)
        })
        .await
    }

    async fn observe(&self, cx: &Context, request: FlagRef) -> Result<FlagStatus, ProviderError> {
        let environment = request.environment.clone();
        let about = (OBSERVE, EffectCertainty::NotApplied);
        self.with(cx, about, &environment, move |shared, path, waits| {
            shared.observe(path, request, waits)
        })
        .await
    }
}
