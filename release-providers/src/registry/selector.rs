//! What a binding is for, and which of several is the narrowest.

use std::fmt;

use release_core::model::{ChannelId, EnvironmentId, RegionId, ServiceId, SourceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The steps that a provider serves: those to which every field that is set applies. The narrower one wins, whatever
/// the order of registration; a [`Registry`](crate::Registry) refuses two of which neither is narrower.
///
/// ```
/// use release_providers::ProviderSelector;
/// let all = ProviderSelector::everywhere();
/// let prod = ProviderSelector::environment("prod".parse()?);
/// let api = prod.clone().service("api".parse()?);
/// assert!(api.is_within(&prod) && prod.is_within(&all) && !all.is_within(&api));
/// assert_eq!(api.to_string(), "environment prod, service api");
/// # Ok::<(), release_core::model::IdError>(())
/// ```
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProviderSelector {
    /// Only in this environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub environment: Option<EnvironmentId>,
    /// Only in this region, of the environment or of any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub region: Option<RegionId>,
    /// Only for this service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub service: Option<ServiceId>,
    /// Of a notifier: only this channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub channel: Option<ChannelId>,
    /// Of a custom action: only steps that name this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Of a metrics source: only analyses that name this. One that is for a name serves nothing else, and one that is for none serves
    /// no analysis that names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub source: Option<SourceId>,
}

impl ProviderSelector {
    /// Everything that nobody else serves.
    pub fn everywhere() -> Self {
        Self::default()
    }

    /// Everything in one environment.
    pub fn environment(environment: EnvironmentId) -> Self {
        Self { environment: Some(environment), ..Self::default() }
    }

    /// Everything in one channel, for notifiers.
    pub fn channel(channel: ChannelId) -> Self {
        Self { channel: Some(channel), ..Self::default() }
    }

    /// Every custom step that names this, for custom actions.
    pub fn action(action: impl Into<String>) -> Self {
        Self { action: Some(action.into()), ..Self::default() }
    }

    /// Every analysis that names this, for metrics sources.
    pub fn source(source: SourceId) -> Self {
        Self { source: Some(source), ..Self::default() }
    }

    /// The same in one region only.
    #[must_use]
    pub fn region(mut self, region: RegionId) -> Self {
        self.region = Some(region);
        self
    }

    /// The same for one service only.
    #[must_use]
    pub fn service(mut self, service: ServiceId) -> Self {
        self.service = Some(service);
        self
    }

    /// The fields by their names.
    pub(crate) fn fields(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("environment", self.environment.as_ref().map(EnvironmentId::as_str)),
            ("region", self.region.as_ref().map(RegionId::as_str)),
            ("service", self.service.as_ref().map(ServiceId::as_str)),
            ("channel", self.channel.as_ref().map(ChannelId::as_str)),
            ("action", self.action.as_deref()),
            ("source", self.source.as_ref().map(SourceId::as_str)),
        ]
    }

    /// Whether it selects nothing that `other` does not select.
    pub fn is_within(&self, other: &Self) -> bool {
        let mut fields = self.fields().into_iter().zip(other.fields());
        // A source that is for no name does not serve those that name one.
        self.source == other.source
            && fields.all(|((_, own), (_, wanted))| wanted.is_none() || own == wanted)
    }

    /// What both select; `None` when that is nothing.
    pub(crate) fn both(&self, other: &Self) -> Option<Self> {
        let meet = self
            .fields()
            .into_iter()
            .zip(other.fields())
            .all(|((_, own), (_, others))| own.is_none() || others.is_none() || own == others);
        (meet && self.source == other.source).then(|| Self {
            environment: self.environment.clone().or_else(|| other.environment.clone()),
            region: self.region.clone().or_else(|| other.region.clone()),
            service: self.service.clone().or_else(|| other.service.clone()),
            channel: self.channel.clone().or_else(|| other.channel.clone()),
            action: self.action.clone().or_else(|| other.action.clone()),
            source: self.source.clone(),
        })
    }

    /// How many fields are set.
    pub(crate) fn width(&self) -> usize {
        self.fields().iter().filter(|(_, field)| field.is_some()).count()
    }
}

impl fmt::Display for ProviderSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        for (name, value) in self.fields() {
            if let Some(value) = value {
                write!(f, "{before}{name} {value}")?;
                before = ", ";
            }
        }
        if before.is_empty() { f.write_str("everywhere") } else { Ok(()) }
    }
}
