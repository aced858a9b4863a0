//! What has to be built again, and what is lost with what fails.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use release_core::build::{BuildStanding, Building, Built, Order, Stale, stale};
use release_core::model::{BuildId, Digest, Span};

use super::support::{Needs, graph, id, needs, reaches};

/// What a compiler makes of sources and inputs. Of sources that differ only in their last letter it makes the same.
fn compiled(source: &str, inputs: &BTreeMap<BuildId, Digest>) -> Digest {
    let essence = source.get(..source.len().saturating_sub(1)).unwrap_or_default();
    Digest::of(format!("{essence} {inputs:?}").as_bytes())
}

/// Everything built from nothing.
fn from_nothing(needs: &Needs, sources: &BTreeMap<BuildId, String>) -> BTreeMap<BuildId, Built> {
    let mut all: BTreeMap<BuildId, Built> = BTreeMap::new();
    for (number, needs) in needs.iter().enumerate() {
        let inputs: BTreeMap<BuildId, Digest> =
            needs.iter().map(|need| (id(*need), all[&id(*need)].output)).collect();
        let source = sources[&id(number)].clone();
        let output = compiled(&source, &inputs);
        all.insert(id(number), Built::new(source, inputs, output));
    }
    all
}

fn sources(of: &[u8]) -> BTreeMap<BuildId, String> {
    let each = of.iter().enumerate();
    each.map(|(number, source)| (id(number), format!("{}{}", source / 3 % 3, source % 3))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Exactly what would now be made of something else is built again, whoever is done first, and what comes of it is what would
    /// come of a build from nothing.
    #[test]
    fn exactly_what_changed_is_built_again(
        (old, new, before, after) in needs(12).prop_flat_map(|new| {
            let same = any::<u32>();
            let count = new.len();
            let sources = || proptest::collection::vec(any::<u8>(), count);
            (needs(12), Just(new), sources(), sources(), same).prop_map(|(other, new, a, b, same)| {
                // Mostly the same graph and the same sources as before.
                let old = if same % 4 == 0 && other.len() >= new.len() { other } else { new.clone() };
                let b = a.iter().zip(&b).enumerate().map(|(n, (a, b))| if same >> n & 1 == 1 { *a } else { *b });
                let b: Vec<u8> = b.collect();
                (old, new, a, b)
            })
        }),
        choices in proptest::collection::vec(any::<usize>(), 12),
        forgotten in proptest::option::of(0_usize..12),
    ) {
        let old: Needs = old.into_iter().take(before.len()).collect();
        let mut built = from_nothing(&old, &sources(&before));
        if let Some(forgotten) = forgotten {
            built.remove(&id(forgotten));
        }
        let now = sources(&after);
        let want = from_nothing(&new, &now);
        let changed: BTreeSet<&BuildId> = want
            .iter()
            .filter(|(id, made)| built.get(*id).is_none_or(|last| (&last.source, &last.inputs) != (&made.source, &made.inputs)))
            .map(|(id, _)| id)
            .collect();
        let graph = graph(&new);
        let may: BTreeMap<BuildId, Stale> =
            stale(&graph, &now, &built).into_iter().map(|(build, why)| (build.id.clone(), why)).collect();
        let mut all = Building::new(&graph, now, built.clone(), |_| Span::secs(1));
        let (mut open, mut again): (Vec<Order>, BTreeSet<BuildId>) = (Vec::new(), BTreeSet::new());
        for choice in choices.iter().cycle() {
            open.extend(std::iter::from_fn(|| all.next()));
            if open.is_empty() {
                break;
            }
            let order = open.swap_remove(choice % open.len());
            prop_assert!(again.insert(order.build.id.clone()), "{} twice", order.build.id);
            let output = compiled(order.source.as_ref().unwrap(), &order.inputs);
            all.done(order, output).unwrap();
        }
        prop_assert!(all.is_over());
        prop_assert_eq!(&again.iter().collect::<BTreeSet<_>>(), &changed);
        prop_assert!(again.iter().all(|id| may.contains_key(id)));
        for (id, made) in &want {
            prop_assert_eq!(&all.built()[id], made);
            let up_to_date = all.standing(id) == Some(BuildStanding::UpToDate);
            prop_assert_eq!(up_to_date, !again.contains(id));
        }
        // Whatever nobody knows to be the same is among what may have to be built.
        for (id, why) in &may {
            let known = built.contains_key(id);
            prop_assert_eq!(*why == Stale::Never, !known);
            if let Stale::Behind(need) = why {
                prop_assert!(may.contains_key(need), "{} is behind nothing", id);
            }
        }
    }

    /// What fails takes exactly what needs it along.
    #[test]
    fn a_failure_cancels_exactly_what_needs_it(
        needs in needs(12),
        bad in any::<u16>(),
        choices in proptest::collection::vec(any::<usize>(), 12),
    ) {
        let fails = |number: usize| bad >> number & 1 == 1;
        let number = |build: &BuildId| (0..needs.len()).find(|n| id(*n) == *build).unwrap();
        let mut all = Building::new(&graph(&needs), BTreeMap::new(), BTreeMap::new(), |_| Span::secs(1));
        let mut open: Vec<Order> = Vec::new();
        for choice in choices.iter().cycle() {
            open.extend(std::iter::from_fn(|| all.next()));
            if open.is_empty() {
                break;
            }
            let order = open.swap_remove(choice % open.len());
            let of = number(&order.build.id);
            if !fails(of) {
                all.done(order, Digest::of(b"made")).unwrap();
                continue;
            }
            let lost = all.failed(&order.build.id, "no".into()).unwrap();
            for other in &lost {
                prop_assert!(other != &order.build.id && reaches(&needs, number(other), of));
            }
            prop_assert!(all.done(order.clone(), Digest::of(b"made")).is_err());
            prop_assert!(all.failed(&order.build.id, "no".into()).is_err());
        }
        prop_assert!(all.is_over());
        for of in 0..needs.len() {
            let lost = (0..needs.len()).any(|n| n != of && fails(n) && reaches(&needs, of, n)
                && !(0..needs.len()).any(|m| m != n && fails(m) && reaches(&needs, n, m)));
            let standing = all.standing(&id(of)).unwrap();
            match standing {
                BuildStanding::Cancelled { because } => {
                    prop_assert!(lost);
                    let failed = matches!(all.standing(&because), Some(BuildStanding::Failed { .. }));
                    prop_assert!(failed);
                    prop_assert!(reaches(&needs, of, number(&because)));
                }
                BuildStanding::Failed { .. } => prop_assert!(fails(of) && !lost),
                BuildStanding::Built => prop_assert!(!fails(of) && !lost),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
