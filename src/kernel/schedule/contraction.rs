//! The register tile that every matrix product and convolution is made of.
//!
//! A tile is `rows` × `vectors` vectors of sums held in registers. One step of the reduction loads `vectors` vectors of
//! the right operand, broadcasts `rows` elements of the left one, and does rows·vectors fused multiply-adds. Forward
//! and backward convolutions and matrix products differ only in where the operands come from.

use super::epilogue::Finish;
use crate::kernel::build::{Builder, View};
use crate::kernel::{BufferId, DType, Expr, Index, LoopKind};
use crate::plan::{Tile, balanced};

/// f32 elements in a cache line.
pub(super) const CACHE_LINE: usize = 16;

/// Tiles that cover a number of rows. They have two sizes, which differ by one row, and a bank of registers a size.
pub struct Tiles {
    shorter: Sums,
    longer: Sums,
    /// How many tiles have each size.
    counts: [usize; 2],
}

impl Tiles {
    /// Tiles of at most `tile.rows` rows for 0..len.
    pub fn declare(b: &mut Builder, tile: Tile, len: usize) -> Tiles {
        let (count, longer) = balanced(len, tile.rows);
        let rows = len / count;
        let [shorter, one_more] = [rows, rows + 1].map(|rows| Sums::declare(b, tile, rows));
        Tiles { shorter, longer: one_more, counts: [count - longer, longer] }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.counts.iter().sum()
    }

    /// `body` gets each tile's first row and its sums, and is called once a size.
    pub fn each(&self, b: &mut Builder, mut body: impl FnMut(&mut Builder, Index, &Sums)) {
        let mut start = 0;
        for (sums, count) in [&self.longer, &self.shorter].into_iter().zip(self.counts.into_iter().rev()) {
            if count > 0 && sums.rows > 0 {
                b.serial("tile", count, |b, t| body(b, t * sums.rows as i64 + start, sums));
            }
            start += count * sums.rows;
        }
    }
}

/// The sums of a tile of `rows` rows.
pub struct Sums {
    registers: BufferId,
    tile: Tile,
    rows: usize,
}

impl Sums {
    /// Rows of the tile.
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn declare(b: &mut Builder, tile: Tile, rows: usize) -> Sums {
        Sums { registers: b.registers(format!("sums{rows}"), rows * tile.columns()), tile, rows }
    }

    fn each(&self, b: &mut Builder, body: impl Fn(&mut Builder, Index, Index, Index)) {
        let (columns, lanes) = (self.tile.columns() as i64, self.tile.lanes as i64);
        b.unrolled("row", self.rows, |b, row| {
            b.unrolled("vector", self.tile.vectors, |b, vector| {
                b.vector("lane", self.tile.lanes, |b, lane| {
                    let column = vector * lanes + lane;
                    body(b, row.clone(), column.clone(), row * columns + column);
                });
            });
        });
    }

    /// Sets all sums to `value(row, column)`.
    pub fn set(&self, b: &mut Builder, value: impl Fn(Index, Index) -> Expr) {
        self.each(b, |b, row, column, at| b.store(self.registers, at, value(row, column)));
    }

    /// Adds one step of the reduction: sum[row][column] += left(row) · right(column). Rows are outermost, so that one
    /// broadcast is alive at a time; the right operand's loads are the same in every row and done once.
    pub fn add(&self, b: &mut Builder, left: impl Fn(Index) -> Expr, right: impl Fn(Index) -> Expr) {
        self.each(b, |b, row, column, at| {
            let sum = Expr::load(self.registers, at.clone());
            let value =
                if self.tile.fused { left(row).mul_add(right(column), sum) } else { left(row) * right(column) + sum };
            b.store(self.registers, at, value);
        });
    }

    /// Hands each sum to `body(row, column, sum)`, in a vector loop over columns.
    pub fn finish(&self, b: &mut Builder, body: impl Fn(&mut Builder, Index, Index, Expr)) {
        self.each(b, |b, row, column, at| body(b, row, column, Expr::load(self.registers, at)));
    }

    /// Hands the sums of the first `valid` columns to `body(row, column, sum)`; `valid` is at most the tile's columns
    /// and may depend on outer loops. They go through `spill`, rows × columns elements of scratch.
    pub fn finish_partly(
        &self,
        b: &mut Builder,
        spill: BufferId,
        valid: Index,
        body: impl Fn(&mut Builder, Index, Index, Expr),
    ) {
        let columns = self.tile.columns() as i64;
        self.each(b, |b, row, column, at| {
            b.store(spill, row * columns + column, Expr::load(self.registers, at));
        });
        b.serial("row", self.rows, |b, row| {
            b.for_loop("column", 0usize, valid, LoopKind::Serial, |b, column| {
                let sum = Expr::load(spill, row.clone() * columns + column.clone());
                body(b, row, column, sum);
            });
        });
    }
}

/// Where a convolution's sums go: the columns of a tile are channels, its rows pixels of one row.
pub struct Output {
    view: View,
    /// Channels of a group.
    channels: usize,
    columns: usize,
    finish: Finish,
    /// For blocks of columns that the last channels do not fill.
    spill: Option<BufferId>,
}

impl Output {
    /// Of a view with this many groups of channels, after the epilogue.
    pub(super) fn declare(b: &mut Builder, tile: Tile, groups: usize, view: View, finish: Finish) -> Output {
        let (channels, columns) = (view.dims[1] / groups, tile.columns());
        let spill =
            (!channels.is_multiple_of(columns)).then(|| b.scratch("spill", DType::F32, (tile.rows + 1) * columns));
        Output { view, channels, columns, finish, spill }
    }

    /// Stores the sums of a block of channels of image `n`; `pixel` gives the coordinates of a row.
    pub fn store(
        &self,
        b: &mut Builder,
        sums: &Sums,
        [group, block, n]: [&Index; 3],
        pixel: impl Fn(Index) -> [Index; 2],
    ) {
        let first = block.clone() * self.columns as i64;
        let store = |b: &mut Builder, row: Index, column: Index, sum: Expr| {
            let channel = group.clone() * self.channels as i64 + first.clone() + column;
            let [h, w] = pixel(row);
            let at = [n.clone(), channel, h, w];
            let value = self.finish.at(sum, &at);
            b.store(self.view.buffer, self.view.at(&at), value);
        };
        match self.spill {
            None => sums.finish(b, store),
            Some(spill) => {
                let valid = (Index::Const(self.channels as i64) - first.clone()).min(self.columns);
                sums.finish_partly(b, spill, valid, store);
            }
        }
    }
}
