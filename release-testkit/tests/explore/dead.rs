//! Traffic that is left on a version from before that died, or brought back to it, is found. Where the run has moved no traffic, it is not
//! the run's doing.

use release_core::model::Span;
use release_core::plan::strategy::{Rollout, RolloutStrategy, Site, StrategyError};
use release_core::plan::{Action, Undo};
use release_testkit::explore::{Breach, Exploration};

use super::{broken, theirs};

/// Leaves half of the traffic where it was.
#[derive(Debug)]
struct Halfway;

impl RolloutStrategy for Halfway {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let all = site.replicas();
        let mut steps = vec![site.scale_new("start", all)?, site.probe("ready", all)?];
        steps.push(site.route("half", 50)?);
        Ok(Rollout::of(steps))
    }
}

/// Looks at the old version on the way forward, and goes back to it by what was seen then.
#[derive(Debug)]
struct Forgetful;

impl RolloutStrategy for Forgetful {
    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let all = site.replicas();
        let mut half = site.route("half", 50)?;
        if let Undo::Compensate(undo) = &mut half.undo {
            undo.retain(|compensation| !matches!(compensation.action, Action::Probe { .. }));
        }
        let mut steps = vec![site.scale_new("start", all)?, site.probe("ready", all)?];
        steps.extend(site.probe_old("old-ready", all)?);
        steps.extend([half, site.route("all", 100)?]);
        Ok(Rollout { finale: site.retire(Span::ZERO)?, ..Rollout::of(steps) })
    }
}

#[test]
fn f25_a_release_that_ends_with_traffic_on_a_dead_version_is_found() {
    let halfway = || -> Box<dyn RolloutStrategy> { Box::new(Halfway) };
    let found = broken(halfway, Exploration::new());
    assert!(matches!(&found, Breach::Dead { what, .. } if what == "succeeded"), "{found}");
    // It is the outage alone.
    let found = theirs(halfway, Exploration::new().old_lives());
    found.unwrap_or_else(|broken| panic!("{broken}"));
}

#[test]
fn f25_a_way_back_to_a_version_that_died_since_it_was_seen_is_found() {
    let found = broken(|| Box::new(Forgetful), Exploration::new());
    assert!(matches!(&found, Breach::Dead { what, .. } if what.starts_with("route")), "{found}");
}
