//! What is done with HAProxy by whoever has the target's turn: looks, and changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use release_core::model::Target;
use release_core::plan::Weight;
use release_core::port::{EffectCertainty, Served};

use super::parse::{self, Count};
use super::router::Inner;
use super::settings::HaproxyTarget;
use super::shares::{Shares, Wanted};
use super::{rules, servers};
use crate::routing::{
    IN_FLIGHT, OBSERVE, REFRESH, SET, addresses, addresses_of, answering, blocking, write_whole,
};
use crate::shares::{Pool, wanted};
use crate::spi::{Flights, SetWeights, TrafficStatus};
use crate::sync::lock;
use crate::{Context, ErrorKind, ProviderError};

/// How much of a map is sent with one command: HAProxy's buffers hold 16 KiB.
const CHUNK: usize = 4096;

impl Inner {
    pub(super) async fn set(
        &self,
        cx: &Context,
        place: &HaproxyTarget,
        request: SetWeights,
    ) -> Result<(), ProviderError> {
        self.fences.pass(cx).await?;
        let weights = wanted(SET, &request, &super::router::description().abilities)?;
        let wanted = Wanted { weights: &weights, rules: request.rules.as_ref() };
        let pools = answering(wanted.weights, wanted.rules);
        let found = addresses(&*self.endpoints, &place.target, &pools).await?;
        check_room(place, &found)?;
        // What somebody else wrote there is replaced; that it cannot be read is no reason not to. Whose requests are in which
        // slot is known all the same, as far as it stands there.
        let now = match self.shares(SET, place).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                Shares::left(place.versions, &self.entries(SET, place).await?)
            }
            shares => shares?,
        };
        let same = now.generation > 0
            && Weight::same_shares(&now.weights(), wanted.weights)
            && now.rules.as_ref() == wanted.rules;
        if same && !self.is_doubtful(place) {
            self.give(SET, place, &now, &found).await?;
            return self.save(SET, place, &now).await;
        }
        let counts = self.counts(SET, place).await?;
        let busy = self.busy(SET, place).await?;
        // Without rules, before and after, nothing needs to be there of what they need.
        let ruled = now.rules.is_some() || wanted.rules.is_some();
        let there = if ruled { self.rules(SET, place).await? } else { BTreeMap::new() };
        let counted = counts.iter().map(|count| count.generation);
        let last = counted.chain(there.keys().filter_map(|key| rules::generation(key))).max();
        let generation = last.unwrap_or_default().max(now.generation).saturating_add(1);
        let next = now.next(place, &wanted, generation, &busy)?;
        self.give(SET, place, &next, &found).await?;
        if wanted.rules.is_some() {
            self.write_rules(place, &now, &next, &there).await?;
        }
        self.doubt(place, true);
        self.write(&place.map(&self.settings.state), &next.file()).await?;
        // From here on it is done, whatever else fails.
        let unknown = |error: ProviderError| error.with_effect(EffectCertainty::Unknown);
        if self.shares(SET, place).await.map_err(unknown)? != next {
            let text = "HAProxy did not take over the shares; look what is in effect";
            return Err(unknown(ProviderError::new(ErrorKind::Unavailable, SET, text)));
        }
        self.doubt(place, false);
        self.forget(place, &counts).await.map_err(unknown)?;
        self.save(SET, place, &next).await.map_err(unknown)
    }

    pub(super) async fn observe(
        &self,
        place: &HaproxyTarget,
    ) -> Result<TrafficStatus, ProviderError> {
        let shares = self.shares(OBSERVE, place).await?;
        let counts = self.counts(OBSERVE, place).await?;
        let mut served = Vec::new();
        for pool in shares.answering() {
            let slot = shares.slot_of(&pool);
            let own =
                |count: &&Count| (count.generation, Some(count.slot)) == (shares.generation, slot);
            let requests = counts.iter().find(own).map_or(0, |count| count.served);
            match served.last_mut().filter(|last: &&mut Served| last.digest == pool.digest) {
                Some(same) => same.requests = same.requests.saturating_add(requests),
                None => served.push(Served::new(pool.digest, requests)),
            }
        }
        let (mut in_flight, mut flights) = (0_u64, Vec::new());
        for slot in place.slots() {
            let requests = self.sessions(OBSERVE, place, slot).await?;
            in_flight = in_flight.saturating_add(requests);
            let there = shares.slots.get(&slot).cloned();
            flights.extend(there.map(|who| Flights::new(who.digest, who.track, requests)));
        }
        let status = TrafficStatus::new(place.target.clone(), shares.weights(), served, in_flight);
        Ok(status.by(shares.rules).flying(flights))
    }

    pub(super) async fn in_flight(
        &self,
        place: &HaproxyTarget,
        pool: &Pool,
    ) -> Result<u64, ProviderError> {
        match self.shares(IN_FLIGHT, place).await?.slot_of(pool) {
            Some(slot) => self.sessions(IN_FLIGHT, place, slot).await,
            None => Ok(0),
        }
    }

    /// Sees to every version with a share, and tells the first that could not be seen to.
    pub(super) async fn refresh(&self, place: &HaproxyTarget) -> Result<(), ProviderError> {
        let shares = self.shares(REFRESH, place).await?;
        let mut result = Ok(());
        for pool in shares.answering() {
            let done = match addresses_of(&*self.endpoints, &place.target, &pool).await {
                Ok(found) => {
                    let found = BTreeMap::from([(pool, found)]);
                    self.give(REFRESH, place, &shares, &found).await
                }
                Err(error) => Err(error),
            };
            result = result.and(done);
        }
        let saved = self.save(REFRESH, place, &shares).await;
        result.and(saved)
    }

    /// Gives versions in slots the addresses that were found.
    async fn give(
        &self,
        operation: &'static str,
        place: &HaproxyTarget,
        shares: &Shares,
        found: &BTreeMap<Pool, Vec<SocketAddr>>,
    ) -> Result<(), ProviderError> {
        for (slot, weight) in &shares.slots {
            if let Some(addresses) = found.get(&Pool::of(weight)) {
                servers::sync(&self.runtime, operation, &place.backend(*slot), addresses).await?;
            }
        }
        Ok(())
    }

    /// Puts a new map in the place of the old one, in one moment.
    async fn write(&self, map: &Path, text: &str) -> Result<(), ProviderError> {
        let map = map.display();
        let answer = self.runtime.ask(SET, &format!("prepare map {map}")).await?;
        let version = parse::map_version(SET, &answer)?;
        for chunk in chunks(text) {
            let add = format!("add map @{version} {map} <<\n{chunk}");
            parse::nothing(SET, &self.runtime.ask(SET, &add).await?)?;
        }
        let commit = self.runtime.ask(SET, &format!("commit map @{version} {map}")).await;
        let answer = commit.map_err(|error| error.with_effect(EffectCertainty::Unknown))?;
        parse::nothing(SET, &answer)
    }

    /// Puts the expressions of new rules beside those of now, and of changes of which nobody knows what became: each is for
    /// requests of its generation alone.
    async fn write_rules(
        &self,
        place: &HaproxyTarget,
        now: &Shares,
        next: &Shares,
        there: &BTreeMap<String, String>,
    ) -> Result<(), ProviderError> {
        let newer = |key: &String| rules::generation(key) >= Some(now.generation);
        let kept = there.iter().filter(|(key, _)| newer(key));
        let kept = kept.map(|(key, slot)| (key.clone(), slot.clone()));
        let text = rules::file(kept.chain(rules::entries(next)?));
        self.write(&place.rules(&self.settings.state), &text)
            .await
            // Nobody is asked by them before the shares are there.
            .map_err(|error| error.with_effect(EffectCertainty::NotApplied))
    }

    /// The expressions of rules.
    async fn rules(
        &self,
        operation: &'static str,
        place: &HaproxyTarget,
    ) -> Result<BTreeMap<String, String>, ProviderError> {
        let map = place.rules(&self.settings.state);
        let answer = self.runtime.ask(operation, &format!("show map {}", map.display())).await?;
        parse::map_entries(operation, &answer)
    }

    /// Whether a change was sent of which nobody knows what became: HAProxy may have it before it, and do it later, unless
    /// a newer version of the map is in effect by then.
    fn is_doubtful(&self, place: &HaproxyTarget) -> bool {
        lock(&self.doubtful).contains(&place.target)
    }

    fn doubt(&self, place: &HaproxyTarget, whether: bool) {
        let mut doubtful = lock(&self.doubtful);
        if whether {
            doubtful.insert(place.target.clone());
        } else {
            doubtful.remove(&place.target);
        }
    }

    /// Removes the counts of shares that were replaced before, unless requests are under way.
    async fn forget(&self, place: &HaproxyTarget, counts: &[Count]) -> Result<(), ProviderError> {
        for Count { generation, slot, .. } in counts.iter().filter(|count| count.current == 0) {
            let table = place.counts();
            let clear = format!("clear table {table} key {generation}/{slot}");
            // It says so when a request of just now has it; the next change finds it.
            self.runtime.ask(SET, &clear).await?;
        }
        Ok(())
    }

    /// Writes down what HAProxy shall begin with, should it be started anew.
    async fn save(
        &self,
        operation: &'static str,
        place: &HaproxyTarget,
        shares: &Shares,
    ) -> Result<(), ProviderError> {
        // One at a time: the servers of all targets are in one file.
        let _saving = self.saving.lock().await;
        let servers = self.runtime.ask(operation, "show servers state").await?;
        parse::servers(operation, &servers)?;
        let (map, text) = (place.map(&self.settings.state), shares.file());
        let own = rules::file(rules::entries(shares)?);
        let rules = place.rules(&self.settings.state);
        let path = self.settings.servers();
        let write = move || {
            write_whole(operation, &path, servers.as_bytes())?;
            write_whole(operation, &rules, own.as_bytes())?;
            write_whole(operation, &map, text.as_bytes())
        };
        blocking(operation, write).await
    }

    /// The map of shares as it stands.
    async fn entries(
        &self,
        operation: &'static str,
        place: &HaproxyTarget,
    ) -> Result<BTreeMap<String, String>, ProviderError> {
        let map = place.map(&self.settings.state);
        let answer = self.runtime.ask(operation, &format!("show map {}", map.display())).await?;
        parse::map_entries(operation, &answer)
    }

    async fn shares(
        &self,
        operation: &'static str,
        place: &HaproxyTarget,
    ) -> Result<Shares, ProviderError> {
        let map = place.map(&self.settings.state);
        let say = |error: ProviderError| error.with_context("map", map.display());
        let entries = self.entries(operation, place).await?;
        let shares = Shares::read(operation, place.versions, &entries).map_err(say)?;
        if shares.rules.is_none() {
            return Ok(shares);
        }
        let mut there = self.rules(operation, place).await?;
        there.retain(|key, _| rules::generation(key) == Some(shares.generation));
        if there == rules::entries(&shares)?.into_iter().collect() {
            return Ok(shares);
        }
        let text = "the rules in HAProxy are not those that this router wrote; set shares again";
        Err(say(ProviderError::new(ErrorKind::Corrupt, operation, text)))
    }

    async fn counts(
        &self,
        operation: &'static str,
        place: &HaproxyTarget,
    ) -> Result<Vec<Count>, ProviderError> {
        let answer = self.runtime.ask(operation, &format!("show table {}", place.counts())).await?;
        parse::counts(operation, &answer)
    }

    /// The slots with requests under way.
    async fn busy(
        &self,
        operation: &'static str,
        place: &HaproxyTarget,
    ) -> Result<BTreeSet<u16>, ProviderError> {
        let mut busy = BTreeSet::new();
        for slot in place.slots() {
            if self.sessions(operation, place, slot).await? > 0 {
                busy.insert(slot);
            }
        }
        Ok(busy)
    }

    async fn sessions(
        &self,
        operation: &'static str,
        place: &HaproxyTarget,
        slot: u16,
    ) -> Result<u64, ProviderError> {
        // 2: backends alone, without their servers.
        let show = format!("show stat {} 2 -1", place.backend(slot));
        parse::sessions(operation, &self.runtime.ask(operation, &show).await?)
    }

    pub(super) fn place(
        &self,
        operation: &'static str,
        target: &Target,
    ) -> Result<HaproxyTarget, ProviderError> {
        let found = self.settings.targets.iter().find(|one| one.target == *target).cloned();
        found.ok_or_else(|| {
            let text = "the router has no such target; add it to its settings, and to its HAProxy";
            ProviderError::new(ErrorKind::NotFound, operation, text).with_context("target", target)
        })
    }
}

fn check_room(
    place: &HaproxyTarget,
    found: &BTreeMap<Pool, Vec<SocketAddr>>,
) -> Result<(), ProviderError> {
    if found.len() <= usize::from(place.versions) {
        return Ok(());
    }
    let text = "more versions than the target has room for; give it more `versions`";
    Err(ProviderError::new(ErrorKind::Invalid, SET, text)
        .with_context("target", &place.target)
        .with_context("versions", place.versions))
}

/// The entries of a map, in pieces of whole lines; none of a map without entries, since HAProxy adds nothing but some.
fn chunks(text: &str) -> Vec<String> {
    let mut chunks = Vec::<String>::new();
    for line in text.split_inclusive('\n') {
        match chunks.last_mut() {
            Some(last) if last.len() + line.len() <= CHUNK => last.push_str(line),
            _ => chunks.push(line.to_owned()),
        }
    }
    chunks
}
