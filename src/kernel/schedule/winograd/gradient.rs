//! The gradient of weights: at each point, the sum over all tiles of the products of input and result gradient.
//!
//! dweight = Gᵀ [Σ (Bᵀ x B) ⊙ (A dy Aᵀ)] G. Input and gradient are transformed by kernels of their own, a part of the
//! batch at a time; the products of a part are added to those of the parts before it. A parallel iteration does all
//! tiles of a part for one point and one block of channels, so the order of a sum does not depend on threads.

use super::super::Tensor;
use super::super::contraction::{CACHE_LINE, Tiles};
use super::super::epilogue::{Destination, Followed};
use super::super::nest::either_parallel;
use super::linear::{Linear, load};
use super::weights::{each_phase, in_rows, some_channels, taps_of};
use super::windows::Planes;
use crate::kernel::build::{Builder, View};
use crate::kernel::{Access, BufferId, DType, Expr, Index, Kernel, LoopKind};
use crate::plan::{Polyphase, Tile, WeightSums, Winograd, odd_lines, transposed};
use crate::target::Target;

/// Elements of gradients that are copied side by side for a block of channels, at most, unless they have to be.
const MOST_COPIED: usize = 1 << 16;

/// Where the sum of a group, a block's first column, an input channel and a point stands.
fn sum_at(layout: &WeightSums, [group, block, k, point]: [&Index; 4]) -> Index {
    let block = group.clone() * layout.blocks() as i64 + block.clone();
    (block * layout.inner as i64 + k.clone()) * layout.pitch() as i64 + point.clone() * layout.columns as i64
}

/// sums = Σ points of x ⊙ points of dy over the tiles of a part of the batch, added to the sums of the parts `before`.
pub fn gradient_product(
    target: &Target,
    name: &str,
    layout: &WeightSums,
    tile: Tile,
    tiles: usize,
    before: Option<&Tensor>,
    tensors: [&Tensor; 3],
) -> Kernel {
    let [x, dy, sums] = tensors;
    let WeightSums { groups, points, inner, outer, columns } = *layout;
    let mut b = Builder::new(name, target.lanes);
    let x = x.declare(&mut b, "x", Access::Read);
    let dy = dy.declare(&mut b, "dy", Access::Read);
    let before = before.map(|before| before.declare(&mut b, "before", Access::Read).buffer);
    let sums = sums.declare(&mut b, "sums", Access::Write);
    let input = Planes::global(x.buffer, tiles, inner, points);
    let gradient = Planes::global(dy.buffer, tiles, outer, points);
    let blocks = layout.blocks();
    let rows = Tiles::declare(&mut b, tile, inner);
    let copied = !outer.is_multiple_of(columns) || (blocks > 1 && tiles * columns <= MOST_COPIED);
    let panel = copied.then(|| b.scratch("panel", DType::F32, tiles * columns));
    b.parallel("part", groups * points * blocks, |b, p| {
        let block = p.clone() % blocks as i64;
        let point = p.clone() / blocks as i64 % points as i64;
        let group = p / (blocks * points) as i64;
        let input = input.from(group.clone() * input.len() as i64, Index::Const(0));
        let gradient = gradient.from(group.clone() * gradient.len() as i64, Index::Const(0));
        let first = block.clone() * columns as i64;
        let of_dy = |t: &Index, column: Index| Expr::load(dy.buffer, gradient.at(&point, t, first.clone() + column));
        if let Some(panel) = panel {
            let copy = |b: &mut Builder, valid: usize| copy_panel(b, panel, [tiles, columns], valid, &of_dy);
            let (whole, rest) = (outer / columns, outer % columns);
            if rest == 0 {
                copy(b, columns);
            } else {
                let end = block.clone() + 1usize;
                if whole > 0 {
                    let end = end.clone().min(whole);
                    b.for_loop("whole", block.clone(), end, LoopKind::Serial, |b, _| copy(b, columns));
                }
                b.for_loop("partial", block.clone().max(whole), end, LoopKind::Serial, |b, _| copy(b, rest));
            }
        }
        let at = |k0: &Index, row: Index, column: Index| {
            sum_at(layout, [&group, &block, &(k0.clone() + row), &point]) + column
        };
        rows.each(b, |b, k0, registers| {
            registers.set(b, |row, column| match before {
                Some(before) => Expr::load(before, at(&k0, row, column)),
                None => Expr::F32(0.0),
            });
            // Those of the next tile.
            let next = k0.clone() + registers.rows();
            b.serial("row", registers.rows(), |b, row| {
                for line in (0..columns).step_by(CACHE_LINE) {
                    b.prefetch(sums.buffer, at(&next, row.clone(), Index::from(line)));
                }
            });
            b.serial("tile", tiles, |b, t| {
                let left = |row: Index| Expr::load(x.buffer, input.at(&point, &t, k0.clone() + row));
                registers.add(b, left, |column| match panel {
                    Some(panel) => Expr::load(panel, t.clone() * columns as i64 + column),
                    None => of_dy(&t, column),
                });
            });
            registers.finish(b, |b, row, column, sum| b.store(sums.buffer, at(&k0, row, column), sum));
        });
    });
    b.finish()
}

/// Copies the gradients of a block of channels side by side, filled up with zeros.
fn copy_panel(
    b: &mut Builder,
    panel: BufferId,
    [tiles, columns]: [usize; 2],
    valid: usize,
    from: &dyn Fn(&Index, Index) -> Expr,
) {
    b.serial("tile", tiles, |b, t| {
        b.vectors("column", valid, |b, c| b.store(panel, t.clone() * columns as i64 + c.clone(), from(&t, c)));
        b.for_loop("filler", valid, columns, LoopKind::Serial, |b, c| {
            b.store(panel, t.clone() * columns as i64 + c, Expr::F32(0.0));
        });
    });
}

/// dweight from the sums at all points; stored, or followed by an update of states.
///
/// A parallel iteration makes the kernels of a block of output channels and of some input channels, of which every
/// output channel's lie side by side.
pub fn gradient_weights(
    target: &Target,
    name: &str,
    form: &Winograd,
    phases: &Polyphase,
    layout: &WeightSums,
    sums: &Tensor,
    into: Followed,
) -> Kernel {
    let lanes = target.lanes;
    let mut b = Builder::new(name, lanes);
    let sums = sums.declare(&mut b, "sums", Access::Read);
    let [operands, results] = [into.operands, into.results].map(|tensors| tensors.iter().map(in_rows).collect());
    let (operands, results): (Vec<Tensor>, Vec<Tensor>) = (operands, results);
    let destination = Destination::declare(&mut b, into.update, &operands, &results);
    let taps = phases.kernel[0] * phases.kernel[1];
    let channels = layout.inner / phases.phases();
    let some = some_channels(channels, taps, 0);
    let (blocks, parts, run) = (layout.blocks(), channels / some, some * taps);
    let pitch = odd_lines(run);
    let kernels = b.scratch("kernels", DType::F32, layout.columns * pitch);
    let kernel = Kernels::declare(&mut b, target, form, phases, sums, (kernels, pitch));
    either_parallel(&mut b, "part", layout.groups * blocks * parts, |b, p| {
        let part = p.clone() % parts as i64;
        let block = p.clone() / parts as i64 % blocks as i64;
        let group = p / (parts * blocks) as i64;
        each_phase(b, phases, |b, phase| {
            b.serial("k", some, |b, k| {
                let number = (phase[0].clone() * phases.stride[1] as i64 + phase[1].clone()) * channels as i64
                    + part.clone() * some as i64
                    + k.clone();
                let from = sum_at(layout, [&group, &block, &number, &Index::Const(0)]);
                b.serial("vector", layout.columns / lanes, |b, v| {
                    kernel.of(b, (from, layout.pitch()), layout.columns, v * lanes as i64, phase, k * taps as i64);
                });
            });
        });
        let first = block * layout.columns as i64;
        let valid = (Index::from(layout.outer) - first.clone()).min(layout.columns);
        b.serial("column", valid, |b, c| {
            let channel = group * layout.outer as i64 + first + c.clone();
            b.vectors("element", run, |b, e| {
                let value = Expr::load(kernels, c.clone() * pitch as i64 + e.clone());
                destination.store(b, value, &[channel.clone(), part.clone() * run as i64 + e]);
            });
        });
    });
    b.finish()
}

/// From the sums at points to the taps of a kernel.
struct Kernels<'a> {
    rows: Linear,
    columns: Linear,
    phases: &'a Polyphase,
    sums: View,
    /// Kernels, an output channel after the other, and their distance.
    kernels: BufferId,
    pitch: usize,
    /// What the first dimension's transform leaves, and a row of taps.
    between: BufferId,
    row: BufferId,
}

impl Kernels<'_> {
    fn declare<'a>(
        b: &mut Builder,
        target: &Target,
        form: &Winograd,
        phases: &'a Polyphase,
        sums: View,
        (kernels, pitch): (BufferId, usize),
    ) -> Kernels<'a> {
        let [rows, columns] = form.transforms().map(|t| Linear::new(transposed(&t.filter), target.fused));
        let between = b.scratch("between", DType::F32, rows.given() * columns.taken() * target.lanes);
        let row = b.scratch("row", DType::F32, columns.given() * target.lanes);
        Kernels { rows, columns, phases, sums, kernels, pitch, between, row }
    }

    /// Of the vector of output channels that begins at `first`, in a block of `wide`: the taps of a phase, stored from
    /// element `to` of each output channel's kernels on.
    /// The next input channel's sums, `ahead` elements away, are asked for.
    #[allow(clippy::too_many_arguments, reason = "where to read and where to store")]
    fn of(
        &self,
        b: &mut Builder,
        (from, ahead): (Index, usize),
        wide: usize,
        first: Index,
        phase: [Index; 2],
        to: Index,
    ) {
        let (lanes, across) = (b.lanes, self.columns.taken());
        let [vertical, horizontal] = self.phases.stride.map(|stride| stride as i64);
        b.vector("lane", lanes, |b, lane| {
            let column = first + lane.clone();
            let kept = |a: Index, j: Index| (a * across as i64 + j) * lanes as i64 + lane.clone();
            b.serial("j", across, |b, j| {
                let at = |i: usize| (j.clone() + i * across) * wide as i64 + from.clone() + column.clone();
                let values = load(b, self.sums.buffer, self.rows.taken(), at);
                for i in 0..self.rows.taken() {
                    b.prefetch(self.sums.buffer, at(i) + ahead);
                }
                for (a, value) in self.rows.apply(b, &values).into_iter().enumerate() {
                    b.store(self.between, kept(a.into(), j.clone()), value);
                }
            });
            b.serial("kh", taps_of(self.phases, 0, &phase[0]), |b, i| {
                let values = load(b, self.between, across, |j| kept(i.clone(), j.into()));
                let h = i * vertical + phase[0].clone();
                let row = column * self.pitch as i64 + to + h * self.phases.kernel[1] as i64;
                let taps = self.columns.apply(b, &values);
                if !self.phases.is_needed() {
                    for (j, value) in taps.into_iter().enumerate() {
                        b.store(self.kernels, row.clone() + j, value);
                    }
                    return;
                }
                for (j, value) in taps.into_iter().enumerate() {
                    b.store(self.row, lane.clone() + j * lanes, value);
                }
                b.serial("kw", taps_of(self.phases, 1, &phase[1]), |b, j| {
                    let value = Expr::load(self.row, j.clone() * lanes as i64 + lane.clone());
                    b.store(self.kernels, row + j * horizontal + phase[1].clone(), value);
                });
            });
        });
    }
}
