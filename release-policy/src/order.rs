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

/// A shortest circle among what was left over. From many it is a short one: it is looked for from a thousand.
fn shortest_circle(before: &[Vec<usize>], left: &[usize]) -> Vec<usize> {
    let open = |number: usize| left.get(number).is_some_and(|left| *left > 0);
    let mut best: Vec<usize> = Vec::new();
    for start in (0..before.len()).filter(|number| open(*number)).take(1_000) {
        let mut came: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        'search: while let Some(number) = queue.pop_front() {
            for after in before.get(number).into_iter().flatten().filter(|after| open(**after)) {
                if *after == start {
                    let mut circle = vec![number];
                    while let Some(from) = circle.last().and_then(|last| came.get(last)) {
                        circle.push(*from);
                    }
                    circle.reverse();
                    if best.is_empty() || circle.len() < best.len() {
                        best = circle;
                    }
                    break 'search;
                }
                if let std::collections::btree_map::Entry::Vacant(entry) = came.entry(*after) {
                    entry.insert(number);
                    queue.push_back(*after);
                }
            }
        }
    }
    best
}
