//! Traffic through a real Envoy, by files that it watches; what is in effect is what its admin interface says.
//!
//! An [`EnvoyRouter`] is a [`TrafficRouter`](crate::spi::TrafficRouter) that never restarts Envoy:
//!
//! 1. [`EnvoyRouter::open`] with [`EnvoySettings`], which makes the files that Envoy reads when it starts.
//! 2. Write [`EnvoySettings::render`] to `envoy.json`, or the parts that it shows into a bootstrap of your own, and start
//!    Envoy with it.
//! 3. `set_weights`, `observe`, [`refresh`](crate::endpoints::InstanceRouter::refresh).
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use release_providers::{Clock, model::Target};
//! # use release_providers::endpoints::Endpoints;
//! use release_providers::envoy::{EnvoyRouter, EnvoySettings, EnvoyTarget};
//!
//! # async fn example(target: Target, endpoints: Arc<dyn Endpoints>, clock: Arc<dyn Clock>)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let settings = EnvoySettings::new("127.0.0.1:9901".parse()?, "/var/lib/release/envoy")
//!     .target(EnvoyTarget::new(target).listen("0.0.0.0:8080".parse()?));
//! let router = EnvoyRouter::open(settings.clone(), endpoints, clock).await?;
//! std::fs::write("/etc/envoy/envoy.json", settings.render()?)?;
//! // Start Envoy, and set shares.
//! # let _ = router;
//! # Ok(()) }
//! ```
//!
//! # How shares are exact, and change at once
//!
//! Each version is a cluster, each target a table of routes of its own. The table has one route a version, which takes
//! the requests whose number is below its bound; Envoy draws one number for each request and compares it with all bounds,
//! so that bounds 5 and 100 are shares of 5 and 95 %, however many instances either version has. New shares are a new
//! table in a file that takes the place of the old one by a rename: Envoy takes it over whole or not at all. Clusters
//! and their instances are there before a route names them, and go once no request is under way. A table that Envoy refuses
//! is `Invalid`, and the one in effect is put back in its file.
//!
//! # Rules
//!
//! They are routes of the same table, before those of shares: one a [header route](release_core::model::HeaderRoute), then one a
//! version for the cookie of [affinity](release_core::model::Affinity), which routes of shares set. So rules and shares take
//! effect together. (Envoy's filter for stateful sessions keeps clients with an instance of the cluster that a route names,
//! and cannot choose the cluster.) Expressions are RE2, of up to 100,000 instructions with
//! the runtime of [`EnvoySettings::render`]. A cookie holds the digest of a version, and counts as long as that has a
//! share; where [one version alone](release_core::model::Affinity::only) keeps clients, no other has a route for its cookies, or
//! sets one.
//!
//! [Copies](release_core::model::Mirror) go to a cluster of their own with the same instances: the limits of one do not touch
//! the requests of the other, and a copy that is not answered within 30 seconds is given up. Envoy keeps the whole body of a
//! request that it copies in memory. Whoever answers a request gets no copy of it. Where [some
//! requests](release_core::model::Mirror::only) are copied, every route of the table that may send them elsewhere has one before it
//! for each kind of them, with the same instances and the same bound, and copies: so who answers them is drawn as for all others. A table
//! of 32 header routes and 32 such kinds has more than a thousand routes, through which Envoy looks for every request.
//!
//! A [track](release_core::model::Target::track) has a cluster of its own, as a version has.
//!
//! # What is counted
//!
//! Names of routes bear the number of their generation, which grows with every change, and Envoy counts by route. So a
//! request counts for the shares under which it began, to the last one, without a memory of ours. Requests
//! were served that were answered and given to an instance: as many as both counters of a route say, so that answers of
//! Envoy's own do not count (where others were tried again, an instance was asked more often, and some may). Requests in
//! flight are those that are active or waiting in the clusters of a target.
//!
//! Envoy's main thread tells what it took over; its workers follow a moment later. Until then they may begin a request
//! under the shares of before, which counts for those. [`drained`](crate::endpoints::drained) therefore looks twice.
//!
//! # What survives
//!
//! Shares and addresses are in the files, which Envoy reads again when it is restarted, and in Envoy, which goes on
//! without us; counts begin anew with its process. Highest epochs of runs are in the directory too, so that
//! [`Fencing::Epochs`](crate::Fencing::Epochs) holds for good.
//!
//! # Instances
//!
//! Each cluster has a file with the addresses of its version's instances; set shares or refresh, and Envoy takes over
//! those that [`Endpoints`](crate::endpoints::Endpoints) names. An instance that is gone is taken out by the next refresh;
//! until then Envoy tries another of the same version for what could not be sent. Requests under way at an instance that
//! is taken out are finished.
//!
//! # Limits
//!
//! The bootstrap sets no limit of connections, and Envoy has one of its own for clusters: 1024 connections, and as many
//! requests, to each. Of each change of shares Envoy keeps a few counters until it is restarted. Other listeners and static clusters are not the router's business; clusters that come
//! by files are all its own.

mod admin;
mod change;
mod documents;
mod kind;
mod look;
mod render;
mod router;
mod settings;
mod table;

pub use kind::EnvoyKind;
pub use router::EnvoyRouter;
pub use settings::{EnvoySettings, EnvoyTarget};
