//! A provisioner whose resources are JSON values.

use std::collections::{BTreeMap, BTreeSet};

use release_core::model::Digest;
use release_providers::spi::{
    ApplyPlan, ChangeAction, DriftReport, DriftedField, JobPhase, PlanChange, ProvisionPlan,
    ResourceChange, WorkspaceRef, WorkspaceStatus,
};
use release_providers::{ErrorKind, ProviderError};
use serde_json::{Map, Value};

use super::{Asked, Fake, ProvisionerCall, model};

/// A [`Provisioner`](release_providers::spi::Provisioner) whose resources are JSON values.
pub type FakeProvisioner = Fake<ProvisionerCall, Workspaces>;

/// What a [`FakeProvisioner`] knows.
#[derive(Debug, Clone, Default)]
pub struct Workspaces(BTreeMap<String, Workspace>);

#[derive(Debug, Clone)]
struct Workspace {
    declared: Map<String, Value>,
    applied: Map<String, Value>,
    observed: Map<String, Value>,
    plans: BTreeMap<Digest, (Map<String, Value>, u64)>,
    /// Grows with every change, so that a plan of before is known to be one.
    serial: u64,
    phase: JobPhase,
    last: Option<Digest>,
}

impl Fake<ProvisionerCall, Workspaces> {
    /// A provisioner with these workspaces, which are empty.
    pub fn new(workspaces: &[&str]) -> Self {
        let empty = || Workspace {
            declared: Map::new(),
            applied: Map::new(),
            observed: Map::new(),
            plans: BTreeMap::new(),
            serial: 0,
            phase: JobPhase::Unknown,
            last: None,
        };
        let all = workspaces.iter().map(|name| ((*name).to_owned(), empty())).collect();
        Self::of("fake-provisioner", Workspaces(all))
    }
}

impl Workspaces {
    /// Changes a resource by other hands than the provisioner's; whether there is such a workspace.
    pub fn meddle(&mut self, workspace: &str, resource: &str, value: Option<Value>) -> bool {
        let Some(workspace) = self.0.get_mut(workspace) else { return false };
        workspace.serial += 1;
        match value {
            Some(value) => workspace.observed.insert(resource.to_owned(), value),
            None => workspace.observed.remove(resource),
        };
        true
    }

    /// Changes a field of a resource by other hands, by its JSON pointer: its path, if it was there and another value.
    pub fn meddle_field(
        &mut self,
        workspace: &str,
        resource: &str,
        path: &str,
        value: Value,
    ) -> Option<String> {
        let workspace = self.0.get_mut(workspace)?;
        let resource = workspace.observed.get_mut(resource)?;
        let field = resource.pointer_mut(path).filter(|field| **field != value)?;
        *field = value;
        workspace.serial += 1;
        Some(path.to_owned())
    }

    fn get(&mut self, asked: &Asked<'_>, name: &str) -> Result<&mut Workspace, ProviderError> {
        asked.found("workspace", name, self.0.get_mut(name))
    }
}

impl model::Provisioner for Workspaces {
    fn plan(
        &mut self,
        asked: &Asked<'_>,
        request: PlanChange,
    ) -> Result<ProvisionPlan, ProviderError> {
        let PlanChange { workspace: name, declared, .. } = request;
        let workspace = self.get(asked, &name)?;
        let Value::Object(declared) = declared else {
            return Err(asked.error(ErrorKind::Invalid, "what is declared is no object"));
        };
        let names: BTreeSet<_> = workspace.observed.keys().chain(declared.keys()).collect();
        let change = |resource: &&String| {
            let change = match (workspace.observed.get(*resource), declared.get(*resource)) {
                (None, Some(_)) => ChangeAction::Create,
                (Some(_), None) => ChangeAction::Delete,
                (Some(is), Some(wanted)) if is != wanted => ChangeAction::Update,
                _ => return None,
            };
            Some(ResourceChange::new((*resource).clone(), change))
        };
        let changes: Vec<_> = names.iter().filter_map(change).collect();
        let of = format!("{name} {} {}", workspace.serial, Value::from(declared.clone()));
        let digest = Digest::of(of.as_bytes());
        workspace.plans.insert(digest, (declared, workspace.serial));
        Ok(ProvisionPlan::new(name, digest, if asked.lie { Vec::new() } else { changes }))
    }

    fn apply(&mut self, asked: &Asked<'_>, request: ApplyPlan) -> Result<(), ProviderError> {
        let workspace = self.get(asked, &request.workspace)?;
        let digest = request.digest;
        let plan = workspace.plans.get(&digest).cloned();
        let (declared, serial) = asked.found("plan", &digest.to_string(), plan)?;
        if workspace.last == Some(digest) {
            return Ok(());
        }
        if serial != workspace.serial {
            let text = "the workspace changed since; make another plan";
            return Err(asked.error(ErrorKind::Conflict, text));
        }
        workspace.observed.clone_from(&declared);
        workspace.applied.clone_from(&declared);
        workspace.declared = declared;
        workspace.serial += 1;
        (workspace.phase, workspace.last) = (JobPhase::Succeeded, Some(digest));
        Ok(())
    }

    fn destroy(&mut self, asked: &Asked<'_>, request: WorkspaceRef) -> Result<(), ProviderError> {
        let workspace = self.get(asked, &request.workspace)?;
        if !workspace.observed.is_empty() {
            workspace.serial += 1;
        }
        for all in [&mut workspace.observed, &mut workspace.applied, &mut workspace.declared] {
            all.clear();
        }
        (workspace.phase, workspace.last) = (JobPhase::Succeeded, None);
        Ok(())
    }

    fn observe(
        &mut self,
        asked: &Asked<'_>,
        request: WorkspaceRef,
    ) -> Result<WorkspaceStatus, ProviderError> {
        let workspace = self.get(asked, &request.workspace)?;
        let mut status = WorkspaceStatus::new(request.workspace, workspace.phase.clone());
        status.applied = workspace.last;
        status.resources = workspace.observed.keys().cloned().collect();
        Ok(status)
    }

    fn drift(
        &mut self,
        asked: &Asked<'_>,
        request: WorkspaceRef,
    ) -> Result<DriftReport, ProviderError> {
        let workspace = self.get(asked, &request.workspace)?;
        let mut fields = Vec::new();
        let names: BTreeSet<_> =
            workspace.declared.keys().chain(workspace.observed.keys()).collect();
        for resource in names.into_iter().filter(|_| !asked.lie) {
            let of = |all: &Map<String, Value>| all.get(resource).cloned().unwrap_or_default();
            let three = [of(&workspace.declared), of(&workspace.applied), of(&workspace.observed)];
            compare(resource, "", &three, &mut fields);
        }
        Ok(DriftReport::new(request.workspace, fields))
    }
}

/// Adds every field in which what is differs from what was declared.
fn compare(resource: &str, path: &str, three: &[Value; 3], fields: &mut Vec<DriftedField>) {
    let [declared, applied, observed] = three;
    if declared == observed {
        return;
    }
    if let (Value::Object(wanted), Value::Object(is)) = (declared, observed) {
        let names: BTreeSet<_> = wanted.keys().chain(is.keys()).collect();
        for name in names {
            let of = |value: &Value| value.get(name).cloned().unwrap_or_default();
            let inner = [of(declared), of(applied), of(observed)];
            // RFC 6901, section 3.
            let token = name.replace('~', "~0").replace('/', "~1");
            compare(resource, &format!("{path}/{token}"), &inner, fields);
        }
        return;
    }
    let mut field = DriftedField::new(resource.to_owned(), path.to_owned());
    (field.declared, field.applied) = (declared.clone(), applied.clone());
    field.observed = observed.clone();
    fields.push(field);
}
