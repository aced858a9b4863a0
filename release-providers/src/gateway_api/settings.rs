//! What a router is told.

use release_core::model::Target;
use release_core::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::routing::OPEN;
use crate::shares::Pool;
use crate::{ErrorKind, ProviderError};

/// Longest name of a `Service`: a label of RFC 1035.
const LONGEST: usize = 63;

/// Which routes there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GatewaySettings {
    /// What is served.
    pub targets: Vec<GatewayTarget>,
    /// Whether the cluster has the experimental channel of the API, whose routes have `sessionPersistence`.
    #[serde(default)]
    pub session_persistence: bool,
    /// How long the API server may take to answer, and a controller to take over a change, in milliseconds each (default
    /// 30 000).
    #[serde(default = "patience_ms")]
    pub patience_ms: u32,
}

/// One target, and its route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GatewayTarget {
    /// Which.
    pub target: Target,
    /// The namespace of its route and of its services.
    pub namespace: String,
    /// The name of its `HTTPRoute`.
    pub route: String,
    /// The port of its services.
    pub port: u16,
    /// What the names of its services begin with (default the target's service).
    #[serde(default)]
    pub service: Option<String>,
}

const fn patience_ms() -> u32 {
    30_000
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self { targets: Vec::new(), session_persistence: false, patience_ms: patience_ms() }
    }
}

impl GatewaySettings {
    /// No targets, and the standard channel of the API.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a target.
    #[must_use]
    pub fn target(mut self, target: GatewayTarget) -> Self {
        self.targets.push(target);
        self
    }

    /// With the experimental channel of the API.
    #[must_use]
    pub const fn with_session_persistence(mut self) -> Self {
        self.session_persistence = true;
        self
    }

    pub(super) fn patience(&self) -> Span {
        Span::millis(u64::from(self.patience_ms))
    }

    /// Refuses what no schema can see to be wrong.
    pub(super) fn check(&self) -> Result<(), ProviderError> {
        for (n, one) in self.targets.iter().enumerate() {
            let say = |error: ProviderError| error.with_context("target", &one.target);
            for name in [&one.namespace, &one.route, one.prefix()] {
                let fine =
                    |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
                if name.is_empty() || name.len() > 253 || !name.chars().all(fine) {
                    let text =
                        "a name in Kubernetes has 1 to 253 lower-case letters, digits, `-` and `.`";
                    return Err(say(invalid(text).with_context("name", name.escape_debug())));
                }
            }
            if one.port == 0 {
                return Err(say(invalid("the port of a service is 1 to 65535")));
            }
            let mut others = self.targets.iter().take(n);
            let place = |one: &GatewayTarget| (one.namespace.clone(), one.route.clone());
            if others.any(|other| other.target == one.target || place(other) == place(one)) {
                return Err(say(invalid("a target, or a route, is there twice")));
            }
        }
        Ok(())
    }
}

fn invalid(text: &'static str) -> ProviderError {
    ProviderError::new(ErrorKind::Invalid, OPEN, text)
}

impl GatewayTarget {
    /// A target whose services are called after it.
    pub fn new(
        target: Target,
        namespace: impl Into<String>,
        route: impl Into<String>,
        port: u16,
    ) -> Self {
        Self { target, namespace: namespace.into(), route: route.into(), port, service: None }
    }

    /// Gives the names of its services another beginning.
    #[must_use]
    pub fn services_called(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    fn prefix(&self) -> &str {
        self.service.as_deref().unwrap_or(self.target.service.as_str())
    }

    /// The name of the `Service` that leads to a version's instances on a track, or to its others.
    ///
    /// ```
    /// use release_providers::gateway_api::GatewayTarget;
    /// # use release_providers::model::{Digest, Target};
    /// # let names = ["prod", "eu", "checkout"];
    /// # let target = Target::new(names[0].parse().unwrap(), names[1].parse().unwrap(), names[2].parse().unwrap());
    /// let place = GatewayTarget::new(target, "shop", "checkout", 8080);
    /// let digest = Digest::of(b"1.1.0");
    /// assert_eq!(place.service_of(digest, None), format!("checkout-{}", digest.short()));
    /// ```
    pub fn service_of(
        &self,
        digest: release_core::model::Digest,
        track: Option<&release_core::model::TrackId>,
    ) -> String {
        let name = format!("{}-{}", self.prefix(), digest.short());
        match track {
            Some(track) => format!("{name}-{track}"),
            None => name,
        }
    }

    pub(super) fn service(
        &self,
        operation: &'static str,
        pool: &Pool,
    ) -> Result<String, ProviderError> {
        let name = self.service_of(pool.digest, pool.track.as_ref());
        if name.len() <= LONGEST {
            return Ok(name);
        }
        let text = "the name of a service would be too long; give the target a shorter `service`";
        Err(ProviderError::new(ErrorKind::Invalid, operation, text).with_context("name", name))
    }
}
