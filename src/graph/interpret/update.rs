//! Optimizer steps.

use super::Tensor;
use crate::graph::{Adam, Sgd};

/// (w, g, v, lr) → (w', v'), without v if there is no momentum.
pub(super) fn sgd(sgd: &Sgd, operands: &[&Tensor]) -> Vec<Vec<f64>> {
    let (w, g) = (operands[0].as_real(), operands[1].as_real());
    let lr = operands[operands.len() - 1].as_real()[0] * sgd.lr_scale;
    let decayed = |i: usize| g[i] + sgd.weight_decay * w[i];
    if sgd.momentum == 0.0 {
        return vec![(0..w.len()).map(|i| w[i] - lr * decayed(i)).collect()];
    }
    let v = operands[2].as_real();
    let mut next = (vec![], vec![]);
    for i in 0..w.len() {
        let g = decayed(i);
        // The paper's form has the rate in the velocity; otherwise the rate scales the step.
        let (push, rate) = if sgd.rate_in_velocity { (lr * g, 1.0) } else { (g, lr) };
        let v = sgd.momentum * v[i] + push;
        let step = if sgd.nesterov { push + sgd.momentum * v } else { v };
        next.0.push(w[i] - rate * step);
        next.1.push(v);
    }
    vec![next.0, next.1]
}

/// (w, g, m, v, c1, c2, lr) → (w', m', v').
pub(super) fn adam(adam: &Adam, operands: &[&Tensor]) -> Vec<Vec<f64>> {
    let [w, g, m, v] = [0, 1, 2, 3].map(|i| operands[i].as_real());
    let [c1, c2, lr] = [4, 5, 6].map(|i| operands[i].as_real()[0]);
    let lr = lr * adam.lr_scale;
    let mut next = [vec![], vec![], vec![]];
    for i in 0..w.len() {
        let (g, w) = if adam.decoupled {
            (g[i], w[i] - lr * adam.weight_decay * w[i])
        } else {
            (g[i] + adam.weight_decay * w[i], w[i])
        };
        let m = adam.beta1 * m[i] + (1.0 - adam.beta1) * g;
        let v = adam.beta2 * v[i] + (1.0 - adam.beta2) * g * g;
        next[0].push(w - lr * (m / c1) / ((v / c2).sqrt() + adam.epsilon));
        next[1].push(m);
        next[2].push(v);
    }
    next.into()
}
