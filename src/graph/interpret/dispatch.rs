//! What each operation computes.

use super::{Data, Tensor, batchnorm, conv, loss, lrn, pool, random, update};
use crate::graph::{Bug, Op, Type};

/// The results of `op` on operands that verify; `types` are those of the results.
pub(super) fn apply(op: &Op, operands: &[&Tensor], types: &[Type]) -> Result<Vec<Tensor>, Bug> {
    let x = |i: usize| operands[i];
    let r = |i: usize| operands[i].as_real();
    let shape = || types[0].shape.clone();
    let one = |data: Vec<f64>| Ok(vec![Tensor::real(types[0].shape.clone(), data)]);
    match op {
        Op::Initialize(init) => {
            let seed = operands.first().map_or(&[0, 0][..], |t| t.as_i32());
            one(random::initialize(init, seed, types[0].shape.iter().product()))
        }
        Op::Normalize { scale, shift } => one(normalize(x(0), scale, shift)),
        Op::Conv(g) => one(conv::forward(g, x(0), x(1), &shape())),
        Op::ConvInputGrad(g) => one(conv::input_grad(g, x(0), x(1), &shape())),
        Op::ConvWeightGrad(g) => one(conv::weight_grad(g, x(0), x(1), &shape())),
        Op::MatMul { transpose_a, transpose_b } => one(conv::matmul(x(0), *transpose_a, x(1), *transpose_b)),
        Op::AddBias => one(add_bias(x(0), r(1))),
        Op::BiasGrad => one(bias_grad(x(0))),
        Op::Relu => one(map(r(0), |x| if x < 0.0 { 0.0 } else { x })),
        Op::ReluGrad => one(zip(r(0), r(1), |y, dy| if y > 0.0 { dy } else { 0.0 })),
        Op::Sigmoid => one(map(r(0), |x| 1.0 / (1.0 + (-x).exp()))),
        Op::SigmoidGrad => one(zip(r(0), r(1), |y, dy| dy * y * (1.0 - y))),
        Op::Tanh => one(map(r(0), f64::tanh)),
        Op::TanhGrad => one(zip(r(0), r(1), |y, dy| dy * (1.0 - y * y))),
        Op::Lrn(g) => one(lrn::forward(g, x(0))),
        Op::LrnGrad(g) => one(lrn::grad(g, x(0), r(1))),
        Op::MaxPool(g) => {
            let (y, index) = pool::max(g, x(0), &shape());
            Ok(vec![Tensor::real(shape(), y), Tensor::i32(shape(), index)])
        }
        Op::MaxPoolGrad(g) => one(pool::max_grad(g, x(0), r(1), &shape())),
        Op::AvgPool { pool, count_include_pad } => one(pool::average(pool, *count_include_pad, x(0), &shape())),
        Op::AvgPoolGrad { pool, count_include_pad } => {
            one(pool::average_grad(pool, *count_include_pad, x(0), &shape()))
        }
        Op::AdaptiveAvgPool { output } => one(pool::adaptive(*output, x(0))),
        Op::AdaptiveAvgPoolGrad { output } => one(pool::adaptive_grad(*output, x(0), &shape())),
        Op::Dropout { p, stream } => {
            let step = x(2).as_i32()[0];
            one(random::dropout(r(0), *p, *stream, x(1).as_i32(), step))
        }
        Op::Reshape => one(r(0).to_vec()),
        Op::BatchNormTrain { epsilon } => {
            let (mean, variance) = batchnorm::statistics(x(0));
            let y = batchnorm::normalize(x(0), r(1), r(2), &mean, &variance, *epsilon);
            let c = types[1].shape.clone();
            Ok(vec![Tensor::real(shape(), y), Tensor::real(c.clone(), mean), Tensor::real(c, variance)])
        }
        Op::BatchNormInfer { epsilon } => one(batchnorm::normalize(x(0), r(1), r(2), r(3), r(4), *epsilon)),
        Op::BatchNormGrad { epsilon } => {
            let [dx, dgamma, dbeta] = batchnorm::grad(x(0), r(1), r(2), r(3), r(4), *epsilon);
            let c = types[1].shape.clone();
            Ok(vec![Tensor::real(shape(), dx), Tensor::real(c.clone(), dgamma), Tensor::real(c, dbeta)])
        }
        Op::RunningUpdate { momentum: m, correction } => {
            one(zip(r(0), r(1), |running, batch| (1.0 - m) * running + m * correction * batch))
        }
        Op::Add => one(zip(r(0), r(1), |a, b| a + b)),
        Op::Concat => one(concat(operands)),
        Op::Slice { start } => one(slice(x(0), *start, &shape())),
        Op::Softmax => one(loss::softmax(x(0))),
        Op::SoftmaxGrad => one(loss::softmax_grad(x(0), r(1))),
        Op::CrossEntropy { label_smoothing } => {
            let (loss, probabilities) = loss::cross_entropy(x(0), x(1).as_i32(), *label_smoothing)?;
            Ok(vec![Tensor::real([], vec![loss]), Tensor::real(types[1].shape.clone(), probabilities)])
        }
        Op::CrossEntropyGrad { label_smoothing } => {
            one(loss::cross_entropy_grad(x(0), x(1).as_i32(), *label_smoothing)?)
        }
        Op::Mse => one(vec![loss::mse(r(0), r(1))]),
        Op::MseGrad => {
            let n = r(0).len() as f64;
            one(zip(r(0), r(1), |prediction, target| 2.0 * (prediction - target) / n))
        }
        Op::SgdUpdate(sgd) => Ok(reals(types, update::sgd(sgd, operands))),
        Op::AdamUpdate(adam) => Ok(reals(types, update::adam(adam, operands))),
        Op::BiasCorrection { beta } => one(map(r(0), |c| beta * c + (1.0 - beta))),
    }
}

fn reals(types: &[Type], data: Vec<Vec<f64>>) -> Vec<Tensor> {
    types.iter().zip(data).map(|(t, data)| Tensor { shape: t.shape.clone(), data: Data::Real(data) }).collect()
}

fn map(x: &[f64], f: impl Fn(f64) -> f64) -> Vec<f64> {
    x.iter().map(|&x| f(x)).collect()
}

fn zip(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect()
}

/// `[outer, channels, inner]` of a tensor whose dimension 1 is the channels.
pub(super) fn by_channel(shape: &[usize]) -> [usize; 3] {
    [shape[0], shape[1], shape[2..].iter().product()]
}

/// Calls `f` with the channel of each element in order.
fn each_channel(shape: &[usize], mut f: impl FnMut(usize, usize)) {
    let [outer, channels, inner] = by_channel(shape);
    for i in 0..outer * channels * inner {
        f(i, i / inner % channels);
    }
}

fn normalize(x: &Tensor, scale: &[f64], shift: &[f64]) -> Vec<f64> {
    let bytes = x.as_u8();
    let mut y = vec![0.0; bytes.len()];
    each_channel(&x.shape, |i, c| y[i] = f64::from(bytes[i]) * scale[c] + shift[c]);
    y
}

fn add_bias(x: &Tensor, bias: &[f64]) -> Vec<f64> {
    let mut y = x.as_real().to_vec();
    each_channel(&x.shape, |i, c| y[i] += bias[c]);
    y
}

fn bias_grad(dy: &Tensor) -> Vec<f64> {
    let mut sums = vec![0.0; dy.shape[1]];
    each_channel(&dy.shape, |i, c| sums[c] += dy.as_real()[i]);
    sums
}

fn concat(operands: &[&Tensor]) -> Vec<f64> {
    let mut y = vec![];
    for n in 0..operands[0].shape[0] {
        for x in operands {
            let image = x.as_real().len() / x.shape[0];
            y.extend_from_slice(&x.as_real()[n * image..][..image]);
        }
    }
    y
}

fn slice(x: &Tensor, start: usize, shape: &[usize]) -> Vec<f64> {
    let [outer, channels, inner] = by_channel(&x.shape);
    let mut y = vec![];
    for n in 0..outer {
        y.extend_from_slice(&x.as_real()[(n * channels + start) * inner..][..shape[1] * inner]);
    }
    y
}
