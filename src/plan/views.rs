//! Tensors that lie in others: concatenations and slices of images that take no copy.
//!
//! An operand of a concatenation is made in its channels of the result, wherever it is an image batch that an operation
//! makes for this function alone; of one that several places want, the first gets it. A slice of the channels of images
//! is a part of what it is cut from. Both nest. Every schedule takes images whose pixels lie further apart than they have
//! channels, so readers do not matter; but all parts of a tensor lie in one frame of zeros, the widest that any of them
//! wants.

use super::choose::makes_images;
use super::{Elsewhere, Halo};
use crate::graph::{Def, Graph, NodeId, Op, ValueId};
use std::collections::BTreeMap;

/// Which values are parts of others.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// What a value is a part of, and its first channel in it.
    parts: BTreeMap<ValueId, (ValueId, usize)>,
    /// The operands of concatenations that are not made in their place.
    elsewhere: BTreeMap<(NodeId, usize), Elsewhere>,
}

impl Views {
    /// Of a graph. Widens the zeros that are wanted around values to those of all parts of a whole.
    pub fn of_graph(graph: &Graph, halos: &mut [Halo]) -> Views {
        let mut views = Views::default();
        for (n, node) in graph.nodes.iter().enumerate() {
            match &node.op {
                Op::Concat => views.concatenation(graph, NodeId(n as u32)),
                Op::Slice { start } if is_image(graph, node.inputs[0]) && is_made_here(graph, node.outputs[0]) => {
                    views.parts.insert(node.outputs[0], (node.inputs[0], *start));
                }
                _ => {}
            }
        }
        let parts: Vec<ValueId> = views.parts.keys().copied().collect();
        let roots: Vec<ValueId> = parts.iter().filter_map(|&v| views.of(v)).map(|(root, _)| root).collect();
        for (part, root) in parts.iter().zip(&roots) {
            halos[root.0 as usize] = halos[root.0 as usize].union(halos[part.0 as usize]);
        }
        for (part, root) in parts.iter().zip(&roots) {
            halos[part.0 as usize] = halos[root.0 as usize];
        }
        views
    }

    fn concatenation(&mut self, graph: &Graph, id: NodeId) {
        let node = &graph.nodes[id.0 as usize];
        let result = node.outputs[0];
        let mut start = 0;
        for (at, &input) in node.inputs.iter().enumerate() {
            let because = if !is_image(graph, result) {
                Some(Elsewhere::Rows)
            } else if !is_made_here(graph, input) || !is_made_here(graph, result) {
                Some(Elsewhere::Given)
            } else if !self.parts.contains_key(&input) {
                None
            } else if is_slice(graph, input) {
                Some(Elsewhere::Cut)
            } else {
                Some(Elsewhere::Taken)
            };
            match because {
                Some(because) => _ = self.elsewhere.insert((id, at), because),
                None => _ = self.parts.insert(input, (result, start)),
            }
            start += graph.value(input).shape[1];
        }
    }

    /// The value that a value lies in, which is a part of none, and its first channel there; none if it lies by itself.
    pub fn of(&self, value: ValueId) -> Option<(ValueId, usize)> {
        let (mut root, mut start) = *self.parts.get(&value)?;
        while let Some((outer, first)) = self.parts.get(&root) {
            (root, start) = (*outer, start + first);
        }
        Some((root, start))
    }

    /// Why operand `at` of a concatenation is not made in its place; none if it is.
    pub fn elsewhere(&self, concatenation: NodeId, at: usize) -> Option<Elsewhere> {
        self.elsewhere.get(&(concatenation, at)).copied()
    }
}

fn is_slice(graph: &Graph, value: ValueId) -> bool {
    matches!(graph.value(value).def, Def::Node(n, _) if matches!(graph.nodes[n.0 as usize].op, Op::Slice { .. }))
}

/// Whether operations read a value as images.
fn is_image(graph: &Graph, value: ValueId) -> bool {
    let made = match graph.value(value).def {
        Def::Input(_) => true,
        Def::State(_) => false,
        Def::Node(node, _) => makes_images(&graph.nodes[node.0 as usize].op),
    };
    made && graph.value(value).shape.len() == 4 && !becomes_state(graph, value)
}

/// Whether a value is made by an operation, as images that stay in the function.
fn is_made_here(graph: &Graph, value: ValueId) -> bool {
    matches!(graph.value(value).def, Def::Node(..)) && is_image(graph, value)
}

fn becomes_state(graph: &Graph, value: ValueId) -> bool {
    graph.updates.iter().any(|(_, v)| *v == value)
}
