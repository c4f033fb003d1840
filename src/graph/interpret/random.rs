//! Random numbers: initial contents and dropout.

use crate::graph::Initializer;
use netc_runtime::random::{philox, unit_interval};
use std::f64::consts::TAU;

fn words(seed: &[i32], i: usize, step: u32, stream: u32) -> [u32; 4] {
    let i = i as u64;
    philox([seed[0] as u32, seed[1] as u32], [i as u32, (i >> 32) as u32, step, stream])
}

/// Element i draws from the words of counter `[i, i >> 32, 0, stream]`. Normal numbers are Box and Muller's first:
/// √(−2·ln(1 − u₀))·cos(2π·u₁).
pub(super) fn initialize(init: &Initializer, seed: &[i32], count: usize) -> Vec<f64> {
    let unit = |bits: u32| f64::from(unit_interval(bits));
    match *init {
        Initializer::Constant(value) => vec![value; count],
        Initializer::Normal { mean, std, stream } => (0..count)
            .map(|i| {
                let w = words(seed, i, 0, stream);
                let radius = (-2.0 * (1.0 - unit(w[0])).ln()).sqrt();
                mean + std * (radius * (TAU * unit(w[1])).cos())
            })
            .collect(),
        Initializer::Uniform { low, high, stream } => {
            (0..count).map(|i| low + (high - low) * unit(words(seed, i, 0, stream)[0])).collect()
        }
    }
}

/// Keeps element i if its number is at least p (both single), and scales it by 1/(1 − p).
pub(super) fn dropout(x: &[f64], p: f64, stream: u32, seed: &[i32], step: i32) -> Vec<f64> {
    let keep = |i: usize| unit_interval(words(seed, i, step as u32, stream)[0]) >= p as f32;
    x.iter().enumerate().map(|(i, x)| if keep(i) { x * (1.0 / (1.0 - p)) } else { 0.0 }).collect()
}
