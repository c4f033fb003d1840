//! Weights in the order in which convolutions read them.

use super::Tensor;
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
