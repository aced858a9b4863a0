//! What a router needs to know of the versions and targets that it is told of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use release_core::model::{Target, TrafficRules};
use release_core::plan::Weight;

use super::SET;
use crate::endpoints::Endpoints;
use crate::shares::Pool;
use crate::{ErrorKind, ProviderError};

/// All who may have to answer: whoever has a share, and whom header routes name.
pub(crate) fn answering(weights: &[Weight], rules: Option<&TrafficRules>) -> BTreeSet<Pool> {
    let picked = rules.into_iter().flat_map(|rules| &rules.headers);
    let picked = picked.map(|route| Pool::whole(route.to));
    weights.iter().map(Pool::of).chain(picked).collect()
}

/// The target of which this one is a part: without a track.
pub(crate) fn whole(target: &Target) -> Target {
    Target { track: None, ..target.clone() }
}

/// The addresses of all instances of a pool that shall be served, in order and without repetition.
pub(crate) async fn addresses_of(
    endpoints: &dyn Endpoints,
    target: &Target,
    pool: &Pool,
) -> Result<Vec<SocketAddr>, ProviderError> {
    let place = pool.place(target);
    let say = |error: ProviderError| {
        error.with_context("target", &place).with_context("digest", pool.digest)
    };
    let mut found = endpoints.of(&place, pool.digest).await.map_err(say)?;
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        let text = "no instance of this version is ready; wait for its health, then set shares";
        return Err(say(ProviderError::new(ErrorKind::Unavailable, SET, text)));
    }
    Ok(found)
}

/// The addresses of all of several pools.
pub(crate) async fn addresses(
    endpoints: &dyn Endpoints,
    target: &Target,
    pools: &BTreeSet<Pool>,
) -> Result<BTreeMap<Pool, Vec<SocketAddr>>, ProviderError> {
    let mut all = BTreeMap::new();
    for pool in pools {
        all.insert(pool.clone(), addresses_of(endpoints, target, pool).await?);
    }
    Ok(all)
}

/// A target as a name in a server's configuration. Ids hold no `separator`, so that different targets never share one.
pub(crate) fn slug(target: &Target, separator: char) -> String {
    let Target { environment, region, service, track } = target;
    let slug = format!("{environment}{separator}{region}{separator}{service}");
    match track {
        Some(track) => format!("{slug}{separator}{track}"),
        None => slug,
    }
}

/// Refuses a name that would be something else in a configuration or a command.
pub(crate) fn check_name(name: &str, also: char) -> Result<(), ProviderError> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c) || c == also;
    if !name.is_empty() && name.len() <= 200 && name.chars().all(fine) {
        return Ok(());
    }
    let text =
        format!("a name of a target may hold letters, digits and `-_.{also}`, 200 at the most");
    Err(ProviderError::new(ErrorKind::Invalid, super::OPEN, text)
        .with_context("name", name.chars().take(80).collect::<String>()))
}
