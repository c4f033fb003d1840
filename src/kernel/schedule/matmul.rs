//! Matrix products of two-dimensional tensors by register tiles.
//!
//! A parallel iteration makes one block of columns of the result. It walks the sum in chunks: the chunk's panel of the
//! right operand is packed into scratch, then every tile of rows adds its products. The order of a sum depends on
//! shapes alone. With very few rows there is nothing to reuse, and each element is a dot product instead (`dot`).

use super::Tensor;
use super::contraction::{Tiles, epilogue};
use super::conv::declare_epilogue;
use crate::kernel::build::{Builder, View};
use crate::kernel::{Access, DType, Expr, Index, Kernel, LoopKind};
use crate::plan::{Epilogue, Tile, balanced};
use crate::target::Target;

/// Elements of the sum in a chunk: a panel of this many rows stays in the first-level cache.
const CHUNK: usize = 256;

/// y = a·b, operands transposed as marked, then the epilogue.
pub fn matmul(
    target: &Target,
    name: &str,
    [transpose_a, transpose_b]: [bool; 2],
    tile: Tile,
    tensors: [&Tensor; 3],
    steps: &[Epilogue],
    operands: &[Tensor],
) -> Kernel {
    let [a, right, y] = tensors;
    if y.dims[0] < 4 && transpose_b && !transpose_a && right.strides[1] == 1 && a.strides[1] == 1 {
        return dot(target, name, tensors, steps, operands);
    }
    let [height, width] = [y.dims[0], y.dims[1]];
    let depth = a.dims[usize::from(!transpose_a)];
    let columns = tile.columns();
    let mut b = Builder::new(name, target.lanes);
    let a = a.declare(&mut b, "a", Access::Read);
    let right = right.declare(&mut b, "b", Access::Read);
    let finish = declare_epilogue(&mut b, steps, operands);
    let y = y.declare(&mut b, "y", Access::Write);
    let (chunks, longer) = balanced(depth, CHUNK);
    let panel = b.scratch("panel", DType::F32, depth.div_ceil(chunks) * columns);
    let one_chunk = chunks == 1;
    let partial = (!one_chunk).then(|| b.scratch("partial", DType::F32, height * columns));
    let spill = (!width.is_multiple_of(columns)).then(|| b.scratch("spill", DType::F32, (tile.rows + 1) * columns));
    let tiles = Tiles::declare(&mut b, tile, height);
    b.parallel("block", width.div_ceil(columns), |b, block| {
        let first = block * columns as i64;
        let valid = (Index::Const(width as i64) - first.clone()).min(columns);
        // Chunks of the sum: the longer ones first, then the others.
        let short = depth / chunks;
        for (from, count, len) in [(0, longer, short + 1), (longer * (short + 1), chunks - longer, short)] {
            if count == 0 || len == 0 {
                continue;
            }
            let last = from + count * len == depth;
            let (head, tail) = if last { (count - 1, 1) } else { (count, 0) };
            let pass = |b: &mut Builder, k0: Index, first_pass: bool, last_pass: bool| {
                pack_panel(b, &right, transpose_b, panel, [&first, &k0], &valid, len, columns);
                tiles.each(b, |b, row0, sums| {
                    let kept = |row: Index, column: Index| (row0.clone() + row) * columns as i64 + column;
                    match partial {
                        Some(partial) if !first_pass => sums.set(b, |r, c| Expr::load(partial, kept(r, c))),
                        _ => sums.set(b, |_, _| Expr::F32(0.0)),
                    }
                    b.serial("k", len, |b, k| {
                        let left = |row: Index| {
                            let (row, k) = (row0.clone() + row, k0.clone() + k.clone());
                            Expr::load(a.buffer, a.at(&if transpose_a { [k, row] } else { [row, k] }))
                        };
                        let right = |column: Index| Expr::load(panel, k.clone() * columns as i64 + column);
                        sums.add(b, left, right);
                    });
                    let store = |b: &mut Builder, row: Index, column: Index, sum: Expr| {
                        let at = [row0.clone() + row, first.clone() + column];
                        let value = epilogue(&finish, sum, &at[1], &at);
                        b.store(y.buffer, y.at(&at), value);
                    };
                    match (partial, spill) {
                        (Some(partial), _) if !last_pass => {
                            sums.finish(b, |b, r, c, sum| b.store(partial, kept(r, c), sum));
                        }
                        (_, Some(spill)) => sums.finish_partly(b, spill, valid.clone(), store),
                        (_, None) => sums.finish(b, store),
                    }
                });
            };
            if head > 0 && from == 0 {
                pass(b, Index::Const(0), true, false);
            }
            let skipped = usize::from(from == 0);
            if head > skipped {
                b.serial("chunk", head - skipped, |b, c| pass(b, (c + skipped) * len as i64 + from, false, false));
            }
            if tail > 0 {
                pass(b, Index::Const((depth - len) as i64), depth == len, true);
            }
        }
    });
    b.finish()
}

/// Copies `len` rows of the right operand's block of columns into the panel.
#[allow(clippy::too_many_arguments, reason = "one panel's coordinates")]
fn pack_panel(
    b: &mut Builder,
    right: &View,
    transposed: bool,
    panel: crate::kernel::BufferId,
    [first, k0]: [&Index; 2],
    valid: &Index,
    len: usize,
    columns: usize,
) {
    let lanes = b.lanes;
    let at = |k: Index, column: Index| {
        let (k, column) = (k0.clone() + k, first.clone() + column);
        right.at(&if transposed { [column, k] } else { [k, column] })
    };
    if transposed {
        b.for_loop("column", 0usize, valid.clone(), LoopKind::Serial, |b, column| {
            b.vectors("k", len, |b, k| {
                let value = Expr::load(right.buffer, at(k.clone(), column.clone()));
                b.store(panel, k * columns as i64 + column.clone(), value);
            });
        });
    } else {
        b.serial("k", len, |b, k| {
            b.serial("vector", valid.clone() / lanes as i64, |b, v| {
                b.vector("lane", lanes, |b, lane| {
                    let column = v * lanes as i64 + lane;
                    let value = Expr::load(right.buffer, at(k.clone(), column.clone()));
                    b.store(panel, k.clone() * columns as i64 + column, value);
                });
            });
            let rest = valid.clone() / lanes as i64 * lanes as i64;
            b.for_loop("column", rest, valid.clone(), LoopKind::Serial, |b, column| {
                let value = Expr::load(right.buffer, at(k.clone(), column.clone()));
                b.store(panel, k * columns as i64 + column, value);
            });
        });
    }
}

/// Each element as a dot product along the contiguous dimension: `y[m][n] = Σ a[m][k]·b[n][k]`. Sums run in vectors
/// over k, whose lanes are added one after the other at the end.
fn dot(target: &Target, name: &str, [a, right, y]: [&Tensor; 3], steps: &[Epilogue], operands: &[Tensor]) -> Kernel {
    let lanes = target.lanes;
    let [height, width] = [y.dims[0], y.dims[1]];
    let depth = a.dims[1];
    let mut b = Builder::new(name, lanes);
    let a = a.declare(&mut b, "a", Access::Read);
    let right = right.declare(&mut b, "b", Access::Read);
    let finish = declare_epilogue(&mut b, steps, operands);
    let y = y.declare(&mut b, "y", Access::Write);
    // Independent sums, so that additions overlap.
    let sums_count = 4;
    let step = sums_count * lanes;
    let lanes_buffer = b.scratch("lanes", DType::F32, step);
    let sums = b.registers("sums", step);
    let grain = width.div_ceil(64).max(1);
    b.parallel("part", width.div_ceil(grain), |b, p| {
        let begin = p.clone() * grain as i64;
        let end = ((p + 1usize) * grain as i64).min(width);
        b.for_loop("n", begin, end, LoopKind::Serial, |b, n| {
            b.serial("m", height, |b, m| {
                let each = |b: &mut Builder, body: &dyn Fn(&mut Builder, Index)| {
                    b.unrolled("sum", sums_count, |b, s| {
                        b.vector("lane", lanes, |b, lane| body(b, s * lanes as i64 + lane));
                    });
                };
                each(b, &|b, at| b.store(sums, at, Expr::F32(0.0)));
                b.serial("k", depth / step, |b, k| {
                    each(b, &|b, at| {
                        let k = k.clone() * step as i64 + at.clone();
                        let x = Expr::load(a.buffer, a.at(&[m.clone(), k.clone()]));
                        let w = Expr::load(right.buffer, right.at(&[n.clone(), k]));
                        let sum = Expr::load(sums, at.clone());
                        b.store(sums, at, if target.fused { x.mul_add(w, sum) } else { x * w + sum });
                    });
                });
                each(b, &|b, at| b.store(lanes_buffer, at.clone(), Expr::load(sums, at)));
                let total = b.registers("total", 1);
                b.store(total, 0usize, Expr::F32(0.0));
                b.serial("sum", step, |b, at| {
                    let value = Expr::load(total, 0usize) + Expr::load(lanes_buffer, at);
                    b.store(total, 0usize, value);
                });
                b.for_loop("k", depth / step * step, depth, LoopKind::Serial, |b, k| {
                    let x = Expr::load(a.buffer, a.at(&[m.clone(), k.clone()]));
                    let w = Expr::load(right.buffer, right.at(&[n.clone(), k]));
                    b.store(total, 0usize, x * w + Expr::load(total, 0usize));
                });
                let at = [m, n.clone()];
                let value = epilogue(&finish, Expr::load(total, 0usize), &n, &at);
                b.store(y.buffer, y.at(&at), value);
            });
        });
    });
    b.finish()
}
