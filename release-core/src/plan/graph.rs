//! Orders and cycles. The only module that names petgraph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

/// Orders `0..nodes` so that each edge goes forward, or reports the cycles, each by its nodes in
/// order, the shortest cycle first.
///
/// A cycle is told of each component that has one; the shortest of it, unless [`MOST_EDGES`] are not enough to find that.
/// Runs in linear time when there is no cycle, and without recursion always.
pub(crate) fn order(nodes: usize, edges: &[(u32, u32)]) -> Result<Vec<u32>, Vec<Vec<u32>>> {
    let graph = of(nodes, edges);
    match toposort(&graph, None) {
        Ok(order) => Ok(order.into_iter().map(node).collect()),
        Err(_) => Err(cycles(&graph)),
    }
}

fn of(nodes: usize, edges: &[(u32, u32)]) -> DiGraph<(), (), u32> {
    let mut graph = DiGraph::with_capacity(nodes, edges.len());
    for _ in 0..nodes {
        graph.add_node(());
    }
    for (from, to) in edges {
        graph.add_edge(NodeIndex::new(*from as usize), NodeIndex::new(*to as usize), ());
    }
    graph
}

/// For each of `0..nodes` a number that it shares with those to which it leads and that lead back to it.
pub(super) fn components(nodes: usize, edges: &[(u32, u32)]) -> Vec<usize> {
    let mut numbers = vec![0; nodes];
    for (component, number) in kosaraju_scc(&of(nodes, edges)).iter().zip(1..) {
        for member in component {
            if let Some(slot) = numbers.get_mut(member.index()) {
                *slot = number;
            }
        }
    }
    numbers
}

/// Nodes that must come first come first; ties go to the smaller node, so that the answer does not
/// depend on the order of the edges. Nodes on or behind a cycle are missing from the answer.
pub(super) fn stable_order(nodes: usize, edges: &[(u32, u32)]) -> Vec<u32> {
    let mut waits = vec![0_u32; nodes];
    let mut next: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (from, to) in edges {
        next.entry(*from).or_default().push(*to);
        if let Some(count) = waits.get_mut(*to as usize) {
            *count += 1;
        }
    }
    let mut ready: BTreeSet<u32> =
        (0..).zip(&waits).filter(|(_, count)| **count == 0).map(|(index, _)| index).collect();
    let mut order = Vec::with_capacity(nodes);
    while let Some(first) = ready.pop_first() {
        order.push(first);
        for to in next.get(&first).into_iter().flatten() {
            if let Some(count) = waits.get_mut(*to as usize) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(*to);
                }
            }
        }
    }
    order
}

/// Answers whether one node comes before another on some way.
pub(super) struct Ancestors {
    /// For each node its place in an order in which each edge goes forward.
    places: Vec<u32>,
    before: Vec<Vec<u32>>,
}

impl Ancestors {
    pub(super) fn new(order: &[u32], edges: &[super::Edge]) -> Self {
        let mut places = vec![0; order.len()];
        for (node, place) in order.iter().zip(0..) {
            if let Some(slot) = places.get_mut(*node as usize) {
                *slot = place;
            }
        }
        let mut before = vec![Vec::new(); order.len()];
        for edge in edges {
            if let Some(list) = before.get_mut(edge.to as usize) {
                list.push(edge.from);
            }
        }
        Self { places, before }
    }

    /// Whether a way leads from `first` to `node`. Looks only at what lies between the two in the
    /// order, which in the steps of one rollout is little.
    pub(super) fn has(&self, node: u32, first: u32) -> bool {
        let place = |node: u32| self.places.get(node as usize).copied().unwrap_or(0);
        let (mut seen, mut open) = (BTreeSet::new(), vec![node]);
        while let Some(at) = open.pop() {
            for from in self.before.get(at as usize).into_iter().flatten() {
                if *from == first {
                    return true;
                }
                if place(*from) > place(first) && seen.insert(*from) {
                    open.push(*from);
                }
            }
        }
        false
    }
}

fn node(index: NodeIndex<u32>) -> u32 {
    u32::try_from(index.index()).unwrap_or(u32::MAX)
}

/// How many edges are looked at, at the most, to find shorter cycles than the first of each component.
const MOST_EDGES: usize = 2_000_000;

/// One shortest cycle of each strongly connected component, or a short one once [`MOST_EDGES`] were looked at; small components are
/// searched first. Kosaraju's algorithm because petgraph's other one recurses.
fn cycles(graph: &DiGraph<(), (), u32>) -> Vec<Vec<u32>> {
    let mut components = kosaraju_scc(graph);
    components.sort_by_key(Vec::len);
    let (mut found, mut left) = (Vec::new(), MOST_EDGES);
    for component in components {
        let members: BTreeSet<u32> = component.iter().map(|index| node(*index)).collect();
        let of_itself = |start: &u32| {
            let index = NodeIndex::new(*start as usize);
            graph.contains_edge(index, index)
        };
        // Nothing is shorter, and all of the component need not be walked for it.
        if let Some(one) = members.iter().copied().find(of_itself) {
            found.push(vec![one]);
            continue;
        }
        let mut starts = members.iter().copied();
        // The first is searched to its end, which passes each edge once: of each component that has a cycle one is told.
        let first = starts.next();
        let mut all = usize::MAX;
        let mut best =
            first.and_then(|start| cycle_through(graph, &members, start, usize::MAX, &mut all));
        for start in starts {
            let shorter = best.as_ref().map_or(usize::MAX, Vec::len);
            best = cycle_through(graph, &members, start, shorter, &mut left).or(best);
            if left == 0 {
                break;
            }
        }
        found.extend(best);
    }
    found.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    found
}

/// A shortest cycle through `start` inside `members`, by breadth-first search; none where none has fewer than `below` nodes, or where
/// more than `left` edges would have to be looked at, of which those that were are taken away.
fn cycle_through(
    graph: &DiGraph<(), (), u32>,
    members: &BTreeSet<u32>,
    start: u32,
    below: usize,
    left: &mut usize,
) -> Option<Vec<u32>> {
    let mut came_from: BTreeMap<u32, u32> = BTreeMap::new();
    let mut queue = VecDeque::from([(start, 1)]);
    while let Some((at, length)) = queue.pop_front() {
        if length >= below {
            return None;
        }
        for to in graph.neighbors(NodeIndex::new(at as usize)).map(node) {
            *left = left.checked_sub(1)?;
            if to == start {
                return Some(way_back(&came_from, start, at));
            }
            if members.contains(&to) && !came_from.contains_key(&to) {
                came_from.insert(to, at);
                queue.push_back((to, length + 1));
            }
        }
    }
    None
}

fn way_back(came_from: &BTreeMap<u32, u32>, start: u32, last: u32) -> Vec<u32> {
    let mut cycle = vec![last];
    let mut at = last;
    while at != start {
        let Some(before) = came_from.get(&at) else { break };
        at = *before;
        cycle.push(at);
    }
    cycle.reverse();
    cycle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_come_shortest_first_in_the_order_of_their_edges() {
        let edges = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 3), (5, 5), (2, 3)];
        assert_eq!(order(6, &edges), Err(vec![vec![5], vec![3, 4], vec![0, 1, 2]]));
    }

    #[test]
    fn a_long_chain_and_a_long_cycle_need_no_stack() {
        let n = 200_000_u32;
        let mut edges: Vec<_> = (1..n).map(|i| (i - 1, i)).collect();
        assert_eq!(order(n as usize, &edges).unwrap().len(), n as usize);
        edges.push((n - 1, 0));
        let run = move || order(n as usize, &edges).unwrap_err().remove(0).len();
        let small = std::thread::Builder::new().stack_size(64 << 10).spawn(run).unwrap();
        assert_eq!(small.join().unwrap(), n as usize);
    }

    #[test]
    fn a_dense_tangle_is_left_after_so_many_edges() {
        // Each of a thousand comes before all that follow it, and the last leads back to the first over a thousand others. No cycle is
        // shorter, but for one of two nodes: that is found only after a search from each node before them, half a million edges
        // each.
        let (tangle, ring) = (1_000_u32, 1_000_u32);
        let mut edges: Vec<_> =
            (0..tangle).flat_map(|from| (from + 1..tangle).map(move |to| (from, to))).collect();
        edges.extend((tangle - 1..tangle + ring - 1).map(|from| (from, from + 1)));
        edges.extend([(tangle + ring - 1, 0), (401, 400)]);
        let cycles = order(2_000, &edges).unwrap_err();
        let long: Vec<u32> = [0].into_iter().chain(tangle - 1..tangle + ring).collect();
        assert_eq!(cycles, [long]);
        // What comes before itself is seen without a search.
        edges.push((500, 500));
        assert_eq!(order(2_000, &edges).unwrap_err(), [[500]]);
        edges.pop();
        // With fewer edges between them, the shortest is told.
        edges.retain(|(from, to)| *to <= from + 1);
        assert_eq!(order(2_000, &edges).unwrap_err(), [[400, 401]]);
    }

    #[test]
    fn a_small_cycle_beside_a_dense_tangle_is_the_shortest() {
        // Each needs all with a smaller number but the first, which needs all; and the second needs the first.
        let n = 2_000_u32;
        let mut edges: Vec<_> = (2..n).flat_map(|to| (1..to).map(move |from| (from, to))).collect();
        edges.extend((1..n).map(|from| (from, 0)).chain([(0, 1)]));
        assert_eq!(order(n as usize, &edges), Err(vec![vec![0, 1]]));
        // Nor does a tangle hide a small component.
        edges.extend([(n, n + 1), (n + 1, n + 2), (n + 2, n), (n + 1, n)]);
        let cycles = order(n as usize + 3, &edges).unwrap_err();
        assert_eq!(cycles, [[0, 1], [n, n + 1]]);
    }

    #[test]
    fn ties_go_to_the_smaller_node() {
        let forward = stable_order(5, &[(4, 0), (3, 1)]);
        assert_eq!(forward, stable_order(5, &[(3, 1), (4, 0)]));
        assert_eq!(forward, [2, 3, 1, 4, 0]);
    }
}
