//! Flags that are kept in memory.

use std::collections::BTreeMap;

use release_core::model::EnvironmentId;
use release_providers::spi::{FlagRef, FlagState, FlagStatus, KillFlag, SetFlag};
use release_providers::{ErrorKind, ProviderError};

use super::{Asked, Fake, FlagStoreCall, model};

/// A [`FlagStore`](release_providers::spi::FlagStore) that is kept in memory.
pub type FakeFlagStore = Fake<FlagStoreCall, Flags>;

/// What a [`FakeFlagStore`] knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags(BTreeMap<(String, EnvironmentId), Kept>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    state: FlagState,
    revision: u64,
    killed: Option<String>,
}

impl Fake<FlagStoreCall, Flags> {
    /// A store that knows no flag.
    pub fn new() -> Self {
        Self::of("fake-flag-store", Flags::default())
    }

    /// The same with a flag that is off.
    #[must_use]
    pub fn flag(self, flag: &str, environment: &EnvironmentId) -> Self {
        self.with(|flags| {
            let off = Kept { state: FlagState::Off, revision: 1, killed: None };
            flags.0.insert((flag.to_owned(), environment.clone()), off)
        });
        self
    }
}

impl Default for Fake<FlagStoreCall, Flags> {
    fn default() -> Self {
        Self::new()
    }
}

impl model::FlagStore for Flags {
    fn set(&mut self, asked: &Asked<'_>, request: SetFlag) -> Result<(), ProviderError> {
        let SetFlag { flag, environment, state, expected, revive, .. } = request;
        let known = self.0.get_mut(&(flag.clone(), environment));
        let is = asked.found("flag", &flag, known)?;
        if matches!(state, FlagState::Share { percent } if percent > 100) {
            return Err(asked.error(ErrorKind::Invalid, "a share is of a hundred"));
        }
        let revived = revive && is.killed.is_some();
        if is.state == state && !revived {
            return Ok(());
        }
        if let Some(why) = is.killed.as_ref().filter(|_| !revive) {
            let text = format!("it was killed by {why}");
            return Err(asked.error(ErrorKind::Conflict, text));
        }
        if expected.is_some_and(|expected| expected != is.revision) {
            return Err(asked.error(ErrorKind::Conflict, "somebody else changed it"));
        }
        *is = Kept { state, revision: is.revision + 1, killed: None };
        Ok(())
    }

    fn kill(&mut self, asked: &Asked<'_>, request: KillFlag) -> Result<(), ProviderError> {
        let KillFlag { flag, environment, reason, .. } = request;
        let known = self.0.get_mut(&(flag.clone(), environment));
        let is = asked.found("flag", &flag, known)?;
        if is.killed.is_none() {
            let revision = is.revision + 1;
            *is = Kept { state: FlagState::Off, revision, killed: Some(reason) };
        }
        Ok(())
    }

    fn observe(
        &mut self,
        asked: &Asked<'_>,
        request: FlagRef,
    ) -> Result<FlagStatus, ProviderError> {
        let FlagRef { flag, environment, .. } = request;
        let known = self.0.get(&(flag.clone(), environment.clone())).cloned();
        let Kept { state, revision, killed } = asked.found("flag", &flag, known)?;
        let state = match state {
            FlagState::On if asked.lie => FlagState::Off,
            _ if asked.lie => FlagState::On,
            state => state,
        };
        let mut status = FlagStatus::new(flag, environment, state, revision);
        status.killed = killed.filter(|_| !asked.lie);
        Ok(status)
    }
}
