//! Local response normalisation across channels; within a map it is [`lrn_map`].
//!
//! A pixel's channels are squared into a scratch row with zeros on both sides of each group, so that windows need no
//! clipping; all passes over the row are vectors of channels. A window reaches no further than its group.

use super::super::build::{Builder, View};
use super::super::{Access, BufferId, DType, Expr, Index, Kernel, LoopKind, Unary};
use super::nest::{channel_vectors, each_row};
use super::{Tensor, Then, lrn_map};
use crate::graph::{LrnGeometry, LrnRegion};

/// y = x·(k + s·Σ x²)^−β over the window.
pub fn lrn(lanes: usize, name: &str, lrn: &LrnGeometry, x: &Tensor, y: &Tensor) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = x.image().declare(&mut b, "x", Access::Read);
    let to = y.image().declare(&mut b, "y", Access::Write);
    let normalizer = Normalizer::new(&mut b, lrn, &from);
    each_row(&mut b, from.dims[0], from.dims[2], |b, n, h| {
        normalizer.prepare(b);
        normalizer.row(b, &from, [&n, &h], &|b, c, w, value| {
            b.store(to.buffer, to.at(&[n.clone(), c, h.clone(), w]), value);
        });
    });
    b.finish()
}

/// dx = dy·d^−β − 2·s·β·x·Σ dy·x·d^(−β−1), the sum over the elements whose windows hold this one; d = k + s·Σ x².
/// Then the epilogue.
pub fn lrn_grad(lanes: usize, name: &str, lrn: &LrnGeometry, tensors: [&Tensor; 3], then: Then) -> Kernel {
    match lrn.region {
        LrnRegion::Channels { groups } => across_channels_grad(lanes, name, lrn, groups, tensors, then),
        LrnRegion::Map => lrn_map::within_map_grad(lanes, name, lrn, tensors, then),
    }
}

/// Normalises images a row at a time.
pub(super) struct Normalizer {
    lrn: LrnGeometry,
    squares: Squares,
}

/// The squares of which windows are sums, in scratch.
enum Squares {
    Channels(Row),
    Map(lrn_map::Line),
}

/// What is done with a normalised element: gets its channel, its column and the value.
pub(super) type Put<'a> = &'a dyn Fn(&mut Builder, Index, Index, Expr);

impl Normalizer {
    /// For images like `from`.
    pub fn new(b: &mut Builder, lrn: &LrnGeometry, from: &View) -> Normalizer {
        let squares = match lrn.region {
            LrnRegion::Channels { groups } => {
                Squares::Channels(Row::new(b, "squares", groups, from.dims[1], lrn.before, lrn.after))
            }
            LrnRegion::Map => {
                Squares::Map(lrn_map::Line::new(b, "squares", from, from.dims[1], [lrn.before, lrn.after]))
            }
        };
        Normalizer { lrn: *lrn, squares }
    }

    /// What rows need done once, at the start of an iteration of the parallel loop.
    pub fn prepare(&self, b: &mut Builder) {
        match &self.squares {
            Squares::Channels(squares) => squares.clear_margins(b),
            Squares::Map(squares) => squares.clear_margins(b),
        }
    }

    /// Normalises row `h` of image `n`.
    pub fn row(&self, b: &mut Builder, from: &View, [n, h]: [&Index; 2], put: Put) {
        match &self.squares {
            Squares::Channels(squares) => across_channels(b, &self.lrn, squares, from, [n, h], put),
            Squares::Map(squares) => lrn_map::within_map(b, &self.lrn, squares, from, [n, h], put),
        }
    }
}

fn across_channels(b: &mut Builder, lrn: &LrnGeometry, squares: &Row, from: &View, [n, h]: [&Index; 2], put: Put) {
    b.serial("w", from.dims[3], |b, w| {
        squares.each_group(b, |b, group| {
            let at = |view: &View, c: Index| view.at(&[n.clone(), channel(squares, &group, c), h.clone(), w.clone()]);
            squares.square(b, &group, from, &at);
            channel_vectors(b, squares.channels, |b, c, lane| {
                let sum = squares.window(b, &group, &c, &lane);
                let d = denominator(b, lrn, sum);
                let x = Expr::load(from.buffer, at(from, c.clone()));
                let value = over_power(b, x, d, lrn.beta);
                put(b, channel(squares, &group, c), w.clone(), value);
            });
        });
    });
}

fn across_channels_grad(
    lanes: usize,
    name: &str,
    lrn: &LrnGeometry,
    groups: usize,
    [x, dy, dx]: [&Tensor; 3],
    then: Then,
) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = x.image().declare(&mut b, "x", Access::Read);
    let gradient = dy.image().declare(&mut b, "dy", Access::Read);
    let finish = then.declare(&mut b, &from.dims);
    let to = dx.image().declare(&mut b, "dx", Access::Write);
    let channels = from.dims[1];
    let squares = Row::new(&mut b, "squares", groups, channels, lrn.before, lrn.after);
    let shares = Row::new(&mut b, "shares", groups, channels, lrn.after, lrn.before);
    let direct = b.scratch("direct", DType::F32, squares.channels);
    let factor = (-2.0 * lrn.scale * lrn.beta) as f32;
    each_row(&mut b, from.dims[0], from.dims[2], |b, n, h| {
        squares.clear_margins(b);
        shares.clear_margins(b);
        b.serial("w", from.dims[3], |b, w| {
            squares.each_group(b, |b, group| {
                let at =
                    |view: &View, c: Index| view.at(&[n.clone(), channel(&squares, &group, c), h.clone(), w.clone()]);
                squares.square(b, &group, &from, &at);
                channel_vectors(b, squares.channels, |b, c, lane| {
                    let sum = squares.window(b, &group, &c, &lane);
                    let d = denominator(b, lrn, sum);
                    let dy = Expr::load(gradient.buffer, at(&gradient, c.clone()));
                    let through = over_power(b, dy, d.clone(), lrn.beta);
                    let through = b.bind(through);
                    b.store(direct, c.clone(), through.clone());
                    let x = Expr::load(from.buffer, at(&from, c.clone()));
                    b.store(shares.buffer, shares.place(&group, c), through * x / d);
                });
                channel_vectors(b, squares.channels, |b, c, lane| {
                    let sum = shares.window(b, &group, &c, &lane);
                    let x = b.bind(Expr::load(from.buffer, at(&from, c.clone())) * factor.into());
                    let value = sum.mul_add(x, Expr::load(direct, c.clone()));
                    let value =
                        finish.at(value, &[n.clone(), channel(&squares, &group, c.clone()), h.clone(), w.clone()]);
                    b.store(to.buffer, at(&to, c), value);
                });
            });
        });
    });
    b.finish()
}

/// Windows of at most this many taps are summed without a loop.
pub(super) const UNROLLED: usize = 16;

/// One pixel's channels in scratch, each group with margins of zeros.
struct Row {
    buffer: BufferId,
    groups: usize,
    /// Of one group.
    channels: usize,
    before: usize,
    after: usize,
    /// A vector of sums, for windows that are summed by a loop.
    sum: Option<BufferId>,
}

impl Row {
    fn new(b: &mut Builder, name: &str, groups: usize, channels: usize, before: usize, after: usize) -> Row {
        let channels = channels / groups;
        let [before, after] = [before, after].map(|side| side.min(channels.saturating_sub(1)));
        let buffer = b.scratch(name, DType::F32, groups * (before + channels + after));
        let taps = before + 1 + after;
        let sum = (taps > UNROLLED).then(|| b.registers("sum", b.lanes));
        Row { buffer, groups, channels, before, after, sum }
    }

    fn span(&self) -> i64 {
        (self.before + self.channels + self.after) as i64
    }

    fn each_group(&self, b: &mut Builder, body: impl FnOnce(&mut Builder, Index)) {
        if self.groups == 1 { body(b, Index::Const(0)) } else { b.serial("group", self.groups, body) }
    }

    fn clear_margins(&self, b: &mut Builder) {
        self.each_group(b, |b, group| {
            let start = group * self.span();
            let clear = |b: &mut Builder, first: usize, len: usize| {
                b.vectors("margin", len, |b, at| b.store(self.buffer, start.clone() + first + at, 0.0));
            };
            clear(b, 0, self.before);
            clear(b, self.before + self.channels, self.after);
        });
    }

    fn place(&self, group: &Index, channel: Index) -> Index {
        group.clone() * self.span() + channel + self.before
    }

    fn square(&self, b: &mut Builder, group: &Index, from: &View, at: &impl Fn(&View, Index) -> Index) {
        b.vectors("channel", self.channels, |b, c| {
            let x = b.bind(Expr::load(from.buffer, at(from, c.clone())));
            b.store(self.buffer, self.place(group, c), x.clone() * x);
        });
    }

    /// The sum over the window of a channel, which is in this lane of a vector.
    fn window(&self, b: &mut Builder, group: &Index, channel: &Index, lane: &Index) -> Expr {
        let start = group.clone() * self.span() + channel.clone();
        taps(b, self.buffer, start, 1, self.before + 1 + self.after, self.sum, lane)
    }
}

/// The sum of `count` elements of a buffer from `start`, each `step` after the one before; by a loop if there is a register
/// for the sum.
pub(super) fn taps(
    b: &mut Builder,
    buffer: BufferId,
    start: Index,
    step: usize,
    count: usize,
    register: Option<BufferId>,
    lane: &Index,
) -> Expr {
    let mut sum = b.bind(Expr::load(buffer, start.clone()));
    match register {
        None => {
            for tap in 1..count {
                sum = b.bind(sum + Expr::load(buffer, start.clone() + tap * step));
            }
            sum
        }
        Some(register) => {
            b.store(register, lane.clone(), sum);
            b.for_loop("tap", 1usize, count, LoopKind::Serial, |b, tap| {
                let next = Expr::load(buffer, start.clone() + tap * step as i64);
                b.store(register, lane.clone(), Expr::load(register, lane.clone()) + next);
            });
            b.bind(Expr::load(register, lane.clone()))
        }
    }
}

/// k + s·Σ x².
pub(super) fn denominator(b: &mut Builder, lrn: &LrnGeometry, sum: Expr) -> Expr {
    b.bind(sum.mul_add((lrn.scale as f32).into(), (lrn.k as f32).into()))
}

fn channel(row: &Row, group: &Index, c: Index) -> Index {
    group.clone() * row.channels as i64 + c
}

/// x·d^−β; by square roots for the usual exponents.
pub(super) fn over_power(b: &mut Builder, x: Expr, d: Expr, beta: f64) -> Expr {
    if beta == 0.75 {
        let root = b.bind(d.unary(Unary::Sqrt));
        x / (root.clone() * root.unary(Unary::Sqrt))
    } else if beta == 0.5 {
        x / d.unary(Unary::Sqrt)
    } else if beta == 1.0 {
        x / d
    } else {
        x * (d.unary(Unary::Log) * (-beta as f32).into()).unary(Unary::Exp)
    }
}
