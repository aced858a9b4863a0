//! A small API server: routes with versions, generations and owners of fields, services that are there or not, and a controller
//! that says later what became of a change. It is no Kubernetes: it knows what the router asks for, and what may go wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use release_providers::gateway_api::kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a client has to bear.
pub(crate) const TOKEN: &str = "a-token-that-nobody-may-tell";
const ROUTES: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/";
const SERVICES: &str = "/api/v1/namespaces/shop/services/";
/// Of the definition of `HTTPRoute`.
const MOST_RULES: usize = 16;

/// What happens to the next change.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mishap {
    /// Somebody else changes the route just before it.
    Overtaken,
    /// It is done, and the answer gets lost.
    Lost,
    /// It is refused with this status.
    Refused(u16),
}

/// What the controller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controller {
    /// Says of each gateway that it has taken over a change, at so many looks after it.
    Follows(u32),
    /// Says so of the first gateway alone.
    FollowsAtOne,
    /// Takes all over, and does not find the services that it names.
    FindsNoService,
    /// Refuses all that comes.
    Refuses,
}

#[derive(Debug)]
struct State {
    routes: BTreeMap<String, Value>,
    services: BTreeSet<String>,
    version: u64,
    controller: Controller,
    /// At how many more looks at a route its controller speaks.
    due: BTreeMap<String, u32>,
    mishaps: VecDeque<Mishap>,
    /// All is answered with this status.
    refuses: Option<u16>,
    cut: bool,
    /// What definitions of another channel do not keep.
    prunes: Option<&'static str>,
    patches: u64,
}

/// The server, gone with this.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stalled: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Server {
    /// With the route `api` of two gateways, whose rules somebody else wrote.
    pub(crate) async fn start(services: impl IntoIterator<Item = String>) -> Self {
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {
                "name": "api", "namespace": "shop", "generation": 1, "resourceVersion": "1",
                "annotations": { "team": "shop" },
            },
            "spec": {
                "parentRefs": [{ "name": "edge" }, { "name": "inner", "namespace": "infra" }],
                "hostnames": ["shop.example"],
                "rules": [{ "backendRefs": [{ "name": "by-hand", "port": 80 }] }],
            },
        });
        let state = State {
            routes: BTreeMap::from([("api".to_owned(), route)]),
            services: services.into_iter().collect(),
            version: 1,
            controller: Controller::Follows(2),
            due: BTreeMap::new(),
            mishaps: VecDeque::new(),
            refuses: None,
            cut: false,
            prunes: None,
            patches: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stalled, held) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&state), held));
        Self { address, state, stalled, _tasks: tasks }
    }

    pub(crate) fn client(&self) -> Client {
        let mut config = Config::new(format!("http://{}", self.address).parse().unwrap());
        config.default_retry = false;
        config.auth_info.token = Some(TOKEN.to_owned().into());
        Client::try_from(config).unwrap()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn route(&self) -> Value {
        self.state().routes["api"].clone()
    }

    /// Changes the route as somebody else would.
    pub(crate) fn edit(&self, at: &str, value: Value) {
        let mut state = self.state();
        let mut route = state.routes["api"].clone();
        *route.pointer_mut(at).unwrap() = value;
        state.store("api", route);
    }

    pub(crate) fn patches(&self) -> u64 {
        self.state().patches
    }

    pub(crate) fn controller(&self, controller: Controller) {
        self.state().controller = controller;
    }

    pub(crate) fn prune(&self, field: &'static str) {
        self.state().prunes = Some(field);
    }

    pub(crate) fn next(&self, mishaps: impl IntoIterator<Item = Mishap>) {
        self.state().mishaps.extend(mishaps);
    }

    pub(crate) fn refuse(&self, status: Option<u16>) {
        self.state().refuses = status;
    }

    pub(crate) fn cut(&self, cut: bool) {
        self.state().cut = cut;
    }

    pub(crate) fn stall(&self, stalled: bool) {
        self.stalled.send_replace(stalled);
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>, stalled: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (state, stalled) = (Arc::clone(&state), stalled.clone());
        let service = service_fn(move |request| {
            let (state, mut stalled) = (Arc::clone(&state), stalled.clone());
            async move {
                let _ = stalled.wait_for(|stalled| !stalled).await; // the test is over
                answer(&state, request).await
            }
        });
        connections.spawn(async move {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.await; // whoever hangs up, hangs up
        });
    }
}

/// An error ends the connection without an answer.
async fn answer(
    state: &Mutex<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let bearer = format!("Bearer {TOKEN}");
    let known = parts.headers.get("authorization").is_some_and(|value| *value == bearer);
    let mut state = state.lock().unwrap();
    if state.cut {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    if !known {
        return Ok(failure(401));
    }
    if let Some(status) = state.refuses {
        return Ok(failure(status));
    }
    let path = parts.uri.path();
    if let Some(service) = path.strip_prefix(SERVICES) {
        if !state.services.contains(service) {
            return Ok(failure(404));
        }
        let metadata = json!({ "name": service });
        return Ok(success(
            &json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata }),
        ));
    }
    let Some(name) = path.strip_prefix(ROUTES).filter(|name| state.routes.contains_key(*name))
    else {
        return Ok(failure(404));
    };
    match parts.method {
        Method::GET => Ok(success(&state.look(name))),
        Method::PATCH => {
            let apply = parts.headers.get("content-type").is_some_and(|kind| {
                kind.to_str().is_ok_and(|kind| kind.starts_with("application/apply-patch"))
            });
            let query = parts.uri.query().unwrap_or_default();
            let manager = query.split('&').find_map(|pair| pair.strip_prefix("fieldManager="));
            let Some(manager) = manager.filter(|_| apply) else { return Ok(failure(415)) };
            let wish = serde_json::from_slice(&body).map_err(io::Error::other)?;
            state.apply(name, manager, &wish)
        }
        _ => Ok(failure(405)),
    }
}

fn success(object: &Value) -> Response<Full<Bytes>> {
    respond(StatusCode::OK, object)
}

fn failure(status: u16) -> Response<Full<Bytes>> {
    let reason = StatusCode::from_u16(status).unwrap();
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": status,
        "message": reason.canonical_reason(), "reason": reason.canonical_reason(),
    });
    respond(reason, &body)
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

impl State {
    /// Stores what has changed: any change is a new version, and one of the specification a new generation.
    fn store(&mut self, name: &str, mut route: Value) {
        let before = &self.routes[name];
        if *before == route {
            return;
        }
        if before["spec"] != route["spec"] {
            let generation = route["metadata"]["generation"].as_i64().unwrap();
            route["metadata"]["generation"] = json!(generation + 1);
            let looks = match self.controller {
                Controller::Follows(looks) => looks,
                _ => 0,
            };
            self.due.insert(name.to_owned(), looks);
        }
        self.version += 1;
        route["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.routes.insert(name.to_owned(), route);
    }

    /// A look at a route, at which its controller may have spoken.
    fn look(&mut self, name: &str) -> Value {
        match self.due.get(name).copied() {
            Some(0) => {
                self.due.remove(name);
                let route = self.spoken(self.routes[name].clone());
                self.store(name, route);
            }
            Some(looks) => drop(self.due.insert(name.to_owned(), looks - 1)),
            None => {}
        }
        self.routes[name].clone()
    }

    fn spoken(&self, mut route: Value) -> Value {
        let generation = route["metadata"]["generation"].clone();
        let accepted = if self.controller == Controller::Refuses { "False" } else { "True" };
        let found = if self.controller == Controller::FindsNoService { "False" } else { "True" };
        let condition = |kind: &str, status: &str| {
            json!({
                "type": kind, "status": status, "observedGeneration": generation,
                "reason": "AsTold", "message": "by the test", "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let conditions = json!([condition("Accepted", accepted), condition("ResolvedRefs", found)]);
        let mut parents = route["spec"]["parentRefs"].as_array().unwrap().clone();
        if self.controller == Controller::FollowsAtOne {
            parents.truncate(1);
        }
        let said = parents.into_iter().map(|mut reference| {
            // As controllers write it: with what goes without saying.
            reference["group"] = json!("gateway.networking.k8s.io");
            reference["kind"] = json!("Gateway");
            json!({ "parentRef": reference, "controllerName": "test/test", "conditions": conditions })
        });
        route["status"] = json!({ "parents": said.collect::<Vec<_>>() });
        route
    }

    /// Server-side apply, by force, of one manager: annotations one by one, and the list of rules as a whole.
    fn apply(
        &mut self,
        name: &str,
        manager: &str,
        wish: &Value,
    ) -> Result<Response<Full<Bytes>>, io::Error> {
        let mishap = self.mishaps.pop_front();
        match mishap {
            Some(Mishap::Refused(status)) => return Ok(failure(status)),
            Some(Mishap::Overtaken) => {
                let mut route = self.routes[name].clone();
                route["metadata"]["annotations"]["overtaken"] = json!(self.version.to_string());
                self.store(name, route);
            }
            _ => {}
        }
        let mut route = self.routes[name].clone();
        let version = &wish["metadata"]["resourceVersion"];
        if !version.is_null() && *version != route["metadata"]["resourceVersion"] {
            return Ok(failure(409));
        }
        let Some(wish_spec) = wish.get("spec") else {
            if manager == "release-providers" {
                // It would take back what it applied before; this router never does.
                return Ok(failure(422));
            }
            return self.done(name, route, wish, mishap);
        };
        let mut rules = wish_spec["rules"].clone();
        if rules.as_array().is_none_or(|rules| rules.len() > MOST_RULES) {
            return Ok(failure(422));
        }
        if let Some(field) = self.prunes {
            prune(&mut rules, field);
        }
        route["spec"]["rules"] = rules;
        self.done(name, route, wish, mishap)
    }

    fn done(
        &mut self,
        name: &str,
        mut route: Value,
        wish: &Value,
        mishap: Option<Mishap>,
    ) -> Result<Response<Full<Bytes>>, io::Error> {
        let notes = wish["metadata"]["annotations"].as_object().into_iter().flatten();
        for (key, value) in notes {
            route["metadata"]["annotations"][key] = value.clone();
        }
        self.store(name, route);
        self.patches += 1;
        match mishap {
            Some(Mishap::Lost) => Err(io::ErrorKind::ConnectionReset.into()),
            _ => Ok(success(&self.routes[name])),
        }
    }
}

/// Takes a field out wherever it is.
fn prune(value: &mut Value, field: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(field);
            fields.values_mut().for_each(|value| prune(value, field));
        }
        Value::Array(all) => all.iter_mut().for_each(|value| prune(value, field)),
        _ => {}
    }
}
