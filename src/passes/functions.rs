//! From a network to the functions of a program.

use super::{PASSES, run};
use crate::check::Network;
use crate::grad::{Recipe, differentiate};
use crate::graph::{Bug, Functions, Mode, lower};

/// The functions of a program for batches of `batch`: `init`, `preprocess`, `infer`, and `train` if asked for, all over
/// the same states.
///
/// # Errors
/// If a stage breaks its promise, or `train` is asked of a network without a recipe: bugs.
pub fn functions(network: &Network, batch: usize, train: bool) -> Result<Functions, Bug> {
    let mut graphs = vec![];
    for mode in [Mode::Init, Mode::Preprocess, Mode::Infer] {
        graphs.push(run(lower(network, mode, batch, train)?, PASSES, |_, _| {})?);
    }
    if train {
        let recipe = Recipe::of(network).ok_or_else(|| Bug("a network without a recipe cannot train".to_owned()))?;
        let step = differentiate(lower(network, Mode::Train, batch, train)?, &recipe)?;
        graphs.push(run(step, PASSES, |_, _| {})?);
    }
    Ok(Functions { graphs })
}
