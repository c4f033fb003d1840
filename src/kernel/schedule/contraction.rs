//! The register tile that every matrix product and convolution is made of.
//!
//! A tile is `rows` × `vectors` vectors of sums held in registers. One step of the reduction loads `vectors` vectors of
//! the right operand, broadcasts `rows` elements of the left one, and does rows·vectors fused multiply-adds. Forward and
//! backward convolutions and matrix products differ only in where the operands come from.

use crate::kernel::build::{Builder, View};
use crate::kernel::{Binary, BufferId, Compare, Expr, Index, LoopKind};
use crate::plan::{Tile, balanced};

/// Covers 0..len with tiles of at most `most` rows: `body` gets each tile's first row and its size, and is called once
/// a size.
pub fn tiles(b: &mut Builder, name: &str, len: usize, most: usize, mut body: impl FnMut(&mut Builder, Index, usize)) {
    let (count, longer) = balanced(len, most);
    let rows = len / count;
    if longer > 0 {
        b.serial(name, longer, |b, t| body(b, t * (rows as i64 + 1), rows + 1));
    }
    if count > longer && rows > 0 {
        let start = longer * (rows + 1);
        b.serial(name, count - longer, |b, t| body(b, t * rows as i64 + start, rows));
    }
}

/// The sums of a tile of `rows` rows.
pub struct Sums {
    registers: BufferId,
    tile: Tile,
    rows: usize,
}

impl Sums {
    /// Registers for a tile of `rows` rows.
    pub fn declare(b: &mut Builder, tile: Tile, rows: usize) -> Sums {
        Sums { registers: b.registers(format!("sums{rows}"), rows * tile.columns()), tile, rows }
    }

    /// One pair of register banks for the two sizes that [`tiles`] makes of `len`.
    pub fn for_tiles(b: &mut Builder, tile: Tile, len: usize, most: usize) -> [Sums; 2] {
        let (count, _) = balanced(len, most);
        let rows = len / count;
        [Sums::declare(b, tile, rows), Sums::declare(b, tile, rows + 1)]
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

    /// Hands the sums of the first `valid` columns to `body(row, column, sum)`; `valid` is at most the tile's columns and may depend on outer
    /// loops. They go through `spill`, rows × columns elements of scratch.
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

/// What happens to a sum before it is stored; operands are views.
#[derive(Debug, Clone)]
pub enum Finish {
    /// Adds `bias[channel]`.
    Bias(View),
    /// max(0, ·).
    Relu,
    /// Zero where the operand at the same coordinates is not positive.
    ReluMask(View),
}

/// Applies the epilogue to the element of `channel` at `coordinates`.
pub fn epilogue(finish: &[Finish], sum: Expr, channel: &Index, coordinates: &[Index]) -> Expr {
    finish.iter().fold(sum, |value, step| match step {
        Finish::Bias(bias) => value + Expr::load(bias.buffer, bias.at(std::slice::from_ref(channel))),
        Finish::Relu => Expr::F32(0.0).binary(Binary::Max, value),
        Finish::ReluMask(y) => {
            let positive = Expr::load(y.buffer, y.at(coordinates)).compare(Compare::Gt, Expr::F32(0.0));
            positive.select(value, Expr::F32(0.0))
        }
    })
}
