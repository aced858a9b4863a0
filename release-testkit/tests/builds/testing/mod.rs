//! Suites of tests over stages: any of them in any course, with crashes; what else a campaign does; one in real processes.

mod campaigns;
mod course;
mod courses;
mod processes;
mod quarantined;
mod told;
