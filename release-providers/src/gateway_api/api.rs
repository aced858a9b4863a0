//! The API server: routes are read and applied, services are looked for.

use std::sync::Arc;

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use release_core::port::{Clock, EffectCertainty};
use release_core::time::Span;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::document::{self, EPOCHS, Epochs, Note, Shares, TRAFFIC};
use super::settings::GatewayTarget;
use super::status::{Standing, standing};
use crate::{ErrorKind, ProviderError};

/// Who the rules of routes belong to.
const MANAGER: &str = "release-providers";
/// Who the epochs belong to: one that notes them says nothing of the rules.
const EPOCHS_MANAGER: &str = "release-providers-epochs";
const GROUP: &str = "gateway.networking.k8s.io";
const VERSION: &str = "v1";
const KIND: &str = "HTTPRoute";

/// An API server.
pub(super) struct Server {
    client: kube::Client,
    clock: Arc<dyn Clock>,
    patience: Span,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// A route as it was read.
#[derive(Debug)]
pub(super) struct Route {
    namespace: String,
    version: Option<String>,
    generation: i64,
    data: Value,
    noted: bool,
    pub(super) note: Note,
    pub(super) epochs: Epochs,
}

impl Route {
    fn read(
        operation: &'static str,
        place: &GatewayTarget,
        found: DynamicObject,
    ) -> Result<Self, ProviderError> {
        let notes = found.metadata.annotations.unwrap_or_default();
        Ok(Self {
            namespace: place.namespace.clone(),
            version: found.metadata.resource_version,
            generation: found.metadata.generation.unwrap_or_default(),
            data: found.data,
            noted: notes.contains_key(TRAFFIC),
            note: annotation(operation, TRAFFIC, notes.get(TRAFFIC))?,
            epochs: annotation(operation, EPOCHS, notes.get(EPOCHS))?,
        })
    }

    /// Whether its generation is in effect.
    pub(super) fn standing(&self) -> Result<Standing, String> {
        standing(&self.data, &self.namespace, self.generation)
    }

    /// Whether its rules are what its note says.
    pub(super) fn is_as_noted(&self, place: &GatewayTarget) -> bool {
        let Ok(made) = document::rules(place, &self.note.now) else { return false };
        self.is_noted()
            && self.data.pointer("/spec/rules").is_some_and(|there| document::are(&made, there))
    }

    /// Whether this router ever wrote rules there.
    pub(super) const fn is_noted(&self) -> bool {
        self.noted
    }

    /// The shares that are in effect, as far as controllers say.
    pub(super) fn in_effect(&self) -> Result<&Shares, String> {
        Ok(match self.standing()? {
            Standing::InEffect | Standing::Broken(_) => &self.note.now,
            Standing::Awaited | Standing::Refused(_) => &self.note.before,
        })
    }
}

impl Server {
    pub(super) fn new(client: kube::Client, clock: Arc<dyn Clock>, patience: Span) -> Self {
        Self { client, clock, patience }
    }

    fn routes(&self, place: &GatewayTarget) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(GROUP, VERSION, KIND);
        let resource = ApiResource::from_gvk(&kind);
        Api::namespaced_with(self.client.clone(), &place.namespace, &resource)
    }

    pub(super) async fn route(
        &self,
        operation: &'static str,
        place: &GatewayTarget,
    ) -> Result<Route, ProviderError> {
        let routes = self.routes(place);
        let read = self.within(operation, EffectCertainty::NotApplied, routes.get(&place.route));
        let found = read.await.map_err(|error| {
            let error = error.with_context("namespace", &place.namespace);
            error.with_context("route", &place.route)
        })?;
        Route::read(operation, place, found)
    }

    /// Applies rules, and notes what they mean, on what was read. `Conflict` when somebody changed it meanwhile.
    pub(super) async fn apply(
        &self,
        operation: &'static str,
        place: &GatewayTarget,
        before: &Route,
        note: &Note,
    ) -> Result<Route, ProviderError> {
        let mut wish = wish(place, before, TRAFFIC, &text(operation, note)?);
        if let Some(fields) = wish.as_object_mut() {
            let rules = document::rules(place, &note.now)?;
            fields.insert("spec".into(), json!({ "rules": rules }));
        }
        self.patch(operation, place, MANAGER, &wish).await
    }

    /// Notes the highest epochs on what was read, and touches nothing else. `Conflict` when somebody changed it meanwhile.
    pub(super) async fn note_epochs(
        &self,
        operation: &'static str,
        place: &GatewayTarget,
        before: &Route,
        epochs: &Epochs,
    ) -> Result<Route, ProviderError> {
        let wish = wish(place, before, EPOCHS, &text(operation, epochs)?);
        self.patch(operation, place, EPOCHS_MANAGER, &wish).await
    }

    /// What an apply leaves out that its manager owned before is removed.
    async fn patch(
        &self,
        operation: &'static str,
        place: &GatewayTarget,
        manager: &str,
        wish: &Value,
    ) -> Result<Route, ProviderError> {
        // By force: what is in it is this router's, whoever wrote it before.
        let params = PatchParams::apply(manager).force();
        let (routes, patch) = (self.routes(place), Patch::Apply(wish));
        let done = routes.patch(&place.route, &params, &patch);
        let done = self.within(operation, EffectCertainty::Unknown, done).await?;
        Route::read(operation, place, done)
            .map_err(|error| error.with_effect(EffectCertainty::Unknown))
    }

    /// Whether there is such a service.
    pub(super) async fn has_service(
        &self,
        operation: &'static str,
        place: &GatewayTarget,
        name: &str,
    ) -> Result<bool, ProviderError> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Service"));
        let services: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &place.namespace, &resource);
        let read = self.within(operation, EffectCertainty::NotApplied, services.get_opt(name));
        Ok(read.await?.is_some())
    }

    /// An answer in time. `effect` is what is known of a change that was sent and not answered.
    async fn within<T>(
        &self,
        operation: &'static str,
        effect: EffectCertainty,
        call: impl Future<Output = Result<T, kube::Error>> + Send,
    ) -> Result<T, ProviderError> {
        let end = self.clock.now().plus(self.patience);
        tokio::select! {
            biased;
            answer = call => answer.map_err(|error| problem(operation, effect, error)),
            () = self.clock.sleep_until(end) => {
                let text = "the API server did not answer in time";
                Err(ProviderError::new(ErrorKind::Unavailable, operation, text).with_effect(effect))
            }
        }
    }
}

/// A route on the version that was read, with one annotation.
fn wish(place: &GatewayTarget, before: &Route, name: &str, note: &str) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": KIND,
        "metadata": {
            "name": place.route,
            "resourceVersion": before.version,
            "annotations": { name: note },
        },
    })
}

fn text(operation: &'static str, value: &impl Serialize) -> Result<String, ProviderError> {
    serde_json::to_string(value).map_err(|error| {
        ProviderError::new(ErrorKind::Internal, operation, "a note is no JSON").with_source(error)
    })
}

/// An annotation that this router wrote, or what it begins with.
fn annotation<T: Default + DeserializeOwned>(
    operation: &'static str,
    name: &'static str,
    text: Option<&String>,
) -> Result<T, ProviderError> {
    let Some(text) = text else { return Ok(T::default()) };
    let mut json = serde_json::Deserializer::from_str(text);
    T::deserialize(&mut json).map_err(|error| {
        let text = "an annotation of the route is not one that this router wrote; restore it, or remove it and set shares again";
        ProviderError::new(ErrorKind::Corrupt, operation, text)
            .with_context("annotation", name)
            .with_source(error)
    })
}

/// What the API server said, as the caller needs to know it.
fn problem(operation: &'static str, effect: EffectCertainty, error: kube::Error) -> ProviderError {
    let code = match &error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    };
    let (kind, text) = match code {
        Some(401 | 403) => (
            ErrorKind::Denied,
            "the API server refuses this account; give it `get` and `patch` of httproutes, and `get` of services",
        ),
        Some(404) => (
            ErrorKind::NotFound,
            "there is no such HTTPRoute, or the cluster does not have the Gateway API; make it first",
        ),
        Some(409) => (ErrorKind::Conflict, "somebody else changed the route at the same time"),
        Some(429) => (ErrorKind::RateLimited, "the API server asks to slow down"),
        Some(400 | 413 | 422) => (ErrorKind::Invalid, "the API server refuses the route"),
        _ => (ErrorKind::Unavailable, "the API server cannot be reached, or is not able to answer"),
    };
    // What the server refused was not done; what it did not answer may have been.
    let refused = code.is_some_and(|code| (400..500).contains(&code));
    let effect = if refused { EffectCertainty::NotApplied } else { effect };
    ProviderError::new(kind, operation, text).with_effect(effect).with_source(error)
}
