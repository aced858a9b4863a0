//! How requests are put to Cedar, and its answers into ours.

use std::collections::BTreeMap;

use cedar_policy::{
    AuthorizationError, Context, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    Request, Response, RestrictedExpression as Value,
};
use release_core::model::{
    Principal, PrincipalKind, RegionId, RunId, ServiceId, TeamId, Timestamp, TrainId,
};
use release_core::port::{
    Admission, CommandRequest, Decision, Grant, Inputs, Policy, Reason, ReasonKind,
};

use super::load::{CedarRules, FactType};
use crate::decision::{Fact, Facts};
use crate::window::Classes;

type Failure = Box<dyn std::error::Error>;
type Attributes = BTreeMap<String, Value>;

impl CedarRules {
    /// Answers a request for a step by what is known besides.
    pub(crate) fn admission(
        &self,
        request: &Admission<'_>,
        classes: &Classes,
        facts: &Facts,
    ) -> Decision {
        let class = classes.of_step(request.step, request.rollback);
        self.answer(|| {
            let (place, mut parents) = (request.step.scope.place(), Vec::new());
            let mut attributes = Attributes::from([
                text("id", request.step.id.as_str()),
                text("capability", request.step.action.name()),
                ("rollback".to_owned(), Value::new_bool(request.rollback)),
            ]);
            let places = place.map(|place| {
                [
                    ("Environment", "environment", Some(place.environment.as_str())),
                    ("Region", "region", place.region.as_ref().map(RegionId::as_str)),
                    ("Service", "service", place.service.as_ref().map(ServiceId::as_str)),
                    ("Team", "team", place.team.as_ref().map(TeamId::as_str)),
                ]
            });
            for (of, name, id) in places.into_iter().flatten() {
                if let Some(id) = id {
                    attributes.extend([text(name, id)]);
                    parents.push(uid(of, id)?);
                }
            }
            let mut all = Parts::new(request.requester, request.run, request.requester)?;
            all.of_train(request.train())?;
            parents.push(all.run.clone());
            let step = uid("Step", &format!("{}/{}", request.run, request.step.id))?;
            all.entities.push(entity(step.clone(), attributes, parents)?);
            self.ask(all, class.name(), step, request.now, facts)
        })
    }

    /// Answers a request to give a command, likewise.
    pub(crate) fn authorization(&self, request: &CommandRequest<'_>, facts: &Facts) -> Decision {
        self.answer(|| {
            let mut all = Parts::new(request.by, request.run, request.requester)?;
            all.of_train(request.train())?;
            let run = all.run.clone();
            self.ask(all, request.command.name(), run, request.now, facts)
        })
    }

    fn ask(
        &self,
        all: Parts,
        action: &str,
        resource: EntityUid,
        now: Timestamp,
        facts: &Facts,
    ) -> Result<Response, Failure> {
        let schema = Some(&self.schema);
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
        let context = Context::from_pairs([
            ("now".to_owned(), Value::new_long(now.as_micros() / 1_000)),
            ("facts".to_owned(), Value::new_record(known)?),
        ])?;
        let action = uid("Action", action)?;
        let request = Request::new(all.principal, action, resource, context, schema)?;
        let entities = Entities::from_entities(all.entities, schema)?;
        Ok(self.authorizer.is_authorized(&request, &self.set, &entities))
    }

    /// Ours of Cedar's answer. What cannot even be asked, is denied.
    fn answer(&self, ask: impl FnOnce() -> Result<Response, Failure>) -> Decision {
        let decision = match ask() {
            Err(error) => {
                let text = format!("the request does not fit the schema of the rules: {error}");
                let reason = Reason::new("cedar/request", text, "whoever maintains the rules");
                Decision::deny(vec![reason.kind(ReasonKind::Error)])
            }
            Ok(response) => self.judged(&response),
        };
        decision.from_inputs(Inputs { policy: Some(self.digest()), ..Inputs::default() })
    }

    fn judged(&self, response: &Response) -> Decision {
        let (mut grants, mut denied, mut missed) = (Vec::new(), Vec::new(), Vec::new());
        for id in response.diagnostics().reason() {
            let id = id.to_string();
            let Some(told) = self.told.get(&id) else { continue };
            match told.effect {
                Effect::Permit => grants.push(Grant::of(format!("permit/{id}"))),
                Effect::Forbid => {
                    let text = told.because.as_deref().unwrap_or("it forbids this");
                    denied.push(Reason::new(format!("forbid/{id}"), text, told.owner.clone()));
                }
            }
        }
        for AuthorizationError::PolicyEvaluationError(error) in response.diagnostics().errors() {
            let id = error.policy_id().to_string();
            let forbids = self.told.get(&id).is_none_or(|told| told.effect == Effect::Forbid);
            let owner =
                self.told.get(&id).map_or("whoever maintains the rules", |told| &told.owner);
            let (effect, list) =
                if forbids { ("forbid", &mut denied) } else { ("permit", &mut missed) };
            let text = format!("cannot be judged: {}", error.inner());
            let reason = Reason::new(format!("{effect}/{id}"), text, owner);
            list.push(reason.kind(ReasonKind::Error));
        }
        grants.sort_by(|a, b| a.rule.cmp(&b.rule));
        if denied.is_empty()
            && !grants.is_empty()
            && response.decision() == cedar_policy::Decision::Allow
        {
            return Decision::Permit { grants, inputs: None };
        }
        if grants.is_empty() {
            denied.append(&mut missed);
            if !response.diagnostics().reason().any(|_| true) {
                let text = "no rule in Cedar permits this";
                let none = Reason::new(
                    "permit",
                    text,
                    "a rule that permits it, by whoever owns the rules",
                );
                denied.push(none.kind(ReasonKind::Missing));
            }
        }
        denied.sort_by(|a, b| (&a.rule, &a.text).cmp(&(&b.rule, &b.text)));
        Decision::deny(denied)
    }
}

/// Who asks and about which run, as entities.
struct Parts {
    principal: EntityUid,
    run: EntityUid,
    entities: Vec<Entity>,
}

impl Parts {
    fn new(by: &Principal, run: &RunId, requester: &Principal) -> Result<Self, Failure> {
        let of = match by.kind {
            PrincipalKind::Human => "Person",
            PrincipalKind::Service => "Machine",
        };
        let principal = uid(of, by.id.as_str())?;
        let roles = by.roles.iter().map(|role| uid("Role", role.as_str()));
        let roles = roles.collect::<Result<Vec<_>, _>>()?;
        let id = Attributes::from([text("id", by.id.as_str())]);
        let who = entity(principal.clone(), id, roles)?;
        let attributes =
            Attributes::from([text("id", run.as_str()), text("requester", requester.id.as_str())]);
        let run = uid("Run", run.as_str())?;
        let about = entity(run.clone(), attributes, Vec::new())?;
        Ok(Self { principal, run, entities: vec![who, about] })
    }

    /// Puts the run into its train.
    fn of_train(&mut self, train: Option<&TrainId>) -> Result<(), Failure> {
        let Some(train) = train else { return Ok(()) };
        let parents = vec![uid("Train", train.as_str())?];
        if let Some(run) = self.entities.pop() {
            let (id, attributes, _) = run.into_inner();
            self.entities.push(entity(id, attributes.into_iter().collect(), parents)?);
        }
        Ok(())
    }
}

fn entity(
    id: EntityUid,
    attributes: Attributes,
    parents: Vec<EntityUid>,
) -> Result<Entity, Failure> {
    Ok(Entity::new(id, attributes.into_iter().collect(), parents.into_iter().collect())?)
}

fn uid(of: &str, id: &str) -> Result<EntityUid, Failure> {
    let of: EntityTypeName = format!("Release::{of}").parse()?;
    Ok(EntityUid::from_type_name_and_id(of, EntityId::new(id)))
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
