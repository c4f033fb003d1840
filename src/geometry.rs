//! Geometry of windows: padding by side, pooling windows, what a response normalisation sums over. Shared words of `check` and
//! `graph`.

/// Padding by side. Reading there gives 0 (convolution, average) or nothing (maximum).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns before.
    pub left: usize,
    /// Columns after.
    pub right: usize,
}

/// Geometry of a pooling window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolGeometry {
    /// Height, width.
    pub kernel: [usize; 2],
    /// Height, width.
    pub stride: [usize; 2],
    /// By side.
    pub padding: Padding,
    /// Round the output size up; a last window that would start in the padding after (or beyond) is dropped, as in
    /// PyTorch and Caffe.
    pub ceil: bool,
}

/// What the windows of a response normalisation lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LrnRegion {
    /// The channels of one pixel, in groups whose boundaries no window crosses.
    Channels {
        /// How many.
        groups: usize,
    },
    /// One channel of an image: windows are squares.
    Map,
}

impl LrnRegion {
    /// Numbers in a whole window, by which α may be divided.
    pub fn window(self, size: usize) -> f64 {
        match self {
            LrnRegion::Channels { .. } => size as f64,
            LrnRegion::Map => size as f64 * size as f64,
        }
    }

    /// Groups of channels that windows do not cross.
    pub fn groups(self) -> usize {
        match self {
            LrnRegion::Channels { groups } => groups,
            LrnRegion::Map => 1,
        }
    }

    /// Its word in a spec.
    pub fn word(self) -> &'static str {
        match self {
            LrnRegion::Channels { .. } => "channels",
            LrnRegion::Map => "map",
        }
    }
}
