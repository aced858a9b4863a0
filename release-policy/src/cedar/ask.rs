//! How requests are put to Cedar, and its answers into ours.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    AuthorizationError, Context, Entities, Entity, EntityUid, PolicySet, Request, Response,
    RestrictedExpression as Value, Schema,
};
use release_core::model::{
    Principal, PrincipalKind, RegionId, RunId, ServiceId, TeamId, Timestamp,
};
use release_core::plan::{Place, Step};
use release_core::port::{
    Admission, CommandRequest, Decision, Grant, Inputs, Policy, Reason, ReasonKind,
};
use release_core::run::{Command, RunState};

use super::load::{CedarRules, FactType};
use super::places::{Failure, Whereabouts, uid};
use crate::decision::{Fact, Facts};
use crate::rbac::Action;
use crate::window::Classes;

type Attributes = BTreeMap<String, Value>;

impl CedarRules {
    /// Answers a request for a step by what is known besides.
    pub(crate) fn admission(
        &self,
        request: &Admission<'_>,
        classes: &Classes,
        facts: &Facts,
    ) -> Decision {
        let action = Action::of_class(classes.of_step(request.step, request.rollback));
        self.answer(|| {
            let (step, train) = (request.step, request.train());
            let who = of_principal(request.requester)?;
            let run = uid("Run", request.run.as_str())?;
            let attributes = of_run(request.run, request.requester);
            let of_train = train.map(|train| uid("Train", train.as_str())).transpose()?;
            let of_run = entity(run.clone(), attributes, of_train)?;
            let id = uid("Step", &format!("{}/{}", request.run, step.id))?;
            let context = self.context(request.now, facts)?;
            Ok(Asked {
                request: self.request(&who, action, &id, context)?,
                subject: id,
                attributes: of_step(step, request.rollback),
                within: vec![run],
                at: Whereabouts::of(step.scope.place(), train)?,
                others: vec![who, of_run],
            })
        })
    }

    /// Answers a request to give a command, likewise.
    pub(crate) fn authorization(&self, request: &CommandRequest<'_>, facts: &Facts) -> Decision {
        self.answer(|| {
            let (command, train) = (request.command, request.train());
            let unknown = || format!("no rule knows the command `{}`", command.name());
            let action = Action::of_command(command).ok_or_else(unknown)?;
            let place = || step_of(request).and_then(|step| step.scope.place());
            let at = match command {
                Command::Descope { service } => Whereabouts::of_service(service, train)?,
                _ => Whereabouts::of(place(), train)?,
            };
            let who = of_principal(request.by)?;
            let run = uid("Run", request.run.as_str())?;
            let context = self.context(request.now, facts)?;
            Ok(Asked {
                request: self.request(&who, action, &run, context)?,
                subject: run,
                attributes: of_run(request.run, request.requester),
                within: Vec::new(),
                at,
                others: vec![who],
            })
        })
    }

    fn context(&self, now: Timestamp, facts: &Facts) -> Result<Context, Failure> {
        let known = self.facts.iter().filter_map(|(name, of)| {
            let value = match (of, facts.value(name)?) {
                (FactType::Flag, Fact::Flag(flag)) => Value::new_bool(*flag),
                (FactType::Number, Fact::Number(number)) => Value::new_long(*number),
                (FactType::Text, Fact::Text(text)) => Value::new_string(text.clone()),
                // One of another type than is declared is none that rules could ask for.
                _ => return None,
            };
            Some((name.clone(), value))
        });
        Ok(Context::from_pairs([
            ("now".to_owned(), Value::new_long(now.as_micros() / 1_000)),
            ("facts".to_owned(), Value::new_record(known)?),
        ])?)
    }

    fn request(
        &self,
        who: &Entity,
        action: Action,
        subject: &EntityUid,
        context: Context,
    ) -> Result<Request, Failure> {
        let action = uid("Action", action.name())?;
        Ok(Request::new(who.uid(), action, subject.clone(), context, Some(&self.schema))?)
    }

    /// Ours of Cedar's answers. What cannot even be asked, is denied.
    fn answer(&self, ask: impl FnOnce() -> Result<Asked, Failure>) -> Decision {
        let decision = match ask().and_then(|asked| self.found(&asked)) {
            Err(error) => {
                let text = format!("the request does not fit the schema of the rules: {error}");
                let reason = Reason::new("cedar/request", text, "whoever maintains the rules");
                Decision::deny(vec![reason.kind(ReasonKind::Error)])
            }
            Ok(found) => self.judged(found),
        };
        decision.from_inputs(Inputs { policy: Some(self.digest()), ..Inputs::default() })
    }

    /// Asks all rules of what lies in no place that they name but where it is known to lie, and then those
    /// that name places for all others that it touches.
    fn found(&self, asked: &Asked) -> Result<Found, Failure> {
        let mut found = Found::default();
        let first = asked.entities(&[], &self.schema)?;
        found.first(self, &self.put(asked, &self.set, &first));
        for group in &self.groups {
            for way in group.ways(&asked.at).iter().skip(1) {
                let entities = asked.entities(way, &self.schema)?;
                found.forbidden(&self.put(asked, &group.forbids, &entities));
                found.part(&group.permits, &self.put(asked, &group.permits, &entities));
            }
        }
        Ok(found)
    }

    fn put(&self, asked: &Asked, rules: &PolicySet, entities: &Entities) -> Response {
        self.authorizer.is_authorized(&asked.request, rules, entities)
    }

    fn judged(&self, found: Found) -> Decision {
        let Found { permits, forbids, missed } = found;
        let owner = |id: &str| {
            let told = self.told.get(id);
            told.map_or("whoever maintains the rules", |told| told.owner.as_str())
        };
        let reason =
            |effect, id: &str, text: &str| Reason::new(format!("{effect}/{id}"), text, owner(id));
        let denied = forbids.iter().map(|(id, error)| {
            let because = self.told.get(id).and_then(|told| told.because.as_deref());
            let text = error.as_deref().or(because).unwrap_or("it forbids this");
            let kind = if error.is_some() { ReasonKind::Error } else { ReasonKind::Rule };
            reason("forbid", id, text).kind(kind)
        });
        let mut denied: Vec<_> = denied.collect();
        if denied.is_empty() && !permits.is_empty() {
            let grants = permits.iter().map(|id| Grant::of(format!("permit/{id}"))).collect();
            return Decision::Permit { grants, inputs: None };
        }
        if permits.is_empty() {
            denied.extend(
                missed.iter().map(|(id, (text, kind))| reason("permit", id, text).kind(*kind)),
            );
            if forbids.values().all(Option::is_some) {
                let none = Reason::new(
                    "permit",
                    "no rule in Cedar permits this",
                    "a rule that permits it, by whoever owns the rules",
                );
                denied.push(none.kind(ReasonKind::Missing));
            }
        }
        denied.sort_by(|a, b| (&a.rule, &a.text).cmp(&(&b.rule, &b.text)));
        Decision::deny(denied)
    }
}

/// What is asked about, and the entities beside it.
struct Asked {
    request: Request,
    subject: EntityUid,
    attributes: Attributes,
    /// What it belongs to besides places.
    within: Vec<EntityUid>,
    at: Whereabouts,
    others: Vec<Entity>,
}

impl Asked {
    /// All entities, the subject also in the places of `way`.
    fn entities(&self, way: &[EntityUid], schema: &Schema) -> Result<Entities, Failure> {
        let parents = self.within.iter().chain(self.at.known()).chain(way).cloned();
        let subject = entity(self.subject.clone(), self.attributes.clone(), parents)?;
        let all = self.others.iter().cloned().chain([subject]);
        Ok(Entities::from_entities(all, Some(schema))?)
    }
}

/// What the rules come to.
#[derive(Debug, Default)]
struct Found {
    /// Those that permit all of what is asked.
    permits: BTreeSet<String>,
    /// Those that forbid any of it; with a text, because they cannot be judged.
    forbids: BTreeMap<String, Option<String>>,
    /// Those that permit only a part of it or cannot be judged, and what there is to say of that.
    missed: BTreeMap<String, (String, ReasonKind)>,
}

impl Found {
    fn first(&mut self, rules: &CedarRules, response: &Response) {
        let permits = |id: &str| {
            rules.told.get(id).is_some_and(|told| told.effect == cedar_policy::Effect::Permit)
        };
        for id in reasons(response) {
            if permits(&id) {
                self.permits.insert(id);
            } else {
                self.forbids.insert(id, None);
            }
        }
        for (id, text) in errors(response) {
            if permits(&id) {
                self.missed.insert(id, (text, ReasonKind::Error));
            } else {
                self.forbids.entry(id).or_insert(Some(text));
            }
        }
    }

    /// What of forbids alone is said to another place that is touched.
    fn forbidden(&mut self, response: &Response) {
        self.forbids.extend(reasons(response).map(|id| (id, None)));
        for (id, text) in errors(response) {
            self.forbids.entry(id).or_insert(Some(text));
        }
    }

    /// What of `permits` alone is said to another place: those that do not permit it permit a part only.
    fn part(&mut self, permits: &PolicySet, response: &Response) {
        let here: BTreeSet<_> = reasons(response).collect();
        let mut errors: BTreeMap<_, _> = errors(response).collect();
        for id in permits.policies().map(|rule| rule.id().to_string()) {
            if !here.contains(&id) && self.permits.remove(&id) {
                let why = match errors.remove(&id) {
                    Some(text) => (text, ReasonKind::Error),
                    None => {
                        ("it permits only a part of what this concerns".into(), ReasonKind::Missing)
                    }
                };
                self.missed.insert(id, why);
            }
        }
    }
}

/// The rules that decided.
fn reasons(response: &Response) -> impl Iterator<Item = String> {
    response.diagnostics().reason().map(ToString::to_string)
}

/// The rules that failed, and how.
fn errors(response: &Response) -> impl Iterator<Item = (String, String)> {
    response.diagnostics().errors().map(|AuthorizationError::PolicyEvaluationError(error)| {
        (error.policy_id().to_string(), format!("cannot be judged: {}", error.inner()))
    })
}

/// The step that a command is about: behind a gate, or by name.
fn step_of<'a>(request: &CommandRequest<'a>) -> Option<&'a Step> {
    let plan = request.state.map(RunState::plan)?;
    match request.command {
        Command::Approve { gate } | Command::Withdraw { gate } | Command::Reject { gate } => {
            plan.behind(gate).next()
        }
        Command::Retry { step } | Command::EndBake { step } | Command::Reconcile { step, .. } => {
            plan.get(plan.find(step)?)
        }
        _ => None,
    }
}

fn of_principal(who: &Principal) -> Result<Entity, Failure> {
    let of = match who.kind {
        PrincipalKind::Human => "Person",
        PrincipalKind::Service => "Machine",
    };
    let roles = who.roles.iter().map(|role| uid("Role", role.as_str()));
    let roles = roles.collect::<Result<Vec<_>, _>>()?;
    entity(uid(of, who.id.as_str())?, Attributes::from([text("id", who.id.as_str())]), roles)
}

fn of_run(run: &RunId, requester: &Principal) -> Attributes {
    Attributes::from([text("id", run.as_str()), text("requester", requester.id.as_str())])
}

fn of_step(step: &Step, rollback: bool) -> Attributes {
    let mut all = Attributes::from([
        text("id", step.id.as_str()),
        text("capability", step.action.name()),
        ("rollback".to_owned(), Value::new_bool(rollback)),
    ]);
    if let Some(Place { environment, region, service, team, .. }) = step.scope.place() {
        all.extend([text("environment", environment.as_str())]);
        all.extend(region.as_ref().map(|id| text("region", RegionId::as_str(id))));
        all.extend(service.as_ref().map(|id| text("service", ServiceId::as_str(id))));
        all.extend(team.as_ref().map(|id| text("team", TeamId::as_str(id))));
    }
    all
}

fn entity(
    id: EntityUid,
    attributes: Attributes,
    parents: impl IntoIterator<Item = EntityUid>,
) -> Result<Entity, Failure> {
    Ok(Entity::new(id, attributes.into_iter().collect(), parents.into_iter().collect())?)
}

fn text(name: &str, value: &str) -> (String, Value) {
    (name.to_owned(), Value::new_string(value.to_owned()))
}

impl Policy for CedarRules {
    fn admit(&self, request: &Admission<'_>) -> Decision {
        self.admission(request, &Classes::new(), &Facts::default())
    }

    fn authorize(&self, request: &CommandRequest<'_>) -> Decision {
        self.authorization(request, &Facts::default())
    }
}
