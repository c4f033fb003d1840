//! What happens to states: initial contents, optimizer steps, running statistics.

use super::super::{DType, Expr, Kernel, Unary};
use super::pointwise::{pointwise, random, seed_words};
use super::{Tensor, row_major_strides};
use crate::graph::{Adam, Initializer, Sgd};

/// Initial contents of a parameter. `seed` (two i32) is an operand unless the initializer is constant. Element i in
/// row-major order draws the words of `philox(seed, [i, i >> 32, 0, stream])`: u₀ and u₁ from the first two; uniform
/// numbers are low + (high − low)·u₀, normal ones mean + std·√(−2 ln(1 − u₀))·cos 2πu₁ (Box, Muller 1958).
pub fn initialize(lanes: usize, name: &str, initializer: Initializer, seed: Option<&Tensor>, x: &Tensor) -> Kernel {
    let none = Tensor::row_major(DType::I32, &[2]);
    let [low, high] = seed_words(seed.unwrap_or(&none), &x.dims);
    let operands: &[(&str, &Tensor)] = match initializer {
        Initializer::Constant(_) => &[],
        Initializer::Normal { .. } | Initializer::Uniform { .. } => &[("seed", &low), ("seed", &high)],
    };
    let numbering = row_major_strides(&x.dims);
    pointwise(lanes, name, operands, &[("x", x)], Some(&numbering), |b, v, number| {
        let draw = |stream, word| {
            let key = [v[0].clone(), v[1].clone()];
            random(key, number, x.count(), Expr::I32(0), stream, word).unary(Unary::UnitInterval)
        };
        vec![match initializer {
            Initializer::Constant(value) => Expr::F32(value as f32),
            Initializer::Uniform { low, high, stream } => {
                draw(stream, 0).mul_add(((high - low) as f32).into(), (low as f32).into())
            }
            Initializer::Normal { mean, std, stream } => {
                let log = b.bind((Expr::F32(1.0) - draw(stream, 0)).unary(Unary::Log));
                let radius = (Expr::F32(-2.0) * log).unary(Unary::Sqrt);
                let normal = b.bind(radius * draw(stream, 1).unary(Unary::CosTurn));
                normal.mul_add((std as f32).into(), (mean as f32).into())
            }
        }]
    })
}

/// running' = (1 − m)·running + m·correction·batch.
pub fn running_update(
    lanes: usize,
    name: &str,
    momentum: f64,
    correction: f64,
    running: &Tensor,
    batch: &Tensor,
    updated: &Tensor,
) -> Kernel {
    let operands = [("running", running), ("batch", batch)];
    pointwise(lanes, name, &operands, &[("updated", updated)], None, |_, v, _| {
        let kept = v[0].clone() * ((1.0 - momentum) as f32).into();
        vec![v[1].clone().mul_add(((momentum * correction) as f32).into(), kept)]
    })
}

/// c' = β·c + (1 − β) of a single element.
pub fn bias_correction(lanes: usize, name: &str, beta: f64, c: &Tensor, updated: &Tensor) -> Kernel {
    pointwise(lanes, name, &[("c", c)], &[("updated", updated)], None, |_, v, _| {
        vec![v[0].clone().mul_add((beta as f32).into(), ((1.0 - beta) as f32).into())]
    })
}

/// A parameter and what stochastic gradient descent keeps for it.
#[derive(Debug, Clone, Copy)]
pub struct SgdStates<'a> {
    /// The parameter.
    pub w: &'a Tensor,
    /// Its velocity, with momentum only.
    pub v: Option<&'a Tensor>,
}

/// A step of stochastic gradient descent: buffers w, g, v (with momentum only), lr; w', v'.
pub fn sgd_update(
    lanes: usize,
    name: &str,
    sgd: Sgd,
    states: SgdStates,
    g: &Tensor,
    lr: &Tensor,
    updated: SgdStates,
) -> Kernel {
    let lr = lr.repeated(&states.w.dims);
    let mut operands = vec![("w", states.w), ("g", g)];
    operands.extend(states.v.map(|v| ("v", v)));
    operands.push(("lr", &lr));
    let mut results = vec![("w_updated", updated.w)];
    results.extend(updated.v.map(|v| ("v_updated", v)));
    pointwise(lanes, name, &operands, &results, None, |b, x, _| {
        let w = x[0].clone();
        let rate = scaled(x[operands.len() - 1].clone(), sgd.lr_scale);
        let g = decayed(x[1].clone(), sgd.weight_decay, &w);
        if states.v.is_none() {
            let step = b.bind(rate * g);
            return vec![w - step];
        }
        let momentum = Expr::F32(sgd.momentum as f32);
        let g = b.bind(if sgd.rate_in_velocity { rate.clone() * g } else { g });
        let velocity = b.bind(x[2].clone().mul_add(momentum.clone(), g.clone()));
        let step = if sgd.nesterov { velocity.clone().mul_add(momentum, g) } else { velocity.clone() };
        let step = b.bind(if sgd.rate_in_velocity { step } else { rate * step });
        vec![w - step, velocity]
    })
}

/// A parameter and what Adam keeps for it.
#[derive(Debug, Clone, Copy)]
pub struct AdamStates<'a> {
    /// The parameter.
    pub w: &'a Tensor,
    /// First moment.
    pub m: &'a Tensor,
    /// Second moment.
    pub v: &'a Tensor,
}

/// Scalars of a step of Adam.
#[derive(Debug, Clone, Copy)]
pub struct AdamScalars<'a> {
    /// 1 − β₁ᵗ.
    pub c1: &'a Tensor,
    /// 1 − β₂ᵗ.
    pub c2: &'a Tensor,
    /// Learning rate.
    pub lr: &'a Tensor,
}

/// A step of Adam: buffers w, g, m, v, c1, c2, lr; w', m', v'.
pub fn adam_update(
    lanes: usize,
    name: &str,
    adam: Adam,
    states: AdamStates,
    g: &Tensor,
    scalars: AdamScalars,
    updated: AdamStates,
) -> Kernel {
    let dims = &states.w.dims;
    let [c1, c2, lr] = [scalars.c1, scalars.c2, scalars.lr].map(|t| t.repeated(dims));
    let operands = [("w", states.w), ("g", g), ("m", states.m), ("v", states.v), ("c1", &c1), ("c2", &c2), ("lr", &lr)];
    let results = [("w_updated", updated.w), ("m_updated", updated.m), ("v_updated", updated.v)];
    pointwise(lanes, name, &operands, &results, None, |b, x, _| {
        let rate = b.bind(scaled(x[6].clone(), adam.lr_scale));
        let mut w = x[0].clone();
        let mut g = x[1].clone();
        if adam.decoupled && adam.weight_decay != 0.0 {
            let decay = b.bind(rate.clone() * w.clone());
            w = b.bind(decay.mul_add((-adam.weight_decay as f32).into(), w));
        } else {
            g = b.bind(decayed(g, adam.weight_decay, &w));
        }
        let blend =
            |old: Expr, beta: f64, new: Expr| old.mul_add((beta as f32).into(), new * ((1.0 - beta) as f32).into());
        let m = b.bind(blend(x[2].clone(), adam.beta1, g.clone()));
        let v = b.bind(blend(x[3].clone(), adam.beta2, g.clone() * g));
        let scale = (v.clone() / x[5].clone()).unary(Unary::Sqrt) + (adam.epsilon as f32).into();
        let step = b.bind(rate * (m.clone() / x[4].clone()) / scale);
        vec![w - step, m, v]
    })
}

fn scaled(x: Expr, factor: f64) -> Expr {
    if factor == 1.0 { x } else { x * (factor as f32).into() }
}

/// g + decay·w.
fn decayed(g: Expr, decay: f64, w: &Expr) -> Expr {
    if decay == 0.0 { g } else { w.clone().mul_add((decay as f32).into(), g) }
}
