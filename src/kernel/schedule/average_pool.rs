//! Average pooling, over fixed windows and over regions of a grid. Gradients gather, as in max-pooling.

use super::super::build::{Builder, View};
use super::super::{Access, Expr, Index, Kernel, LoopKind, Unary};
use super::Tensor;
use super::nest::{channel_vectors, each_row};
use super::window::Axis;
use crate::geometry::PoolGeometry;

/// y = sum of each window over its size, which counts padding if asked to.
pub fn avg_pool(
    lanes: usize,
    name: &str,
    pool: &PoolGeometry,
    count_include_pad: bool,
    x: &Tensor,
    y: &Tensor,
) -> Kernel {
    let axes = Axis::both(pool, &x.image().dims, &y.image().dims);
    average(lanes, name, x, y, &|at, cell| axes[at].inside(cell), &|at, cell| axes[at].length(cell, count_include_pad))
}

/// dx = sum, over the windows that hold the pixel, of dy over the window's size.
pub fn avg_pool_grad(
    lanes: usize,
    name: &str,
    pool: &PoolGeometry,
    count_include_pad: bool,
    dy: &Tensor,
    dx: &Tensor,
) -> Kernel {
    let axes = Axis::both(pool, &dx.image().dims, &dy.image().dims);
    average_grad(lanes, name, dy, dx, &|at, pixel| axes[at].windows_with(pixel), &|at, cell| {
        axes[at].length(cell, count_include_pad)
    })
}

/// y = mean of each region of a grid of y's height and width.
pub fn adaptive_avg_pool(lanes: usize, name: &str, x: &Tensor, y: &Tensor) -> Kernel {
    let (from, to) = (x.image().dims, y.image().dims);
    average(lanes, name, x, y, &|at, cell| region(from[2 + at], to[2 + at], cell), &|at, cell| {
        region_length(from[2 + at], to[2 + at], cell)
    })
}

/// dx = sum, over the regions that hold the pixel, of dy over the region's size.
pub fn adaptive_avg_pool_grad(lanes: usize, name: &str, dy: &Tensor, dx: &Tensor) -> Kernel {
    let (from, to) = (dx.image().dims, dy.image().dims);
    // A pixel is in the regions whose pixels it lies among when both grids are exchanged.
    average_grad(lanes, name, dy, dx, &|at, pixel| region(to[2 + at], from[2 + at], pixel), &|at, cell| {
        region_length(from[2 + at], to[2 + at], cell)
    })
}

/// Pixels of region `cell` of `count` regions of `size` pixels: floor(cell·size/count) .. ceil((cell + 1)·size/count).
fn region(size: usize, count: usize, cell: &Index) -> (Index, Index) {
    let (size, count) = (size as i64, count as i64);
    (cell.clone() * size / count, (cell.clone() * size + (size + count - 1)) / count)
}

fn region_length(size: usize, count: usize, cell: &Index) -> Index {
    if size.is_multiple_of(count) {
        return Index::from(size / count);
    }
    let (begin, end) = region(size, count, cell);
    end - begin
}

/// `range(axis, cell)` gives the pixels of a cell, `length(axis, cell)` what to divide by.
fn average(
    lanes: usize,
    name: &str,
    x: &Tensor,
    y: &Tensor,
    range: &dyn Fn(usize, &Index) -> (Index, Index),
    length: &dyn Fn(usize, &Index) -> Index,
) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = x.image().declare(&mut b, "x", Access::Read);
    let to = y.image().declare(&mut b, "y", Access::Write);
    let sum = b.registers("sum", lanes);
    let row_sum = b.registers("row_sum", lanes);
    each_row(&mut b, to.dims[0], to.dims[2], |b, n, i| {
        b.serial("column", to.dims[3], |b, j| {
            let (rows, columns) = (range(0, &i), range(1, &j));
            let size = b.bind(product(length(0, &i), length(1, &j)));
            channel_vectors(b, to.dims[1], |b, c, lane| {
                b.store(sum, lane.clone(), 0.0);
                b.for_loop("h", rows.0.clone(), rows.1.clone(), LoopKind::Serial, |b, h| {
                    b.store(row_sum, lane.clone(), 0.0);
                    b.for_loop("w", columns.0.clone(), columns.1.clone(), LoopKind::Serial, |b, w| {
                        let x = Expr::load(from.buffer, from.at(&[n.clone(), c.clone(), h, w]));
                        b.store(row_sum, lane.clone(), Expr::load(row_sum, lane.clone()) + x);
                    });
                    let total = Expr::load(sum, lane.clone()) + Expr::load(row_sum, lane.clone());
                    b.store(sum, lane.clone(), total);
                });
                let mean = Expr::load(sum, lane) / size.clone();
                b.store(to.buffer, to.at(&[n.clone(), c, i.clone(), j.clone()]), mean);
            });
        });
    });
    b.finish()
}

/// `range(axis, pixel)` gives the cells that hold a pixel, `length(axis, cell)` what their sum was divided by.
fn average_grad(
    lanes: usize,
    name: &str,
    dy: &Tensor,
    dx: &Tensor,
    range: &dyn Fn(usize, &Index) -> (Index, Index),
    length: &dyn Fn(usize, &Index) -> Index,
) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = dy.image().declare(&mut b, "dy", Access::Read);
    let to = dx.image().declare(&mut b, "dx", Access::Write);
    let sum = b.registers("sum", lanes);
    each_row(&mut b, to.dims[0], to.dims[2], |b, n, h| {
        b.serial("w", to.dims[3], |b, w| {
            let (rows, columns) = (range(0, &h), range(1, &w));
            channel_vectors(b, to.dims[1], |b, c, lane| {
                b.store(sum, lane.clone(), 0.0);
                b.for_loop("i", rows.0.clone(), rows.1.clone(), LoopKind::Serial, |b, i| {
                    b.for_loop("j", columns.0.clone(), columns.1.clone(), LoopKind::Serial, |b, j| {
                        let at = |v: &View| v.at(&[n.clone(), c.clone(), i.clone(), j.clone()]);
                        let size = b.bind(product(length(0, &i), length(1, &j)));
                        let share = Expr::load(from.buffer, at(&from)) / size;
                        b.store(sum, lane.clone(), Expr::load(sum, lane.clone()) + share);
                    });
                });
                b.store(to.buffer, to.at(&[n.clone(), c, h.clone(), w.clone()]), Expr::load(sum, lane));
            });
        });
    });
    b.finish()
}

fn product(a: Index, b: Index) -> Expr {
    match (a, b) {
        (Index::Const(a), Index::Const(b)) => Expr::F32((a * b) as f32),
        (a, b) => Expr::Index(a).unary(Unary::ToF32) * Expr::Index(b).unary(Unary::ToF32),
    }
}
