//! Laws of the pictures, over plans of every shape: nothing is lost, nothing overlaps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::chains::{Layout, arrange, place};
use super::graph::Picture;
use super::{RunReport, StepReport, html};
use crate::model::{Digest, Principal};
use crate::plan::{Edge, EdgeKind};
use crate::run::Status;
use crate::time::Timestamp;

fn step(id: String, rollback: bool) -> StepReport {
    StepReport {
        action: format!("do {id}"),
        id,
        status: Status::Succeeded,
        rollback,
        began: Some(Timestamp::from_micros(10)),
        ended: Some(Timestamp::from_micros(20)),
        attempts: 1,
        finding: String::new(),
        blind_repeats: 0,
    }
}

fn report(steps: Vec<StepReport>, edges: &[(u32, u32)]) -> RunReport {
    let edge = |(from, to): &(u32, u32)| Edge { from: *from, to: *to, why: EdgeKind::default() };
    RunReport {
        run: "run".parse().unwrap(),
        train: "train".parse().unwrap(),
        release: "release".parse().unwrap(),
        plan: Digest::of(b"plan"),
        requester: Principal::human("ada".parse().unwrap()),
        began: Timestamp::from_micros(0),
        last: Timestamp::from_micros(100),
        outcome: None,
        steps,
        edges: edges.iter().map(edge).collect(),
        unmeasured: BTreeMap::new(),
        routed: Vec::new(),
        compared: Vec::new(),
        timeline: Vec::new(),
        head: Digest::of(b"head"),
    }
}

fn ids(ids: &[&str]) -> Vec<StepReport> {
    ids.iter().map(|id| step((*id).to_owned(), id.starts_with("rollback"))).collect()
}

fn chains(layout: &Layout) -> Vec<(usize, Vec<usize>)> {
    layout.chains.iter().map(|chain| (chain.row, chain.steps.clone())).collect()
}

#[test]
fn a_step_is_named_within_its_place() {
    for (id, expected, name) in [
        ("staging/enter", "staging", "enter"),
        ("artifacts/ledger/new", "artifacts/ledger", "new"),
        ("production/eu/ledger/weight-20/bake", "production/eu/ledger", "weight-20/bake"),
        (
            "rollback/production/eu/ledger/start/scale",
            "rollback/production/eu/ledger",
            "start/scale",
        ),
        ("rollback/notify/ops", "rollback/notify", "ops"),
        ("alone", "alone", "alone"),
        ("rollback", "rollback", "rollback"),
    ] {
        assert_eq!(place(id), (expected.to_owned(), name.to_owned()));
    }
}

#[test]
fn steps_of_one_place_that_follow_one_another_are_one_card() {
    let steps =
        ids(&["a/enter", "p/eu/api/start", "p/eu/api/ready", "p/eu/web/start", "rollback/x"]);
    let layout = arrange(&report(steps, &[(0, 1), (1, 2), (0, 2), (2, 3), (0, 3)]));
    assert_eq!(
        chains(&layout),
        [(0, vec![0]), (1, vec![1, 2]), (2, vec![3]), (3, vec![4])],
        "the rollback is below everything"
    );
    assert_eq!(layout.links.into_iter().collect::<Vec<_>>(), [(0, 1), (1, 2)], "no implied link");
}

#[test]
fn a_card_is_cut_where_it_waits_for_something_beside_it() {
    let steps = ids(&["p/eu/api/start", "p/eu/api/ready", "p/eu/web/start", "p/eu/api/serve"]);
    let layout = arrange(&report(steps, &[(0, 1), (0, 2), (1, 3), (2, 3)]));
    assert_eq!(chains(&layout), [(0, vec![0, 1]), (1, vec![2]), (2, vec![3])]);
}

#[test]
fn a_step_that_failed_stands_out_although_it_was_taken_back() {
    let mut report = report(ids(&["a/bad", "a/good"]), &[]);
    for step in &mut report.steps {
        step.status = Status::Compensated;
    }
    report.timeline.push(super::TimelineEntry {
        seq: 1,
        at: Timestamp::from_micros(20),
        subject: "a/bad".into(),
        what: super::fold::FAILED.into(),
        why: "<1 % & \"more\"".into(),
        hash: Digest::of(b"record"),
    });
    let page = html("title", &[], &[report]);
    assert!(page.contains("✗ bad") && page.contains("↩ good"), "{page}");
    assert!(page.contains("&lt;1 % &amp; ") && !page.contains("<1 %"), "{page}");
}

#[test]
fn characters_that_no_page_has_are_shown_as_such_wherever_they_stand() {
    let mut report = report(ids(&["a/bad"]), &[]);
    report.steps[0].finding = "\u{1b}[31mred\u{1b}[0m\u{b}".into();
    report.steps[0].action = "do\u{7}\u{fffe}".into();
    let page = html("a\0b\tc\u{ffff}", &["note\u{1f}".to_owned()], &[report]);
    let none = |c: char| (c < ' ' && !"\t\n\r".contains(c)) || "\u{fffe}\u{ffff}".contains(c);
    assert!(!page.contains(none), "{page:?}");
    for shown in [
        "<h1>a\u{fffd}b\tc\u{fffd}</h1>",
        "note\u{fffd}",
        "\u{fffd}[31mred\u{fffd}[0m\u{fffd}",
        "do\u{fffd}\u{fffd}",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

/// Plans of all shapes: places and names of any length, and edges that lead from lower to higher.
fn any_report() -> impl Strategy<Value = RunReport> {
    let step = (0..4_usize, 0..3_usize, "[a-z]{1,60}");
    (prop::collection::vec(step, 0..40), prop::collection::vec((0..40_u32, 0..40_u32), 0..80))
        .prop_map(|(steps, edges)| {
            let count = u32::try_from(steps.len()).unwrap();
            let named = steps.into_iter().zip(0..);
            let steps = named.map(|((a, b, name), n)| step_in(a, b, &name, n)).collect();
            let edges: Vec<_> =
                edges.into_iter().filter(|(from, to)| from < to && *to < count).collect();
            report(steps, &edges)
        })
}

fn step_in(environment: usize, service: usize, name: &str, number: usize) -> StepReport {
    step(format!("e{environment}/eu/s{service}/{name}-{number}"), false)
}

fn reaches(layout: &Layout, from: usize, to: usize) -> bool {
    from == to
        || layout.links.iter().any(|(a, b)| *a == from && *b <= to && reaches(layout, *b, to))
}

proptest! {
    #[test]
    fn every_step_is_drawn_once_and_every_edge_leads_downwards(report in any_report()) {
        let layout = arrange(&report);
        let mut drawn: Vec<_> = layout.chains.iter().flat_map(|c| c.steps.clone()).collect();
        drawn.sort_unstable();
        prop_assert_eq!(drawn, (0..report.steps.len()).collect::<Vec<_>>());
        for (from, to) in &layout.links {
            prop_assert!(layout.chains[*from].row < layout.chains[*to].row);
        }
        let chain_of = |step: u32| {
            layout.chains.iter().position(|c| c.steps.contains(&(step as usize))).unwrap()
        };
        for edge in &report.edges {
            prop_assert!(reaches(&layout, chain_of(edge.from), chain_of(edge.to)));
        }
    }

    #[test]
    fn no_two_cards_overlap_and_no_step_leaves_its_card(report in any_report()) {
        let layout = arrange(&report);
        let picture = Picture::new(&layout, &report.steps);
        for (index, card) in picture.cards.iter().enumerate() {
            prop_assert!(card.x + card.width <= picture.width);
            prop_assert!(card.y + card.height <= picture.height);
            for chip in &card.chips {
                prop_assert!(chip.x + chip.width <= card.width);
            }
            for other in &picture.cards[index + 1..] {
                let beside = card.x + card.width <= other.x || other.x + other.width <= card.x;
                let apart = card.y + card.height <= other.y || other.y + other.height <= card.y;
                prop_assert!(beside || apart);
            }
        }
    }
}
