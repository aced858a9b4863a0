//! Who falls into which bucket, to the bit as flagd's `fractional` operation has it.

use super::FlagKey;

/// The revisions of flagd's `fractional` operation that place a key by whole numbers.
///
/// Both hash with `MurmurHash3` (x86, 32 bit, seed 0), and both take as the bucket
///
/// ```text
/// bucket = (hash × sum of the weights) >> 32        hash unsigned, product of 64 bits
/// ```
///
/// of which the variant is the first whose weight, added to those before it, is more. They differ in what is hashed, so
/// that a change of the revision places nearly everybody anew: evaluators of one flag have to be of one revision.
///
/// The first revision, a hash as a signed number divided by `i32::MAX` and compared as a percentage, is not here. Its
/// implementations differed from each other (open-feature/flagd issue 1872), so that there is nothing to be equal with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Fractional {
    /// Of 2026-03: the UTF-8 text of the flag key with that of the targeting key behind it
    /// (open-feature/flagd issue 1903 and pull request 1909).
    V2,
    /// Of 2026-09, called `@fractional-v3` in flagd's test bed: the canonical CBOR (RFC 8949, section 4.2) of the array of
    /// flag key and targeting key (open-feature/python-sdk-contrib pull request 415). What `openfeature-flagd-core` 2.0
    /// evaluates.
    #[default]
    V3,
}

impl Fractional {
    /// The hash of a targeting key under a flag, for a split without a bucketing value of its own.
    pub fn hash(self, flag: &FlagKey, targeting_key: &str) -> u32 {
        let (flag, key) = (flag.as_str(), targeting_key);
        match self {
            Self::V2 => murmur3_32([flag, key].concat().as_bytes(), 0),
            Self::V3 => {
                let mut bytes = Vec::with_capacity(flag.len() + key.len() + 8);
                bytes.push(ARRAY_OF_TWO);
                text(&mut bytes, flag);
                text(&mut bytes, key);
                murmur3_32(&bytes, 0)
            }
        }
    }

    /// The bucket of a targeting key, from 0 to one less than `sum`, the sum of the weights; 0 where that is 0.
    pub fn bucket(self, flag: &FlagKey, targeting_key: &str, sum: u32) -> u32 {
        let product = u64::from(self.hash(flag, targeting_key)) * u64::from(sum);
        // INVARIANT: it is less than `sum`, and so fits.
        u32::try_from(product >> 32).unwrap_or(u32::MAX)
    }
}

/// The head of a CBOR array with two elements.
const ARRAY_OF_TWO: u8 = 0x82;
/// Major type 3 of CBOR, text.
const TEXT: u8 = 0x60;

/// A CBOR text with the shortest head that its length allows.
fn text(bytes: &mut Vec<u8>, text: &str) {
    let length = text.len() as u64;
    let all = length.to_be_bytes();
    let (low, width) = match length {
        0..24 => (u8::try_from(length).unwrap_or(0), 0),
        24..0x100 => (24, 1),
        0x100..0x1_0000 => (25, 2),
        0x1_0000..0x1_0000_0000 => (26, 4),
        _ => (27, 8),
    };
    bytes.push(TEXT | low);
    bytes.extend(all.iter().skip(all.len().saturating_sub(width)));
    bytes.extend_from_slice(text.as_bytes());
}

/// `MurmurHash3` for x86 with 32 bits, by Austin Appleby, as in `MurmurHash3.cpp` of `SMHasher`.
pub fn murmur3_32(bytes: &[u8], seed: u32) -> u32 {
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = seed;
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = tail.iter().rev().fold(0, |word: u32, byte| (word << 8) | u32::from(*byte));
    // The length counts as 32 bits; longer content does not exist here.
    #[expect(clippy::cast_possible_truncation, reason = "the algorithm takes it so")]
    let length = bytes.len() as u32;
    hash ^= scramble(rest) ^ length;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// What a word does to the hash; nothing, if it is 0.
const fn scramble(word: u32) -> u32 {
    word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}
