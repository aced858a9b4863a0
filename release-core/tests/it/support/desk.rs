//! A ledger of permits under a clock of its own, and an account of it that is kept apart from it.

use std::collections::{BTreeMap, BTreeSet};

use release_core::limits::{
    Claim, Class, Ledger, LedgerEvent, Limit, Limits, LimitsFile, Request, Unit, Want, grants,
};
use release_core::model::{LimitId, RunId, Span, Timestamp};

use super::samples::id;
use super::world::START;

pub(crate) const ENGINE: &str = "here";

pub(crate) struct Desk {
    pub(crate) ledger: Ledger,
    pub(crate) now: Timestamp,
    pub(crate) log: Vec<(Timestamp, LedgerEvent)>,
    /// Folded from decoded JSON, beside the ledger itself.
    replica: Ledger,
}

pub(crate) fn limits(limits: Vec<Limit>) -> Limits {
    Limits::new(LimitsFile { limits, ..LimitsFile::default() }).unwrap()
}

pub(crate) fn claim(run: &str) -> Claim {
    Claim { run: id(run), step: id("go"), generation: 0 }
}

pub(crate) fn unit(claim: &Claim) -> Unit {
    Unit::Step { step: claim.step.clone(), generation: claim.generation }
}

/// A request of the step `go` of `run` for one permit of each of `of`.
pub(crate) fn request(run: &str, team: Option<&str>, class: Class, of: &[&str]) -> Request {
    let claim = claim(run);
    let limits = of.iter().map(|limit| id(limit)).collect();
    let wants = vec![Want { unit: unit(&claim), limits, quotas: vec![] }];
    let (engine, team) = (ENGINE.to_owned(), team.map(id));
    Request { claim, epoch: 1, engine, team, class, wants }
}

impl Desk {
    pub(crate) fn new(limits: Limits) -> Self {
        let mut desk =
            Self { ledger: Ledger::new(), now: START, log: Vec::new(), replica: Ledger::new() };
        desk.note(LedgerEvent::Opened { carried: None });
        desk.note(LedgerEvent::Configured { limits });
        desk
    }

    pub(crate) fn note(&mut self, event: LedgerEvent) {
        self.ledger.evolve(self.now, &event).unwrap();
        self.logged(event);
    }

    fn logged(&mut self, event: LedgerEvent) {
        let stored = serde_json::to_string(&event).unwrap();
        self.replica.evolve(self.now, &serde_json::from_str(&stored).unwrap()).unwrap();
        self.log.push((self.now, event));
    }

    pub(crate) fn pass(&mut self, span: Span) {
        self.now = self.now.plus(span);
    }

    pub(crate) fn ask(&mut self, request: Request) {
        self.note(LedgerEvent::Requested { request });
    }

    /// Grants what can be granted, and says to whom.
    pub(crate) fn grant(&mut self) -> Vec<Claim> {
        let mut granted = Vec::new();
        for event in grants(&mut self.ledger, self.now, ENGINE) {
            if let LedgerEvent::Granted { claim, .. } = &event {
                granted.push(claim.clone());
            }
            self.logged(event);
        }
        assert_eq!(self.ledger, self.replica, "the fold of what is stored");
        granted
    }

    /// The runs that are granted what they asked for, in that order.
    pub(crate) fn runs(&mut self) -> Vec<String> {
        self.grant().into_iter().map(|claim| claim.run.to_string()).collect()
    }

    pub(crate) fn release(&mut self, run: &str) {
        let (run, units): (RunId, _) = (id(run), vec![unit(&claim(run))]);
        self.note(LedgerEvent::Released { run, units, epoch: 1, why: "over".into() });
    }
}

/// I4, by a sweep over what was granted and given back, which knows nothing of the ledger's own books:
/// no limit was ever exceeded, at any instant. Returns the most that was held of each.
pub(crate) fn sweep(log: &[(Timestamp, LedgerEvent)], limits: &Limits) -> BTreeMap<LimitId, u32> {
    let mut asked: BTreeMap<Claim, Request> = BTreeMap::new();
    let mut held: BTreeSet<(RunId, Unit)> = BTreeSet::new();
    let mut of: BTreeMap<(RunId, Unit), Vec<LimitId>> = BTreeMap::new();
    let mut most: BTreeMap<LimitId, u32> = BTreeMap::new();
    for (_, event) in log {
        match event {
            LedgerEvent::Requested { request } => {
                asked.insert(request.claim.clone(), request.clone());
            }
            LedgerEvent::Granted { claim, .. } => {
                let request = asked.remove(claim).expect("a request for each grant");
                for want in request.wants {
                    let owner = (claim.run.clone(), want.unit);
                    if held.insert(owner.clone()) {
                        of.insert(owner, want.limits);
                    }
                }
                for limit in limits.limits() {
                    let count = of.values().flatten().filter(|id| **id == limit.id).count();
                    let count = u32::try_from(count).unwrap();
                    let rollback = request.class == Class::Rollback;
                    let allowed = if rollback { limit.most() } else { limit.capacity };
                    let touched = of
                        .iter()
                        .any(|((run, _), ids)| *run == claim.run && ids.contains(&limit.id));
                    assert!(!touched || count <= allowed, "{count} of `{}`", limit.id);
                    let most = most.entry(limit.id.clone()).or_default();
                    *most = count.max(*most);
                }
            }
            LedgerEvent::Released { run, units, .. } => {
                for unit in units {
                    let owner = (run.clone(), unit.clone());
                    assert!(held.remove(&owner), "{unit} of {run} was given back twice");
                    of.remove(&owner);
                }
            }
            _ => {}
        }
    }
    assert!(held.is_empty(), "permits that nobody gave back: {held:?}");
    most
}
