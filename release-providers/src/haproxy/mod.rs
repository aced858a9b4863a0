//! Traffic through a real HAProxy (2.4 or newer), by its runtime API.
//!
//! A [`HaproxyRouter`] is a [`TrafficRouter`](crate::spi::TrafficRouter) that never restarts or reloads HAProxy:
//!
//! 1. [`HaproxyRouter::open`] with [`HaproxySettings`], which makes the files that HAProxy reads when it starts.
//! 2. Write [`HaproxySettings::render`] to `haproxy.cfg`, or the parts that it shows into one of your own, and start
//!    HAProxy. From then on the runtime API says all: addresses, shares, counts.
//! 3. `set_weights`, `observe`, [`refresh`](crate::endpoints::InstanceRouter::refresh).
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use release_providers::{Clock, ProviderError, model::Target};
//! # use release_providers::endpoints::Endpoints;
//! use release_providers::haproxy::{HaproxyRouter, HaproxySettings, HaproxyTarget};
//!
//! # async fn example(target: Target, endpoints: Arc<dyn Endpoints>, clock: Arc<dyn Clock>)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! let listen = "0.0.0.0:8080".parse()?;
//! let settings = HaproxySettings::new("/run/haproxy/release.sock", "/var/lib/release/haproxy")
//!     .target(HaproxyTarget::new(target).listen(listen));
//! let router = HaproxyRouter::open(settings.clone(), endpoints, clock).await?;
//! std::fs::write("/etc/haproxy/haproxy.cfg", settings.render()?)?;
//! // Start HAProxy, and set shares.
//! # let _ = router;
//! # Ok(()) }
//! ```
//!
//! # How shares are exact, and change at once
//!
//! Two levels. The frontend draws one of 100 numbers for each request and looks it up in a map, whose 100 entries name
//! the slot, a backend, that serves it; the backend divides its requests between the instances of one version. So a
//! share of 1 % is one entry, however many instances either version has, and what a request is has no influence on
//! where it goes. (Weights of servers are 0 to 256 and would have to be a common multiple of the numbers of instances;
//! they also change one by one.) New shares are written into a new version of the map, which HAProxy puts in the place
//! of the old one in one moment, for all threads: no request sees a mixture, whenever we or the call end. What was not
//! committed by then is never seen.
//!
//! # Rules
//!
//! [Header routes](release_core::model::HeaderRoute) and [affinity](release_core::model::Affinity) are regular expressions in
//! a second map, each behind the generation that it is of. A request draws its number first, which tells it a generation; then
//! all its headers, and after them its cookies, are looked up behind that. So rules take effect with the shares, in the same
//! moment and without a reload. Expressions are HAProxy's, which has to be built with PCRE (Debian's is); they backtrack, and
//! see bytes, not signs. `\Q…\E` is not taken. Of a header that is there twice, each line is seen alone. A cookie holds the
//! digest of a version, and counts as long as that has a share; where [one version
//! alone](release_core::model::Affinity::only) keeps clients, no other has an expression for its cookies, or sets one.
//!
//! HAProxy cannot copy requests without an agent beside it: [mirroring](release_core::model::Mirror) is not declared.
//!
//! A configuration that was rendered before there were rules goes on with shares alone; rules are refused (`NotFound`) until it
//! is rendered again.
//!
//! # What is counted
//!
//! Entries of the map bear the number of their generation, which grows with every change, and HAProxy counts by entry
//! name: generation and slot. So a request counts for the shares under which it began, to the last one; counts need no
//! memory of ours. A request has been served when an instance has answered; answers of HAProxy's own do not count.
//! Requests in flight are the sessions of the backends, waiting ones included.
//!
//! # What survives
//!
//! Shares, addresses and counts live in HAProxy, and outlast us. What the map holds, and where servers are, is also
//! written into the state directory after each change, from where HAProxy reads it when it is reloaded or restarted;
//! counts begin anew with its process. Highest epochs of runs are in the state directory, so that
//! [`Fencing::Epochs`](crate::Fencing::Epochs) holds for good.
//!
//! # Instances
//!
//! Each slot has servers without addresses; set shares or refresh, and the addresses that
//! [`Endpoints`](crate::endpoints::Endpoints) names are given to them while HAProxy runs. An instance that is gone is
//! taken out by the next refresh; until then HAProxy tries another of the same version for what could not be sent, and,
//! for methods that may be repeated, for what was not answered. Requests under way at an instance that is taken out are
//! finished.
//!
//! # What HAProxy may be told besides
//!
//! Anything. The router reads and writes two maps, the servers of its slots, and one table; other
//! frontends and backends are not its business. A [track](release_core::model::Target::track) has a slot of its own, as a
//! version has.

mod change;
mod kind;
mod parse;
mod render;
mod router;
mod rules;
mod runtime;
mod servers;
mod settings;
mod shares;

pub use kind::HaproxyKind;
pub use router::HaproxyRouter;
pub use settings::{HaproxySettings, HaproxyTarget};
