//! Pooling.

use super::Tensor;
use crate::graph::PoolGeometry;
use crate::graph::shapes::padding_along;
use std::ops::Range;

/// A window along one axis.
struct Window {
    /// The positions in the image.
    inside: Range<usize>,
    /// Its first position, counted from the first padded one.
    start: usize,
    /// Its length clipped to the padded image.
    padded: usize,
}

fn window(pool: &PoolGeometry, axis: usize, size: usize, i: usize) -> Window {
    let (before, after) = padding_along(&pool.padding, axis);
    let start = i * pool.stride[axis];
    let end = (start + pool.kernel[axis]).min(size + before + after);
    let inside = start.saturating_sub(before)..end.saturating_sub(before).min(size);
    Window { inside, start, padded: end - start }
}

/// Calls `f(result index, first element of the plane, window of rows, window of columns)`.
fn each_window(pool: &PoolGeometry, x: &[usize], y: &[usize], mut f: impl FnMut(usize, usize, &Window, &Window)) {
    for plane in 0..y[0] * y[1] {
        for i in 0..y[2] {
            let rows = window(pool, 0, x[2], i);
            for j in 0..y[3] {
                let columns = window(pool, 1, x[3], j);
                f((plane * y[2] + i) * y[3] + j, plane * x[2] * x[3], &rows, &columns);
            }
        }
    }
}

/// The first maximum of each window and where it is in the window. NaN counts as larger than any number.
pub(super) fn max(pool: &PoolGeometry, x: &Tensor, y_shape: &[usize]) -> (Vec<f64>, Vec<i32>) {
    let count = y_shape.iter().product();
    let (mut y, mut index) = (vec![0.0; count], vec![0; count]);
    let (xs, width) = (x.as_real(), x.shape[3]);
    each_window(pool, &x.shape, y_shape, |at, plane, rows, columns| {
        let mut best: Option<f64> = None;
        for h in rows.inside.clone() {
            for w in columns.inside.clone() {
                let v = xs[plane + h * width + w];
                if best.is_none_or(|b| v > b || v.is_nan() && !b.is_nan()) {
                    best = Some(v);
                    let row = h + pool.padding.top - rows.start;
                    let column = w + pool.padding.left - columns.start;
                    index[at] = (row * pool.kernel[1] + column) as i32;
                }
            }
        }
        y[at] = best.unwrap_or(f64::NEG_INFINITY);
    });
    (y, index)
}

pub(super) fn max_grad(pool: &PoolGeometry, index: &Tensor, dy: &[f64], x_shape: &[usize]) -> Vec<f64> {
    let mut dx = vec![0.0; x_shape.iter().product()];
    each_window(pool, x_shape, &index.shape, |at, plane, rows, columns| {
        let place = index.as_i32()[at] as usize;
        let h = rows.start + place / pool.kernel[1] - pool.padding.top;
        let w = columns.start + place % pool.kernel[1] - pool.padding.left;
        dx[plane + h * x_shape[3] + w] += dy[at];
    });
    dx
}

fn divisor(include: bool, rows: &Window, columns: &Window) -> f64 {
    if include { (rows.padded * columns.padded) as f64 } else { (rows.inside.len() * columns.inside.len()) as f64 }
}

pub(super) fn average(pool: &PoolGeometry, include: bool, x: &Tensor, y_shape: &[usize]) -> Vec<f64> {
    let mut y = vec![0.0; y_shape.iter().product()];
    let (xs, width) = (x.as_real(), x.shape[3]);
    each_window(pool, &x.shape, y_shape, |at, plane, rows, columns| {
        let mut sum = 0.0;
        for h in rows.inside.clone() {
            for w in columns.inside.clone() {
                sum += xs[plane + h * width + w];
            }
        }
        y[at] = sum / divisor(include, rows, columns);
    });
    y
}

pub(super) fn average_grad(pool: &PoolGeometry, include: bool, dy: &Tensor, x_shape: &[usize]) -> Vec<f64> {
    let mut dx = vec![0.0; x_shape.iter().product()];
    each_window(pool, x_shape, &dy.shape, |at, plane, rows, columns| {
        let share = dy.as_real()[at] / divisor(include, rows, columns);
        for h in rows.inside.clone() {
            for w in columns.inside.clone() {
                dx[plane + h * x_shape[3] + w] += share;
            }
        }
    });
    dx
}

/// Region `i` of `count` along an axis.
fn region(size: usize, count: usize, i: usize) -> Range<usize> {
    i * size / count..((i + 1) * size).div_ceil(count)
}

/// Calls `f(result index, first element of the plane, rows, columns)`.
fn each_region(output: [usize; 2], x: &[usize], mut f: impl FnMut(usize, usize, Range<usize>, Range<usize>)) {
    let [height, width] = output;
    for plane in 0..x[0] * x[1] {
        for i in 0..height {
            for j in 0..width {
                let at = (plane * height + i) * width + j;
                f(at, plane * x[2] * x[3], region(x[2], height, i), region(x[3], width, j));
            }
        }
    }
}

pub(super) fn adaptive(output: [usize; 2], x: &Tensor) -> Vec<f64> {
    let mut y = vec![0.0; x.shape[0] * x.shape[1] * output[0] * output[1]];
    let (xs, width) = (x.as_real(), x.shape[3]);
    each_region(output, &x.shape, |at, plane, rows, columns| {
        let mut sum = 0.0;
        for h in rows.clone() {
            for w in columns.clone() {
                sum += xs[plane + h * width + w];
            }
        }
        y[at] = sum / (rows.len() * columns.len()) as f64;
    });
    y
}

pub(super) fn adaptive_grad(output: [usize; 2], dy: &Tensor, x_shape: &[usize]) -> Vec<f64> {
    let mut dx = vec![0.0; x_shape.iter().product()];
    each_region(output, x_shape, |at, plane, rows, columns| {
        let share = dy.as_real()[at] / (rows.len() * columns.len()) as f64;
        for h in rows {
            for w in columns.clone() {
                dx[plane + h * x_shape[3] + w] += share;
            }
        }
    });
    dx
}
