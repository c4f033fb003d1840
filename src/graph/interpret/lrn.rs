//! Local response normalisation.

use super::Tensor;
use crate::geometry::LrnRegion;
use crate::graph::LrnGeometry;
use std::ops::Range;

/// From `before` below to `after` above `at`, within `all`.
fn around(at: usize, before: usize, after: usize, all: Range<usize>) -> Range<usize> {
    at.saturating_sub(before).max(all.start)..at.saturating_add(after).saturating_add(1).min(all.end)
}

/// The sum of `term` over the elements of element `i`'s window.
fn sum(region: LrnRegion, x: &Tensor, i: usize, [before, after]: [usize; 2], term: impl Fn(usize) -> f64) -> f64 {
    let (channels, height, width) = (x.shape[1], x.shape[2], x.shape[3]);
    let (map, c, h, w) = (i / (height * width), i / (height * width) % channels, i / width % height, i % width);
    match region {
        LrnRegion::Channels { groups } => {
            let size = channels / groups;
            let first = c / size * size;
            let near = around(c, before, after, first..first + size);
            near.map(|other| term(((map - c + other) * height + h) * width + w)).sum()
        }
        LrnRegion::Map => {
            let (rows, columns) = (around(h, before, after, 0..height), around(w, before, after, 0..width));
            rows.flat_map(|h| columns.clone().map(move |w| (map * height + h) * width + w)).map(term).sum()
        }
    }
}

/// k + s·Σ a² for every element.
fn denominators(g: &LrnGeometry, x: &Tensor) -> Vec<f64> {
    let xs = x.as_real();
    (0..xs.len()).map(|i| g.k + g.scale * sum(g.region, x, i, [g.before, g.after], |j| xs[j] * xs[j])).collect()
}

pub(super) fn forward(g: &LrnGeometry, x: &Tensor) -> Vec<f64> {
    x.as_real().iter().zip(denominators(g, x)).map(|(a, d)| a * d.powf(-g.beta)).collect()
}

/// `dx[j] = dy[j]·d[j]^−β − 2·s·β·a[j]·Σ dy[c]·a[c]·d[c]^(−β−1)` over the elements c whose windows hold j.
pub(super) fn grad(g: &LrnGeometry, x: &Tensor, dy: &[f64]) -> Vec<f64> {
    let xs = x.as_real();
    let d = denominators(g, x);
    let share = |j: usize| dy[j] * xs[j] * d[j].powf(-g.beta - 1.0);
    let direct = |j: usize| dy[j] * d[j].powf(-g.beta);
    let through = |j: usize| xs[j] * sum(g.region, x, j, [g.after, g.before], share);
    (0..xs.len()).map(|j| direct(j) - 2.0 * g.scale * g.beta * through(j)).collect()
}
