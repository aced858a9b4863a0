//! Flags that are kept in memory.

use std::collections::BTreeMap;

use release_core::model::EnvironmentId;
use release_providers::spi::{FlagRef, FlagState, FlagStatus, SetFlag};
use release_providers::{ErrorKind, ProviderError};

use super::{Asked, Fake, FlagStoreCall, model};

/// A [`FlagStore`](release_providers::spi::FlagStore) that is kept in memory.
pub type FakeFlagStore = Fake<FlagStoreCall, Flags>;

/// What a [`FakeFlagStore`] knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags(BTreeMap<(String, EnvironmentId), (FlagState, u64)>);

impl Fake<FlagStoreCall, Flags> {
    /// A store that knows no flag.
    pub fn new() -> Self {
        Self::of("fake-flag-store", Flags::default())
    }

    /// The same with a flag that is off.
    #[must_use]
    pub fn flag(self, flag: &str, environment: &EnvironmentId) -> Self {
        self.with(|flags| {
            flags.0.insert((flag.to_owned(), environment.clone()), (FlagState::Off, 1))
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
        let SetFlag { flag, environment, state, expected, .. } = request;
        let known = self.0.get_mut(&(flag.clone(), environment));
        let (is, revision) = asked.found("flag", &flag, known)?;
        if matches!(state, FlagState::Share { percent } if percent > 100) {
            return Err(asked.error(ErrorKind::Invalid, "a share is of a hundred"));
        }
        if *is == state {
            return Ok(());
        }
        if expected.is_some_and(|expected| expected != *revision) {
            return Err(asked.error(ErrorKind::Conflict, "somebody else changed it"));
        }
        (*is, *revision) = (state, *revision + 1);
        Ok(())
    }

    fn observe(
        &mut self,
        asked: &Asked<'_>,
        request: FlagRef,
    ) -> Result<FlagStatus, ProviderError> {
        let FlagRef { flag, environment, .. } = request;
        let known = self.0.get(&(flag.clone(), environment.clone())).copied();
        let (state, revision) = asked.found("flag", &flag, known)?;
        let state = match state {
            FlagState::On if asked.lie => FlagState::Off,
            _ if asked.lie => FlagState::On,
            state => state,
        };
        Ok(FlagStatus::new(flag, environment, state, revision))
    }
}
