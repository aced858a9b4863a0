//! Windows as a policy of the engine, and what they say for themselves.

use chrono::NaiveDateTime;
use release_core::model::{GateId, Span, Timestamp};
use release_core::plan::{Place, Step};
use release_core::port::{
    Admission, CommandRequest, Decision, Grant, Inputs, Policy, Reason, ReasonKind,
};
use release_core::run::{Command, RunState};

#[cfg(doc)]
use super::OnStart;
use super::civil::local;
use super::concerned::{Applied, Concerned};
use super::spans::OVER;
use super::{
    ActionClass, Kind, MidFlight, NeverOpens, Query, SamePerson, Standing, Straddle, Window,
    Windows, mid_flight,
};
use crate::all_of::combine;

impl Policy for Windows {
    /// Waits while windows stand in the way: until the first instant at which none does, with a reason
    /// for each window on the way there. A step that changes something and says of no place where, concerns
    /// everywhere; any other that belongs to no place is nobody's business here, and a rollback only if a window
    /// names it.
    ///
    /// When it never opens, it waits without an instant: only other windows or a waiver can help. When the
    /// search for an opening is [given up](NeverOpens::GivenUp), it waits until where that came to.
    ///
    /// Of a rollout that is under way, the windows in the way say what becomes of it
    /// ([`OnStart`]), as far as the request tells how the run stands: it goes on to the next safe point, so
    /// that no traffic stays split, or to its end; or it is denied with [`ReasonKind::Revert`], and the run
    /// goes back. See [`mid_flight`].
    fn admit(&self, request: &Admission<'_>) -> Decision {
        self.admit_knowing(request, &|one, two| one == two)
    }

    /// Approvals and cancellations wait for windows that name them; all other commands are nobody's
    /// business here. The places of an approval are those of the steps behind its gate or, where the run is not
    /// known, the environment that its gate's name begins with; a cancellation concerns the whole release.
    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        self.authorize_knowing(request, &|one, two| one == two)
    }
}

/// The places that a command is about: those of the steps behind its gate, or that of its step. `None` is the
/// whole release; there is always one.
pub(crate) fn places_of(request: &CommandRequest<'_>) -> Vec<Option<Place>> {
    let plan = request.state.map(RunState::plan);
    let place = |step: &Step| step.scope.place().cloned();
    let all: Vec<_> = match (request.command, plan) {
        (
            Command::Approve { gate } | Command::Withdraw { gate } | Command::Reject { gate },
            Some(plan),
        ) => plan.behind(gate).map(place).collect(),
        (
            Command::Approve { gate } | Command::Withdraw { gate } | Command::Reject { gate },
            None,
        ) => environment(gate).map(Some).into_iter().collect(),
        (
            Command::Retry { step } | Command::EndBake { step } | Command::Reconcile { step, .. },
            Some(plan),
        ) => plan.find(step).and_then(|at| plan.get(at)).map(place).into_iter().collect(),
        _ => Vec::new(),
    };
    let mut places = Vec::new();
    for place in all {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    if places.is_empty() {
        places.push(None);
    }
    places
}

/// Gates of stages are named after their environment, as in `production/cab`.
fn environment(gate: &GateId) -> Option<Place> {
    let (environment, _) = gate.as_str().split_once('/')?;
    environment.parse().ok().map(Place::new)
}

impl Windows {
    /// As [`Policy::admit`], by whoever knows which accounts are one person's: a waiver that somebody granted
    /// by another account of theirs is none for them.
    pub fn admit_knowing(&self, request: &Admission<'_>, same_person: SamePerson<'_>) -> Decision {
        let place = request.step.scope.place();
        if place.is_none() && !request.step.action.mutates() {
            return Decision::permit();
        }
        let action = self.rules.classes.of_step(request.step, request.rollback);
        let lasting = match self.rules.straddle {
            Straddle::Allowed => Span::ZERO,
            Straddle::Never => request.step.timeout,
        };
        let query = Query::new(action, request.requester, request.now).run(request.run);
        let query = place.map_or(query, |place| query.place(place));
        let query = query.lasting(lasting).knowing(same_person);
        self.begins_or_goes_on(request, &query).from_inputs(self.inputs())
    }

    /// As [`Policy::authorize`], likewise.
    pub fn authorize_knowing(
        &self,
        request: &CommandRequest<'_>,
        same_person: SamePerson<'_>,
    ) -> Decision {
        let Some(action) = ActionClass::of_command(request.command) else {
            return Decision::permit();
        };
        let query = Query::new(action, request.by, request.now).run(request.run);
        let query = query.knowing(same_person);
        let places = match request.command {
            Command::Approve { .. } => places_of(request),
            _ => vec![None],
        };
        let decision = combine(places.iter().map(|place| {
            let query = place.as_ref().map_or(query, |place| query.place(place));
            self.decide(&query)
        }));
        decision.from_inputs(self.inputs())
    }

    /// What windows say to a step, wherever its rollout is.
    fn begins_or_goes_on(&self, request: &Admission<'_>, query: &Query<'_>) -> Decision {
        if self.is_open(query) {
            return Decision::permit();
        }
        let (until, reasons) = self.obstacles(query);
        match request.at.map(|(state, index)| self.becomes(state, index, query)) {
            Some(MidFlight::GoOn) => Decision::Permit { grants: going_on(&reasons), inputs: None },
            Some(MidFlight::Revert) => {
                let kind = |reason: Reason| reason.kind(ReasonKind::Revert);
                Decision::deny(reasons.into_iter().map(kind).collect())
            }
            Some(MidFlight::Hold) | None => Decision::wait(until, reasons),
        }
    }

    fn inputs(&self) -> Inputs {
        Inputs { calendar: Some(self.digest()), ..Inputs::default() }
    }

    /// The decision about a question, with its reasons.
    pub fn decide(&self, query: &Query<'_>) -> Decision {
        if self.is_open(query) {
            return Decision::permit();
        }
        let (until, reasons) = self.obstacles(query);
        Decision::wait(until, reasons)
    }

    /// What becomes of a step that would be next, which windows would hold. A window that only is about to
    /// close takes nothing back.
    fn becomes(&self, state: &RunState, index: u32, query: &Query<'_>) -> MidFlight {
        let on_start = self.on_start(query).unwrap_or_default();
        mid_flight(state.plan(), index, Standing::of(state, index), on_start)
    }

    /// From when on it can begin, and what stands in the way until then.
    fn obstacles(&self, query: &Query<'_>) -> (Option<Timestamp>, Vec<Reason>) {
        let (concerned, at) = match self.concerned(query) {
            Ok(found) => found,
            Err(why) => return (None, vec![never(&why, "nobody")]),
        };
        let open = concerned.open(at, query.lasting);
        let until = match &open {
            Ok(open) => Some(*open),
            // There the search goes on, if it has come anywhere.
            Err(NeverOpens::GivenUp { until }) => {
                Some(until.as_micros()).filter(|until| *until > at)
            }
            Err(_) => None,
        };
        let mut reasons = reasons(&concerned, query, until);
        if let Err(why) = &open {
            reasons.push(never(why, "a waiver, or whoever owns the windows"));
        }
        (until.map(Timestamp::from_micros), reasons)
    }
}

/// By whose leave a rollout goes on in spite of windows.
fn going_on(reasons: &[Reason]) -> Vec<Grant> {
    let mut rules: Vec<_> =
        reasons.iter().map(|reason| format!("mid-flight/{}", reason.rule)).collect();
    rules.sort_unstable();
    rules.dedup();
    rules.into_iter().map(Grant::of).collect()
}

fn never(why: &NeverOpens, lifted_by: &str) -> Reason {
    Reason::new("windows/never-open", why.to_string(), lifted_by)
}

fn reasons(concerned: &Concerned<'_>, query: &Query<'_>, until: Option<i64>) -> Vec<Reason> {
    let at = query.at.as_micros();
    let lasting = i64::try_from(query.lasting.as_duration().as_micros()).unwrap_or(i64::MAX);
    // Without an instant at which it opens: what stands in the way now, or soon.
    let end = until.unwrap_or_else(|| at.saturating_add(lasting).saturating_add(1));
    let frozen = concerned.freezes.iter().filter_map(|freeze| {
        freeze.blocks(at).filter(|begin| *begin < end).map(|begin| (begin, freeze))
    });
    let mut frozen: Vec<_> = frozen.collect();
    frozen.sort_by(|(a, x), (b, y)| (a, x.window.id()).cmp(&(b, y.window.id())));
    let mut all: Vec<_> =
        frozen.into_iter().map(|(begin, freeze)| freeze_reason(freeze, at, begin, query)).collect();
    if !concerned.allowed_through(at, end) {
        all.extend(concerned.deployments().map(|window| deployment_reason(window, at)));
    }
    all
}

/// How the reason of a freeze begins that does not hold yet, and will before what was asked for could be.
const TO_COME: &str = "will be frozen";

/// Whether a reason tells of a freeze that does not hold yet.
pub(crate) fn is_to_come(reason: &Reason) -> bool {
    reason.rule.starts_with("freeze/") && reason.text.starts_with(TO_COME)
}

fn freeze_reason(freeze: &Applied<'_>, at: i64, begin: i64, query: &Query<'_>) -> Reason {
    let window = freeze.window;
    let from = freeze.spans.began(begin).unwrap_or(begin);
    let until = freeze.spans.close(begin, OVER);
    let stretch = stretch(window, from, until);
    let why = &window.spec.reason;
    let text = if begin <= at {
        format!("frozen {stretch}: {why}")
    } else if query.lasting > Span::ZERO {
        format!("{TO_COME} {stretch}, and this takes {}: {why}", query.lasting)
    } else {
        format!("{TO_COME} {stretch}: {why}")
    };
    Reason::new(rule(window), text, lifted_by(window, until))
}

fn deployment_reason(applied: &Applied<'_>, at: i64) -> Reason {
    let window = applied.window;
    let why = &window.spec.reason;
    let Some(open) = applied.opens(at) else {
        let text = format!("closed, and never open again: {why}");
        let team = &window.spec.owner;
        return Reason::new(rule(window), text, format!("a waiver, or team {team}"));
    };
    let from = applied.spans.began(open).unwrap_or(open);
    let until = applied.spans.close(open, OVER);
    let verb = if open == at { "open" } else { "closed, and next open" };
    let text = format!("{verb} {}: {why}", stretch(window, from, until));
    Reason::new(rule(window), text, lifted_by(window, open))
}

fn rule(window: &Window) -> String {
    let kind = match window.spec.kind {
        Kind::Freeze => "freeze",
        Kind::Deployment => "deployment-window",
    };
    format!("{kind}/{}", window.id())
}

fn lifted_by(window: &Window, at: i64) -> String {
    let (at, team) = (Timestamp::from_micros(at), &window.spec.owner);
    format!("time, at {at}; a waiver; or team {team}")
}

/// A stretch in the window's own zone, as its clocks show it.
fn stretch(window: &Window, from: i64, until: i64) -> String {
    let shown = |at| local(window.zone, at).map(civil).unwrap_or_default();
    let (from, until) = (shown(from), shown(until));
    format!("from {from} until {until} {} (tzdb {})", window.zone.name(), Windows::tzdb())
}

/// As precise as it has to be.
fn civil(at: NaiveDateTime) -> String {
    let micros = at.and_utc().timestamp_micros();
    let format = if micros % 60_000_000 == 0 { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S%.f" };
    at.format(format).to_string()
}
