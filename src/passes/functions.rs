//! From a network to the functions of a program.

use super::{PASSES, run};
use crate::check::Network;
use crate::grad::{Recipe, differentiate};
use crate::graph::{Bug, Functions, Graph, Mode, lower};

/// The functions of a program for batches of `batch`: `init`, `preprocess`, `infer`, and `train` if asked for, all over
/// the same states.
///
/// # Errors
/// If a stage breaks its promise, or `train` is asked of a network without a recipe: bugs.
pub fn functions(network: &Network, batch: usize, train: bool) -> Result<Functions, Bug> {
    functions_observed(network, batch, train, |_, _| {})
}

/// The functions of a program that shows its work: `init`, `preprocess`, and an `infer` that gives every layer's result too,
/// called by [`layer_output`](crate::graph::layer_output).
///
/// # Errors
/// As [`functions`].
pub fn functions_with_layers(network: &Network, batch: usize) -> Result<Functions, Bug> {
    let graph = |mode| run(lower(network, mode, batch, false)?, PASSES, |_, _| {});
    let graphs = [Mode::Init, Mode::Preprocess, Mode::Layers].into_iter().map(graph).collect::<Result<_, Bug>>()?;
    Ok(Functions { graphs })
}

/// As [`functions`], and shows each graph to `observe` after each step that makes it: `lower`, `differentiate`, and the
/// passes by their names.
///
/// # Errors
/// As [`functions`].
pub fn functions_observed(
    network: &Network,
    batch: usize,
    train: bool,
    mut observe: impl FnMut(&str, &Graph),
) -> Result<Functions, Bug> {
    let mut graphs = vec![];
    for mode in [Mode::Init, Mode::Preprocess, Mode::Infer] {
        let graph = lower(network, mode, batch, train)?;
        observe("lower", &graph);
        graphs.push(run(graph, PASSES, &mut observe)?);
    }
    if train {
        let recipe = Recipe::of(network).ok_or_else(|| Bug("a network without a recipe cannot train".to_owned()))?;
        let forward = lower(network, Mode::Train, batch, train)?;
        observe("lower", &forward);
        let step = differentiate(forward, &recipe)?;
        observe("differentiate", &step);
        graphs.push(run(step, PASSES, &mut observe)?);
    }
    Ok(Functions { graphs })
}
