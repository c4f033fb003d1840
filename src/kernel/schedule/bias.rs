//! A bias a channel: added, and the sum that is its gradient.

use super::super::build::{Builder, View};
use super::super::{Access, BufferId, Expr, Index, Kernel};
use super::Tensor;
use super::contraction::CACHE_LINE;
use super::nest::{channel_blocks, sum_width};
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
    let width = sum_width(&b, from.dims[1]);
    let sums = Sums::new(&mut b, ["sum"], width, &from, &outer_first(&from));
    channel_blocks(&mut b, from.dims[1], width, |b, first, width| {
        b.vector("channel", width, |b, lane| {
            let channel = first + lane.clone();
            let start = [start(&from, &channel)];
            let [total] = sums.of(b, &lane, &start, &[&from], true, &|b, at| [b.bind(load(&from, &at[0]))]);
            b.store(to.buffer, to.at(std::slice::from_ref(&channel)), total);
        });
    });
    b.finish()
}

/// All dimensions but 1 that have more than one element, from the largest stride to the smallest.
pub(super) fn outer_first(view: &View) -> Vec<usize> {
    let mut dims: Vec<usize> = (0..view.dims.len()).filter(|d| *d != 1 && view.dims[*d] > 1).collect();
    dims.sort_by_key(|d| std::cmp::Reverse(view.strides[*d]));
    dims
}

/// The first element of a channel.
pub(super) fn start(view: &View, channel: &Index) -> Index {
    channel.clone() * view.strides[1] as i64 + view.offset
}

pub(super) fn load(view: &View, at: &Index) -> Expr {
    Expr::load(view.buffer, at.clone())
}

/// Cache lines that are asked for ahead of a walk through a block of channels, pixel by pixel: processors guess badly
/// which lines of a pixel are read next if not all of them are.
const AHEAD: usize = 32;

/// Asks for the elements of `width` channels some steps along dimension `dim` behind those at `indices` of `views`.
pub(super) fn ask_ahead(b: &mut Builder, views: &[&View], indices: &[Index], dim: usize, width: usize) {
    let lines = width.div_ceil(CACHE_LINE);
    for (view, index) in views.iter().zip(indices) {
        if view.strides[1] != 1 || view.strides[dim] < width {
            continue;
        }
        for line in 0..lines {
            b.prefetch(view.buffer, index.clone() + view.strides[dim] * (AHEAD / lines) + line * CACHE_LINE);
        }
    }
}

/// Sums over some dimensions, a channel a lane. Rows are summed, then images from rows, then the whole: the error grows
/// with the number of elements in one dimension, not with the number of all.
pub(super) struct Sums<const N: usize> {
    registers: Vec<[BufferId; N]>,
    dims: Vec<usize>,
    width: usize,
}

impl<const N: usize> Sums<N> {
    /// Over dimensions `dims` of images of the shape of `of`, the last of them innermost.
    pub(super) fn new(b: &mut Builder, names: [&str; N], width: usize, of: &View, dims: &[usize]) -> Sums<N> {
        let dims: Vec<usize> = dims.iter().copied().filter(|dim| of.dims[*dim] > 1).collect();
        let level = |level| names.map(|name| b.registers(format!("{name}{level}"), width));
        let registers = (0..dims.len().max(1)).map(level).collect();
        Sums { registers, dims, width }
    }

    /// The sums, for one channel, of what `term` makes of the indices in `views`, which begin at `start`; `ahead` if the
    /// elements come from memory.
    pub(super) fn of(
        &self,
        b: &mut Builder,
        lane: &Index,
        start: &[Index],
        views: &[&View],
        ahead: bool,
        term: &dyn Fn(&mut Builder, &[Index]) -> [Expr; N],
    ) -> [Expr; N] {
        self.level(b, 0, lane, start.to_vec(), views, ahead, term)
    }

    #[allow(clippy::too_many_arguments, reason = "what the levels share")]
    fn level(
        &self,
        b: &mut Builder,
        level: usize,
        lane: &Index,
        indices: Vec<Index>,
        views: &[&View],
        ahead: bool,
        term: &dyn Fn(&mut Builder, &[Index]) -> [Expr; N],
    ) -> [Expr; N] {
        let Some(dim) = self.dims.get(level) else { return term(b, &indices) };
        let sums = self.registers[level];
        sums.iter().for_each(|sum| b.store(*sum, lane.clone(), 0.0));
        let size = views.first().map_or(0, |v| v.dims[*dim]);
        b.serial("at", size, |b, at| {
            let moved = indices.iter().zip(views);
            let moved: Vec<Index> = moved.map(|(i, v)| at.clone() * v.strides[*dim] as i64 + i.clone()).collect();
            if ahead && level + 1 == self.dims.len() {
                ask_ahead(b, views, &moved, *dim, self.width);
            }
            let parts = self.level(b, level + 1, lane, moved, views, ahead, term);
            for (sum, part) in sums.into_iter().zip(parts) {
                b.store(sum, lane.clone(), Expr::load(sum, lane.clone()) + part);
            }
        });
        sums.map(|sum| b.bind(Expr::load(sum, lane.clone())))
    }
}
