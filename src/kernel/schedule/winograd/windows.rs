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

/// Tiles that are done together: `rows` rows of `columns` tiles of each of some images.
pub(super) struct Grid {
    pub images: usize,
    pub rows: usize,
    pub columns: usize,
    pub first_image: Index,
    pub first_row: Index,
}

impl Grid {
    /// `body` gets the image, the row of tiles and the number of its first tile.
    pub fn each_row(&self, b: &mut Builder, body: impl FnOnce(&mut Builder, Index, Index, Index)) {
        let row_loop = |b: &mut Builder, image: Index| {
            let tiles = image.clone() * (self.rows * self.columns) as i64;
            let image = self.first_image.clone() + image;
            match self.rows {
                1 => body(b, image, self.first_row.clone(), tiles),
                _ => b.serial("row", self.rows, |b, row| {
                    let tiles = tiles + row.clone() * self.columns as i64;
                    body(b, image, self.first_row.clone() + row, tiles);
                }),
            }
        };
        match self.images {
            1 => row_loop(b, Index::Const(0)),
            _ => b.serial("image", self.images, row_loop),
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
    /// What the first transform leaves.
    between: BufferId,
}

impl Windows {
    /// Of a convolution's input: Bᵀ d B.
    pub fn input(b: &mut Builder, target: &Target, form: &Winograd, before: [usize; 2]) -> Windows {
        let [rows, columns] = form.transforms().map(|t| Linear::new(t.input, target.fused));
        Windows::declare(b, [rows, columns], form.outputs, before)
    }

    /// Of the gradient of a convolution's result: A d Aᵀ.
    pub fn gradient(b: &mut Builder, target: &Target, form: &Winograd) -> Windows {
        let [rows, columns] = form.transforms().map(|t| Linear::new(transposed(&t.output), target.fused));
        Windows::declare(b, [rows, columns], form.outputs, [0, 0])
    }

    fn declare(b: &mut Builder, [rows, columns]: [Linear; 2], step: [usize; 2], before: [usize; 2]) -> Windows {
        let between = b.scratch("between", DType::F32, rows.given() * columns.taken() * CHUNK);
        Windows { rows, columns, step, before, between }
    }

    /// Transforms `channels` channels of all tiles of the grid, from channel `first` of the image on.
    pub fn transform(&self, b: &mut Builder, image: &View, first: &Index, channels: usize, grid: &Grid, to: &Planes) {
        let (across, points_across) = (self.columns.taken(), self.columns.given());
        let kept = |i: Index, j: Index, c: Index| (i * across as i64 + j) * CHUNK as i64 + c;
        let (whole, rest) = (channels / CHUNK, channels % CHUNK);
        grid.each_row(b, |b, n, row, tile0| {
            b.serial("across", grid.columns, |b, column| {
                let h = row * self.step[0] as i64 - self.before[0];
                let w = column.clone() * self.step[1] as i64 - self.before[1];
                let tile = tile0 + column;
                let chunk = |b: &mut Builder, start: Index, channels: usize| {
                    b.serial("j", across, |b, j| {
                        channel_vectors(b, channels, |b, c, _| {
                            let channel = first.clone() + start.clone() + c.clone();
                            let values = load(b, image.buffer, self.rows.taken(), |i| {
                                image.at(&[n.clone(), channel.clone(), h.clone() + i, w.clone() + j.clone()])
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
