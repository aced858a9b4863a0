//! Work that is started and looked at: builds, tests, scans, infrastructure, migrations, flags, custom actions.

use crate::plugin::wire::{wire, wire_choice, wire_enum};
use crate::spi::{
    ApplyPlan, BuildStatus, ChangeAction, CustomOutput, CustomRequest, CustomStatus, DriftReport,
    DriftedField, FlagRef, FlagState, FlagStatus, JobPhase, JobRef, KillFlag, MigrationPhase,
    MigrationRef, MigrationStatus, PlanChange, ProvisionPlan, ResourceChange, ScanKind, ScanReport,
    ScanStatus, SetFlag, StartBuild, StartScan, StartTests, TestCase, TestOutcome, TestStatus,
    WorkspaceRef, WorkspaceStatus,
};

wire! {
    JobRef => JobRef { operation }

    StartBuild => StartBuild { repository, revision, recipe, parameters }
    BuildStatus => BuildStatus { operation, phase, artifacts, log }

    StartTests => StartTests { suite, artifact, target, only }
    TestStatus => TestStatus { operation, phase, cases }
    TestCase => TestCase { name, outcome, detail; took as took_micros }

    StartScan => StartScan { artifact, kind }
    ScanStatus => ScanStatus { operation, phase, report }
    ScanReport => ScanReport { digest, known_until, errors, warnings, notes, sarif }

    WorkspaceRef => WorkspaceRef { workspace }
    PlanChange => PlanChange { workspace; declared as declared_json }
    ProvisionPlan => ProvisionPlan { workspace, digest, changes }
    ResourceChange => ResourceChange { resource, change }
    ApplyPlan => ApplyPlan { workspace, digest }
    WorkspaceStatus => WorkspaceStatus { workspace, phase, applied, resources }
    DriftReport => DriftReport { workspace, fields }
    DriftedField => DriftedField {
        resource, path;
        declared as declared_json, applied as applied_json, observed as observed_json
    }

    MigrationRef => MigrationRef { target, migration }
    MigrationStatus => MigrationStatus { migration, phase }

    FlagRef => FlagRef { flag, environment }
    SetFlag => SetFlag { flag, environment, state, expected, revive }
    KillFlag => KillFlag { flag, environment, reason }
    FlagStatus => FlagStatus { flag, environment, state, revision, killed }

    CustomRequest => CustomRequest { capability; input as input_json }
    CustomOutput => CustomOutput {; output as output_json }
    CustomStatus => CustomStatus { done }
}

wire_choice! {
    JobPhase => JobPhase, job_phase::Phase as phase {
        Unknown {}, Running {}, Succeeded {}, Failed { reason }, Cancelled {}
    }
    MigrationPhase => MigrationPhase, migration_phase::Phase as phase {
        Pending {}, Expanding {}, Expanded {}, Contracting {}, Contracted {}, Failed { reason }
    }
    FlagState => FlagState, flag_state::State as state { Off {}, On {}, Share { percent } }
}

wire_enum! {
    TestOutcome => TestOutcome { Passed, Failed, Skipped }
    ScanKind => ScanKind { Vulnerabilities, Code, Secrets, Licences }
    ChangeAction => ChangeAction { Create, Update, Replace, Delete }
}
