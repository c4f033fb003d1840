//! Batch normalisation.

use super::Tensor;
use super::dispatch::by_channel;

/// Calls `f` with each channel and the indices of its elements.
fn each_channel(shape: &[usize], mut f: impl FnMut(usize, &[usize])) {
    let [outer, channels, inner] = by_channel(shape);
    for c in 0..channels {
        let indices: Vec<usize> =
            (0..outer).flat_map(|n| (0..inner).map(move |i| (n * channels + c) * inner + i)).collect();
        f(c, &indices);
    }
}

/// Mean and biased variance of every channel.
pub(super) fn statistics(x: &Tensor) -> (Vec<f64>, Vec<f64>) {
    let xs = x.as_real();
    let (mut means, mut variances) = (vec![], vec![]);
    each_channel(&x.shape, |_, indices| {
        let n = indices.len() as f64;
        let mean = indices.iter().map(|&i| xs[i]).sum::<f64>() / n;
        means.push(mean);
        variances.push(indices.iter().map(|&i| (xs[i] - mean) * (xs[i] - mean)).sum::<f64>() / n);
    });
    (means, variances)
}

/// γ·(x − mean)/√(variance + ε) + β.
pub(super) fn normalize(
    x: &Tensor,
    gamma: &[f64],
    beta: &[f64],
    mean: &[f64],
    variance: &[f64],
    epsilon: f64,
) -> Vec<f64> {
    let mut y = x.as_real().to_vec();
    each_channel(&x.shape, |c, indices| {
        let inverse = 1.0 / (variance[c] + epsilon).sqrt();
        for &i in indices {
            y[i] = gamma[c] * ((y[i] - mean[c]) * inverse) + beta[c];
        }
    });
    y
}

/// Gradients of x, γ and β, the statistics being functions of x.
pub(super) fn grad(
    x: &Tensor,
    gamma: &[f64],
    mean: &[f64],
    variance: &[f64],
    dy: &[f64],
    epsilon: f64,
) -> [Vec<f64>; 3] {
    let xs = x.as_real();
    let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; xs.len()], vec![], vec![]);
    each_channel(&x.shape, |c, indices| {
        let n = indices.len() as f64;
        let inverse = 1.0 / (variance[c] + epsilon).sqrt();
        let unit = |i: usize| (xs[i] - mean[c]) * inverse;
        let sum: f64 = indices.iter().map(|&i| dy[i]).sum();
        let product: f64 = indices.iter().map(|&i| dy[i] * unit(i)).sum();
        for &i in indices {
            dx[i] = gamma[c] * inverse * (dy[i] - sum / n - unit(i) * product / n);
        }
        dgamma.push(product);
        dbeta.push(sum);
    });
    [dx, dgamma, dbeta]
}
