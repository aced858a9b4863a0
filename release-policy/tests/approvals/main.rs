//! Approvals, changes, boards and emergencies: what counts, what does not, and that nothing slips through.

#[cfg(test)]
mod support;

#[cfg(test)]
mod board;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod emergencies;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod files;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod races;
#[cfg(test)]
mod rules;
