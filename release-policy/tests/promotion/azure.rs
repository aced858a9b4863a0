//! The evaluation options of gates in Azure Pipelines: delay before evaluation, time between re-evaluations, minimum
//! duration of steady results, timeout; and that all gates must succeed in the same sampling.

use release_policy::promotion::Found::{Bad, Good, Unknown};
use release_policy::promotion::{Found, Sample, Sampling, SamplingError, SamplingSpec, Verdict};

use crate::support::{at, pending, sample, sampling, secs, spec, subject};

fn ask(sampling: &Sampling, samples: &[Sample], second: i64) -> Verdict {
    sampling.verdict(&subject(1), at(0), samples, at(second))
}

fn every(interval: i64, found: &[Found]) -> Vec<Sample> {
    (0..).zip(found).map(|(round, found)| sample("check", round * interval, *found)).collect()
}

#[test]
fn azure_gates_nothing_is_sampled_before_the_delay() {
    let gate = sampling(60, 10, 0, 600);
    let early = [sample("check", 59, Good)];
    assert_eq!(ask(&gate, &early, 59), pending(Some(60)));
    assert_eq!(ask(&gate, &early, 60), pending(Some(70)), "what came before does not count");
    assert!(ask(&gate, &[sample("check", 60, Good)], 60).is_pass());
}

#[test]
fn azure_gates_without_a_steady_duration_the_first_good_sampling_passes() {
    let gate = sampling(0, 10, 0, 600);
    let samples = every(10, &[Bad, Bad, Good]);
    assert_eq!(ask(&gate, &samples, 19), pending(Some(20)));
    assert!(ask(&gate, &samples, 20).is_pass());
}

#[test]
fn azure_gates_results_must_be_steady_for_the_minimum_duration() {
    let gate = sampling(0, 10, 15, 600);
    let samples = every(10, &[Good, Good, Good]);
    assert_eq!(ask(&gate, &samples, 10), pending(Some(20)), "good for 10 s only");
    assert!(ask(&gate, &samples, 20).is_pass(), "good for 20 s");
}

#[test]
fn azure_gates_a_failed_sampling_begins_the_minimum_duration_anew() {
    let gate = sampling(0, 10, 20, 600);
    let samples = every(10, &[Good, Good, Bad, Good, Good, Good]);
    for second in (0..50).step_by(10) {
        assert!(!ask(&gate, &samples, second).is_pass(), "at {second}");
    }
    assert!(ask(&gate, &samples, 50).is_pass());
}

#[test]
fn azure_gates_all_gates_must_succeed_in_the_same_sampling() {
    let gate: Sampling = spec(&["alerts", "bugs"], [0, 10, 0, 600]).try_into().unwrap();
    let turns = [
        sample("alerts", 0, Good),
        sample("bugs", 1, Bad),
        sample("alerts", 10, Bad),
        sample("bugs", 11, Good),
    ];
    for second in 0..20 {
        assert!(!ask(&gate, &turns, second).is_pass(), "each was good, never both, at {second}");
    }
    let both = [sample("alerts", 20, Good), sample("bugs", 24, Good)];
    assert!(!ask(&gate, &both, 23).is_pass());
    assert!(ask(&gate, &both, 24).is_pass());
}

#[test]
fn azure_gates_at_the_timeout_they_fail_and_stay_so() {
    let gate = sampling(0, 10, 20, 60);
    let samples = every(10, &[Bad, Bad, Bad, Bad, Good, Good, Good, Good, Good]);
    assert_eq!(ask(&gate, &samples, 59), pending(Some(60)), "it is asked again at the timeout");
    for second in 60..90 {
        assert_eq!(ask(&gate, &samples, second), Verdict::Fail, "at {second}");
    }
}

#[test]
fn a_flapping_gate_never_promotes() {
    let gate = sampling(0, 10, 30, 1_000);
    let flaps: Vec<_> = [Good, Good, Good, Bad].into_iter().cycle().take(100).collect();
    let samples = every(10, &flaps);
    for second in 0..1_000 {
        assert!(!ask(&gate, &samples, second).is_pass(), "at {second}");
    }
    // Nor does one that flaps within a sampling.
    let within: Vec<_> = (0..100)
        .flat_map(|round| [sample("check", round * 10, Good), sample("check", round * 10 + 5, Bad)])
        .collect();
    let gate = sampling(0, 10, 10, 1_000);
    for second in 0..1_000 {
        assert!(!ask(&gate, &within, second).is_pass(), "at {second}");
    }
}

#[test]
fn a_pass_is_a_lease_that_the_next_sampling_has_to_renew() {
    let gate = sampling(0, 10, 0, 600);
    let once = every(10, &[Good]);
    let lease = *ask(&gate, &once, 5).lease().unwrap();
    assert_eq!(lease.valid_until, at(20), "until the end of the next round");
    assert!(ask(&gate, &once, 19).is_pass());
    assert_eq!(ask(&gate, &once, 20), Verdict::Inconclusive, "a round without samples");
    assert!(!ask(&gate, &every(10, &[Good, Bad]), 10).is_pass(), "bad news end it at once");
}

#[test]
fn what_cannot_be_told_is_inconclusive_and_breaks_what_was_steady() {
    let gate = sampling(0, 10, 20, 600);
    assert_eq!(ask(&gate, &every(10, &[Good, Unknown]), 10), Verdict::Inconclusive);
    let gap = [sample("check", 0, Good), sample("check", 10, Good), sample("check", 30, Good)];
    assert!(!ask(&gate, &gap, 30).is_pass(), "nobody looked from 20 to 30");
}

#[test]
fn samples_of_other_subjects_and_of_the_future_do_not_count() {
    let gate = sampling(0, 10, 0, 600);
    let other = Sample { of: subject(2).digest(), ..sample("check", 0, Good) };
    assert!(!ask(&gate, &[other, sample("other", 0, Good)], 0).is_pass());
    assert!(!ask(&gate, &[sample("check", 1, Good)], 0).is_pass());
}

#[test]
fn a_sampling_that_cannot_pass_or_does_not_end_is_refused() {
    let check = |checks: &[&str], seconds, problem: SamplingError| {
        assert_eq!(Sampling::try_from(spec(checks, seconds)), Err(problem));
    };
    check(&[], [0, 10, 0, 60], SamplingError::NoChecks);
    check(&["a"], [0, 0, 0, 60], SamplingError::Interval(secs(0)));
    let (timeout, needed) = (secs(60), secs(60));
    check(&["a"], [20, 10, 40, 60], SamplingError::Timeout { timeout, needed });
    let long = 31 * 86_400;
    check(&["a"], [0, 10, 0, long], SamplingError::TooLong(secs(long)));
    check(&["a"], [u64::MAX, 10, u64::MAX, u64::MAX], SamplingError::TooLong(secs(u64::MAX)));
    let text = r#"{"checks":["a"],"interval":"10s","steady":"1h","timeout":"5m"}"#;
    let error = serde_json::from_str::<Sampling>(text).unwrap_err().to_string();
    assert!(error.contains("timeout of 5m"), "{error}");
}

/// All courses of six rounds, all steady times: it passes exactly if so many rounds at the end were good.
#[test]
fn all_small_courses_pass_exactly_when_the_last_rounds_were_good() {
    let kinds = [Some(Good), Some(Bad), Some(Unknown), None];
    for steady in 0..5_u64 {
        let gate = sampling(0, 1, steady, 100);
        for course in 0..4_usize.pow(6) {
            let found = |round: u32| kinds[course / 4_usize.pow(round) % 4];
            let samples: Vec<_> = (0..6)
                .filter_map(|round| Some(sample("check", i64::from(round), found(round)?)))
                .collect();
            // A round that is under way and has no sample yet does not count.
            let last = if found(5).is_none() { 4 } else { 5 };
            let want = (0..=u32::try_from(steady).unwrap())
                .all(|back| back <= last && found(last - back) == Some(Good));
            assert_eq!(ask(&gate, &samples, 5).is_pass(), want, "{samples:?}, steady {steady}");
        }
    }
}

#[test]
fn sampling_is_written_as_it_is_read() {
    let gate = sampling(60, 10, 30, 600);
    let text = serde_json::to_string(&gate).unwrap();
    assert_eq!(serde_json::from_str::<Sampling>(&text).unwrap(), gate);
    assert_eq!(SamplingSpec::from(gate).delay, secs(60));
}
