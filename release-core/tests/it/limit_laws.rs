//! F35: what holds of limits whatever happens: never exceeded, fair, and nobody waits for ever.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use release_core::limits::{Class, Limit, Limits, LimitsFile, Share};
use release_core::model::Span;

use super::support::desk::{Desk, limits, request, sweep};
use super::support::samples::id;

const LIMITS: [&str; 4] = ["all", "prod", "team", "db"];
const TEAMS: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("c")];

fn share(team: &str, weight: u32, guaranteed: u32) -> Share {
    Share { team: id(team), weight, guaranteed }
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let one = (1_u32..6, 0_u32..3, any::<bool>(), 1_u32..4, 0_u32..3);
    vec(one, LIMITS.len()).prop_map(|drawn| {
        let make = |(name, drawn): (&&str, (u32, u32, bool, u32, u32))| {
            let (capacity, rollback_reserve, lend, weight, guaranteed) = drawn;
            let guaranteed = guaranteed.min(capacity - u32::from(!lend));
            let shares = vec![share("a", weight, guaranteed)];
            Limit { rollback_reserve, lend, shares, ..Limit::new(id(name), capacity) }
        };
        limits(LIMITS.iter().zip(drawn).map(make).collect())
    })
}

/// What one contender wants: limits (as bits), team, class, when it comes and how long it takes.
type Contender = (u8, usize, u8, u64, u64);

fn contenders(count: usize) -> impl Strategy<Value = Vec<Contender>> {
    vec((1_u8..16, 0_usize..4, 0_u8..10, 0_u64..600, 1_u64..30), count)
}

/// Lets all of them come, wait, hold and go.
fn contend(limits: &Limits, contenders: &[Contender]) -> Desk {
    let mut desk = Desk::new(limits.clone());
    let mut events: BTreeSet<(u64, bool, usize)> = BTreeSet::new();
    events.extend(contenders.iter().enumerate().map(|(nth, c)| (c.3, true, nth)));
    let (mut waited, mut begun) = (0, 0);
    while let Some((second, comes, nth)) = events.pop_first() {
        desk.now = super::support::world::START.plus(Span::secs(second));
        let (bits, team, class, ..) = contenders[nth];
        if comes {
            let of: Vec<_> =
                LIMITS.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).collect();
            let of: Vec<&str> = of.into_iter().map(|(_, name)| *name).collect();
            let class = match class {
                0 => Class::Rollback,
                1 | 2 => Class::Hotfix,
                _ => Class::Normal,
            };
            desk.ask(request(&format!("r{nth}"), TEAMS[team], class, &of));
        } else {
            desk.release(&format!("r{nth}"));
        }
        for granted in desk.grant() {
            let granted: usize = granted.run.as_str()[1..].parse().unwrap();
            events.insert((second + contenders[granted].4, false, granted));
            begun += 1;
        }
        waited = desk.ledger.queue_len().max(waited);
    }
    assert_eq!(begun, contenders.len(), "all got what they asked for, some day");
    assert_eq!((desk.ledger.queue_len(), desk.ledger.permits().len()), (0, 0));
    assert!(waited > 0 || contenders.len() < 100, "nobody ever waited");
    desk
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, max_shrink_iters: 32, ..ProptestConfig::default() })]

    #[test]
    fn f35_a_thousand_contenders_never_exceed_a_limit_and_all_get_their_turn(
        limits in any_limits(), contenders in contenders(1_000),
    ) {
        let desk = contend(&limits, &contenders);
        let most = sweep(&desk.log, &limits);
        for limit in limits.limits() {
            prop_assert!(most[&limit.id] >= limit.capacity, "`{}` was never full", limit.id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn f35_any_contenders_never_exceed_a_limit_and_all_get_their_turn(
        limits in any_limits(), contenders in (1_usize..60).prop_flat_map(contenders),
    ) {
        let desk = contend(&limits, &contenders);
        sweep(&desk.log, &limits);
    }

    /// Teams that all have more to do than they may share what there is by their weights: none is ever
    /// more than one turn of each other behind.
    #[test]
    fn f35_who_waits_shares_by_weight(weights in vec(1_u32..5, 2..4), capacity in 1_u32..4) {
        let shares = weights.iter().zip(TEAMS[1..].iter().flatten());
        let shares: Vec<_> = shares.map(|(weight, team)| share(team, *weight, 0)).collect();
        let teams: Vec<_> = shares.iter().map(|share| share.team.to_string()).collect();
        let mut desk = Desk::new(limits(vec![Limit { shares, ..Limit::new(id("all"), capacity) }]));
        let rounds = 12 * weights.iter().sum::<u32>();
        let mut nth = 0;
        let mut ask = |desk: &mut Desk, team: &str| {
            nth += 1;
            desk.ask(request(&format!("{team}-{nth}"), Some(team), Class::Normal, &["all"]));
        };
        for team in teams.iter().cycle().take(teams.len() * 5) {
            ask(&mut desk, team);
        }
        let mut got: BTreeMap<String, u32> = BTreeMap::new();
        let mut all = 0;
        let mut running = Vec::new();
        while all < rounds {
            let begun = desk.runs();
            for run in &begun {
                *got.entry(run[..1].to_owned()).or_default() += 1;
                all += 1;
                ask(&mut desk, &run[..1]); // it always has more to do
            }
            running.extend(begun);
            desk.release(&running.remove(0));
            let whole: u32 = weights.iter().sum();
            for (team, weight) in teams.iter().zip(&weights) {
                let fair = f64::from(all) * f64::from(*weight) / f64::from(whole);
                let has = f64::from(got.get(team).copied().unwrap_or(0));
                prop_assert!((has - fair).abs() <= f64::from(whole), "{got:?} of {weights:?}");
            }
        }
    }

    /// Neither a stream of hotfixes nor of small requests keeps anybody waiting for ever.
    #[test]
    fn f35_no_stream_starves_anybody(
        hotfixes in any::<bool>(), wide in any::<bool>(), patience in 1_u64..20, takes in 2_usize..5,
    ) {
        let file = LimitsFile {
            limits: vec![Limit::new(id("all"), 2), Limit::new(id("db"), 2)],
            patience: Span::secs(patience * 60),
            ..LimitsFile::default()
        };
        let mut desk = Desk::new(Limits::new(file).unwrap());
        let class = if hotfixes { Class::Hotfix } else { Class::Normal };
        let mut running: Vec<(u64, String)> = Vec::new();
        let mut served = None;
        for minute in 0..100_u64 {
            running.retain(|(until, run)| {
                if *until == minute {
                    desk.release(run);
                }
                *until != minute
            });
            // Another team's stream, that alone would keep both limits full for ever.
            for (nth, limit) in ["all", "db", "all", "db"].iter().enumerate() {
                let run = format!("{limit}-{minute}-{nth}");
                desk.ask(request(&run, Some("a"), class, &[limit]));
            }
            if minute == 3 {
                let of: &[&str] = if wide { &["all", "db"] } else { &["all"] };
                desk.ask(request("victim", Some("b"), Class::Normal, of));
            }
            for (run, nth) in desk.runs().into_iter().zip(0..) {
                if run == "victim" {
                    served = Some(minute);
                }
                running.push((minute + 1 + nth % takes as u64, run));
            }
            desk.pass(Span::secs(60));
        }
        let last = 3 + patience + 2 * takes as u64;
        prop_assert!(served.is_some_and(|minute| minute <= last), "{served:?}, not by {last}");
    }

    /// A rollback starts at once while the reserve is free, whoever waits or holds; and never beyond it.
    #[test]
    fn f35_a_rollback_waits_behind_nobody_but_the_floor_holds(
        capacity in 1_u32..4, reserve in 0_u32..4, others in 0_u32..8, rollbacks in 1_u32..8,
    ) {
        let limit = Limit { rollback_reserve: reserve, ..Limit::new(id("all"), capacity) };
        let mut desk = Desk::new(limits(vec![limit]));
        for nth in 0..others {
            let class = if nth % 2 == 0 { Class::Normal } else { Class::Hotfix };
            desk.ask(request(&format!("o{nth}"), None, class, &["all"]));
        }
        let holders = desk.runs();
        let normal = u32::try_from(holders.len()).unwrap();
        prop_assert_eq!(normal, others.min(capacity));
        for nth in 0..rollbacks {
            desk.ask(request(&format!("b{nth}"), None, Class::Rollback, &["all"]));
        }
        let at_once = u32::try_from(desk.grant().len()).unwrap();
        prop_assert_eq!(at_once, rollbacks.min(capacity + reserve - normal));
        // Those that wait come before all others that do.
        if at_once < rollbacks {
            desk.release(holders.first().map_or("b0", |run| run));
            let next = desk.runs();
            prop_assert_eq!(next, [format!("b{at_once}")]);
        }
        prop_assert!(desk.ledger.held(&id("all")) <= capacity + reserve);
    }
}
