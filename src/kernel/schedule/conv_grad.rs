//! Backward convolutions by the same register tiles as the forward one.
//!
//! Input gradient: rows are neighbouring input pixels of one phase (their distance is the stride), columns input channels. A pixel
//! of phase (h mod stride) meets only the taps whose distance from it is a multiple of the stride, so every phase is a
//! dense convolution with some of the taps. Weight gradient: rows are neighbouring elements of a kernel row (taps and
//! input channels), columns output channels, and the sum runs over the output pixels, image after image, so that its
//! order does not depend on threads.

use super::Tensor;
use super::contraction::{Finish, Sums, epilogue, tiles};
use super::conv::{Division, declare_epilogue};
use super::pack::tap;
use crate::graph::ConvGeometry;
use crate::kernel::build::{Builder, View};
use crate::kernel::{Access, BufferId, DType, Expr, Index, Kernel, LoopKind};
use crate::plan::{ConvWork, PackedWeights, Taps, Tile, balanced};
use crate::target::Target;

/// dx = the gradient of conv with respect to its input; weights packed with `transposed`.
pub fn conv_input_grad(
    target: &Target,
    name: &str,
    work: &ConvWork,
    tensors: [&Tensor; 3],
    operands: &[Tensor],
) -> Kernel {
    let ConvWork { geometry: g, kernel, tile, epilogue: steps } = work;
    let (kernel, tile) = (*kernel, *tile);
    let [dy, weights, dx] = tensors;

    let mut b = Builder::new(name, target.lanes);
    let dy = dy.declare(&mut b, "dy", Access::Read);
    let weights_view = weights.declare(&mut b, "weights", Access::Read);
    let finish = declare_epilogue(&mut b, steps, operands);
    let dx = dx.declare(&mut b, "dx", Access::Write);
    let inner = dy.dims[1] / g.groups;
    let packed = PackedWeights::new(g.groups, dx.dims[1], inner, kernel, tile.columns());
    assert_eq!(packed.len(), weights.len, "bug in netc: packed weights of {name} have the wrong size");
    let channels = dx.dims[1] / g.groups;
    let spill = (!channels.is_multiple_of(tile.columns()))
        .then(|| b.scratch("spill", DType::F32, (tile.rows + 1) * tile.columns()));
    let [height, width] = [dx.dims[2], dx.dims[3]];
    let division = Division::choose(dx.dims[0], height, dy.dims[1..].iter().product());
    let batch = dx.dims[0];
    let emit = InputGrad { geometry: *g, dy, dx, weights: weights_view.buffer, packed, tile, finish, spill };
    let phases: Vec<(usize, Vec<Sums>)> = (0..g.stride[1].min(width))
        .map(|phase| {
            let len = (width - phase).div_ceil(g.stride[1]);
            (len, Sums::for_tiles(&mut b, tile, len, tile.rows).into())
        })
        .collect();
    b.parallel("part", division.count(batch), |b, p| {
        let first = division.first_image(&p);
        let (begin, end) = division.rows(&p, height);
        b.serial("group", g.groups, |b, group| {
            b.serial("block", emit.packed.blocks, |b, block| {
                b.serial("image", division.images, |b, image| {
                    let n = first + image;
                    for phase in 0..g.stride[0].min(height) {
                        let vertical = Taps::of(phase, kernel[0], g.stride[0], g.dilation[0], g.padding.top);
                        // Rows of this phase within begin..end.
                        let s = g.stride[0] as i64;
                        let round = |x: &Index| (x.clone() + (s - 1 - phase as i64)) / s;
                        b.for_loop("t", round(&begin), round(&end), LoopKind::Serial, |b, t| {
                            for (across, (len, sums)) in phases.iter().enumerate() {
                                let horizontal =
                                    Taps::of(across, kernel[1], g.stride[1], g.dilation[1], g.padding.left);
                                let place =
                                    Place { group: &group, block: &block, n: &n, t: &t, phase: [phase, across] };
                                emit.row(b, &place, [vertical, horizontal], *len, sums);
                            }
                        });
                    }
                });
            });
        });
    });
    b.finish()
}

struct InputGrad {
    geometry: ConvGeometry,
    dy: View,
    dx: View,
    weights: BufferId,
    packed: PackedWeights,
    tile: Tile,
    finish: Vec<Finish>,
    spill: Option<BufferId>,
}

/// Where a row of pixels lies.
struct Place<'a> {
    group: &'a Index,
    block: &'a Index,
    n: &'a Index,
    t: &'a Index,
    phase: [usize; 2],
}

impl InputGrad {
    fn row(&self, b: &mut Builder, place: &Place, [vertical, horizontal]: [Taps; 2], len: usize, sums: &[Sums]) {
        let base = len / balanced(len, self.tile.rows).0;
        let g = &self.geometry;
        tiles(b, "tile", len, self.tile.rows, |b, first, rows| {
            let sums = &sums[usize::from(rows > base)];
            sums.set(b, |_, _| Expr::F32(0.0));
            let inner = self.dy.dims[1] / g.groups;
            b.serial("i", vertical.count, |b, i| {
                let kh = i.clone() * vertical.step as i64 + vertical.first;
                let oh = place.t.clone() + vertical.position - i * vertical.back;
                b.serial("j", horizontal.count, |b, j| {
                    let kw = j.clone() * horizontal.step as i64 + horizontal.first;
                    let ow = first.clone() + horizontal.position - j * horizontal.back;
                    let from = self.dy.at(&[place.n.clone(), place.group.clone() * inner as i64, oh, ow]);
                    let w0 = tap(&self.packed, place.group, place.block, &kh, &kw);
                    b.serial("k", inner, |b, k| {
                        let left = |row: Index| {
                            let along = k.clone() * self.dy.strides[1] as i64 + row * self.dy.strides[3] as i64;
                            Expr::load(self.dy.buffer, from.clone() + along)
                        };
                        let right = |column: Index| {
                            Expr::load(self.weights, w0.clone() + k.clone() * self.tile.columns() as i64 + column)
                        };
                        sums.add(b, left, right);
                    });
                });
            });
            let channels = self.dx.dims[1] / g.groups;
            let first_channel = place.block.clone() * self.tile.columns() as i64;
            let store = |b: &mut Builder, row: Index, column: Index, sum: Expr| {
                let channel = place.group.clone() * channels as i64 + first_channel.clone() + column;
                let h = place.t.clone() * g.stride[0] as i64 + place.phase[0];
                let w = (first.clone() + row) * g.stride[1] as i64 + place.phase[1];
                let at = [place.n.clone(), channel.clone(), h, w];
                let value = epilogue(&self.finish, sum, &channel, &at);
                b.store(self.dx.buffer, self.dx.at(&at), value);
            };
            match self.spill {
                None => sums.finish(b, store),
                Some(spill) => {
                    let valid = (Index::Const(channels as i64) - first_channel.clone()).min(self.tile.columns());
                    sums.finish_partly(b, spill, valid, store);
                }
            }
        });
    }
}

/// dweight = the gradient of conv with respect to its weights, `[out, in/groups, kh, kw]`, summed over the batch.
pub fn conv_weight_grad(
    target: &Target,
    name: &str,
    geometry: &ConvGeometry,
    tile: Tile,
    tensors: [&Tensor; 3],
) -> Kernel {
    let [x, dy, dw] = tensors;
    let g = geometry;
    let mut b = Builder::new(name, target.lanes);
    let x = x.declare(&mut b, "x", Access::Read);
    let dy = dy.declare(&mut b, "dy", Access::Read);
    let dw = dw.declare(&mut b, "dweight", Access::Write);
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
    let sums = Sums::for_tiles(&mut b, tile, run, tile.rows);
    let base = run / balanced(run, tile.rows).0;
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
                    tiles(b, "tile", run, tile.rows, |b, r, rows| {
                        let sums = &sums[usize::from(rows > base)];
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
                        let to = dw.at(&[channel.clone() + c.clone(), k, i.clone(), j]);
                        b.store(dw.buffer, to, Expr::load(sums_buffer, from));
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
