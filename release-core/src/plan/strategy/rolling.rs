//! Replace a batch of instances at a time; each version's traffic follows its share of instances.
//!
//! Shares are whole percents, and instances need not be: the version that has fewer of them never gets more than its part, and the
//! other the rest. So no instance gets more than 1.02 times what each has when the service is whole, beside what instances that may
//! be missing leave to the others. While the new version has less than one percent of the instances, it gets no traffic: such a
//! batch is ready and baked, and judged with the first that serves somebody.

use super::{Judged, Rollout, RolloutStrategy, Site, StrategyError};
use crate::ids::IdError;
use crate::model::{Portion, Rolling};
use crate::plan::Step;
use crate::time::Span;

/// Most batches of one rollout. Each is several steps, made before the plan's limit of steps is looked
/// at: without a bound of their own, a line of a file could exhaust the memory.
const MAX_BATCHES: u32 = 1000;

impl RolloutStrategy for Rolling {
    fn problem(&self) -> Option<String> {
        if self.batches == 0 {
            return Some("`rolling.batches` is 0; set 1 or more".into());
        }
        if self.batches > MAX_BATCHES {
            return Some(format!(
                "`rolling.batches` is {}; set {MAX_BATCHES} or fewer",
                self.batches
            ));
        }
        let surge = self.max_surge.and_then(|surge| surge.problem("rolling.max_surge"));
        surge.or_else(|| self.max_unavailable.problem("rolling.max_unavailable")).or_else(|| {
            let neither = self.max_surge.is_some_and(Portion::is_none) && self.max_unavailable.is_none();
            neither.then(|| {
                "`rolling.max_surge` and `rolling.max_unavailable` are both 0 and no instance could be replaced; set one to 1 or more".into()
            })
        })
    }

    fn judged(&self) -> Vec<Judged<'_>> {
        let alone = (self.batches == 1 && self.max_surge.is_none()).then_some("after the switch");
        vec![Judged { analyses: self.analyses.iter().collect(), alone }]
    }

    fn spans(&self) -> Vec<(&'static str, Span)> {
        vec![("bake", self.bake)]
    }

    fn names(&self) -> &'static [&'static str] {
        &[
            "drain",
            "make-room",
            "start",
            "ready",
            "serve",
            "stop-old",
            "bake",
            "still-ready",
            "still-routed",
        ]
    }

    fn runs_both(&self) -> bool {
        self.max_surge.is_none()
    }

    fn rollout(&self, site: &Site<'_>) -> Result<Rollout, StrategyError> {
        let all = site.replicas;
        let (batches, (missing, _)) = (self.batches_of(all)?, self.limits(all));
        let turns = Turns { site, in_turn: !self.runs_both() };
        let mut steps = site.steps(1 + 5 * batches as usize);
        let mut replaced = 0;
        for batch in 1..=batches {
            let mut at = Names::of(batch);
            let new = share(batch, all, batches);
            let may_miss = missing.min(new - replaced);
            // What the old version has while the new one starts.
            let left = all - replaced - may_miss;
            let mut percent = share_of_traffic(replaced, all);
            if may_miss > 0 {
                if left == 0 && replaced > 0 {
                    // Nobody may be sent to an instance that is not there.
                    steps.push(turns.route(at.step("drain"), (percent, 100), all - replaced)?);
                    percent = 100;
                }
                steps.extend(turns.scale_old(at.step("make-room"), (all - replaced, left))?);
            }
            steps.push(turns.scale_new(at.step("start"), (replaced, new))?);
            steps.push(site.probe(at.step("ready"), new)?);
            let served = share_of_traffic(new, all);
            if left == 0 && replaced == 0 {
                // All were replaced at once: traffic returns once all of the old version are back.
                steps.push(site.route(at.step("serve"), served)?);
            } else if served > 0 {
                steps.push(turns.route(at.step("serve"), (percent, served), left)?);
            }
            if left > all - new {
                steps.extend(turns.scale_old(at.step("stop-old"), (left, all - new))?);
            }
            steps.extend(site.bake(at.step("bake"), self.bake)?);
            if served > 0 {
                // What nobody is served by yet has nothing to be judged by.
                steps.extend(site.judge(at.step(""), &self.analyses, &steps)?);
            }
            steps.extend(site.still_routed(at.step(""), &steps)?);
            replaced = new;
        }
        steps.push(site.still_ready("", all)?);
        Ok(Rollout::of(steps))
    }
}

/// The names of one batch's steps, made in the same place.
struct Names {
    text: String,
    batch: usize,
}

impl Names {
    fn of(batch: u32) -> Self {
        let text = format!("batch-{batch}/");
        Self { batch: text.len(), text }
    }

    /// What a step is called.
    fn step(&mut self, name: &str) -> &str {
        self.text.truncate(self.batch);
        self.text.push_str(name);
        &self.text
    }
}

/// The steps of batches, with their way back: all at once, or batch by batch where there is a limit to how many instances
/// there may be.
struct Turns<'a> {
    site: &'a Site<'a>,
    in_turn: bool,
}

impl Turns<'_> {
    fn scale_new(&self, name: &str, (from, to): (u32, u32)) -> Result<Step, IdError> {
        if self.in_turn {
            return self.site.scale_new_in_turn(name, to, from);
        }
        self.site.scale_new(name, to)
    }

    fn scale_old(&self, name: &str, (from, to): (u32, u32)) -> Result<Option<Step>, IdError> {
        if self.in_turn {
            return self.site.scale_old_in_turn(name, to, from);
        }
        self.site.scale_old(name, to)
    }

    fn route(&self, name: &str, (from, to): (u8, u8), old: u32) -> Result<Step, IdError> {
        if self.in_turn {
            return self.site.route_in_turn(name, to, from, old);
        }
        self.site.route(name, to)
    }
}

/// The share in percent of `new` instances of `all`, rounded in favour of whichever version has fewer: by less than one percent of
/// the traffic, which the other version's instances, half of all at least, have beside their part.
fn share_of_traffic(new: u32, all: u32) -> u8 {
    let of = |instances: u32| u64::from(instances) * 100 / u64::from(all.max(1));
    let old = all.saturating_sub(new);
    let percent = if new < old { of(new) } else { 100_u64.saturating_sub(of(old)) };
    u8::try_from(percent).unwrap_or(100)
}

impl Rolling {
    /// How many of `all` instances may be missing, and how many may be there beyond them, if that is said. One may be missing where
    /// both come to none: it was said that some may.
    fn limits(&self, all: u32) -> (u32, Option<u32>) {
        let surge = self.max_surge.map(|surge| surge.rounded_up(all));
        let missing = self.max_unavailable.rounded_down(all);
        (if surge == Some(0) { missing.max(1) } else { missing }, surge)
    }

    /// In how many batches `all` instances are replaced: of none are more than may be missing and may be there too many
    /// together.
    fn batches_of(&self, all: u32) -> Result<u32, StrategyError> {
        let asked = self.batches.clamp(1, all.max(1));
        let (missing, Some(surge)) = self.limits(all) else { return Ok(asked) };
        let largest = surge.saturating_add(missing).max(1);
        match asked.max(all.div_ceil(largest)) {
            batches if batches <= MAX_BATCHES => Ok(batches),
            batches => Err(StrategyError::Refused(format!(
                "needs {batches} batches to replace {all} instances {largest} at a time, and {MAX_BATCHES} are the most; raise `max_surge` or `max_unavailable`"
            ))),
        }
    }
}

/// `part × whole / parts`, rounded up; at most `whole` when `part <= parts`.
fn share(part: u32, whole: u32, parts: u32) -> u32 {
    let exact = (u64::from(part) * u64::from(whole)).div_ceil(u64::from(parts.max(1)));
    u32::try_from(exact).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_cover_all_instances_without_overflow() {
        assert_eq!((1..=3).map(|batch| share(batch, 7, 3)).collect::<Vec<_>>(), [3, 5, 7]);
        assert_eq!(share(u32::MAX, u32::MAX, u32::MAX), u32::MAX);
        assert_eq!(share_of_traffic(u32::MAX - 1, u32::MAX), 100);
    }

    /// Whether so many instances of `all` carry `share` percent: fewer than half of them their part, others 1.02 times as much.
    fn carries(share: u32, instances: u32, all: u32) -> bool {
        let (asked, part) = (u64::from(share) * u64::from(all), u64::from(instances) * 100);
        if 2 * instances < all { asked <= part } else { asked * 100 <= part * 102 }
    }

    #[test]
    fn no_version_gets_more_than_its_instances_carry() {
        assert_eq!((1..=3).map(|new| share_of_traffic(new, 3)).collect::<Vec<_>>(), [33, 67, 100]);
        assert_eq!([1, 2, 198, 199].map(|new| share_of_traffic(new, 200)), [0, 1, 99, 100]);
        for all in 1..=1000 {
            for (surge, unavailable) in [(1, 0), (0, 1), (2, 1), (7, 3), (50, 0), (1000_u32, 0_u32)]
            {
                let (max_surge, max_unavailable) = (Some(surge.into()), unavailable.into());
                let rolling = Rolling { max_unavailable, max_surge, ..Rolling::new(1) };
                let batches = rolling.batches_of(all).unwrap();
                let mut before = 0;
                for new in (1..=batches).map(|batch| share(batch, all, batches)) {
                    let percent = u32::from(share_of_traffic(new, all));
                    assert!(carries(percent, new, all), "{percent} % on {new} of {all}");
                    let (rest, old) = (100 - percent, all - new);
                    assert!(carries(rest, old, all), "{rest} % on {old} old ones of {all}");
                    assert!(before <= percent && (percent == 100 || new < all));
                    before = percent;
                }
                assert_eq!(before, 100);
            }
        }
    }

    #[test]
    fn no_batch_is_larger_than_what_may_be_missing_and_too_many() {
        for all in 1..40 {
            for (surge, unavailable) in [(1, 0), (0, 1), (2, 1), (3, 3), (50_u32, 0_u32)] {
                let (max_surge, max_unavailable) = (Some(surge.into()), unavailable.into());
                let rolling = Rolling { max_unavailable, max_surge, ..Rolling::new(1) };
                let batches = rolling.batches_of(all).unwrap();
                let mut replaced = 0;
                for batch in 1..=batches {
                    let new = share(batch, all, batches);
                    assert!(
                        new - replaced <= surge + unavailable,
                        "{all} by {surge}, {unavailable}"
                    );
                    replaced = new;
                }
                assert_eq!(replaced, all);
            }
        }
        let slow = Rolling { max_surge: Some(1.into()), ..Rolling::new(1) };
        assert!(matches!(slow.batches_of(5000), Err(StrategyError::Refused(_))));
    }
    #[test]
    fn percentages_are_of_the_instances_and_leave_room_for_one() {
        let rolling = |unavailable, surge: Option<u8>| Rolling {
            max_unavailable: Portion::Percent(unavailable),
            max_surge: surge.map(Portion::Percent),
            ..Rolling::new(1)
        };
        for (unavailable, surge, all, want) in [
            (25, Some(25), 10, (2, Some(3))),
            (25, Some(25), 4, (1, Some(1))),
            (25, Some(0), 10, (2, Some(0))),
            // Both come to none, and one of them is more than 0 %.
            (25, Some(0), 3, (1, Some(0))),
            (0, Some(1), 3, (0, Some(1))),
            (100, None, 3, (3, None)),
            (0, None, 3, (0, None)),
        ] {
            let found = rolling(unavailable, surge).limits(all);
            assert_eq!(found, want, "{unavailable} %, {surge:?} % of {all}");
        }
        let both = rolling(0, Some(0)).problem().unwrap();
        assert!(both.contains("are both 0 and no instance could be replaced"), "{both}");
        assert!(
            rolling(101, None).problem().unwrap().contains("`rolling.max_unavailable` is 101%")
        );
        assert!(rolling(0, Some(200)).problem().unwrap().contains("`rolling.max_surge` is 200%"));
        assert_eq!(rolling(1, Some(0)).problem(), None);
    }
}
