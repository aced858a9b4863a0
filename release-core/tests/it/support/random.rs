//! Random definitions and plans for proptest.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use release_core::model::{
    Approval, BlueGreen, Canary, CanaryReady, CanaryStep, Definition, Gate, OnCancel, Release,
    RollbackScope, Rolling, Service, Span, Stage, Strategy as Rollout, Tier,
};
use release_core::plan::{
    Action, Compensation, EdgeKind, FrozenPlan, OnFailure, RetryPolicy, Step, Undo, UndoPhase,
};

use super::samples::{
    any, artifact, builder, criteria, custom, deployment, environment, error_rate, id, set,
};

pub(crate) const SERVICES: [&str; 4] = ["db", "api", "web", "app"];
const REGIONS: [&str; 3] = ["eu", "us", "ap"];

fn scope() -> impl Strategy<Value = RollbackScope> {
    prop_oneof![
        Just(RollbackScope::Region),
        Just(RollbackScope::Wave),
        Just(RollbackScope::Environment),
        Just(RollbackScope::Release)
    ]
}

fn rollout() -> impl Strategy<Value = Rollout> {
    let bake = || (0_u64..3).prop_map(Span::secs);
    prop_oneof![
        Just(Rollout::Recreate),
        (1_u32..5, 0_u32..4, 0_u32..8, bake()).prop_map(|(batches, missing, surge, bake)| {
            // As many more as one likes, or some, and at least one of both.
            let surge = Some(surge).filter(|surge| *surge < 4 && surge + missing > 0);
            let (max_unavailable, max_surge) = (missing.into(), surge.map(Into::into));
            Rollout::Rolling(Rolling {
                batches,
                max_unavailable,
                max_surge,
                bake,
                ..Rolling::new(1)
            })
        }),
        (bake(), bake(), any_bool()).prop_map(|(bake, keep_old, gated)| {
            let gates = if gated { vec![Gate::Approval(Approval::new(id("go")))] } else { vec![] };
            Rollout::BlueGreen(BlueGreen {
                gates,
                bake,
                analyses: vec![],
                keep_old,
                ..BlueGreen::default()
            })
        }),
        (vec(1_u8..34, 1..4), bake(), bake(), of(1_u8..=100)).prop_map(
            |(shares, bake, keep_old, ready)| {
                let mut weight = 0;
                let steps = shares.into_iter().map(|share| {
                    weight += share;
                    CanaryStep::new(weight, bake)
                });
                let (steps, ready) = (steps.collect(), ready.map(CanaryReady::Percent));
                Rollout::Canary(Canary { steps, keep_old, ready, ..Canary::default() })
            }
        ),
    ]
}

fn any_bool() -> impl Strategy<Value = bool> {
    proptest::bool::ANY
}

/// Sound definitions: up to four services, two environments, three regions, all strategies.
pub(crate) fn definition() -> impl Strategy<Value = Definition> {
    let services = vec((proptest::bits::u8::ANY, 0_u8..4, 1_u32..5), 1..5);
    let stages = vec((1_usize..4, rollout(), any_bool(), 0_u32..4), 1..3);
    let flags = (any_bool(), any_bool());
    (services, stages, scope(), flags).prop_map(|(services, stages, scope, (leave, turned))| {
        let (mut versions, mut previous) = (set(&[]), set(&[]));
        for ((_, kind, _), name) in services.iter().zip(SERVICES) {
            versions = versions.with(id(name), id("2.0.0"), artifact(name, "2.0.0"));
            match kind {
                0 => {} // new
                1 => previous = previous.with(id(name), id("2.0.0"), artifact(name, "2.0.0")),
                _ => previous = previous.with(id(name), id("1.0.0"), artifact(name, "1.0.0")),
            }
        }
        let mut release = Release::new(id("r-1"), versions);
        release.previous = previous;
        release.rollback = Some(criteria(scope));
        release.on_cancel = if leave { OnCancel::Leave } else { OnCancel::RollBack };
        // All change, and none gets along with what comes before it has changed itself.
        let turned = turned && services.iter().all(|(_, kind, _)| *kind > 1);
        let mut builder = Definition::builder(id("shop"), release).analysis(error_rate());
        for (at, ((needs, _, replicas), name)) in services.iter().zip(SERVICES).enumerate() {
            let mut service = Service::new(id(name), id("team-a")).replicas(*replicas);
            let needed = SERVICES.iter().take(at).enumerate().filter(|(i, _)| needs >> i & 1 == 1);
            service.depends_on = needed.map(|(_, name)| any(name)).collect();
            for need in &mut service.depends_on {
                need.previously = turned.then(|| id("^1"));
            }
            builder = builder.service(service);
        }
        for ((regions, rollout, together, stop), name) in stages.into_iter().zip(["test", "prod"]) {
            let tier = if name == "prod" { Tier::Production } else { Tier::Test };
            let regions = &REGIONS[..regions];
            let mut stage = Stage::new(id(name), rollout);
            let stops = 1..=u32::try_from(regions.len()).unwrap();
            stage.stop_after_failed_regions = Some(stop).filter(|stop| stops.contains(stop));
            if together {
                stage.waves = vec![regions.iter().map(|region| id(region)).collect()];
            }
            builder = builder.environment(environment(name, tier, regions)).stage(stage);
        }
        builder.notify(id("ops")).build()
    })
}

fn action() -> impl Strategy<Value = Action> {
    let errors = error_rate();
    prop_oneof![
        2 => Just(Action::Sync),
        1 => (0_u64..3).prop_map(|secs| Action::Bake { duration: Span::secs(secs) }),
        5 => Just(custom("change")),
        1 => Just(Action::Analyze {
            deployment: deployment("api", "2.0.0"),
            analysis: std::sync::Arc::new(release_core::model::Analysis { count: 2, ..errors }),
            from: None,
            beside: None,
            until: None,
        }),
    ]
}

fn gate(index: usize) -> impl Strategy<Value = Vec<Gate>> {
    let approval = move |quorum, name: &str| {
        Gate::Approval(Approval { quorum, ..Approval::new(id(&format!("{name}-{index}"))) })
    };
    prop_oneof![
        6 => Just(vec![]),
        2 => (1_u32..3).prop_map(move |quorum| vec![approval(quorum, "gate")]),
        1 => Just(vec![approval(1, "gate"), approval(1, "second"), Gate::Soak(Span::secs(1))]),
        1 => Just(vec![Gate::Soak(Span::secs(2))]),
    ]
}

fn on_failure() -> impl Strategy<Value = OnFailure> {
    prop_oneof![
        2 => Just(OnFailure::Fail),
        2 => Just(OnFailure::Continue),
        2 => Just(OnFailure::Hold),
        5 => scope().prop_map(OnFailure::RollBack),
    ]
}

fn undo(index: usize) -> impl Strategy<Value = Undo> {
    let phases = [
        UndoPhase::Unwind,
        UndoPhase::RestoreCapacity,
        UndoPhase::CheckHealth,
        UndoPhase::RestoreTraffic,
        UndoPhase::Remove,
    ];
    let compensation = (0_usize..5).prop_map(move |phase| {
        let action = custom(&format!("undo-{index}"));
        Undo::Compensate(vec![Compensation { action, phase: phases[phase] }])
    });
    prop_oneof![
        8 => compensation,
        1 => Just(Undo::point_of_no_return("rows are dropped", "lead".parse().unwrap())),
    ]
}

fn step(index: usize) -> impl Strategy<Value = Step> {
    (action(), gate(index), on_failure(), undo(index), 1_u32..4, 1_u64..4).prop_map(
        move |(action, gates, on_failure, undo, attempts, timeout)| {
            let mutates = action.mutates();
            let mut step = Step::new(id(&format!("step-{index}")), action)
                .on_failure(on_failure)
                .retry(RetryPolicy::attempts(attempts))
                .timeout(Span::secs(timeout));
            step.gates = gates;
            if mutates {
                step.undo = undo;
            }
            step
        },
    )
}

/// Plans by hand: any DAG of up to nine steps, any gates, failures, compensations.
pub(crate) fn dag() -> impl Strategy<Value = FrozenPlan> {
    let steps = (1_usize..10).prop_flat_map(|count| (0..count).map(step).collect::<Vec<_>>());
    (steps, vec(0_u8..4, 36), 1_u32..4, any_bool(), any_bool()).prop_map(
        |(steps, edges, parallel, leave, grouped)| {
            let mut plan = builder();
            plan.max_parallel(parallel);
            plan.on_cancel(if leave { OnCancel::Leave } else { OnCancel::RollBack });
            plan.notify(vec![id("ops")]);
            let groups = [plan.group("first", vec![]), plan.group("second", vec![0])];
            let count = u32::try_from(steps.len()).unwrap();
            for (index, mut step) in steps.into_iter().enumerate() {
                step.group = grouped.then(|| groups[index % 2]);
                plan.step(step);
            }
            let pairs = (0..count).flat_map(|to| (0..to).map(move |from| (from, to)));
            for ((from, to), edge) in pairs.zip(edges) {
                if edge == 0 {
                    plan.edge(from, to, EdgeKind::Order);
                }
            }
            plan.build().unwrap().freeze()
        },
    )
}
