//! What a router needs to know of the versions and targets that it is told of.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use release_core::model::{Digest, Target};
use release_core::plan::Weight;

use super::SET;
use crate::endpoints::Endpoints;
use crate::{ErrorKind, ProviderError};

/// The addresses of all instances of versions that shall be served, in order and without repetition.
pub(crate) async fn addresses(
    endpoints: &dyn Endpoints,
    target: &Target,
    weights: &[Weight],
) -> Result<BTreeMap<Digest, Vec<SocketAddr>>, ProviderError> {
    let mut all = BTreeMap::new();
    for weight in weights {
        let say = |error: ProviderError| error.with_context("version", &weight.version);
        let mut found = endpoints.of(target, weight.digest).await.map_err(say)?;
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            let text = "no instance of this version is ready; wait for its health, then set shares";
            return Err(say(ProviderError::new(ErrorKind::Unavailable, SET, text)
                .with_context("target", target)
                .with_context("digest", weight.digest)));
        }
        all.insert(weight.digest, found);
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
