//! Local response normalisation.

use super::Tensor;
use crate::graph::LrnGeometry;
use std::ops::Range;

/// The channels of `c`'s group from `before` below to `after` above it.
fn window(channels: usize, groups: usize, c: usize, before: usize, after: usize) -> Range<usize> {
    let size = channels / groups;
    let first = c / size * size;
    c.saturating_sub(before).max(first)..(c + after + 1).min(first + size)
}

/// k + s·Σ a² for every element.
fn denominators(g: &LrnGeometry, x: &Tensor) -> Vec<f64> {
    let xs = x.as_real();
    let (channels, plane) = (x.shape[1], x.shape[2] * x.shape[3]);
    let mut d = vec![0.0; xs.len()];
    for (i, d) in d.iter_mut().enumerate() {
        let (image, c) = (i / (channels * plane), i / plane % channels);
        let at = |c: usize| xs[(image * channels + c) * plane + i % plane];
        let sum: f64 = window(channels, g.groups, c, g.before, g.after).map(|c| at(c) * at(c)).sum();
        *d = g.k + g.scale * sum;
    }
    d
}

pub(super) fn forward(g: &LrnGeometry, x: &Tensor) -> Vec<f64> {
    x.as_real().iter().zip(denominators(g, x)).map(|(a, d)| a * d.powf(-g.beta)).collect()
}

/// `dx[j] = dy[j]·d[j]^−β − 2·s·β·a[j]·Σ dy[c]·a[c]·d[c]^(−β−1)` over the windows c that hold j.
pub(super) fn grad(g: &LrnGeometry, x: &Tensor, dy: &[f64]) -> Vec<f64> {
    let xs = x.as_real();
    let (channels, plane) = (x.shape[1], x.shape[2] * x.shape[3]);
    let d = denominators(g, x);
    let mut dx = vec![0.0; xs.len()];
    for (i, dx) in dx.iter_mut().enumerate() {
        let (image, c) = (i / (channels * plane), i / plane % channels);
        let holders = window(channels, g.groups, c, g.after, g.before);
        let index = |c: usize| (image * channels + c) * plane + i % plane;
        let sum: f64 = holders.map(index).map(|j| dy[j] * xs[j] * d[j].powf(-g.beta - 1.0)).sum();
        *dx = dy[i] * d[i].powf(-g.beta) - 2.0 * g.scale * g.beta * xs[i] * sum;
    }
    dx
}
