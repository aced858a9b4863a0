//! Custom steps that name an operation of a capability, for example `migrator.expand`.

use std::collections::BTreeMap;

use release_core::plan::{Action, Plan, Step};
use release_core::port::BindingError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::any::check_request;
use super::bind::{missing, unable};
use super::json::operations;
use super::{AnyProvider, ProviderSelector, Registry};
use crate::capability::Operation;
use crate::spi::{
    FlagRef, FlagState, JobPhase, JobRef, MigrationPhase, MigrationRef, TestOutcome, TestStatus,
    WorkspaceRef, WorkspaceStatus,
};
use crate::{Context, ErrorKind, OPERATIONS, ProviderError};

/// Capabilities that have steps of their own, and which.
const OWN_STEPS: &[(&str, &str)] = &[
    ("deployer", "scale"),
    ("traffic_router", "route"),
    ("health_probe", "probe"),
    ("metrics_source", "analyze"),
    ("notifier", "notify"),
    ("custom_action", "custom"),
];

/// So many failed tests are told by name.
const MOST_NAMES: usize = 20;

/// An operation, who performs it, and with what.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) operation: Operation,
    pub(crate) provider: AnyProvider,
    input: Value,
}

/// How far what was asked for is.
#[derive(Debug)]
pub(crate) enum Progress {
    /// There is no sign of it.
    Nothing,
    /// On its way; what is missing.
    Underway(String),
    /// Done, and what came of it.
    Done(Value),
    /// It will not come to be, and why.
    Failed(String),
}

impl Typed {
    /// The operation that a custom step names; `None` if it names none, an error if it cannot be performed.
    pub(super) fn bind(
        registry: &Registry,
        at: &ProviderSelector,
        name: &str,
        input: &Value,
    ) -> Option<Result<Self, String>> {
        let (capability, called) = name.split_once('.')?;
        let of = || OPERATIONS.iter().filter(|operation| operation.capability == capability);
        of().next()?;
        let Some(operation) = of().find(|operation| operation.name == called).copied() else {
            let known = operations(capability);
            return Some(Err(format!(
                "`{capability}` has no operation `{called}`; it has {known}"
            )));
        };
        Some(Self::of(registry, at, operation, input))
    }

    fn of(
        registry: &Registry,
        at: &ProviderSelector,
        operation: Operation,
        input: &Value,
    ) -> Result<Self, String> {
        let capability = operation.capability;
        if (capability, operation.name) == ("approval_channel", "ask") {
            return Err("`approval_channel.ask` asks and waits for nobody; use a gate".into());
        }
        if let Some((_, step)) = OWN_STEPS.iter().find(|(own, _)| *own == capability) {
            return Err(format!("`{operation}` has a step of its own; use `{step}`"));
        }
        let at = ProviderSelector { action: None, ..at.clone() };
        let found = registry.find_any(capability, &at);
        let provider = found.ok_or_else(|| missing(capability, &at))?;
        let described = provider.describe();
        let name = &described.name;
        let kept =
            named_step(input).map_or_else(|| input.clone(), |_| keyed(input, "some key".into()));
        let lacks = check_request(operation, &kept, &described.abilities).map_err(|problem| {
            format!("`{operation}` of `{name}` cannot be asked for: {problem}")
        })?;
        match lacks {
            Some(ability) => Err(unable(capability, name, &ability)),
            None => Ok(Self { operation, provider, input: input.clone() }),
        }
    }

    /// Asks for it.
    pub(crate) async fn call(
        &self,
        cx: &Context,
        key_of: impl Fn(&str) -> Option<String>,
    ) -> Result<Value, ProviderError> {
        self.provider.call(self.operation.name, cx, &self.request(key_of)?).await
    }

    /// Its input, with the key of the step that it may name.
    pub(super) fn request(
        &self,
        key_of: impl Fn(&str) -> Option<String>,
    ) -> Result<Value, ProviderError> {
        let Some(step) = named_step(&self.input) else { return Ok(self.input.clone()) };
        // Never without: a plan is checked before it runs.
        let key =
            key_of(step).ok_or_else(|| self.invalid(format!("the plan has no step `{step}`")))?;
        Ok(keyed(&self.input, key))
    }

    /// Why the answer of an operation that only looks is a no: a step that asks whether something is as it should be
    /// fails when it is not.
    pub(crate) fn is_a_no(&self, answer: &Value) -> Option<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match (self.operation.capability, self.operation.name) {
            ("artifact_verifier", "verify") => match answer.pointer("/verdict/verdict") {
                Some(verdict) if verdict == "verified" => None,
                _ => {
                    let why = answer.pointer("/verdict/reasons").map(ToString::to_string);
                    Some(format!("the artifact is not verified: {}", why.unwrap_or_default()))
                }
            },
            ("provisioner", "drift") => {
                let fields = answer.get("fields")?.as_array()?.len();
                (fields > 0).then(|| format!("{fields} fields are not as declared"))
            }
            ("change_desk", "observe") => {
                let state = text(answer.get("state")?)?;
                let no = matches!(&*state, "rejected" | "failed" | "withdrawn");
                no.then(|| format!("the change is {state}"))
            }
            ("build_runner" | "test_runner" | "scanner", "observe") => {
                let phase = text(answer.pointer("/phase/phase")?)?;
                (phase == "failed" || phase == "cancelled").then(|| format!("it is {phase}"))
            }
            ("migrator", "observe") => {
                let phase = text(answer.pointer("/phase/phase")?)?;
                (phase == "failed").then(|| "the migration failed".into())
            }
            _ => None,
        }
    }

    /// Looks how far it is; `None` where its answer is all there is to know.
    pub(crate) async fn look(&self, cx: &Context) -> Result<Option<Progress>, ProviderError> {
        let job = || JobRef::new(cx.key.clone());
        let progress = match (&self.provider, self.operation.name) {
            (AnyProvider::BuildRunner(runner), "start") => {
                let status = runner.observe(cx, job()).await?;
                of_job(&status.phase, json!({ "artifacts": status.artifacts, "log": status.log }))
            }
            (AnyProvider::TestRunner(runner), "start") => {
                let status = runner.observe(cx, job()).await?;
                of_job(&status.phase, tests(&status))
            }
            (AnyProvider::Scanner(scanner), "start") => {
                let status = scanner.observe(cx, job()).await?;
                if let Some(report) = status.report.as_ref().filter(|report| report.errors > 0) {
                    let text = format!("the scan found {} errors", report.errors);
                    return Ok(Some(Progress::Failed(text)));
                }
                let found = status.report.map(|report| {
                    json!({
                        "digest": report.digest,
                        "known_until": report.known_until,
                        "errors": report.errors,
                        "warnings": report.warnings,
                        "notes": report.notes,
                    })
                });
                of_job(&status.phase, found.unwrap_or_default())
            }
            (AnyProvider::Provisioner(provisioner), name @ ("apply" | "destroy")) => {
                let workspace = WorkspaceRef::new(self.field("workspace").unwrap_or_default());
                let status = provisioner.observe(cx, workspace).await?;
                if name == "apply" { self.applied(status) } else { destroyed(status) }
            }
            (AnyProvider::Migrator(migrator), name @ ("expand" | "contract")) => {
                let request: MigrationRef = self.read(&self.input)?;
                let status = migrator.observe(cx, request).await?;
                migrated(status.phase, name == "contract")
            }
            (AnyProvider::FlagStore(store), "set") => {
                let flag: FlagRef = self.read(&json!({
                    "flag": self.input.get("flag"),
                    "environment": self.input.get("environment"),
                }))?;
                let status = store.observe(cx, flag).await?;
                let wanted: Option<FlagState> =
                    self.input.get("state").and_then(|state| super::json::read(state).ok());
                let revives = self.input.get("revive") == Some(&Value::Bool(true));
                if Some(status.state) == wanted && !(revives && status.killed.is_some()) {
                    Progress::Done(json!({ "revision": status.revision }))
                } else {
                    Progress::Nothing
                }
            }
            (AnyProvider::ChangeDesk(desk), "open") => {
                let status = desk.observe(cx, job()).await?;
                match status.ticket {
                    Some(ticket) => Progress::Done(json!({ "ticket": ticket, "url": status.url })),
                    None => Progress::Nothing,
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(progress))
    }

    fn field(&self, name: &str) -> Option<String> {
        self.input.get(name)?.as_str().map(str::to_owned)
    }

    /// A request in an input.
    pub(super) fn read<T: Serialize + DeserializeOwned>(
        &self,
        input: &Value,
    ) -> Result<T, ProviderError> {
        super::json::read(input).map_err(|problem| self.invalid(problem))
    }

    fn invalid(&self, problem: String) -> ProviderError {
        ProviderError::new(ErrorKind::Invalid, self.operation.to_string(), problem)
    }

    /// A plan is applied once it is the last that was carried out; what an earlier one came to is no answer.
    fn applied(&self, status: WorkspaceStatus) -> Progress {
        let wanted = self.field("digest");
        let applied = status.applied.map(|digest| digest.to_string());
        match status.phase {
            JobPhase::Succeeded if applied == wanted => {
                Progress::Done(json!({ "applied": applied, "resources": status.resources.len() }))
            }
            JobPhase::Running => Progress::Underway("the workspace is being changed".into()),
            JobPhase::Failed { reason } => Progress::Failed(reason),
            _ => Progress::Nothing,
        }
    }
}

fn destroyed(status: WorkspaceStatus) -> Progress {
    match status.phase {
        JobPhase::Succeeded if status.resources.is_empty() => Progress::Done(Value::Null),
        JobPhase::Running => {
            Progress::Underway(format!("{} resources are still there", status.resources.len()))
        }
        JobPhase::Failed { reason } => Progress::Failed(reason),
        _ => Progress::Nothing,
    }
}

fn migrated(phase: MigrationPhase, contract: bool) -> Progress {
    match phase {
        MigrationPhase::Pending => Progress::Nothing,
        MigrationPhase::Expanding => Progress::Underway("it is being expanded".into()),
        MigrationPhase::Expanded if contract => Progress::Nothing,
        MigrationPhase::Expanded => Progress::Done(json!({ "phase": "expanded" })),
        MigrationPhase::Contracting if contract => {
            Progress::Underway("it is being contracted".into())
        }
        MigrationPhase::Contracting | MigrationPhase::Contracted if !contract => Progress::Failed(
            "it was contracted already: the old version cannot work any more".into(),
        ),
        MigrationPhase::Contracting | MigrationPhase::Contracted => {
            Progress::Done(json!({ "phase": "contracted" }))
        }
        MigrationPhase::Failed { reason } => Progress::Failed(reason),
    }
}

fn of_job(phase: &JobPhase, made: Value) -> Progress {
    match phase {
        JobPhase::Unknown => Progress::Nothing,
        JobPhase::Running => Progress::Underway("it is not over".into()),
        JobPhase::Succeeded => Progress::Done(made),
        JobPhase::Failed { reason } => Progress::Failed(match made.get("failed") {
            Some(Value::Array(names)) if !names.is_empty() => {
                format!("{reason}; failed: {}", Value::from(names.as_slice()))
            }
            _ => reason.clone(),
        }),
        JobPhase::Cancelled => Progress::Failed("somebody cancelled it".into()),
    }
}

/// What there is to keep of a suite.
fn tests(status: &TestStatus) -> Value {
    let count = |outcome| status.cases.iter().filter(|case| case.outcome == outcome).count();
    let failed = status.cases.iter().filter(|case| case.outcome == TestOutcome::Failed);
    let failed: Vec<&str> = failed.map(|case| &*case.name).take(MOST_NAMES).collect();
    json!({
        "passed": count(TestOutcome::Passed),
        "skipped": count(TestOutcome::Skipped),
        "failed": failed,
    })
}

/// The step whose key an input means: `{ "step": "open-change", … }` where the request has `operation`.
fn named_step(input: &Value) -> Option<&str> {
    let input = input.as_object()?;
    if input.contains_key("operation") { None } else { input.get("step")?.as_str() }
}

/// The same with that step's key.
fn keyed(input: &Value, key: String) -> Value {
    let all = input.as_object().into_iter().flatten().filter(|(name, _)| *name != "step");
    let mut all: Map<_, _> = all.map(|(name, value)| (name.clone(), value.clone())).collect();
    all.insert("operation".into(), key.into());
    Value::Object(all)
}

/// What gives the key that other operations of a capability refer to.
const GIVES_KEYS: &[&str] = &[
    "build_runner.start",
    "test_runner.start",
    "scanner.start",
    "change_desk.open",
    "approval_channel.ask",
    "pager.page",
];

/// A step whose input names another one that does not come before it, or gives no key for it.
pub(super) fn unkeyed(plan: &Plan, step: &Step) -> Option<BindingError> {
    let Action::Custom { capability, input } = &step.action else { return None };
    let (of, _) = capability.split_once('.')?;
    OPERATIONS.iter().find(|operation| operation.capability == of)?;
    let named = named_step(input)?;
    let wrong = |problem: String| Some(BindingError { step: step.id.clone(), problem });
    let Some(other) = plan.steps().iter().position(|other| other.id.as_str() == named) else {
        return wrong(format!("its input names the step `{named}`, and the plan has no such step"));
    };
    let gives = plan.steps().get(other).is_some_and(|other| match &other.action {
        Action::Custom { capability, .. } => {
            GIVES_KEYS.contains(&&**capability)
                && capability.split_once('.').is_some_and(|(o, _)| o == of)
        }
        _ => false,
    });
    if !gives {
        return wrong(format!(
            "its input names the step `{named}`, which starts nothing of a `{of}`"
        ));
    }
    let own = plan.steps().iter().position(|one| one.id == step.id);
    // A compensation refers to its own step, or to one before it.
    if own.is_none_or(|own| other != own && !before(plan, other, own))
        || named == step.id.as_str() && step.action == plan.steps().get(other)?.action
    {
        return wrong(format!("its input names the step `{named}`, which does not come before it"));
    }
    None
}

/// Whether the step at `first` is done before that at `second` begins.
fn before(plan: &Plan, first: usize, second: usize) -> bool {
    let at = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
    let mut waits: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for edge in plan.edges() {
        waits.entry(at(edge.to)).or_default().push(at(edge.from));
    }
    let mut rest = vec![second];
    while let Some(from) = rest.pop().and_then(|index| waits.remove(&index)) {
        if from.contains(&first) {
            return true;
        }
        rest.extend(from);
        // What was looked at already has no more to say.
        rest.retain(|index| waits.contains_key(index));
    }
    false
}
