//! Sampling and eligibility beside answers that are computed by brute force.

use std::collections::BTreeMap;

use proptest::prelude::*;
use release_policy::promotion::{
    Availability, Found, History, MAX_STAGES, Pipeline, PromotionFact, Sample, Sampling, Sources,
    Standing, Verdict, standings,
};

use crate::support::{
    at, entered, env, history, pending, pipeline, sample, secs, set, spec, stage, subject, verdict,
    verified,
};

const CHECKS: [&str; 2] = ["alerts", "bugs"];

fn any_found() -> impl Strategy<Value = Found> {
    prop_oneof![6 => Just(Found::Good), 1 => Just(Found::Bad), 1 => Just(Found::Unknown)]
}

/// Walks over every second and every sample in it. Pass, fail, or neither.
fn walk(seconds: [u64; 4], checks: usize, samples: &[Sample], now: i64) -> Option<bool> {
    let [delay, interval, steady, timeout] = seconds.map(|n| i64::try_from(n).unwrap());
    let (mut good, mut spoiled, mut done) = (vec![false; checks], false, false);
    let (mut streak, mut passed) = (None, false);
    for second in delay..=now {
        if (second - delay) % interval == 0 && second > delay {
            if !done || spoiled {
                (streak, passed) = (None, false);
            }
            (good, spoiled, done) = (vec![false; checks], false, false);
        }
        for sample in samples.iter().filter(|sample| sample.at == at(second)) {
            if sample.found != Found::Good {
                spoiled = true;
            }
            let check = CHECKS.iter().position(|name| sample.check.as_str() == *name).unwrap();
            good[check] = true;
        }
        if spoiled {
            (streak, passed) = (None, false);
        } else if !done && good.iter().all(|one| *one) {
            done = true;
            let begin = *streak.get_or_insert(second);
            passed |= second - begin >= steady && second < timeout;
        }
    }
    // A round that is under way and not complete does not end what was steady before it.
    if passed {
        Some(true)
    } else if now >= timeout {
        Some(false)
    } else {
        None
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]

    #[test]
    fn sampling_agrees_with_a_walk_over_every_sample(
        checks in 1..=2_usize,
        delay in 0..6_u64,
        interval in 1..5_u64,
        steady in 0..12_u64,
        spare in 1..20_u64,
        found in prop::collection::vec((0..40_i64, 0..2_usize, any_found()), 0..40),
        now in 0..45_i64,
    ) {
        let seconds = [delay, interval, steady, delay + steady + spare];
        let gate: Sampling = spec(&CHECKS[..checks], seconds).try_into().unwrap();
        let samples: Vec<_> = found
            .into_iter()
            .map(|(second, check, found)| sample(CHECKS[check % checks], second, found))
            .collect();
        let verdict = gate.verdict(&subject(1), at(0), &samples, at(now));
        let want = walk(seconds, checks, &samples, now);
        prop_assert_eq!(verdict.is_pass(), want == Some(true));
        prop_assert_eq!(verdict == Verdict::Fail, want == Some(false));
        match verdict {
            Verdict::Pending { recheck_at } => prop_assert!(recheck_at.unwrap() > at(now)),
            Verdict::Pass { lease } => prop_assert!(lease.check(&subject(1), at(now)).is_ok()),
            Verdict::Fail | Verdict::Inconclusive => {}
        }
    }

    /// Good for less than the steady time each time, however the rounds lie: it never promotes.
    #[test]
    fn a_gate_that_flaps_within_its_steady_time_never_promotes(
        interval in 1..5_i64,
        rounds in 1..6_i64,
        bad in prop_oneof![Just(Found::Bad), Just(Found::Unknown)],
        now in 0..120_i64,
    ) {
        let steady = u64::try_from(rounds * interval).unwrap();
        let gate: Sampling =
            spec(&["check"], [0, u64::try_from(interval).unwrap(), steady, 1_000]).try_into().unwrap();
        let samples: Vec<_> = (0..120 / interval)
            .map(|round| {
                let found = if round % (rounds + 1) == rounds { bad } else { Found::Good };
                sample("check", round * interval, found)
            })
            .collect();
        prop_assert!(!gate.verdict(&subject(1), at(0), &samples, at(now)).is_pass());
    }
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

#[derive(Debug, Clone)]
struct World {
    /// Of each stage: whether it is direct, which it takes from, and whether it needs all.
    stages: Vec<(bool, Vec<usize>, bool)>,
    /// Of each stage: what verifications found, in order.
    verified: Vec<Vec<Found>>,
}

impl World {
    fn pipeline(&self) -> Pipeline {
        pipeline(self.stages.iter().zip(NAMES).map(|((direct, from, all), name)| {
            let stages = from.iter().map(|at| env(NAMES[*at]));
            let sources = if *all { Sources::all_of(stages) } else { Sources::one_of(stages) };
            stage(name, Sources { direct: *direct, ..sources })
        }))
    }

    fn history(&self) -> History {
        let facts =
            self.verified.iter().zip(NAMES).flat_map(|(found, name)| {
                found.iter().map(move |found| verified(0, name, 1, *found))
            });
        history(facts)
    }

    /// Whether there is a proof that the set is sound in a stage: a search through the graph, which never goes
    /// through a stage twice.
    fn sound(&self, stage: usize, path: &mut Vec<usize>) -> bool {
        if path.contains(&stage) || self.verified[stage].last() != Some(&Found::Good) {
            return false;
        }
        path.push(stage);
        let way = self.way_in(stage, path);
        path.pop();
        way
    }

    fn way_in(&self, stage: usize, path: &mut Vec<usize>) -> bool {
        let (direct, from, all) = &self.stages[stage];
        *direct
            || (!from.is_empty()
                && if *all {
                    from.iter().all(|source| self.sound(*source, path))
                } else {
                    from.iter().any(|source| self.sound(*source, path))
                })
    }
}

fn world() -> impl Strategy<Value = World> {
    (2..=NAMES.len()).prop_flat_map(|size| {
        let one = (any::<bool>(), prop::collection::btree_set(0..size, 0..size), any::<bool>());
        let stages = prop::collection::vec(one, size);
        let verified = prop::collection::vec(prop::collection::vec(any_found(), 0..3), size);
        (stages, verified).prop_map(|(stages, verified)| {
            let stages = stages
                .into_iter()
                .enumerate()
                .map(|(at, (direct, from, all))| {
                    let from: Vec<_> = from.into_iter().filter(|other| *other != at).collect();
                    (direct || from.is_empty(), from, all)
                })
                .collect();
            World { stages, verified }
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn eligibility_agrees_with_a_search_through_the_graph(world in world()) {
        let (pipeline, history) = (world.pipeline(), world.history());
        let all = standings(&pipeline, &history, set(1), at(1));
        for (stage, name) in NAMES.iter().enumerate().take(world.stages.len()) {
            let sound = world.sound(stage, &mut Vec::new());
            prop_assert_eq!(all[&env(name)] == Standing::Sound, sound, "{}", name);
            let may = verdict(&pipeline, &history, name, 1).is_pass();
            prop_assert_eq!(may, world.way_in(stage, &mut Vec::new()), "{}", name);
        }
    }

    /// After a failed re-verification nothing is open that needs that stage: just what would be open had the set
    /// never been verified there.
    #[test]
    fn a_failed_reverification_leaves_what_does_without_that_stage(
        world in world(), pick in any::<prop::sample::Index>(),
    ) {
        let failed = pick.index(world.stages.len());
        let (mut again, mut never) = (world.clone(), world);
        again.verified[failed].push(Found::Bad);
        never.verified[failed].clear();
        let pipeline = again.pipeline();
        for name in NAMES.iter().take(again.stages.len()) {
            let after = verdict(&pipeline, &again.history(), name, 1).is_pass();
            let without = verdict(&pipeline, &never.history(), name, 1).is_pass();
            prop_assert_eq!(after, without, "{}", name);
        }
    }

    /// Soak time beside a counter that is moved second by second.
    #[test]
    fn soak_agrees_with_a_count_of_seconds(
        steps in prop::collection::vec((0..8_i64, 0..4_u8, any_found()), 0..12),
        needed in 0..20_u64,
        after in 0..30_i64,
    ) {
        let mut second = 0;
        let facts: Vec<PromotionFact> = steps
            .iter()
            .map(|(wait, what, found)| {
                second += wait;
                match what {
                    0 => entered(second, "dev", 2),
                    1 => entered(second, "dev", 1),
                    _ => verified(second, "dev", 1, *found),
                }
            })
            .collect();
        let now = second + after;
        let mut by_second: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        let mut second = 0;
        for (index, (wait, ..)) in steps.iter().enumerate() {
            second += wait;
            by_second.entry(second).or_default().push(index);
        }
        let (mut there, mut good, mut last) = (false, false, None);
        let (mut count, mut longest) = (0_u64, 0_u64);
        for second in 0..=now {
            for index in by_second.get(&second).into_iter().flatten() {
                let (_, what, found) = steps[*index];
                match what {
                    0 => (there, count) = (false, 0),
                    1 => there = true,
                    _ => {
                        (good, last) = (found == Found::Good, Some(found));
                        if !good {
                            (count, longest) = (0, 0);
                        }
                    }
                }
            }
            if there && good && second < now {
                count += 1;
                longest = longest.max(count);
            }
        }
        let stages = pipeline([
            stage("dev", Sources::direct()),
            stage("prod", Sources { availability: Availability::All, ..Sources::one_of([env("dev")]) }
                .soak(secs(needed))),
        ]);
        let verdict = verdict(&stages, &history(facts), "prod", now);
        let left = i64::try_from(needed).unwrap() - i64::try_from(count).unwrap();
        let want = match last {
            Some(Found::Bad) => Verdict::Fail,
            Some(Found::Unknown) => Verdict::Inconclusive,
            None => pending(None),
            Some(Found::Good) if longest >= needed => Verdict::pass(&subject(1), at(now + 300)),
            Some(Found::Good) => pending(there.then_some(now + left)),
        };
        if last.is_none() {
            prop_assert!(!verdict.is_pass());
        } else {
            prop_assert_eq!(verdict, want);
        }
    }
}

/// As many stages as a pipeline can have, one after the other, against the order of their names.
#[test]
fn a_long_pipeline_is_followed_to_its_end() {
    let (count, name) = (MAX_STAGES, |nth: usize| format!("s{nth:04}"));
    let pipeline = pipeline((0..count).map(|nth| {
        let last = nth + 1 == count;
        let before = || Sources::one_of([env(&name(nth + 1))]);
        stage(&name(nth), if last { Sources::direct() } else { before() })
    }));
    let history = history((1..count).map(|nth| verified(1, &name(nth), 1, Found::Good)));
    let all = standings(&pipeline, &history, set(1), at(100));
    let sound = all.values().filter(|standing| **standing == Standing::Sound).count();
    assert_eq!(sound, count - 1, "all but the one that it has not come to");
}
