//! A platform with limits of which others have everything, and a clock that may be wrong: what binds a run
//! besides its plan and its policy.

use std::sync::Arc;

use release_core::explain::View;
use release_core::limits::{
    Class, Ledger, LedgerEvent, Limit, LimitsFile, Per, Quota, Request, Scope, Window, grants,
};
use release_core::model::Span;
use release_core::port::{ClockAnomaly, Policy};
use release_core::run::Permits;

use super::desk::{ENGINE, claim, unit};
use super::drive::Run;
use super::samples::id;
use super::world::START;

/// What binds a run besides its plan and its policy.
#[derive(Debug)]
pub(crate) struct Bounds {
    pub(crate) permits: Permits,
    pub(crate) doubtful: bool,
    ledger: Ledger,
}

impl Bounds {
    /// Others hold the only place at provider `slow`, and have used up what `often` does in two seconds.
    /// Which steps these perform is `mood`'s.
    pub(crate) fn new(run: &Run, doubtful: bool, mood: u8) -> Self {
        let at = |provider: &str| Scope { provider: Some(provider.into()), ..Scope::default() };
        let slow = Limit { scope: at("slow"), ..Limit::new(id("slow"), 1) };
        let (window, amount) = (Window::Rolling(Span::secs(2)), 1);
        let often = Quota { id: id("often"), scope: at("often"), per: Per::Step, amount, window };
        let file = LimitsFile { limits: vec![slow], quotas: vec![often], ..LimitsFile::default() };
        let limits = release_core::limits::Limits::new(file).unwrap();
        let mut ledger = Ledger::new();
        let mut note = |event| ledger.evolve(START, &event).unwrap();
        note(LedgerEvent::Configured { limits: limits.clone() });
        for (name, limits, quotas) in
            [("other", vec![id("slow")], vec![]), ("third", vec![], vec![id("often")])]
        {
            let claim = claim(name);
            let wants = vec![release_core::limits::Want { unit: unit(&claim), limits, quotas }];
            let (engine, team, class) = (ENGINE.to_owned(), None, Class::Normal);
            let request = Request { claim: claim.clone(), epoch: 1, engine, team, class, wants };
            note(LedgerEvent::Requested { request });
            note(LedgerEvent::Granted { claim, by: ENGINE.into() });
        }
        let mut permits = Permits::new(Arc::new(limits));
        for step in (0..).map_while(|index| run.state.plan().get(index)) {
            let sum: u32 = step.id.as_str().bytes().map(u32::from).sum();
            match (sum + u32::from(mood)) % 5 {
                0 => permits.provided(step.id.clone(), "slow".into()),
                1 => permits.provided(step.id.clone(), "often".into()),
                _ => {}
            }
        }
        Self { permits, doubtful, ledger }
    }

    pub(crate) fn view<'a>(&'a self, run: &Run, policy: &'a dyn Policy) -> View<'a> {
        let jumped = ClockAnomaly { wall: START.plus(Span::secs(1_000_000)), expected: run.now };
        let view = View::new(run.now, policy).anomaly(self.doubtful.then_some(jumped));
        view.limits(&self.permits, Ok(&self.ledger))
    }

    /// What the run has once the step has asked: what it asked for, if the ledger grants that at once.
    pub(crate) fn once_asked(&self, run: &Run, step: u32) -> Permits {
        let mut permits = self.permits.clone();
        let wants = permits.wants(&run.state, step);
        let (claim, team, class) = permits.claim(&run.state, step);
        let mut ledger = self.ledger.clone();
        let (engine, asked) = (ENGINE.to_owned(), wants.clone());
        let request = Request { claim, epoch: 1, engine, team, class, wants: asked };
        ledger.evolve(run.now, &LedgerEvent::Requested { request }).unwrap();
        if !grants(&mut ledger, run.now, ENGINE).is_empty() {
            for want in wants {
                permits.has(want.unit);
            }
        }
        permits
    }
}
