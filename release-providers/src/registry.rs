//! Which provider serves which place, and whether a plan finds one for every step.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use release_core::model::{ChannelId, EnvironmentId, RegionId};
use release_core::plan::{Action, Plan, Step};
use release_core::port::{BindingError, Clock};

use crate::layer::{Layered, Layers, Provider};
use crate::spi::{
    ArtifactStore, CustomAction, Deployer, HealthProbe, IdentitySource, MetricsSource, Notifier,
    TrafficRouter,
};
use crate::{Capability, Description, Shielding};

/// The places that a provider serves. The narrower one wins, whatever the order of registration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Places {
    /// Every place that nobody else serves.
    Everywhere,
    /// One environment.
    Environment(EnvironmentId),
    /// One region of one environment.
    Region(EnvironmentId, RegionId),
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.write_str("everywhere"),
            Self::Environment(environment) => environment.fmt(f),
            Self::Region(environment, region) => write!(f, "{environment}/{region}"),
        }
    }
}

/// A registration that contradicts another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{capability} for {places} is registered twice; register one provider only, or narrow one of the two"
)]
pub struct RegistryError {
    /// The capability.
    pub capability: &'static str,
    /// The places, channel or name.
    pub places: String,
}

/// Routes the engine's commands to providers: the [`Performer`](release_core::port::Performer) of a
/// process.
#[derive(Debug)]
pub struct Registry {
    pub(crate) clock: Arc<dyn Clock>,
    deployers: Table<dyn Deployer>,
    routers: Table<dyn TrafficRouter>,
    probes: Table<dyn HealthProbe>,
    metrics: Table<dyn MetricsSource>,
    artifacts: Option<Arc<dyn ArtifactStore>>,
    notifiers: BTreeMap<ChannelId, Arc<dyn Notifier>>,
    custom: BTreeMap<String, Arc<dyn CustomAction>>,
    identities: Option<Arc<dyn IdentitySource>>,
}

type Table<T> = BTreeMap<Places, Arc<T>>;

/// Builds a [`Registry`].
#[derive(Debug)]
#[must_use]
pub struct RegistryBuilder {
    registry: Registry,
    layers: Layers,
    errors: Vec<RegistryError>,
}

impl Registry {
    /// Begins a registry that waits on `clock` between looks at what it asked for.
    pub fn builder(clock: Arc<dyn Clock>) -> RegistryBuilder {
        let layers = Layers::new(Arc::clone(&clock)).shielding(Shielding::default());
        let registry = Self {
            clock,
            deployers: Table::new(),
            routers: Table::new(),
            probes: Table::new(),
            metrics: Table::new(),
            artifacts: None,
            notifiers: BTreeMap::new(),
            custom: BTreeMap::new(),
            identities: None,
        };
        RegistryBuilder { registry, layers, errors: Vec::new() }
    }

    /// What every provider says of itself, by capability and places.
    pub fn describe(&self) -> Vec<(String, Description)> {
        let mut all = Vec::new();
        all.extend(self.deployers.iter().map(|(at, p)| (format!("deployer, {at}"), p.describe())));
        all.extend(
            self.routers.iter().map(|(at, p)| (format!("traffic router, {at}"), p.describe())),
        );
        all.extend(self.probes.iter().map(|(at, p)| (format!("health probe, {at}"), p.describe())));
        all.extend(
            self.metrics.iter().map(|(at, p)| (format!("metrics source, {at}"), p.describe())),
        );
        all.extend(self.artifacts.iter().map(|p| ("artifact store".into(), p.describe())));
        all.extend(self.notifiers.iter().map(|(at, p)| (format!("notifier, {at}"), p.describe())));
        all.extend(
            self.custom.iter().map(|(at, p)| (format!("custom action, {at}"), p.describe())),
        );
        all.extend(self.identities.iter().map(|p| ("identity source".into(), p.describe())));
        all
    }

    /// Where identities come from, for the host that keeps its policies up to date. No step asks it.
    pub fn identities(&self) -> Option<&Arc<dyn IdentitySource>> {
        self.identities.as_ref()
    }

    pub(crate) fn bind<'a>(&'a self, step: &Step) -> Result<Bound<'a>, BindingError> {
        let missing = |what: &str| {
            let place = step.scope.place().map_or_else(
                || "the whole release".to_owned(),
                |place| match &place.region {
                    Some(region) => format!("{}/{region}", place.environment),
                    None => place.environment.to_string(),
                },
            );
            let problem =
                format!("no {what} is registered for {place}; register one that serves it");
            BindingError { step: step.id.clone(), problem }
        };
        match &step.action {
            Action::Sync | Action::Bake { .. } => Ok(Bound::Pure),
            Action::VerifyArtifact { .. } => self
                .artifacts
                .as_deref()
                .map(Bound::Artifacts)
                .ok_or_else(|| missing("artifact store")),
            Action::Scale { .. } => {
                find(&self.deployers, step).map(Bound::Deployer).ok_or_else(|| missing("deployer"))
            }
            Action::Probe { .. } => {
                find(&self.probes, step).map(Bound::Probe).ok_or_else(|| missing("health probe"))
            }
            Action::Route { weights, .. } => {
                let router = find(&self.routers, step).ok_or_else(|| missing("traffic router"))?;
                let described = router.describe();
                if weights.len() > 1
                    && !described.capabilities.contains(&Capability::WeightedRouting)
                {
                    let problem = format!(
                        "the traffic router `{}` does not split traffic by weight; use another strategy or router",
                        described.name
                    );
                    return Err(BindingError { step: step.id.clone(), problem });
                }
                Ok(Bound::Router(router))
            }
            Action::Analyze { .. } => find(&self.metrics, step)
                .map(Bound::Metrics)
                .ok_or_else(|| missing("metrics source")),
            Action::Notify { channel, .. } => {
                let notifier =
                    self.notifiers.get(channel).map(|notifier| Bound::Notifier(&**notifier));
                notifier.ok_or_else(|| missing(&format!("notifier of channel `{channel}`")))
            }
            Action::Custom { capability, .. } => {
                let action = self.custom.get(capability).map(|action| Bound::Custom(&**action));
                action.ok_or_else(|| missing(&format!("custom action `{capability}`")))
            }
            _ => Err(missing("provider that knows this kind of step")),
        }
    }

    /// Every step of `plan` that nobody here can perform, with those of its compensations.
    pub(crate) fn unbound(&self, plan: &Plan) -> Vec<BindingError> {
        let undo = |step: &Step| match &step.undo {
            release_core::plan::Undo::Compensate(all) => {
                all.iter().map(|c| Step { action: c.action.clone(), ..step.clone() }).collect()
            }
            _ => Vec::new(),
        };
        let errors = plan.steps().iter().flat_map(|step| {
            let own = self.bind(step).err();
            own.into_iter().chain(undo(step).into_iter().filter_map(|step| self.bind(&step).err()))
        });
        let mut errors: Vec<_> = errors.collect();
        errors.dedup();
        errors
    }
}

/// The provider of one step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound<'a> {
    Pure,
    Artifacts(&'a dyn ArtifactStore),
    Deployer(&'a dyn Deployer),
    Probe(&'a dyn HealthProbe),
    Router(&'a dyn TrafficRouter),
    Metrics(&'a dyn MetricsSource),
    Notifier(&'a dyn Notifier),
    Custom(&'a dyn CustomAction),
}

impl Bound<'_> {
    /// Whether its calls change anything; the others just read again.
    pub(crate) const fn acts(&self) -> bool {
        match self {
            Self::Deployer(_) | Self::Router(_) | Self::Notifier(_) | Self::Custom(_) => true,
            Self::Pure | Self::Artifacts(_) | Self::Probe(_) | Self::Metrics(_) => false,
        }
    }

    /// What the provider says of itself, if there is one.
    pub(crate) fn describe(&self) -> Option<Description> {
        match self {
            Self::Pure => None,
            Self::Artifacts(store) => Some(store.describe()),
            Self::Deployer(deployer) => Some(deployer.describe()),
            Self::Probe(probe) => Some(probe.describe()),
            Self::Router(router) => Some(router.describe()),
            Self::Metrics(source) => Some(source.describe()),
            Self::Notifier(notifier) => Some(notifier.describe()),
            Self::Custom(custom) => Some(custom.describe()),
        }
    }
}

fn find<'a, T: ?Sized>(table: &'a Table<T>, step: &Step) -> Option<&'a T> {
    let place = step.scope.place();
    let region = place.and_then(|p| Some(Places::Region(p.environment.clone(), p.region.clone()?)));
    let environment = place.map(|p| Places::Environment(p.environment.clone()));
    let mut candidates = [region, environment, Some(Places::Everywhere)].into_iter().flatten();
    candidates.find_map(|places| table.get(&places)).map(|provider| &**provider)
}

impl RegistryBuilder {
    /// Registers who runs instances in `places`.
    pub fn deployer(mut self, places: Places, provider: Arc<dyn Deployer>) -> Self {
        add(&mut self.registry.deployers, "a deployer", places, provider, &mut self.errors);
        self
    }

    /// Registers who distributes traffic in `places`.
    pub fn router(mut self, places: Places, provider: Arc<dyn TrafficRouter>) -> Self {
        add(&mut self.registry.routers, "a traffic router", places, provider, &mut self.errors);
        self
    }

    /// Registers who asks instances for their health in `places`.
    pub fn health(mut self, places: Places, provider: Arc<dyn HealthProbe>) -> Self {
        add(&mut self.registry.probes, "a health probe", places, provider, &mut self.errors);
        self
    }

    /// Registers who measures versions in `places`.
    pub fn metrics(mut self, places: Places, provider: Arc<dyn MetricsSource>) -> Self {
        add(&mut self.registry.metrics, "a metrics source", places, provider, &mut self.errors);
        self
    }

    /// Registers who keeps artifacts.
    pub fn artifacts(mut self, provider: Arc<dyn ArtifactStore>) -> Self {
        if self.registry.artifacts.replace(provider).is_some() {
            self.errors.push(RegistryError {
                capability: "an artifact store",
                places: "everywhere".into(),
            });
        }
        self
    }

    /// Registers who sends messages to `channel`.
    pub fn notifier(mut self, channel: ChannelId, provider: Arc<dyn Notifier>) -> Self {
        add(&mut self.registry.notifiers, "a notifier", channel, provider, &mut self.errors);
        self
    }

    /// Registers who performs custom steps that name `capability`.
    pub fn custom(
        mut self,
        capability: impl Into<String>,
        provider: Arc<dyn CustomAction>,
    ) -> Self {
        add(
            &mut self.registry.custom,
            "a custom action",
            capability.into(),
            provider,
            &mut self.errors,
        );
        self
    }

    /// Registers where identities come from.
    pub fn identities(mut self, provider: Arc<dyn IdentitySource>) -> Self {
        if self.registry.identities.replace(provider).is_some() {
            self.errors.push(RegistryError {
                capability: "an identity source",
                places: "everywhere".into(),
            });
        }
        self
    }

    /// Registers one platform that has the four capabilities of running software in `places`.
    pub fn platform<P>(self, places: Places, platform: Arc<P>) -> Self
    where
        P: Deployer + TrafficRouter + HealthProbe + MetricsSource,
    {
        self.deployer(places.clone(), Arc::<P>::clone(&platform))
            .router(places.clone(), Arc::<P>::clone(&platform))
            .health(places.clone(), Arc::<P>::clone(&platform))
            .metrics(places, platform)
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

    /// The registry.
    ///
    /// # Errors
    /// Every [`RegistryError`]: one capability for the same places twice.
    pub fn build(self) -> Result<Registry, Vec<RegistryError>> {
        let Self { mut registry, layers, errors } = self;
        if !errors.is_empty() {
            return Err(errors);
        }
        around(&layers, registry.deployers.values_mut(), |all| Arc::new(all));
        around(&layers, registry.routers.values_mut(), |all| Arc::new(all));
        around(&layers, registry.probes.values_mut(), |all| Arc::new(all));
        around(&layers, registry.metrics.values_mut(), |all| Arc::new(all));
        around(&layers, registry.artifacts.iter_mut(), |all| Arc::new(all));
        around(&layers, registry.notifiers.values_mut(), |all| Arc::new(all));
        around(&layers, registry.custom.values_mut(), |all| Arc::new(all));
        around(&layers, registry.identities.iter_mut(), |all| Arc::new(all));
        Ok(registry)
    }
}

/// Puts the layers around providers of one trait.
fn around<'a, T: ?Sized + Provider>(
    layers: &Layers,
    providers: impl Iterator<Item = &'a mut Arc<T>>,
    made: impl Fn(Layered<T>) -> Arc<T>,
) {
    providers.for_each(|provider| *provider = made(layers.wrap(Arc::clone(provider))));
}

fn add<K: Ord + fmt::Display, T: ?Sized>(
    table: &mut BTreeMap<K, Arc<T>>,
    capability: &'static str,
    key: K,
    provider: Arc<T>,
    errors: &mut Vec<RegistryError>,
) {
    let places = key.to_string();
    if table.insert(key, provider).is_some() {
        errors.push(RegistryError { capability, places });
    }
}
