//! Two seasons compared: what if we froze Fridays?

use std::collections::BTreeMap;

use release_core::model::Span;

use crate::numbers::{Numbers, hours};

/// The question.
pub(crate) const QUESTION: &str = "What if we froze Fridays?";

/// The answer, as lines of a list.
pub(crate) fn answer(as_it_is: &Numbers, frozen: &Numbers) -> String {
    let mut lines = Vec::new();
    let mut line = |text: String| lines.push(format!("- {text}\n"));
    let before: BTreeMap<_, _> = as_it_is.departed.iter().map(|(id, late)| (id, *late)).collect();
    let moved = frozen.departed.iter().filter_map(|(id, late)| {
        let before = before.get(id)?;
        (late != before).then(|| format!("{id} {}", more(*late, *before)))
    });
    let moved: Vec<_> = moved.collect();
    line(format!("{} of {} departures move: {}", moved.len(), frozen.departed.len(), some(&moved)));
    let gone: Vec<_> = frozen
        .away
        .iter()
        .filter(|id| !as_it_is.away.contains(id))
        .map(ToString::to_string)
        .collect();
    line(format!("{} more trains do not depart at all: {}", gone.len(), some(&gone)));
    line(format!(
        "lead time of features, from done to live everywhere: median {}, now {}; of 95 in 100 at most {}, now {}",
        hours(frozen.lead.0),
        hours(as_it_is.lead.0),
        hours(frozen.lead.1),
        hours(as_it_is.lead.1)
    ));
    line(format!(
        "{} features are live at the end and {} wait; now {} and {}",
        frozen.features.0, frozen.features.1, as_it_is.features.0, as_it_is.features.1
    ));
    for ((id, then), (_, now)) in frozen.hotfixes.iter().zip(&as_it_is.hotfixes) {
        let (then, now) = (then.unwrap_or_default(), now.unwrap_or_default());
        line(format!("{id} is live after {}, {} than now", hours(then), more(then, now)));
    }
    let because = |numbers: &Numbers| {
        let each: Vec<_> = numbers
            .slips
            .iter()
            .map(|slip| format!("{} by {}", slip.train, hours(slip.by)))
            .collect();
        some(&each)
    };
    line(format!(
        "beyond the time kept for hotfixes: {} ({}); now {} ({})",
        hours(frozen.overflow()),
        because(frozen),
        hours(as_it_is.overflow()),
        because(as_it_is)
    ));
    lines.concat()
}

/// How much later something is, or sooner.
fn more(then: Span, now: Span) -> String {
    let (more, less) = (
        then.as_duration().checked_sub(now.as_duration()),
        now.as_duration().saturating_sub(then.as_duration()),
    );
    match more {
        Some(more) => format!("{} later", hours(more.into())),
        None => format!("{} sooner", hours(less.into())),
    }
}

fn some(all: &[String]) -> String {
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// All that trains departed later than planned.
pub(crate) fn late(numbers: &Numbers) -> Span {
    let all = numbers.departed.iter().map(|(_, late)| late.as_duration());
    all.sum::<std::time::Duration>().into()
}
