//! One suite a trait: what there is to do, and what that trait alone promises.

pub mod approval_channel;
pub mod artifact_signer;
pub mod artifact_store;
pub mod artifact_verifier;
pub mod build_runner;
pub mod change_desk;
pub mod clock_source;
pub mod config_source;
pub mod custom_action;
pub mod data_set_store;
pub mod event_sink;
pub mod flag_store;
pub mod health_probe;
pub mod incident_source;
pub mod metrics_source;
pub mod migrator;
pub mod notifier;
pub mod pager;
pub mod provisioner;
pub mod scanner;
pub mod secret_store;
pub mod test_runner;
