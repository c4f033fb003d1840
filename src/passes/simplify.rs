//! `simplify`: leaves out what computes nothing.
//!
//! Guarantees: no dropout with p = 0, no reshape to the same shape or of a reshape, no concatenation of one tensor, no
//! operation, result or read of a state that no output or update depends on. Needs nothing. Stands first because later
//! passes look at neighbours.

use crate::graph::build::renumber;
use crate::graph::{Def, Graph, NodeId, Op, ValueId};

/// See the module.
pub fn simplify(mut graph: Graph) -> Graph {
    skip_identities(&mut graph);
    drop_dead(&mut graph);
    renumber(graph)
}

/// Makes every operand skip operations that only pass it on.
fn skip_identities(graph: &mut Graph) {
    let mut stands_for: Vec<ValueId> = (0..graph.values.len() as u32).map(ValueId).collect();
    for n in 0..graph.nodes.len() {
        for k in 0..graph.nodes[n].inputs.len() {
            let old = graph.nodes[n].inputs[k];
            graph.nodes[n].inputs[k] = stands_for[old.0 as usize];
        }
        let node = &graph.nodes[n];
        let passes_on = match &node.op {
            Op::Dropout { p, .. } => *p == 0.0,
            Op::Concat => node.inputs.len() == 1,
            Op::Reshape => {
                let origin = before_reshapes(graph, node.inputs[0]);
                graph.nodes[n].inputs[0] = origin;
                graph.value(origin).shape == graph.value(graph.nodes[n].outputs[0]).shape
            }
            Op::Initialize(_)
            | Op::Normalize { .. }
            | Op::Conv(_)
            | Op::ConvInputGrad(_)
            | Op::ConvWeightGrad(_)
            | Op::MatMul { .. }
            | Op::AddBias
            | Op::BiasGrad
            | Op::Relu
            | Op::ReluGrad
            | Op::Sigmoid
            | Op::SigmoidGrad
            | Op::Tanh
            | Op::TanhGrad
            | Op::Lrn(_)
            | Op::LrnGrad(_)
            | Op::MaxPool(_)
            | Op::MaxPoolGrad(_)
            | Op::AvgPool { .. }
            | Op::AvgPoolGrad { .. }
            | Op::AdaptiveAvgPool { .. }
            | Op::AdaptiveAvgPoolGrad { .. }
            | Op::BatchNormTrain { .. }
            | Op::BatchNormInfer { .. }
            | Op::BatchNormGrad { .. }
            | Op::RunningUpdate { .. }
            | Op::Add
            | Op::Slice { .. }
            | Op::Softmax
            | Op::SoftmaxGrad
            | Op::CrossEntropy { .. }
            | Op::CrossEntropyGrad { .. }
            | Op::Mse
            | Op::MseGrad
            | Op::SgdUpdate(_)
            | Op::AdamUpdate(_)
            | Op::BiasCorrection { .. } => false,
        };
        if passes_on {
            let node = &graph.nodes[n];
            stands_for[node.outputs[0].0 as usize] = node.inputs[0];
        }
    }
    let to = |v: &mut ValueId| *v = stands_for[v.0 as usize];
    graph.outputs.iter_mut().for_each(|(_, v)| to(v));
    graph.updates.iter_mut().for_each(|(_, v)| to(v));
}

/// The value that a chain of reshapes starts from.
fn before_reshapes(graph: &Graph, mut v: ValueId) -> ValueId {
    while let Def::Node(NodeId(n), _) = graph.value(v).def {
        let node = &graph.nodes[n as usize];
        if node.op != Op::Reshape {
            break;
        }
        v = node.inputs[0];
    }
    v
}

/// Drops nodes without a live result, the unused index of a max-pooling, and unread contents of states.
fn drop_dead(graph: &mut Graph) {
    let mut live = vec![false; graph.values.len()];
    let roots = graph.outputs.iter().map(|(_, v)| v).chain(graph.updates.iter().map(|(_, v)| v));
    roots.for_each(|v| live[v.0 as usize] = true);
    for node in graph.nodes.iter().rev() {
        if node.outputs.iter().any(|v| live[v.0 as usize]) {
            node.inputs.iter().for_each(|v| live[v.0 as usize] = true);
        }
    }
    graph.nodes.retain(|node| node.outputs.iter().any(|v| live[v.0 as usize]));
    for node in &mut graph.nodes {
        if let (Op::MaxPool(_), Some(index)) = (&node.op, node.outputs.get(1))
            && !live[index.0 as usize]
        {
            node.outputs.truncate(1);
        }
    }
    for state in &mut graph.states {
        state.value = state.value.filter(|v| live[v.0 as usize]);
    }
}
