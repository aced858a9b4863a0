//! Give the new version one share of the traffic after the other, and judge it at each.

use std::collections::BTreeSet;

use super::hooks::{self, Called};
use super::{Judged, KEEP_OLD, Roles, Rollout, RolloutStrategy, Site, StrategyError, experiment};
use crate::model::{
    AffinityTo, AnalysisId, AntiAffinity, Canary, CanaryReady, CanaryScale, CanaryStep, Copies,
    Experiment, Gate, KeepNew, SessionAffinity, TemplateVersion, TrafficRules,
};
use crate::plan::{Action, Step};
use crate::time::Span;

/// What steps are called beside analyses.
const NAMES: &[&str] = &[
    "scale",
    "ready",
    "bake",
    "still-ready",
    "still-routed",
    "grow-old",
    "old-ready",
    "shrink-old",
    "shrink",
    "experiment",
];

/// The same, where experiments are among them: they judge beside their own steps.
const NAMES_WITH_EXPERIMENTS: &[&str] = &[
    "scale",
    "ready",
    "bake",
    "still-ready",
    "still-routed",
    "grow-old",
    "old-ready",
    "shrink-old",
    "shrink",
    "experiment",
    "start",
    "stop",
    "over",
];

impl RolloutStrategy for Canary {
    fn problem(&self) -> Option<String> {
        if self.steps.is_empty() {
            return Some("`canary.steps` is empty; give at least one weight".into());
        }
        let weights: Vec<u8> = self.steps.iter().map(|step| step.weight).collect();
        if weights.iter().any(|weight| *weight > 100) {
            return Some(format!("canary weights {weights:?} must lie from 0 to 100"));
        }
        let mut numbered = self.steps.iter().zip(1..);
        numbered
            .find_map(|(step, n)| Some(format!("canary step {n}: {}", step_problem(step)?)))
            .or_else(|| Some(format!("canary: {}", self.ready.and_then(CanaryReady::problem)?)))
            .or_else(|| self.anti_affinity.and_then(AntiAffinity::problem))
            .or_else(|| self.min_replicas.problem("canary.min_replicas"))
            .or_else(|| self.canary_metadata.problem("canary.canary_metadata"))
            .or_else(|| self.stable_metadata.problem("canary.stable_metadata"))
            .or_else(|| self.affinity.as_ref().and_then(SessionAffinity::problem))
            .or_else(|| self.background_problem())
            .or_else(|| self.affinity_problem())
    }

    fn judged(&self) -> Vec<Judged<'_>> {
        let mut all = Vec::new();
        for step in &self.steps {
            let alone = match step.weight {
                0 if step.mirror.is_none() => Some("at a weight of 0"),
                100 => Some("at a weight of 100"),
                _ => None,
            };
            all.push(Judged { analyses: step.analyses.iter().collect(), alone });
            if let Some(experiment) = &step.experiment {
                all.push(Judged {
                    analyses: experiment.analyses.iter().collect(),
                    alone: alone_in(experiment),
                });
            }
        }
        let background: Vec<&AnalysisId> = self.background.iter().map(|b| &b.analysis).collect();
        all.push(Judged { analyses: background, alone: Some("in the background") });
        all
    }

    fn gates(&self) -> Vec<&[Gate]> {
        self.steps.iter().map(|step| &step.gates[..]).collect()
    }

    fn spans(&self) -> Vec<(&'static str, Span)> {
        let steps = self.steps.iter().map(|step| ("bake", step.bake));
        let experiments = self.steps.iter().filter_map(|step| step.experiment.as_ref());
        steps
            .chain(experiments.map(|experiment| ("experiment.bake", experiment.bake)))
            .chain([
                (KEEP_OLD, self.keep_old),
                ("keep_new_after_abort", self.keep_new_after_abort.span().unwrap_or_default()),
            ])
            .collect()
    }

    fn keeps_new_after_abort(&self) -> KeepNew {
        self.keep_new_after_abort
    }

    fn roles(&self) -> Option<Roles> {
        Roles::new(&self.canary_metadata, &self.stable_metadata)
    }

    fn anti_affinity(&self) -> Option<AntiAffinity> {
        self.anti_affinity
    }

    fn names(&self) -> &'static [&'static str] {
        let beside = self.steps.iter().any(|step| step.experiment.is_some());
        if beside { NAMES_WITH_EXPERIMENTS } else { NAMES }
    }

    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let old = site.replicas;
        let (steps, running, ready, share) = (Vec::new(), 0, 0, 0);
        let mut course = Course { site, spec: self, steps, running, ready, old, share };
        let mut beginnings = Vec::new();
        for (step, number) in self.steps.iter().zip(1_u32..) {
            let twins = self.steps.iter().take(number as usize - 1);
            let twins = twins.filter(|earlier| earlier.weight == step.weight).count();
            let name = match twins {
                0 => format!("weight-{}", step.weight),
                more => format!("weight-{}-{}", step.weight, more + 1),
            };
            beginnings.push(course.step(&name, step, number == 1)?);
        }
        course.promote()?;
        let steps = course.steps;
        let mut rollout = Rollout { finale: site.retire(self.keep_old)?, ..Rollout::of(steps) };
        for background in &self.background {
            let begins = beginnings.get((background.from_step as usize).saturating_sub(1));
            rollout.watch(site, &background.analysis, begins.copied())?;
        }
        Ok(rollout)
    }
}

/// Where the new version is alone in an experiment: in one without instances of the old one.
fn alone_in(experiment: &Experiment) -> Option<&'static str> {
    let of = |of| experiment.templates.iter().any(|template| template.of == of);
    let both = of(TemplateVersion::Old) && of(TemplateVersion::New);
    let alone = !experiment.templates.is_empty() && !both;
    alone.then_some("in an experiment that has not templates of both versions")
}

/// The experiment in which the new version's own instances are compared, if there is such a one.
fn compared(step: &CanaryStep) -> Option<&Experiment> {
    step.experiment.as_ref().filter(|experiment| experiment.templates.is_empty())
}

impl Canary {
    /// A version that keeps clients gets more than its share, and nobody knows how much more. The new version always keeps
    /// some. The old one, where it keeps none, gets its share of all requests at the most: it may shrink with that.
    fn affinity_problem(&self) -> Option<String> {
        let small = self.steps.iter().any(|step| step.scale.is_some());
        match self.affinity.as_ref()?.to {
            AffinityTo::AnsweringVersion => (self.shrink_old || small).then(|| "`canary.affinity` lets clients stay, whatever the shares, so that both versions need all of their instances; leave out `scale` and `shrink_old`, or the affinity".into()),
            AffinityTo::NewVersion => small.then(|| "`canary.affinity` lets clients stay with the new version, whatever its share, so that it needs all of its instances; leave out `scale`, or the affinity".into()),
        }
    }

    fn background_problem(&self) -> Option<String> {
        let steps = self.steps.len();
        let found =
            self.background.iter().find(|b| !(1..=steps).contains(&(b.from_step as usize)))?;
        let (analysis, from) = (&found.analysis, found.from_step);
        Some(format!(
            "canary background `{analysis}` begins with step {from}, and there are {steps}; set 1 to {steps}"
        ))
    }
}

fn step_problem(step: &CanaryStep) -> Option<String> {
    if step.weight == 100 && (step.mirror.is_some() || !step.headers.is_empty()) {
        return Some(
            "with all of the traffic, headers and copies say nothing; leave them out".into(),
        );
    }
    let experiment = step.experiment.as_ref();
    if step.ready.is_some() && compared(step).is_some() {
        return Some("an experiment compares as many instances on either side, of which none may be missing; leave out `ready`, or the experiment".into());
    }
    step.mirror
        .as_ref()
        .and_then(Copies::problem)
        .or_else(|| step.ready.and_then(CanaryReady::problem))
        .or_else(|| experiment.and_then(|experiment| experiment::problem(experiment, step.weight)))
        .or_else(|| TrafficRules::of_headers(&step.headers).problem())
        .or_else(|| calls_problem(step))
}

fn calls_problem(step: &CanaryStep) -> Option<String> {
    let mut seen = BTreeSet::new();
    step.calls.iter().find_map(|call| {
        let twice = (!seen.insert(&call.id))
            .then(|| format!("`calls` has `{}` twice; rename one", call.id));
        twice.or_else(|| Called::from(call).problem("call"))
    })
}

/// How far the rollout is.
struct Course<'a> {
    site: &'a Site<'a>,
    spec: &'a Canary,
    steps: Vec<Step>,
    /// Instances of the new version.
    running: u32,
    /// How many of them had to be ready when somebody last looked.
    ready: u32,
    /// Instances of the old version.
    old: u32,
    /// The new version's share.
    share: u8,
}

impl Course<'_> {
    /// The steps at one share; returns the index of the one with which what watches it begins: the change of shares,
    /// or the first, where the shares stay as they are.
    fn step(&mut self, name: &str, step: &CanaryStep, first: bool) -> Result<usize, StrategyError> {
        let (site, begin) = (self.site, self.steps.len());
        let wanted = self.wanted(step, first)?;
        let ready = self.enough(step, wanted);
        // Those that are stopped then may be just those that are ready.
        let spared = self.running.saturating_sub(wanted);
        self.grow(name, wanted, ready + spared, first)?;
        let rules = self.rules(step);
        let left = self.at_least(CanaryScale::Percent(100_u8.saturating_sub(step.weight)), 0);
        // Where the share falls, the old version gets back what it gave up, and is looked at, before any traffic returns.
        let (grows, falls) = (left > self.old, step.weight < self.share);
        if grows {
            self.steps.extend(site.scale_old(&format!("{name}/grow-old"), left)?);
            self.old = left;
        }
        if falls {
            self.steps.extend(site.probe_old(&format!("{name}/old-ready"), left)?);
        }
        self.share = step.weight;
        let routed = self.route(name, step.weight, rules.clone())?;
        if self.spec.shrink_old && step.weight < 100 && !grows {
            self.steps.extend(site.scale_old(&format!("{name}/shrink-old"), left)?);
            self.old = left;
        }
        if wanted < self.running {
            self.steps.push(site.scale_new(&format!("{name}/shrink"), wanted)?);
            self.running = wanted;
        }
        let prefix = format!("{name}/");
        self.steps.extend(hooks::calls(site, &prefix, &step.calls)?);
        self.steps.extend(site.bake(&format!("{name}/bake"), step.bake)?);
        // Whom headers bring there is a user, too.
        let unseen = step.weight == 0 && step.mirror.is_none() && step.headers.is_empty();
        let judges = if unseen {
            site.preview(&prefix, &step.analyses, &self.steps)?
        } else {
            site.judge(&prefix, &step.analyses, &self.steps)?
        };
        self.steps.extend(judges);
        self.steps.extend(site.still_routed(&prefix, &self.steps)?);
        if let Some(experiment) = &step.experiment {
            let around =
                experiment::Around { prefix: &prefix, weight: step.weight, old: self.old, rules };
            self.steps.extend(experiment::steps(experiment, site, &around)?);
        }
        self.steps.push(site.still_ready(&prefix, ready)?);
        self.ready = ready;
        if let Some(first) = self.steps.get_mut(begin) {
            let own = site.own_gates(name, &step.gates)?;
            first.gates = own.into_iter().chain(std::mem::take(&mut first.gates)).collect();
        }
        Ok(routed.unwrap_or(begin))
    }

    /// How many instances of the new version are to run: as many as its share needs.
    fn wanted(&self, step: &CanaryStep, first: bool) -> Result<u32, StrategyError> {
        let (all, keeps) = (self.site.replicas, self.keeps(step));
        let asked = match (step.scale, compared(step)) {
            (Some(scale), _) => self.at_least(scale, step.weight),
            (None, Some(experiment)) => experiment.replicas.max(self.running),
            (None, None) if first || keeps => all,
            (None, None) => self.running,
        };
        let needed = self.needed(step);
        if (needed..=all).contains(&asked) {
            return match compared(step) {
                // With less on either side, what differs would be the load of an instance.
                Some(experiment) if experiment.replicas != asked => {
                    Err(StrategyError::Refused(format!(
                        "compares {asked} instances of the new version with {} fresh ones of the old; set `experiment.replicas` to {asked}, or `scale`",
                        experiment.replicas
                    )))
                }
                _ => Ok(asked),
            };
        }
        let weight = step.weight;
        let how = if keeps {
            format!(
                "clients stay with it whatever its share, so set `experiment.replicas` to {all}, or leave out the affinity"
            )
        } else {
            format!("set `scale` to {needed} to {all}")
        };
        Err(StrategyError::Refused(format!(
            "runs {asked} instances of the new version at a weight of {weight}, of {all} of the service; {how}"
        )))
    }

    /// How many instances a scale comes to at `weight` percent: at least so many as either version has, where it has any and it is no
    /// number.
    fn at_least(&self, scale: CanaryScale, weight: u8) -> u32 {
        let all = self.site.replicas;
        let asked = scale.of(all, weight);
        match scale {
            CanaryScale::Replicas(_) => asked,
            _ if asked == 0 => 0,
            _ => asked.max(self.spec.min_replicas.rounded_up(all).min(all)),
        }
    }

    /// Whether clients stay with the new version.
    fn keeps(&self, step: &CanaryStep) -> bool {
        self.spec.affinity.is_some() && (1..100).contains(&step.weight)
    }

    /// How many instances of the new version its requests need.
    fn needed(&self, step: &CanaryStep) -> u32 {
        let all = self.site.replicas;
        if self.keeps(step) {
            return all;
        }
        let reached = step.mirror.is_some() || !step.headers.is_empty();
        let share = compared(step).map_or(step.weight, |e| e.share.max(step.weight));
        CanaryScale::Percent(share).of(all, share).max(u32::from(reached))
    }

    /// How many of the `wanted` instances have to be ready: as many as it says, and never fewer than its requests need. Of those
    /// that an experiment compares, none may be missing.
    fn enough(&self, step: &CanaryStep, wanted: u32) -> u32 {
        match step.ready.or(self.spec.ready).filter(|_| compared(step).is_none()) {
            Some(ready) => ready.of(wanted).max(self.needed(step)),
            None => wanted,
        }
    }

    /// Starts what is missing of the new version, and waits for those that have to be ready. Where enough run already, and
    /// fewer of them were looked for than are needed now, or some are about to be stopped, it is looked again.
    fn grow(
        &mut self,
        name: &str,
        wanted: u32,
        ready: u32,
        first: bool,
    ) -> Result<(), StrategyError> {
        let at = |what: &str| if first { what.to_owned() } else { format!("{name}/{what}") };
        let (grows, shrinks) = (wanted > self.running || first, wanted < self.running);
        if grows {
            let scale = at(if first { "start" } else { "scale" });
            self.steps.push(self.site.scale_new(&scale, wanted)?);
            self.running = wanted;
        }
        if grows || shrinks || ready > self.ready {
            self.steps.push(self.site.probe(&at("ready"), ready)?);
            self.ready = ready;
        }
        Ok(())
    }

    fn rules(&self, step: &CanaryStep) -> TrafficRules {
        let rules = self.site.rules(&step.headers, step.mirror.as_ref());
        let affinity = self.spec.affinity.as_ref().filter(|_| self.keeps(step));
        let affinity = affinity.map(|stay| stay.rule(self.site.new.artifact.digest()));
        TrafficRules { affinity, ..rules }
    }

    /// Changes shares and rules, if they change; returns the index of that step.
    fn route(
        &mut self,
        name: &str,
        weight: u8,
        rules: TrafficRules,
    ) -> Result<Option<usize>, StrategyError> {
        let step = self.site.route_by(name, weight, rules)?;
        let before =
            self.steps.iter().rev().find(|step| matches!(step.action, Action::Route { .. }));
        if before.is_some_and(|before| before.action == step.action) {
            return Ok(None);
        }
        self.steps.push(step);
        Ok(Some(self.steps.len() - 1))
    }

    /// The rest of the way to all of the traffic.
    fn promote(&mut self) -> Result<(), StrategyError> {
        let (site, all) = (self.site, self.site.replicas);
        let through = self.spec.steps.last().is_some_and(|last| last.weight == 100);
        if !through {
            self.grow("promote", all, all, false)?;
            self.steps.push(site.route("promote", 100)?);
        }
        let relabelled = site.promoted("", self.old)?;
        // It is looked at last, whatever a platform makes of other labels.
        let prefix = match (through, relabelled.is_empty()) {
            (false, _) => Some(""),
            (true, false) => Some("relabel/"),
            (true, true) => None,
        };
        self.steps.extend(relabelled);
        self.steps.extend(prefix.map(|prefix| site.still_ready(prefix, all)).transpose()?);
        Ok(())
    }
}
