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

/// Calls the macro that is named with every capability: its trait, its name, and each of its operations as
/// `name acts|looks (Request) -> (Answer);`. All that wraps, sends, mocks or tests every trait is written with it once.
///
/// ```
/// macro_rules! names {
///     ($( $trait:ident $capability:literal { $( $operation:ident $kind:ident ($request:ty) -> ($answer:ty); )* } )*) => {
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
            Deployer "deployer" {
                apply acts ($crate::spi::ApplyRequest) -> (());
                observe looks ($crate::spi::ObserveDeployment) -> ($crate::spi::DeploymentStatus);
            }
            TrafficRouter "traffic_router" {
                set_weights acts ($crate::spi::SetWeights) -> (());
                observe looks ($crate::spi::ObserveTraffic) -> ($crate::spi::TrafficStatus);
            }
            HealthProbe "health_probe" {
                check looks ($crate::spi::CheckHealth) -> ($crate::spi::HealthReport);
            }
            MetricsSource "metrics_source" {
                measure looks ($crate::spi::MeasureRequest) -> ($crate::__core::Measurement);
            }
            ArtifactStore "artifact_store" {
                put acts ($crate::spi::PutArtifact) -> ($crate::__core::ArtifactRef);
                get looks ($crate::__core::ArtifactRef) -> ($crate::spi::ArtifactContent);
                verify looks ($crate::__core::ArtifactRef) -> ($crate::spi::ArtifactStatus);
            }
            ArtifactVerifier "artifact_verifier" {
                verify looks ($crate::spi::VerifyArtifact) -> ($crate::spi::Verification);
            }
            ArtifactSigner "artifact_signer" {
                sign acts ($crate::spi::SignArtifact) -> ($crate::spi::Signature);
                observe looks ($crate::spi::ObserveSignature) -> ($crate::spi::SignatureStatus);
            }
            BuildRunner "build_runner" {
                start acts ($crate::spi::StartBuild) -> (());
                observe looks ($crate::spi::JobRef) -> ($crate::spi::BuildStatus);
                cancel acts ($crate::spi::JobRef) -> (());
            }
            TestRunner "test_runner" {
                start acts ($crate::spi::StartTests) -> (());
                observe looks ($crate::spi::JobRef) -> ($crate::spi::TestStatus);
                cancel acts ($crate::spi::JobRef) -> (());
            }
            Scanner "scanner" {
                start acts ($crate::spi::StartScan) -> (());
                observe looks ($crate::spi::JobRef) -> ($crate::spi::ScanStatus);
            }
            Provisioner "provisioner" {
                plan looks ($crate::spi::PlanChange) -> ($crate::spi::ProvisionPlan);
                apply acts ($crate::spi::ApplyPlan) -> (());
                destroy acts ($crate::spi::WorkspaceRef) -> (());
                observe looks ($crate::spi::WorkspaceRef) -> ($crate::spi::WorkspaceStatus);
                drift looks ($crate::spi::WorkspaceRef) -> ($crate::spi::DriftReport);
            }
            ConfigSource "config_source" {
                read looks ($crate::spi::ReadConfig) -> ($crate::spi::ConfigSnapshot);
            }
            SecretStore "secret_store" {
                lease acts ($crate::spi::LeaseSecret) -> ($crate::spi::SecretLease);
                renew acts ($crate::spi::RenewLease) -> ($crate::spi::LeaseStatus);
                revoke acts ($crate::spi::LeaseRef) -> (());
                rotate acts ($crate::spi::RotateSecret) -> ($crate::spi::SecretStatus);
                observe looks ($crate::spi::ObserveSecret) -> ($crate::spi::SecretStatus);
            }
            DataSetStore "data_set_store" {
                lease acts ($crate::spi::LeaseDataSet) -> ($crate::spi::DataSetLease);
                release acts ($crate::spi::DataSetLeaseRef) -> (());
                observe looks ($crate::spi::ObserveDataSet) -> ($crate::spi::DataSetStatus);
            }
            Migrator "migrator" {
                expand acts ($crate::spi::MigrationRef) -> (());
                contract acts ($crate::spi::MigrationRef) -> (());
                observe looks ($crate::spi::MigrationRef) -> ($crate::spi::MigrationStatus);
            }
            FlagStore "flag_store" {
                set acts ($crate::spi::SetFlag) -> (());
                observe looks ($crate::spi::FlagRef) -> ($crate::spi::FlagStatus);
            }
            ChangeDesk "change_desk" {
                open acts ($crate::spi::OpenChange) -> (());
                update acts ($crate::spi::UpdateChange) -> (());
                observe looks ($crate::spi::JobRef) -> ($crate::spi::ChangeStatus);
            }
            IdentitySource "identity_source" {
                read looks ($crate::spi::ReadIdentities) -> ($crate::__core::IdentitySnapshot);
            }
            ApprovalChannel "approval_channel" {
                ask acts ($crate::spi::AskApproval) -> (());
                observe looks ($crate::spi::JobRef) -> ($crate::spi::ApprovalAnswers);
                withdraw acts ($crate::spi::JobRef) -> (());
            }
            Notifier "notifier" {
                notify acts ($crate::spi::Notification) -> (());
            }
            Pager "pager" {
                page acts ($crate::spi::PageTeam) -> (());
                observe looks ($crate::spi::JobRef) -> ($crate::spi::PageStatus);
                resolve acts ($crate::spi::JobRef) -> (());
            }
            IncidentSource "incident_source" {
                list looks ($crate::spi::ListIncidents) -> ($crate::spi::Incidents);
            }
            EventSink "event_sink" {
                publish acts ($crate::spi::PublishEvents) -> (());
                observe looks ($crate::spi::FindEvents) -> ($crate::spi::EventsFound);
            }
            ClockSource "clock_source" {
                read looks ($crate::spi::ReadClock) -> ($crate::spi::ClockReading);
            }
            CustomAction "custom_action" {
                perform acts ($crate::spi::CustomRequest) -> ($crate::spi::CustomOutput);
                observe looks ($crate::spi::CustomRequest) -> ($crate::spi::CustomStatus);
            }
        }
    };
}

macro_rules! operations {
    ($( $trait:ident $capability:literal { $( $operation:ident $kind:ident ($request:ty) -> ($answer:ty); )* } )*) => {
        /// Every operation of every capability.
        pub const OPERATIONS: &[Operation] = &[
            $( $( Operation::__new($capability, stringify!($operation), operations!(@ $kind)), )* )*
        ];
    };
    (@ acts) => { true };
    (@ looks) => { false };
}
crate::for_each_capability!(operations);
