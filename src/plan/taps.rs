//! Which taps of a strided kernel meet which pixels, for input gradients.

use crate::graph::ConvGeometry;

/// Which taps meet which pixels in one dimension: tap k, pixel p and result position q are one product if
/// p + before = q·stride + k·dilation. If p + before is a multiple of `common`, the taps of p are
/// `first + step·i` with first ≡ (p + before)/common · inverse (mod step), at positions `back` apart; else there are
/// none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapRule {
    /// Kernel size.
    pub kernel: usize,
    /// Distance of result positions.
    pub stride: usize,
    /// Distance of taps on pixels.
    pub dilation: usize,
    /// Padding before.
    pub before: usize,
    /// Greatest common divisor of stride and dilation.
    pub common: usize,
    /// stride/common: distance of a pixel's taps.
    pub step: usize,
    /// dilation/common: how far back the next tap's position is.
    pub back: usize,
    /// Inverse of `back` modulo `step`.
    pub inverse: usize,
}

impl TapRule {
    /// For a kernel of this size, stride, dilation and padding before.
    pub fn new(kernel: usize, stride: usize, dilation: usize, before: usize) -> TapRule {
        let common = gcd(stride, dilation);
        let (step, back) = (stride / common, dilation / common);
        let inverse = inverse(back, step);
        TapRule { kernel, stride, dilation, before, common, step, back, inverse }
    }

    /// Result positions of a pixel's first and last tap.
    fn positions(&self, pixel: usize) -> Option<[i64; 2]> {
        let shifted = pixel + self.before;
        let first = shifted / self.common * self.inverse % self.step;
        if !shifted.is_multiple_of(self.common) || first >= self.kernel {
            return None;
        }
        let at = |tap: usize| (shifted as i64 - (tap * self.dilation) as i64) / self.stride as i64;
        let last = first + (self.kernel - 1 - first) / self.step * self.step;
        Some([at(first), at(last)])
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The inverse of a number modulo one that shares no divisor with it: by Euclid's algorithm, in which every remainder is
/// a multiple of the number.
fn inverse(number: usize, modulus: usize) -> usize {
    let (mut last, mut remainder) = (modulus as i64, (number % modulus) as i64);
    let (mut last_factor, mut factor) = (0, 1);
    while remainder > 0 {
        let quotient = last / remainder;
        (last, remainder) = (remainder, last - quotient * remainder);
        (last_factor, factor) = (factor, last_factor - quotient * factor);
    }
    last_factor.rem_euclid(modulus as i64) as usize
}

/// How far outside the result the input gradient reads it: rows above, below, columns before, after.
pub fn input_grad_halo(
    geometry: &ConvGeometry,
    kernel: [usize; 2],
    input: [usize; 2],
    result: [usize; 2],
) -> [usize; 4] {
    let side = |axis: usize, before: usize| -> [usize; 2] {
        let rule = TapRule::new(kernel[axis], geometry.stride[axis], geometry.dilation[axis], before);
        let (mut low, mut high) = (0i64, result[axis] as i64 - 1);
        // A stride further on, the same taps meet the next positions: the ends of the image reach furthest.
        let (size, period) = (input[axis], geometry.stride[axis]);
        let ends = (0..size.min(period)).chain(size.saturating_sub(period)..size);
        for [first, last] in ends.filter_map(|pixel| rule.positions(pixel)) {
            low = low.min(last);
            high = high.max(first);
        }
        [(-low) as usize, (high - (result[axis] as i64 - 1)) as usize]
    };
    let [top, bottom] = side(0, geometry.padding.top);
    let [left, right] = side(1, geometry.padding.left);
    [top, bottom, left, right]
}
