//! Scenarios of custom steps that name operations, which act on the fakes of the SDK.

use release_core::model::{Digest, RollbackScope, Span};
use release_core::plan::{
    Action, Compensation, EdgeKind, FrozenPlan, OnFailure, Plan, PlanBuilder, RetryPolicy, Step,
    Undo, UndoPhase,
};
use serde_json::{Value, json};

use super::chance::Chance;
use super::{Humans, Sim, days, invariants, mixed};
use crate::fakes::FakeFleet;
use crate::fixtures::{self, literal};

/// The environment of the flags.
const PLACE: &str = "staging";
/// The most steps of each kind.
const MOST: u32 = 8;

/// A run of a plan that chance draws from `draw`: up to eight steps that set flags, migrate, build, test, and tell a
/// service desk, most of them with what takes them back, in an order of chance. Two engines, and a little of
/// everything that can go wrong. Checked by [all invariants](invariants::all).
///
/// # Panics
/// Never, but for a fault of this crate: its own plans are sound.
pub fn typed(draw: u64) -> Sim {
    let faults = mixed::little();
    Sim::new(0)
        .fleet(&fleet())
        .departs(Span::ZERO, drawn(&mut Chance::Seeded(draw)))
        .humans(Humans::new().meddling(10_000).delay(Span::secs(60), Span::secs(600)))
        .engines(2)
        .faults(faults)
        .run_for(days(1))
        .check(invariants::all())
}

/// A fleet that knows a flag and a migration for each step that there can be.
fn fleet() -> FakeFleet {
    let mut fleet = FakeFleet::new();
    for step in 0..MOST {
        fleet.flags = fleet.flags.flag(&format!("flag-{step}"), &literal(PLACE));
        let target = fixtures::target("db");
        fleet.migrator = fleet.migrator.migration(&target, &format!("migration-{step}"));
    }
    fleet
}

fn step(id: &str, operation: &str, input: Value) -> Step {
    let action = Action::Custom { capability: operation.into(), input };
    // What leaves nothing to take back.
    let undo = Undo::Nothing;
    Step::new(literal(id), action)
        .undo(undo)
        .retry(RetryPolicy::attempts(3))
        .on_failure(OnFailure::RollBack(RollbackScope::Release))
}

/// The same, with what takes it back.
fn undone(step: Step, operation: &str, input: Value) -> Step {
    let action = Action::Custom { capability: operation.into(), input };
    step.undo(Undo::Compensate(vec![Compensation { action, phase: UndoPhase::Remove }]))
}

fn flag(nth: u32, state: &Value) -> Value {
    json!({ "flag": format!("flag-{nth}"), "environment": PLACE, "state": state })
}

/// The steps number `nth`, one after the other.
fn steps(nth: u32, chance: &mut Chance) -> Vec<Step> {
    let name = |of: &str| format!("{of}-{nth}");
    match chance.pick(5) {
        0 => {
            let set = |id: &str, state: &Value| {
                let step = step(&name(id), "flag_store.set", flag(nth, state));
                undone(step, "flag_store.set", flag(nth, &json!({ "state": "off" })))
            };
            let share = set("share", &json!({ "state": "share", "percent": 10 }));
            vec![share, set("on", &json!({ "state": "on" }))]
        }
        1 => {
            let revision = Digest::of(name("revision").as_bytes()).to_string();
            let build = json!({
                "repository": FakeFleet::REPOSITORY, "revision": revision, "recipe": "release"
            });
            let build = step(&name("build"), "build_runner.start", build);
            vec![undone(build, "build_runner.cancel", json!({ "step": name("build") }))]
        }
        2 => {
            let suite = if chance.pick(6) == 0 { "fails" } else { "passes" };
            let artifact = fixtures::artifact("api", "1.0.0");
            let tests = json!({ "suite": suite, "artifact": artifact });
            let tests = step(&name("test"), "test_runner.start", tests);
            vec![undone(tests, "test_runner.cancel", json!({ "step": name("test") }))]
        }
        3 => {
            let plan = Digest::of(b"plan");
            let open = json!({ "kind": "standard", "summary": name("change"), "plan": plan });
            let open = step(&name("open"), "change_desk.open", open);
            let update = |state: &str| json!({ "step": name("open"), "state": state });
            let open = undone(open, "change_desk.update", update("withdrawn"));
            vec![open, step(&name("begin"), "change_desk.update", update("implementing"))]
        }
        _ => {
            let migration =
                json!({ "target": fixtures::target("db"), "migration": name("migration") });
            let expand = step(&name("expand"), "migrator.expand", migration.clone());
            let contract = step(&name("contract"), "migrator.contract", migration);
            let kept = Undo::point_of_no_return("only the new version is left", literal("lead"));
            let contract = contract.undo(kept);
            let contracts = chance.pick(4) == 0;
            if contracts { vec![expand, contract] } else { vec![expand] }
        }
    }
}

fn drawn(chance: &mut Chance) -> FrozenPlan {
    let mut plan: PlanBuilder = Plan::builder(literal("train"), literal("typed"));
    plan.max_parallel(3);
    let mut ends: Vec<u32> = Vec::new();
    for nth in 0..3 + chance.pick(MOST - 2) {
        let earlier = u32::try_from(ends.len()).unwrap_or(0);
        let mut before = match chance.pick(4) {
            0 => None,
            _ => ends.get(chance.pick(earlier) as usize).copied(),
        };
        for step in steps(nth, chance) {
            let at = plan.step(step);
            if let Some(before) = before.replace(at) {
                plan.edge(before, at, EdgeKind::Order);
            }
        }
        ends.extend(before);
    }
    mixed::sound(plan)
}
