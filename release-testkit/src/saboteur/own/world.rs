//! Whoever only looks at the world: probes, metrics, incidents, clocks.

use std::sync::Mutex;

use release_core::model::Finite;
use release_core::port::Measurement;
use release_core::time::Timestamp;
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
