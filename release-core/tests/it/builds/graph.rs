//! Order, circles, what a change affects, the critical path.

use std::collections::BTreeSet;

use proptest::prelude::*;
use release_core::build::{
    Build, BuildGraph, BuildGraphError, MAX_NEEDS, NeedsError, UnknownBuild,
};
use release_core::model::{BuildId, Span};

use super::support::{Needs, build, graph, id, needs, reaches};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn each_build_comes_after_those_that_it_needs(needs in needs(12)) {
        let graph = graph(&needs);
        let order: Vec<&Build> = graph.in_order().collect();
        prop_assert_eq!(order.len(), needs.len());
        let mut seen = BTreeSet::new();
        for build in order {
            prop_assert!(build.needs.iter().all(|need| seen.contains(need)), "{}", build.id);
            prop_assert!(seen.insert(build.id.clone()));
        }
    }

    #[test]
    fn what_a_change_affects_is_what_reaches_it(needs in needs(12), changed in any::<u16>()) {
        let graph = graph(&needs);
        let changed: Vec<usize> = (0..needs.len()).filter(|n| changed >> n & 1 == 1).collect();
        let ids: Vec<BuildId> = changed.iter().map(|number| id(*number)).collect();
        let affected = graph.affected(&ids).unwrap();
        let got: BTreeSet<&BuildId> = affected.iter().map(|build| &build.id).collect();
        prop_assert_eq!(got.len(), affected.len());
        for number in 0..needs.len() {
            let want = changed.iter().any(|changed| reaches(&needs, number, *changed));
            prop_assert_eq!(got.contains(&id(number)), want, "{}", number);
        }
        // In an order in which they can be built.
        let place = |id: &BuildId| affected.iter().position(|build| build.id == *id);
        for build in &affected {
            prop_assert!(build.needs.iter().all(|need| place(need) < place(&build.id)));
        }
    }

    #[test]
    fn the_critical_path_is_the_longest_of_all_ways(
        needs in needs(9),
        takes in proptest::collection::vec(0_u64..20, 9),
    ) {
        fn longest(needs: &Needs, takes: &[u64], number: usize) -> u64 {
            let before = needs[number].iter().map(|need| longest(needs, takes, *need));
            takes[number] + before.max().unwrap_or(0)
        }
        let want = (0..needs.len()).map(|number| longest(&needs, &takes, number)).max().unwrap();
        let number = |build: &BuildId| (0..needs.len()).find(|n| id(*n) == *build).unwrap();
        let path = graph(&needs).critical_path(|build| Span::secs(takes[number(&build.id)]));
        prop_assert_eq!(path.length, Span::secs(want));
        let sum: u64 = path.builds.iter().map(|build| takes[number(build)]).sum();
        prop_assert_eq!(sum, want);
        for pair in path.builds.windows(2) {
            prop_assert!(needs[number(&pair[1])].contains(&number(&pair[0])));
        }
    }

    #[test]
    fn of_circles_the_shortest_is_named(
        edges in proptest::collection::btree_set((0_usize..8, 0_usize..8), 1..20),
    ) {
        let needs: Needs =
            (0..8).map(|n| edges.iter().filter(|(of, _)| *of == n).map(|(_, to)| *to).collect()).collect();
        // The fewest steps that lead from each to itself.
        let back = |start: usize| {
            let mut at = BTreeSet::from([start]);
            (1..=8).find(|_| {
                at = at.iter().flat_map(|number| needs[*number].clone()).collect();
                at.contains(&start)
            })
        };
        let shortest = (0..8).filter_map(back).min();
        let all = needs.iter().enumerate().map(|(number, needs)| build(number, needs));
        match (BuildGraph::new(all), shortest) {
            (Ok(_), None) => {}
            (Err(BuildGraphError::Needs(NeedsError::Circle(ids))), Some(length)) => {
                prop_assert_eq!(ids.len(), length);
                let number = |build: &BuildId| (0..8).find(|n| id(*n) == *build).unwrap();
                for (at, build) in ids.iter().enumerate() {
                    let next = &ids[(at + 1) % ids.len()];
                    prop_assert!(needs[number(build)].contains(&number(next)), "{:?}", ids);
                }
            }
            (got, want) => prop_assert!(false, "{:?} {:?}", got, want),
        }
    }
}

fn named(name: &str) -> BuildId {
    name.parse().unwrap()
}

fn of(name: &str, needs: &[&str]) -> Build {
    let build = Build::new(named(name), "shop", "release");
    needs.iter().fold(build, |build, need| build.needing(named(need)))
}

#[test]
fn what_is_no_graph_is_said_with_the_names() {
    let message = |builds: Vec<Build>| BuildGraph::new(builds).unwrap_err().to_string();
    assert_eq!(
        message(vec![of("a", &["b"]), of("b", &["c"]), of("c", &["a"])]),
        "none of 3 can be the first, since each needs the next: `b` → `c` → `a` → `b`; take one of these needs out"
    );
    assert_eq!(
        message(vec![of("a", &["a"])]),
        "none of 1 can be the first, since each needs the next: `a` → `a`; take one of these needs out"
    );
    assert_eq!(
        message(vec![of("a", &["nobody"])]),
        "`a` needs `nobody`, which is not there; add it, or mend the name"
    );
    assert_eq!(
        message(vec![of("a", &[]), of("a", &[])]),
        "`a` stands there twice; give one of them another name"
    );
    for path in ["", "/etc", "../other", "a//b", "a/../../b", "."] {
        let text = message(vec![of("a", &[]).of(path)]);
        assert!(text.contains(&format!("made of `{path}`, which is no path")), "{text}");
    }
    let graph = BuildGraph::new([of("a", &[])]).unwrap();
    assert_eq!(graph.affected([&named("b")]), Err(UnknownBuild(named("b"))));
    let text = r#"[{"id":"a","repository":"r","recipe":"x","needs":["a"]}]"#;
    assert!(
        serde_json::from_str::<BuildGraph>(text).unwrap_err().to_string().contains("`a` → `a`")
    );
}

#[test]
fn a_commit_touches_the_builds_of_its_paths() {
    let other = Build::new(named("other"), "elsewhere", "release");
    let graph = BuildGraph::new([
        of("api", &["proto"]).of("services/api").of("Cargo.lock"),
        of("web", &["proto"]).of("services/web/"),
        of("proto", &[]).of("proto"),
        of("all", &[]),
        other,
    ])
    .unwrap();
    let touched = |files: &[&str]| {
        let found = graph.touched("shop", files.iter().copied());
        found.into_iter().map(|build| build.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(touched(&["services/api/src/main.rs"]), ["all", "api"]);
    assert_eq!(touched(&["services/api-gateway/src/main.rs", "proto-old"]), ["all"]);
    assert_eq!(touched(&["Cargo.lock", "proto/a/b.proto"]), ["all", "api", "proto"]);
    assert_eq!(touched(&["services/web"]), ["all", "web"]);
    assert_eq!(touched(&[]), Vec::<String>::new());
    assert_eq!(graph.touched("nowhere", ["a"]), Vec::<&Build>::new());
    let json = serde_json::to_string(&graph).unwrap();
    assert_eq!(serde_json::from_str::<BuildGraph>(&json).unwrap(), graph);
}

#[test]
fn a_hundred_thousand_builds_in_one_line_are_no_trouble() {
    let name = |number: u32| -> BuildId { format!("b{number:06}").parse().unwrap() };
    let line = |number: u32| {
        let build = Build::new(name(number), "shop", "release");
        if number == 0 { build } else { build.needing(name(number - 1)) }
    };
    let graph = BuildGraph::new((0..100_000).map(line)).unwrap();
    assert_eq!(graph.affected([&name(0)]).unwrap().len(), 100_000);
    assert_eq!(graph.critical_path(|_| Span::secs(1)).length, Span::secs(100_000));
    let closed = (0..100_000).map(line).chain([Build::new(name(100_000), "shop", "x")]);
    let closed = closed.map(|b| if b.id == name(0) { b.needing(name(99_999)) } else { b });
    let BuildGraphError::Needs(NeedsError::Circle(ids)) = BuildGraph::new(closed).unwrap_err()
    else {
        panic!("a circle")
    };
    assert_eq!(ids.len(), 100_000);
}

#[test]
fn a_million_builds_are_taken_and_too_many_needs_are_refused() {
    let name = |number: usize| -> BuildId { format!("b{number:07}").parse().unwrap() };
    // A thousand chains of a thousand each.
    let one = |number: usize| {
        let build = Build::new(name(number), "shop", "release");
        if number.is_multiple_of(1_000) { build } else { build.needing(name(number - 1)) }
    };
    let graph = BuildGraph::new((0..1_000_000).map(one)).unwrap();
    assert_eq!(graph.in_order().count(), 1_000_000);
    assert_eq!(graph.affected([&name(500_500)]).unwrap().len(), 500);
    assert_eq!(graph.critical_path(|_| Span::secs(1)).length, Span::secs(1_000));
    // Each needs the same two thousand, which need nothing.
    let base: BTreeSet<BuildId> = (0..2_000).map(name).collect();
    let needs = |count: usize| {
        let base = &base;
        (0..2_000 + count).map(move |number| {
            let mut build = Build::new(name(number), "shop", "release");
            if number >= 2_000 {
                build.needs.clone_from(base);
            }
            build
        })
    };
    assert_eq!(MAX_NEEDS, 2_000 * 2_000);
    let error = BuildGraph::new(needs(2_001)).unwrap_err();
    assert_eq!(error, BuildGraphError::Needs(NeedsError::TooMany));
    assert!(error.to_string().contains("more than 4000000"), "{error}");
}
