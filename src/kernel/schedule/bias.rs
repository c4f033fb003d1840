//! A bias a channel: added, and the sum that is its gradient.

use super::super::build::{Builder, View};
use super::super::{Access, BufferId, Expr, Index, Kernel};
use super::Tensor;
use super::nest::{channel_blocks, channel_width};
use super::pointwise::pointwise;

/// y = x + bias along dimension 1.
pub fn add_bias(lanes: usize, name: &str, x: &Tensor, bias: &Tensor, y: &Tensor) -> Kernel {
    let bias = bias.by_channel(&y.dims);
    pointwise(lanes, name, &[("x", x), ("bias", &bias)], &[("y", y)], None, |_, v, _| vec![v[0].clone() + v[1].clone()])
}

/// dbias = sum of dy over all dimensions but 1.
pub fn bias_grad(lanes: usize, name: &str, dy: &Tensor, dbias: &Tensor) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = dy.declare(&mut b, "dy", Access::Read);
    let to = dbias.declare(&mut b, "dbias", Access::Write);
    let width = channel_width(&b);
    let sums = Sums::new(&mut b, "sum", width, &from);
    channel_blocks(&mut b, from.dims[1], width, |b, first, width| {
        b.vector("channel", width, |b, lane| {
            let channel = first + lane.clone();
            let total = sums.of(b, &lane, &channel, &[&from], &|b, at| b.bind(Expr::load(from.buffer, at[0].clone())));
            b.store(to.buffer, to.at(std::slice::from_ref(&channel)), total);
        });
    });
    b.finish()
}

/// Sums over all dimensions but 1, a channel a lane. Rows are summed, then images from rows, then the whole: the error
/// grows with the number of elements in one dimension, not with the number of all.
pub(super) struct Sums {
    registers: Vec<BufferId>,
    dims: Vec<usize>,
}

impl Sums {
    /// For images of the shape and layout of `of`.
    pub(super) fn new(b: &mut Builder, name: &str, width: usize, of: &View) -> Sums {
        let mut dims: Vec<usize> = (0..of.dims.len()).filter(|d| *d != 1 && of.dims[*d] > 1).collect();
        dims.sort_by_key(|d| std::cmp::Reverse(of.strides[*d]));
        let registers = (0..dims.len().max(1)).map(|level| b.registers(format!("{name}{level}"), width)).collect();
        Sums { registers, dims }
    }

    /// The sum, for one channel, of what `term` makes of the indices in `views`.
    pub(super) fn of(
        &self,
        b: &mut Builder,
        lane: &Index,
        channel: &Index,
        views: &[&View],
        term: &dyn Fn(&mut Builder, &[Index]) -> Expr,
    ) -> Expr {
        let start = |v: &&View| channel.clone() * v.strides[1] as i64 + v.offset;
        let indices: Vec<Index> = views.iter().map(start).collect();
        self.level(b, 0, lane, indices, views, term)
    }

    fn level(
        &self,
        b: &mut Builder,
        level: usize,
        lane: &Index,
        indices: Vec<Index>,
        views: &[&View],
        term: &dyn Fn(&mut Builder, &[Index]) -> Expr,
    ) -> Expr {
        let Some(dim) = self.dims.get(level) else { return term(b, &indices) };
        let sum = self.registers[level];
        b.store(sum, lane.clone(), 0.0);
        let size = views.first().map_or(0, |v| v.dims[*dim]);
        b.serial("at", size, |b, at| {
            let moved = indices.iter().zip(views);
            let moved = moved.map(|(i, v)| at.clone() * v.strides[*dim] as i64 + i.clone()).collect();
            let part = self.level(b, level + 1, lane, moved, views, term);
            b.store(sum, lane.clone(), Expr::load(sum, lane.clone()) + part);
        });
        Expr::load(sum, lane.clone())
    }
}
