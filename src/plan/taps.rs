//! Which taps of a strided kernel meet which pixels, for input gradients.

use crate::graph::ConvGeometry;

/// The taps that pixels of one phase meet in one dimension: tap `first + step·j` reads result position
/// `position + t − back·j` for pixel `phase + stride·t`, for j in 0..count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taps {
    /// The first tap.
    pub first: usize,
    /// Distance of taps.
    pub step: usize,
    /// Number of taps.
    pub count: usize,
    /// Result position of the first tap for t = 0.
    pub position: i64,
    /// How far back the next tap's position is.
    pub back: i64,
}

impl Taps {
    /// The taps of `phase` for a kernel of this size, stride, dilation and padding before.
    pub fn of(phase: usize, kernel: usize, stride: usize, dilation: usize, before: usize) -> Taps {
        let meets = |k: usize| (phase as i64 + before as i64 - (k * dilation) as i64).rem_euclid(stride as i64) == 0;
        let step = stride / gcd(stride, dilation);
        let first = (0..kernel.min(step)).find(|&k| meets(k));
        match first {
            None => Taps { first: 0, step, count: 0, position: 0, back: 0 },
            Some(first) => Taps {
                first,
                step,
                count: (kernel - first).div_ceil(step),
                position: (phase as i64 + before as i64 - (first * dilation) as i64).div_euclid(stride as i64),
                back: (step * dilation / stride) as i64,
            },
        }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// How far outside the result the input gradient reads it: rows above, below, columns before, after.
pub fn input_grad_halo(
    geometry: &ConvGeometry,
    kernel: [usize; 2],
    input: [usize; 2],
    result: [usize; 2],
) -> [usize; 4] {
    let side = |axis: usize, before: usize| -> [usize; 2] {
        let (s, d) = (geometry.stride[axis], geometry.dilation[axis]);
        let (mut low, mut high) = (0i64, result[axis] as i64 - 1);
        for phase in 0..s.min(input[axis]) {
            let taps = Taps::of(phase, kernel[axis], s, d, before);
            if taps.count > 0 {
                let last = ((input[axis] - phase).div_ceil(s) - 1) as i64;
                low = low.min(taps.position - taps.back * (taps.count as i64 - 1));
                high = high.max(taps.position + last);
            }
        }
        [(-low) as usize, (high - (result[axis] as i64 - 1)) as usize]
    };
    let [top, bottom] = side(0, geometry.padding.top);
    let [left, right] = side(1, geometry.padding.left);
    [top, bottom, left, right]
}
