//! Makes what runs what is wished: one task a deployment, woken by every change.

use std::sync::Arc;

use tokio::net::TcpListener;

use super::backend::Backend;
use super::deployment::{Deployment, Instance};
use super::fence::Caller;
use super::files::lock;
use super::keeper::{Keeper, name};
use super::place::Place;
use super::platform::Inner;
use super::process::Process;
use super::record::InstanceRecord;
use crate::shares::Pool;

/// Supervises a deployment until the platform stops.
pub(super) fn supervise(inner: &Arc<Inner>, place: &Arc<Place>, deployment: &Arc<Deployment>) {
    let (inner, place) = (Arc::clone(inner), Arc::clone(place));
    let deployment = Arc::clone(deployment);
    let tracker = inner.tasks.clone();
    tracker.spawn(async move {
        let clock = Arc::clone(&inner.config.clock);
        while !inner.stop.is_cancelled() {
            let mut next = deployment.next(clock.now());
            // One at a time: what is wished may have changed since, and a start may wait for a port.
            while next.start > 0 && !inner.stop.is_cancelled() {
                start_one(&inner, &place, &deployment).await;
                next = deployment.next(clock.now());
            }
            tokio::select! {
                () = inner.stop.cancelled() => return,
                () = deployment.wake.notified() => {}
                () = async { match next.at {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                } } => {}
            }
        }
    });
}

async fn start_one(inner: &Arc<Inner>, place: &Arc<Place>, deployment: &Arc<Deployment>) {
    let port = loop {
        match inner.pick_port().await {
            Ok(port) => break port,
            Err(error) => {
                tracing::warn!(%error, "no free port; trying again");
                let clock = &inner.config.clock;
                let at = clock.now().plus(inner.config.restart_pause);
                tokio::select! {
                    () = inner.stop.cancelled() => return,
                    () = clock.sleep_until(at) => {}
                }
            }
        }
    };
    let sequence = inner.next_sequence();
    let id = name(deployment.target.service.as_str(), deployment.digest, sequence);
    let backend = Backend::new(id, pool(deployment), ([127, 0, 0, 1], port).into());
    let (wish, now) = (deployment.wish(), inner.config.clock.now());
    let instance = Arc::new(Instance::new(sequence, wish.generation, backend, now, false));
    deployment.insert(Arc::clone(&instance));
    let keeper = keeper(inner, place, deployment, instance, wish.caller());
    inner.tasks.spawn(keeper.start());
}

/// Goes on keeping an instance that an earlier platform started.
pub(super) fn adopt(
    inner: &Arc<Inner>,
    place: &Arc<Place>,
    deployment: &Arc<Deployment>,
    record: InstanceRecord,
    process: Process,
) {
    let backend = Backend::new(record.id, pool(deployment), ([127, 0, 0, 1], record.port).into());
    let now = inner.config.clock.now();
    let (sequence, generation) = (record.sequence, record.generation);
    let instance = Instance::new(sequence, generation, backend, now, record.ready);
    let instance = Arc::new(instance.adopted(record.born));
    instance.set_process(process.id.clone());
    lock(&inner.ports).insert(record.port);
    deployment.insert(Arc::clone(&instance));
    if record.ready {
        place.proxy.add(Arc::clone(&instance.backend)); // before the listener serves again
    }
    let keeper = keeper(inner, place, deployment, instance, record.cause);
    inner.tasks.spawn(keeper.keep(process));
}

/// For which shares its instances are.
fn pool(deployment: &Deployment) -> Pool {
    Pool { digest: deployment.digest, track: deployment.target.track.clone() }
}

fn keeper(
    inner: &Arc<Inner>,
    place: &Arc<Place>,
    deployment: &Arc<Deployment>,
    instance: Arc<Instance>,
    cause: Caller,
) -> Keeper {
    let (inner, place) = (Arc::clone(inner), Arc::clone(place));
    Keeper { inner, place, deployment: Arc::clone(deployment), instance, cause }
}

/// Serves a target's traffic until the platform stops.
pub(super) fn serve(inner: &Arc<Inner>, place: &Arc<Place>, listener: TcpListener) {
    let (proxy, held) = (Arc::clone(&place.proxy), Arc::clone(inner));
    inner.tasks.spawn(async move {
        proxy.serve(listener).await;
        drop(held); // and with it the root's lock: not before the port is free for a successor
    });
}
