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

/// How many edges are looked at, at the most, to find a shorter circle.
const MOST_EDGES: usize = 2_000_000;

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
    let mut edges = 0;
    for start in (0..left.len()).filter(open) {
        let mut came: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = VecDeque::from([(start, 1)]);
        'search: while let Some((number, length)) = queue.pop_front() {
            if length >= best.len() {
                break;
            }
            for earlier in before.get(number).into_iter().flatten().copied() {
                edges += 1;
                if edges > MOST_EDGES {
                    return best;
                }
                if earlier == start {
                    let back = |last: &usize| came.get(last).copied();
                    best = std::iter::successors(Some(number), back).collect();
                    best.reverse();
                    break 'search;
                }
                if open(&earlier) && !came.contains_key(&earlier) {
                    came.insert(earlier, number);
                    queue.push_back((earlier, length + 1));
                }
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortest_circle_is_told() {
        let before = [vec![1], vec![2], vec![0, 3], vec![2], vec![]];
        assert_eq!(in_order(&before), Err(vec![2, 3]));
        assert_eq!(in_order(&[vec![2], vec![], vec![1]]), Ok(vec![1, 2, 0]));
    }

    #[test]
    fn a_dense_tangle_is_left_after_so_many_edges() {
        // Each of a thousand comes after all before it and after a ring: no circle goes through them, and they have a million edges, of which
        // a search from each would look at a third of a thousand million.
        let (many, ring) = (1_000, 1_000);
        let tangle = (0..many).map(|one| (0..one).chain(many..many + ring).collect());
        let round = (0..ring).map(|one| vec![many + (one + 1) % ring]);
        let before: Vec<Vec<usize>> = tangle.chain(round).collect();
        let circle = in_order(&before).unwrap_err();
        assert_eq!(circle.len(), ring);
    }
}
