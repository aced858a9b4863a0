//! What a season came to, in numbers; and instants and spans for people.

use release_core::model::{HotfixId, Span, Timestamp, TrainId};
use release_policy::train::departure::Slip;

use crate::trains::{Fate, Played};

/// What a season came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// Trains that departed, with how much later than planned.
    pub(crate) departed: Vec<(TrainId, Span)>,
    /// Trains that did not.
    pub(crate) away: Vec<TrainId>,
    /// From when a feature is done until all users have it: the median, and what 95 of 100 do not exceed.
    pub(crate) lead: (Span, Span),
    /// Features that users have, and those that they have not.
    pub(crate) features: (usize, usize),
    /// From when something is to be mended until it is, wherever it is live.
    pub(crate) hotfixes: Vec<(HotfixId, Option<Span>)>,
    /// Trains that departed later for hotfixes.
    pub(crate) slips: Vec<Slip>,
}

impl Numbers {
    pub(crate) fn of(played: &Played) -> Self {
        let (mut departed, mut away, mut slips) = (Vec::new(), Vec::new(), Vec::new());
        for told in &played.trains {
            let (id, planned) = (told.dates.id.clone(), told.dates.departs);
            match &told.fate {
                Fate::Away(_) => away.push(id),
                Fate::Departed(trip) => {
                    departed.push((id, trip.kept.departs.since(planned)));
                    slips.extend(trip.slip.clone());
                }
            }
        }
        let lives = played.features.iter().filter_map(|one| Some(one.live?.since(one.ready)));
        let mut lives: Vec<_> = lives.collect();
        lives.sort_unstable();
        let features = (lives.len(), played.features.len() - lives.len());
        let hotfixes = played.hotfixes.iter().map(|one| {
            let landed = one.landed.as_ref().map(|landed| landed.at.since(one.arrives));
            (one.id.clone(), landed)
        });
        let lead = (percentile(&lives, 50), percentile(&lives, 95));
        Self { departed, away, lead, features, hotfixes: hotfixes.collect(), slips }
    }

    /// By how much all trains together departed later for hotfixes.
    pub(crate) fn overflow(&self) -> Span {
        let spans = self.slips.iter().map(|slip| slip.by.as_duration());
        spans.sum::<std::time::Duration>().into()
    }
}

/// The least of `sorted` that so many of a hundred do not exceed (nearest rank).
fn percentile(sorted: &[Span], percent: usize) -> Span {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Hours, with one digit behind the point.
pub(crate) fn hours(span: Span) -> String {
    let tenths = (span.as_duration().as_secs() + 180) / 360;
    format!("{}.{} h", tenths / 10, tenths % 10)
}

/// Such as `Thu 2026-11-05 08:00`, in UTC.
pub(crate) fn when(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]; // 1970 began on a Thursday
    let day = at.as_micros().div_euclid(86_400_000_000).rem_euclid(7);
    let name = usize::try_from(day).ok().and_then(|day| DAYS.get(day)).copied();
    let text: String = at.to_string().replace('T', " ").chars().take(16).collect();
    format!("{} {text}", name.unwrap_or_default())
}
