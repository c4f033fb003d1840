//! Batch normalisation, parallel over blocks of channels.

use super::super::build::{Builder, View};
use super::super::{Access, Expr, Index, Kernel, Unary};
use super::bias::Sums;
use super::epilogue::normalized;
use super::nest::{channel_blocks, channel_width};
use super::pointwise::pointwise;
use super::{Tensor, Then};

/// y = γ·(x − mean)/√(variance + ε) + β with the statistics of the batch, which are results too; the variance is the
/// mean of squared distances from the mean. One pass each over x for the mean, the variance and y, which goes through the
/// epilogue.
#[allow(clippy::too_many_arguments, reason = "the operation's constants and tensors")]
pub fn batch_norm_train(
    lanes: usize,
    name: &str,
    epsilon: f64,
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    y: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    then: Then,
) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = x.declare(&mut b, "x", Access::Read);
    let [gamma, beta] = [("gamma", gamma), ("beta", beta)].map(|(n, t)| t.declare(&mut b, n, Access::Read));
    let finish = then.declare(&mut b, &y.dims);
    let to = y.declare(&mut b, "y", Access::Write);
    let [mean_to, variance_to] =
        [("mean", mean), ("variance", variance)].map(|(n, t)| t.declare(&mut b, n, Access::Write));
    let width = channel_width(&b);
    let sums = Sums::new(&mut b, "sum", width, &from);
    let count = Expr::F32(elements_a_channel(&from) as f32);
    let views: Vec<&View> = [&from, &to].into_iter().chain(&finish.views).collect();
    channel_blocks(&mut b, from.dims[1], width, |b, first, width| {
        b.vector("channel", width, |b, lane| {
            let channel = first + lane.clone();
            let total = sums.of(b, &lane, &channel, &[&from], &|b, at| b.bind(load(&from, &at[0])));
            let mean = b.bind(total / count.clone());
            let squares = sums.of(b, &lane, &channel, &[&from], &|b, at| {
                let distance = b.bind(load(&from, &at[0]) - mean.clone());
                b.bind(distance.clone() * distance)
            });
            let variance = b.bind(squares / count.clone());
            let of = |view: &View| load(view, &view.at(std::slice::from_ref(&channel)));
            let scale = b.bind(of(&gamma) * inverse_deviation(variance.clone(), epsilon));
            let shift = b.bind(of(&beta));
            b.store(mean_to.buffer, mean_to.at(std::slice::from_ref(&channel)), mean.clone());
            b.store(variance_to.buffer, variance_to.at(std::slice::from_ref(&channel)), variance);
            each_element(b, &channel, &views, &|b, at| {
                let centred = b.bind(load(&from, &at[0]) - mean.clone());
                let elements = views.iter().zip(at).skip(2).map(|(view, at)| load(view, at));
                let value = finish.of(centred.mul_add(scale.clone(), shift.clone()), elements);
                b.store(to.buffer, at[1].clone(), value);
            });
        });
    });
    b.finish()
}

/// y = γ·(x − mean)/√(variance + ε) + β with given statistics.
#[allow(clippy::too_many_arguments, reason = "the operation's constants and tensors")]
pub fn batch_norm_infer(
    lanes: usize,
    name: &str,
    epsilon: f64,
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    y: &Tensor,
) -> Kernel {
    let [gamma, beta, mean, variance] = [gamma, beta, mean, variance].map(|t| t.by_channel(&y.dims));
    let operands = [("x", x), ("gamma", &gamma), ("beta", &beta), ("mean", &mean), ("variance", &variance)];
    pointwise(lanes, name, &operands, &[("y", y)], None, |_, v, _| {
        let scale = v[1].clone() * inverse_deviation(v[4].clone(), epsilon);
        vec![normalized(v[0].clone(), [v[3].clone(), scale, v[2].clone()])]
    })
}

/// γ/√(variance + ε).
pub fn batch_norm_scale(
    lanes: usize,
    name: &str,
    epsilon: f64,
    gamma: &Tensor,
    variance: &Tensor,
    scale: &Tensor,
) -> Kernel {
    pointwise(lanes, name, &[("gamma", gamma), ("variance", variance)], &[("scale", scale)], None, |_, v, _| {
        vec![v[0].clone() * inverse_deviation(v[1].clone(), epsilon)]
    })
}

/// Gradients of x, γ and β, the statistics being functions of x: with x̂ = (x − mean)/√(variance + ε) and n elements a
/// channel, dβ = Σ dy, dγ = Σ dy·x̂, dx = γ/√(variance + ε)·(dy − dβ/n − x̂·dγ/n).
#[allow(clippy::too_many_arguments, reason = "the operation's constants and tensors")]
pub fn batch_norm_grad(
    lanes: usize,
    name: &str,
    epsilon: f64,
    x: &Tensor,
    gamma: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    dy: &Tensor,
    dx: &Tensor,
    dgamma: &Tensor,
    dbeta: &Tensor,
) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = x.declare(&mut b, "x", Access::Read);
    let [gamma, mean, variance] =
        [("gamma", gamma), ("mean", mean), ("variance", variance)].map(|(n, t)| t.declare(&mut b, n, Access::Read));
    let gradient = dy.declare(&mut b, "dy", Access::Read);
    let to = dx.declare(&mut b, "dx", Access::Write);
    let [dgamma, dbeta] = [("dgamma", dgamma), ("dbeta", dbeta)].map(|(n, t)| t.declare(&mut b, n, Access::Write));
    let width = channel_width(&b);
    let sums = Sums::new(&mut b, "sum", width, &from);
    let count = Expr::F32(elements_a_channel(&from) as f32);
    channel_blocks(&mut b, from.dims[1], width, |b, first, width| {
        b.vector("channel", width, |b, lane| {
            let channel = first + lane.clone();
            let of = |view: &View| load(view, &view.at(std::slice::from_ref(&channel)));
            let mean = b.bind(of(&mean));
            let inverse = b.bind(inverse_deviation(of(&variance), epsilon));
            let total = sums.of(b, &lane, &channel, &[&gradient], &|b, at| b.bind(load(&gradient, &at[0])));
            let total = b.bind(total);
            let product = sums.of(b, &lane, &channel, &[&from, &gradient], &|b, at| {
                let centred = b.bind(load(&from, &at[0]) - mean.clone());
                b.bind(load(&gradient, &at[1]) * (centred * inverse.clone()))
            });
            let product = b.bind(product);
            b.store(dbeta.buffer, dbeta.at(std::slice::from_ref(&channel)), total.clone());
            b.store(dgamma.buffer, dgamma.at(std::slice::from_ref(&channel)), product.clone());
            let scale = b.bind(of(&gamma) * inverse.clone());
            let mean_total = b.bind(total / count.clone());
            let slope = b.bind(inverse * (product / count.clone()));
            each_element(b, &channel, &[&from, &gradient, &to], &|b, at| {
                let centred = b.bind(load(&from, &at[0]) - mean.clone());
                let rest = load(&gradient, &at[1]) - mean_total.clone();
                b.store(to.buffer, at[2].clone(), scale.clone() * (rest - centred * slope.clone()));
            });
        });
    });
    b.finish()
}

fn load(view: &View, at: &Index) -> Expr {
    Expr::load(view.buffer, at.clone())
}

/// 1/√(variance + ε).
fn inverse_deviation(variance: Expr, epsilon: f64) -> Expr {
    Expr::F32(1.0) / (variance + (epsilon as f32).into()).unary(Unary::Sqrt)
}

fn elements_a_channel(view: &View) -> usize {
    view.len() / view.dims[1]
}

/// Calls `body` with the indices in `views` of each element of a channel.
fn each_element(b: &mut Builder, channel: &Index, views: &[&View], body: &dyn Fn(&mut Builder, &[Index])) {
    let indices = views.iter().map(|v| channel.clone() * v.strides[1] as i64 + v.offset).collect();
    let mut dims: Vec<usize> = (0..views[0].dims.len()).filter(|d| *d != 1 && views[0].dims[*d] > 1).collect();
    dims.sort_by_key(|d| std::cmp::Reverse(views[0].strides[*d]));
    loops(b, &dims, indices, views, body);
}

fn loops(b: &mut Builder, dims: &[usize], indices: Vec<Index>, views: &[&View], body: &dyn Fn(&mut Builder, &[Index])) {
    let [dim, rest @ ..] = dims else { return body(b, &indices) };
    b.serial("at", views[0].dims[*dim], |b, at| {
        let moved = indices.iter().zip(views);
        let moved = moved.map(|(i, v)| at.clone() * v.strides[*dim] as i64 + i.clone()).collect();
        loops(b, rest, moved, views, body);
    });
}
