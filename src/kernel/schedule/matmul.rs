//! Matrix products of two-dimensional tensors by register tiles.
//!
//! A parallel iteration makes one block of rows and columns of the product. It walks the sum in chunks: of both operands
//! it brings what the block needs of a chunk side by side into scratch, where it stays in a cache while every tile of
//! the block adds its products. A packed right operand is read where it is: from start to end if one tile is as high as
//! the block, so that there is one chunk. The order of a sum depends on shapes alone.
//!
//! Where the product is a gradient that states follow, the complete sums of a block stay in scratch until the states are
//! updated by them. What that reads of the states is asked for while the last chunk is multiplied.

use super::Tensor;
use super::contraction::{CACHE_LINE, Sums, Tiles};
use super::epilogue::{Destination, Finish, Then};
use crate::kernel::build::{Builder, View};
use crate::kernel::{Access, BufferId, DType, Expr, Index, Kernel, LoopKind};
use crate::plan::{MatMulWork, balanced, odd_lines};
use crate::target::Target;

/// Elements of the sum in a chunk, at most.
const CHUNK: usize = 256;

/// Rows and columns of a block, at most: a chunk of both operands and the sums take a third of a megabyte.
const BLOCK: usize = 128;

/// Rows of the left operand that do not displace each other in a cache, however far apart they are.
const FEW: usize = 4;

/// Blocks that a product has at least, for threads to share, if it is large enough.
const BLOCKS: usize = 32;

/// left·right or its transpose, then the epilogue; stored, or followed by an update of states.
pub fn matmul(
    target: &Target,
    name: &str,
    work: &MatMulWork,
    [left, right]: [&Tensor; 2],
    operands: &[Tensor],
    results: &[Tensor],
) -> Kernel {
    let columns = work.tile.columns();
    let dims = &results[0].dims;
    let [height, width] = if work.turned { [dims[1], dims[0]] } else { [dims[0], dims[1]] };
    let depth = left.dims[usize::from(!work.transposed)];
    let blocks = Blocks::choose(work, height, width, depth);
    let mut b = Builder::new(name, target.lanes);
    let left = left.declare(&mut b, "a", Access::Read);
    let right = right.declare(&mut b, "b", Access::Read);
    let (operands, updating) = operands.split_at(work.epilogue.iter().map(|step| step.operands().len()).sum());
    let finish = Then { steps: &work.epilogue, operands }.declare(&mut b, dims);
    let destination = Destination::declare(&mut b, work.update, updating, results);
    let longest = depth.div_ceil(blocks.chunks);
    // Rows an odd number of cache lines apart do not contend for the same places of a cache.
    let pitch = odd_lines(if work.transposed { blocks.rows } else { longest });
    let copied = if work.transposed { longest } else { blocks.rows } * pitch;
    let partial = blocks.chunks > 1 || work.update.is_some();
    let scratch = Scratch {
        left: blocks.copies_left.then(|| b.scratch("left", DType::F32, copied)),
        right: (!work.packed).then(|| b.scratch("panels", DType::F32, longest * blocks.panels * columns)),
        partial: partial.then(|| b.scratch("partial", DType::F32, blocks.rows * blocks.panels * columns)),
        spill: (!width.is_multiple_of(columns)).then(|| b.scratch("spill", DType::F32, (work.tile.rows + 1) * columns)),
        pitch,
    };
    let product = Product { work, left, right, destination, finish, scratch, blocks, width, depth };
    let (whole, rest) = (height / blocks.rows, height % blocks.rows);
    let whole_tiles = (whole > 0).then(|| Tiles::declare(&mut b, work.tile, blocks.rows));
    let rest_tiles = (rest > 0).then(|| Tiles::declare(&mut b, work.tile, rest));
    let down = whole + usize::from(rest > 0);
    let across = width.div_ceil(blocks.panels * columns);
    b.parallel("block", down * across, |b, p| {
        let (row, column) = (p.clone() / across as i64, p % across as i64);
        let row0 = row.clone() * blocks.rows as i64;
        match (&whole_tiles, &rest_tiles) {
            (Some(tiles), None) => product.block(b, tiles, blocks.rows, &row0, &column),
            (None, Some(tiles)) => product.block(b, tiles, rest, &row0, &column),
            (Some(tiles), Some(narrower)) => {
                let end = (row.clone() + 1usize).min(whole);
                b.for_loop("whole", row.clone(), end, LoopKind::Serial, |b, row| {
                    product.block(b, tiles, blocks.rows, &(row * blocks.rows as i64), &column);
                });
                b.for_loop("partial", row.clone().max(whole), row + 1usize, LoopKind::Serial, |b, row| {
                    product.block(b, narrower, rest, &(row * blocks.rows as i64), &column);
                });
            }
            (None, None) => {}
        }
    });
    b.finish()
}

/// How a product is divided.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    /// Rows of a block.
    rows: usize,
    /// Panels of a block: columns, in tiles.
    panels: usize,
    /// Parts of the sum.
    chunks: usize,
    /// Whether a block's rows of the left operand are brought side by side.
    copies_left: bool,
}

impl Blocks {
    fn choose(work: &MatMulWork, height: usize, width: usize, depth: usize) -> Blocks {
        let columns = work.tile.columns();
        let panels = width.div_ceil(columns);
        let mut blocks = Blocks {
            rows: height.min(BLOCK),
            panels: (BLOCK / columns).clamp(1, panels),
            chunks: 1,
            copies_left: false,
        };
        let count = |blocks: &Blocks| height.div_ceil(blocks.rows) * panels.div_ceil(blocks.panels);
        while count(&blocks) < BLOCKS && blocks.panels > 1 {
            blocks.panels = blocks.panels.div_ceil(2);
        }
        while count(&blocks) < BLOCKS && blocks.rows > 2 * work.tile.rows {
            blocks.rows = blocks.rows.div_ceil(2);
        }
        // What is used once is read where it is, and few rows stay in a cache wherever they are.
        let once = work.packed && blocks.rows <= work.tile.rows;
        blocks.copies_left = blocks.panels > 1 && blocks.rows > FEW;
        if !once || blocks.copies_left {
            (blocks.chunks, _) = balanced(depth, CHUNK);
        }
        blocks
    }
}

struct Scratch {
    left: Option<BufferId>,
    right: Option<BufferId>,
    /// Sums so far.
    partial: Option<BufferId>,
    /// For panels that the last columns do not fill.
    spill: Option<BufferId>,
    /// Elements from one row of the left operand's copy to the next.
    pitch: usize,
}

struct Product<'a> {
    work: &'a MatMulWork,
    left: View,
    right: View,
    finish: Finish,
    destination: Destination,
    scratch: Scratch,
    blocks: Blocks,
    width: usize,
    depth: usize,
}

/// A chunk of the sum of a block.
struct Chunk<'a> {
    /// First row of the block, and how many.
    row0: &'a Index,
    rows: usize,
    /// First panel of the block, and how many.
    panel0: Index,
    panels: Index,
    /// First element of the sum, and how many.
    k0: Index,
    len: usize,
    first: bool,
    last: bool,
}

/// The cache lines of each state that a tile asks for.
#[derive(Debug, Clone, Copy)]
struct Asks {
    /// How many.
    lines: usize,
    /// Of them, a step of the sum.
    each: usize,
    /// Steps of the sum that ask.
    steps: usize,
}

impl Product<'_> {
    /// One block of the result: `rows` rows from `row0`, the panels of block `column`.
    fn block(&self, b: &mut Builder, tiles: &Tiles, rows: usize, row0: &Index, column: &Index) {
        let Blocks { panels, chunks, .. } = self.blocks;
        let all = self.width.div_ceil(self.work.tile.columns());
        let panel0 = column.clone() * panels as i64;
        let count = if all.is_multiple_of(panels) {
            Index::from(panels)
        } else {
            (Index::from(all) - panel0.clone()).min(panels)
        };
        let pass = |b: &mut Builder, k0: Index, len: usize, first: bool, last: bool| {
            let (panel0, panels) = (panel0.clone(), count.clone());
            self.chunk(b, tiles, &Chunk { row0, rows, panel0, panels, k0, len, first, last });
        };
        // Chunks of the sum: the longer ones first, then the others.
        let (depth, short) = (self.depth, self.depth / chunks);
        let longer = depth % chunks;
        for (from, count, len) in [(0, longer, short + 1), (longer * (short + 1), chunks - longer, short)] {
            if count == 0 || len == 0 {
                continue;
            }
            let last = from + count * len == depth;
            let (head, tail) = if last { (count - 1, 1) } else { (count, 0) };
            if head > 0 && from == 0 {
                pass(b, Index::Const(0), len, true, false);
            }
            let skipped = usize::from(from == 0);
            if head > skipped {
                b.serial("chunk", head - skipped, |b, c| {
                    pass(b, (c + skipped) * len as i64 + from, len, false, false);
                });
            }
            if tail > 0 {
                pass(b, Index::Const((depth - len) as i64), len, depth == len, true);
            }
        }
    }

    fn chunk(&self, b: &mut Builder, tiles: &Tiles, chunk: &Chunk) {
        self.copy_left(b, chunk);
        self.copy_right(b, chunk);
        let whole = Index::from(1usize);
        if chunk.panels == whole {
            self.panel(b, tiles, chunk, &Index::Const(0));
        } else {
            b.serial("panel", chunk.panels.clone(), |b, panel| self.panel(b, tiles, chunk, &panel));
        }
        if let (Some(partial), Some(_), true) = (self.scratch.partial, self.work.update, chunk.last) {
            self.update(b, chunk, partial);
        }
    }

    /// Updates the states by the complete sums of a block, row by row: rows of tiles are too short for a memory.
    fn update(&self, b: &mut Builder, chunk: &Chunk, sums: BufferId) {
        let (pitch, lanes) = (self.pitch(), self.work.tile.lanes as i64);
        let first = chunk.panel0.clone() * self.work.tile.columns() as i64;
        let valid = match self.width.is_multiple_of(pitch) {
            true => Index::from(pitch),
            false => (Index::from(self.width) - first.clone()).min(pitch),
        };
        b.serial("row", chunk.rows, |b, row| {
            let update = |b: &mut Builder, column: Index| {
                let sum = Expr::load(sums, row.clone() * pitch as i64 + column.clone());
                self.store_one(b, chunk.row0.clone() + row.clone(), first.clone() + column, sum);
            };
            b.serial("vector", valid.clone() / lanes, |b, v| {
                b.vector("lane", self.work.tile.lanes, |b, lane| update(b, v * lanes + lane));
            });
            b.for_loop("column", valid.clone() / lanes * lanes, valid.clone(), LoopKind::Serial, update);
        });
    }

    /// Columns of a block, those beyond the product's counted.
    fn pitch(&self) -> usize {
        self.blocks.panels * self.work.tile.columns()
    }

    /// A chunk of the sums of one panel of a block.
    fn panel(&self, b: &mut Builder, tiles: &Tiles, chunk: &Chunk, panel: &Index) {
        let columns = self.work.tile.columns() as i64;
        let first = (chunk.panel0.clone() + panel.clone()) * columns;
        let ahead = self.lines_ahead(tiles, chunk);
        tiles.each(b, |b, row, sums| {
            let kept = |r: Index, c: Index| (row.clone() + r) * self.pitch() as i64 + (panel.clone() * columns + c);
            match self.scratch.partial {
                Some(partial) if !chunk.first => sums.set(b, |r, c| Expr::load(partial, kept(r, c))),
                _ => sums.set(b, |_, _| Expr::F32(0.0)),
            }
            let step = |b: &mut Builder, k: &Index| {
                let left = |r: Index| self.left(chunk, row.clone() + r, k.clone());
                sums.add(b, left, |c| self.right(chunk, panel, k.clone(), c));
                if let Some(lines) = ahead {
                    let step = (row.clone() / sums.rows() as i64 * chunk.len as i64 + k.clone()) * lines as i64;
                    for line in 0..lines {
                        let at = (step.clone() + line) * CACHE_LINE as i64;
                        b.prefetch(self.right.buffer, self.next(chunk, panel) + at);
                    }
                }
            };
            let asks = self.asks(chunk, sums);
            if asks.steps > 0 {
                b.serial("k", asks.steps, |b, k| {
                    step(b, &k);
                    self.ask(b, chunk, asks, [&row, panel], &k);
                });
            }
            if asks.steps < chunk.len {
                b.for_loop("k", asks.steps, chunk.len, LoopKind::Serial, |b, k| step(b, &k));
            }
            match self.scratch.partial {
                Some(partial) if !chunk.last || self.work.update.is_some() => {
                    sums.finish(b, |b, r, c, sum| b.store(partial, kept(r, c), sum))
                }
                _ => self.store(b, sums, &(chunk.row0.clone() + row), &first),
            }
        });
    }

    /// Cache lines of the chunk of a packed panel that comes next to ask for at each step of the sum, if the tiles of a
    /// block are so few that memory may be slower than they are. A panel that is read from start to end needs no asking.
    fn lines_ahead(&self, tiles: &Tiles, chunk: &Chunk) -> Option<usize> {
        let lines = self.work.tile.columns() / CACHE_LINE;
        let asks = self.work.packed && chunk.len <= CHUNK && tiles.count() <= lines;
        asks.then(|| lines.div_ceil(tiles.count()))
    }

    /// How to ask for a part of what the update of a block reads while the last products are added to a tile's sums.
    fn asks(&self, chunk: &Chunk, sums: &Sums) -> Asks {
        let across = self.work.tile.columns() / CACHE_LINE;
        let wanted = chunk.last && !self.work.turned && !self.destination.states().is_empty();
        let lines = if wanted { sums.rows() * across } else { 0 };
        let each = lines.div_ceil(chunk.len).max(1);
        Asks { lines, each, steps: lines.div_ceil(each) }
    }

    /// Asks for the lines that step `k` of a tile, by its row and panel, asks for: the tiles of a row of them share the
    /// lines of their rows, each of which is asked for from start to end.
    fn ask(&self, b: &mut Builder, chunk: &Chunk, asks: Asks, [row0, panel]: [&Index; 2], k: &Index) {
        let across = (self.pitch() / CACHE_LINE) as i64;
        let column0 = chunk.panel0.clone() * self.work.tile.columns() as i64;
        for line in 0..asks.each {
            let line = panel.clone() * asks.lines as i64 + (k.clone() * asks.each as i64 + line);
            let row = chunk.row0.clone() + row0.clone() + line.clone() / across;
            let column = column0.clone() + line % across * CACHE_LINE as i64;
            for state in self.destination.states() {
                b.prefetch(state.buffer, state.at(&[row.clone(), column.clone()]));
            }
        }
    }

    /// The chunk of a packed panel that is read after this one: the next panel's, or the first panel's next chunk.
    fn next(&self, chunk: &Chunk, panel: &Index) -> Index {
        let (columns, panels) = (self.work.tile.columns() as i64, self.blocks.panels as i64);
        let next = panel.clone() + 1usize;
        let k = chunk.k0.clone() + next.clone() / panels * chunk.len as i64;
        (chunk.panel0.clone() + next % panels) * (self.depth as i64 * columns) + k * columns
    }

    /// An element of the left operand: row of the block, element of the chunk.
    fn left(&self, chunk: &Chunk, row: Index, k: Index) -> Expr {
        match self.scratch.left {
            Some(copy) => {
                let (slow, fast) = if self.work.transposed { (k, row) } else { (row, k) };
                Expr::load(copy, slow * self.scratch.pitch as i64 + fast)
            }
            None => {
                let (row, k) = (chunk.row0.clone() + row, chunk.k0.clone() + k);
                Expr::load(self.left.buffer, self.left.at(&if self.work.transposed { [k, row] } else { [row, k] }))
            }
        }
    }

    /// An element of the right operand: panel of the block, element of the chunk, column of the panel.
    fn right(&self, chunk: &Chunk, panel: &Index, k: Index, column: Index) -> Expr {
        let columns = self.work.tile.columns();
        match self.scratch.right {
            Some(copy) => Expr::load(copy, panel.clone() * (chunk.len * columns) as i64 + k * columns as i64 + column),
            None => {
                let panel = (chunk.panel0.clone() + panel.clone()) * (self.depth * columns) as i64;
                let row = (chunk.k0.clone() + k) * columns as i64;
                Expr::load(self.right.buffer, panel + row + column)
            }
        }
    }

    fn copy_left(&self, b: &mut Builder, chunk: &Chunk) {
        let Some(copy) = self.scratch.left else { return };
        let transposed = self.work.transposed;
        let (slow, fast) = if transposed { (chunk.len, chunk.rows) } else { (chunk.rows, chunk.len) };
        b.serial("line", slow, |b, line| {
            b.vectors("element", fast, |b, at| {
                let to = line.clone() * self.scratch.pitch as i64 + at.clone();
                let (row, k) = if transposed { (at, line.clone()) } else { (line.clone(), at) };
                let (row, k) = (chunk.row0.clone() + row, chunk.k0.clone() + k);
                let from = self.left.at(&if transposed { [k, row] } else { [row, k] });
                b.store(copy, to, Expr::load(self.left.buffer, from));
            });
        });
    }

    fn copy_right(&self, b: &mut Builder, chunk: &Chunk) {
        let Some(copy) = self.scratch.right else { return };
        let (columns, lanes) = (self.work.tile.columns(), self.work.tile.lanes);
        b.serial("panel", chunk.panels.clone(), |b, panel| {
            let first = (chunk.panel0.clone() + panel.clone()) * columns as i64;
            let to = panel * (chunk.len * columns) as i64;
            let copy = |b: &mut Builder, k: &Index, column: Index| {
                let from = self.right.at(&[chunk.k0.clone() + k.clone(), first.clone() + column.clone()]);
                let to = to.clone() + k.clone() * columns as i64 + column;
                b.store(copy, to, Expr::load(self.right.buffer, from));
            };
            b.serial("k", chunk.len, |b, k| {
                if self.width.is_multiple_of(columns) {
                    return b.unrolled("vector", columns / lanes, |b, v| {
                        b.vector("lane", lanes, |b, lane| copy(b, &k, v * lanes as i64 + lane));
                    });
                }
                let valid = self.valid(&first);
                b.serial("vector", valid.clone() / lanes as i64, |b, v| {
                    b.vector("lane", lanes, |b, lane| copy(b, &k, v * lanes as i64 + lane));
                });
                let rest = valid.clone() / lanes as i64 * lanes as i64;
                b.for_loop("column", rest, valid, LoopKind::Serial, |b, column| copy(b, &k, column));
            });
        });
    }

    /// Columns of the panel that starts at `first`.
    fn valid(&self, first: &Index) -> Index {
        (Index::from(self.width) - first.clone()).min(self.work.tile.columns())
    }

    /// Stores the sums of a tile.
    fn store(&self, b: &mut Builder, sums: &Sums, row0: &Index, first: &Index) {
        let store = |b: &mut Builder, row: Index, column: Index, sum: Expr| {
            self.store_one(b, row0.clone() + row, first.clone() + column, sum);
        };
        match self.scratch.spill {
            Some(spill) => sums.finish_partly(b, spill, self.valid(first), store),
            None => sums.finish(b, store),
        }
    }

    /// Stores what becomes of a sum.
    fn store_one(&self, b: &mut Builder, row: Index, column: Index, sum: Expr) {
        let at = if self.work.turned { [column, row] } else { [row, column] };
        let value = self.finish.at(sum, &at);
        self.destination.store(b, value, &at);
    }
}
