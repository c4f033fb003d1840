//! Weights in the order in which convolutions and matrix products read them.

use super::Tensor;
use super::nest::vector_blocks;
use crate::kernel::build::Builder;
use crate::kernel::{Access, Expr, Index, Kernel, LoopKind};
use crate::plan::PackedWeights;

/// Where the elements of a tap begin.
pub(super) fn tap(layout: &PackedWeights, group: &Index, block: &Index, kh: &Index, kw: &Index) -> Index {
    let tap = (layout.inner * layout.columns) as i64;
    let row = tap * layout.kernel[1] as i64;
    let block_size = row * layout.kernel[0] as i64;
    group.clone() * (block_size * layout.blocks as i64)
        + block.clone() * block_size
        + kh.clone() * row
        + kw.clone() * tap
}

/// Packs `[out, in/groups, kh, kw]`. Transposed, the roles of output and input channels change: columns are input
/// channels and the sum runs over output channels, as the input gradient needs.
pub fn pack_weights(
    lanes: usize,
    name: &str,
    weights: &Tensor,
    groups: usize,
    transposed: bool,
    columns: usize,
) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let [out, inner, kh, kw] = weights.dims[..] else { panic!("bug in netc: weights of rank {}", weights.dims.len()) };
    let (rows, total) = if transposed { (out / groups, inner * groups) } else { (inner, out) };
    let layout = PackedWeights::new(groups, total, rows, [kh, kw], columns);
    let w = weights.declare(&mut b, "weights", Access::Read);
    let packed = Tensor::rows(&[layout.len()]).declare(&mut b, "packed", Access::Write);
    let per_group = total / groups;
    b.parallel("block", groups * layout.blocks, |b, p| {
        let (group, block) = (p.clone() / layout.blocks as i64, p % layout.blocks as i64);
        let first = block.clone() * columns as i64;
        let valid = (Index::Const(per_group as i64) - first.clone()).min(columns);
        b.serial("row", rows, |b, row| {
            b.serial("kh", kh, |b, i| {
                b.serial("kw", kw, |b, j| {
                    let to = tap(&layout, &group, &block, &i, &j) + row.clone() * columns as i64;
                    b.for_loop("column", 0usize, valid.clone(), LoopKind::Serial, |b, c| {
                        let channel = first.clone() + c.clone();
                        let from = if transposed {
                            [group.clone() * rows as i64 + row, channel, i, j]
                        } else {
                            [group.clone() * per_group as i64 + channel, row, i, j]
                        };
                        b.store(packed.buffer, to.clone() + c, Expr::load(w.buffer, w.at(&from)));
                    });
                    b.for_loop("filler", valid, columns, LoopKind::Serial, |b, c| {
                        b.store(packed.buffer, to + c, Expr::F32(0.0));
                    });
                });
            });
        });
    });
    b.finish()
}

/// Rows of a packed matrix that an iteration of the parallel loop makes.
const ROWS: usize = 256;

/// Packs a matrix: blocks of its columns or, transposed, of its rows, which become columns.
pub fn pack_matrix(lanes: usize, name: &str, matrix: &Tensor, transposed: bool, columns: usize) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let [width, depth] = if transposed { [0, 1] } else { [1, 0] }.map(|i: usize| matrix.dims[i]);
    let layout = PackedWeights::new(1, width, depth, [1, 1], columns);
    let from = matrix.declare(&mut b, "matrix", Access::Read);
    let packed = Tensor::rows(&[layout.len()]).declare(&mut b, "packed", Access::Write).buffer;
    let vectors = (ROWS / lanes).min((depth / lanes).max(1));
    let parts = (depth / lanes).div_ceil(vectors).max(1);
    b.parallel("part", layout.blocks * parts, |b, p| {
        let (block, part) = (p.clone() / parts as i64, p % parts as i64);
        let first = block.clone() * columns as i64;
        let valid = (Index::Const(width as i64) - first.clone()).min(columns);
        let to = block * (depth * columns) as i64;
        let each = |b: &mut Builder, body: &dyn Fn(&mut Builder, Index)| {
            vector_blocks(b, depth, vectors, parts, &part, &|b, row, count| {
                b.vector("lane", count, |b, lane| body(b, row.clone() + lane));
            });
        };
        let at = |row: Index, column: &Index| row * columns as i64 + column.clone() + to.clone();
        let source = |row: Index, column: &Index| {
            let column = first.clone() + column.clone();
            Expr::load(from.buffer, from.at(&if transposed { [column, row] } else { [row, column] }))
        };
        b.for_loop("column", 0usize, valid.clone(), LoopKind::Serial, |b, column| {
            each(b, &|b, row| b.store(packed, at(row.clone(), &column), source(row, &column)));
        });
        b.for_loop("filler", valid, columns, LoopKind::Serial, |b, column| {
            each(b, &|b, row| b.store(packed, at(row, &column), 0.0));
        });
    });
    b.finish()
}
