//! The embedded platform: everything that a release needs, on one machine, with real parts.
//!
//! A [`LocalPlatform`] lives in a directory and implements the six capabilities of
//! [`spi`](crate::spi) that a release needs. Who there is comes from elsewhere, an [`IdentityFile`]:
//!
//! | capability | what it really is |
//! |---|---|
//! | [`ArtifactStore`](crate::spi::ArtifactStore) | files under `artifacts/sha256/`, hashed at every read |
//! | [`Deployer`](crate::spi::Deployer) | a supervisor of operating-system processes |
//! | [`TrafficRouter`](crate::spi::TrafficRouter) | a weighted HTTP/1.1 proxy, one listener a target |
//! | [`HealthProbe`](crate::spi::HealthProbe) | `GET /healthz` of every instance |
//! | [`MetricsSource`](crate::spi::MetricsSource) | `GET /metrics` of every instance: what counters grew by in a window, summed |
//! | [`Notifier`](crate::spi::Notifier) | one JSON line a message in `notifications.jsonl` |
//! | [`IdentitySource`](crate::spi::IdentitySource) | [`IdentityFile`]: one JSON file, read anew every time |
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use release_core::model::{Principal, Span, Target};
//! # use release_core::plan::Weight;
//! # use release_core::port::Clock;
//! # use release_providers::{Context, ProviderError, local::*, spi::*};
//! # async fn example(clock: Arc<dyn Clock>, bytes: Vec<u8>, target: Target, who: Principal)
//! # -> Result<(), ProviderError> {
//! let platform = LocalPlatform::open(LocalConfig::new("/var/lib/release", clock.clone())).await?;
//! let cx = |key: &str| Context::new(key, clock.now().plus(Span::secs(30)), who.clone());
//!
//! let name = "checkout".parse().expect("a literal that is a name");
//! let artifact = platform.put(&cx("put"), PutArtifact::new(name, bytes)).await?;
//! let (digest, version) = (artifact.digest(), semver::Version::new(1, 1, 0));
//! let wish = ApplyRequest::new(target.clone(), artifact, version.clone(), 2);
//! platform.apply(&cx("deploy"), wish).await?;
//!
//! // Wait until `Deployer::observe` says `Settled` and `HealthProbe::check` says ready; then:
//! let share = vec![Weight::new(digest, version, 100)];
//! platform.set_weights(&cx("route"), SetWeights::new(target.clone(), share)).await?;
//! println!("serving on {:?}", platform.address(&target));
//! # Ok(())
//! # }
//! ```
//!
//! # What an instance is told
//!
//! The artifact is executed itself, in a process group of its own, with the root as its working
//! directory and an environment of `PORT` (where to listen on 127.0.0.1), `SERVICE_NAME`, `PATH`,
//! `RELEASE_INSTANCE` and what [`ServiceConfig`] adds. What it prints goes to
//! `logs/<instance>.log`. When it ends while somebody else has its port, or with code 98
//! (`EADDRINUSE`), it is started again on another port. SIGTERM means: end; no request is under way any more by then.
//!
//! # When an instance gets traffic
//!
//! Once it has answered its health path with 2xx for the first time, and until it is stopped or
//! ends. A later unhealthy answer does not take it out: judging versions is the business of
//! health steps and analyses, which see it too. A request that could not be delivered goes to
//! another instance, of the same version first. Every response names who gave it, in
//! [`VERSION_HEADER`] and [`DIGEST_HEADER`].
//!
//! # Rules and tracks
//!
//! Clients [stay](release_core::model::Affinity) with a version by a cookie that holds its digest: with whichever answered,
//! or with [one alone](release_core::model::Affinity::only). Routes by headers are not
//! declared: they need regular expressions, which none of the crates that the platform is made of brings. Nor are copies, which
//! need the whole body of a request first.
//!
//! A [track](release_core::model::Target::track) is a target with instances, health and samples of its own. Its requests come by
//! the proxy of its service, as a share; it has no traffic that could be divided. The new window of
//! a service's shares is also that of its tracks.
//!
//! # Behind another router
//!
//! The platform is [`Endpoints`](crate::endpoints::Endpoints): a router that drives another server, such as those of the
//! features `haproxy` and `envoy`, learns from it where instances are, and from [`LocalPlatform::instance_changes`] when
//! to look again. A version that is to be stopped as a whole has to be drained there first, as the registry does: of that the
//! platform waits for its own proxy alone. One that gives up some of its instances and goes on needs nothing: the platform chooses
//! them, waits until all routers that [follow](crate::endpoints::follow) send nothing there any more, and then until no
//! connection is open there. Whoever else keeps one open, such as who scrapes it, holds it up; none longer than
//! [`drain_timeout`](LocalConfig::drain_timeout), as with a router that cannot be told.
//!
//! # In which order
//!
//! Calls of [`Deployer`](crate::spi::Deployer) and [`TrafficRouter`](crate::spi::TrafficRouter) on
//! one target take turns, in the order in which they were first polled; looking takes a turn too.
//! A call that is dropped before its turn never has an effect. One that is dropped during its turn
//! is done to its end, and the next turn comes after that: whoever looks, or changes something,
//! after dropping a call finds it done or undone for good. As in any queue, whoever neither polls
//! nor drops a call holds up those behind it.
//!
//! # What survives
//!
//! Wishes, shares and ports are written before they take effect. When the program that holds the
//! platform ends, orderly or not, instances live on, without the proxy; the next
//! [`LocalPlatform::open`] on the root *adopts* them: by pid and start time, or, if the program
//! died before it could write those down, by the mark in their environment. Nothing is started
//! twice, and what carries the root's mark without belonging to an instance is killed.
//!
//! # What a window is
//!
//! Counters are sampled when new shares take effect and whenever a measurement is made; what is
//! reported is what they grew by since the first sample of the window that was asked for, resets
//! corrected as Prometheus does. Instances that were started in the window count from zero, those that
//! were stopped in it up to their last sample. The window begins with the latest sample of new shares,
//! or of a later new window, up to the instant that was asked for: maybe earlier than asked, never
//! before the present shares. Only where an instance has no such sample, and none in the window, there
//! is no data; one is then taken, and the next measurement's window begins with it. Nor is there data
//! where an instance that was ready ended by itself in the window: what it saw after its last sample is
//! not known. (Ends that nobody measured after are forgotten with the platform.) Samples of new shares are written to `samples/`, so
//! that after a crash and a reopen the window of a bake is still what it was; should the crash have
//! come before, it begins with the first measurement after the reopen.
//!
//! # What it says of itself
//!
//! Each change that is really made (a process started, stopped or found dead, new shares) is a line in
//! `effects.jsonl`, with the instant and with the key, run and epoch of the call that asked for it:
//! see [`effects`]. A start is written right after it; one whose line a crash prevented is written by
//! the next platform that finds the process. So nobody has to believe a journal that nothing was
//! done twice: count by key.
//!
//! # Who is refused
//!
//! Calls of [`Deployer`](crate::spi::Deployer) and [`TrafficRouter`](crate::spi::TrafficRouter) that
//! come from a run's writer bear its epoch. The highest of every run is written to `fences/` before
//! anything is done for it; an older one is refused as `Fenced`, also after a reopen. Looking is for
//! everybody. Names of runs must be unique on a root: journals that share a root share its fences, and
//! a run that is restored from a backup may find its epoch behind. The error names the file.
//!
//! # What is verified, and what remains
//!
//! The digest is checked at every apply and again right before every start, and what is executed
//! is the very file that was hashed, whatever its name has come to mean. What remains: a user who
//! may write that file can change its content *in place* between the hash and the start, and a
//! script is read by its interpreter after the start. Guard the root against other users.
//!
//! # Limits
//!
//! Linux only (`/proc`). HTTP/1.1 on the loopback only; no upgrades, no tunnels. The count of
//! served requests is not kept over a restart, and neither are counters inside instances. A child
//! that an instance starts must keep the environment it was given, or it is not found. Logs,
//! artifacts, fences and effects are never deleted.

mod adopt;
mod backend;
mod balance;
mod config;
mod deployer;
mod deployment;
mod effects;
mod endpoints;
mod fence;
mod files;
mod forward;
mod health;
mod identities;
mod keeper;
mod metrics;
mod notify;
mod place;
mod platform;
mod process;
mod proxy;
mod record;
mod router;
mod samples;
mod store;
mod supervisor;

pub use config::{LocalConfig, ServiceConfig};
pub use effects::{EffectChange, EffectRecord, effects};
pub use forward::{DIGEST_HEADER, VERSION_HEADER};
pub use identities::IdentityFile;
pub use platform::LocalPlatform;
