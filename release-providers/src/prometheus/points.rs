//! The points of a curve since a window began, by a query that somebody wrote.

use release_core::port::{MAX_POINTS, Measurement, Point};
use release_core::time::{Span, Timestamp};

use super::MEASURE;
use super::promql::{Words, says};
use super::range::RangeQuery;
use super::source::Inner;
use crate::samples::counts::{Told, fresh};
use crate::samples::{Came, Fact};
use crate::spi::MeasureRequest;
use crate::{ErrorKind, ProviderError};

impl Inner {
    /// Evaluates a query at every whole step since 1970 of the last `over`, in the window: so that two looks see the same instants.
    pub(super) async fn points(
        &self,
        request: &MeasureRequest,
        query: &str,
        (step, over): (Span, Span),
    ) -> Result<Told<Measurement>, ProviderError> {
        let labels = self.labels(request)?;
        let now = self.clock.now();
        let words = Words {
            target: &request.target,
            digest: request.digest,
            version: &request.version.to_string(),
            window: now.since(request.since),
        };
        let says_track = says(query, "track");
        let asked_for = query;
        let invalid = |why: String| ProviderError::new(ErrorKind::Invalid, MEASURE, why);
        let query = words.put_into(query).map_err(invalid)?;
        let Some((from, until)) = instants(request.since, now, (step, over)) else {
            return Ok(Err(format!("no whole step of {step} has passed since {}", request.since)));
        };
        let asked = RangeQuery::new(query, from, until, step);
        if let Some(problem) = asked.problem() {
            return Err(invalid(problem));
        }
        let staleness = self.settings.staleness();
        match self.newest_of(&labels, now).await? {
            Ok(newest) => {
                if let Err(reason) = fresh(newest, now, staleness) {
                    return Ok(Err(reason));
                }
            }
            Err(_) => {
                return Ok(Err(format!(
                    "no series of version `{}` has a recent sample, so that nobody knows how old the answer is",
                    request.version
                )));
            }
        }
        let mut found = match self.curves(&asked).await? {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(one) = found.pop() else {
            return Ok(Err("the query found nothing".to_owned()));
        };
        if !found.is_empty() {
            let all = found.len() + 1;
            return Ok(Err(format!("the query found {all} series; let it find one")));
        }
        if let Err(reason) = self.of_asked((request, &labels), &one.series.0, says_track) {
            return Ok(Err(reason));
        }
        self.of_one_version(asked_for, &one.series.0)?;
        let points: Vec<Point> = one.facts.iter().map(point).collect();
        if points.len() > MAX_POINTS {
            let all = points.len();
            return Ok(Err(format!(
                "the range has {all} points, at most {MAX_POINTS} are kept; look back less, or take longer steps"
            )));
        }
        Ok(Ok(Measurement::Points { digest: request.digest, points }))
    }
}

/// The first and the last whole step in the last `over` before `now`, and not before `since`.
fn instants(
    since: Timestamp,
    now: Timestamp,
    (step, over): (Span, Span),
) -> Option<(Timestamp, Timestamp)> {
    let micros = |span: Span| i64::try_from(span.as_duration().as_micros()).unwrap_or(i64::MAX);
    let step = micros(step).max(1);
    let earliest = now.as_micros().saturating_sub(micros(over)).max(since.as_micros());
    let first = earliest.saturating_sub(1).div_euclid(step).saturating_add(1);
    let last = now.as_micros().div_euclid(step);
    let at = |number: i64| Timestamp::from_micros(number.saturating_mul(step));
    (first <= last).then(|| (at(first), at(last)))
}

const fn point(fact: &Fact) -> Point {
    match *fact {
        Fact::Number { at, value, came } => {
            Point::Number { at, value, late: matches!(came, Came::Late) }
        }
        Fact::NotANumber { at } | Fact::Infinite { at, .. } => Point::NotANumber { at },
        Fact::Conflicting { at, .. } => Point::Conflicting { at },
        Fact::Gap { after, until } => Point::Gap { after, until },
        Fact::Stale { newest, .. } => Point::Stale { newest },
    }
}

#[cfg(test)]
mod tests {
    use release_core::model::Finite;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn looks_ask_for_whole_steps_of_their_window() {
        for (since, now, step, over, want) in [
            (0, 65, 10, 30, Some((40, 60))),
            // Ends are within.
            (0, 60, 10, 30, Some((30, 60))),
            // Not before the window.
            (45, 65, 10, 60, Some((50, 60))),
            (50, 65, 10, 60, Some((50, 60))),
            (61, 65, 10, 60, None),
            (-25, -1, 10, 60, Some((-20, -10))),
        ] {
            let got = instants(at(since), at(now), (Span::secs(step), Span::secs(over)));
            assert_eq!(got, want.map(|(from, until)| (at(from), at(until))), "{since} {now}");
        }
    }

    #[test]
    fn every_fact_of_a_tape_is_a_fact_of_a_range() {
        let value = Finite::new(2.5).unwrap();
        for (fact, want) in [
            (
                Fact::Number { at: at(1), value, came: Came::InOrder },
                Point::Number { at: at(1), value, late: false },
            ),
            (
                Fact::Number { at: at(1), value, came: Came::Late },
                Point::Number { at: at(1), value, late: true },
            ),
            (Fact::NotANumber { at: at(1) }, Point::NotANumber { at: at(1) }),
            (Fact::Infinite { at: at(1), negative: true }, Point::NotANumber { at: at(1) }),
            (Fact::Conflicting { at: at(1), values: [1.0, 2.0] }, Point::Conflicting { at: at(1) }),
            (Fact::Gap { after: at(1), until: at(4) }, Point::Gap { after: at(1), until: at(4) }),
            (Fact::Stale { newest: at(1), age: Span::secs(9) }, Point::Stale { newest: at(1) }),
        ] {
            assert_eq!(point(&fact), want);
        }
    }
}
