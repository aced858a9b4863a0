//! A flagd file as a kind of provider, for hosts that read providers from a file.

use std::sync::Arc;

use async_trait::async_trait;

use super::store::{FlagdStore, description};
use crate::kind::{Manifest, Opening, ProviderKind};
use crate::{AnyProvider, ProviderError};

/// Opens a [`FlagdStore`] with [`FlagdSettings`](super::FlagdSettings): the kind `flagd`.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct FlagdKind;

impl FlagdKind {
    /// The kind.
    pub const fn new() -> Self {
        Self
    }
}

#[async_trait]
impl ProviderKind for FlagdKind {
    fn manifest(&self) -> Manifest {
        let described = description();
        Manifest::new("flagd", described.version.clone()).with("flag_store", described)
    }

    async fn open(&self, opening: Opening) -> Result<Vec<AnyProvider>, ProviderError> {
        let settings = opening.settings()?;
        let store = FlagdStore::open(settings, opening.clock)?;
        Ok(vec![AnyProvider::FlagStore(Arc::new(store))])
    }
}
