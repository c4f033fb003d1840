//! Transforms of windows of images, tile by tile.

use super::super::nest::channel_vectors;
use super::linear::{Linear, load};
use crate::kernel::build::{Builder, View};
use crate::kernel::{BufferId, DType, Index};
use crate::plan::{Winograd, transposed};
use crate::target::Target;

/// Channels that go through one dimension's transform before they go through the other's: the numbers of a point are
/// some cache lines in a row then, and a few rows are written at a time.
const CHUNK: usize = 64;

/// Numbers by point, tile and channel.
#[derive(Debug, Clone)]
pub(super) struct Planes {
    pub buffer: BufferId,
    start: Index,
    first_tile: Index,
    plane: usize,
    points: usize,
    channels: usize,
}

impl Planes {
    pub fn scratch(b: &mut Builder, name: &str, tiles: usize, channels: usize, points: usize) -> Planes {
        let plane = Winograd::plane(tiles, channels);
        Planes::in_buffer(b.scratch(name, DType::F32, points * plane), plane, channels, points)
    }

    pub fn global(buffer: BufferId, tiles: usize, channels: usize, points: usize) -> Planes {
        Planes::in_buffer(buffer, Winograd::plane(tiles, channels), channels, points)
    }

    fn in_buffer(buffer: BufferId, plane: usize, channels: usize, points: usize) -> Planes {
        Planes { buffer, start: Index::Const(0), first_tile: Index::Const(0), plane, points, channels }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.points * self.plane
    }

    /// From element `start` of the buffer and tile `first_tile` on.
    pub fn from(&self, start: Index, first_tile: Index) -> Planes {
        Planes { start, first_tile, ..self.clone() }
    }

    pub fn at(&self, point: &Index, tile: &Index, channel: Index) -> Index {
        self.start.clone()
            + point.clone() * self.plane as i64
            + (self.first_tile.clone() + tile.clone()) * self.channels as i64
            + channel
    }
}

/// Tiles that are done together: `rows` rows of `columns` tiles of each of some mosaics.
pub(super) struct Grid {
    pub mosaics: usize,
    pub rows: usize,
    pub columns: usize,
    pub first_mosaic: Index,
    pub first_row: Index,
}

/// Where the pixels of a mosaic are: an axis of it at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    images: usize,
    pitch: usize,
    /// Pixels that an image is asked for, at most.
    most: usize,
}

impl Axis {
    /// Of windows of so many pixels for a tile, or of the tiles' pixels themselves.
    pub fn of(form: &Winograd, window: [usize; 2]) -> [Axis; 2] {
        let last = form.last();
        [0, 1].map(|axis| Axis {
            images: form.mosaic.images[axis],
            pitch: form.mosaic.pitch[axis],
            most: (last[axis] + window[axis] - form.outputs[axis]).max(form.mosaic.pitch[axis]),
        })
    }

    /// Whether there are images side by side.
    pub fn is_shared(&self) -> bool {
        self.images > 1
    }

    /// The image of a pixel, and which of the image's pixels it is.
    pub fn locate(&self, pixel: Index) -> (Index, Index) {
        if !self.is_shared() {
            return (Index::Const(0), pixel);
        }
        let (images, pitch) = (self.images as i64, self.pitch as i64);
        let image = (pixel.clone() / pitch).min(self.images - 1);
        let behind = pixel.clone() / (images * pitch) * pitch;
        (image, (pixel % pitch + behind).min(self.most - 1))
    }

    /// The image number of those of the mosaic `number`, from its place down and across.
    pub fn image(axes: &[Axis; 2], mosaic: &Index, down: Index, across: Index) -> Index {
        let [high, wide] = [axes[0].images as i64, axes[1].images as i64];
        mosaic.clone() * (high * wide) + (down * wide + across)
    }
}

impl Grid {
    /// `body` gets the mosaic, the row of tiles and the number of its first tile.
    pub fn each_row(&self, b: &mut Builder, body: impl FnOnce(&mut Builder, Index, Index, Index)) {
        let row_loop = |b: &mut Builder, mosaic: Index| {
            let tiles = mosaic.clone() * (self.rows * self.columns) as i64;
            let mosaic = self.first_mosaic.clone() + mosaic;
            match self.rows {
                1 => body(b, mosaic, self.first_row.clone(), tiles),
                _ => b.serial("row", self.rows, |b, row| {
                    let tiles = tiles + row.clone() * self.columns as i64;
                    body(b, mosaic, self.first_row.clone() + row, tiles);
                }),
            }
        };
        match self.mosaics {
            1 => row_loop(b, Index::Const(0)),
            _ => b.serial("mosaic", self.mosaics, row_loop),
        }
    }
}

/// A transform of windows of an image, first of their columns, then of their rows.
pub(super) struct Windows {
    rows: Linear,
    columns: Linear,
    /// Distance of windows: rows, columns.
    step: [usize; 2],
    /// Rows and columns of padding before the image.
    before: [usize; 2],
    axes: [Axis; 2],
    /// What the first transform leaves.
    between: BufferId,
}

impl Windows {
    /// Of a convolution's input: Bᵀ d B.
    pub fn input(b: &mut Builder, target: &Target, form: &Winograd, before: [usize; 2]) -> Windows {
        let [rows, columns] = form.transforms().map(|t| Linear::new(t.input, target.fused));
        Windows::declare(b, [rows, columns], form, form.points(), before)
    }

    /// Of the gradient of a convolution's result: A d Aᵀ.
    pub fn gradient(b: &mut Builder, target: &Target, form: &Winograd) -> Windows {
        let [rows, columns] = form.transforms().map(|t| Linear::new(transposed(&t.output), target.fused));
        Windows::declare(b, [rows, columns], form, form.outputs, [0, 0])
    }

    fn declare(
        b: &mut Builder,
        [rows, columns]: [Linear; 2],
        form: &Winograd,
        window: [usize; 2],
        before: [usize; 2],
    ) -> Windows {
        let between = b.scratch("between", DType::F32, rows.given() * columns.taken() * CHUNK);
        Windows { rows, columns, step: form.outputs, before, axes: Axis::of(form, window), between }
    }

    /// Transforms `channels` channels of all tiles of the grid, from channel `first` of the image on.
    pub fn transform(&self, b: &mut Builder, image: &View, first: &Index, channels: usize, grid: &Grid, to: &Planes) {
        let (across, points_across) = (self.columns.taken(), self.columns.given());
        let kept = |i: Index, j: Index, c: Index| (i * across as i64 + j) * CHUNK as i64 + c;
        let (whole, rest) = (channels / CHUNK, channels % CHUNK);
        grid.each_row(b, |b, mosaic, row, tile0| {
            b.serial("across", grid.columns, |b, column| {
                let [h, w] = [row * self.step[0] as i64, column.clone() * self.step[1] as i64];
                let tile = tile0 + column;
                let chunk = |b: &mut Builder, start: Index, channels: usize| {
                    b.serial("j", across, |b, j| {
                        channel_vectors(b, channels, |b, c, _| {
                            let channel = first.clone() + start.clone() + c.clone();
                            let (n_across, w) = self.axes[1].locate(w.clone() + j.clone());
                            let values = load(b, image.buffer, self.rows.taken(), |i| {
                                let (n_down, h) = self.axes[0].locate(h.clone() + i);
                                let n = Axis::image(&self.axes, &mosaic, n_down, n_across.clone());
                                image.at(&[n, channel.clone(), h - self.before[0], w.clone() - self.before[1]])
                            });
                            for (i, value) in self.rows.apply(b, &values).into_iter().enumerate() {
                                b.store(self.between, kept(i.into(), j.clone(), c.clone()), value);
                            }
                        });
                    });
                    b.serial("i", self.rows.given(), |b, i| {
                        channel_vectors(b, channels, |b, c, _| {
                            let values = load(b, self.between, across, |j| kept(i.clone(), j.into(), c.clone()));
                            let channel = start.clone() + c;
                            for (j, value) in self.columns.apply(b, &values).into_iter().enumerate() {
                                let point = i.clone() * points_across as i64 + j;
                                b.store(to.buffer, to.at(&point, &tile, channel.clone()), value);
                                // The same of the next points.
                                b.prefetch(to.buffer, to.at(&(point + points_across), &tile, channel.clone()));
                            }
                        });
                    });
                };
                if whole > 0 {
                    b.serial("chunk", whole, |b, at| chunk(b, at * CHUNK as i64, CHUNK));
                }
                if rest > 0 {
                    chunk(b, Index::from(whole * CHUNK), rest);
                }
            });
        });
    }
}
