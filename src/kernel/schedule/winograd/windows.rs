//! Transforms of windows of images, tile by tile.

use super::super::nest::channel_vectors;
use super::linear::{Linear, load};
use crate::kernel::build::{Builder, View};
use crate::kernel::{BufferId, DType, Expr, Index, LoopKind};
use crate::plan::{Winograd, transposed};
use crate::target::Target;
use std::ops::Range;

/// Channels that go through one dimension's transform before they go through the other's: the numbers of a point are
/// some cache lines in a row then, and a few rows are written at a time.
pub(super) const CHUNK: usize = 64;

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
    /// Whether the zeros around an image are in memory.
    halo: bool,
    /// Rows of tiles.
    tiles: usize,
    /// What the first transform leaves.
    between: BufferId,
}

impl Windows {
    /// Of a convolution's input: Bᵀ d B; of images one by one, the zeros around them need not be in memory.
    pub fn input(b: &mut Builder, target: &Target, form: &Winograd, before: [usize; 2], halo: bool) -> Windows {
        let [rows, columns] = form.transforms().map(|t| Linear::new(t.input, target.fused));
        Windows { halo, ..Windows::declare(b, [rows, columns], form, form.points(), before) }
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
        let axes = Axis::of(form, window);
        Windows { rows, columns, step: form.outputs, before, axes, halo: true, tiles: form.tiles[0], between }
    }

    /// Transforms `channels` channels of all tiles of the grid, from channel `first` of the image on.
    pub fn transform(&self, b: &mut Builder, image: &View, first: &Index, channels: usize, grid: &Grid, to: &Planes) {
        let (whole, rest) = (channels / CHUNK, channels % CHUNK);
        grid.each_row(b, |b, mosaic, row, tile0| {
            b.serial("across", grid.columns, |b, column| {
                let tile = tile0 + column.clone();
                let window = Window { image, mosaic, row, column };
                let chunk = |b: &mut Builder, start: Index, channels: usize| {
                    self.down(b, &window, &(first.clone() + start.clone()), channels);
                    self.across(b, &tile, &start, channels, to);
                };
                match whole {
                    0 => {}
                    1 => chunk(b, Index::Const(0), CHUNK),
                    _ => b.serial("chunk", whole, |b, at| chunk(b, at * CHUNK as i64, CHUNK)),
                }
                if rest > 0 {
                    chunk(b, Index::from(whole * CHUNK), rest);
                }
            });
        });
    }

    /// The columns of a window, of `channels` channels from channel `first` of the image on.
    fn down(&self, b: &mut Builder, window: &Window, first: &Index, channels: usize) {
        let across = self.columns.taken();
        let column = window.column.clone() * self.step[1] as i64;
        if self.halo {
            return b.serial("j", across, |b, j| {
                self.column(b, window, &window.row, &(column + j.clone()), &j, 0..self.rows.taken(), first, channels);
            });
        }
        // The columns of the window that the image has.
        let [height, width] = [window.image.dims[2], window.image.dims[3]];
        let begin = (Index::from(self.before[1]) - column.clone()).max(0usize).min(across);
        let end = (Index::from(width + self.before[1]) - column.clone()).min(across).max(begin.clone());
        for (rows, taken) in self.alike(height) {
            let (row, after) = (window.row.clone(), window.row.clone() + 1usize);
            b.for_loop("alike", row.max(rows.start), after.min(rows.end), LoopKind::Serial, |b, row| {
                b.for_loop("j", begin.clone(), end.clone(), LoopKind::Serial, |b, j| {
                    self.column(b, window, &row, &(column.clone() + j.clone()), &j, taken, first, channels);
                });
            });
        }
        for (name, from, to) in [("left", Index::Const(0), begin), ("right", end, Index::from(across))] {
            b.for_loop(name, from, to, LoopKind::Serial, |b, j| {
                b.serial("i", self.rows.given(), |b, i| {
                    channel_vectors(b, channels, |b, c, _| {
                        b.store(self.between, self.kept(i.clone(), j.clone(), c), 0.0)
                    });
                });
            });
        }
    }

    /// Rows of tiles whose windows have the same rows in an image of this height, and those rows.
    fn alike(&self, height: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let all = self.rows.taken();
        let rows = |tile: usize| {
            let top = tile * self.step[0];
            let begin = self.before[0].saturating_sub(top).min(all);
            begin..(height + self.before[0]).saturating_sub(top).min(all).max(begin)
        };
        let mut found: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        for tile in 0..self.tiles {
            match found.last_mut() {
                Some((tiles, same)) if *same == rows(tile) => tiles.end = tile + 1,
                _ => found.push((tile..tile + 1, rows(tile))),
            }
        }
        found
    }

    /// A column of a window, which is `pixel` of the mosaic, of which rows `taken` are the image's and the others zero.
    #[allow(clippy::too_many_arguments, reason = "a column's coordinates")]
    fn column(
        &self,
        b: &mut Builder,
        window: &Window,
        row: &Index,
        pixel: &Index,
        j: &Index,
        taken: Range<usize>,
        first: &Index,
        channels: usize,
    ) {
        let h = row.clone() * self.step[0] as i64;
        channel_vectors(b, channels, |b, c, _| {
            let channel = first.clone() + c.clone();
            let (n_across, w) = self.axes[1].locate(pixel.clone());
            let value = |b: &mut Builder, i: usize| {
                let (n_down, h) = self.axes[0].locate(h.clone() + i);
                let n = Axis::image(&self.axes, &window.mosaic, n_down, n_across.clone());
                let at = [n, channel.clone(), h - self.before[0], w.clone() - self.before[1]];
                b.bind(Expr::load(window.image.buffer, window.image.at(&at)))
            };
            let outside = Expr::F32(0.0);
            let values: Vec<Expr> = (0..self.rows.taken())
                .map(|i| if taken.contains(&i) { value(b, i) } else { outside.clone() })
                .collect();
            for (i, value) in self.rows.apply(b, &values).into_iter().enumerate() {
                b.store(self.between, self.kept(i.into(), j.clone(), c.clone()), value);
            }
        });
    }

    /// The rows of what the columns became: the points of a tile.
    fn across(&self, b: &mut Builder, tile: &Index, start: &Index, channels: usize, to: &Planes) {
        let (across, points_across) = (self.columns.taken(), self.columns.given());
        b.serial("i", self.rows.given(), |b, i| {
            channel_vectors(b, channels, |b, c, _| {
                let values = load(b, self.between, across, |j| self.kept(i.clone(), j.into(), c.clone()));
                let channel = start.clone() + c;
                for (j, value) in self.columns.apply(b, &values).into_iter().enumerate() {
                    let point = i.clone() * points_across as i64 + j;
                    b.store(to.buffer, to.at(&point, tile, channel.clone()), value);
                    // The same of the next points.
                    b.prefetch(to.buffer, to.at(&(point + points_across), tile, channel.clone()));
                }
            });
        });
    }

    /// Where the first transform leaves its result.
    fn kept(&self, i: Index, j: Index, c: Index) -> Index {
        (i * self.columns.taken() as i64 + j) * CHUNK as i64 + c
    }
}

/// The input of a tile.
struct Window<'a> {
    image: &'a View,
    mosaic: Index,
    /// The tile's row and column.
    row: Index,
    column: Index,
}
