//! Convolutions and matrix products.

use super::Tensor;
use crate::graph::ConvGeometry;
use crate::graph::shapes::padding_along;
use std::ops::Range;

/// y = Σ over channels and taps of w·x.
pub(super) fn forward(g: &ConvGeometry, x: &Tensor, w: &Tensor, y_shape: &[usize]) -> Vec<f64> {
    let mut y = vec![0.0; y_shape.iter().product()];
    let (xs, ws, stride) = (x.as_real(), w.as_real(), g.stride[1]);
    each_row(g, &x.shape, &w.shape, y_shape, |row| {
        let tap = ws[row.w];
        for t in 0..row.count {
            y[row.y + t] += tap * xs[row.x + t * stride];
        }
    });
    y
}

/// The transpose of [`forward`] in x.
pub(super) fn input_grad(g: &ConvGeometry, dy: &Tensor, w: &Tensor, x_shape: &[usize]) -> Vec<f64> {
    let mut dx = vec![0.0; x_shape.iter().product()];
    let (dys, ws, stride) = (dy.as_real(), w.as_real(), g.stride[1]);
    each_row(g, x_shape, &w.shape, &dy.shape, |row| {
        let tap = ws[row.w];
        for t in 0..row.count {
            dx[row.x + t * stride] += tap * dys[row.y + t];
        }
    });
    dx
}

/// The transpose of [`forward`] in w.
pub(super) fn weight_grad(g: &ConvGeometry, x: &Tensor, dy: &Tensor, w_shape: &[usize]) -> Vec<f64> {
    let mut dw = vec![0.0; w_shape.iter().product()];
    let (xs, dys, stride) = (x.as_real(), dy.as_real(), g.stride[1]);
    each_row(g, &x.shape, w_shape, &dy.shape, |row| {
        for t in 0..row.count {
            dw[row.w] += xs[row.x + t * stride] * dys[row.y + t];
        }
    });
    dw
}

/// Products `w·x[x + t·stride]` that belong to `y[y + t]`, t < count.
struct Row {
    x: usize,
    w: usize,
    y: usize,
    count: usize,
}

/// Every product of a convolution once, a row of the result at a time: by image, output channel, input channel, tap.
fn each_row(g: &ConvGeometry, x: &[usize], w: &[usize], y: &[usize], mut f: impl FnMut(&Row)) {
    let (x_size, y_size) = (x[2] * x[3], y[2] * y[3]);
    let kernels_a_group = w[0] / g.groups;
    for n in 0..y[0] {
        for k in 0..w[0] {
            for c in 0..w[1] {
                let channel = k / kernels_a_group * w[1] + c;
                let x_plane = (n * x[1] + channel) * x_size;
                let y_plane = (n * y[1] + k) * y_size;
                for kh in 0..w[2] {
                    let rows = valid(g, 0, x[2], y[2], kh);
                    for kw in 0..w[3] {
                        let columns = valid(g, 1, x[3], y[3], kw);
                        if columns.is_empty() {
                            continue;
                        }
                        let w_index = ((k * w[1] + c) * w[2] + kh) * w[3] + kw;
                        let first = columns.start * g.stride[1] + kw * g.dilation[1] - g.padding.left;
                        for row in rows.clone() {
                            let line = row * g.stride[0] + kh * g.dilation[0] - g.padding.top;
                            f(&Row {
                                x: x_plane + line * x[3] + first,
                                w: w_index,
                                y: y_plane + row * y[3] + columns.start,
                                count: columns.len(),
                            });
                        }
                    }
                }
            }
        }
    }
}

/// The result positions along an axis whose `tap`-th operand lies in the image.
fn valid(g: &ConvGeometry, axis: usize, size: usize, out: usize, tap: usize) -> Range<usize> {
    let (before, _) = padding_along(&g.padding, axis);
    let (stride, tap) = (g.stride[axis], tap * g.dilation[axis]);
    let end = (size + before).saturating_sub(tap).div_ceil(stride).min(out);
    let start = before.saturating_sub(tap).div_ceil(stride).min(end);
    start..end
}

/// a·b.
pub(super) fn matmul(a: &Tensor, transpose_a: bool, b: &Tensor, transpose_b: bool) -> Vec<f64> {
    let ([rows, inner], [row, step]) = strides(&a.shape, transpose_a);
    let ([_, columns], [b_step, column]) = strides(&b.shape, transpose_b);
    let (a, b) = (a.as_real(), b.as_real());
    let mut y = vec![0.0; rows * columns];
    for i in 0..rows {
        if transpose_b {
            for j in 0..columns {
                y[i * columns + j] = (0..inner).map(|k| a[i * row + k * step] * b[j * column + k]).sum();
            }
        } else {
            for k in 0..inner {
                let factor = a[i * row + k * step];
                for j in 0..columns {
                    y[i * columns + j] += factor * b[k * b_step + j];
                }
            }
        }
    }
    y
}

/// Sizes and strides of a matrix that may be meant transposed.
fn strides(shape: &[usize], transpose: bool) -> ([usize; 2], [usize; 2]) {
    if transpose { ([shape[1], shape[0]], [1, shape[1]]) } else { ([shape[0], shape[1]], [shape[1], 1]) }
}
