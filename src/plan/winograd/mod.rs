//! Convolutions by Winograd's minimal filtering: which are computed by it, and how they are cut up.
//!
//! The result is made in tiles of m_h×m_w pixels. A tile's input, (m_h + r_h − 1)×(m_w + r_w − 1) pixels, is transformed
//! to as many numbers a channel, its *points*; at each point the channels of the tiles and the transformed weights are
//! one matrix product; the products of a tile are transformed to its pixels. A convolution with a stride s is first
//! brought to stride 1: the s×s phases of its input become channels (*polyphase*), so that an 11×11 kernel of stride 4
//! over 3 channels becomes a 3×3 kernel over 48.
//!
//! Tiles that do not divide an image waste points at its edges. Images that lie side by side in a *mosaic*, with the
//! zeros between them shared, waste fewer: three tiles of 5 pixels cover an image of 13, and eleven cover four of them.
//! A mosaic exists in coordinates only; images stay where they are.

mod transform;

pub use transform::{Matrix, Transform, transposed};

use super::tile::odd_lines;
use super::{Halo, Tile};
use crate::graph::ConvGeometry;
use crate::target::Target;

/// How a convolution of stride 1 is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Winograd {
    /// Outputs of a tile: rows, columns.
    pub outputs: [usize; 2],
    /// Taps of the kernel: rows, columns.
    pub taps: [usize; 2],
    /// Tiles of a mosaic: rows, columns.
    pub tiles: [usize; 2],
    /// How images lie side by side.
    pub mosaic: Mosaic,
    /// Channel groups.
    pub groups: usize,
    /// How the tiles of a batch are divided.
    pub division: Division,
}

/// Images side by side, as one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mosaic {
    /// Images: down, across.
    pub images: [usize; 2],
    /// Pixels of the result from one image to the next: rows, columns.
    pub pitch: [usize; 2],
}

impl Mosaic {
    /// Images of it.
    pub fn count(&self) -> usize {
        self.images[0] * self.images[1]
    }

    /// Pixels of an axis before its last image.
    fn before_last(&self, axis: usize) -> usize {
        (self.images[axis] - 1) * self.pitch[axis]
    }
}

/// What is computed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Division {
    /// All of it for some tiles: those of a number of mosaics, or of a number of rows of tiles of one.
    Tiles {
        /// Mosaics.
        mosaics: usize,
        /// Rows of tiles of a mosaic; they divide its rows.
        rows: usize,
    },
    /// All tiles of the batch are transformed, then multiplied for some channels: where there are few tiles, so that
    /// weights are read once.
    Channels,
}

/// A convolution in terms of one with stride 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polyphase {
    /// Stride: rows, columns.
    pub stride: [usize; 2],
    /// Kernel: height, width.
    pub kernel: [usize; 2],
}

impl Polyphase {
    /// Taps of a phase: the rest is filled up with zeros.
    pub fn taps(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.kernel[axis].div_ceil(self.stride[axis]))
    }

    /// Phases: each is as many channels as there were.
    pub fn phases(&self) -> usize {
        self.stride[0] * self.stride[1]
    }

    /// The zeros around an image, with padding `before` it, that phases of height and width `size` are taken from.
    pub fn halo(&self, image: [usize; 2], before: [usize; 2], size: [usize; 2]) -> Halo {
        let after = |axis: usize| (size[axis] * self.stride[axis]).saturating_sub(before[axis] + image[axis]);
        Halo { top: before[0], bottom: after(0), left: before[1], right: after(1) }
    }

    /// Whether it changes anything.
    pub fn is_needed(&self) -> bool {
        self.phases() > 1
    }
}

/// Images that are transformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Images {
    /// A convolution's input, with rows and columns of padding before it.
    Input {
        /// Rows, columns.
        before: [usize; 2],
        /// Whether the padding is in memory, around the image.
        halo: bool,
    },
    /// The gradient of its result.
    Gradient,
}

/// What a convolution of stride 1 takes and gives.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Images.
    pub batch: usize,
    /// Such batches, one after the other: the weights are in a cache for all but the first.
    pub times: usize,
    /// Channels read.
    pub inner: usize,
    /// Channels made.
    pub outer: usize,
    /// Input: height, width.
    pub image: [usize; 2],
    /// Padding before it: rows, columns.
    pub before: [usize; 2],
    /// Result: height, width.
    pub result: [usize; 2],
    /// Kernel: height, width.
    pub taps: [usize; 2],
    /// Whether each image is computed by itself.
    pub apart: bool,
    /// Channel groups.
    pub groups: usize,
    /// Multiply-adds of an element of the result by the definition.
    pub definition: usize,
}

/// Multiply-adds that a transformed number is worth: it is computed from one dimension, then the other, stored and read
/// again, by vectors that wait for each other.
const TRANSFORM_COST: f64 = 2.0;

/// Multiply-adds, in the time of one of a vector's lanes, in which that lane's share of weights comes from memory.
const WEIGHT_COST: f64 = 0.5;

/// What a weight costs that is multiplied `count` times: the longer of multiplying and of reading it from memory, and a
/// part of the shorter, since the two overlap but for their ends.
fn weight_cost(target: &Target, count: f64) -> f64 {
    let read = WEIGHT_COST * target.lanes as f64;
    count.max(read) + count.min(read) / 4.0
}

impl Winograd {
    /// The cheapest, if it is cheaper than the definition or `anyway`.
    pub fn choose(target: &Target, extent: &Extent, anyway: bool) -> Option<Winograd> {
        let direct = (extent.lanes(target, extent.outer) * extent.definition) as f64;
        let direct = direct * weight_cost(target, (extent.times * extent.pixels()) as f64);
        let mut best = (if anyway { f64::INFINITY } else { direct }, None);
        for form in Winograd::all(extent) {
            let cost = form.cost(target, extent);
            if cost < best.0 {
                let division = form.divide(extent, target.cache / 8);
                // Few large mosaics are for a batch that is one, whose threads each do some channels.
                let images = form.mosaic.count();
                if images == 1 || images == extent.batch || division != Division::Channels {
                    best = (cost, Some(Winograd { division, ..form }));
                }
            }
        }
        best.1
    }

    /// The one of all, divided in any way, that a number draws; none, too, is one of them.
    pub fn drawn(extent: &Extent, number: u64) -> Option<Winograd> {
        let mut rest = number;
        let mut below = |count: usize| {
            let drawn = rest % count as u64;
            rest /= count as u64;
            drawn as usize
        };
        let all: Vec<Winograd> = Winograd::all(extent).collect();
        let form = *all.get(below(all.len() + 1))?;
        let mosaics = divisors(extent.batch / form.mosaic.count());
        let mosaics = mosaics.map(|mosaics| Division::Tiles { mosaics, rows: form.tiles[0] });
        let rows = divisors(form.tiles[0]).map(|rows| Division::Tiles { mosaics: 1, rows });
        let divisions: Vec<Division> = mosaics.chain(rows).chain([Division::Channels]).collect();
        Some(Winograd { division: divisions[below(divisions.len())], ..form })
    }

    /// Those of every size of tiles and of mosaics that can be used, undivided.
    fn all(extent: &Extent) -> impl Iterator<Item = Winograd> {
        let Extent { taps, result, groups, .. } = *extent;
        let sizes = move |axis: usize| {
            let most = (transform::MOST_POINTS + 1).saturating_sub(taps[axis]);
            if taps[axis] == 1 { 1..=1 } else { 2..=most.min(result[axis].next_multiple_of(2)) }
        };
        let outputs = sizes(0).flat_map(move |rows| sizes(1).map(move |columns| [rows, columns]));
        outputs.flat_map(move |outputs| {
            extent.mosaics(outputs).map(move |mosaic| {
                let tiles = extent.tiles(&mosaic, outputs);
                Winograd { outputs, taps, tiles, mosaic, groups, division: Division::Channels }
            })
        })
    }

    /// Multiply-adds of one of a vector's lanes in the time that it takes.
    fn cost(&self, target: &Target, extent: &Extent) -> f64 {
        let [inner, outer] = [extent.inner, extent.outer].map(|channels| extent.lanes(target, channels));
        let (outputs, points) = (self.outputs, self.points());
        let area = self.area() as f64;
        let one_way = |from: [usize; 2], to: [usize; 2]| (from[1] * to[0] * from[0] + to[0] * to[1] * from[1]) as f64;
        let transforms =
            inner as f64 * (one_way(points, points) + area) + outer as f64 * (one_way(points, outputs) + area);
        let weights = (outer * (extent.inner / extent.groups)) as f64;
        let count = (extent.times * self.tiles_of(extent.batch)) as f64;
        area * weights * weight_cost(target, count) + TRANSFORM_COST * count * transforms
    }

    /// Points of a tile: rows, columns.
    pub fn points(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.outputs[axis] + self.taps[axis] - 1)
    }

    /// Points of a tile.
    pub fn area(&self) -> usize {
        self.points()[0] * self.points()[1]
    }

    /// The transforms of rows and of columns.
    pub fn transforms(&self) -> [Transform; 2] {
        [0, 1].map(|axis| Transform::of(self.outputs[axis], self.taps[axis]).clone())
    }

    /// Tiles of a batch, which is a number of mosaics.
    pub fn tiles_of(&self, batch: usize) -> usize {
        batch / self.mosaic.count() * self.tiles[0] * self.tiles[1]
    }

    /// Tiles that are transformed and multiplied at once, of a batch.
    pub fn tiles_at_once(&self, batch: usize) -> usize {
        match self.division {
            Division::Tiles { mosaics, rows } => mosaics * rows * self.tiles[1],
            Division::Channels => self.tiles_of(batch),
        }
    }

    /// Pixels of a mosaic's last image, and beyond it, that its tiles make: rows, columns.
    pub fn last(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.tiles[axis] * self.outputs[axis] - self.mosaic.before_last(axis))
    }

    /// Distance of two points' numbers, for `tiles` tiles of `channels` channels: an odd number of cache lines, so that
    /// points do not fall on each other in a cache.
    pub fn plane(tiles: usize, channels: usize) -> usize {
        odd_lines(tiles * channels)
    }

    /// The zeros around an image that its tiles read, with `before` rows and columns of padding before it.
    pub fn halo(&self, image: [usize; 2], before: [usize; 2]) -> Halo {
        let last = self.last();
        let after = |axis: usize| (last[axis] + self.taps[axis] - 1).saturating_sub(before[axis] + image[axis]);
        Halo { top: before[0], bottom: after(0), left: before[1], right: after(1) }
    }

    /// The zeros around the gradient of a result of this height and width that its tiles read.
    pub fn result_halo(&self, result: [usize; 2]) -> Halo {
        let last = self.last();
        let after = |axis: usize| {
            let between = if self.mosaic.images[axis] > 1 { self.mosaic.pitch[axis] } else { 0 };
            last[axis].max(between).saturating_sub(result[axis])
        };
        Halo { bottom: after(0), right: after(1), ..Halo::default() }
    }

    /// `scratch`: elements that a thread's tiles may be transformed to.
    fn divide(&self, extent: &Extent, scratch: usize) -> Division {
        let Extent { batch, inner, outer, groups, .. } = *extent;
        let mosaics = batch / self.mosaic.count();
        let columns = self.tiles[1];
        let all = self.tiles[0] * columns;
        // Elements of all that a tile is transformed to, and its products of some channels.
        let tile = self.area() * (inner / groups + SOME_CHANNELS);
        let most = (scratch / tile.max(1)).max(1);
        if all >= FEW_TILES {
            // Weights that stay in a core's cache are worth fewer tiles.
            let small = self.area() * inner / groups * outer <= SMALL_WEIGHTS;
            for least in [FEW_TILES, FEWEST_TILES].into_iter().take(1 + usize::from(small)) {
                let mut rows = divisors(self.tiles[0]).filter(|rows| rows * columns >= least);
                let rows = rows.find(|rows| rows * columns <= most).unwrap_or(1);
                if mosaics * self.tiles[0] / rows >= ENOUGH_PARTS {
                    return Division::Tiles { mosaics: 1, rows };
                }
            }
            return Division::Channels;
        }
        let fits = |count: &usize| count * all <= most && mosaics / count >= ENOUGH_PARTS;
        let rows = self.tiles[0];
        match divisors(mosaics).filter(fits).find(|count| count * all >= FEW_TILES) {
            Some(mosaics) => Division::Tiles { mosaics, rows },
            None => match divisors(mosaics).rfind(fits) {
                // Enough tiles that weights are not read too often.
                Some(mosaics) if mosaics * all * 3 >= FEW_TILES * 2 => Division::Tiles { mosaics, rows },
                _ => Division::Channels,
            },
        }
    }
}

/// Channels of the result that are multiplied at once, about.
const SOME_CHANNELS: usize = 64;

/// Images of a mosaic in a row or a column, at most.
const MOST_IMAGES: usize = 4;

impl Extent {
    /// A mosaic of so many images down and across. Neighbours share the zeros that are around both.
    fn mosaic(&self, images: [usize; 2]) -> Mosaic {
        let pitch = [0, 1].map(|axis| {
            let read = self.result[axis] + self.taps[axis] - 1;
            let after = read.saturating_sub(self.before[axis] + self.image[axis]);
            read - after.min(self.before[axis]).min(self.taps[axis] - 1)
        });
        Mosaic { images, pitch }
    }

    /// Pixels of the result.
    fn pixels(&self) -> usize {
        self.batch * self.result[0] * self.result[1]
    }

    /// So many channels in whole vectors, which run over those of a group: few channels waste lanes.
    fn lanes(&self, target: &Target, channels: usize) -> usize {
        (channels / self.groups).next_multiple_of(target.lanes) * self.groups
    }

    fn tiles(&self, mosaic: &Mosaic, outputs: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| (mosaic.before_last(axis) + self.result[axis]).div_ceil(outputs[axis]))
    }

    /// Single images, and mosaics whose tiles of this size waste less than theirs.
    fn mosaics(&self, outputs: [usize; 2]) -> impl Iterator<Item = Mosaic> {
        let single = self.mosaic([1, 1]);
        let counts = self.tiles(&single, outputs);
        let sizes = move |axis: usize| {
            let most = if self.apart { 1 } else { MOST_IMAGES };
            (1..=most).filter(move |&n| {
                let mut images = [1, 1];
                images[axis] = n;
                n == 1 || self.tiles(&self.mosaic(images), outputs)[axis] < n * counts[axis]
            })
        };
        let pairs = sizes(0).flat_map(move |down| sizes(1).map(move |across| [down, across]));
        let fitting = pairs.filter(|images| self.batch.is_multiple_of(images[0] * images[1]));
        fitting.map(|images| self.mosaic(images))
    }
}

/// Tiles that are worth reading the weights for from memory, and from a core's cache.
const FEW_TILES: usize = 32;
const FEWEST_TILES: usize = 8;

/// Elements of weights that stay in a core's cache.
const SMALL_WEIGHTS: usize = 1 << 18;

/// Parallel iterations that are enough for many threads.
const ENOUGH_PARTS: usize = 8;

/// Of a number, from 1 to itself.
pub fn divisors(n: usize) -> impl DoubleEndedIterator<Item = usize> {
    (1..=n).filter(move |d| n.is_multiple_of(*d))
}

/// Layout of transformed weights: `[groups][points][blocks][inner][columns]`, the columns of the last block filled up
/// with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransformedWeights {
    /// Channel groups.
    pub groups: usize,
    /// Points of a tile.
    pub points: usize,
    /// Blocks of columns in a group.
    pub blocks: usize,
    /// Channels summed over, in a group.
    pub inner: usize,
    /// Channels of the result in a block.
    pub columns: usize,
}

impl TransformedWeights {
    /// For `outer` result channels over all groups and `inner` summed channels a group.
    pub fn new(form: &Winograd, outer: usize, inner: usize, tile: Tile) -> Self {
        let columns = tile.columns();
        let blocks = (outer / form.groups).div_ceil(columns);
        TransformedWeights { groups: form.groups, points: form.area(), blocks, inner, columns }
    }

    /// Elements of a group.
    pub fn group(&self) -> usize {
        self.points * self.blocks * self.inner * self.columns
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.groups * self.group()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Layout of sums at the points of a tile, `[groups][blocks][inner][points][columns]`: the gradient of transformed
/// weights. What becomes one weight's taps stands in one place; the last block's columns beyond the channels mean
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightSums {
    /// Channel groups.
    pub groups: usize,
    /// Points of a tile.
    pub points: usize,
    /// Channels of the input, in a group.
    pub inner: usize,
    /// Channels of the result, in a group.
    pub outer: usize,
    /// Channels of the result in a block.
    pub columns: usize,
}

impl WeightSums {
    /// Blocks of columns in a group.
    pub fn blocks(&self) -> usize {
        self.outer.div_ceil(self.columns)
    }

    /// Elements from an input channel to the next.
    pub fn pitch(&self) -> usize {
        odd_lines(self.points * self.columns)
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.groups * self.blocks() * self.inner * self.pitch()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sums that are used.
    pub fn sums(&self) -> usize {
        self.groups * self.points * self.inner * self.outer
    }
}

/// Padding before the image, rows and columns, of a forward convolution and of its input gradient seen as one.
pub fn before(geometry: &ConvGeometry, taps: [usize; 2], gradient: bool) -> Option<[usize; 2]> {
    let padding = [geometry.padding.top, geometry.padding.left];
    if gradient {
        let [top, left] = [0, 1].map(|axis| (taps[axis] - 1).checked_sub(padding[axis]));
        Some([top?, left?])
    } else {
        Some(padding)
    }
}
