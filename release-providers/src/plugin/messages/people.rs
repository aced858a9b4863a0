//! People and the organisation: changes, identities, approvals, messages, calls, incidents.

use release_core::model::{
    Delegation, Identity, IdentitySnapshot, Principal, PrincipalKind, Reach, RoleGrant,
};

use crate::plugin::wire::{wire, wire_choice, wire_enum};
use crate::spi::{
    ApprovalAnswer, ApprovalAnswers, ApprovalVote, AskApproval, ChangeKind, ChangeState,
    ChangeStatus, Incident, IncidentSeverity, Incidents, ListIncidents, Notification, OpenChange,
    PagePhase, PageStatus, PageTeam, ReadIdentities, Severity, UpdateChange,
};

wire! {
    OpenChange => OpenChange { kind, summary, plan, affected, begins, ends, rollback }
    UpdateChange => UpdateChange { operation, state, note }
    ChangeStatus => ChangeStatus { operation, ticket, state, url }

    Principal => Principal { id, kind, roles }
    ReadIdentities => ReadIdentities {}
    IdentitySnapshot => IdentitySnapshot by new { version, taken_at, identities, delegations }
    Identity => Identity { id, kind, active, linked, acts_for, grants }
    RoleGrant => RoleGrant { role, reach, by, reason; from as holds_from, until as holds_until }
    Reach => Reach { environment, service, region, train }
    Delegation => Delegation { role, starts, ends, reason; from as lent_by, to as lent_to }

    AskApproval => AskApproval { run, gate, plan, question, expires, roles }
    ApprovalAnswers => ApprovalAnswers { operation, open, answers }
    ApprovalAnswer => ApprovalAnswer { by, vote, at, comment }

    Notification => Notification { channel, severity, message }

    PageTeam => PageTeam { team, severity, summary, runbook }
    PageStatus => PageStatus { operation, phase, escalations }

    ListIncidents => ListIncidents { since, services }
    Incidents => Incidents { taken_at, incidents }
    Incident => Incident {
        id, severity, summary, opened_at, resolved_at, services, environment
    }
}

wire_choice! {
    PagePhase => PagePhase, page_phase::Phase as phase {
        Unknown {}, Calling {}, Acknowledged { by, at }, Resolved {}
    }
}

wire_enum! {
    ChangeKind => ChangeKind { Standard, Normal, Emergency }
    ChangeState => ChangeState {
        Requested, Approved, Rejected, Implementing, Succeeded, Failed, Withdrawn
    }
    PrincipalKind => PrincipalKind { Human, Service }
    ApprovalVote => ApprovalVote { Approve, Reject }
    Severity => Severity { Info, Warning, Critical }
    IncidentSeverity => IncidentSeverity { Critical, Major, Minor }
}
