//! What comes after what.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All numbers, each after those that it comes after, the smallest that can be next first; or else a shortest circle of such as come after each other.
pub(crate) fn in_order(before: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut left: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut next: Vec<Vec<usize>> = vec![Vec::new(); before.len()];
    for (number, all) in before.iter().enumerate() {
        for one in all {
            if let Some(next) = next.get_mut(*one) {
                next.push(number);
            }
        }
    }
    let ready = left.iter().enumerate().filter(|(_, left)| **left == 0);
    let mut queue: BTreeSet<usize> = ready.map(|(number, _)| number).collect();
    let mut order = Vec::with_capacity(before.len());
    while let Some(number) = queue.pop_first() {
        order.push(number);
        for later in next.get(number).into_iter().flatten() {
            if let Some(count) = left.get_mut(*later) {
                *count -= 1;
                if *count == 0 {
                    queue.insert(*later);
                }
            }
        }
    }
    if order.len() == before.len() { Ok(order) } else { Err(shortest_circle(before, &left)) }
}

/// How many steps are made at most to find a shorter circle.
const MOST_STEPS: usize = 2_000_000;

/// A shortest circle among what was left over; of very many, a short one.
fn shortest_circle(before: &[Vec<usize>], left: &[usize]) -> Vec<usize> {
    let open = |number: &usize| left.get(*number).is_some_and(|left| *left > 0);
    let open_before = |number: usize| {
        before.get(number).into_iter().flatten().copied().filter(move |after| open(after))
    };
    // What is left over comes after something that is, so that going back again and again leads into a circle.
    let mut seen = BTreeSet::new();
    let mut at = (0..left.len()).find(open);
    while let Some(number) = at.filter(|number| seen.insert(*number)) {
        at = open_before(number).next();
    }
    let back = |number: &usize| open_before(*number).next().filter(|before| Some(*before) != at);
    let mut best: Vec<usize> = std::iter::successors(at, back).collect();
    let mut steps = 0;
    for start in (0..left.len()).filter(open) {
        let mut came: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = VecDeque::from([(start, 1)]);
        while let Some((number, length)) = queue.pop_front() {
            steps += 1;
            if length >= best.len() || steps > MOST_STEPS {
                break;
            }
            if open_before(number).any(|before| before == start) {
                best =
                    std::iter::successors(Some(number), |last| came.get(last).copied()).collect();
                best.reverse();
                break;
            }
            for before in open_before(number) {
                came.entry(before).or_insert_with(|| {
                    queue.push_back((before, length + 1));
                    number
                });
            }
        }
        if steps > MOST_STEPS {
            break;
        }
    }
    best
}
