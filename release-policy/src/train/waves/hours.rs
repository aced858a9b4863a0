//! When somebody is there for long enough: in one region by search, in many at once by what was found for all waves beforehand.

use release_core::model::{Span, Timestamp};

use super::WaveRegion;

/// So many instants are one block, and so many blocks one word of bits.
const BLOCK: usize = 64;

/// The hours of each region that are long enough.
#[derive(Debug, Clone)]
pub(super) struct Hours {
    attended: Span,
    /// In order; none where somebody always is there.
    regions: Vec<Option<Vec<(Timestamp, Timestamp)>>>,
}

impl Hours {
    /// Of regions whose hours are in order. Such as touch are one.
    pub(super) fn of(regions: &[WaveRegion], attended: Span) -> Self {
        let of = |region: &WaveRegion| {
            let long_enough =
                |(begins, ends): &(Timestamp, Timestamp)| begins.plus(attended) <= *ends;
            let mut hours = region.attended_hours();
            hours.retain(long_enough);
            if region.on_call.is_empty() { None } else { Some(hours) }
        };
        Self { attended, regions: regions.iter().map(of).collect() }
    }

    /// The first instant from `from` on at which somebody is there in this region, for as long as it takes.
    pub(super) fn first(&self, number: usize, from: Timestamp) -> Option<Timestamp> {
        let Some(Some(hours)) = self.regions.get(number) else { return Some(from) };
        let until = from.plus(self.attended);
        let nth = hours.partition_point(|(_, ends)| *ends < until);
        hours.get(nth).map(|(begins, _)| from.max(*begins))
    }

    /// Whether somebody is there in this region from `at` on, for as long as it takes.
    pub(super) fn is_there(&self, number: usize, at: Timestamp) -> bool {
        self.first(number, at) == Some(at)
    }

    /// The first instant from `from` on at which somebody is there in each of these regions. It goes from hour to hour: for many
    /// questions ask [`Joint`].
    pub(super) fn together(&self, wave: u64, from: Timestamp) -> Option<Timestamp> {
        let mut at = from;
        loop {
            let before = at;
            for number in members(wave) {
                at = self.first(number, at)?;
            }
            if at == before {
                return Some(at);
            }
        }
    }
}

/// The same of all waves of a few regions, found once: however their hours lie, an answer looks at two blocks and at one bit of each
/// other block.
///
/// Nothing becomes possible but when hours begin, so that these instants are all that can be an answer beside `from` itself.
#[derive(Debug)]
pub(super) struct Joint<'a> {
    hours: &'a Hours,
    /// When hours begin, in order.
    begins: Vec<Timestamp>,
    /// At each of these instants, the regions in which somebody is there for long enough.
    there: Vec<u64>,
    /// Of each wave a bit for each block: whether somebody is there in all its regions at one of the block's instants.
    blocks: Vec<Vec<u64>>,
}

impl<'a> Joint<'a> {
    /// It takes memory for each set of regions: for at most [`EXACT`](super::EXACT) of them.
    pub(super) fn of(hours: &'a Hours) -> Self {
        let of_all = hours.regions.iter().flatten().flatten();
        let mut begins: Vec<Timestamp> = of_all.map(|(begins, _)| *begins).collect();
        begins.sort_unstable();
        begins.dedup();
        let regions = hours.regions.len();
        let there = |at: &Timestamp| {
            let all = (0..regions).filter(|number| hours.is_there(*number, *at));
            all.fold(0_u64, |set, number| set | 1 << number)
        };
        let there: Vec<u64> = begins.iter().map(there).collect();
        let blocks = blocks(&there, regions);
        Self { hours, begins, there, blocks }
    }

    /// The first instant from `from` on at which somebody is there in each of these regions.
    pub(super) fn first(&self, wave: u64, from: Timestamp) -> Option<Timestamp> {
        if members(wave).all(|number| self.hours.is_there(number, from)) {
            return Some(from);
        }
        let next = self.begins.partition_point(|at| *at <= from);
        self.within(wave, next).or_else(|| {
            let block = self.block(wave, next / BLOCK + 1)?;
            self.within(wave, block * BLOCK)
        })
    }

    /// The first such instant from the so manieth on, as far as its block goes.
    fn within(&self, wave: u64, from: usize) -> Option<Timestamp> {
        let mut block = self.there.get(from..)?.iter().take(BLOCK - from % BLOCK);
        let nth = block.position(|there| wave & !there == 0)?;
        self.begins.get(from + nth).copied()
    }

    /// The first block from the so manieth on that has such an instant.
    fn block(&self, wave: u64, from: usize) -> Option<usize> {
        let words = self.blocks.get(usize::try_from(wave).ok()?)?;
        let (word, bit) = (from / BLOCK, from % BLOCK);
        let all = words.iter().enumerate().skip(word);
        // Of the first word only what is not before `from`.
        let mut left = all
            .map(|(nth, bits)| (nth, if nth == word { bits & (u64::MAX << bit) } else { *bits }));
        let (nth, bits) = left.find(|(_, bits)| *bits != 0)?;
        Some(nth * BLOCK + usize::try_from(bits.trailing_zeros()).ok()?)
    }
}

/// Of each set of so many regions, in which blocks it is part of a set that is `there`.
fn blocks(there: &[u64], regions: usize) -> Vec<Vec<u64>> {
    let words = there.len().div_ceil(BLOCK * BLOCK);
    let mut blocks = vec![vec![0_u64; words]; 1 << regions];
    for (nth, set) in there.iter().enumerate() {
        let block = nth / BLOCK;
        let of_set = usize::try_from(*set).ok().and_then(|set| blocks.get_mut(set));
        if let Some(word) = of_set.and_then(|words| words.get_mut(block / BLOCK)) {
            *word |= 1 << (block % BLOCK);
        }
    }
    // Where all of a set are there, all of its parts are.
    for number in 0..regions {
        for part in (0..1_usize << regions).filter(|set| set >> number & 1 == 0) {
            let whole = blocks.get(part | 1 << number).cloned().unwrap_or_default();
            for (word, more) in blocks.get_mut(part).into_iter().flatten().zip(whole) {
                *word |= more;
            }
        }
    }
    blocks
}

fn members(wave: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |number| wave >> number & 1 == 1)
}
