//! The schedule of each operation that is a kernel of its own.

use super::super::{Access, BufferId, Expr, Kernel, Space, Stmt};
use super::{Tensor, Then};
use crate::graph::{Initializer, Op};
use crate::plan::{Update, takes_along};

/// As [`op_then`], with nothing after the operation.
pub fn op(op: &Op, lanes: usize, name: &str, inputs: &[Tensor], outputs: &[Tensor]) -> Option<Kernel> {
    op_then(op, lanes, name, Then::NOTHING, inputs, outputs)
}

/// The kernel of an operation on its operands and results, in the graph's order, and of what is done to each element of
/// the first result; none for products and convolutions, whose schedules need a tile, for concatenations, which are a
/// copy an operand, if there are too few tensors, and if the operation's kernel does nothing after it.
pub fn op_then(op: &Op, lanes: usize, name: &str, then: Then, inputs: &[Tensor], outputs: &[Tensor]) -> Option<Kernel> {
    if !then.steps.is_empty() && !takes_along(op) {
        return None;
    }
    let x = |i: usize| inputs.get(i);
    let y = |i: usize| outputs.get(i);
    Some(match op {
        Op::Initialize(initializer) => {
            let seed = match initializer {
                Initializer::Constant(_) => None,
                Initializer::Normal { .. } | Initializer::Uniform { .. } => Some(x(0)?),
            };
            super::initialize(lanes, name, *initializer, seed, y(0)?)
        }
        Op::Normalize { scale, shift } => super::normalize(lanes, name, scale, shift, x(0)?, y(0)?),
        Op::Conv(_) | Op::ConvInputGrad(_) | Op::ConvWeightGrad(_) | Op::MatMul { .. } | Op::Concat => return None,
        Op::AddBias => super::add_bias(lanes, name, x(0)?, x(1)?, y(0)?),
        Op::BiasGrad => super::bias_grad(lanes, name, x(0)?, y(0)?),
        Op::Relu => super::relu(lanes, name, x(0)?, y(0)?),
        Op::ReluGrad => super::relu_grad(lanes, name, x(0)?, x(1)?, y(0)?),
        Op::Sigmoid => super::sigmoid(lanes, name, x(0)?, y(0)?),
        Op::SigmoidGrad => super::sigmoid_grad(lanes, name, x(0)?, x(1)?, y(0)?),
        Op::Tanh => super::tanh(lanes, name, x(0)?, y(0)?),
        Op::TanhGrad => super::tanh_grad(lanes, name, x(0)?, x(1)?, y(0)?),
        Op::Lrn(lrn) => super::lrn(lanes, name, lrn, x(0)?, y(0)?),
        Op::LrnGrad(lrn) => super::lrn_grad(lanes, name, lrn, [x(0)?, x(1)?, y(0)?], then),
        Op::MaxPool(pool) => super::max_pool(lanes, name, pool, x(0)?, y(0)?, y(1)),
        Op::MaxPoolGrad(pool) => super::max_pool_grad(lanes, name, pool, [x(0)?, x(1)?, y(0)?], then),
        Op::AvgPool { pool, count_include_pad } => super::avg_pool(lanes, name, pool, *count_include_pad, x(0)?, y(0)?),
        Op::AvgPoolGrad { pool, count_include_pad } => {
            super::avg_pool_grad(lanes, name, pool, *count_include_pad, x(0)?, y(0)?)
        }
        Op::AdaptiveAvgPool { .. } => super::adaptive_avg_pool(lanes, name, x(0)?, y(0)?),
        Op::AdaptiveAvgPoolGrad { .. } => super::adaptive_avg_pool_grad(lanes, name, x(0)?, y(0)?),
        Op::Dropout { p, stream } => super::dropout(lanes, name, *p, *stream, x(0)?, x(1)?, x(2)?, y(0)?, then),
        Op::Reshape => super::copy(lanes, name, x(0)?, y(0)?),
        Op::BatchNormTrain { epsilon } => {
            super::batch_norm_train(lanes, name, *epsilon, x(0)?, x(1)?, x(2)?, y(0)?, y(1)?, y(2)?, then)
        }
        Op::BatchNormInfer { epsilon } => {
            super::batch_norm_infer(lanes, name, *epsilon, x(0)?, x(1)?, x(2)?, x(3)?, x(4)?, y(0)?)
        }
        Op::BatchNormGrad { epsilon } => {
            let [of_x, of_gamma, of_beta] = [y(0)?, y(1)?, y(2)?];
            super::batch_norm_grad(lanes, name, *epsilon, x(0)?, x(1)?, x(2)?, x(3)?, x(4)?, of_x, of_gamma, of_beta)
        }
        Op::RunningUpdate { momentum, correction } => {
            super::running_update(lanes, name, *momentum, *correction, x(0)?, x(1)?, y(0)?)
        }
        Op::Add => super::add(lanes, name, x(0)?, x(1)?, y(0)?, then),
        Op::Slice { start } => super::copy(lanes, name, &x(0)?.channels(*start, y(0)?.dims[1]), y(0)?),
        Op::Softmax => super::softmax(lanes, name, x(0)?, y(0)?),
        Op::SoftmaxGrad => super::softmax_grad(lanes, name, x(0)?, x(1)?, y(0)?),
        Op::CrossEntropy { label_smoothing } => {
            super::cross_entropy(lanes, name, *label_smoothing, x(0)?, x(1)?, y(0)?, y(1)?)
        }
        Op::CrossEntropyGrad { label_smoothing } => {
            super::cross_entropy_grad(lanes, name, *label_smoothing, x(0)?, x(1)?, y(0)?)
        }
        Op::Mse => super::mse(lanes, name, x(0)?, x(1)?, y(0)?),
        Op::MseGrad => super::mse_grad(lanes, name, x(0)?, x(1)?, y(0)?),
        Op::SgdUpdate(_) | Op::AdamUpdate(_) => super::update(lanes, name, &Update::of(op)?, inputs, outputs)?,
        Op::BiasCorrection { beta } => super::bias_correction(lanes, name, *beta, x(0)?, y(0)?),
    })
}

/// Makes two global buffers of a kernel one: what it did to `second` it does to `first`. Right where every element of
/// the result is written after the operand's element in its place, and no other, has been read.
pub fn share(mut kernel: Kernel, first: BufferId, second: BufferId) -> Kernel {
    let merged = kernel.buffers.remove(second.0 as usize);
    if let (Some(buffer), Space::Global(also)) = (kernel.buffers.get_mut(first.0 as usize), merged.space)
        && buffer.space != Space::Global(also)
    {
        buffer.space = Space::Global(Access::ReadWrite);
    }
    rename(&mut kernel.body, &|buffer| match buffer.0.cmp(&second.0) {
        std::cmp::Ordering::Less => buffer,
        std::cmp::Ordering::Equal => first,
        std::cmp::Ordering::Greater => BufferId(buffer.0 - 1),
    });
    kernel
}

fn rename(block: &mut [Stmt], to: &impl Fn(BufferId) -> BufferId) {
    for stmt in block {
        match stmt {
            Stmt::For { body, .. } => rename(body, to),
            Stmt::Let { value, .. } => rename_in(value, to),
            Stmt::Store { buffer, value, .. } => {
                *buffer = to(*buffer);
                rename_in(value, to);
            }
            Stmt::Prefetch { buffer, .. } => *buffer = to(*buffer),
        }
    }
}

fn rename_in(value: &mut Expr, to: &impl Fn(BufferId) -> BufferId) {
    match value {
        Expr::F32(_) | Expr::I32(_) | Expr::Local(_) | Expr::Index(_) => {}
        Expr::Load(buffer, _) => *buffer = to(*buffer),
        Expr::Gather(buffer, _, offset) => {
            *buffer = to(*buffer);
            rename_in(offset, to);
        }
        Expr::Unary(_, a) => rename_in(a, to),
        Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => {
            rename_in(a, to);
            rename_in(b, to);
        }
        Expr::MulAdd(a, b, c) | Expr::Select(a, b, c) => {
            rename_in(a, to);
            rename_in(b, to);
            rename_in(c, to);
        }
        Expr::Random { key, counter, .. } => {
            key.iter_mut().chain(counter.iter_mut()).for_each(|e| rename_in(e, to));
        }
    }
}
