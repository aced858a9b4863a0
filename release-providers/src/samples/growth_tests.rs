use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// From 100 to 200, scraped every 10.
fn window() -> Window {
    Window {
        since: at(100),
        now: at(200),
        interval: Span::secs(10),
        staleness: Span::secs(30),
        instance: vec!["i".into()],
    }
}

fn series(instance: &str, samples: &[(i64, f64)]) -> Series {
    let labels = [(NAME, "r"), ("i", instance)];
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
    Series {
        labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        samples: samples
            .iter()
            .map(|(s, value)| Sample { at: at(*s), value: *value, other: None })
            .collect(),
    }
}

fn grown(all: &[Series], starts: &Starts) -> Result<f64, String> {
    let (window, seen) = (window(), Seen::of(all, &window()));
    let each = all.iter().map(|series| window.growth(&[series], &seen, starts));
    each.map(|one| one.map(|grown| grown.iter().sum::<f64>())).sum()
}

#[track_caller]
fn check(samples: &[(i64, f64)], want: f64) {
    let got = grown(&[series("a", samples)], &Starts::new()).unwrap();
    assert_eq!(got.to_bits(), want.to_bits(), "{samples:?}: {got}");
}

#[test]
fn growth_begins_with_the_newest_sample_at_or_before_the_window() {
    check(&[(80, 1.0), (90, 5.0), (100, 7.0), (110, 8.0), (190, 20.0)], 13.0);
    check(&[(80, 1.0), (95, 5.0), (105, 8.0), (190, 20.0)], 15.0);
    check(&[(85, 5.0), (190, 20.0)], 15.0); // one and a half intervals before
    check(&[(95, 5.0), (105, 5.0), (190, 5.0)], 0.0);
    check(&[(95, 5.0)], 0.0);
    check(&[], 0.0);
}

#[test]
fn a_gap_where_the_window_begins_lets_it_begin_later() {
    check(&[(84, 5.0), (120, 9.0), (190, 20.0)], 11.0);
    check(&[(60, 50.0), (120, 9.0), (190, 20.0)], 11.0); // began anew, nobody knows when
    check(&[(84, 5.0)], 0.0);
}

#[test]
fn a_counter_that_falls_began_anew() {
    check(&[(95, 5.0), (110, 8.0), (120, 2.0), (130, 3.0), (190, 1.0)], 3.0 + 2.0 + 1.0 + 1.0);
    check(&[(95, 5.0), (110, 0.0)], 0.0);
    check(&[(95, 5.0), (180, 4.0)], 4.0);
}

#[test]
fn series_that_come_later_count_from_zero_if_they_were_seen_to_be_missing() {
    let old = series("a", &[(95, 10.0), (105, 20.0), (195, 30.0)]);
    let young = |instance, first| series(instance, &[(first, 3.0), (195, 5.0)]);
    let sum = |all: &[Series]| grown(all, &Starts::new()).unwrap();
    let same = |a: f64, b: f64| assert_eq!(a.to_bits(), b.to_bits());
    same(sum(&[old.clone(), young("a", 105)]), 25.0); // not there at 95, where its instance was
    same(sum(&[old.clone(), young("b", 105)]), 22.0); // another instance
    same(sum(&[old, young("", 105)]), 22.0); // nobody says whose it is
    // The instance was last seen without it long before the window.
    let gone = series("a", &[(80, 10.0), (105, 20.0), (195, 30.0)]);
    same(sum(&[gone.clone(), young("a", 105)]), 12.0);
    same(sum(&[gone, young("a", 115)]), 15.0);
}

#[test]
fn processes_that_were_started_in_the_window_count_from_zero() {
    let young = [series("b", &[(150, 3.0), (195, 5.0)])];
    let started = |scraped, start| -> Starts {
        [(vec!["b".to_owned()], [(at(scraped), at(start))].into())].into()
    };
    let sum = |starts| grown(&young, &starts).unwrap().to_bits();
    assert_eq!(sum(started(150, 100)), 5.0_f64.to_bits());
    assert_eq!(sum(started(150, 99)), 2.0_f64.to_bits());
    assert_eq!(sum(started(160, 140)), 2.0_f64.to_bits(), "it may be of another process");
    let (window, seen) = (window(), Seen::of(&young, &window()));
    assert_eq!(window.unknown_births(&young, &seen), [vec!["b".to_owned()]].into());
    let zero = [series("b", &[(150, 0.0), (195, 5.0)])];
    assert!(window.unknown_births(&zero, &seen).is_empty());
}

#[test]
fn what_is_no_count_is_no_data_unless_it_was_before_the_window() {
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        for when in [95, 110, 190] {
            let mut samples = vec![(80, 1.0), (95, 1.0), (110, 2.0), (190, 3.0)];
            samples.iter_mut().filter(|(at, _)| *at == when).for_each(|(_, value)| *value = bad);
            let problem = grown(&[series("a", &samples)], &Starts::new()).unwrap_err();
            assert!(problem.contains("`r` of instance a"), "{problem}");
        }
        check(&[(80, bad), (95, 1.0), (190, 3.0)], 2.0);
    }
}

#[test]
fn what_was_told_to_be_two_things_is_no_data_unless_it_was_before_the_window() {
    let told = |when: i64| {
        let mut told = series("a", &[(80, 1.0), (95, 1.0), (110, 2.0), (190, 3.0)]);
        told.samples.iter_mut().filter(|s| s.at == at(when)).for_each(|s| s.other = Some(7.0));
        grown(&[told], &Starts::new())
    };
    for when in [95, 110, 190] {
        let problem = told(when).unwrap_err();
        assert!(problem.contains("and 7 at"), "{problem}");
    }
    assert_eq!(told(80), Ok(2.0));
}

#[test]
fn a_series_that_stops_while_its_instance_goes_on_is_no_data() {
    let living = series("a", &[(95, 1.0), (195, 9.0)]);
    let stopped = |instance, last| [living.clone(), series(instance, &[(95, 1.0), (last, 2.0)])];
    assert!(grown(&stopped("a", 165), &Starts::new()).is_ok());
    let problem = grown(&stopped("a", 164), &Starts::new()).unwrap_err();
    assert!(problem.contains("told no more"), "{problem}");
    // An instance that is gone counts with what is known of it.
    assert_eq!(grown(&stopped("b", 110), &Starts::new()).unwrap().to_bits(), 9.0_f64.to_bits());
}

#[test]
fn what_is_of_one_thing_begins_anew_together() {
    let few = series("a", &[(95, 5.0), (110, 6.0), (120, 7.0)]);
    let all = series("a", &[(95, 10.0), (110, 7.0), (120, 9.0)]);
    let (window, seen) = (window(), Seen::default());
    let grown = window.growth(&[&few, &all], &seen, &Starts::new()).unwrap();
    assert_eq!(grown, [7.0, 9.0]);
}
