//! The gradient of weights: at each point, the sum over all tiles of the products of input and result gradient.
//!
//! dweight = Gᵀ [Σ (Bᵀ x B) ⊙ (A dy Aᵀ)] G. Input and gradient are transformed by kernels of their own, a part of the
//! batch at a time; the products of a part are added to those of the parts before it. A parallel iteration does all
//! tiles of a part for one point and one block of channels, so the order of a sum does not depend on threads.

use super::super::Tensor;
use super::super::contraction::Tiles;
use super::super::nest::channel_blocks;
use super::each_group;
use super::linear::{Linear, load};
use super::weights::taps_of;
use super::windows::Planes;
use crate::kernel::build::Builder;
use crate::kernel::{Access, DType, Expr, Index, Kernel, LoopKind};
use crate::plan::{Polyphase, Tile, WeightSums, Winograd, transposed};
use crate::target::Target;

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
    let WeightSums { groups, points, inner, outer } = *layout;
    let mut b = Builder::new(name, target.lanes);
    let x = x.declare(&mut b, "x", Access::Read);
    let dy = dy.declare(&mut b, "dy", Access::Read);
    let before = before.map(|before| before.declare(&mut b, "before", Access::Read).buffer);
    let sums = sums.declare(&mut b, "sums", Access::Write);
    let input = Planes::global(x.buffer, tiles, inner, points);
    let gradient = Planes::global(dy.buffer, tiles, outer, points);
    let columns = tile.columns();
    let (blocks, rest) = (outer / columns, outer % columns);
    let rows = Tiles::declare(&mut b, tile, inner);
    let spill = (rest > 0).then(|| b.scratch("spill", DType::F32, (tile.rows + 1) * columns));
    let panel = (rest > 0).then(|| b.scratch("panel", DType::F32, tiles * columns));
    let all = blocks + usize::from(rest > 0);
    b.parallel("part", groups * points * all, |b, p| {
        let block = p.clone() % all as i64;
        let point = p.clone() / all as i64 % points as i64;
        let group = p / (all * points) as i64;
        let input = input.from(group.clone() * input.len() as i64, Index::Const(0));
        let gradient = gradient.from(group.clone() * gradient.len() as i64, Index::Const(0));
        let first = block.clone() * columns as i64;
        let at = |k0: &Index, row: Index, column: Index| {
            ((group.clone() * points as i64 + point.clone()) * inner as i64 + k0.clone() + row) * outer as i64
                + first.clone()
                + column
        };
        let left = |k0: &Index, t: &Index, row: Index| Expr::load(x.buffer, input.at(&point, t, k0.clone() + row));
        let whole = |b: &mut Builder| {
            rows.each(b, |b, k0, registers| {
                registers.set(b, |row, column| match before {
                    Some(before) => Expr::load(before, at(&k0, row, column)),
                    None => Expr::F32(0.0),
                });
                b.serial("tile", tiles, |b, t| {
                    let right = |column: Index| Expr::load(dy.buffer, gradient.at(&point, &t, first.clone() + column));
                    registers.add(b, |row| left(&k0, &t, row), right);
                });
                registers.finish(b, |b, row, column, sum| b.store(sums.buffer, at(&k0, row, column), sum));
            });
        };
        let (Some(spill), Some(panel)) = (spill, panel) else { return whole(b) };
        // The last block is narrower: its gradients are copied side by side, filled up with zeros.
        if blocks > 0 {
            let end = (block.clone() + 1usize).min(blocks);
            b.for_loop("whole", block.clone(), end, LoopKind::Serial, |b, _| whole(b));
        }
        let end = block.clone() + 1usize;
        b.for_loop("partial", block.clone().max(blocks), end, LoopKind::Serial, |b, _| {
            b.serial("tile", tiles, |b, t| {
                let to = |column: Index| t.clone() * columns as i64 + column;
                b.serial("column", rest, |b, c| {
                    b.store(panel, to(c.clone()), Expr::load(dy.buffer, gradient.at(&point, &t, first.clone() + c)));
                });
                b.for_loop("filler", rest, columns, LoopKind::Serial, |b, c| {
                    b.store(panel, to(c), Expr::F32(0.0));
                });
            });
            rows.each(b, |b, k0, registers| {
                registers.set(b, |_, _| Expr::F32(0.0));
                b.serial("tile", tiles, |b, t| {
                    let right = |column: Index| Expr::load(panel, t.clone() * columns as i64 + column);
                    registers.add(b, |row| left(&k0, &t, row), right);
                });
                registers.finish_partly(b, spill, Index::from(rest), |b, row, column, sum| {
                    let at = at(&k0, row, column);
                    let value = match before {
                        Some(before) => Expr::load(before, at.clone()) + sum,
                        None => sum,
                    };
                    b.store(sums.buffer, at, value);
                });
            });
        });
    });
    b.finish()
}

/// dweight from the sums at all points.
pub fn gradient_weights(
    target: &Target,
    name: &str,
    form: &Winograd,
    phases: &Polyphase,
    layout: &WeightSums,
    tensors: [&Tensor; 2],
) -> Kernel {
    let [sums, dw] = tensors;
    let lanes = target.lanes;
    let mut b = Builder::new(name, lanes);
    let sums = sums.declare(&mut b, "sums", Access::Read);
    let dw = dw.declare(&mut b, "dweight", Access::Write);
    let [rows, columns] = form.transforms().map(|t| Linear::new(transposed(&t.filter), target.fused));
    let wide = columns.taken();
    let between = b.scratch("between", DType::F32, rows.given() * wide * lanes);
    let row = b.scratch("row", DType::F32, columns.given() * lanes);
    let channels = layout.inner / phases.phases();
    let [vertical, across] = phases.stride;
    channel_blocks(&mut b, layout.outer, lanes, |b, first, width| {
        each_group(b, form.groups, |b, group| {
            b.serial("down", vertical, |b, down| {
                b.serial("right", across, |b, right| {
                    b.serial("k", channels, |b, k| {
                        let number = (down.clone() * across as i64 + right.clone()) * channels as i64 + k.clone();
                        b.vector("lane", width, |b, lane| {
                            let column = first.clone() + lane.clone();
                            let from = |point: Index| {
                                let point = group.clone() * layout.points as i64 + point;
                                (point * layout.inner as i64 + number.clone()) * layout.outer as i64 + column.clone()
                            };
                            let kept = |a: Index, j: Index| (a * wide as i64 + j) * lanes as i64 + lane.clone();
                            b.serial("j", wide, |b, j| {
                                let values = load(b, sums.buffer, rows.taken(), |i| from(j.clone() + i * wide));
                                for (a, value) in rows.apply(b, &values).into_iter().enumerate() {
                                    b.store(between, kept(a.into(), j.clone()), value);
                                }
                            });
                            b.serial("kh", taps_of(phases, 0, &down), |b, i| {
                                let values = load(b, between, wide, |j| kept(i.clone(), j.into()));
                                for (j, value) in columns.apply(b, &values).into_iter().enumerate() {
                                    b.store(row, lane.clone() + j * lanes, value);
                                }
                                b.serial("kw", taps_of(phases, 1, &right), |b, j| {
                                    let h = i.clone() * vertical as i64 + down.clone();
                                    let w = j.clone() * across as i64 + right.clone();
                                    let channel = group.clone() * layout.outer as i64 + column.clone();
                                    let value = Expr::load(row, j * lanes as i64 + lane.clone());
                                    b.store(dw.buffer, dw.at(&[channel, k.clone(), h, w]), value);
                                });
                            });
                        });
                    });
                });
            });
        });
    });
    b.finish()
}
