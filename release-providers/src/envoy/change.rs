//! What is done with Envoy by whoever has the target's turn.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use release_core::model::TrafficRules;
use release_core::plan::Weight;
use release_core::port::EffectCertainty;
use release_core::time::{Span, Timestamp};
use serde_json::Value;

use super::admin::Stats;
use super::documents::{self, Shares};
use super::look::{last_counted, under_way};
use super::router::Inner;
use super::settings::{EnvoyTarget, addresses_file, routes_file};
use super::table;
use crate::routing::{REFRESH, SET, addresses, addresses_of, answering, blocking, write_whole};
use crate::shares::{Pool, wanted};
use crate::spi::SetWeights;
use crate::{Context, ErrorKind, ProviderError};

/// The first pause between two looks whether Envoy took over a file, and the longest.
const PAUSES: (Span, Span) = (Span::millis(2), Span::millis(100));

/// The addresses of clusters.
type Found = BTreeMap<String, Vec<SocketAddr>>;

impl Inner {
    pub(super) async fn set(
        &self,
        cx: &Context,
        place: &EnvoyTarget,
        request: SetWeights,
    ) -> Result<(), ProviderError> {
        self.fences.pass(cx).await?;
        let weights = wanted(SET, &request, &super::router::description().abilities)?;
        let rules = request.rules;
        let found = self.find(place, &weights, rules.as_ref()).await?;
        // What somebody else wrote there is replaced; that it makes no sense is no reason not to.
        let file = self.document(place).await?;
        let (now, back) = match self.admin.shares(SET, place).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => (Shares::default(), file.clone()),
            shares => shares.map(|now| (now.clone(), table::routes(place, &now)))?,
        };
        let written = written(&file);
        let same =
            now.generation > 0 && Weight::same_shares(&now.weights, &weights) && now.rules == rules;
        // Another table in the file is one that Envoy may take over at any time.
        if same && written == now.generation {
            return self.give(SET, &found).await;
        }
        let stats = self.admin.stats(SET).await?;
        let last = last_counted(&stats, place).max(now.generation).max(written);
        let generation = last.saturating_add(1);
        self.clusters(place, &now, &found, &stats).await?;
        let next = Shares { generation, weights, rules };
        let refused = self.admin.refusals(SET, place).await?;
        self.write(SET, routes_file(&place.name()), table::routes(place, &next)).await?;
        // From here on Envoy may take it over at any time.
        let taken = self.taken_over(place, &next, refused).await;
        let taken = taken.map_err(|error| error.with_effect(EffectCertainty::Unknown))?;
        if taken { Ok(()) } else { self.take_back(place, back).await }
    }

    /// Puts a table in the place of one that Envoy refused: it would read that again when it is restarted, and serve nobody.
    async fn take_back(&self, place: &EnvoyTarget, table: Value) -> Result<(), ProviderError> {
        let back = self.write(SET, routes_file(&place.name()), table).await;
        back.map_err(|error| error.with_effect(EffectCertainty::Unknown))?;
        let text = "Envoy refuses the table of routes, and keeps the one before; its log says why, such as an expression \
                    that RE2 does not take, or one too long for the runtime key `re2.max_program_size.error_level`";
        Err(ProviderError::new(ErrorKind::Invalid, SET, text).with_context("target", &place.target))
    }

    /// Sees to every version with a share, and tells the first that could not be seen to.
    pub(super) async fn refresh(&self, place: &EnvoyTarget) -> Result<(), ProviderError> {
        let shares = self.admin.shares(REFRESH, place).await?;
        let mut result = Ok(());
        for (pool, clusters) in clusters_of(place, &shares.weights, shares.rules.as_ref()) {
            let done = match addresses_of(&*self.endpoints, &place.target, &pool).await {
                Ok(found) => {
                    let all = clusters.into_iter().map(|cluster| (cluster, found.clone()));
                    self.give(REFRESH, &all.collect()).await
                }
                Err(error) => Err(error),
            };
            result = result.and(done);
        }
        result
    }

    /// Where the instances of all are that requests or copies of them go to.
    async fn find(
        &self,
        place: &EnvoyTarget,
        weights: &[Weight],
        rules: Option<&TrafficRules>,
    ) -> Result<Found, ProviderError> {
        let clusters = clusters_of(place, weights, rules);
        let pools = clusters.keys().cloned().collect();
        let found = addresses(&*self.endpoints, &place.target, &pools).await?;
        let own = found.into_iter().flat_map(|(pool, addresses)| {
            let own = clusters.get(&pool).into_iter().flatten();
            own.map(move |cluster| (cluster.clone(), addresses.clone()))
        });
        Ok(own.collect())
    }

    /// Makes Envoy have the clusters of the versions that were found, of those in effect and of those that have requests
    /// under way; those of others go.
    async fn clusters(
        &self,
        place: &EnvoyTarget,
        now: &Shares,
        found: &Found,
        stats: &Stats,
    ) -> Result<(), ProviderError> {
        let mut names: BTreeSet<String> = found.keys().cloned().collect();
        let before = clusters_of(place, &now.weights, now.rules.as_ref());
        names.extend(before.into_values().flatten());
        let (there, gone): (Vec<_>, Vec<_>) = self
            .admin
            .clusters(SET)
            .await?
            .into_keys()
            .filter(|name| place.has(name))
            .partition(|name| names.contains(name) || under_way(stats, name) > 0);
        names.extend(there);
        self.write_addresses(SET, found).await?;
        {
            // One at a time: the clusters of all targets are in one file.
            let _listing = self.listing.lock().await;
            let path = self.settings.clusters();
            let others = blocking(SET, move || Ok(fs::read(&path).unwrap_or_default())).await?;
            let mut all = listed(&others);
            all.retain(|name| !place.has(name));
            all.extend(names.iter().cloned());
            all.sort();
            let document = documents::clusters(&self.settings.directory, &all);
            let file = self.settings.clusters();
            let file = file.file_name().map(|name| name.to_string_lossy().into_owned());
            self.write(SET, file.unwrap_or_default(), document).await?;
        }
        self.taken(SET, found).await?;
        let files = gone.iter().map(|name| addresses_file(name));
        let files: Vec<PathBuf> = files.map(|file| self.settings.directory.join(file)).collect();
        // Nobody reads them any more; what cannot be removed is in nobody's way.
        blocking(SET, move || {
            for file in files {
                let _ = fs::remove_file(file);
            }
            Ok(())
        })
        .await
    }

    /// Tells Envoy where instances of versions are that it has clusters of.
    async fn give(&self, operation: &'static str, found: &Found) -> Result<(), ProviderError> {
        self.write_addresses(operation, found).await?;
        self.taken(operation, found).await
    }

    async fn write_addresses(
        &self,
        operation: &'static str,
        found: &Found,
    ) -> Result<(), ProviderError> {
        for (cluster, addresses) in found {
            let document = documents::addresses(cluster, addresses);
            self.write(operation, addresses_file(cluster), document).await?;
        }
        Ok(())
    }

    /// Waits until Envoy has these addresses in use.
    async fn taken(&self, operation: &'static str, found: &Found) -> Result<(), ProviderError> {
        let mut patience = self.patience(operation, "the addresses of instances");
        loop {
            let there = self.admin.clusters(operation).await?;
            let mut all = found.iter();
            if all.all(|(cluster, addresses)| {
                let wanted: BTreeSet<SocketAddr> = addresses.iter().copied().collect();
                there.get(cluster) == Some(&wanted)
            }) {
                return Ok(());
            }
            patience.wait().await?;
        }
    }

    /// The table in the file; null when it cannot be read.
    async fn document(&self, place: &EnvoyTarget) -> Result<Value, ProviderError> {
        let path = self.settings.directory.join(routes_file(&place.name()));
        let bytes = blocking(SET, move || Ok(fs::read(path).unwrap_or_default())).await?;
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Waits until Envoy has these shares in effect, or has refused a table more often than before: `false`.
    async fn taken_over(
        &self,
        place: &EnvoyTarget,
        next: &Shares,
        refused: u64,
    ) -> Result<bool, ProviderError> {
        let mut patience = self.patience(SET, "the shares");
        loop {
            // Asked first: what is refused after this look is seen by the next one.
            let more = self.admin.refusals(SET, place).await? > refused;
            // A table of others is in effect until ours is.
            match self.admin.shares(SET, place).await {
                Ok(there) if there == *next => return Ok(true),
                Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
                _ if more => return Ok(false),
                _ => patience.wait().await?,
            }
        }
    }

    fn patience(&self, operation: &'static str, what: &'static str) -> Patience<'_> {
        let end = self.turns.clock.now().plus(self.settings.patience());
        Patience { inner: self, operation, what, end, pause: PAUSES.0 }
    }

    async fn write(
        &self,
        operation: &'static str,
        file: String,
        document: Value,
    ) -> Result<(), ProviderError> {
        let path = self.settings.directory.join(file);
        blocking(operation, move || write_whole(operation, &path, document.to_string().as_bytes()))
            .await
    }
}

/// The clusters that take requests, or copies of them, by whose they are.
fn clusters_of(
    place: &EnvoyTarget,
    weights: &[Weight],
    rules: Option<&TrafficRules>,
) -> BTreeMap<Pool, Vec<String>> {
    let answering = answering(weights, rules).into_iter();
    let mut all: BTreeMap<_, _> =
        answering.map(|pool| (pool.clone(), vec![place.cluster(&pool)])).collect();
    if let Some(mirror) = rules.and_then(|rules| rules.mirror.as_ref()) {
        let own = all.entry(Pool::whole(mirror.to)).or_default();
        own.push(place.copies(mirror.to));
    }
    all
}

/// How long Envoy may go on without having taken over a file.
struct Patience<'a> {
    inner: &'a Inner,
    operation: &'static str,
    what: &'static str,
    end: Timestamp,
    pause: Span,
}

impl Patience<'_> {
    /// Lets a little time pass, more each time. `Unavailable` when it is at its end.
    async fn wait(&mut self) -> Result<(), ProviderError> {
        let clock = &self.inner.turns.clock;
        let now = clock.now();
        if now >= self.end {
            let text = format!("Envoy did not take over {} in time; its log says why", self.what);
            return Err(ProviderError::new(ErrorKind::Unavailable, self.operation, text)
                .with_context("directory", self.inner.settings.directory.display()));
        }
        clock.sleep_until(now.plus(self.pause)).await;
        self.pause = Span::from(self.pause.as_duration().saturating_mul(2)).min(PAUSES.1);
        Ok(())
    }
}

/// The generation of a table in a file; 0 when it is none of ours.
fn written(document: &Value) -> u64 {
    let version = document.get("version_info").and_then(Value::as_str);
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// The names in a list of clusters that this router wrote.
fn listed(bytes: &[u8]) -> Vec<String> {
    let list: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let resources = list.get("resources").and_then(Value::as_array);
    let names = resources.into_iter().flatten().filter_map(|one| one.get("name")?.as_str());
    names.map(str::to_owned).collect()
}
