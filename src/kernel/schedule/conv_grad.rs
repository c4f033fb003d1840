//! Backward convolutions by the same register tiles as the forward one.
//!
//! Input gradient: rows are neighbouring input pixels of one phase (their distance is the stride), columns input channels. A pixel
//! of phase (h mod stride) meets only the taps whose distance from it is a multiple of the stride, so every phase is a
//! dense convolution with some of the taps. Weight gradient: rows are neighbouring elements of a kernel row (taps and
//! input channels), columns output channels, and the sum runs over the output pixels, image after image, so that its
//! order does not depend on threads.

use super::Tensor;
use super::contraction::{Finish, Sums, Tile, balanced, epilogue, tiles};
use super::conv::{Division, declare_epilogue};
use super::pack::PackedWeights;
use crate::graph::ConvGeometry;
use crate::kernel::build::{Builder, View};
use crate::kernel::{Access, BufferId, DType, Expr, Index, Kernel, LoopKind};
use crate::plan::Epilogue;
use crate::target::Target;

/// The tile for an input gradient `[N, C, H, W]`: rows along the pixels of one phase.
pub fn input_grad_tile(target: &Target, dx: &[usize], geometry: &ConvGeometry) -> Tile {
    Tile::choose(target, dx[3].div_ceil(geometry.stride[1]), dx[1] / geometry.groups)
}

/// The taps that pixels of one phase meet in one dimension: tap `first + step·j` reads result position
/// `position + t − back·j` for pixel `phase + stride·t`, for j in 0..count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taps {
    first: usize,
    step: usize,
    count: usize,
    position: i64,
    back: i64,
}

fn taps(phase: usize, kernel: usize, stride: usize, dilation: usize, before: usize) -> Taps {
    let meets = |k: usize| (phase as i64 + before as i64 - (k * dilation) as i64).rem_euclid(stride as i64) == 0;
    let step = stride / gcd(stride, dilation);
    let first = (0..kernel.min(step)).find(|&k| meets(k));
    match first {
        None => Taps { first: 0, step, count: 0, position: 0, back: 0 },
        Some(first) => Taps {
            first,
            step,
            count: (kernel - first).div_ceil(step),
            position: (phase as i64 + before as i64 - (first * dilation) as i64).div_euclid(stride as i64),
            back: (step * dilation / stride) as i64,
        },
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// dx = the gradient of conv with respect to its input; weights packed with `transposed`.
pub fn conv_input_grad(
    target: &Target,
    name: &str,
    geometry: &ConvGeometry,
    kernel: [usize; 2],
    tensors: [&Tensor; 3],
    steps: &[Epilogue],
    operands: &[Tensor],
) -> Kernel {
    let [dy, weights, dx] = tensors;
    let g = geometry;
    let tile = input_grad_tile(target, &dx.dims, g);
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
    let emit = InputGrad { geometry: *g, kernel, dy, dx, weights: weights_view.buffer, packed, tile, finish, spill };
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
                        let vertical = taps(phase, kernel[0], g.stride[0], g.dilation[0], g.padding.top);
                        // Rows of this phase within begin..end.
                        let s = g.stride[0] as i64;
                        let round = |x: &Index| (x.clone() + (s - 1 - phase as i64)) / s;
                        b.for_loop("t", round(&begin), round(&end), LoopKind::Serial, |b, t| {
                            for (across, (len, sums)) in phases.iter().enumerate() {
                                let horizontal = taps(across, kernel[1], g.stride[1], g.dilation[1], g.padding.left);
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
    kernel: [usize; 2],
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
                    let w0 = self.packed.at(place.group, place.block, &kh, &kw);
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
        debug_assert!(self.kernel[0] > 0, "a kernel has taps");
    }
}

/// How far outside the result the input gradient reads it: rows above, below, columns before, after.
pub fn input_grad_halo(
    geometry: &ConvGeometry,
    kernel: [usize; 2],
    input: [usize; 2],
    result: [usize; 2],
) -> [usize; 4] {
    let side = |axis: usize, before: usize| -> [usize; 2] {
        let (s, d) = (geometry.stride[axis], geometry.dilation[axis]);
        let (mut low, mut high) = (0i64, result[axis] as i64 - 1);
        for phase in 0..s.min(input[axis]) {
            let taps = taps(phase, kernel[axis], s, d, before);
            if taps.count > 0 {
                let last = ((input[axis] - phase).div_ceil(s) - 1) as i64;
                low = low.min(taps.position - taps.back * (taps.count as i64 - 1));
                high = high.max(taps.position + last);
            }
        }
        [(-low) as usize, (high - (result[axis] as i64 - 1)) as usize]
    };
    let [top, bottom] = side(0, geometry.padding.top);
    let [left, right] = side(1, geometry.padding.left);
    [top, bottom, left, right]
}

/// dweight = the gradient of conv with respect to its weights, `[out, in/groups, kh, kw]`, summed over the batch.
pub fn conv_weight_grad(target: &Target, name: &str, geometry: &ConvGeometry, tensors: [&Tensor; 3]) -> Kernel {
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
    let tile = Tile::choose(target, run, outer);
    let columns = tile.columns();
    let blocks = outer.div_ceil(columns);
    let whole = outer.is_multiple_of(columns);
    let sums_buffer = b.scratch("sums", DType::F32, columns_w * run * columns);
    let edge = (!whole).then(|| b.scratch("edge", DType::F32, dy.dims[3] * columns));
    let sums = Sums::for_tiles(&mut b, tile, run, tile.rows);
    let base = run / balanced(run, tile.rows).0;
    b.parallel("part", g.groups * blocks * kh, |b, p| {
        let i = p.clone() % kh as i64;
        let block = p.clone() / kh as i64 % blocks as i64;
        let group = p / (kh * blocks) as i64;
        let first = block * columns as i64;
        let valid = (Index::Const(outer as i64) - first.clone()).min(columns);
        let channel = group.clone() * outer as i64 + first;
        b.serial("clear", columns_w * run * columns / target.lanes, |b, k| {
            b.vector("lane", target.lanes, |b, lane| {
                b.store(sums_buffer, k * target.lanes as i64 + lane, Expr::F32(0.0))
            });
        });
        b.serial("n", x.dims[0], |b, n| {
            b.serial("kw", columns_w, |b, j| {
                tiles(b, "tile", run, tile.rows, |b, r, rows| {
                    let sums = &sums[usize::from(rows > base)];
                    let at = |row: Index, column: Index| {
                        (j.clone() * run as i64 + r.clone() + row) * columns as i64 + column
                    };
                    sums.set(b, |row, column| Expr::load(sums_buffer, at(row, column)));
                    b.serial("oh", dy.dims[2], |b, oh| {
                        let h = oh.clone() * g.stride[0] as i64 + i.clone() * g.dilation[0] as i64 - g.padding.top;
                        let w = j.clone() * g.dilation[1] as i64 - g.padding.left;
                        let (x_c, r_off) = (group.clone() * inner as i64, r.clone());
                        let x0 = x.at(&[n.clone(), x_c, h, w]);
                        let dy0 = dy.at(&[n.clone(), channel.clone(), oh, Index::Const(0)]);
                        if let Some(edge) = edge {
                            copy_edge(b, &dy, edge, &dy0, &valid, columns);
                        }
                        b.serial("ow", dy.dims[3], |b, ow| {
                            let left = |row: Index| {
                                let element = r_off.clone() + row;
                                let along = if joined { element } else { element * x.strides[1] as i64 };
                                let step = (g.stride[1] * x.strides[3]) as i64;
                                Expr::load(x.buffer, x0.clone() + ow.clone() * step + along)
                            };
                            let right = |column: Index| match edge {
                                None => Expr::load(
                                    dy.buffer,
                                    dy0.clone() + ow.clone() * dy.strides[3] as i64 + column * dy.strides[1] as i64,
                                ),
                                Some(edge) => Expr::load(edge, ow.clone() * columns as i64 + column),
                            };
                            sums.add(b, left, right);
                        });
                    });
                    sums.finish(b, |b, row, column, sum| b.store(sums_buffer, at(row, column), sum));
                });
            });
        });
        b.for_loop("column", 0usize, valid, LoopKind::Serial, |b, c| {
            b.serial("kw", kw, |b, j| {
                b.serial("in", inner, |b, k| {
                    let from = (j.clone() * inner as i64 + k.clone()) * columns as i64 + c.clone();
                    let to = dw.at(&[channel.clone() + c.clone(), k, i.clone(), j]);
                    b.store(dw.buffer, to, Expr::load(sums_buffer, from));
                });
            });
        });
    });
    b.finish()
}

/// Copies a row of result gradients of a block of channels that is not full, with zeros for the channels that are not.
fn copy_edge(b: &mut Builder, dy: &View, edge: BufferId, from: &Index, valid: &Index, columns: usize) {
    b.serial("ow", dy.dims[3], |b, ow| {
        b.for_loop("column", 0usize, valid.clone(), LoopKind::Serial, |b, c| {
            let at = from.clone() + ow.clone() * dy.strides[3] as i64 + c.clone() * dy.strides[1] as i64;
            b.store(edge, ow.clone() * columns as i64 + c, Expr::load(dy.buffer, at));
        });
        b.for_loop("filler", valid.clone(), columns, LoopKind::Serial, |b, c| {
            b.store(edge, ow * columns as i64 + c, Expr::F32(0.0));
        });
    });
}
