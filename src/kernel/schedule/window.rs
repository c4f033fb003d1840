//! Index arithmetic of pooling windows along one axis.

use super::super::build::Builder;
use super::super::{Index, LoopKind};
use crate::geometry::PoolGeometry;

/// Windows along height or width. None lies in the padding alone.
pub(super) struct Axis {
    kernel: i64,
    stride: i64,
    before: i64,
    after: i64,
    /// Pixels.
    size: i64,
    /// Windows.
    count: i64,
}

impl Axis {
    /// Height and width of pooling an image of the first shape to the second.
    pub fn both(pool: &PoolGeometry, image: &[usize], pooled: &[usize]) -> [Axis; 2] {
        let p = pool.padding;
        let axis = |at: usize, before: usize, after: usize| Axis {
            kernel: pool.kernel[at] as i64,
            stride: pool.stride[at] as i64,
            before: before as i64,
            after: after as i64,
            size: image[2 + at] as i64,
            count: pooled[2 + at] as i64,
        };
        [axis(0, p.top, p.bottom), axis(1, p.left, p.right)]
    }

    /// First pixel of a window, which may lie in the padding.
    fn origin(&self, cell: &Index) -> Index {
        cell.clone() * self.stride - self.before
    }

    /// Pixels of a window that lie in the image.
    pub fn inside(&self, cell: &Index) -> (Index, Index) {
        let begin = self.origin(cell);
        let end = begin.clone() + self.kernel;
        let begin = if self.before > 0 { begin.max(0i64) } else { begin };
        let end = if self.overhang() > 0 { end.min(self.size) } else { end };
        (begin, end)
    }

    /// A loop over [`Axis::inside`].
    pub fn each_inside(&self, b: &mut Builder, name: &str, cell: &Index, body: impl FnOnce(&mut Builder, Index)) {
        let (begin, end) = self.inside(cell);
        b.for_loop(name, begin, end, LoopKind::Serial, body);
    }

    /// By how much the last window reaches beyond the image.
    fn overhang(&self) -> i64 {
        (self.count - 1) * self.stride - self.before + self.kernel - self.size
    }

    /// Length of a window: within the padded image if `padded`, else within the image.
    pub fn length(&self, cell: &Index, padded: bool) -> Index {
        let (begin, end) = if padded {
            let begin = self.origin(cell);
            let end = begin.clone() + self.kernel;
            let overhang = self.overhang() > self.after;
            (begin, if overhang { end.min(self.size + self.after) } else { end })
        } else {
            self.inside(cell)
        };
        let whole = begin.clone() + self.kernel;
        if end == whole { Index::Const(self.kernel) } else { end - begin }
    }

    /// The pixel of a tap, or the nearest in the image, and the tap of that pixel.
    pub fn clamped(&self, cell: &Index, tap: usize) -> (Index, Index) {
        let exact = self.origin(cell) + tap;
        let mut pixel = exact.clone();
        if self.before > 0 {
            pixel = pixel.max(0i64);
        }
        if self.overhang() > 0 {
            pixel = pixel.min(self.size - 1);
        }
        let tap = if pixel == exact { Index::from(tap) } else { self.tap_of(cell, &pixel) };
        (pixel, tap)
    }

    /// The first tap in the image.
    pub fn first_tap(&self, cell: &Index) -> Index {
        if self.before > 0 { (self.origin(cell) * -1).max(0i64) } else { Index::Const(0) }
    }

    /// The tap of a window that lies on a pixel.
    pub fn tap_of(&self, cell: &Index, pixel: &Index) -> Index {
        pixel.clone() - self.origin(cell)
    }

    /// The windows that hold a pixel.
    pub fn windows_with(&self, pixel: &Index) -> (Index, Index) {
        let shifted = pixel.clone() + self.before;
        // The first whose last tap is not before the pixel: ceil((pixel + before − kernel + 1) / stride).
        let begin = (shifted.clone() + (self.stride - self.kernel)) / self.stride;
        let end = shifted / self.stride + 1i64;
        (begin.max(0i64), end.min(self.count))
    }
}
