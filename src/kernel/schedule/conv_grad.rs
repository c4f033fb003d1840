//! Backward convolutions by the same register tiles as the forward one.
//!
//! Input gradient: rows are neighbouring input pixels of one phase (their distance is the stride), columns input
//! channels. A pixel meets only the taps whose distance from it is a multiple of the stride, so every phase (w mod
//! stride) is a dense convolution with some of the taps. Phases are iterations of a loop, so there is as much code for
//! a large stride as for a small one. Weight gradient: rows are neighbouring elements of a kernel row (taps and input
//! channels), columns output channels, and the sum runs over the output pixels, image after image, so that its order
//! does not depend on threads.

use super::Tensor;
use super::contraction::{Output, Sums, Tiles};
use super::conv::Division;
use super::epilogue::{Destination, Followed, Then};
use super::pack::tap;
use crate::graph::ConvGeometry;
use crate::kernel::build::{Builder, View};
use crate::kernel::{Access, BufferId, DType, Expr, Index, Kernel, LoopKind};
use crate::plan::{ConvWork, PackedWeights, TapRule, Tile};
use crate::target::Target;
use std::ops::Range;

/// dx = the gradient of conv with respect to its input; weights packed with `transposed`.
pub fn conv_input_grad(
    target: &Target,
    name: &str,
    work: &ConvWork,
    tensors: [&Tensor; 3],
    operands: &[Tensor],
) -> Kernel {
    let ConvWork { geometry: g, kernel, tile, epilogue: steps } = work;
    let tile = *tile;
    let [dy, weights, dx] = tensors;

    let mut b = Builder::new(name, target.lanes);
    let dy = dy.declare(&mut b, "dy", Access::Read);
    let weights_view = weights.declare(&mut b, "weights", Access::Read);
    let finish = Then { steps, operands }.declare(&mut b, &dx.dims);
    let dx = dx.declare(&mut b, "dx", Access::Write);
    let inner = dy.dims[1] / g.groups;
    let packed = PackedWeights::new(g.groups, dx.dims[1], inner, *kernel, tile.columns());
    assert_eq!(packed.len(), weights.len, "bug in netc: packed weights of {name} have the wrong size");
    let [batch, height, width] = [dx.dims[0], dx.dims[2], dx.dims[3]];
    let output = Output::declare(&mut b, tile, g.groups, dx, finish);
    // The first phases have one pixel more than the others.
    let [stride, longer] = [g.stride[1], width % g.stride[1]];
    let columns = [(0..longer, width / stride + 1), (longer..stride, width / stride)]
        .into_iter()
        .filter(|(phases, len)| !phases.is_empty() && *len > 0)
        .map(|(phases, len)| (phases, Tiles::declare(&mut b, tile, len)))
        .collect();
    let division = Division::choose(batch, height, dy.dims[1..].iter().product());
    let rules = [(0, g.padding.top), (1, g.padding.left)]
        .map(|(axis, before)| TapRule::new(kernel[axis], g.stride[axis], g.dilation[axis], before));
    let emit = InputGrad { stride, rules, dy, weights: weights_view.buffer, packed, inner, output, columns };
    b.parallel("part", division.count(batch), |b, p| {
        let first = division.first_image(&p);
        let (begin, end) = division.rows(&p, height);
        b.serial("group", g.groups, |b, group| {
            b.serial("block", emit.packed.blocks, |b, block| {
                b.serial("image", division.images, |b, image| {
                    let n = first + image;
                    b.for_loop("h", begin, end, LoopKind::Serial, |b, h| {
                        emit.row(b, [&group, &block, &n], &h);
                    });
                });
            });
        });
    });
    b.finish()
}

struct InputGrad {
    /// Distance of neighbours of one phase in a row.
    stride: usize,
    /// Taps of rows and of columns.
    rules: [TapRule; 2],
    dy: View,
    weights: BufferId,
    packed: PackedWeights,
    inner: usize,
    output: Output,
    /// Phases of columns, and the tiles that cover the pixels of each of them.
    columns: Vec<(Range<usize>, Tiles)>,
}

impl InputGrad {
    /// One row of input pixels, one block of channels.
    fn row(&self, b: &mut Builder, place: [&Index; 3], h: &Index) {
        let vertical = Met::by(&self.rules[0], h);
        for (phases, tiles) in &self.columns {
            let body = |b: &mut Builder, phase: Index| {
                let horizontal = Met::by(&self.rules[1], &phase);
                tiles.each(b, |b, first, sums| {
                    sums.set(b, |_, _| Expr::F32(0.0));
                    self.reduce(b, sums, place, [&vertical, &horizontal], &first);
                    self.output.store(b, sums, place, |row| {
                        [h.clone(), (first.clone() + row) * self.stride as i64 + phase.clone()]
                    });
                });
            };
            match phases.len() {
                1 => body(b, Index::from(phases.start)),
                _ => b.for_loop("phase", phases.start, phases.end, LoopKind::Serial, body),
            }
        }
    }

    fn reduce(
        &self,
        b: &mut Builder,
        sums: &Sums,
        [group, block, n]: [&Index; 3],
        [vertical, horizontal]: [&Met; 2],
        first: &Index,
    ) {
        b.serial("i", vertical.count.clone(), |b, i| {
            let (kh, oh) = vertical.tap(&Index::Const(0), &i);
            b.serial("j", horizontal.count.clone(), |b, j| {
                let (kw, ow) = horizontal.tap(first, &j);
                let from = self.dy.at(&[n.clone(), group.clone() * self.inner as i64, oh, ow]);
                let w0 = tap(&self.packed, group, block, &kh, &kw);
                b.serial("k", self.inner, |b, k| {
                    let left = |row: Index| {
                        let along = k.clone() * self.dy.strides[1] as i64 + row * self.dy.strides[3] as i64;
                        Expr::load(self.dy.buffer, from.clone() + along)
                    };
                    let right = |column: Index| {
                        Expr::load(self.weights, w0.clone() + k.clone() * self.packed.columns as i64 + column)
                    };
                    sums.add(b, left, right);
                });
            });
        });
    }
}

/// The taps that a pixel meets in one dimension: tap `first + step·i` reads result position `position − back·i` for i
/// in 0..count.
struct Met {
    first: Index,
    step: usize,
    count: Index,
    position: Index,
    back: usize,
}

impl Met {
    /// Those of a pixel known only in a loop. Tap k meets it if k·dilation ≡ pixel + before (mod stride).
    fn by(rule: &TapRule, pixel: &Index) -> Met {
        let TapRule { kernel, stride, dilation, before, common, step, back, inverse } = *rule;
        let [k, s, step_] = [kernel, stride, step].map(|x| x as i64);
        let shifted = pixel.clone() + before;
        if stride == 1 {
            return Met { first: Index::Const(0), step, count: Index::from(kernel), position: shifted, back };
        }
        if dilation == 1 {
            // Of the window of positions both ends are quotients, in which form bounds on them are found by algebra.
            let position = shifted.clone() / s;
            let last = (shifted.clone() + (s - k)) / s;
            let count = if k % s == 0 { Index::Const(k / s) } else { position.clone() + 1usize - last };
            return Met { first: shifted - position.clone() * s, step, count, position, back };
        }
        let first = shifted.clone() / common as i64 * inverse as i64 % step_;
        let count = (first.clone() * -1 + (k + step_ - 1)) / step_;
        // Only every `common`-th pixel meets any.
        let missed = shifted.clone() % common as i64 * k;
        let position = (shifted - first.clone() * dilation as i64) / s;
        Met { first, step, count: (count - missed).max(0usize), position, back }
    }

    /// Tap i and the position that it reads for the pixel `t` strides on.
    fn tap(&self, t: &Index, i: &Index) -> (Index, Index) {
        let position = t.clone() + self.position.clone() - i.clone() * self.back as i64;
        (i.clone() * self.step as i64 + self.first.clone(), position)
    }
}

/// dweight = the gradient of conv with respect to its weights, `[out, in/groups, kh, kw]`, summed over the batch; stored,
/// or followed by an update of states.
pub fn conv_weight_grad(
    target: &Target,
    name: &str,
    geometry: &ConvGeometry,
    tile: Tile,
    tensors: [&Tensor; 2],
    into: Followed,
) -> Kernel {
    let [x, dy] = tensors;
    let Some(dw) = into.results.first() else { panic!("bug in netc: {name} has no result") };
    let g = geometry;
    let mut b = Builder::new(name, target.lanes);
    let x = x.declare(&mut b, "x", Access::Read);
    let dy = dy.declare(&mut b, "dy", Access::Read);
    let destination = Destination::declare(&mut b, into.update, into.operands, into.results);
    let [kh, kw] = [dw.dims[2], dw.dims[3]];
    let inner = dw.dims[1];
    let outer = dw.dims[0] / g.groups;
    // With no dilation and one group the taps of a kernel row are one run of elements.
    let joined = g.dilation[1] == 1 && g.groups == 1 && x.strides[1] == 1 && x.strides[3] == inner;
    let (columns_w, run) = if joined { (1, kw * inner) } else { (kw, inner) };
    let columns = tile.columns();
    let blocks = outer.div_ceil(columns);
    // A part does a few kernel rows: all of them share the packed gradients, but there must be work for many threads.
    let parts = 12usize.div_ceil(g.groups * blocks).clamp(1, kh);
    let rows_most = kh.div_ceil(parts);
    let row_elements = columns_w * run * columns;
    let sums_buffer = b.scratch("sums", DType::F32, rows_most * row_elements);
    let panel = b.scratch("panel", DType::F32, dy.dims[2] * dy.dims[3] * columns);
    let tiles = Tiles::declare(&mut b, tile, run);
    b.parallel("part", g.groups * blocks * parts, |b, p| {
        let part = p.clone() % parts as i64;
        let block = p.clone() / parts as i64 % blocks as i64;
        let group = p / (parts * blocks) as i64;
        let (begin, end) = (part.clone() * kh as i64 / parts as i64, (part + 1usize) * kh as i64 / parts as i64);
        let first = block * columns as i64;
        let valid = (Index::Const(outer as i64) - first.clone()).min(columns);
        let channel = group.clone() * outer as i64 + first;
        b.serial("clear", rows_most * row_elements / target.lanes, |b, k| {
            b.vector("lane", target.lanes, |b, lane| {
                b.store(sums_buffer, k * target.lanes as i64 + lane, Expr::F32(0.0));
            });
        });
        b.serial("n", x.dims[0], |b, n| {
            pack_gradient(b, &dy, panel, [&n, &channel], &valid, columns);
            b.for_loop("kh", begin.clone(), end.clone(), LoopKind::Serial, |b, i| {
                let kept = (i.clone() - begin.clone()) * row_elements as i64;
                b.serial("kw", columns_w, |b, j| {
                    tiles.each(b, |b, r, sums| {
                        let at = |row: Index, column: Index| {
                            (j.clone() * run as i64 + r.clone() + row) * columns as i64 + column + kept.clone()
                        };
                        sums.set(b, |row, column| Expr::load(sums_buffer, at(row, column)));
                        b.serial("oh", dy.dims[2], |b, oh| {
                            let h = oh.clone() * g.stride[0] as i64 + i.clone() * g.dilation[0] as i64 - g.padding.top;
                            let w = j.clone() * g.dilation[1] as i64 - g.padding.left;
                            let x0 = x.at(&[n.clone(), group.clone() * inner as i64, h, w]);
                            b.serial("ow", dy.dims[3], |b, ow| {
                                let left = |row: Index| {
                                    let element = r.clone() + row;
                                    let along = if joined { element } else { element * x.strides[1] as i64 };
                                    let step = (g.stride[1] * x.strides[3]) as i64;
                                    Expr::load(x.buffer, x0.clone() + ow.clone() * step + along)
                                };
                                let pixel = oh.clone() * dy.dims[3] as i64 + ow.clone();
                                let right = |column: Index| Expr::load(panel, pixel.clone() * columns as i64 + column);
                                sums.add(b, left, right);
                            });
                        });
                        sums.finish(b, |b, row, column, sum| b.store(sums_buffer, at(row, column), sum));
                    });
                });
            });
        });
        b.for_loop("kh", begin.clone(), end, LoopKind::Serial, |b, i| {
            let kept = (i.clone() - begin) * row_elements as i64;
            b.for_loop("column", 0usize, valid, LoopKind::Serial, |b, c| {
                b.serial("kw", kw, |b, j| {
                    b.serial("in", inner, |b, k| {
                        let from = (j.clone() * inner as i64 + k.clone()) * columns as i64 + c.clone() + kept.clone();
                        let at = [channel.clone() + c.clone(), k, i.clone(), j];
                        destination.store(b, Expr::load(sums_buffer, from), &at);
                    });
                });
            });
        });
    });
    b.finish()
}

/// Copies the result gradients of an image and a block of channels side by side, with zeros for channels that the block
/// lacks.
fn pack_gradient(
    b: &mut Builder,
    dy: &View,
    panel: BufferId,
    [n, channel]: [&Index; 2],
    valid: &Index,
    columns: usize,
) {
    let lanes = b.lanes;
    b.serial("oh", dy.dims[2], |b, oh| {
        b.serial("ow", dy.dims[3], |b, ow| {
            let from = dy.at(&[n.clone(), channel.clone(), oh.clone(), ow.clone()]);
            let to = (oh * dy.dims[3] as i64 + ow) * columns as i64;
            let stride = dy.strides[1] as i64;
            b.serial("vector", valid.clone() / lanes as i64, |b, v| {
                b.vector("lane", lanes, |b, lane| {
                    let c = v * lanes as i64 + lane;
                    b.store(panel, to.clone() + c.clone(), Expr::load(dy.buffer, from.clone() + c * stride));
                });
            });
            let whole = valid.clone() / lanes as i64 * lanes as i64;
            b.for_loop("column", whole, valid.clone(), LoopKind::Serial, |b, c| {
                b.store(panel, to.clone() + c.clone(), Expr::load(dy.buffer, from.clone() + c * stride));
            });
            b.for_loop("filler", valid.clone(), columns, LoopKind::Serial, |b, c| {
                b.store(panel, to + c, Expr::F32(0.0));
            });
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_meets_its_taps() {
        for [kernel, stride, dilation, before] in
            (0..6 * 7 * 6 * 5).map(|i| [i % 6 + 1, i / 6 % 7 + 1, i / 42 % 6 + 1, i / 252])
        {
            let rule = TapRule::new(kernel, stride, dilation, before);
            for pixel in 0..3 * stride + 2 {
                let met = Met::by(&rule, &Index::from(pixel));
                let number = |index: &Index| index.evaluate(&|_| 0);
                let found: Vec<(i64, i64)> = (0..number(&met.count))
                    .map(|i| met.tap(&Index::Const(0), &Index::Const(i)))
                    .map(|(tap, position)| (number(&tap), number(&position)))
                    .collect();
                let distance = |k: usize| (pixel + before) as i64 - (k * dilation) as i64;
                let expected: Vec<(i64, i64)> = (0..kernel)
                    .filter(|k| distance(*k) % stride as i64 == 0)
                    .map(|k| (k as i64, distance(k) / stride as i64))
                    .collect();
                assert_eq!(found, expected, "pixel {pixel}, {rule:?}");
            }
        }
    }
}
