//! Local response normalisation within each map.
//!
//! The sum over a square of pixels is taken down the rows first and then along what that gives: a line as long as a row of the
//! image, in scratch, with zeros on both sides, so that windows along it need no clipping. A pixel's channels lie side by side in
//! it. A window reaches no further than the image.

use super::super::build::{Builder, View};
use super::super::{Access, BufferId, DType, Expr, Index, Kernel, LoopKind};
use super::lrn::{Put, UNROLLED, denominator, over_power, taps};
use super::nest::{channel_vectors, channel_width, image_blocks};
use super::{Tensor, Then};
use crate::graph::LrnGeometry;

/// A row of y = x·(k + s·Σ x²)^−β over the square of pixels.
pub(super) fn within_map(
    b: &mut Builder,
    lrn: &LrnGeometry,
    squares: &Line,
    from: &View,
    [n, h]: [&Index; 2],
    put: Put,
) {
    let channels = from.dims[1];
    let at = |c: &Index, h: &Index, w: &Index| from.at(&[n.clone(), c.clone(), h.clone(), w.clone()]);
    squares.fill(b, h, channels, |b, c, row, w, sum| square(b, from, at(c, row, w), sum));
    squares.each_window(b, channels, |b, c, w, sum| {
        let d = denominator(b, lrn, sum);
        let value = over_power(b, Expr::load(from.buffer, at(&c, h, &w)), d, lrn.beta);
        put(b, c, w, value);
    });
}

/// dx = dy·d^−β − 2·s·β·x·Σ dy·x·d^(−β−1), the sum over the pixels whose windows hold this one; d = k + s·Σ x². What comes
/// directly and what is summed are worked out for a block of channels of a whole image first.
pub(super) fn within_map_grad(
    lanes: usize,
    name: &str,
    lrn: &LrnGeometry,
    [x, dy, dx]: [&Tensor; 3],
    then: Then,
) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = x.image().declare(&mut b, "x", Access::Read);
    let gradient = dy.image().declare(&mut b, "dy", Access::Read);
    let finish = then.declare(&mut b, &from.dims);
    let to = dx.image().declare(&mut b, "dx", Access::Write);
    let [images, channels, height, width] = [from.dims[0], from.dims[1], from.dims[2], from.dims[3]];
    let block = channel_width(&b).min(channels);
    let squares = Line::new(&mut b, "squares", &from, block, [lrn.before, lrn.after]);
    let sums = Line::new(&mut b, "sums", &from, block, [lrn.after, lrn.before]);
    let direct = b.scratch("direct", DType::F32, height * width * block);
    let shares = b.scratch("shares", DType::F32, height * width * block);
    let place = |c: &Index, h: &Index, w: &Index| (h.clone() * width as i64 + w.clone()) * block as i64 + c.clone();
    let factor = (-2.0 * lrn.scale * lrn.beta) as f32;
    image_blocks(&mut b, images, channels, block, |b, n, first, count| {
        let at = |view: &View, c: &Index, h: &Index, w: &Index| {
            view.at(&[n.clone(), first.clone() + c.clone(), h.clone(), w.clone()])
        };
        squares.clear_margins(b);
        sums.clear_margins(b);
        b.serial("h", height, |b, h| {
            squares.fill(b, &h, count, |b, c, row, w, sum| square(b, &from, at(&from, c, row, w), sum));
            squares.each_window(b, count, |b, c, w, sum| {
                let d = denominator(b, lrn, sum);
                let dy = Expr::load(gradient.buffer, at(&gradient, &c, &h, &w));
                let through = over_power(b, dy, d.clone(), lrn.beta);
                let through = b.bind(through);
                b.store(direct, place(&c, &h, &w), through.clone());
                let x = Expr::load(from.buffer, at(&from, &c, &h, &w));
                b.store(shares, place(&c, &h, &w), through * x / d);
            });
        });
        b.serial("h", height, |b, h| {
            sums.fill(b, &h, count, |_, c, row, w, sum| sum + Expr::load(shares, place(c, row, w)));
            sums.each_window(b, count, |b, c, w, sum| {
                let x = b.bind(Expr::load(from.buffer, at(&from, &c, &h, &w)) * factor.into());
                let value = sum.mul_add(x, Expr::load(direct, place(&c, &h, &w)));
                let value = finish.at(value, &[n.clone(), first.clone() + c.clone(), h.clone(), w.clone()]);
                b.store(to.buffer, at(&to, &c, &h, &w), value);
            });
        });
    });
    b.finish()
}

/// `sum` and the square of an element.
fn square(b: &mut Builder, from: &View, at: Index, sum: Expr) -> Expr {
    let x = b.bind(Expr::load(from.buffer, at));
    x.clone().mul_add(x, sum)
}

/// Sums down the rows of an image, pixel by pixel with `block` channels each, and margins of zeros.
pub(super) struct Line {
    buffer: BufferId,
    block: usize,
    /// Rows and columns of the image.
    size: [usize; 2],
    /// What a window holds before its centre, along the rows and columns.
    before: [usize; 2],
    after: [usize; 2],
    /// A vector of sums.
    sum: BufferId,
}

impl Line {
    pub fn new(b: &mut Builder, name: &str, image: &View, block: usize, [before, after]: [usize; 2]) -> Line {
        let size = [image.dims[2], image.dims[3]];
        let [before, after] = [before, after].map(|side| size.map(|size| side.min(size.saturating_sub(1))));
        let buffer = b.scratch(name, DType::F32, (before[1] + size[1] + after[1]) * block);
        let sum = b.registers("sum", b.lanes);
        Line { buffer, block, size, before, after, sum }
    }

    pub fn clear_margins(&self, b: &mut Builder) {
        let clear = |b: &mut Builder, first: usize, pixels: usize| {
            b.vectors("margin", pixels * self.block, |b, at| b.store(self.buffer, at + first * self.block, 0.0));
        };
        clear(b, 0, self.before[1]);
        clear(b, self.before[1] + self.size[1], self.after[1]);
    }

    /// Sums `count` channels over the rows of the windows that are centred in row `h`. `add` gets the channel, the row, the
    /// column and the sum so far.
    fn fill(
        &self,
        b: &mut Builder,
        h: &Index,
        count: usize,
        add: impl Fn(&mut Builder, &Index, &Index, &Index, Expr) -> Expr,
    ) {
        let (begin, end) = (h.clone() - self.before[0], h.clone() + (self.after[0] + 1));
        let begin = if self.before[0] > 0 { begin.max(0i64) } else { begin };
        let end = if self.after[0] > 0 { end.min(self.size[0]) } else { end };
        b.serial("column", self.size[1], |b, w| {
            channel_vectors(b, count, |b, c, lane| {
                b.store(self.sum, lane.clone(), 0.0);
                b.for_loop("row", begin.clone(), end.clone(), LoopKind::Serial, |b, row| {
                    let sum = add(b, &c, &row, &w, Expr::load(self.sum, lane.clone()));
                    b.store(self.sum, lane.clone(), sum);
                });
                let place = (w.clone() + self.before[1]) * self.block as i64 + c;
                b.store(self.buffer, place, Expr::load(self.sum, lane));
            });
        });
    }

    /// Calls `body` for `count` channels of every pixel of the line with the channel, the column and the sum over the window.
    fn each_window(&self, b: &mut Builder, count: usize, body: impl Fn(&mut Builder, Index, Index, Expr)) {
        let columns = self.before[1] + 1 + self.after[1];
        let register = (columns > UNROLLED).then_some(self.sum);
        b.serial("w", self.size[1], |b, w| {
            channel_vectors(b, count, |b, c, lane| {
                let start = w.clone() * self.block as i64 + c.clone();
                let sum = taps(b, self.buffer, start, self.block, columns, register, &lane);
                body(b, c, w.clone(), sum);
            });
        });
    }
}
