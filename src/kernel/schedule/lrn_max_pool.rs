//! Local response normalisation and max-pooling of its result, which stays in a cache: each iteration pools a band of
//! rows, and keeps the normalised rows of one row of windows in scratch, row h in place h mod the windows' height.

use super::super::build::Builder;
use super::super::{Access, DType, Expr, Index, Kernel, LoopKind};
use super::Tensor;
use super::lrn::Normalizer;
use super::max_pool::Maxima;
use super::nest::either_parallel;
use crate::geometry::PoolGeometry;
use crate::graph::LrnGeometry;

/// The max-pooled (y, and where wanted `index`, as [`max_pool`](super::max_pool()) gives them) normalised x, to the bit
/// as the two operations by themselves. The rows of y are made in `bands` of an image; a band normalises the rows that
/// it shares with the one before again.
#[allow(clippy::too_many_arguments, reason = "the operations' constants and tensors")]
pub fn lrn_max_pool(
    lanes: usize,
    name: &str,
    lrn: &LrnGeometry,
    pool: &PoolGeometry,
    bands: usize,
    x: &Tensor,
    y: &Tensor,
    index: Option<&Tensor>,
) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = x.image().declare(&mut b, "x", Access::Read);
    let maxima = Maxima::declare(&mut b, pool, &from.dims, y, index);
    let normalizer = Normalizer::new(&mut b, lrn, &from);
    let [images, channels, height, width] = [from.dims[0], from.dims[1], from.dims[2], from.dims[3]];
    let kept = pool.kernel[0].min(height);
    let rows = b.scratch("rows", DType::F32, kept * width * channels);
    let place = |c: Index, h: Index, w: Index| (h % kept as i64 * width as i64 + w) * channels as i64 + c;
    let pooled = maxima.to.dims[2];
    either_parallel(&mut b, "part", images * bands, |b, part| {
        let (n, band) = (part.clone() / bands as i64, part % bands as i64);
        let row_at = |band: Index| band * pooled as i64 / bands as i64;
        let (first, end) = (row_at(band.clone()), row_at(band + 1usize));
        normalizer.prepare(b);
        b.for_loop("i", first.clone(), end, LoopKind::Serial, |b, i| {
            let begin = new_rows(&maxima, pool, height, [&first, &i]);
            let (_, end) = maxima.axes[0].inside(&i);
            b.for_loop("h", begin, end, LoopKind::Serial, |b, h| {
                normalizer.row(b, &from, [&n, &h], &|b, c, w, value| {
                    b.store(rows, place(c, h.clone(), w), value);
                });
            });
            maxima.row(b, [&n, &i], &|c, h, w| Expr::load(rows, place(c.clone(), h, w)));
        });
    });
    b.finish()
}

/// The first row of windows `i` that the windows before do not have; of the first windows of a band, their first row.
fn new_rows(maxima: &Maxima, pool: &PoolGeometry, height: usize, [first, i]: [&Index; 2]) -> Index {
    let (begin, _) = maxima.axes[0].inside(i);
    if pool.kernel[0] <= pool.stride[0] {
        return begin;
    }
    let (_, before) = maxima.axes[0].inside(&(i.clone() - 1i64));
    let is_first = (first.clone() - i.clone() + 1i64).max(0i64);
    begin.max(before - is_first * height as i64)
}
