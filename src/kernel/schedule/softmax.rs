//! Softmax over channels. Lanes keep partial maxima and sums, which are then combined in lane order.

use super::super::build::{Builder, View};
use super::super::{Access, Binary, BufferId, Expr, Index, Kernel, Unary};
use super::Tensor;
use super::nest::{channel_vectors, each_row};

/// y = eˣ/Σ eˣ along dimension 1.
pub fn softmax(lanes: usize, name: &str, x: &Tensor, y: &Tensor) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = x.image().declare(&mut b, "x", Access::Read);
    let to = y.image().declare(&mut b, "y", Access::Write);
    let row = Row::new(&mut b, from.dims[1]);
    each_row(&mut b, from.dims[0], from.dims[2], |b, n, h| {
        b.serial("w", from.dims[3], |b, w| {
            row.softmax(b, &from, &to, &|c| [n.clone(), c, h.clone(), w.clone()]);
        });
    });
    b.finish()
}

/// dx = y·(dy − Σ y·dy) along dimension 1.
pub fn softmax_grad(lanes: usize, name: &str, y: &Tensor, dy: &Tensor, dx: &Tensor) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = y.image().declare(&mut b, "y", Access::Read);
    let gradient = dy.image().declare(&mut b, "dy", Access::Read);
    let to = dx.image().declare(&mut b, "dx", Access::Write);
    let row = Row::new(&mut b, from.dims[1]);
    each_row(&mut b, from.dims[0], from.dims[2], |b, n, h| {
        b.serial("w", from.dims[3], |b, w| {
            let at = |v: &View, c: &Index| v.at(&[n.clone(), c.clone(), h.clone(), w.clone()]);
            let load = |v: &View, c: &Index| Expr::load(v.buffer, at(v, c));
            let dot = row.sum(b, &|_, c| load(&from, c) * load(&gradient, c));
            channel_vectors(b, row.channels, |b, c, _| {
                let value = load(&from, &c) * (load(&gradient, &c) - dot.clone());
                b.store(to.buffer, at(&to, &c), value);
            });
        });
    });
    b.finish()
}

/// Reductions over the channels of a pixel.
pub(super) struct Row {
    partial: BufferId,
    channels: usize,
}

impl Row {
    pub fn new(b: &mut Builder, channels: usize) -> Row {
        let lanes = b.lanes;
        Row { partial: b.registers("partial", lanes), channels }
    }

    /// Writes the softmax of a pixel, and gives the maximum and the sum of exponentials. `place` gives the coordinates
    /// of a channel.
    pub fn softmax(
        &self,
        b: &mut Builder,
        from: &View,
        to: &View,
        place: &dyn Fn(Index) -> [Index; 4],
    ) -> (Expr, Expr) {
        let load = |v: &View, c: &Index| Expr::load(v.buffer, v.at(&place(c.clone())));
        let max = self.reduce(b, f32::NEG_INFINITY, Binary::Max, &|_, c| load(from, c));
        let sum = self.sum(b, &|b, c| {
            let power = b.bind((load(from, c) - max.clone()).unary(Unary::Exp));
            b.store(to.buffer, to.at(&place(c.clone())), power.clone());
            power
        });
        channel_vectors(b, self.channels, |b, c, _| {
            b.store(to.buffer, to.at(&place(c.clone())), load(to, &c) / sum.clone());
        });
        (max, sum)
    }

    /// The sum of a term over channels.
    pub fn sum(&self, b: &mut Builder, term: &dyn Fn(&mut Builder, &Index) -> Expr) -> Expr {
        self.reduce(b, 0.0, Binary::Add, term)
    }

    /// `op` over a term of all channels: each lane those of its number, then the lanes in order.
    fn reduce(&self, b: &mut Builder, start: f32, op: Binary, term: &dyn Fn(&mut Builder, &Index) -> Expr) -> Expr {
        let used = b.lanes.min(self.channels);
        b.vector("lane", used, |b, lane| b.store(self.partial, lane, start));
        channel_vectors(b, self.channels, |b, c, lane| {
            let term = term(b, &c);
            b.store(self.partial, lane.clone(), Expr::load(self.partial, lane).binary(op, term));
        });
        let mut total = b.bind(Expr::load(self.partial, 0usize));
        for lane in 1..used {
            total = b.bind(total.binary(op, Expr::load(self.partial, lane)));
        }
        total
    }
}
