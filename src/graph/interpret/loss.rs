//! Softmax and losses.

use super::Tensor;
use super::dispatch::by_channel;
use crate::graph::Bug;

/// Calls `f` with the indices of each group of elements that differ in the channel alone.
fn each_pixel(shape: &[usize], mut f: impl FnMut(&[usize])) {
    let [outer, channels, inner] = by_channel(shape);
    for n in 0..outer {
        for i in 0..inner {
            let indices: Vec<usize> = (0..channels).map(|c| (n * channels + c) * inner + i).collect();
            f(&indices);
        }
    }
}

/// eˣ/Σ eˣ, the maximum taken off first.
pub(super) fn softmax(x: &Tensor) -> Vec<f64> {
    let mut y = x.as_real().to_vec();
    each_pixel(&x.shape, |indices| {
        let max = indices.iter().map(|&i| y[i]).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = indices.iter().map(|&i| (y[i] - max).exp()).sum();
        for &i in indices {
            y[i] = (y[i] - max).exp() / sum;
        }
    });
    y
}

pub(super) fn softmax_grad(y: &Tensor, dy: &[f64]) -> Vec<f64> {
    let ys = y.as_real();
    let mut dx = vec![0.0; ys.len()];
    each_pixel(&y.shape, |indices| {
        let dot: f64 = indices.iter().map(|&i| ys[i] * dy[i]).sum();
        for &i in indices {
            dx[i] = ys[i] * (dy[i] - dot);
        }
    });
    dx
}

/// What the probability of class `c` should be.
fn target(c: usize, label: usize, classes: usize, smoothing: f64) -> f64 {
    let hit = if c == label { 1.0 - smoothing } else { 0.0 };
    hit + smoothing / classes as f64
}

fn class(label: i32, classes: usize) -> Result<usize, Bug> {
    usize::try_from(label)
        .ok()
        .filter(|&l| l < classes)
        .ok_or_else(|| Bug(format!("label {label} is none of {classes} classes")))
}

/// Mean over the batch of −Σ target·ln p, and p.
pub(super) fn cross_entropy(logits: &Tensor, labels: &[i32], smoothing: f64) -> Result<(f64, Vec<f64>), Bug> {
    let classes = logits.shape[1];
    let mut loss = 0.0;
    for (row, &label) in logits.as_real().chunks(classes).zip(labels) {
        let label = class(label, classes)?;
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = max + row.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
        loss += row.iter().enumerate().map(|(c, x)| target(c, label, classes, smoothing) * (log_sum - x)).sum::<f64>();
    }
    Ok((loss / labels.len() as f64, softmax(logits)))
}

/// (p − target)/N.
pub(super) fn cross_entropy_grad(p: &Tensor, labels: &[i32], smoothing: f64) -> Result<Vec<f64>, Bug> {
    let classes = p.shape[1];
    let mut dx = vec![];
    for (row, &label) in p.as_real().chunks(classes).zip(labels) {
        let label = class(label, classes)?;
        let n = labels.len() as f64;
        dx.extend(row.iter().enumerate().map(|(c, p)| (p - target(c, label, classes, smoothing)) / n));
    }
    Ok(dx)
}

/// Mean of squared differences.
pub(super) fn mse(prediction: &[f64], target: &[f64]) -> f64 {
    prediction.iter().zip(target).map(|(p, t)| (p - t) * (p - t)).sum::<f64>() / prediction.len() as f64
}
