//! The derivative of every operation, as operations.

use crate::graph::{Bug, Builder, Node, NodeId, Op, ValueId};

/// Given the gradients of a node's results, adds those of its operands.
///
/// `wanted` has a name for each operand whose gradient is needed; the others may be left out. The node of the loss has
/// no incoming gradient: it is 1.
///
/// # Errors
/// If the operation has no derivative: a bug, since nothing that a network is made of lacks one.
pub(super) fn pull_back(
    b: &mut Builder,
    id: NodeId,
    node: &Node,
    incoming: &[Option<ValueId>],
    wanted: &[Option<String>],
) -> Result<Vec<Option<ValueId>>, Bug> {
    let mut rule = Rule { b, node, wanted };
    let y = node.outputs[0];
    let operand = |i: usize| node.inputs[i];
    let dy = first_alone(node, incoming);
    match node.op.clone() {
        Op::Conv(g) => {
            let dy = dy?;
            let dx = rule.like(0, Op::ConvInputGrad(g), &[dy, operand(1)])?;
            Ok(vec![dx, rule.like(1, Op::ConvWeightGrad(g), &[operand(0), dy])?])
        }
        Op::MatMul { transpose_a, transpose_b } => rule.matmul(transpose_a, transpose_b, dy?),
        Op::AddBias => {
            let dy = dy?;
            Ok(vec![Some(dy), rule.like(1, Op::BiasGrad, &[dy])?])
        }
        Op::Relu => rule.only(Op::ReluGrad, &[y, dy?]),
        Op::Sigmoid => rule.only(Op::SigmoidGrad, &[y, dy?]),
        Op::Tanh => rule.only(Op::TanhGrad, &[y, dy?]),
        Op::Softmax => rule.only(Op::SoftmaxGrad, &[y, dy?]),
        Op::Lrn(g) => rule.only(Op::LrnGrad(g), &[operand(0), dy?]),
        Op::MaxPool(pool) => {
            let index = rule.b.pool_index(id).map_err(Bug)?;
            rule.only(Op::MaxPoolGrad(pool), &[index, dy?])
        }
        Op::AvgPool { pool, count_include_pad } => rule.only(Op::AvgPoolGrad { pool, count_include_pad }, &[dy?]),
        Op::AdaptiveAvgPool { output } => rule.only(Op::AdaptiveAvgPoolGrad { output }, &[dy?]),
        Op::Dropout { p, stream } => {
            let dx = rule.like(0, Op::Dropout { p, stream }, &[dy?, operand(1), operand(2)])?;
            Ok(vec![dx, None, None])
        }
        Op::Reshape => rule.only(Op::Reshape, &[dy?]),
        Op::BatchNormTrain { epsilon } => rule.batchnorm(epsilon, dy?),
        Op::Add => {
            let dy = dy?;
            Ok(vec![Some(dy), Some(dy)])
        }
        Op::Concat => {
            let dy = dy?;
            let mut start = 0;
            let mut pieces = vec![];
            for (i, &x) in node.inputs.iter().enumerate() {
                pieces.push(rule.like(i, Op::Slice { start }, &[dy])?);
                start += rule.b.graph().value(x).shape[1];
            }
            Ok(pieces)
        }
        Op::CrossEntropy { label_smoothing } => {
            no_incoming(incoming)?;
            let op = Op::CrossEntropyGrad { label_smoothing };
            Ok(vec![rule.like(0, op, &[node.outputs[1], operand(1)])?, None])
        }
        Op::Mse => {
            no_incoming(incoming)?;
            let dprediction = rule.like(0, Op::MseGrad, &[operand(0), operand(1)])?;
            Ok(vec![dprediction, rule.like(1, Op::MseGrad, &[operand(1), operand(0)])?])
        }
        op @ (Op::Initialize(_)
        | Op::Normalize { .. }
        | Op::ConvInputGrad(_)
        | Op::ConvWeightGrad(_)
        | Op::BiasGrad
        | Op::ReluGrad
        | Op::SigmoidGrad
        | Op::TanhGrad
        | Op::LrnGrad(_)
        | Op::MaxPoolGrad(_)
        | Op::AvgPoolGrad { .. }
        | Op::AdaptiveAvgPoolGrad { .. }
        | Op::BatchNormInfer { .. }
        | Op::BatchNormGrad { .. }
        | Op::RunningUpdate { .. }
        | Op::Slice { .. }
        | Op::SoftmaxGrad
        | Op::CrossEntropyGrad { .. }
        | Op::MseGrad
        | Op::SgdUpdate(_)
        | Op::AdamUpdate(_)
        | Op::BiasCorrection { .. }) => Err(Bug(format!("{} stands between loss and parameters", op.mnemonic()))),
    }
}

struct Rule<'a> {
    b: &'a mut Builder,
    node: &'a Node,
    wanted: &'a [Option<String>],
}

impl Rule<'_> {
    /// The gradient of operand `i`, of its shape, if it is wanted.
    fn like(&mut self, i: usize, op: Op, inputs: &[ValueId]) -> Result<Option<ValueId>, Bug> {
        let Some(name) = &self.wanted[i] else { return Ok(None) };
        let shape = self.b.graph().value(self.node.inputs[i]).shape.clone();
        Ok(Some(self.b.try_node(op, inputs, Some(&shape), name).map_err(Bug)?[0]))
    }

    /// The gradient of the only operand.
    fn only(&mut self, op: Op, inputs: &[ValueId]) -> Result<Vec<Option<ValueId>>, Bug> {
        Ok(vec![self.like(0, op, inputs)?])
    }

    /// Of y = A·B with A = a or aᵀ, B = b or bᵀ: dA = dy·Bᵀ, dB = Aᵀ·dy.
    fn matmul(&mut self, ta: bool, tb: bool, dy: ValueId) -> Result<Vec<Option<ValueId>>, Bug> {
        let (a, b) = (self.node.inputs[0], self.node.inputs[1]);
        let product = |transpose_a, transpose_b| Op::MatMul { transpose_a, transpose_b };
        let da = match ta {
            false => self.like(0, product(false, !tb), &[dy, b])?,
            true => self.like(0, product(tb, true), &[b, dy])?,
        };
        let db = match tb {
            false => self.like(1, product(!ta, false), &[a, dy])?,
            true => self.like(1, product(true, ta), &[dy, a])?,
        };
        Ok(vec![da, db])
    }

    fn batchnorm(&mut self, epsilon: f64, dy: ValueId) -> Result<Vec<Option<ValueId>>, Bug> {
        let ([x, gamma, _], [_, mean, variance]) = (&self.node.inputs[..], &self.node.outputs[..]) else {
            return Err(Bug("batch normalisation has three operands and three results".to_owned()));
        };
        let name = format!("{}.grad", self.b.graph().value(*x).name);
        let name = self.wanted[0].clone().unwrap_or(name);
        let operands = [*x, *gamma, *mean, *variance, dy];
        let results = self.b.try_node(Op::BatchNormGrad { epsilon }, &operands, None, &name).map_err(Bug)?;
        for (&result, name) in results.iter().zip(self.wanted).skip(1) {
            if let Some(name) = name {
                self.b.rename(result, name);
            }
        }
        Ok(results.into_iter().map(Some).collect())
    }
}

/// The gradient of the first result, the only one that may have a gradient.
fn first_alone(node: &Node, incoming: &[Option<ValueId>]) -> Result<ValueId, Bug> {
    let name = node.op.mnemonic();
    match incoming.split_first() {
        Some((_, rest)) if rest.iter().any(Option::is_some) => {
            Err(Bug(format!("a gradient meets the second result of {name}")))
        }
        Some((Some(dy), _)) => Ok(*dy),
        _ => Err(Bug(format!("{name} is no loss"))),
    }
}

fn no_incoming(incoming: &[Option<ValueId>]) -> Result<(), Bug> {
    if incoming.iter().any(Option::is_some) {
        return Err(Bug("the loss is no last operation".to_owned()));
    }
    Ok(())
}
