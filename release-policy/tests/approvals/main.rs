//! Approvals: what counts, what does not, and that nothing slips through.

mod support;

mod faults;
mod files;
mod oracle;
mod races;
mod rules;
