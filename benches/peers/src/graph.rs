//! The graphs that every engine runs, as lists of predecessors: pure, and the same on every run.

use crate::Failure;

/// Nodes in one layer of a random graph.
const LAYER: usize = 32;
/// In-edges of each node of a random graph, from distinct nodes of the layer before.
const IN_EDGES: usize = 3;
/// Nodes in one stage of a staged graph.
const STAGE: usize = 2;
const SEED: u64 = 42;

/// How the nodes hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One after the other.
    Linear,
    /// No edge at all.
    Wide,
    /// Layers of 32; each node depends on three nodes of the layer before.
    Random,
    /// Stages of two; each node depends on both nodes of the stage before.
    Staged,
}

impl Shape {
    pub(crate) fn parse(name: &str) -> Result<Self, Failure> {
        [Self::Linear, Self::Wide, Self::Random, Self::Staged]
            .into_iter()
            .find(|shape| shape.name() == name)
            .ok_or_else(|| format!("no shape is called `{name}`").into())
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Wide => "wide",
            Self::Random => "random",
            Self::Staged => "staged",
        }
    }
}

/// A graph whose node `i` may start when all of `predecessors[i]` are done; all of them are `< i`.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) shape: Shape,
    pub(crate) predecessors: Vec<Vec<usize>>,
}

impl Graph {
    pub(crate) fn new(shape: Shape, n: usize) -> Self {
        let mut random = Lcg(SEED);
        let predecessors = (0..n)
            .map(|node| match shape {
                Shape::Wide => Vec::new(),
                Shape::Linear => node.checked_sub(1).into_iter().collect(),
                Shape::Staged => match (node / STAGE).checked_sub(1) {
                    Some(stage) => (stage * STAGE..(stage + 1) * STAGE).collect(),
                    None => Vec::new(),
                },
                Shape::Random => match (node / LAYER).checked_sub(1) {
                    Some(layer) => random.distinct().map(|i| layer * LAYER + i).collect(),
                    None => Vec::new(),
                },
            })
            .collect();
        Self { shape, predecessors }
    }

    pub(crate) fn len(&self) -> usize {
        self.predecessors.len()
    }

    /// Returns the nodes that nothing depends on.
    pub(crate) fn sinks(&self) -> Vec<usize> {
        let mut has_successor = vec![false; self.len()];
        for &node in self.predecessors.iter().flatten() {
            has_successor[node] = true;
        }
        (0..self.len()).filter(|&node| !has_successor[node]).collect()
    }

    /// Returns the nodes stage by stage, where each stage waits for the whole one before; `None`
    /// for a graph that is not of this kind.
    pub(crate) fn stages(&self) -> Option<Vec<Vec<usize>>> {
        let nodes: Vec<usize> = (0..self.len()).collect();
        let size = match self.shape {
            Shape::Linear => 1,
            Shape::Staged => STAGE,
            Shape::Wide => self.len().max(1),
            Shape::Random => return None,
        };
        Some(nodes.chunks(size).map(<[usize]>::to_vec).collect())
    }
}

/// Knuth's MMIX generator, of which the upper bits are used.
struct Lcg(u64);

impl Lcg {
    fn next(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let upper = self.0 >> 33;
        u32::try_from(upper).unwrap_or(u32::MAX) // 31 bits always fit
    }

    /// Draws `IN_EDGES` different places in a layer.
    fn distinct(&mut self) -> std::vec::IntoIter<usize> {
        let mut chosen = Vec::with_capacity(IN_EDGES);
        while chosen.len() < IN_EDGES {
            let place = self.next() as usize % LAYER;
            if !chosen.contains(&place) {
                chosen.push(place);
            }
        }
        chosen.into_iter()
    }
}
