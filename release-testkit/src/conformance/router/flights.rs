//! The cases of requests that are under way, and of rules that are long: new in V2. A published list is never changed.

use std::fmt;

use release_core::model::{
    Affinity, Digest, HeaderMatch, HeaderRoute, HeaderRule, TextMatch, TrafficRules,
};
use release_core::plan::Weight;
use release_providers::Splitting;
use release_providers::spi::TrafficStatus;

use super::client::kept;
use super::rules::all_go_to;
use super::{Ask, Heard, RouterSandbox};
use crate::conformance::{Broken, Case, Check, Hook, HookError, Sandbox as _, broken, case, hook};

/// As long as names of cookies are in the wild.
const LONG_COOKIE: &str = "release-suite-cookie-with-forty-letters-";
const TRACK: &str = "suite";
const HEADER: &str = "x-release-suite";
/// So many requests find a version that has half of them, but for one time in a million.
const MANY: u32 = 24;

pub(super) const NEW_IN_V2: &[Case<RouterSandbox>] = &[
    case!(
        flights_are_told,
        "where `counts_in_flight` is declared, `observe` tells of every request that a version has not finished, also of one \
         that lost its share; where it is not, of none",
        |sandbox| {
            let counts = sandbox.abilities().traffic_router.counts_in_flight;
            (counts && sandbox.holding.is_none()).then_some("request that can be held")
        }
    ),
    case!(
        long_rules_hold,
        "a cookie with a long name keeps clients, also with instances on a track, and a long expression picks requests",
        |sandbox| {
            let divides = sandbox.abilities().traffic_router.splitting == Splitting::Shares;
            let apart = sandbox.abilities().tracks && sandbox.can_deploy();
            if !(sandbox.keeps_clients() && sandbox.routes_headers() && divides && apart) {
                return Some("such rules and tracks, of which one is not declared");
            }
            (!sandbox.can_ask()).then_some("clients that send headers and hear who answers")
        }
    ),
];

/// How a request is begun, and how it is finished.
#[derive(Clone)]
pub(super) struct Holding {
    begin: Hook<(), ()>,
    finish: Hook<(), Heard>,
}

impl fmt::Debug for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Holding")
    }
}

impl RouterSandbox {
    /// Says how one request is begun, of which an instance has a part and waits for the rest, such as half of the body of a
    /// `POST`; and how it is finished, and who answered. Without it the case about requests under way is skipped where
    /// they are declared to be counted.
    pub fn holding<B, F>(
        mut self,
        begin: impl Fn() -> B + Send + Sync + 'static,
        finish: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        B: Future<Output = Result<(), HookError>> + Send + 'static,
        F: Future<Output = Result<Heard, HookError>> + Send + 'static,
    {
        let (begin, finish) = (hook(move |()| begin()), hook(move |()| finish()));
        self.holding = Some(Holding { begin, finish });
        self
    }

    async fn begin(&self) -> Check {
        let Some(holding) = &self.holding else { return Ok(()) };
        (holding.begin)(()).await.map_err(|error| broken("a request that begins", error))
    }

    async fn finish(&self) -> Result<Option<Heard>, Broken> {
        let Some(holding) = &self.holding else { return Ok(None) };
        let heard = (holding.finish)(()).await;
        heard.map(Some).map_err(|error| broken("an answer to a request that began before", error))
    }

    /// Waits until exactly so many requests of each version are under way.
    async fn until_flying(&self, wanted: [u64; 2]) -> Check {
        let seen = self.common().until(async || {
            let seen = self.flying(&self.look().await?);
            Ok(if seen == wanted { Ok(()) } else { Err(seen) })
        });
        seen.await?.map_err(|seen| flights(wanted, seen))
    }

    /// Demands it of now.
    async fn flying_now(&self, wanted: [u64; 2]) -> Check {
        let seen = self.flying(&self.look().await?);
        if seen == wanted { Ok(()) } else { Err(flights(wanted, seen)) }
    }

    fn flying(&self, status: &TrafficStatus) -> [u64; 2] {
        self.digests().map(|digest| status.in_flight_of(digest, None))
    }
}

fn flights(wanted: [u64; 2], seen: [u64; 2]) -> Broken {
    let expected = format!("{wanted:?} requests of the versions under way");
    broken(expected, format!("{seen:?} are told"))
}

async fn flights_are_told(sandbox: &RouterSandbox) -> Check {
    let (old, [first, _]) = (sandbox.all_old(), sandbox.digests());
    let new = sandbox.shares(0, 100).split_off(1);
    sandbox.set(&old).await?;
    sandbox.begin().await?;
    if !sandbox.abilities().traffic_router.counts_in_flight {
        let told = sandbox.look().await?.flights;
        sandbox.finish().await?;
        return if told.is_empty() {
            Ok(())
        } else {
            Err(broken("no flights, which are not declared", format!("{told:?}")))
        };
    }
    sandbox.until_flying([1, 0]).await?;
    // Whatever becomes of the shares, it is under way until it is answered.
    for shares in [&new, &old, &new] {
        sandbox.set(shares).await?;
        sandbox.flying_now([1, 0]).await?;
    }
    if let Some(heard) = sandbox.finish().await?.filter(|heard| heard.from != first) {
        let expected = format!("an answer of {}, where it began", first.short());
        return Err(broken(expected, format!("{} answered", heard.from.short())));
    }
    sandbox.until_flying([0, 0]).await
}

async fn long_rules_hold(sandbox: &RouterSandbox) -> Check {
    let (track, [first, second]) = (crate::fixtures::literal(TRACK), sandbox.digests());
    sandbox.set(&sandbox.all_old()).await?;
    sandbox.start_on(&track).await?;
    let pattern = "[0-9a-f]{64}|(?:v[0-9]{1,20}[.]?){1,20}";
    let value = TextMatch::Regex(pattern.into());
    let rule = HeaderRule { matches: vec![HeaderMatch { name: HEADER.into(), value }] };
    let rules = TrafficRules {
        headers: vec![HeaderRoute { rule, to: second }],
        mirror: None,
        affinity: Some(Affinity::new(LONG_COOKIE)),
    };
    let [old, new] = sandbox
        .subjects
        .each_ref()
        .map(|subject| Weight::new(subject.artifact.digest(), subject.version.clone(), 50));
    sandbox.set_by(&[old.on(track), new], Some(&rules)).await?;
    for version in [first, second] {
        let client = client_of(sandbox, version).await?;
        all_go_to(sandbox, "a client that has its cookie", &client, version).await?;
    }
    for value in ["0123456789abcdef".repeat(4), "v1.".repeat(20)] {
        let ask = Ask::plain().with(HEADER, value);
        all_go_to(sandbox, "a request that a long expression fits", &ask, second).await?;
    }
    sandbox.set(&sandbox.all_old()).await
}

/// Somebody whom a version answered, and told to keep its cookie.
async fn client_of(sandbox: &RouterSandbox, version: Digest) -> Result<Ask, Broken> {
    for _ in 0..MANY {
        let heard = sandbox.ask(&Ask::plain()).await?;
        if let Some(client) = kept(&heard, LONG_COOKIE).filter(|_| heard.from == version) {
            return Ok(client);
        }
    }
    let expected = format!("{} to set a cookie `{LONG_COOKIE}` with a `Max-Age`", version.short());
    Err(broken(expected, format!("none of {MANY} answers did")))
}
