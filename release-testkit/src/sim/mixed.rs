//! Small scenarios with a little of everything, for many seeds.

use release_core::limits::{Limit, Limits, LimitsFile, Per, Quota, Scope, Window};
use release_core::model::{
    Approval, BlueGreen, Gate, OnCancel, Priority, RollbackScope, Rolling, Span, Strategy,
};
use release_core::plan::{
    Action, Compensation, EdgeKind, FrozenPlan, OnFailure, Plan, PlanBuilder, RetryPolicy, Step,
    Undo, UndoPhase,
};
use release_core::run::Command;
use release_policy::Windows;

use super::{
    Badness, Capability, FaultPlan, Humans, Nature, Providers, START, Sim, days, invariants,
};
use crate::fixtures::{self, Shop, literal};

const HOUR: u64 = 3600;

/// What goes wrong everywhere, but not often.
const LITTLE: &str = "crash engine 2%; journal: unknown-stored 1%; journal: unknown-lost 1%; \
    journal: unknown-late 1%; journal: unavailable 1%; journal: no-space 1%; journal: slow 2%; \
    pause engine 5m 0.5%; provider: transient 4%; provider: unknown 2%; \
    provider: apply-then-timeout 2%; provider: timeout-then-apply 1%; provider: hang 1%; \
    provider: duplicate 2%; provider: late 1%; provider: wrong-digest 0.3%; \
    provider: garbage 0.3%; provider: permanent 0.5%; provider: revert 0.5%; provider: slow 3%; \
    provider.metrics: no-data 4%; provider.metrics: nan 4%; provider.metrics: bad 2%";

/// Scenarios with a little of everything: canaries, blue-green, rolling, recreate and steps by hand;
/// crashes, several engines, a journal and providers that fail, a clock that jumps, freezes, a policy that
/// is tightened, limits that runs share, another plan for a run
/// under way, a run that brings its engines down, providers of which nobody can ask what they did, people who approve, meddle and err. Seed `n` belongs to scenario `n` modulo their number.
///
/// All are checked by [all invariants](invariants::all).
///
/// # Panics
/// Never, but for a fault of this crate: its own definitions are sound.
pub fn mixed() -> Vec<Sim> {
    let all = [
        canary(),
        blue_green(),
        recreate(),
        rolling(),
        by_hand(),
        contended(),
        limited(),
        upgraded(),
        untold(),
    ];
    all.map(|sim| sim.check(invariants::all())).into()
}

pub(super) fn little() -> FaultPlan {
    literal(LITTLE)
}

fn after(hours: u64) -> Span {
    Span::secs(hours * HOUR)
}

fn of(shop: &Shop) -> Sim {
    let sim = Sim::new(0).faults(little()).run_for(days(2));
    let mut definition = shop.definition();
    for analysis in &mut definition.analyses {
        analysis.count = 2;
    }
    sim.definition(&definition).unwrap_or_else(|_| Sim::new(0))
}

fn window(id: &str, from: u64, hours: u64) -> Windows {
    window_of(id, (from, hours * HOUR), None, "hold_at_safe_point")
}

/// A freeze of everything, or of one environment, from so many seconds behind the begin for so many.
fn window_of(
    id: &str,
    (from, secs): (u64, u64),
    environment: Option<&str>,
    on_start: &str,
) -> Windows {
    let start: release_core::model::Timestamp = literal(START);
    let (from, until) = (start.plus(Span::secs(from)), start.plus(Span::secs(from + secs)));
    let environments: Vec<_> = environment.into_iter().collect();
    let written = serde_json::json!({ "windows": [{
        "id": id, "kind": "freeze", "when": { "type": "between", "from": from, "until": until },
        "scope": { "environments": environments }, "owner": "sre", "reason": "quiet",
        "on_start": on_start
    }]});
    literal::<Written>(&written.to_string()).0
}

/// Windows, read from their JSON.
struct Written(Windows);

impl std::str::FromStr for Written {
    type Err = serde_json::Error;
    fn from_str(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }
}

fn canary() -> Sim {
    let shop = Shop::new().approvals(2).regions(["eu"]).bake(Span::secs(120));
    let freeze = window_of("night", (5 * 60, HOUR), Some("staging"), "hold_at_safe_point");
    let humans = Humans::office().overeager(300_000).wrong_button(20_000).meddling(2_000);
    of(&shop)
        .freezes(freeze)
        .tightens(Span::secs(HOUR + 600), window("incident", HOUR, 3))
        .humans(humans)
}

fn blue_green() -> Sim {
    let analysis = vec![fixtures::error_rate().id];
    let strategy = BlueGreen {
        gates: vec![Gate::Approval(Approval::new(literal("go")))],
        bake: Span::secs(120),
        analyses: analysis,
        keep_old: Span::secs(300),
        ..BlueGreen::default()
    };
    let shop = Shop::new().without_staging().strategy(Strategy::BlueGreen(strategy));
    of(&shop.regions(["eu", "us"]).rollback_scope(RollbackScope::Region))
        .bad(fixtures::digest("api", Shop::NEW), Badness::Failing)
        .tightens(Span::secs(900), window("incident", 0, 2))
        .humans(Humans::new().meddling(10_000).overeager(200_000))
}

fn recreate() -> Sim {
    let shop = Shop::new().without_staging().regions(["eu"]).strategy(Strategy::Recreate);
    // A policy that changes its mind every twenty seconds, so that retries meet a denial.
    let sim = (0..60).map(|n| 20 + 40 * n).fold(of(&shop), |sim, secs| {
        sim.tightens(
            Span::secs(secs),
            window_of(&format!("flap-{secs}"), (secs, 20), None, "finish"),
        )
    });
    let mut faults = little().and(super::faults::Fault::Clock(2 * 3_600_000_000), at(after(1)));
    faults.clauses.extend(literal::<FaultPlan>("provider: transient 15%").clauses);
    sim.command(Span::secs(55), 0, fixtures::operator(), Command::Cancel).faults(faults)
}

const fn at(span: Span) -> super::faults::When {
    super::faults::When::At(span)
}

fn rolling() -> Sim {
    let rolling = Rolling { max_unavailable: 1.into(), bake: Span::secs(30), ..Rolling::new(2) };
    let shop = Shop::new().without_staging().replicas(4).strategy(Strategy::Rolling(rolling));
    of(&shop.regions(["eu"]).on_cancel(OnCancel::Leave))
        .bad(fixtures::digest("web", Shop::NEW), Badness::NeverReady)
        .humans(Humans::new().meddling(20_000).patience(1))
        .faults(little().and(super::faults::Fault::Clock(-45_000_000), at(Span::secs(200))))
}

fn contended() -> Sim {
    let shop = Shop::new().approvals(1).without_staging().regions(["eu"]).bake(Span::secs(60));
    let more: FaultPlan = literal("takeover 5%; pause engine 10m 2%; journal: slow 5%");
    let mut faults = little();
    faults.clauses.extend(more.clauses);
    let freeze = window_of("stop", (15 * 60, HOUR), Some("production"), "revert");
    of(&shop).freezes(freeze).engines(3).faults(faults)
}

fn custom(capability: &str) -> Action {
    Action::Custom { capability: capability.into(), input: serde_json::Value::Null }
}

/// A step that changes something, tried three times.
fn change(name: &str) -> Step {
    let action = custom(&format!("undo-{name}"));
    let undo = Undo::Compensate(vec![Compensation { action, phase: UndoPhase::Remove }]);
    Step::new(literal(name), custom("change")).undo(undo).retry(RetryPolicy::attempts(3))
}

/// Six changes side by side, three at a time, a meeting point with a gate, and one more that fails the
/// run; providers that do twice what they are asked twice.
fn by_hand() -> Sim {
    Sim::new(0)
        .departs(Span::ZERO, wide_plan())
        .providers(Providers::new().nature(Capability::Custom, Nature::Queryable))
        .humans(Humans::new().meddling(10_000).overeager(300_000))
        .faults(little())
        .run_for(after(24))
}

fn wide_plan() -> FrozenPlan {
    let mut plan = Plan::builder(literal("train"), literal("wide"));
    plan.max_parallel(3);
    plan.notify(vec![literal("ops")]);
    let back = OnFailure::RollBack(RollbackScope::Release);
    let wide: Vec<u32> =
        (0..6).map(|n| plan.step(change(&format!("wide-{n}")).on_failure(back))).collect();
    let approval = Approval { quorum: 2, ..Approval::new(literal("meet")) };
    let meet = plan.step(Step::new(literal("meet"), Action::Sync).gate(Gate::Approval(approval)));
    for from in wide {
        plan.edge(from, meet, EdgeKind::Sync);
    }
    let bake = plan.step(Step::new(literal("bake"), Action::Bake { duration: Span::secs(90) }));
    let last = plan.step(change("last").on_failure(back));
    let held = plan.step(change("held").on_failure(OnFailure::Hold));
    plan.edge(meet, bake, EdgeKind::Order);
    plan.edge(bake, last, EdgeKind::Order);
    plan.edge(last, held, EdgeKind::Order);
    sound(plan)
}

/// A plan of this crate, which is sound.
pub(super) fn sound(plan: PlanBuilder) -> FrozenPlan {
    match plan.build() {
        Ok(plan) => plan.freeze(),
        Err(errors) => literal::<Nothing>(&errors.to_string()).0,
    }
}

/// A run that goes on with another plan when its engine is upgraded, and one that brings its engines down.
fn upgraded() -> Sim {
    let chain = |names: &[&str], changed: bool| {
        let mut plan = Plan::builder(literal("train"), literal("chain"));
        let mut before = None;
        for name in names {
            let back = OnFailure::RollBack(RollbackScope::Release);
            let mut step = change(name).on_failure(back);
            if changed && *name == "d" {
                step.action = custom("changed");
            }
            let at = plan.step(step);
            if let Some(before) = before.replace(at) {
                plan.edge(before, at, EdgeKind::Order);
            }
        }
        sound(plan)
    };
    let old = ["a", "b", "c", "d", "e"];
    let new = ["a", "b", "check", "c", "d", "more", "e"];
    Sim::new(0)
        .departs(Span::ZERO, chain(&old, false))
        .departs(Span::secs(600), chain(&["x", "y"], false))
        .migrates(Span::secs(20), 0, chain(&new, true))
        // Whoever was taken over may still have a call on its way.
        .providers(Providers::new().nature(Capability::Custom, Nature::Idempotent))
        .max_recoveries(4)
        .poison(1)
        .engines(2)
        .humans(Humans::new().delay(Span::secs(60), Span::secs(600)))
        .faults(little())
        .run_for(after(12))
}

/// Four runs, one of them urgent, whose engines share limits, a reserve for rollbacks and quotas,
/// by a ledger that begins a new stream every few steps.
fn limited() -> Sim {
    let all = Limit { rollback_reserve: 1, ..Limit::new(literal("all"), 2) };
    let places = Limit {
        per: Per::Region,
        scope: Scope { environment: Some(literal("production")), ..Scope::default() },
        ..Limit::new(literal("places"), 1)
    };
    let hourly = Quota {
        id: literal("hourly"),
        scope: Scope { provider: Some("deploy".to_owned()), ..Scope::default() },
        per: Per::Step,
        amount: 6,
        window: Window::Rolling(Span::secs(HOUR)),
    };
    let daily = Quota { id: literal("daily"), window: Window::Day, amount: 24, ..hourly.clone() };
    let patience = Span::secs(600);
    let file = LimitsFile { limits: vec![all, places], quotas: vec![hourly, daily], patience };
    let limits = Limits::new(file).unwrap_or_default();
    let more: FaultPlan = literal("takeover 5%; pause engine 10m 1%; provider: permanent 8%");
    let mut faults = little();
    faults.clauses.extend(more.clauses);
    let run = |nth: u32| {
        let shop = Shop::new().without_staging().regions(["eu"]).weights([50]);
        let shop = shop.bake(Span::secs(60)).rollback_scope(RollbackScope::Release);
        let mut definition = shop.definition();
        definition.release.id = literal(&format!("limited-{nth}"));
        if nth == 3 {
            definition.release.priority = Priority::Hotfix;
        }
        for analysis in &mut definition.analyses {
            analysis.count = 2;
        }
        definition
    };
    let sim = Sim::new(0).train(4, Span::secs(120), run).unwrap_or_else(|_| Sim::new(0));
    sim.limits(limits).ledger_page(8).engines(3).faults(faults).run_for(days(1))
}

/// A canary whose providers can neither be asked nor told twice: only people know what became of a lost
/// answer, and the run stops, is cancelled or loses a member meanwhile.
fn untold() -> Sim {
    let shop = Shop::new().without_staging().regions(["eu"]).weights([50]).bake(Span::secs(60));
    let opaque = [Capability::Deploy, Capability::Traffic, Capability::Custom];
    let providers =
        opaque.into_iter().fold(Providers::new(), |all, one| all.nature(one, Nature::Opaque));
    let humans = Humans::new().meddling(60_000).delay(Span::secs(60), Span::secs(3 * HOUR));
    let more: FaultPlan = literal("provider: unknown 6%; provider: apply-then-timeout 4%");
    let mut faults = little();
    faults.clauses.extend(more.clauses);
    of(&shop).providers(providers).humans(humans).engines(2).faults(faults)
}

/// Where a plan of this module is not sound, which is a fault of the module.
struct Nothing(FrozenPlan);

impl std::str::FromStr for Nothing {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Err(text.to_owned())
    }
}
