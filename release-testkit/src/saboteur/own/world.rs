//! Whoever only looks at the world: probes, metrics, incidents, clocks.

use std::sync::Mutex;

use release_core::model::{Finite, Metric};
use release_core::port::Measurement;
use release_core::time::Timestamp;
use release_providers::ErrorKind;
use release_providers::spi::{
    CheckHealth, ClockReading, HealthReport, Incidents, InstanceHealth, ListIncidents,
    MeasureRequest, ReadClock,
};

use super::{HOUR, OwnFault, sabotage};
use crate::fakes::lock;
use crate::fixtures;

sabotage!(
    HealthProbe,
    [],
    [
        OwnFault::answers::<CheckHealth, HealthReport>(
            "forgets one",
            &["every_instance_is_asked"],
            |_, report| drop(report.instances.pop()),
        ),
        OwnFault::answers::<CheckHealth, HealthReport>(
            "takes nobody for somebody",
            &["what_runs_nowhere_has_no_instances"],
            |_, report| {
                if report.instances.is_empty() {
                    let (instance, detail) = ("nobody".into(), "200".into());
                    report.instances.push(InstanceHealth::new(instance, true, detail));
                }
            },
        ),
        OwnFault::answers::<CheckHealth, HealthReport>(
            "goes by another clock",
            &["answers_are_dated"],
            |_, report| report.observed_at = report.observed_at.plus(HOUR),
        ),
        OwnFault::answers::<CheckHealth, HealthReport>(
            "takes all for one",
            &["old_answers_are_not_reused"],
            |_, report| {
                let all = report.instances.iter().all(|one| one.ready);
                report.instances.iter_mut().for_each(|one| one.ready = all);
            },
        ),
        OwnFault::answers::<CheckHealth, HealthReport>(
            "takes all for ready",
            &["old_answers_are_not_reused"],
            |_, report| report.instances.iter_mut().for_each(|one| one.ready = true),
        ),
    ]
);

sabotage!(
    MetricsSource,
    [],
    [
        OwnFault::answers::<MeasureRequest, Measurement>(
            "counts one too many",
            &["growth_is_measured"],
            |_, found| {
                if let Measurement::Ratio { denominator, .. } = found {
                    *denominator = Finite::new(denominator.get() + 1.0).unwrap_or(*denominator);
                }
            },
        ),
        OwnFault::answers::<MeasureRequest, Measurement>(
            "takes a part that does not grow for no data",
            &["growth_is_measured"],
            |_, found| {
                if matches!(found, Measurement::Ratio { numerator: Finite::ZERO, .. }) {
                    *found = Measurement::NoData { reason: "nothing failed".into() };
                }
            },
        ),
        OwnFault::requests::<MeasureRequest>(
            "measures the service as a whole",
            &["missing_samples_are_no_data"],
            |_, request| request.digest = fixtures::digest("api", "1.0.0"),
        ),
        OwnFault::requests::<MeasureRequest>(
            "looks at all time",
            &["only_the_window_counts", "growth_is_measured"],
            |_, request| request.since = Timestamp::default(),
        ),
        OwnFault::answers::<MeasureRequest, Measurement>(
            "takes no samples for zero",
            &["missing_samples_are_no_data"],
            |request, found| {
                if matches!(found, Measurement::NoData { .. }) {
                    let digest = request.digest;
                    let (numerator, denominator) = (Finite::ZERO, Finite::ZERO);
                    *found = Measurement::Ratio { digest, numerator, denominator };
                }
            },
        ),
        OwnFault::answers::<MeasureRequest, Measurement>(
            "adds to sums what it counts",
            &["means_are_measured"],
            |request, found| {
                if let (Metric::Mean { .. }, Measurement::Ratio { numerator, denominator, .. }) =
                    (&request.metric, found)
                {
                    let more = numerator.get() + denominator.get();
                    *numerator = Finite::new(more).unwrap_or(*numerator);
                }
            },
        ),
        OwnFault::requests::<MeasureRequest>(
            "takes the mean of all time",
            &["means_are_measured"],
            |_, request| {
                if matches!(request.metric, Metric::Mean { .. }) {
                    request.since = Timestamp::default();
                }
            },
        ),
        OwnFault::answers::<MeasureRequest, Measurement>(
            "counts in a bucket only what the one below does not have",
            &["histograms_are_measured"],
            |_, found| {
                if let Measurement::Histogram { buckets, .. } = found {
                    let mut below = 0.0;
                    for bucket in buckets {
                        let all = bucket.count.get();
                        bucket.count = Finite::new(all - below).unwrap_or(bucket.count);
                        below = all;
                    }
                }
            },
        ),
        OwnFault::answers::<MeasureRequest, Measurement>(
            "has no bucket above all bounds",
            &["histograms_are_measured"],
            |_, found| {
                if let Measurement::Histogram { buckets, .. } = found {
                    buckets.truncate(buckets.len().saturating_sub(1));
                }
            },
        ),
        OwnFault::answers::<MeasureRequest, Measurement>(
            "dates numbers later than now",
            &["queries_are_answered"],
            |_, found| {
                if let Measurement::Value { at, .. } = found {
                    *at = at.plus(HOUR);
                }
            },
        ),
        OwnFault::requests::<MeasureRequest>(
            "answers queries for whichever version",
            &["queries_are_answered"],
            |_, request| {
                if matches!(request.metric, Metric::Query { .. }) {
                    request.digest = fixtures::digest("api", "1.0.0");
                }
            },
        ),
        OwnFault::refuses::<MeasureRequest>(
            "does not do what it declares",
            &["undeclared_metrics_are_refused"],
            |request| {
                let query = matches!(request.metric, Metric::Query { .. });
                query.then_some(ErrorKind::Unsupported)
            },
        ),
    ]
);

sabotage!(
    IncidentSource,
    [],
    [
        OwnFault::answers::<ListIncidents, Incidents>(
            "goes by another clock",
            &["answers_are_dated"],
            |_, incidents| incidents.taken_at = incidents.taken_at.plus(HOUR),
        ),
        OwnFault::answers::<ListIncidents, Incidents>(
            "does not tell where",
            &["incidents_are_told_as_they_are"],
            |_, incidents| incidents.incidents.iter_mut().for_each(|one| one.environment = None),
        ),
        OwnFault::requests::<ListIncidents>(
            "tells what ended long ago",
            &["what_ended_is_told_for_a_while"],
            |_, request| request.since = Timestamp::default(),
        ),
        OwnFault::answers::<ListIncidents, Incidents>(
            "tells nothing that ended",
            &["what_ended_is_told_for_a_while"],
            |_, incidents| incidents.incidents.retain(|one| one.resolved_at.is_none()),
        ),
        OwnFault::answers::<ListIncidents, Incidents>(
            "tells the first page",
            &["all_pages_are_read"],
            |_, incidents| incidents.incidents.truncate(50),
        ),
        OwnFault::requests::<ListIncidents>(
            "tells those of others",
            &["only_those_that_concern_are_told"],
            |_, request| request.services.clear(),
        ),
    ]
);

sabotage!(
    ClockSource,
    [],
    [
        OwnFault::answers::<ReadClock, ClockReading>(
            "is ahead",
            &["the_true_time_is_within"],
            |_, reading| reading.at = reading.at.plus(HOUR),
        ),
        {
            let first = Mutex::new(None);
            OwnFault::answers::<ReadClock, ClockReading>(
                "stands still",
                &["every_answer_is_new"],
                move |_, reading| reading.at = *lock(&first).get_or_insert(reading.at),
            )
        },
    ]
);
