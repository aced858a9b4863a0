use proptest::prelude::*;
use release_core::model::{Digest, Finite, Metric, Selector, Target};
use release_core::port::Measurement;
use release_core::time::{Span, Timestamp};
use semver::Version;

use super::*;
use crate::spi::MeasureRequest;

fn at(second: u64) -> Timestamp {
    Timestamp::default().plus(Span::secs(second))
}

fn target() -> Target {
    Target::new("prod".parse().unwrap(), "eu".parse().unwrap(), "api".parse().unwrap())
}

/// Sampled every 10 seconds, stale after 30.
fn settings() -> TapeSettings {
    let mut settings = TapeSettings::every(Span::secs(10));
    settings.staleness = Span::secs(30);
    settings
}

fn version() -> Version {
    Version::new(1, 1, 0)
}

fn all() -> SeriesId {
    SeriesId::of("all", &target(), &version(), "a")
}

fn failed() -> SeriesId {
    SeriesId::of("failed", &target(), &version(), "a")
}

fn request(metric: Metric, since: u64) -> MeasureRequest {
    MeasureRequest::new(target(), Digest::of(b"x"), version(), metric, at(since))
}

fn ratio() -> Metric {
    Metric::Ratio { numerator: Selector::series("failed"), denominator: Selector::series("all") }
}

/// Counters at 95, 105, … 195 of the same process, which was there before.
fn counted() -> Tape {
    let mut tape = Tape::new(settings());
    for n in 0..=10_u32 {
        let second = 95 + 10 * u64::from(n);
        assert_eq!(tape.put(at(200), &all(), at(second), f64::from(10 * n)), Arrival::InOrder);
        assert_eq!(tape.put(at(200), &failed(), at(second), f64::from(n)), Arrival::InOrder);
    }
    tape
}

fn measured(tape: &Tape, since: u64) -> Measurement {
    tape.measure(&request(ratio(), since), at(200)).unwrap()
}

#[track_caller]
fn is_ratio(found: &Measurement, want: [f64; 2]) {
    let [numerator, denominator] = want.map(|number| Finite::new(number).unwrap());
    assert_eq!(*found, Measurement::Ratio { digest: Digest::of(b"x"), numerator, denominator });
}

#[track_caller]
fn is_no_data(found: &Measurement, why: &str) {
    match found {
        Measurement::NoData { reason } => assert!(reason.contains(why), "{reason}"),
        other => panic!("{other:?}"),
    }
}

fn number(second: u64, value: f64) -> Fact {
    Fact::Number { at: at(second), value: Finite::new(value).unwrap(), came: Came::InOrder }
}

#[test]
fn what_comes_in_order_is_measured() {
    let tape = counted();
    is_ratio(&measured(&tape, 100), [10.0, 100.0]);
    is_ratio(&measured(&tape, 150), [5.0, 50.0]);
    let facts = tape.facts(&all(), at(180), at(200));
    assert_eq!(facts, [number(185, 90.0), number(195, 100.0)]);
    assert_eq!(tape.len(), 22);
}

#[test]
fn nan_and_infinities_are_facts_and_no_data_where_the_window_holds_them() {
    let facts = [
        (f64::NAN, Fact::NotANumber { at: at(155) }, "NaN"),
        (f64::INFINITY, Fact::Infinite { at: at(155), negative: false }, "is inf"),
        (f64::NEG_INFINITY, Fact::Infinite { at: at(155), negative: true }, "is -inf"),
    ];
    for (value, fact, why) in facts {
        let mut tape = Tape::new(settings());
        for n in 0..=10_u32 {
            let second = 95 + 10 * u64::from(n);
            let told = if second == 155 { value } else { f64::from(n) };
            let _ = tape.put(at(200), &failed(), at(second), f64::from(n));
            let _ = tape.put(at(200), &all(), at(second), told);
        }
        assert!(tape.facts(&all(), at(100), at(200)).contains(&fact), "{value}");
        is_no_data(&measured(&tape, 100), why);
        is_no_data(&measured(&tape, 158), why); // it begins with it
        is_ratio(&measured(&tape, 166), [3.0, 3.0]);
    }
}

#[test]
fn a_negative_count_is_no_data() {
    let mut tape = counted();
    assert_eq!(tape.put(at(200), &failed(), at(198), -1.0), Arrival::InOrder);
    is_no_data(&measured(&tape, 100), "negative");
}

#[test]
fn what_comes_late_is_sorted_in_and_said_to_be_late() {
    let mut tape = Tape::new(settings());
    for second in [95, 125, 105, 195] {
        for id in [all(), failed()] {
            let value = f64::from(u32::try_from(second).unwrap());
            let arrival = tape.put(at(200), &id, at(second), value);
            let late = Arrival::Late { by: Span::secs(20) };
            assert_eq!(arrival, if second == 105 { late } else { Arrival::InOrder });
        }
    }
    let late = Fact::Number { at: at(105), value: Finite::new(105.0).unwrap(), came: Came::Late };
    let gap = |after, until| Fact::Gap { after: at(after), until: at(until) };
    let wanted = [late, gap(105, 125), number(125, 125.0), gap(125, 195), number(195, 195.0)];
    assert_eq!(tape.facts(&all(), at(100), at(200)), wanted);
    is_ratio(&measured(&tape, 105), [90.0, 90.0]);
}

#[test]
fn the_same_twice_counts_once() {
    let mut tape = counted();
    assert_eq!(tape.put(at(200), &all(), at(155), 60.0), Arrival::Duplicate);
    assert_eq!(tape.len(), 22);
    is_ratio(&measured(&tape, 100), [10.0, 100.0]);
    let nan = SeriesId::named("nan");
    assert_eq!(tape.put(at(200), &nan, at(155), f64::NAN), Arrival::InOrder);
    assert_eq!(tape.put(at(200), &nan, at(155), f64::NAN), Arrival::Duplicate);
}

#[test]
fn two_values_of_one_instant_spoil_the_windows_that_need_it() {
    for values in [[60.0, 61.0, 60.5], [61.0, 60.5, 60.0]] {
        let mut tape = counted();
        for value in values {
            let told = tape.put(at(200), &all(), at(155), value);
            let agrees =
                value.to_bits() == 60.0_f64.to_bits() && value.to_bits() == values[0].to_bits();
            assert_eq!(matches!(told, Arrival::Conflicting { .. }), !agrees, "{told:?}");
        }
        let fact = Fact::Conflicting { at: at(155), values: [60.0, 61.0] };
        assert!(tape.facts(&all(), at(100), at(200)).contains(&fact));
        is_no_data(&measured(&tape, 100), "is both 60 and 61 at");
        is_no_data(&measured(&tape, 158), "is both 60 and 61 at");
        is_ratio(&measured(&tape, 166), [3.0, 30.0]);
    }
}

#[test]
fn a_gap_is_a_fact_and_a_window_that_begins_in_it_begins_after_it() {
    let mut tape = Tape::new(settings());
    for (second, value) in [(60, 50.0), (120, 60.0), (195, 90.0)] {
        for id in [all(), failed()] {
            assert_eq!(tape.put(at(200), &id, at(second), value), Arrival::InOrder);
        }
    }
    let gap = Fact::Gap { after: at(60), until: at(120) };
    assert_eq!(tape.facts(&all(), at(100), at(150)).first(), Some(&gap));
    is_ratio(&measured(&tape, 100), [30.0, 30.0]);
    is_ratio(&measured(&tape, 60), [40.0, 40.0]);
}

#[test]
fn what_is_stale_is_no_data() {
    let tape = counted();
    assert_eq!(tape.facts(&all(), at(190), at(225)), [number(195, 100.0)]);
    let stale = Fact::Stale { newest: at(195), age: Span::secs(31) };
    assert_eq!(tape.facts(&all(), at(190), at(226)), [number(195, 100.0), stale]);
    let later = |now| tape.measure(&request(ratio(), 100), at(now)).unwrap();
    is_ratio(&later(225), [10.0, 100.0]);
    is_no_data(&later(226), "31s old");
}

#[test]
fn what_is_of_a_time_to_come_is_not_looked_at_yet() {
    let mut tape = counted();
    assert_eq!(tape.put(at(200), &all(), at(205), 1_000.0), Arrival::InOrder);
    is_ratio(&measured(&tape, 100), [10.0, 100.0]);
    is_no_data(&measured(&tape, 201), "after now");
    assert_eq!(tape.facts(&all(), at(195), at(200)), [number(195, 100.0)]);
}

#[test]
fn nothing_is_kept_for_ever_and_what_is_dropped_is_said() {
    let mut settings = settings();
    (settings.retention, settings.most_samples) = (Span::secs(60), 16);
    let mut tape = Tape::new(settings);
    let mut put = |second: u64| tape.put(at(200), &all(), at(second), 1.0);
    // 60 seconds and 4 intervals.
    assert_eq!(put(99), Arrival::TooOld { kept_from: at(100) });
    assert_eq!(put(100), Arrival::InOrder);
    assert_eq!(put(150), Arrival::InOrder);
    assert_eq!((tape.dropped().refused, tape.dropped().samples), (1, 0));
    tape.prune(at(201));
    assert_eq!((tape.len(), tape.dropped().samples), (1, 1));
    for second in 151..=167 {
        assert_eq!(tape.put(at(201), &all(), at(second), 1.0), Arrival::InOrder);
        assert!(tape.len() <= 16);
    }
    let before = tape.dropped().before.unwrap();
    assert!(before > at(150) && before < at(155), "{before}");
    assert_eq!(tape.put(at(201), &all(), at(150), 1.0), Arrival::TooOld { kept_from: before });
    // A window that begins earlier begins there.
    let mut tape = counted();
    tape.settings.most_samples = 22;
    assert_eq!(tape.put(at(200), &all(), at(196), 100.0), Arrival::InOrder);
    is_ratio(&measured(&tape, 100), [8.0, 80.0]);
}

#[test]
fn a_series_too_many_lets_there_be_no_data() {
    let mut settings = settings();
    settings.most_series = 2;
    let mut tape = Tape::new(settings);
    for second in [95, 195] {
        for (id, value) in [(all(), second), (failed(), 0)] {
            let _ = tape.put(at(second), &id, at(second), f64::from(u32::try_from(value).unwrap()));
        }
    }
    let more = failed().label("code", "503");
    assert_eq!(tape.put(at(195), &more, at(195), 9.0), Arrival::Full { most_series: 2 });
    assert_eq!(tape.dropped().series_refused, Some(at(195)));
    is_no_data(&measured(&tape, 100), "more than 2 series");
}

#[test]
fn a_process_that_says_it_was_born_in_the_window_counts_from_zero() {
    let started = |start: u64| {
        let mut tape = Tape::new(settings());
        let process = SeriesId::named("process_start_time_seconds").of_target(&target());
        let process = process.label("instance", "a");
        let start = f64::from(u32::try_from(start).unwrap());
        let _ = tape.put(at(200), &process, at(185), start);
        for (second, value) in [(185, 5.0), (195, 7.0)] {
            let _ = tape.put(at(200), &all(), at(second), value);
            let _ = tape.put(at(200), &failed(), at(second), value);
        }
        measured(&tape, 100)
    };
    is_ratio(&started(120), [7.0, 7.0]);
    is_ratio(&started(99), [2.0, 2.0]);
}

#[test]
fn only_the_version_counts_and_its_digest_where_it_says_one() {
    let tape = counted();
    let mut other = request(ratio(), 100);
    other.version = Version::new(9, 0, 0);
    is_no_data(&tape.measure(&other, at(200)).unwrap(), "version `9.0.0`");
    let mut elsewhere = request(ratio(), 100);
    elsewhere.target.region = "us".parse().unwrap();
    assert_eq!(tape.measure(&elsewhere, at(200)).unwrap_err().kind(), ErrorKind::NotFound);
    let query = Metric::Query { query: "up".into() };
    let refused = tape.measure(&request(query, 100), at(200)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    let digested = |content: &[u8]| {
        let mut tape = Tape::new(settings());
        for (second, value) in [(95, 1.0), (195, 4.0)] {
            for id in [all(), failed()] {
                let id = id.label("digest", Digest::of(content).to_string());
                let _ = tape.put(at(200), &id, at(second), value);
            }
        }
        measured(&tape, 100)
    };
    is_ratio(&digested(b"x"), [3.0, 3.0]);
    is_no_data(&digested(b"y"), "no sample");
}

/// One of the samples that a property is about.
fn sample() -> impl Strategy<Value = (bool, u64, f64)> {
    let value = prop_oneof![
        20 => (0_u32..50).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
    ];
    (any::<bool>(), 8_u64..20, value).prop_map(|(part, ten, value)| (part, ten * 10 + 5, value))
}

proptest! {
    #[test]
    fn any_order_of_arrival_gives_the_same_measurement(
        (samples, shuffled) in proptest::collection::vec(sample(), 1..40)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        since in 80_u64..190,
    ) {
        let measured = |samples: &[(bool, u64, f64)]| {
            let mut tape = Tape::new(settings());
            for (part, second, value) in samples {
                let id = if *part { failed() } else { all() };
                let _ = tape.put(at(200), &id, at(*second), *value);
            }
            measured(&tape, since)
        };
        prop_assert_eq!(measured(&samples), measured(&shuffled));
    }
}
