//! Start the new version beside the old one, then switch all traffic at once; and the same after a time of copies.

use super::{Judged, KEEP_OLD, Roles, Rollout, RolloutStrategy, Site, StrategyError};
use crate::model::{
    AntiAffinity, BlueGreen, Copies, Gate, KeepNew, Shadow, TrafficRules, only_problem,
};
use crate::plan::Step;
use crate::time::Span;

impl RolloutStrategy for BlueGreen {
    fn problem(&self) -> Option<String> {
        let headers = TrafficRules::of_headers(&self.preview_headers).problem();
        headers
            .or_else(|| self.anti_affinity.and_then(AntiAffinity::problem))
            .or_else(|| self.max_unavailable.problem("blue_green.max_unavailable"))
            .or_else(|| self.preview_metadata.problem("blue_green.preview_metadata"))
            .or_else(|| self.active_metadata.problem("blue_green.active_metadata"))
    }

    fn judged(&self) -> Vec<Judged<'_>> {
        let (before, after) = (Some("before the switch"), Some("after the switch"));
        vec![
            Judged { analyses: self.preview_analyses.iter().collect(), alone: before },
            Judged { analyses: self.analyses.iter().collect(), alone: after },
        ]
    }

    fn gates(&self) -> Vec<&[Gate]> {
        vec![&self.gates]
    }

    fn spans(&self) -> Vec<(&'static str, Span)> {
        vec![
            ("preview", self.preview),
            ("bake", self.bake),
            (KEEP_OLD, self.keep_old),
            ("keep_new_after_abort", self.keep_new_after_abort.span().unwrap_or_default()),
        ]
    }

    fn keeps_new_after_abort(&self) -> KeepNew {
        self.keep_new_after_abort
    }

    fn roles(&self) -> Option<Roles> {
        Roles::new(&self.preview_metadata, &self.active_metadata)
    }

    fn anti_affinity(&self) -> Option<AntiAffinity> {
        self.anti_affinity
    }

    fn names(&self) -> &'static [&'static str] {
        &[
            "preview",
            "ready",
            "switch",
            "bake",
            "still-ready",
            "still-routed",
            "keep-old",
            "remove-old",
            "grow",
            "relabel",
            "relabel-old",
        ]
    }

    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let first = some_of(self.preview_replicas, site.replicas)?;
        let ready = self.enough(site.replicas)?;
        let mut steps =
            vec![site.scale_new("preview", first)?, site.probe("ready", first.min(ready))?];
        if !self.preview_headers.is_empty() {
            let rules = site.rules(&self.preview_headers, None);
            steps.push(site.route_by("preview/route", 0, rules)?);
        }
        steps.extend(site.bake("preview/bake", self.preview)?);
        steps.extend(site.preview("preview/", &self.preview_analyses, &steps)?);
        steps.extend(site.still_routed("preview/", &steps)?);
        grow(site, (first, ready), &mut steps)?;
        switch(site, &self.gates, &mut steps)?;
        steps.extend(site.promoted("", site.replicas)?);
        steps.extend(site.bake("bake", self.bake)?);
        steps.extend(site.judge("", &self.analyses, &steps)?);
        steps.extend(site.still_routed("", &steps)?);
        steps.push(site.still_ready("", ready)?);
        Ok(Rollout { finale: site.retire_with(self.keep_old, ready)?, ..Rollout::of(steps) })
    }
}

impl BlueGreen {
    /// How many of `all` instances of the new version have to be ready from the switch on.
    fn enough(&self, all: u32) -> Result<u32, StrategyError> {
        let missing = self.max_unavailable.rounded_down(all);
        all.checked_sub(missing).filter(|ready| *ready > 0 || missing == 0).ok_or_else(|| {
            let most = all.saturating_sub(1);
            StrategyError::Refused(format!(
                "lets {missing} instances of the new version be missing at the switch, and the service has {all}; set `max_unavailable` to 0 to {most}"
            ))
        })
    }
}

impl RolloutStrategy for Shadow {
    fn problem(&self) -> Option<String> {
        let Self { percent, only, .. } = self;
        if !(1..=100).contains(percent) {
            return Some(format!(
                "`shadow.percent` is {percent}; write a whole number from 1 to 100"
            ));
        }
        only_problem(only).map(|problem| format!("`shadow.only`: {problem}"))
    }

    fn judged(&self) -> Vec<Judged<'_>> {
        vec![Judged { analyses: self.analyses.iter().collect(), alone: None }]
    }

    fn gates(&self) -> Vec<&[Gate]> {
        vec![&self.gates]
    }

    fn spans(&self) -> Vec<(&'static str, Span)> {
        vec![("bake", self.bake), ("after", self.after), (KEEP_OLD, self.keep_old)]
    }

    fn names(&self) -> &'static [&'static str] {
        &[
            "start",
            "ready",
            "mirror",
            "unmirror",
            "grow",
            "switch",
            "bake",
            "still-ready",
            "still-routed",
        ]
    }

    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let first = some_of(self.replicas, site.replicas)?;
        let mut steps = vec![site.scale_new("start", first)?, site.probe("ready", first)?];
        let copies = Copies { percent: self.percent, only: self.only.clone() };
        steps.push(site.route_by("mirror", 0, site.rules(&[], Some(&copies)))?);
        steps.extend(site.bake("mirror/bake", self.bake)?);
        steps.extend(site.judge("mirror/", &self.analyses, &steps)?);
        steps.extend(site.still_routed("mirror/", &steps)?);
        steps.push(site.still_ready("mirror/", first)?);
        steps.push(site.route("unmirror", 0)?);
        grow(site, (first, site.replicas), &mut steps)?;
        switch(site, &self.gates, &mut steps)?;
        steps.extend(site.bake("bake", self.after)?);
        steps.extend(site.judge("", &[], &steps)?);
        steps.extend(site.still_routed("", &steps)?);
        steps.push(site.still_ready("", site.replicas)?);
        Ok(Rollout { finale: site.retire(self.keep_old)?, ..Rollout::of(steps) })
    }
}

/// How many instances run before the switch.
fn some_of(asked: Option<u32>, all: u32) -> Result<u32, StrategyError> {
    let some = asked.unwrap_or(all);
    if (1..=all).contains(&some) {
        return Ok(some);
    }
    Err(StrategyError::Refused(format!(
        "runs {some} instances of the new version at first, and the service has {all}; set 1 to {all}"
    )))
}

/// Starts what is missing of the new version, and waits for as many as have to be ready.
fn grow(
    site: &Site<'_>,
    (running, ready): (u32, u32),
    steps: &mut Vec<Step>,
) -> Result<(), StrategyError> {
    if running < site.replicas {
        steps.push(site.scale_new("grow", site.replicas)?);
        steps.push(site.probe("grow/ready", ready)?);
    }
    Ok(())
}

fn switch(site: &Site<'_>, gates: &[Gate], steps: &mut Vec<Step>) -> Result<(), StrategyError> {
    let mut switch = site.route("switch", 100)?;
    switch.gates = site.own_gates("", gates)?;
    steps.push(switch);
    Ok(())
}
