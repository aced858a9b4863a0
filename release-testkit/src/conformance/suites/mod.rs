//! One suite a trait: what there is to do, and what that trait alone promises.

pub mod approval_channel;
pub mod build_runner;
pub mod change_desk;
pub mod custom_action;
pub mod data_set_store;
pub mod event_sink;
pub mod flag_store;
pub mod migrator;
pub mod pager;
pub mod provisioner;
pub mod secret_store;
