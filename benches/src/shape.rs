//! Graphs; the same as those of `benches/peers`.

/// Nodes in one layer of a random graph.
const LAYER: usize = 32;
/// In-edges of each node of a random graph.
const IN_EDGES: usize = 3;
/// Nodes in one stage of a staged graph.
const STAGE: usize = 2;

/// How the nodes hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One after the other.
    Linear,
    /// No edge at all.
    Wide,
    /// Layers of 32; each node after three distinct nodes of the layer before.
    Random,
    /// Stages of two; each node after both nodes of the stage before.
    Staged,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 4] = [Self::Linear, Self::Wide, Self::Random, Self::Staged];

    /// The shape called `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.name() == name)
    }

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Wide => "wide",
            Self::Random => "random",
            Self::Staged => "staged",
        }
    }

    /// Tells `edge` every edge of a graph of `n` nodes.
    pub fn edges(self, n: usize, mut edge: impl FnMut(u32, u32)) {
        let mut draw = 42_u64;
        for node in 0..n {
            match self {
                Self::Wide => {}
                Self::Linear => {
                    node.checked_sub(1).into_iter().for_each(|from| edge(ix(from), ix(node)));
                }
                Self::Staged => {
                    if let Some(stage) = (node / STAGE).checked_sub(1) {
                        (stage * STAGE..(stage + 1) * STAGE)
                            .for_each(|from| edge(ix(from), ix(node)));
                    }
                }
                Self::Random => {
                    if let Some(layer) = (node / LAYER).checked_sub(1) {
                        for at in places(&mut draw) {
                            edge(ix(layer * LAYER + at), ix(node));
                        }
                    }
                }
            }
        }
    }
}

/// Three distinct places in a layer.
fn places(draw: &mut u64) -> Vec<usize> {
    let mut places = Vec::with_capacity(IN_EDGES);
    while places.len() < IN_EDGES {
        *draw =
            draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = usize::try_from((*draw >> 33) % LAYER as u64).unwrap_or(0);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

fn ix(node: usize) -> u32 {
    u32::try_from(node).unwrap_or(u32::MAX)
}
