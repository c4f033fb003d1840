//! Convolutions by Winograd's minimal filtering (see [`plan::winograd`](crate::plan::Winograd)).
//!
//! Three parts: tiles of the input are transformed (`Windows`), multiplied point by point, and the products
//! transformed to pixels. All three are one kernel, whose parallel iterations each do some tiles in scratch that stays
//! in cache; where a batch has few tiles, the input is transformed by a kernel of its own, and the iterations of the
//! second each do some channels, so that every weight is read once.

mod gradient;
mod linear;
mod phases;
mod weights;
mod windows;

pub use gradient::{gradient_product, gradient_weights};
pub use phases::polyphase;
pub use weights::transform_weights;

use super::Tensor;
use super::contraction::{CACHE_LINE, Tiles};
use super::epilogue::{Finish, Then};
use super::nest::channel_vectors;
use crate::kernel::build::{Builder, View};
use crate::kernel::{Access, BufferId, DType, Expr, Index, Kernel, LoopKind};
use crate::plan::{Division, Images, Tile, TransformedWeights, Winograd, WinogradWork};
use crate::target::Target;
use linear::{Linear, load};
use windows::{Axis, CHUNK, Grid, Planes, Windows};

/// Parallel iterations that are enough for threads to share evenly.
const ENOUGH: usize = 16;

/// y = conv(x, weights), then the epilogue; weights transformed.
pub fn conv(target: &Target, name: &str, work: &WinogradWork, tensors: [&Tensor; 3], operands: &[Tensor]) -> Kernel {
    let [x, weights, y] = tensors;
    let form = &work.form;
    let Division::Tiles { mosaics, rows } = form.division else {
        panic!("bug in netc: {name} does not divide tiles");
    };
    let mut b = Builder::new(name, target.lanes);
    let x = x.declare(&mut b, "x", Access::Read);
    let weights = weights.declare(&mut b, "weights", Access::Read);
    let finish = Then { steps: &work.epilogue, operands }.declare(&mut b, &y.dims);
    let y = y.declare(&mut b, "y", Access::Write);
    let inner = x.dims[1] / form.groups;
    let tiles = mosaics * rows * form.tiles[1];
    let layout = TransformedWeights::new(form, y.dims[1], inner, work.tile);
    let product = Product::declare(&mut b, layout, work.tile, weights.buffer, tiles);
    let input = Planes::scratch(&mut b, "input", tiles, inner, form.area());
    let windows = Windows::input(&mut b, target, form, work.before, true);
    let output = Output::declare(&mut b, target, form, &y, finish, layout.columns);
    let bands = form.tiles[0] / rows;
    b.parallel("part", x.dims[0] / form.mosaic.count() / mosaics * bands, |b, p| {
        let grid = Grid {
            mosaics,
            rows,
            columns: form.tiles[1],
            first_mosaic: p.clone() / bands as i64 * mosaics as i64,
            first_row: p % bands as i64 * rows as i64,
        };
        each_group(b, form.groups, |b, group| {
            windows.transform(b, &x, &(group.clone() * inner as i64), inner, &grid, &input);
            b.serial("block", layout.blocks, |b, block| {
                b.serial("point", form.area(), |b, point| product.multiply(b, &input, [&group, &point, &block]));
                output.store_block(b, &product.sums, &grid, [&group, &block]);
            });
        });
    });
    b.finish()
}

/// All tiles of a convolution's input, or of its result's gradient, at all points: `[groups][points][tiles][channels]`.
pub fn transform_images(target: &Target, name: &str, form: &Winograd, kind: Images, x: &Tensor, to: &Tensor) -> Kernel {
    let mut b = Builder::new(name, target.lanes);
    let x = x.declare(&mut b, "x", Access::Read);
    let to = to.declare(&mut b, "points", Access::Write);
    let channels = x.dims[1] / form.groups;
    let [high, wide] = form.tiles;
    let planes = Planes::global(to.buffer, form.tiles_of(x.dims[0]), channels, form.area());
    let windows = match kind {
        Images::Input { before, halo } => Windows::input(&mut b, target, form, before, halo),
        Images::Gradient => Windows::gradient(&mut b, target, form),
    };
    let rows = x.dims[0] / form.mosaic.count() * high;
    // Few rows are not enough for threads to share evenly: they share the channels too, a thread's side by side.
    let (whole, rest) = if rows < ENOUGH { (channels / CHUNK, channels % CHUNK) } else { (0, channels) };
    let chunks = whole + usize::from(rest > 0);
    b.parallel("part", form.groups * chunks * rows, |b, p| {
        let (at, row) = (p.clone() / rows as i64, p % rows as i64);
        let (group, chunk) = (at.clone() / chunks as i64, at % chunks as i64);
        let transform = |b: &mut Builder, chunk: Index, count: usize| {
            let (first_mosaic, first_row) = (row.clone() / high as i64, row.clone() % high as i64);
            let grid = Grid { mosaics: 1, rows: 1, columns: wide, first_mosaic, first_row };
            let start = chunk * CHUNK as i64;
            let planes = planes.from(group.clone() * planes.len() as i64 + start.clone(), row.clone() * wide as i64);
            windows.transform(b, &x, &(group.clone() * channels as i64 + start), count, &grid, &planes);
        };
        match (whole, rest) {
            (_, 0) => transform(b, chunk, CHUNK),
            (0, _) => transform(b, Index::Const(0), rest),
            _ => {
                let end = (chunk.clone() + 1usize).min(whole);
                b.for_loop("whole", chunk.clone(), end, LoopKind::Serial, |b, at| transform(b, at, CHUNK));
                let begin = chunk.clone().max(whole);
                b.for_loop("partial", begin, chunk + 1usize, LoopKind::Serial, |b, at| transform(b, at, rest));
            }
        }
    });
    b.finish()
}

/// y = the rest of a convolution of transformed tiles, then the epilogue.
pub fn multiply(
    target: &Target,
    name: &str,
    work: &WinogradWork,
    tensors: [&Tensor; 3],
    operands: &[Tensor],
) -> Kernel {
    let [points, weights, y] = tensors;
    let form = &work.form;
    let mut b = Builder::new(name, target.lanes);
    let points = points.declare(&mut b, "points", Access::Read);
    let weights = weights.declare(&mut b, "weights", Access::Read);
    let finish = Then { steps: &work.epilogue, operands }.declare(&mut b, &y.dims);
    let y = y.declare(&mut b, "y", Access::Write);
    let batch = y.dims[0];
    let tiles = form.tiles_at_once(batch);
    let inner = work.inner / form.groups;
    let input = Planes::global(points.buffer, tiles, inner, form.area());
    let layout = TransformedWeights::new(form, y.dims[1], inner, work.tile);
    let product = Product::declare(&mut b, layout, work.tile, weights.buffer, tiles);
    let output = Output::declare(&mut b, target, form, &y, finish, layout.columns);
    let grid = Grid {
        mosaics: batch / form.mosaic.count(),
        rows: form.tiles[0],
        columns: form.tiles[1],
        first_mosaic: Index::Const(0),
        first_row: Index::Const(0),
    };
    let blocks = layout.blocks;
    b.parallel("block", form.groups * blocks, |b, p| {
        let (group, block) = (p.clone() / blocks as i64, p % blocks as i64);
        let input = input.from(group.clone() * input.len() as i64, Index::Const(0));
        b.serial("point", form.area(), |b, point| product.multiply(b, &input, [&group, &point, &block]));
        output.store_block(b, &product.sums, &grid, [&group, &block]);
    });
    b.finish()
}

fn each_group(b: &mut Builder, groups: usize, body: impl FnOnce(&mut Builder, Index)) {
    if groups == 1 { body(b, Index::Const(0)) } else { b.serial("group", groups, body) }
}

/// The matrix products, a point and a block of channels at a time.
struct Product {
    layout: TransformedWeights,
    weights: BufferId,
    rows: Tiles,
    /// What the products are stored to.
    sums: Planes,
}

impl Product {
    /// Of `tiles` tiles at a time and one block of channels.
    fn declare(b: &mut Builder, layout: TransformedWeights, tile: Tile, weights: BufferId, tiles: usize) -> Product {
        let sums = Planes::scratch(b, "products", tiles, layout.columns, layout.points);
        Product { layout, weights, rows: Tiles::declare(b, tile, tiles), sums }
    }

    /// The products of one point and one block of channels.
    fn multiply(&self, b: &mut Builder, input: &Planes, [group, point, block]: [&Index; 3]) {
        let layout = &self.layout;
        // From a panel of weights to the next point's.
        let next = (layout.blocks * layout.inner * layout.columns) as i64;
        let columns = layout.columns as i64;
        let first = group.clone() * layout.group() as i64
            + (point.clone() * layout.blocks as i64 + block.clone()) * (layout.inner as i64 * columns);
        self.rows.each(b, |b, tile, sums| {
            sums.set(b, |_, _| Expr::F32(0.0));
            b.serial("k", layout.inner, |b, k| {
                let left = |row: Index| Expr::load(input.buffer, input.at(point, &(tile.clone() + row), k.clone()));
                let right = |column: Index| Expr::load(self.weights, first.clone() + k.clone() * columns + column);
                sums.add(b, left, right);
                for line in (0..columns).step_by(CACHE_LINE) {
                    b.prefetch(self.weights, first.clone() + k.clone() * columns + (line + next));
                }
            });
            sums.finish(b, |b, row, column, sum| {
                b.store(self.sums.buffer, self.sums.at(point, &(tile.clone() + row), column), sum);
            });
        });
    }
}

/// The last part: from products to pixels.
struct Output {
    view: View,
    rows: Linear,
    columns: Linear,
    finish: Finish,
    /// Of a group.
    channels: usize,
    /// Of a block.
    block: usize,
    axes: [Axis; 2],
    /// What the first dimension's transform leaves.
    between: BufferId,
}

impl Output {
    fn declare(b: &mut Builder, target: &Target, form: &Winograd, view: &View, finish: Finish, block: usize) -> Output {
        let [rows, columns] = form.transforms().map(|t| Linear::new(t.output, target.fused));
        let between = b.scratch("between", DType::F32, rows.given() * columns.taken() * block);
        let channels = view.dims[1] / form.groups;
        Output {
            view: view.clone(),
            rows,
            columns,
            finish,
            channels,
            block,
            axes: Axis::of(form, form.outputs),
            between,
        }
    }

    /// Transforms the products of a block of channels, and stores them.
    fn store_block(&self, b: &mut Builder, products: &Planes, grid: &Grid, [group, block]: [&Index; 2]) {
        let columns = self.block;
        let first = group.clone() * self.channels as i64 + block.clone() * columns as i64;
        let (whole, rest) = (self.channels / columns, self.channels % columns);
        if whole > 0 {
            let end = if rest == 0 { block.clone() + 1usize } else { (block.clone() + 1usize).min(whole) };
            b.for_loop("whole", block.clone(), end, LoopKind::Serial, |b, _| {
                self.store(b, products, grid, &first, columns);
            });
        }
        if rest > 0 {
            let end = block.clone() + 1usize;
            b.for_loop("partial", block.clone().max(whole), end, LoopKind::Serial, |b, _| {
                self.store(b, products, grid, &first, rest);
            });
        }
    }

    /// Transforms `channels` channels of all tiles of the grid, and stores them from channel `first` on.
    fn store(&self, b: &mut Builder, products: &Planes, grid: &Grid, first: &Index, channels: usize) {
        let [height, width] = [self.view.dims[2], self.view.dims[3]];
        let given = self.columns.given();
        let (across, last) = match self.axes[1].is_shared() {
            true => (grid.columns, 0),
            false => (width / given, width % given),
        };
        grid.each_row(b, |b, mosaic, row, tile0| {
            let h = row * self.rows.given() as i64;
            let rows = if self.axes[0].is_shared() {
                Index::from(self.rows.given())
            } else {
                (Index::Const(height as i64) - h.clone()).min(self.rows.given())
            };
            b.serial("across", across, |b, column| {
                let place = [mosaic.clone(), h.clone(), column.clone() * given as i64];
                self.tile(b, products, &(tile0.clone() + column), &place, &rows, given, first, channels);
            });
            if last > 0 {
                let place = [mosaic.clone(), h.clone(), Index::from(across * given)];
                self.tile(b, products, &(tile0.clone() + across), &place, &rows, last, first, channels);
            }
        });
    }

    #[allow(clippy::too_many_arguments, reason = "a tile's coordinates")]
    fn tile(
        &self,
        b: &mut Builder,
        products: &Planes,
        tile: &Index,
        [mosaic, h, w]: &[Index; 3],
        rows: &Index,
        columns: usize,
        first: &Index,
        channels: usize,
    ) {
        let across = self.columns.taken();
        let kept = |a: Index, j: Index, c: Index| (a * across as i64 + j) * self.block as i64 + c;
        b.serial("j", across, |b, j| {
            channel_vectors(b, channels, |b, c, _| {
                let values = load(b, products.buffer, self.rows.taken(), |i| {
                    products.at(&(j.clone() + i * across), tile, c.clone())
                });
                for (a, value) in self.rows.apply(b, &values).into_iter().enumerate() {
                    b.store(self.between, kept(a.into(), j.clone(), c.clone()), value);
                }
            });
        });
        b.for_loop("a", 0usize, rows.clone(), LoopKind::Serial, |b, a| {
            channel_vectors(b, channels, |b, c, _| {
                let values = load(b, self.between, across, |j| kept(a.clone(), j.into(), c.clone()));
                let pixels = self.columns.apply(b, &values);
                let (n_down, row) = self.axes[0].locate(h.clone() + a.clone());
                for (j, value) in pixels.into_iter().enumerate().take(columns) {
                    let (n_across, column) = self.axes[1].locate(w.clone() + j);
                    let n = Axis::image(&self.axes, mosaic, n_down.clone(), n_across);
                    self.pixel(b, n, first.clone() + c.clone(), [row.clone(), column], value);
                }
            });
        });
    }

    /// Stores a pixel after the epilogue, unless it lies between the images of a mosaic.
    fn pixel(&self, b: &mut Builder, n: Index, channel: Index, [row, column]: [Index; 2], value: Expr) {
        let mut exists = Index::from(1usize);
        let mut at = [n, channel, row, column];
        for axis in (0..2).filter(|&axis| self.axes[axis].is_shared()) {
            let (size, place) = (self.view.dims[axis + 2], at[axis + 2].clone());
            exists = exists.min(Index::from(size) - place.clone());
            at[axis + 2] = place.min(size - 1);
        }
        let store = |b: &mut Builder| {
            let value = self.finish.at(value, &at);
            b.store(self.view.buffer, self.view.at(&at), value);
        };
        match self.axes.iter().any(Axis::is_shared) {
            true => b.serial("exists", exists, |b, _| store(b)),
            false => store(b),
        }
    }
}
