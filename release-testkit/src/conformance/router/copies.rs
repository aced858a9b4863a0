//! The case of copies of some requests alone: new in V2. A published list is never changed.

use release_core::model::{Digest, HeaderMatch, Mirror, RequestMatch, TextMatch, TrafficRules};
use release_providers::{ErrorKind, Splitting};

use super::rules::{Client, FEW, HEADER, all_from, goes_by_half, lacks};
use super::{Ask, RouterSandbox};
use crate::conformance::{Case, Check, Sandbox as _, broken, case};

/// Where no service has anything.
const NOWHERE: &str = "/release-suite/nowhere";

pub(super) const NEW_IN_V2: &[Case<RouterSandbox>] = &[case!(
    copies_are_picked,
    "copies are made of the requests alone that one of the matches fits, with its method, its path and all of its headers; whom \
     they go to is decided as for all others. A way to match methods and paths that is not supported is refused \
     (`Unsupported`), with no effect",
    |sandbox| lacks(sandbox, sandbox.picks_copies(), Client::HearsAndCounts)
)];

/// Copies of all requests that one of these fits.
pub(super) fn copies_of(to: Digest, only: impl IntoIterator<Item = RequestMatch>) -> TrafficRules {
    let mirror = Some(Mirror::new(to, 100).with_only(only));
    TrafficRules { mirror, ..TrafficRules::default() }
}

fn saying(value: TextMatch) -> RequestMatch {
    let headers = vec![HeaderMatch { name: HEADER.into(), value }];
    RequestMatch { headers, ..RequestMatch::default() }
}

fn is(value: &str) -> RequestMatch {
    RequestMatch::header(HEADER, value)
}

/// What all routers that pick copies are able to match. Every request is a `GET`.
fn of_all_routers() -> Vec<RequestMatch> {
    let nowhere = || TextMatch::Exact(NOWHERE.into());
    let both = vec![HeaderMatch::exact("x-suite-a", "1"), HeaderMatch::exact("x-suite-b", "2")];
    vec![
        RequestMatch::default().with_method("POST"),
        RequestMatch::default().with_path(nowhere()),
        is("yes").with_method("GET"),
        is("posted").with_method("POST"),
        is("elsewhere").with_path(nowhere()),
        saying(TextMatch::Prefix("beta-".into())).with_path(TextMatch::Prefix("/".into())),
        saying(TextMatch::Regex("[0-9]+|(v[.])?x y".into())),
        RequestMatch { headers: both, ..RequestMatch::default() },
    ]
}

/// What some routers are able to match besides.
fn of_some_routers() -> Vec<RequestMatch> {
    let regex = |text: &str| TextMatch::Regex(text.into());
    vec![
        is("yes").with_path(regex("/.*")),
        is("part").with_path(regex("[^/]*")),
        is("elsewhere").with_path(TextMatch::Prefix("/release-suite/".into())),
        RequestMatch { method: Some(regex("GET|HEAD")), ..is("17") },
        RequestMatch { method: Some(regex("G|E|T")), ..is("letter") },
        RequestMatch { method: Some(TextMatch::Prefix("GE".into())), ..is("beta-7") },
    ]
}

async fn copies_are_picked(sandbox: &RouterSandbox) -> Check {
    let (old, [first, second]) = (sandbox.all_old(), sandbox.digests());
    let one = |value: &str| Ask::plain().with(HEADER, value);
    let pair = |b: &str| Ask::plain().with("x-suite-a", "1").with("x-suite-b", b);
    let rules = copies_of(second, of_all_routers());
    sandbox.set_by(&old, Some(&rules)).await?;
    let picked = [one("yes"), one("beta-7"), one("17"), one("v.x y"), pair("2")];
    let others = [
        Ask::plain(),
        one("Yes"),
        one("yes2"),
        one("posted"),
        one("elsewhere"),
        one("a-beta-7"),
        one("a17b"),
        pair("3"),
        Ask::plain().with("x-other", "yes"),
    ];
    copied(sandbox, first, &picked, &others).await?;
    if sandbox.abilities().traffic_router.splitting == Splitting::Shares {
        sandbox.set_by(&sandbox.shares(50, 50), Some(&rules)).await?;
        goes_by_half(sandbox, &one("yes")).await?;
        sandbox.set_by(&old, Some(&rules)).await?;
    }
    let more = copies_of(second, of_some_routers());
    let wish = sandbox.request(&old).by(Some(more.clone()));
    match sandbox.provider.set_weights(&sandbox.context(), wish).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            sandbox.in_effect_by_now(&old, Some(&rules)).await
        }
        _ => {
            sandbox.set_by(&old, Some(&more)).await?;
            let others = [Ask::plain(), one("part"), one("elsewhere"), one("letter")];
            copied(sandbox, first, &[one("yes"), one("17"), one("beta-7")], &others).await
        }
    }
}

/// Demands that requests of one kind are copied, and those of the other are not: they are sent by turns, so that copies nobody asked
/// for have long arrived when the last of the others do.
async fn copied(sandbox: &RouterSandbox, by: Digest, picked: &[Ask], others: &[Ask]) -> Check {
    let [_, second] = sandbox.digests();
    let before = sandbox.arrivals_at(second, None).await?;
    let (mut sent, mut wanted, mut arrived) = (0, 0, 0);
    for _ in 0..FEW {
        for (ask, copies) in
            others.iter().map(|ask| (ask, 0)).chain(picked.iter().map(|ask| (ask, 1)))
        {
            all_from(by, &sandbox.ask(ask).await?)?;
            sent += 1;
            wanted += copies;
        }
        let so = sandbox.common().until(async || {
            arrived = sandbox.arrivals_at(second, None).await?.saturating_sub(before);
            Ok(if arrived >= wanted { Ok(()) } else { Err(()) })
        });
        if so.await?.is_err() || arrived > wanted {
            let expected =
                format!("{wanted} copies, of each of {picked:?} and of none of {others:?}");
            return Err(broken(expected, format!("{arrived} arrived")));
        }
    }
    if sandbox.counts() && sandbox.served().await? != [sent, 0] {
        let expected = format!("{sent} requests served by the first version alone");
        return Err(broken(expected, format!("{:?} were", sandbox.served().await?)));
    }
    Ok(())
}
