//! Forward convolution by register tiles: rows are neighbouring output pixels, columns output channels.
//!
//! The input is channels-last inside a halo of zeros at least as wide as the padding, so no tap needs a bounds check.
//! Weights are packed in blocks of the tile's columns (see [`pack`](super::pack)). A parallel iteration does a few
//! images (or a few output rows when there are few images); within it, blocks of output channels are outermost so that
//! a block's weights stay in cache.

use super::Tensor;
use super::contraction::{Output, Sums, Tiles};
use super::epilogue::Then;
use super::pack::tap;
use crate::graph::ConvGeometry;
use crate::kernel::build::{Builder, View};
use crate::kernel::{Access, BufferId, Expr, Index, Kernel, LoopKind};
use crate::plan::{ConvWork, PackedWeights};
use crate::target::Target;

/// How a batch of images is divided into parallel iterations: whole images (a few at a time), or bands of rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Division {
    /// Images an iteration.
    pub images: usize,
    /// Bands an image.
    pub bands: usize,
}

impl Division {
    /// Whole images while there are enough of them; as many at a time as fit in half a megabyte with their input.
    pub fn choose(batch: usize, height: usize, image_elements: usize) -> Division {
        if batch < 8 {
            return Division { images: 1, bands: height.min(16) };
        }
        let fits = (131_072 / image_elements.max(1)).clamp(1, 8);
        let images = (1..=fits).rev().find(|n| batch.is_multiple_of(*n) && batch / n >= 8).unwrap_or(1);
        Division { images, bands: 1 }
    }

    /// Iterations for `batch` images.
    pub fn count(&self, batch: usize) -> usize {
        batch / self.images * self.bands
    }

    /// Images of iteration `p`: the first one.
    pub fn first_image(&self, p: &Index) -> Index {
        p.clone() / self.bands as i64 * self.images as i64
    }

    /// Rows of iteration `p`, of `height`: begin and end.
    pub fn rows(&self, p: &Index, height: usize) -> (Index, Index) {
        let band = p.clone() % self.bands as i64;
        let (h, n) = (height as i64, self.bands as i64);
        (band.clone() * h / n, (band + 1usize) * h / n)
    }
}

/// y = conv(x, weights), then the epilogue.
pub fn conv(target: &Target, name: &str, work: &ConvWork, tensors: [&Tensor; 3], operands: &[Tensor]) -> Kernel {
    let ConvWork { geometry, kernel, tile, epilogue: steps } = work;
    let (kernel, tile) = (*kernel, *tile);
    let [x, weights, y] = tensors;
    let mut b = Builder::new(name, target.lanes);
    let x = x.declare(&mut b, "x", Access::Read);
    let weights_view = weights.declare(&mut b, "weights", Access::Read);
    let finish = Then { steps, operands }.declare(&mut b, &y.dims);
    let y = y.declare(&mut b, "y", Access::Write);
    let packed = PackedWeights::new(geometry.groups, y.dims[1], x.dims[1] / geometry.groups, kernel, tile.columns());
    assert_eq!(packed.len(), weights.len, "bug in netc: packed weights of {name} have the wrong size");
    let [batch, height, width] = [y.dims[0], y.dims[2], y.dims[3]];
    let output = Output::declare(&mut b, tile, geometry.groups, y, finish);
    let tiles = Tiles::declare(&mut b, tile, width);
    let division = Division::choose(batch, height, x.dims[1..].iter().product());
    let emit = Forward { geometry: *geometry, kernel, x, weights: weights_view.buffer, packed, output, tiles };
    b.parallel("part", division.count(batch), |b, p| {
        let first = division.first_image(&p);
        let (begin, end) = division.rows(&p, height);
        b.serial("group", geometry.groups, |b, group| {
            b.serial("block", emit.packed.blocks, |b, block| {
                b.serial("image", division.images, |b, image| {
                    b.for_loop("oh", begin, end, LoopKind::Serial, |b, oh| {
                        emit.row(b, &group, &block, &(first + image), &oh);
                    });
                });
            });
        });
    });
    b.finish()
}

struct Forward {
    geometry: ConvGeometry,
    kernel: [usize; 2],
    x: View,
    weights: BufferId,
    packed: PackedWeights,
    output: Output,
    tiles: Tiles,
}

impl Forward {
    /// One row of output pixels, one block of channels.
    fn row(&self, b: &mut Builder, group: &Index, block: &Index, n: &Index, oh: &Index) {
        self.tiles.each(b, |b, ow, sums| {
            sums.set(b, |_, _| Expr::F32(0.0));
            self.reduce(b, sums, [group, block, n, oh, &ow]);
            self.output.store(b, sums, [group, block, n], |row| [oh.clone(), ow.clone() + row]);
        });
    }

    fn reduce(&self, b: &mut Builder, sums: &Sums, [group, block, n, oh, ow]: [&Index; 5]) {
        let g = &self.geometry;
        let [kh, kw] = self.kernel;
        let inner = self.x.dims[1] / g.groups;
        // With no dilation and one group the taps of a kernel row are one run of elements.
        let joined = g.dilation[1] == 1 && g.groups == 1 && self.x.strides[1] == 1 && self.x.strides[3] == inner;
        let (columns, run) = if joined { (1, kw * inner) } else { (kw, inner) };
        b.serial("kh", kh, |b, i| {
            let h = oh.clone() * g.stride[0] as i64 + i.clone() * g.dilation[0] as i64 - g.padding.top;
            b.serial("kw", columns, |b, j| {
                let w = ow.clone() * g.stride[1] as i64 + j.clone() * g.dilation[1] as i64 - g.padding.left;
                let x0 = self.x.at(&[n.clone(), group.clone() * inner as i64, h, w]);
                let w0 = tap(&self.packed, group, block, &i, &j);
                b.serial("k", run, |b, k| {
                    let left = |row: Index| {
                        let step = (g.stride[1] * self.x.strides[3]) as i64;
                        let along = if joined { k.clone() } else { k.clone() * self.x.strides[1] as i64 };
                        Expr::load(self.x.buffer, x0.clone() + along + row * step)
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
