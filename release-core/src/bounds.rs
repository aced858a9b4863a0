//! How much of what comes from outside is kept. A journal has to stay readable whatever a provider
//! answers: `serde_json` reads 128 levels, and one answer must not fill a disk.

use std::borrow::Cow;

use serde_json::Value;

use crate::flags::FlagReading;
use crate::port::{EffectError, Evidence, MAX_POINTS, Measurement, Pair};

/// The deepest nesting of free JSON, in levels of arrays and objects.
pub(crate) const MAX_DEPTH: usize = 32;
/// The most free JSON, in bytes of text and names and 8 for each value.
pub(crate) const MAX_JSON: usize = 64 << 10;
/// The longest text, in bytes. What is longer is cut, and says so.
pub(crate) const MAX_TEXT: usize = 2 << 10;
/// The longest kind of an error, in bytes.
const MAX_KIND: usize = 100;
/// The most entries of a list. Of texts the first are kept; other lists are refused.
const MAX_ENTRIES: usize = 256;

/// What is wrong with free JSON, if it is too deep or too large. Does not recurse: the value may be
/// deeper than the stack.
pub(crate) fn json(value: &Value) -> Result<(), String> {
    let mut bytes = 0_usize;
    let mut open = vec![(value, 0_usize)];
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return Err(format!("is nested more than {MAX_DEPTH} levels deep"));
        }
        bytes += 8;
        match value {
            Value::String(text) => bytes += text.len(),
            Value::Array(list) => open.extend(list.iter().map(|value| (value, depth + 1))),
            Value::Object(map) => {
                bytes += map.keys().map(String::len).sum::<usize>();
                open.extend(map.values().map(|value| (value, depth + 1)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        if bytes > MAX_JSON {
            return Err(format!("is larger than {MAX_JSON} bytes"));
        }
    }
    Ok(())
}

/// Writes free JSON with the names of its objects sorted. Another crate of the same build may have `serde_json` keep
/// the order in which they came (its feature `preserve_order`), and no digest may depend on that.
pub(crate) fn in_order<S: serde::Serializer>(value: &Value, to: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&sorted(value), to)
}

/// `value` with the names of its objects sorted.
pub(crate) fn sorted(value: &Value) -> Value {
    let mut value = value.clone();
    value.sort_all_objects();
    value
}

/// `text`, cut when it is too long.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    cut(text, MAX_TEXT)
}

fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let (kept, rest) = text.split_at(text.floor_char_boundary(most));
    Cow::Owned(format!("{kept}… ({} bytes more)", rest.len()))
}

/// `error` with texts that can be kept.
pub(crate) fn error(error: &EffectError) -> EffectError {
    let (kind, message) = (cut(&error.kind, MAX_KIND), text(&error.message));
    EffectError {
        kind: kind.into_owned(),
        message: message.into_owned(),
        retry: error.retry,
        effect: error.effect,
        retry_after: error.retry_after,
    }
}

/// What of a measurement cannot stay as it is: `None` when all can, or what is wrong with it.
fn measurement(one: &Measurement) -> Result<Option<Measurement>, String> {
    match one {
        Measurement::NoData { reason } if reason.len() > MAX_TEXT => {
            Ok(Some(Measurement::NoData { reason: text(reason).into_owned() }))
        }
        Measurement::Histogram { buckets, .. } if buckets.len() > MAX_ENTRIES => {
            Err(format!("it has {} buckets, at most {MAX_ENTRIES} are kept", buckets.len()))
        }
        Measurement::Points { points, .. } if points.len() > MAX_POINTS => {
            Err(format!("it has {} points, at most {MAX_POINTS} are kept", points.len()))
        }
        Measurement::NoData { .. }
        | Measurement::Histogram { .. }
        | Measurement::Points { .. }
        | Measurement::Ratio { .. }
        | Measurement::Value { .. } => Ok(None),
    }
}

/// `evidence` as far as it can be kept, or what is wrong with it.
pub(crate) fn evidence(evidence: &Evidence) -> Result<Cow<'_, Evidence>, String> {
    match evidence {
        Evidence::Custom { output } => json(output).map_err(|problem| format!("it {problem}"))?,
        Evidence::Weights { weights, served, rules, .. } => {
            let long = weights.len().max(served.len());
            if long > MAX_ENTRIES {
                return Err(format!(
                    "it has {long} entries, and more than {MAX_ENTRIES} are not kept"
                ));
            }
            if let Some(problem) = rules.as_ref().and_then(|rules| rules.problem()) {
                return Err(format!("its rules cannot be: {problem}"));
            }
            let extra = |w: &crate::plan::Weight| w.version.pre.len().max(w.version.build.len());
            if weights.iter().any(|weight| extra(weight) > MAX_TEXT) {
                return Err(format!("it names a version of more than {MAX_TEXT} bytes"));
            }
        }
        Evidence::Health { target, digest, ready, unready, observed_at }
            if unready.len() > MAX_ENTRIES || unready.iter().any(|why| why.len() > MAX_TEXT) =>
        {
            let unready = unready.iter().take(MAX_ENTRIES).map(|why| text(why).into_owned());
            let (digest, ready, unready) = (*digest, *ready, unready.collect());
            let (target, observed_at) = (target.clone(), *observed_at);
            return Ok(Cow::Owned(Evidence::Health {
                target,
                digest,
                ready,
                unready,
                observed_at,
            }));
        }
        Evidence::Flag(reading) => {
            if let Some(long) = reading.killed.as_ref().filter(|why| why.len() > MAX_TEXT) {
                let killed = Some(text(long).into_owned());
                return Ok(Cow::Owned(Evidence::Flag(FlagReading { killed, ..reading.clone() })));
            }
        }
        Evidence::Measurement(one) => {
            if let Some(one) = measurement(one)? {
                return Ok(Cow::Owned(Evidence::Measurement(one)));
            }
        }
        Evidence::Comparison { canary, baseline } => {
            let (new, old) = (measurement(canary)?, measurement(baseline)?);
            if new.is_some() || old.is_some() {
                let canary = new.map_or_else(|| canary.clone(), Box::new);
                let baseline = old.map_or_else(|| baseline.clone(), Box::new);
                return Ok(Cow::Owned(Evidence::Comparison { canary, baseline }));
            }
        }
        Evidence::Measurements { of } => {
            let kept = few(of)?.iter().map(kept).collect::<Result<_, _>>()?;
            return Ok(Cow::Owned(Evidence::Measurements { of: kept }));
        }
        Evidence::Comparisons { of } => {
            let both = |Pair { canary, baseline }: &Pair| {
                Ok(Pair { canary: kept(canary)?, baseline: kept(baseline)? })
            };
            let kept = few(of)?.iter().map(both).collect::<Result<_, String>>()?;
            return Ok(Cow::Owned(Evidence::Comparisons { of: kept }));
        }
        Evidence::Done
        | Evidence::Artifact { .. }
        | Evidence::Instances { .. }
        | Evidence::Health { .. } => {}
    }
    Ok(Cow::Borrowed(evidence))
}

fn few<T>(metrics: &[T]) -> Result<&[T], String> {
    let count = metrics.len();
    if count <= MAX_ENTRIES {
        return Ok(metrics);
    }
    Err(format!("it has {count} metrics, at most {MAX_ENTRIES} are kept"))
}

/// What is kept of one measurement of several.
fn kept(one: &Measurement) -> Result<Measurement, String> {
    Ok(measurement(one)?.unwrap_or_else(|| one.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(levels: usize) -> Value {
        (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
    }

    #[test]
    fn json_is_kept_up_to_its_limits() {
        json(&deep(MAX_DEPTH)).unwrap();
        assert!(json(&deep(MAX_DEPTH + 1)).unwrap_err().contains("levels"));
        json(&Value::String("x".repeat(MAX_JSON - 8))).unwrap();
        assert!(json(&Value::String("x".repeat(MAX_JSON - 7))).unwrap_err().contains("larger"));
        assert!(json(&Value::Array(vec![Value::Null; MAX_JSON / 8])).is_err());
    }

    #[test]
    fn points_are_kept_up_to_their_limit() {
        let at = crate::time::Timestamp::default();
        let of = |count: usize| {
            let digest = crate::model::Digest::of(b"x");
            let points = vec![crate::port::Point::NotANumber { at }; count];
            let measured = || Measurement::Points { digest, points: points.clone() };
            let pair = Pair { canary: measured(), baseline: measured() };
            evidence(&Evidence::Comparisons { of: vec![pair] }).map(|_| ())
        };
        assert_eq!(of(MAX_POINTS), Ok(()));
        assert!(of(MAX_POINTS + 1).unwrap_err().contains("257 points"));
    }

    #[test]
    fn texts_are_cut_between_characters_and_say_how_much_is_missing() {
        assert_eq!(text("short"), "short");
        let long = "ä".repeat(MAX_TEXT);
        let kept = text(&long);
        assert!(kept.ends_with(&format!("… ({MAX_TEXT} bytes more)")), "{kept}");
        assert!(kept.len() < MAX_TEXT + 40);
    }
}
