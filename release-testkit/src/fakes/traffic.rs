//! Where a request goes: by rules, and where none takes it, by shares.

use std::collections::BTreeMap;

use release_core::model::{
    Affinity, Digest, HeaderMatch, RequestMatch, TextMatch, TrackId, TrafficRules,
};
use release_core::plan::Weight;
use release_core::port::Served;

use crate::conformance::router::{Ask, Heard};

/// What all requests are: see [`Ask`].
const METHOD: &str = "GET";
const PATH: &str = "/work";

/// Instances that a share is for: those of a version on a track, or its others.
pub(super) type Place = (Digest, Option<TrackId>);

/// The shares of one target, and what holds beside them.
#[derive(Debug, Clone, Default)]
pub(super) struct Route {
    pub(super) weights: Vec<Weight>,
    pub(super) rules: Option<TrafficRules>,
    pub(super) served: BTreeMap<Digest, u64>,
    /// What each share is owed, in percent.
    pub(super) credit: BTreeMap<Place, i64>,
    /// What the mirror is owed, in percent.
    pub(super) copies: u32,
}

/// What is wrong with how requests go, for saboteurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bent {
    /// No header picks anything.
    IgnoresHeaders,
    /// A header route picks nothing for a version without a share.
    NeedsShare,
    /// The last header route that fits counts.
    LastRouteCounts,
    /// One of the headers of a rule is enough.
    OneHeaderIsEnough,
    /// A regular expression need only fit a part.
    FitsParts,
    /// No request is copied.
    CopiesNothing,
    /// All requests are copied.
    CopiesAll,
    /// Requests are copied that were not asked for as well.
    CopiesOthers,
    /// One part of what a request has to be is enough for a copy.
    CopiesByPart,
    /// A request is copied that is all of what one of a list has to be.
    CopiesByAll,
    /// What a copy is answered reaches the client.
    AnswersWithCopies,
    /// Waits for what copies are answered.
    WaitsForCopies,
    /// No cookie keeps anybody.
    ForgetsClients,
    /// A cookie keeps clients with a version that has lost its share.
    KeepsClientsForEver,
    /// Versions that keep no clients set a cookie, and it counts.
    BindsAll,
    /// A cookie of a version that keeps no clients counts.
    HonoursAll,
    /// Sets a cookie that ends with the client.
    SetsFleetingCookies,
    /// No cookie with a long name keeps anybody.
    CutsLongNames,
    /// All instances of a version serve what is for a track.
    MixesTracks,
}

/// A request that went somewhere.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) by: Place,
    pub(super) copied: Option<Place>,
    pub(super) heard: Heard,
}

impl Route {
    /// Serves one request, and copies it where rules say so; `None` where nobody is served.
    pub(super) fn asked(&mut self, ask: &Ask, bent: Option<Bent>) -> Option<Asked> {
        let rules = self.rules.clone().unwrap_or_default();
        let picked = self.picked(&rules, ask, bent);
        let kept = rules.affinity.as_ref().and_then(|stay| self.kept(stay, ask, bent));
        let by = picked.clone().or_else(|| kept.clone()).or_else(|| self.turn(bent))?;
        *self.served.entry(by.0).or_default() += 1;
        let mirror = rules.mirror.filter(|mirror| {
            mirror.to != by.0 && bent != Some(Bent::CopiesNothing) && meant(&mirror.only, ask, bent)
        });
        let copied = mirror.and_then(|mirror| {
            self.copies +=
                if bent == Some(Bent::CopiesAll) { 100 } else { u32::from(mirror.percent) };
            let due = self.copies >= 100;
            self.copies %= 100;
            due.then_some((mirror.to, None))
        });
        let mut heard = Heard::of(by.0);
        if bent == Some(Bent::AnswersWithCopies) {
            heard.from = copied.as_ref().map_or(by.0, |copy| copy.0);
        }
        let binds = |stay: &Affinity| stay.keeps(by.0) || bent == Some(Bent::BindsAll);
        let drawn = picked.is_none() && kept.is_none();
        if let Some(stay) = rules.affinity.filter(|stay| drawn && binds(stay)) {
            let (name, value) = (stay.cookie, tag(&by));
            let fleeting = bent == Some(Bent::SetsFleetingCookies);
            let age = if fleeting { 0 } else { stay.max_age.as_duration().as_secs() };
            let lasts = if fleeting { String::new() } else { format!("; Max-Age={age}") };
            heard = heard.setting([format!("{name}={value}; Path=/{lasts}")]);
        }
        Some(Asked { by, copied, heard })
    }

    /// Whom a header route picks.
    fn picked(&self, rules: &TrafficRules, ask: &Ask, bent: Option<Bent>) -> Option<Place> {
        if bent == Some(Bent::IgnoresHeaders) {
            return None;
        }
        let fits = |one: &HeaderMatch| has(one, ask, bent);
        let mut routes = rules.headers.iter().filter(|route| match bent {
            Some(Bent::OneHeaderIsEnough) => route.rule.matches.iter().any(fits),
            _ => route.rule.matches.iter().all(fits),
        });
        let last = bent == Some(Bent::LastRouteCounts);
        let to = if last { routes.next_back() } else { routes.next() }?.to;
        let shared = self.weights.iter().any(|weight| weight.digest == to);
        (bent != Some(Bent::NeedsShare) || shared).then_some((to, None))
    }

    /// With whom a cookie keeps a client.
    fn kept(&self, stay: &Affinity, ask: &Ask, bent: Option<Bent>) -> Option<Place> {
        let cut = bent == Some(Bent::CutsLongNames) && stay.cookie.len() > 32;
        if cut || bent == Some(Bent::ForgetsClients) {
            return None;
        }
        let cookies = ask.headers.iter().filter(|(name, _)| name == "cookie");
        let mut pairs = cookies.flat_map(|(_, all)| all.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == stay.cookie).then_some(value)
        });
        let value = pairs.next()?;
        if bent == Some(Bent::KeepsClientsForEver) {
            return Some((format!("sha256:{value}").parse().ok()?, None));
        }
        let honours = |place: &Place| {
            let all = matches!(bent, Some(Bent::BindsAll | Bent::HonoursAll));
            all || stay.keeps(place.0)
        };
        self.weights.iter().map(place).find(|place| honours(place) && tag(place) == value)
    }

    /// Whose turn it is by shares, by smooth weighted round-robin.
    fn turn(&mut self, bent: Option<Bent>) -> Option<Place> {
        for weight in &self.weights {
            *self.credit.entry(place(weight)).or_default() += i64::from(weight.percent);
        }
        let (richest, credit) = self.credit.iter_mut().max_by_key(|(_, credit)| **credit)?;
        *credit -= 100;
        let mut turn = richest.clone();
        if bent == Some(Bent::MixesTracks) {
            turn.1 = None;
        }
        Some(turn)
    }

    pub(super) fn served(&self) -> Vec<Served> {
        let served = |(digest, requests): (&Digest, &u64)| Served::new(*digest, *requests);
        self.served.iter().map(served).collect()
    }
}

fn place(weight: &Weight) -> Place {
    (weight.digest, weight.track.clone())
}

/// What a cookie says of those who gave it.
fn tag((digest, track): &Place) -> String {
    let hex = digest.hex();
    match track {
        Some(track) => format!("{hex}.{track}"),
        None => hex,
    }
}

/// Whether a request is one of those of which there are copies.
fn meant(only: &[RequestMatch], ask: &Ask, bent: Option<Bent>) -> bool {
    let is = |one: &RequestMatch| {
        let fits = |text: &TextMatch, value: &str| says(text, value, bent == Some(Bent::FitsParts));
        let method = one.method.iter().map(|method| fits(method, METHOD));
        let path = one.path.iter().map(|path| fits(path, PATH));
        let headers = one.headers.iter().map(|header| has(header, ask, bent));
        let mut parts = method.chain(path).chain(headers);
        if bent == Some(Bent::CopiesByPart) { parts.any(|it| it) } else { parts.all(|it| it) }
    };
    match bent {
        Some(Bent::CopiesOthers) => true,
        Some(Bent::CopiesByAll) => only.iter().all(is),
        _ => only.is_empty() || only.iter().any(is),
    }
}

/// Whether a request has such a header.
fn has(one: &HeaderMatch, ask: &Ask, bent: Option<Bent>) -> bool {
    let mut values = ask.headers.iter().filter(|(name, _)| *name == one.name);
    values.any(|(_, value)| says(&one.value, value, bent == Some(Bent::FitsParts)))
}

/// Whether a text of a request says what it has to.
fn says(wanted: &TextMatch, value: &str, part: bool) -> bool {
    match wanted {
        TextMatch::Exact(text) => value == text,
        TextMatch::Prefix(text) => value.starts_with(text),
        TextMatch::Regex(text) => {
            let whole = if part { text.clone() } else { format!("^(?:{text})$") };
            regex::Regex::new(&whole).is_ok_and(|regex| regex.is_match(value))
        }
        _ => false,
    }
}
