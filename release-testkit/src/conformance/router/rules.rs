//! The cases of what routers do beside dividing by shares: new in V2. A published list is never changed.

use std::collections::BTreeMap;

use release_core::model::{
    Affinity, Digest, HeaderMatch, HeaderRoute, HeaderRule, Mirror, RequestMatch, TextMatch,
    TrackId, TrafficRules,
};
use release_core::plan::Weight;
use release_providers::spi::SetWeights;
use release_providers::{ErrorKind, Splitting};

use super::client::kept;
use super::copies::copies_of;
use super::sandbox::{same_shares, show};
use super::{Ask, Heard, Hurt, RouterSandbox};
use crate::conformance::{Broken, Case, Check, Sandbox as _, broken, case, interrupt, refused};

/// Requests by which shares are measured: half of them lie within [`TOLERANCE`] of their mean by six standard deviations,
/// should a router draw lots: √(200 × 0.5 × 0.5) = 7.1.
const REQUESTS: u64 = 200;
const TOLERANCE: u64 = 43;
/// Requests by which it is seen that all of a kind go one way.
pub(super) const FEW: u64 = 12;
pub(super) const HEADER: &str = "x-release-suite";
const COOKIE: &str = "release-suite";
const TRACK: &str = "suite";

pub(super) const NEW_IN_V2: &[Case<RouterSandbox>] = &[
    case!(
        undeclared_rules_are_refused,
        "rules and tracks that are not declared are refused (`Unsupported`), with no effect; declared ones are not"
    ),
    case!(
        header_routes_pick_requests,
        "a request that a header route picks goes to its version also where that has no share; all others go by shares",
        |sandbox| lacks(sandbox, sandbox.routes_headers(), Client::Hears)
    ),
    case!(
        rules_replace_rules,
        "rules replace all earlier ones, also beside the same shares; the same again change nothing",
        |sandbox| lacks(sandbox, sandbox.routes_headers(), Client::Hears)
    ),
    case!(
        rules_and_shares_change_together,
        "rules take effect with the shares, together or not at all",
        |sandbox| lacks(sandbox, sandbox.routes_headers(), Client::Hears)
    ),
    case!(
        copies_reach_nobody,
        "so many copies of requests arrive as were asked for, and what a copy is answered reaches nobody",
        |sandbox| lacks(sandbox, sandbox.mirrors(), Client::HearsAndCounts)
    ),
    case!(
        copies_harm_no_request,
        "a copy that fails, or is not answered, harms no request",
        |sandbox| {
            let harmless = (!sandbox.can_hurt()).then_some("way to hurt a version");
            lacks(sandbox, sandbox.mirrors(), Client::Hears).or(harmless)
        }
    ),
    case!(
        clients_stay,
        "who has a cookie stays with its version; who has none, or one of a version without a share, goes by shares",
        |sandbox| {
            let divides = sandbox.abilities().traffic_router.splitting == Splitting::Shares;
            lacks(sandbox, sandbox.keeps_clients() && divides, Client::Hears)
        }
    ),
    case!(
        clients_stay_with_one,
        "where one version keeps clients, whoever it answered stays while its share grows and shrinks, as long as it has one; \
         all others go by shares, get no cookie of another version, and one that they have counts for nothing",
        |sandbox| {
            let divides = sandbox.abilities().traffic_router.splitting == Splitting::Shares;
            lacks(sandbox, sandbox.keeps_clients_of_one() && divides, Client::Hears)
        }
    ),
    case!(
        tracks_are_apart,
        "a share for a track reaches the instances of that track, and no others; it is told so",
        |sandbox| {
            let alone =
                (!sandbox.can_deploy()).then_some("deployer, to start instances on a track");
            lacks(sandbox, sandbox.abilities().tracks, Client::HearsAndCounts).or(alone)
        }
    ),
];

/// What a case needs of the sandbox's clients.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Hears,
    HearsAndCounts,
}

/// What is missing for a case about something that routers need not do.
pub(super) fn lacks(
    sandbox: &RouterSandbox,
    declared: bool,
    client: Client,
) -> Option<&'static str> {
    if !declared {
        return Some("such rules, which are not declared");
    }
    if !sandbox.can_ask() {
        return Some("clients that send headers and hear who answers");
    }
    (client == Client::HearsAndCounts && !sandbox.can_count_arrivals())
        .then_some("count of what arrives at instances")
}

fn routes(all: impl IntoIterator<Item = (HeaderRule, Digest)>) -> TrafficRules {
    let headers = all.into_iter().map(|(rule, to)| HeaderRoute { rule, to }).collect();
    TrafficRules { headers, ..TrafficRules::default() }
}

fn saying(value: TextMatch) -> HeaderRule {
    HeaderRule { matches: vec![HeaderMatch { name: HEADER.into(), value }] }
}

fn yes() -> HeaderRule {
    HeaderRule::exact(HEADER, "yes")
}

async fn undeclared_rules_are_refused(sandbox: &RouterSandbox) -> Check {
    let (old, [first, second]) = (sandbox.all_old(), sandbox.digests());
    sandbox.set(&old).await?;
    let staying = |affinity| TrafficRules { affinity: Some(affinity), ..TrafficRules::default() };
    let (all, one) = (Affinity::new(COOKIE), Affinity::new(COOKIE).with_only(second));
    let mirror = Some(Mirror::new(second, 10));
    let some = copies_of(second, [RequestMatch::header(HEADER, "yes").with_method("GET")]);
    let rules = [
        ("a header route", sandbox.routes_headers(), routes([(yes(), second)])),
        ("a mirror", sandbox.mirrors(), TrafficRules { mirror, ..TrafficRules::default() }),
        ("a mirror of some requests", sandbox.picks_copies(), some),
        ("affinity", sandbox.keeps_clients(), staying(all)),
        ("affinity to one version", sandbox.keeps_clients_of_one(), staying(one)),
    ];
    for (what, declared, rules) in rules {
        if declared {
            sandbox.set_by(&old, Some(&rules)).await?;
            sandbox.set(&old).await?;
            continue;
        }
        let wish = sandbox.request(&old).by(Some(rules));
        undeclared(sandbox, what, wish).await?;
        sandbox.in_effect_by_now(&old, None).await?;
    }
    if !sandbox.abilities().tracks {
        let mut apart = Weight::new(first, old_version(sandbox), 100);
        apart.track = Some(crate::fixtures::literal(TRACK));
        undeclared(sandbox, "a share of a track", sandbox.request(&[apart])).await?;
        sandbox.in_effect_by_now(&old, None).await?;
    }
    Ok(())
}

fn old_version(sandbox: &RouterSandbox) -> semver::Version {
    let [first, _] = &sandbox.subjects;
    first.version.clone()
}

async fn undeclared(sandbox: &RouterSandbox, what: &str, wish: SetWeights) -> Check {
    let answer = sandbox.provider.set_weights(&sandbox.context(), wish).await;
    refused(&format!("{what}, which is not declared"), answer, ErrorKind::Unsupported)
}

/// Demands that all of a few such requests are answered by one version.
pub(super) async fn all_go_to(sandbox: &RouterSandbox, what: &str, ask: &Ask, to: Digest) -> Check {
    for _ in 0..FEW {
        let heard = sandbox.ask(ask).await?;
        if heard.from != to {
            let expected = format!("{what} to be answered by {}", to.short());
            return Err(broken(expected, format!("{} answered", heard.from.short())));
        }
    }
    Ok(())
}

async fn header_routes_pick_requests(sandbox: &RouterSandbox) -> Check {
    let (old, [first, second]) = (sandbox.all_old(), sandbox.digests());
    let both = HeaderRule {
        matches: vec![HeaderMatch::exact("x-suite-a", "1"), HeaderMatch::exact("x-suite-b", "2")],
    };
    let rules = routes([
        (HeaderRule::exact(HEADER, "beta-old"), first),
        (yes(), second),
        (saying(TextMatch::Prefix("beta-".into())), second),
        (saying(TextMatch::Regex("[0-9]+|(v[.])?x y".into())), second),
        (both, second),
    ]);
    sandbox.set_by(&old, Some(&rules)).await?;
    let one = |value: &str| Ask::plain().with(HEADER, value);
    let pair = |a: &str, b: &str| Ask::plain().with("x-suite-a", a).with("x-suite-b", b);
    let cases = [
        ("a request without headers", Ask::plain(), first),
        ("a request that says all of it", one("yes"), second),
        ("one that says it in other letters", one("Yes"), first),
        ("one that says more", one("yes2"), first),
        ("one whose other header says it", Ask::plain().with("x-other", "yes"), first),
        ("one that begins so", one("beta-7"), second),
        ("one that the first of two rules fits", one("beta-old"), first),
        ("one that has it in the middle", one("a-beta-7"), first),
        ("one that the expression fits", one("17"), second),
        ("one that its other half fits", one("v.x y"), second),
        ("one of which the expression fits a part", one("a17b"), first),
        ("one that says both", pair("1", "2"), second),
        ("one that says one of both", pair("1", "3"), first),
        ("one that says the other of both", pair("3", "2"), first),
    ];
    for (what, ask, to) in &cases {
        all_go_to(sandbox, what, ask, *to).await?;
    }
    if sandbox.abilities().traffic_router.splitting != Splitting::Shares {
        return Ok(());
    }
    // Who is picked is not counted among those who go by shares.
    sandbox.set_by(&sandbox.shares(50, 50), Some(&rules)).await?;
    all_go_to(sandbox, "a request that is picked", &one("yes"), second).await?;
    goes_by_half(sandbox, &one("no")).await.map(drop)
}

/// Demands that such requests go to both versions alike; tells how many went to the second.
pub(super) async fn goes_by_half(sandbox: &RouterSandbox, ask: &Ask) -> Result<u64, Broken> {
    let [_, second] = sandbox.digests();
    let mut to_second = 0;
    for _ in 0..REQUESTS {
        to_second += u64::from(sandbox.ask(ask).await?.from == second);
    }
    by_half(to_second).map(|()| to_second)
}

fn by_half(answered: u64) -> Check {
    if answered.abs_diff(REQUESTS / 2) <= TOLERANCE {
        return Ok(());
    }
    let expected = format!("about {} of {REQUESTS} requests for 50 %", REQUESTS / 2);
    Err(broken(expected, format!("{answered} were")))
}

async fn rules_replace_rules(sandbox: &RouterSandbox) -> Check {
    let (old, [first, second]) = (sandbox.all_old(), sandbox.digests());
    let ask = Ask::plain().with(HEADER, "yes");
    let one = routes([(yes(), second)]);
    let other = routes([(saying(TextMatch::Prefix("no".into())), second)]);
    sandbox.set_by(&old, Some(&one)).await?;
    all_go_to(sandbox, "a request that is picked", &ask, second).await?;
    let before = sandbox.served().await?;
    sandbox.set_by(&old, Some(&one)).await?;
    let after = sandbox.served().await?;
    if before != after {
        let expected = format!("{before:?} served requests, as before");
        return Err(broken(expected, format!("now it counts {after:?}")));
    }
    sandbox.set_by(&old, Some(&other)).await?;
    all_go_to(sandbox, "a request that is picked no more", &ask, first).await?;
    sandbox.set_by(&old, Some(&one)).await?;
    all_go_to(sandbox, "a request that is picked again", &ask, second).await?;
    sandbox.set_by(&old, None).await?;
    all_go_to(sandbox, "a request without rules", &ask, first).await
}

/// With the rule all such requests go to the second version, and with all traffic they do: whatever else they see is half of a
/// change.
async fn rules_and_shares_change_together(sandbox: &RouterSandbox) -> Check {
    let [_, second] = sandbox.digests();
    let picked = (sandbox.all_old(), Some(routes([(yes(), second)])));
    let whole = (sandbox.shares(0, 100).split_off(1), None);
    let ask = Ask::plain().with(HEADER, "yes");
    sandbox.set_by(&picked.0, picked.1.as_ref()).await?;
    let changing = std::cell::Cell::new(true);
    let changes = async {
        for round in 0..8 {
            for (weights, rules) in [&whole, &picked] {
                let (cx, wish) = (sandbox.context(), sandbox.request(weights).by(rules.clone()));
                interrupt(sandbox.provider.set_weights(&cx, wish), round).await;
                let seen = sandbox.look().await?;
                let is = |(weights, rules): &(Vec<Weight>, Option<TrafficRules>)| {
                    same_shares(&seen.weights, weights) && seen.rules == *rules
                };
                if !is(&whole) && !is(&picked) {
                    let observed = format!("{}, {:?}", show(&seen.weights), seen.rules);
                    return Err(broken("the old shares and rules, or the new ones", observed));
                }
                sandbox.set_by(weights, rules.as_ref()).await?;
            }
        }
        changing.set(false);
        Ok::<_, Broken>(())
    };
    let requests = async {
        while changing.get() {
            all_go_to(sandbox, "a request that is picked before and after", &ask, second).await?;
            tokio::task::yield_now().await;
        }
        Ok::<_, Broken>(())
    };
    tokio::try_join!(changes, requests).map(drop)
}

async fn copies_reach_nobody(sandbox: &RouterSandbox) -> Check {
    let (old, [first, second]) = (sandbox.all_old(), sandbox.digests());
    for percent in [100, 50] {
        let mirror = Some(Mirror::new(second, percent));
        let rules = TrafficRules { mirror, ..TrafficRules::default() };
        sandbox.set_by(&old, Some(&rules)).await?;
        let before = sandbox.arrivals_at(second, None).await?;
        for _ in 0..REQUESTS {
            all_from(first, &sandbox.ask(&Ask::plain()).await?)?;
        }
        let wanted = REQUESTS * u64::from(percent) / 100;
        let tolerance = if percent == 100 { 0 } else { TOLERANCE };
        let mut copies = 0;
        let so = sandbox.common().until(async || {
            copies = sandbox.arrivals_at(second, None).await?.saturating_sub(before);
            Ok(if copies.abs_diff(wanted) <= tolerance { Ok(()) } else { Err(()) })
        });
        if so.await?.is_err() {
            let expected = format!("about {wanted} copies of {REQUESTS} requests for {percent} %");
            return Err(broken(expected, format!("{copies} arrived")));
        }
        if sandbox.counts() && sandbox.served().await? != [REQUESTS, 0] {
            let expected = format!("{REQUESTS} requests served by the first version alone");
            return Err(broken(expected, format!("{:?} were", sandbox.served().await?)));
        }
    }
    Ok(())
}

pub(super) fn all_from(from: Digest, heard: &Heard) -> Check {
    if heard.from == from {
        return Ok(());
    }
    let expected = format!("an answer of {}, which has all traffic", from.short());
    Err(broken(expected, format!("{} answered", heard.from.short())))
}

async fn copies_harm_no_request(sandbox: &RouterSandbox) -> Check {
    let (old, [first, second]) = (sandbox.all_old(), sandbox.digests());
    let mirror = Some(Mirror::new(second, 100));
    let rules = TrafficRules { mirror, ..TrafficRules::default() };
    sandbox.set_by(&old, Some(&rules)).await?;
    for hurt in [Hurt::Silent, Hurt::Healed, Hurt::Gone, Hurt::Healed] {
        sandbox.hurt(hurt).await?;
        let asked = sandbox.common().clock.now();
        for _ in 0..FEW {
            all_from(first, &sandbox.ask(&Ask::plain()).await?)?;
        }
        let took = sandbox.common().clock.now().since(asked);
        if took > sandbox.common().patience {
            let expected = format!("{FEW} answers within {}", sandbox.common().patience);
            return Err(broken(expected, format!("they took {took} while copies were {hurt:?}")));
        }
    }
    Ok(())
}

async fn clients_stay(sandbox: &RouterSandbox) -> Check {
    let [first, second] = sandbox.digests();
    let affinity = Some(Affinity::new(COOKIE));
    let rules = TrafficRules { affinity, ..TrafficRules::default() };
    sandbox.set_by(&sandbox.shares(50, 50), Some(&rules)).await?;
    let mut clients = BTreeMap::new();
    for _ in 0..REQUESTS {
        let heard = sandbox.ask(&Ask::plain()).await?;
        if let Some(client) = kept(&heard, COOKIE) {
            clients.insert(heard.from, client);
        }
    }
    let (Some(old), Some(new)) = (clients.get(&first), clients.get(&second)) else {
        let expected = format!("both versions to set a cookie `{COOKIE}` with a `Max-Age`");
        return Err(broken(expected, format!("{} did", clients.len())));
    };
    for percent in [50, 90, 1] {
        sandbox.set_by(&sandbox.shares(100 - percent, percent), Some(&rules)).await?;
        all_go_to(sandbox, "a client of the first version", old, first).await?;
        all_go_to(sandbox, "a client of the second version", new, second).await?;
    }
    sandbox.set_by(&sandbox.shares(50, 50), Some(&rules)).await?;
    goes_by_half(sandbox, &Ask::plain()).await?;
    goes_by_half(sandbox, &Ask::plain().with("cookie", format!("{COOKIE}=garbage"))).await?;
    sandbox.set_by(&sandbox.all_old(), Some(&rules)).await?;
    all_go_to(sandbox, "a client of a version without a share", new, first).await?;
    sandbox.set(&sandbox.shares(50, 50)).await?;
    goes_by_half(sandbox, new).await.map(drop)
}

async fn clients_stay_with_one(sandbox: &RouterSandbox) -> Check {
    let [first, second] = sandbox.digests();
    let half = sandbox.shares(50, 50);
    let only = |one| {
        let affinity = Some(Affinity::new(COOKIE).with_only(one));
        TrafficRules { affinity, ..TrafficRules::default() }
    };
    // As of an earlier release, whose new version is the old one by now.
    sandbox.set_by(&half, Some(&only(first))).await?;
    let old = client_of_one(sandbox, &Ask::plain(), first).await?;
    let rules = only(second);
    sandbox.set_by(&half, Some(&rules)).await?;
    let mut clients = Vec::new();
    for ask in [Ask::plain(), old] {
        clients.push(client_of_one(sandbox, &ask, second).await?);
    }
    for percent in [50, 90, 1] {
        sandbox.set_by(&sandbox.shares(100 - percent, percent), Some(&rules)).await?;
        for client in &clients {
            all_go_to(sandbox, "a client of the version that keeps its own", client, second)
                .await?;
        }
    }
    sandbox.set_by(&sandbox.all_old(), Some(&rules)).await?;
    for client in &clients {
        all_go_to(sandbox, "a client of a version without a share", client, first).await?;
    }
    sandbox.set(&half).await?;
    for client in &clients {
        goes_by_half(sandbox, client).await?;
    }
    Ok(())
}

/// Demands that such requests are not kept: they go to both versions alike, and with every answer that version alone, the only
/// one that keeps clients, sets a cookie. Tells one of its clients.
async fn client_of_one(sandbox: &RouterSandbox, ask: &Ask, one: Digest) -> Result<Ask, Broken> {
    let (mut client, mut of_one) = (None, 0);
    for _ in 0..REQUESTS {
        let heard = sandbox.ask(ask).await?;
        let set = heard.cookies.iter().any(|cookie| cookie.starts_with(&format!("{COOKIE}=")));
        if heard.from != one {
            if set {
                let expected = format!("no cookie `{COOKIE}` of a version that keeps no clients");
                return Err(broken(expected, format!("{:?}", heard.cookies)));
            }
            continue;
        }
        of_one += 1;
        client = kept(&heard, COOKIE);
        if client.is_none() {
            let expected = format!("{} to set a cookie `{COOKIE}` with a `Max-Age`", one.short());
            return Err(broken(expected, format!("{:?}", heard.cookies)));
        }
    }
    by_half(of_one)?;
    client.ok_or_else(|| broken(format!("an answer of {}", one.short()), "there was none"))
}

/// What has come to instances of the first version: to those without a track, and to those on it.
async fn arrived(sandbox: &RouterSandbox, track: &TrackId) -> Result<[u64; 2], Broken> {
    let [first, _] = sandbox.digests();
    let others = sandbox.arrivals_at(first, None).await?;
    Ok([others, sandbox.arrivals_at(first, Some(track)).await?])
}

async fn tracks_are_apart(sandbox: &RouterSandbox) -> Check {
    let (track, [first, _]) = (crate::fixtures::literal(TRACK), sandbox.digests());
    let share = |percent| Weight::new(first, old_version(sandbox), percent);
    let apart = |percent| share(percent).on(crate::fixtures::literal(TRACK));
    sandbox.set(&sandbox.all_old()).await?;
    let answer =
        sandbox.provider.set_weights(&sandbox.context(), sandbox.request(&[apart(100)])).await;
    refused("a track on which nothing runs", answer, ErrorKind::NotFound)?;
    sandbox.start_on(&track).await?;
    let half = REQUESTS / 2;
    let mut rounds = vec![(vec![apart(100)], [REQUESTS, REQUESTS]), (vec![share(100)], [0, 0])];
    if sandbox.abilities().traffic_router.splitting == Splitting::Shares {
        rounds.push((vec![share(50), apart(50)], [half - TOLERANCE, half + TOLERANCE]));
    }
    for (weights, on_track) in rounds {
        sandbox.set_by(&weights, None).await?;
        let before = arrived(sandbox, &track).await?;
        for _ in 0..REQUESTS {
            sandbox.ask(&Ask::plain()).await?;
        }
        let after = arrived(sandbox, &track).await?;
        let ([others, own], [others_after, own_after]) = (before, after);
        let others = others_after.saturating_sub(others);
        let own = own_after.saturating_sub(own);
        let [least, most] = on_track;
        if !(least..=most).contains(&own) || own + others != REQUESTS {
            let expected = format!("{least} to {most} of {REQUESTS} requests on the track");
            return Err(broken(expected, format!("{own} came there, and {others} elsewhere")));
        }
        if sandbox.counts() && sandbox.served().await? != [REQUESTS, 0] {
            let expected = format!("{REQUESTS} requests counted for the version");
            return Err(broken(expected, format!("{:?} are", sandbox.served().await?)));
        }
    }
    sandbox.set(&sandbox.all_old()).await
}
