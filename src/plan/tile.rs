//! Register tiles: how much of a product is computed at once, and what is laid out for it.

use crate::graph::ConvGeometry;
use crate::target::Target;

/// Size of a register tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Rows: elements of the left operand a step.
    pub rows: usize,
    /// Vectors of the right operand a step.
    pub vectors: usize,
    /// f32 lanes of a vector.
    pub lanes: usize,
    /// Whether the target has fused multiply-add.
    pub fused: bool,
}

impl Tile {
    /// The tile that does the most useful work a cycle for an output of `height` rows and `width` columns, among those
    /// whose sums, right operands and one broadcast fit in the registers. A cycle takes two multiply-adds and, from
    /// caches that now and then miss, 4/3 loads; a sum is ready after four cycles.
    pub fn choose(target: &Target, height: usize, width: usize) -> Tile {
        let mut best = (0.0, Tile { rows: 1, vectors: 1, lanes: target.lanes, fused: target.fused });
        for vectors in 1..=4 {
            let most = (target.registers - 1 - vectors) / vectors;
            let (count, _) = balanced(height, most);
            let rows = height.div_ceil(count);
            let cycles = (2 * rows * vectors).max(3 * (rows + vectors)).max(16);
            let padded = width.next_multiple_of(vectors * target.lanes);
            let work = (height * width) as f64 / (count * padded / (vectors * target.lanes) * cycles) as f64;
            if work > best.0 * 1.001 {
                best = (work, Tile { rows, vectors, lanes: target.lanes, fused: target.fused });
            }
        }
        best.1
    }

    /// Columns: elements of the right operand a step.
    pub fn columns(&self) -> usize {
        self.vectors * self.lanes
    }
}

/// Splits `len` into parts of at most `most` that differ by one at the most: the number of parts, and how many of them
/// are one longer than the rest.
pub fn balanced(len: usize, most: usize) -> (usize, usize) {
    let count = len.div_ceil(most).max(1);
    (count, len % count)
}

/// Elements of the least odd number of cache lines that hold `len`: rows so far apart do not contend for the same places
/// of a cache.
pub fn odd_lines(len: usize) -> usize {
    (len.div_ceil(16) | 1) * 16
}

impl Tile {
    /// For a convolution with result `[N, C, H, W]`: rows along the width.
    pub fn for_conv(target: &Target, result: &[usize], groups: usize) -> Tile {
        Tile::choose(target, result[3], result[1] / groups)
    }

    /// For an input gradient `[N, C, H, W]`: rows along the pixels of one phase of the stride.
    pub fn for_input_grad(target: &Target, dx: &[usize], geometry: &ConvGeometry) -> Tile {
        Tile::choose(target, dx[3].div_ceil(geometry.stride[1]), dx[1] / geometry.groups)
    }

    /// For a weight gradient `[out, in/groups, kh, kw]`: rows along a kernel row, or along the input channels where the
    /// taps of a row are not neighbours.
    pub fn for_weight_grad(target: &Target, dweight: &[usize], geometry: &ConvGeometry) -> Tile {
        let joined = geometry.dilation[1] == 1 && geometry.groups == 1;
        let run = if joined { dweight[3] * dweight[1] } else { dweight[1] };
        Tile::choose(target, run, dweight[0] / geometry.groups)
    }
}

/// Layout of packed weights: `[groups][blocks][kh][kw][inner][columns]`, the columns of the last block filled up with
/// zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedWeights {
    /// Channel groups.
    pub groups: usize,
    /// Blocks of columns in a group.
    pub blocks: usize,
    /// Kernel height, width.
    pub kernel: [usize; 2],
    /// Channels summed over, in a group.
    pub inner: usize,
    /// Channels of the result in a block.
    pub columns: usize,
}

impl PackedWeights {
    /// For `outer` result channels over all groups and `inner` summed channels a group.
    pub fn new(groups: usize, outer: usize, inner: usize, kernel: [usize; 2], columns: usize) -> Self {
        PackedWeights { groups, blocks: (outer / groups).div_ceil(columns), kernel, inner, columns }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.groups * self.blocks * self.kernel[0] * self.kernel[1] * self.inner * self.columns
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
