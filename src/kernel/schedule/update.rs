//! What happens to states: initial contents, optimizer steps, running statistics.

use super::super::build::Builder;
use super::super::{DType, Expr, Kernel, Unary};
use super::pointwise::{pointwise, random, seed_words};
use super::{Tensor, row_major_strides};
use crate::graph::{Adam, Initializer, Sgd};
use crate::plan::Update;

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

/// An optimizer's step: buffers w, g, what else it reads, and what it writes, in the operation's order.
pub fn update(lanes: usize, name: &str, update: &Update, inputs: &[Tensor], outputs: &[Tensor]) -> Option<Kernel> {
    let [w, g, others @ ..] = inputs else { return None };
    let reads = update.operands().iter().zip(std::iter::once(w).chain(others));
    let reads: Vec<(&str, Tensor)> = reads.map(|((name, reach), x)| (*name, x.reached(*reach, &w.dims))).collect();
    let mut operands: Vec<(&str, &Tensor)> = reads.iter().map(|(name, x)| (*name, x)).collect();
    operands.insert(1, ("g", g));
    let names: Vec<String> = update.states().map(updated).collect();
    let results: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(outputs).collect();
    let whole = (reads.len(), results.len()) == (update.operands().len(), names.len());
    whole.then(|| {
        pointwise(lanes, name, &operands, &results, None, |b, x, _| {
            let mut others = x.to_vec();
            let gradient = others.remove(1);
            step(b, update, gradient, &others)
        })
    })
}

/// What a state is called where it is written.
pub(super) fn updated(name: &str) -> String {
    format!("{name}_updated")
}

/// The new elements of the states, given the gradient's and those of what else the update reads.
pub(super) fn step(b: &mut Builder, update: &Update, g: Expr, others: &[Expr]) -> Vec<Expr> {
    match (update, others) {
        (Update::Sgd(sgd), [w, states @ .., lr]) => sgd_step(b, sgd, w, g, states.first(), lr),
        (Update::Adam(adam), [w, m, v, c1, c2, lr]) => adam_step(b, adam, [w, m, v], g, [c1, c2, lr]),
        _ => panic!("bug in netc: {update:?} reads other than {} operands", others.len()),
    }
}

/// w', and v' with momentum.
fn sgd_step(b: &mut Builder, sgd: &Sgd, w: &Expr, g: Expr, v: Option<&Expr>, lr: &Expr) -> Vec<Expr> {
    let rate = scaled(lr.clone(), sgd.lr_scale);
    let g = decayed(g, sgd.weight_decay, w);
    let Some(v) = v else {
        let step = b.bind(rate * g);
        return vec![w.clone() - step];
    };
    let momentum = Expr::F32(sgd.momentum as f32);
    let g = b.bind(if sgd.rate_in_velocity { rate.clone() * g } else { g });
    let velocity = b.bind(v.clone().mul_add(momentum.clone(), g.clone()));
    let step = if sgd.nesterov { velocity.clone().mul_add(momentum, g) } else { velocity.clone() };
    let step = b.bind(if sgd.rate_in_velocity { step } else { rate * step });
    vec![w.clone() - step, velocity]
}

/// w', m', v'.
fn adam_step(b: &mut Builder, adam: &Adam, [w, m, v]: [&Expr; 3], g: Expr, [c1, c2, lr]: [&Expr; 3]) -> Vec<Expr> {
    let rate = b.bind(scaled(lr.clone(), adam.lr_scale));
    let (mut w, mut g) = (w.clone(), g);
    if adam.decoupled && adam.weight_decay != 0.0 {
        let decay = b.bind(rate.clone() * w.clone());
        w = b.bind(decay.mul_add((-adam.weight_decay as f32).into(), w));
    } else {
        g = b.bind(decayed(g, adam.weight_decay, &w));
    }
    let blend = |old: &Expr, beta: f64, new: Expr| {
        old.clone().mul_add((beta as f32).into(), new * ((1.0 - beta) as f32).into())
    };
    let m = b.bind(blend(m, adam.beta1, g.clone()));
    let v = b.bind(blend(v, adam.beta2, g.clone() * g));
    let scale = (v.clone() / c2.clone()).unary(Unary::Sqrt) + (adam.epsilon as f32).into();
    let step = b.bind(rate * (m.clone() / c1.clone()) / scale);
    vec![w - step, m, v]
}

fn scaled(x: Expr, factor: f64) -> Expr {
    if factor == 1.0 { x } else { x * (factor as f32).into() }
}

/// g + decay·w.
fn decayed(g: Expr, decay: f64, w: &Expr) -> Expr {
    if decay == 0.0 { g } else { w.clone().mul_add((decay as f32).into(), g) }
}
