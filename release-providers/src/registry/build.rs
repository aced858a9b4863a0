//! Builds a registry.

use std::sync::Arc;

use release_core::model::ChannelId;
use release_core::port::Clock;

use super::{AnyProvider, ProviderSelector, Registry, RegistryError, Tables};
use crate::Shielding;
use crate::layer::{Layers, Redactor};
use crate::spi::{
    ArtifactStore, CustomAction, Deployer, HealthProbe, IdentitySource, MetricsSource, Notifier,
    TrafficRouter,
};

/// Builds a [`Registry`].
#[derive(Debug)]
#[must_use]
pub struct RegistryBuilder {
    registry: Registry,
    layers: Layers,
    errors: Vec<RegistryError>,
    /// Whether the providers have their layers already.
    layered: bool,
}

impl RegistryBuilder {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let layers = Layers::new(Arc::clone(&clock)).shielding(Shielding::default());
        let registry = Registry {
            clock,
            tables: Tables::default(),
            redactor: Redactor::default(),
            drained: true,
            judged: false,
        };
        Self { registry, layers, errors: Vec::new(), layered: false }
    }

    /// Registers a provider of any capability for what `selector` selects.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use release_providers::{AnyProvider, RegistryBuilder, ProviderSelector, spi::{FlagStore, Migrator}};
    /// # fn f(builder: RegistryBuilder, flags: Arc<dyn FlagStore>, m: Arc<dyn Migrator>) -> RegistryBuilder {
    /// builder
    ///     .provider(ProviderSelector::everywhere(), flags)
    ///     .provider(ProviderSelector::everywhere(), AnyProvider::Migrator(m))
    /// # }
    /// ```
    pub fn provider(
        mut self,
        selector: ProviderSelector,
        provider: impl Into<AnyProvider>,
    ) -> Self {
        self.errors.extend(self.registry.tables.add(selector, provider.into()).err());
        self
    }

    /// Registers who runs instances.
    pub fn deployer(self, selector: ProviderSelector, provider: Arc<dyn Deployer>) -> Self {
        self.provider(selector, provider)
    }

    /// Registers who distributes traffic.
    pub fn router(self, selector: ProviderSelector, provider: Arc<dyn TrafficRouter>) -> Self {
        self.provider(selector, provider)
    }

    /// Registers who asks instances for their health.
    pub fn health(self, selector: ProviderSelector, provider: Arc<dyn HealthProbe>) -> Self {
        self.provider(selector, provider)
    }

    /// Registers who measures versions.
    pub fn metrics(self, selector: ProviderSelector, provider: Arc<dyn MetricsSource>) -> Self {
        self.provider(selector, provider)
    }

    /// Registers who keeps artifacts, everywhere.
    pub fn artifacts(self, provider: Arc<dyn ArtifactStore>) -> Self {
        self.provider(ProviderSelector::everywhere(), provider)
    }

    /// Registers who sends messages to `channel`.
    pub fn notifier(self, channel: ChannelId, provider: Arc<dyn Notifier>) -> Self {
        self.provider(ProviderSelector::channel(channel), provider)
    }

    /// Registers who performs custom steps that name `action`.
    pub fn custom(self, action: impl Into<String>, provider: Arc<dyn CustomAction>) -> Self {
        self.provider(ProviderSelector::action(action), provider)
    }

    /// Registers where identities come from.
    pub fn identities(self, provider: Arc<dyn IdentitySource>) -> Self {
        self.provider(ProviderSelector::everywhere(), provider)
    }

    /// Registers one platform that has the four capabilities of running software.
    pub fn platform<P>(self, selector: ProviderSelector, platform: Arc<P>) -> Self
    where
        P: Deployer + TrafficRouter + HealthProbe + MetricsSource,
    {
        self.deployer(selector.clone(), Arc::<P>::clone(&platform))
            .router(selector.clone(), Arc::<P>::clone(&platform))
            .health(selector.clone(), Arc::<P>::clone(&platform))
            .metrics(selector, platform)
    }

    /// Says how hard each provider may be worked.
    pub fn shielding(mut self, shielding: Shielding) -> Self {
        self.layers = self.layers.shielding(shielding);
        self
    }

    /// Says what stands around each provider; by default [`Shielding`] as it is by default, and no retries.
    pub fn layers(mut self, layers: Layers) -> Self {
        self.layers = layers;
        self
    }

    /// The providers stand behind `layers` already.
    #[cfg(feature = "config")]
    pub(crate) fn behind(self, layers: &Layers) -> Self {
        Self { layered: true, ..self.layers(layers.clone()) }
    }

    /// The registry.
    ///
    /// # Errors
    /// Every [`RegistryError`].
    pub fn build(self) -> Result<Registry, Vec<RegistryError>> {
        let Self { mut registry, layers, mut errors, layered } = self;
        errors.extend(registry.tables.unclear());
        if !errors.is_empty() {
            return Err(errors);
        }
        if !layered {
            registry.tables.wrap(&layers);
        }
        registry.redactor = layers.redactor().clone();
        Ok(registry)
    }
}
