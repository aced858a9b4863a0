//! The list of all capabilities, for whatever is written once for all of them.

/// What an operation of a provider is called, and whether it changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Operation {
    /// The capability, for example `deployer`.
    pub capability: &'static str,
    /// The operation, for example `apply`.
    pub name: &'static str,
    /// Whether it changes anything; the others only look.
    pub acts: bool,
}

impl Operation {
    #[doc(hidden)]
    pub const fn __new(capability: &'static str, name: &'static str, acts: bool) -> Self {
        Self { capability, name, acts }
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.capability, self.name)
    }
}

/// Calls the macro that is named with every capability: its trait, names for enums of its operations and of calls of it,
/// its name, and each of its operations as `name Variant acts|looks (Request) -> (Answer);`. All that wraps, sends, fakes
/// or mocks every trait is written with it once.
///
/// ```
/// macro_rules! names {
///     ($( $trait:ident $op:ident $call:ident $capability:literal {
///         $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
///     } )*) => {
///         [$( ($capability, [$( stringify!($operation) ),*].len()) ),*]
///     };
/// }
/// let all = release_providers::for_each_capability!(names);
/// assert_eq!(all[0], ("deployer", 2));
/// assert!(all.iter().all(|(_, operations)| (1..=6).contains(operations)));
/// ```
#[macro_export]
macro_rules! for_each_capability {
    ($with:ident) => {
        $with! {
            Deployer DeployerOp DeployerCall "deployer" {
                apply Apply acts ($crate::spi::ApplyRequest) -> (());
                observe Observe looks ($crate::spi::ObserveDeployment) -> ($crate::spi::DeploymentStatus);
            }
            TrafficRouter TrafficRouterOp TrafficRouterCall "traffic_router" {
                set_weights SetWeights acts ($crate::spi::SetWeights) -> (());
                observe Observe looks ($crate::spi::ObserveTraffic) -> ($crate::spi::TrafficStatus);
            }
            HealthProbe HealthProbeOp HealthProbeCall "health_probe" {
                check Check looks ($crate::spi::CheckHealth) -> ($crate::spi::HealthReport);
            }
            MetricsSource MetricsSourceOp MetricsSourceCall "metrics_source" {
                measure Measure looks ($crate::spi::MeasureRequest) -> ($crate::__core::Measurement);
            }
            ArtifactStore ArtifactStoreOp ArtifactStoreCall "artifact_store" {
                put Put acts ($crate::spi::PutArtifact) -> ($crate::__core::ArtifactRef);
                get Get looks ($crate::__core::ArtifactRef) -> ($crate::spi::ArtifactContent);
                verify Verify looks ($crate::__core::ArtifactRef) -> ($crate::spi::ArtifactStatus);
            }
            ArtifactVerifier ArtifactVerifierOp ArtifactVerifierCall "artifact_verifier" {
                verify Verify looks ($crate::spi::VerifyArtifact) -> ($crate::spi::Verification);
            }
            ArtifactSigner ArtifactSignerOp ArtifactSignerCall "artifact_signer" {
                sign Sign acts ($crate::spi::SignArtifact) -> ($crate::spi::Signature);
                observe Observe looks ($crate::spi::ObserveSignature) -> ($crate::spi::SignatureStatus);
            }
            BuildRunner BuildRunnerOp BuildRunnerCall "build_runner" {
                start Start acts ($crate::spi::StartBuild) -> (());
                observe Observe looks ($crate::spi::JobRef) -> ($crate::spi::BuildStatus);
                cancel Cancel acts ($crate::spi::JobRef) -> (());
            }
            TestRunner TestRunnerOp TestRunnerCall "test_runner" {
                start Start acts ($crate::spi::StartTests) -> (());
                observe Observe looks ($crate::spi::JobRef) -> ($crate::spi::TestStatus);
                cancel Cancel acts ($crate::spi::JobRef) -> (());
            }
            Scanner ScannerOp ScannerCall "scanner" {
                start Start acts ($crate::spi::StartScan) -> (());
                observe Observe looks ($crate::spi::JobRef) -> ($crate::spi::ScanStatus);
            }
            Provisioner ProvisionerOp ProvisionerCall "provisioner" {
                plan Plan looks ($crate::spi::PlanChange) -> ($crate::spi::ProvisionPlan);
                apply Apply acts ($crate::spi::ApplyPlan) -> (());
                destroy Destroy acts ($crate::spi::WorkspaceRef) -> (());
                observe Observe looks ($crate::spi::WorkspaceRef) -> ($crate::spi::WorkspaceStatus);
                drift Drift looks ($crate::spi::WorkspaceRef) -> ($crate::spi::DriftReport);
            }
            ConfigSource ConfigSourceOp ConfigSourceCall "config_source" {
                read Read looks ($crate::spi::ReadConfig) -> ($crate::spi::ConfigSnapshot);
            }
            SecretStore SecretStoreOp SecretStoreCall "secret_store" {
                lease Lease acts ($crate::spi::LeaseSecret) -> ($crate::spi::SecretLease);
                renew Renew acts ($crate::spi::RenewLease) -> ($crate::spi::LeaseStatus);
                revoke Revoke acts ($crate::spi::LeaseRef) -> (());
                rotate Rotate acts ($crate::spi::RotateSecret) -> ($crate::spi::SecretStatus);
                observe Observe looks ($crate::spi::ObserveSecret) -> ($crate::spi::SecretStatus);
            }
            DataSetStore DataSetStoreOp DataSetStoreCall "data_set_store" {
                lease Lease acts ($crate::spi::LeaseDataSet) -> ($crate::spi::DataSetLease);
                release Release acts ($crate::spi::DataSetLeaseRef) -> (());
                observe Observe looks ($crate::spi::ObserveDataSet) -> ($crate::spi::DataSetStatus);
            }
            Migrator MigratorOp MigratorCall "migrator" {
                expand Expand acts ($crate::spi::MigrationRef) -> (());
                contract Contract acts ($crate::spi::MigrationRef) -> (());
                observe Observe looks ($crate::spi::MigrationRef) -> ($crate::spi::MigrationStatus);
            }
            FlagStore FlagStoreOp FlagStoreCall "flag_store" {
                set Set acts ($crate::spi::SetFlag) -> (());
                kill Kill acts ($crate::spi::KillFlag) -> (());
                observe Observe looks ($crate::spi::FlagRef) -> ($crate::spi::FlagStatus);
            }
            ChangeDesk ChangeDeskOp ChangeDeskCall "change_desk" {
                open Open acts ($crate::spi::OpenChange) -> (());
                update Update acts ($crate::spi::UpdateChange) -> (());
                observe Observe looks ($crate::spi::JobRef) -> ($crate::spi::ChangeStatus);
            }
            IdentitySource IdentitySourceOp IdentitySourceCall "identity_source" {
                read Read looks ($crate::spi::ReadIdentities) -> ($crate::__core::IdentitySnapshot);
            }
            ApprovalChannel ApprovalChannelOp ApprovalChannelCall "approval_channel" {
                ask Ask acts ($crate::spi::AskApproval) -> (());
                observe Observe looks ($crate::spi::JobRef) -> ($crate::spi::ApprovalAnswers);
                withdraw Withdraw acts ($crate::spi::JobRef) -> (());
            }
            Notifier NotifierOp NotifierCall "notifier" {
                notify Notify acts ($crate::spi::Notification) -> (());
            }
            Pager PagerOp PagerCall "pager" {
                page Page acts ($crate::spi::PageTeam) -> (());
                observe Observe looks ($crate::spi::JobRef) -> ($crate::spi::PageStatus);
                resolve Resolve acts ($crate::spi::JobRef) -> (());
            }
            IncidentSource IncidentSourceOp IncidentSourceCall "incident_source" {
                list List looks ($crate::spi::ListIncidents) -> ($crate::spi::Incidents);
            }
            EventSink EventSinkOp EventSinkCall "event_sink" {
                publish Publish acts ($crate::spi::PublishEvents) -> (());
                observe Observe looks ($crate::spi::FindEvents) -> ($crate::spi::EventsFound);
            }
            ClockSource ClockSourceOp ClockSourceCall "clock_source" {
                read Read looks ($crate::spi::ReadClock) -> ($crate::spi::ClockReading);
            }
            CustomAction CustomActionOp CustomActionCall "custom_action" {
                perform Perform acts ($crate::spi::CustomRequest) -> ($crate::spi::CustomOutput);
                observe Observe looks ($crate::spi::CustomRequest) -> ($crate::spi::CustomStatus);
            }
        }
    };
}

macro_rules! operations {
    ($( $trait:ident $op:ident $call:ident $capability:literal {
        $( $operation:ident $variant:ident $kind:ident ($request:ty) -> ($answer:ty); )*
    } )*) => {
        /// Every operation of every capability.
        pub const OPERATIONS: &[Operation] = &[
            $( $( Operation::__new($capability, stringify!($operation), operations!(@ $kind)), )* )*
        ];
    };
    (@ acts) => { true };
    (@ looks) => { false };
}
crate::for_each_capability!(operations);
