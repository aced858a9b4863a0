//! Traffic through a gateway of Kubernetes, by `HTTPRoute`s of the Gateway API
//! ([`gateway.networking.k8s.io/v1`](https://gateway-api.sigs.k8s.io/reference/spec/)), with the crate `kube`.
//!
//! A [`GatewayRouter`] is a [`TrafficRouter`](crate::spi::TrafficRouter) for routes that are there already: whom they belong to
//! says their gateways (`parentRefs`) and hosts; their `rules` are the router's from its first call on.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use release_providers::{Clock, model::Target};
//! use release_providers::gateway_api::{GatewayRouter, GatewaySettings, GatewayTarget, kube};
//!
//! # async fn example(target: Target, clock: Arc<dyn Clock>) -> Result<(), Box<dyn std::error::Error>> {
//! let settings = GatewaySettings::new().target(GatewayTarget::new(target, "shop", "checkout", 8080));
//! let router = GatewayRouter::open(settings, kube::Client::try_default().await?, clock)?;
//! # let _ = router;
//! # Ok(()) }
//! ```
//!
//! The router has patience of its own: give it a client with `default_retry` off, so that an API server that asks to slow down is
//! heard. The client needs a crypto provider of rustls, `ring`: a process in which another crate brings a second one has to install one
//! of both as its default before.
//!
//! # Backends
//!
//! Each version has a `Service` of its own in the namespace of its route, called as [`GatewayTarget::service_of`] says:
//! `<service>-<the digest's first twelve digits>`, and on a [track](release_core::model::Target::track) `-<track>` behind it. Who
//! deploys makes it. A version without one is not found.
//!
//! # When shares are in effect
//!
//! A route is changed by server-side apply, of all its rules at once, on the version of the object that was read before: who
//! changed it meanwhile is not overwritten, and the router looks again. A change is in effect when, for every gateway that
//! the route names, a controller says `Accepted` and `ResolvedRefs` of this very generation. Until then `observe` tells
//! the shares of before, which an annotation keeps until the change is confirmed; a controller that refuses the change makes
//! the call fail. One that accepts it and does not find a service (`ResolvedRefs` is false) serves it, and answers what goes there
//! with errors: that is `Unavailable`, and never the shares of before. That a
//! controller has told its proxies is all that the API can say: whether the last of them follows already, nobody knows.
//!
//! What Kubernetes does not keep of a rule, because its definitions are older or of another channel, is seen when the object comes
//! back, and is an error.
//!
//! # Rules
//!
//! [Header routes](release_core::model::HeaderRoute) are matches. A prefix is sent as a regular expression, and those are
//! as the controller understands them. Of two rules that fit, the API lets that with more headers count, wherever it
//! stands: so rules in which one of more headers follows one of fewer, with another version, are refused.
//! [Copies](release_core::model::Mirror) are `RequestMirror` filters with a `percent`; the API cannot leave out
//! those requests that the version itself answers. Where [some requests](release_core::model::Mirror::only) are copied, each rule has
//! one before it that matches them and goes where it goes. Their methods are those nine that the API knows, and their paths whole ones:
//! a `PathPrefix` is one of whole segments, and where an expression stands among rules is left to controllers (Istio lets `/` count before
//! it), so that both are `Unsupported`. A whole path counts before the `PathPrefix` of another route of the same host: name none that
//! is served by another one. Beside affinity some requests cannot be copied, since a session belongs to one rule. [Affinity](release_core::model::Affinity) is `sessionPersistence`, which only the
//! experimental channel of the API has: it is declared where [`GatewaySettings::session_persistence`] says so. It keeps the clients of
//! all backends of a rule; that [one version alone](release_core::model::Affinity::only) keeps its own cannot be said, and is not
//! declared.
//!
//! # What survives
//!
//! All of it is in the route: rules, the notes of what they mean (`release/traffic`), and the highest epoch of each run
//! (`release/epochs`), so that [`Fencing::Epochs`](crate::Fencing::Epochs) holds for all who use the route. An annotation has room
//! for some thousands of runs; of more than [`MOST_RUNS`] those that were longest not heard of are forgotten.
//!
//! # What is not known
//!
//! The API has no counts: neither what was served nor what is in flight is told, and neither is declared (`in_flight` of a status is
//! 0 because it has to be a number). So nothing waits for the requests of a version before it is stopped, as the registry does behind
//! routers that declare [`counts_in_flight`](crate::RouterAbilities::counts_in_flight): **this router does not drain**. Let instances
//! finish what they have begun when they are told to end, as `preStop` and `terminationGracePeriodSeconds` do, and keep the old version
//! for a fixed time, by `keep_old` of the strategy. A registry refuses plans that do not, unless
//! [`Registry::drained`](crate::Registry::drained) says that instances see to it themselves. Experiments with a share and `rolling` keep
//! nothing, and are refused: use a router that counts for these, or say that.
//!
//! That fixed time is the only drain, and people can end it: [`Command::EndBake`](release_core::run::Command::EndBake) on a step called
//! `keep-old` stops the old version at once, with whatever it has under way.
//!
//! # How it was tested
//!
//! Against a small API server made for the tests, which keeps objects and versions, applies, refuses and answers late, with a
//! controller that sets the status some time after. **No real cluster was there**, and no real gateway. What requests do was not
//! tested, so of the suite those cases are skipped that send some.

mod api;
mod document;
mod kind;
mod matches;
mod router;
mod settings;
mod status;

/// The client of Kubernetes, in the version that the router takes.
pub use kube;

pub use document::MOST_RUNS;
pub use kind::GatewayKind;
pub use router::GatewayRouter;
pub use settings::{GatewaySettings, GatewayTarget};
