"""Writes vectors.json: hashes and assignments by implementations that are not ours.

    pip install openfeature-provider-flagd==0.6.1     # brings openfeature-flagd-core, cbor2 and mmh3
    python3 generate.py > vectors.json

Revision 3 is what `openfeature-flagd-core` 2.0 evaluates, called as it calls itself. Of revision 2 only the hash is from
elsewhere (`mmh3`); its formula is written out here once more, from open-feature/flagd issue 1903.
"""

import json

import cbor2
import mmh3
from openfeature.contrib.tools.flagd.core.targeting.custom_ops import fractional

FLAGS = ["new-checkout", "headerColor", "a", "f" * 24, "x" * 100]
KEYS = ["", "a", "user-1", "user-2", "jane@example.com", "ä ö ü €", "日本語", "🦀", "k" * 22, "k" * 23, "k" * 24, "k" * 255,
        "k" * 256, "k" * 65_535, "k" * 65_536]
SPLITS = [
    [["on", 1], ["off", 99]],
    [["on", 50], ["off", 50]],
    [["red", 25], ["blue", 25], ["green", 25], ["grey", 25]],
    [["a", 0], ["b", 1], ["c", 0], ["d", 2]],
    [["rare", 1], ["usual", 2_147_483_646]],
    [["only", 7]],
]


def second(flag, key, weights):
    total = sum(weight for _, weight in weights)
    bucket, end = (mmh3.hash(flag + key, signed=False) * total) >> 32, 0
    for variant, weight in weights:
        end += weight
        if bucket < end:
            return variant


def third(flag, key, weights):
    # An empty targeting key is refused for the short form; written out, it is an array like any other.
    context = {"$flagd": {"flagKey": flag}, "targetingKey": key}
    return fractional(context, *weights) if key else None


def vector(flag, key):
    return {
        "flag": flag,
        # What is long is said by its character and its length.
        "key": key if len(key) < 30 else {"repeat": key[0], "times": len(key)},
        "v2": mmh3.hash(flag + key, signed=False),
        "v3": mmh3.hash(cbor2.dumps([flag, key], canonical=True), signed=False),
        "v2_variants": [second(flag, key, split) for split in SPLITS],
        "v3_variants": [third(flag, key, split) for split in SPLITS],
    }


murmur = [[text, seed, mmh3.hash(text, seed, signed=False)]
          for text in ["", "a", "ab", "abc", "abcd", "abcde", "The quick brown fox jumps over the lazy dog"]
          for seed in [0, 1, 0x9747B28C]]
vectors = [vector(flag, key) for flag in FLAGS for key in KEYS]
print(json.dumps({"murmur": murmur, "splits": SPLITS, "vectors": vectors}, ensure_ascii=False, indent=1))
