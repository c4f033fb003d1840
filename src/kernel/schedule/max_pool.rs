//! Max-pooling. Every window's first maximum is found with comparisons alone; the gradient gathers, for each pixel of
//! the image, from the windows that hold it, so that overlapping windows need no order of scattered additions.

use super::super::build::{Builder, View};
use super::super::{Access, BufferId, Compare, DType, Expr, Index, Kernel, LoopKind};
use super::nest::{channel_vectors, each_row};
use super::window::Axis;
use super::{Tensor, Then};
use crate::geometry::PoolGeometry;

/// Windows of up to this many taps are written out; larger ones are loops.
const UNROLLED: usize = 32;

/// y = maximum of each window, NaN above all; `index`, if wanted, its first place in the window as row·kernel_width +
/// column, counted from the window's unclipped corner.
pub fn max_pool(
    lanes: usize,
    name: &str,
    pool: &PoolGeometry,
    x: &Tensor,
    y: &Tensor,
    index: Option<&Tensor>,
) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = x.image().declare(&mut b, "x", Access::Read);
    let maxima = Maxima::declare(&mut b, pool, &from.dims, y, index);
    each_row(&mut b, maxima.to.dims[0], maxima.to.dims[2], |b, n, i| {
        let load = |c: &Index, h: Index, w: Index| Expr::load(from.buffer, from.at(&[n.clone(), c.clone(), h, w]));
        maxima.row(b, [&n, &i], &load);
    });
    b.finish()
}

/// Finds the maxima of windows a row of them at a time.
pub(super) struct Maxima {
    pool: PoolGeometry,
    /// Height and width.
    pub axes: [Axis; 2],
    /// Where the maxima go.
    pub to: View,
    index: Option<View>,
    /// Where the maximum so far and its tap are kept, if windows are loops.
    found: Option<(BufferId, BufferId)>,
}

/// An element of the image: of a channel, a row and a column.
pub(super) type Load<'a> = &'a dyn Fn(&Index, Index, Index) -> Expr;

impl Maxima {
    /// Declares the results of pooling images of a shape.
    pub fn declare(
        b: &mut Builder,
        pool: &PoolGeometry,
        image: &[usize],
        y: &Tensor,
        index: Option<&Tensor>,
    ) -> Maxima {
        let to = y.image().declare(b, "y", Access::Write);
        let index = index.map(|index| index.image().declare(b, "index", Access::Write));
        let axes = Axis::both(pool, image, &to.dims);
        let looped = pool.kernel[0] * pool.kernel[1] > UNROLLED;
        let found = looped.then(|| {
            let lanes = b.lanes;
            (b.scratch("best", DType::F32, lanes), b.scratch("tap", DType::I32, lanes))
        });
        Maxima { pool: *pool, axes, to, index, found }
    }

    /// Row `i` of the windows of image `n`.
    pub fn row(&self, b: &mut Builder, [n, i]: [&Index; 2], load: Load) {
        let Maxima { pool, axes, to, index, found } = self;
        b.serial("column", to.dims[3], |b, j| {
            let write = |b: &mut Builder, c: &Index, best: Expr, tap: Expr| {
                let at = |v: &View| v.at(&[n.clone(), c.clone(), i.clone(), j.clone()]);
                b.store(to.buffer, at(to), best);
                if let Some(index) = index {
                    b.store(index.buffer, at(index), tap);
                }
            };
            let Some((best, tap)) = *found else {
                b.vectors("channel", to.dims[1], |b, c| {
                    let (best, tap) = written_out(b, pool, axes, [i, &j], index.is_some(), &|h, w| load(&c, h, w));
                    write(b, &c, best, tap);
                });
                return;
            };
            // The lane within a vector is where the maximum so far is kept.
            channel_vectors(b, to.dims[1], |b, c, lane| {
                let first_tap = axes[0].first_tap(i) * pool.kernel[1] as i64 + axes[1].first_tap(&j);
                b.store(best, lane.clone(), f32::NEG_INFINITY);
                b.store(tap, lane.clone(), Expr::Index(first_tap));
                axes[0].each_inside(b, "h", i, |b, h| {
                    axes[1].each_inside(b, "w", &j, |b, w| {
                        let (row, column) = (axes[0].tap_of(i, &h), axes[1].tap_of(&j, &w));
                        let value = b.bind(load(&c, h, w));
                        let number = Expr::Index(row * pool.kernel[1] as i64 + column);
                        let so_far = b.bind(Expr::load(best, lane.clone()));
                        let kept = b.bind(Expr::load(tap, lane.clone()));
                        let (larger, number) = larger(b, so_far, kept, value, number);
                        b.store(best, lane.clone(), larger);
                        b.store(tap, lane.clone(), number);
                    });
                });
                write(b, &c, Expr::load(best, lane.clone()), Expr::load(tap, lane));
            });
        });
    }
}

/// The maximum of a window and its tap. Taps outside of the image are replaced by their nearest inside, which belong to
/// the window too, so that only their numbers need care.
fn written_out(
    b: &mut Builder,
    pool: &PoolGeometry,
    axes: &[Axis; 2],
    cell: [&Index; 2],
    numbered: bool,
    load: &dyn Fn(Index, Index) -> Expr,
) -> (Expr, Expr) {
    let mut found: Option<(Expr, Expr)> = None;
    for row in 0..pool.kernel[0] {
        for column in 0..pool.kernel[1] {
            let (h, row) = axes[0].clamped(cell[0], row);
            let (w, column) = axes[1].clamped(cell[1], column);
            let value = b.bind(load(h, w));
            let number = Expr::Index(row * pool.kernel[1] as i64 + column);
            found = Some(match found {
                None => (value, number),
                Some((best, tap)) => {
                    let (larger, number) = larger(b, best, tap.clone(), value, number);
                    (b.bind(larger), if numbered { b.bind(number) } else { tap })
                }
            });
        }
    }
    found.unwrap_or((f32::NEG_INFINITY.into(), Expr::I32(0)))
}

/// The larger value and its tap; the first of equal ones, NaN above all.
fn larger(b: &mut Builder, best: Expr, tap: Expr, value: Expr, number: Expr) -> (Expr, Expr) {
    let stays = b.bind(value.clone().compare(Compare::Le, best.clone()));
    let comparable = b.bind(best.clone().compare(Compare::Eq, best.clone()));
    let new = |old: Expr, new: Expr| stays.clone().select(old.clone(), comparable.clone().select(new, old));
    (new(best, value), new(tap, number))
}

/// dx = sum, over the windows that hold the pixel and whose maximum it is, of dy; then the epilogue.
pub fn max_pool_grad(
    lanes: usize,
    name: &str,
    pool: &PoolGeometry,
    [index, dy, dx]: [&Tensor; 3],
    then: Then,
) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let index = index.image().declare(&mut b, "index", Access::Read);
    let from = dy.image().declare(&mut b, "dy", Access::Read);
    let finish = then.declare(&mut b, &dx.image().dims);
    let to = dx.image().declare(&mut b, "dx", Access::Write);
    let axes = Axis::both(pool, &to.dims, &from.dims);
    let sum = b.registers("sum", lanes);
    each_row(&mut b, to.dims[0], to.dims[2], |b, n, h| {
        b.serial("w", to.dims[3], |b, w| {
            channel_vectors(b, to.dims[1], |b, c, lane| {
                b.store(sum, lane.clone(), 0.0);
                let (rows, columns) = (axes[0].windows_with(&h), axes[1].windows_with(&w));
                b.for_loop("i", rows.0, rows.1, LoopKind::Serial, |b, i| {
                    b.for_loop("j", columns.0.clone(), columns.1.clone(), LoopKind::Serial, |b, j| {
                        let row = axes[0].tap_of(&i, &h);
                        let column = axes[1].tap_of(&j, &w);
                        let at = |v: &View| v.at(&[n.clone(), c.clone(), i.clone(), j.clone()]);
                        let here = Expr::load(index.buffer, at(&index))
                            .compare(Compare::Eq, Expr::Index(row * pool.kernel[1] as i64 + column));
                        let share = here.select(Expr::load(from.buffer, at(&from)), 0.0.into());
                        b.store(sum, lane.clone(), Expr::load(sum, lane.clone()) + share);
                    });
                });
                let place = [n.clone(), c, h.clone(), w.clone()];
                let value = finish.at(Expr::load(sum, lane), &place);
                b.store(to.buffer, to.at(&place), value);
            });
        });
    });
    b.finish()
}
