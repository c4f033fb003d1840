//! Batch normalisation, parallel over blocks of channels.

use super::super::build::{Builder, View};
use super::super::{Access, BufferId, Expr, Index, Kernel, Unary};
use super::bias::{Sums, ask_ahead, load, outer_first, start};
use super::epilogue::normalized;
use super::nest::{channel_blocks, sum_width};
use super::pointwise::pointwise;
use super::{Tensor, Then};

/// Elements of a channel whose mean and distances from it are found while they are in a core's first cache.
const CHUNK: usize = 256;

/// y = γ·(x − mean)/√(variance + ε) + β with the statistics of the batch, which are results too. x is read once for
/// both: of a row, or of an image that is small, the mean and the squared distances from it are summed, and joined with
/// those of the rows before (Chan, Golub and LeVeque). It is read again for y, which goes through the epilogue.
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
    let width = sum_width(&b, from.dims[1]);
    let moments = Moments::new(&mut b, width, &from);
    let views: Vec<&View> = [&from, &to].into_iter().chain(&finish.views).collect();
    channel_blocks(&mut b, from.dims[1], width, |b, first, width| {
        b.vector("channel", width, |b, lane| {
            let channel = first + lane.clone();
            let [mean, variance] = moments.of(b, &lane, &channel, &from);
            let of = |view: &View| Expr::load(view.buffer, view.at(std::slice::from_ref(&channel)));
            let scale = b.bind(of(&gamma) * inverse_deviation(variance.clone(), epsilon));
            let shift = b.bind(of(&beta));
            b.store(mean_to.buffer, mean_to.at(std::slice::from_ref(&channel)), mean.clone());
            b.store(variance_to.buffer, variance_to.at(std::slice::from_ref(&channel)), variance);
            each_element(b, &channel, &views, width, &|b, at| {
                let centred = b.bind(load(&from, &at[0]) - mean.clone());
                let elements: Vec<Expr> = views.iter().zip(at).skip(2).map(|(view, at)| load(view, at)).collect();
                let value = finish.of(centred.mul_add(scale.clone(), shift.clone()), elements);
                b.store(to.buffer, at[1].clone(), value);
            });
        });
    });
    b.finish()
}

/// Mean and variance of a channel.
struct Moments {
    /// Of the elements seen so far: the mean, and the sum of squared distances from it.
    mean: BufferId,
    squares: BufferId,
    /// Dimensions of the chunks, and of a chunk.
    outer: Vec<usize>,
    chunk: Sums<1>,
    /// Elements of a chunk and of all.
    size: usize,
    all: usize,
}

impl Moments {
    fn new(b: &mut Builder, width: usize, of: &View) -> Moments {
        let mut outer = outer_first(of);
        let (mut inner, mut size) = (Vec::new(), 1);
        while let Some(dim) = outer.pop_if(|dim| inner.is_empty() || size * of.dims[*dim] <= CHUNK) {
            size *= of.dims[dim];
            inner.insert(0, dim);
        }
        let [mean, squares] = ["mean_so_far", "squares"].map(|name| b.registers(name, width));
        let chunk = Sums::new(b, ["sum"], width, of, &inner);
        Moments { mean, squares, outer, chunk, size, all: elements_a_channel(of) }
    }

    /// The mean, and the mean of squared distances from it.
    fn of(&self, b: &mut Builder, lane: &Index, channel: &Index, view: &View) -> [Expr; 2] {
        let [mean, squares] = [self.mean, self.squares];
        for sum in [mean, squares] {
            b.store(sum, lane.clone(), 0.0);
        }
        self.chunks(b, &self.outer, Index::Const(0), start(view, channel), view, &|b, number, at| {
            let size = Expr::F32(self.size as f32);
            let at = std::slice::from_ref(at);
            let [total] = self.chunk.of(b, lane, at, &[view], true, &|b, at| [b.bind(load(view, &at[0]))]);
            let own = b.bind(total / size.clone());
            let [own_squares] = self.chunk.of(b, lane, at, &[view], false, &|b, at| {
                let distance = b.bind(load(view, &at[0]) - own.clone());
                [b.bind(distance.clone() * distance)]
            });
            // Of n chunks before this one, and one, the means are that far apart.
            let before = b.bind(Expr::Index(number).unary(Unary::ToF32));
            let share = b.bind(Expr::F32(1.0) / (before.clone() + 1.0.into()));
            let apart = b.bind(own - Expr::load(mean, lane.clone()));
            let between = b.bind(apart.clone() * (before * share.clone() * size) * apart.clone());
            b.store(mean, lane.clone(), apart.mul_add(share, Expr::load(mean, lane.clone())));
            b.store(squares, lane.clone(), Expr::load(squares, lane.clone()) + (own_squares + between));
        });
        let mean = b.bind(Expr::load(mean, lane.clone()));
        let variance = b.bind(Expr::load(squares, lane.clone()) / (self.all as f32).into());
        [mean, variance]
    }

    /// `body` gets the number of a chunk and where it begins.
    fn chunks(
        &self,
        b: &mut Builder,
        dims: &[usize],
        number: Index,
        at: Index,
        view: &View,
        body: &dyn Fn(&mut Builder, Index, &Index),
    ) {
        let [dim, rest @ ..] = dims else { return body(b, number, &at) };
        b.serial("chunk", view.dims[*dim], |b, i| {
            let number = number * view.dims[*dim] as i64 + i.clone();
            self.chunks(b, rest, number, i * view.strides[*dim] as i64 + at, view, body);
        });
    }
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
    let width = sum_width(&b, from.dims[1]);
    let sums = Sums::new(&mut b, ["total", "product"], width, &from, &outer_first(&from));
    let count = Expr::F32(elements_a_channel(&from) as f32);
    channel_blocks(&mut b, from.dims[1], width, |b, first, width| {
        b.vector("channel", width, |b, lane| {
            let channel = first + lane.clone();
            let of = |view: &View| Expr::load(view.buffer, view.at(std::slice::from_ref(&channel)));
            let mean = b.bind(of(&mean));
            let inverse = b.bind(inverse_deviation(of(&variance), epsilon));
            let views = [&from, &gradient];
            let starts = views.map(|view| start(view, &channel));
            let [total, product] = sums.of(b, &lane, &starts, &views, true, &|b, at| {
                let centred = b.bind(load(&from, &at[0]) - mean.clone());
                let gradient = b.bind(load(&gradient, &at[1]));
                [gradient.clone(), b.bind(gradient * (centred * inverse.clone()))]
            });
            b.store(dbeta.buffer, dbeta.at(std::slice::from_ref(&channel)), total.clone());
            b.store(dgamma.buffer, dgamma.at(std::slice::from_ref(&channel)), product.clone());
            let scale = b.bind(of(&gamma) * inverse.clone());
            let mean_total = b.bind(total / count.clone());
            let slope = b.bind(inverse * (product / count.clone()));
            each_element(b, &channel, &[&from, &gradient, &to], width, &|b, at| {
                let centred = b.bind(load(&from, &at[0]) - mean.clone());
                let rest = load(&gradient, &at[1]) - mean_total.clone();
                b.store(to.buffer, at[2].clone(), scale.clone() * (rest - centred * slope.clone()));
            });
        });
    });
    b.finish()
}

/// 1/√(variance + ε).
fn inverse_deviation(variance: Expr, epsilon: f64) -> Expr {
    Expr::F32(1.0) / (variance + (epsilon as f32).into()).unary(Unary::Sqrt)
}

fn elements_a_channel(view: &View) -> usize {
    view.len() / view.dims[1]
}

/// Calls `body` with the indices in `views` of each element of one of `width` channels that are handled at once.
fn each_element(
    b: &mut Builder,
    channel: &Index,
    views: &[&View],
    width: usize,
    body: &dyn Fn(&mut Builder, &[Index]),
) {
    let indices = views.iter().map(|v| start(v, channel)).collect();
    loops(b, &outer_first(views[0]), indices, views, width, body);
}

fn loops(
    b: &mut Builder,
    dims: &[usize],
    indices: Vec<Index>,
    views: &[&View],
    width: usize,
    body: &dyn Fn(&mut Builder, &[Index]),
) {
    let [dim, rest @ ..] = dims else { return body(b, &indices) };
    b.serial("at", views[0].dims[*dim], |b, at| {
        let moved = indices.iter().zip(views);
        let moved: Vec<Index> = moved.map(|(i, v)| at.clone() * v.strides[*dim] as i64 + i.clone()).collect();
        if rest.is_empty() {
            ask_ahead(b, views, &moved, *dim, width);
        }
        loops(b, rest, moved, views, width, body);
    });
}
