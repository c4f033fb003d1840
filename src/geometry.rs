//! Geometry of windows: padding by side, pooling windows. Shared words of `check` and `graph`.

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
