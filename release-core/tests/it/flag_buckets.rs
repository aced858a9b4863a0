//! Who gets which variant, beside flagd's own evaluator: `golden/flags/generate.py` asked it.

use release_core::flags::{FlagKey, FlagState, Fractional, Split, SplitError, Variant, murmur3_32};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    murmur: Vec<(String, u32, u32)>,
    splits: Vec<Split>,
    #[serde(rename = "vectors")]
    keys: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    flag: FlagKey,
    key: Key,
    v2: u32,
    v3: u32,
    v2_variants: Vec<Variant>,
    v3_variants: Vec<Option<Variant>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Key {
    Text(String),
    Long { repeat: String, times: usize },
}

impl Key {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Long { repeat, times } => repeat.repeat(*times),
        }
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../golden/flags/vectors.json")).unwrap()
}

fn variant(name: &str) -> Variant {
    name.parse().unwrap()
}

#[test]
fn the_hash_is_murmur3() {
    let all = vectors().murmur;
    assert_eq!(all.len(), 21);
    for (text, seed, hash) in all {
        assert_eq!(murmur3_32(text.as_bytes(), seed), hash, "{text} {seed}");
    }
}

#[test]
fn keys_are_placed_to_the_bit_as_flagd_places_them() {
    let Vectors { splits, keys, .. } = vectors();
    assert_eq!((splits.len(), keys.len()), (6, 75));
    let mut assigned = 0;
    for vector in keys {
        let (flag, key) = (&vector.flag, vector.key.text());
        assert_eq!(Fractional::V2.hash(flag, &key), vector.v2, "{flag} {key}");
        assert_eq!(Fractional::V3.hash(flag, &key), vector.v3, "{flag} {key}");
        for (split, wanted) in splits.iter().zip(&vector.v2_variants) {
            assert_eq!(split.assign(Fractional::V2, flag, &key), wanted, "{flag} {key}");
        }
        for (split, wanted) in splits.iter().zip(&vector.v3_variants) {
            // flagd gives nobody without a targeting key anything.
            let Some(wanted) = wanted else { continue };
            assert_eq!(split.assign(Fractional::V3, flag, &key), wanted, "{flag} {key}");
            assigned += 1;
        }
    }
    assert_eq!(assigned, 70 * 6);
}

#[test]
fn a_split_that_divides_nothing_or_too_finely_is_refused() {
    let of = |weights: &[(&str, u32)]| {
        Split::new(weights.iter().map(|(name, weight)| (variant(name), *weight)).collect())
    };
    assert_eq!(of(&[]), Err(SplitError::Nobody));
    assert_eq!(of(&[("on", 0), ("off", 0)]), Err(SplitError::Nobody));
    let most = u32::MAX / 2;
    assert_eq!(of(&[("on", most)]).unwrap().sum(), most);
    assert_eq!(of(&[("on", most), ("off", 1)]), Err(SplitError::TooMuch { sum: 1 << 31 }));
    let all = u64::from(u32::MAX) * 2;
    let both = [("on", u32::MAX), ("off", u32::MAX)];
    assert_eq!(of(&both), Err(SplitError::TooMuch { sum: all }));
    assert!(serde_json::from_str::<Split>(r#"[["on",0]]"#).is_err());
}

#[test]
fn states_are_splits_of_two() {
    let (on, off) = (variant("on"), variant("off"));
    let flag: FlagKey = "dark-mode".parse().unwrap();
    let keys: Vec<String> = (0..1_000).map(|n| format!("user-{n}")).collect();
    let mut before = 0;
    for percent in 0..=100 {
        let split = FlagState::share(percent).unwrap().split(&on, &off);
        let has = |key: &&String| split.assign(Fractional::V3, &flag, key) == &on;
        let now = keys.iter().filter(has).count();
        assert!(now >= before && now.abs_diff(usize::from(percent) * 10) < 50, "{percent}: {now}");
        before = now;
    }
    assert_eq!(before, 1_000);
    assert!(FlagState::share(101).unwrap_err().to_string().contains("101 %"));
    let half = serde_json::to_string(&FlagState::Share { percent: 50 }).unwrap();
    assert_eq!(half, r#"{"state":"share","percent":50}"#);
}
