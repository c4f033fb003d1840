//! Reverse-mode differentiation and the optimizer's step, as a transformation of graphs.
//!
//! Takes the forward pass of a training step ([`lower`](crate::graph::lower::lower) with
//! [`Mode::Train`](crate::graph::Mode)), gives the whole step: forward, backward, updates of every trained parameter.
//! The backward operations are ordinary operations of the same graph, each under the layer of its forward operation.
//! The gradient of an image comes before that of a weight, and a parameter's update follows its gradient at once: so no
//! gradient lives longer than it must, and an update may write over the parameter.

mod backward;
mod optimizer;
mod rules;

pub use backward::gradients;

use crate::check::{Network, Optimizer};
use crate::graph::lower::is_trained;
use crate::graph::{Bug, Builder, Graph, StateId, ValueId};
use optimizer::Updates;
use std::collections::BTreeMap;

/// How parameters follow their gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The rule.
    pub optimizer: Optimizer,
    /// The trained parameters by name.
    pub params: BTreeMap<String, Scales>,
}

/// A parameter's own factors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scales {
    /// Multiplies the learning rate.
    pub rate: f64,
    /// Multiplies the weight decay.
    pub decay: f64,
}

impl Recipe {
    /// The recipe of a network, if its spec has one.
    pub fn of(network: &Network) -> Option<Recipe> {
        let optimizer = network.train.as_ref()?.optimizer;
        let mut params = BTreeMap::new();
        for (_, layer) in network.layers() {
            for param in layer.params.iter().filter(|p| is_trained(p)) {
                let scales = Scales { rate: param.lr_mult, decay: param.decay_mult };
                params.insert(format!("{}.{}", layer.name, param.name), scales);
            }
        }
        Some(Recipe { optimizer, params })
    }
}

/// The training step of a forward pass: the gradient of its output `loss` for every parameter of the recipe that the
/// loss depends on, and the updates. Adds the input `learning_rate` behind the image and what it is compared with.
///
/// The optimizer's states must be among the graph's; [`states`](crate::graph::lower::states) lists them.
///
/// # Errors
/// If the graph has no loss, or a state is missing: a bug.
pub fn differentiate(graph: Graph, recipe: &Recipe) -> Result<Graph, Bug> {
    let loss = graph.find_output("loss").ok_or_else(|| Bug("the graph has no loss".to_owned()))?;
    let trained: Vec<(StateId, ValueId)> = (0..)
        .map(StateId)
        .zip(&graph.states)
        .filter(|(_, state)| recipe.params.contains_key(&state.name))
        .filter_map(|(id, state)| Some((id, state.value?)))
        .collect();
    let mut b = Builder::extend(graph);
    if trained.is_empty() {
        return Ok(b.finish());
    }
    let mut updates = Updates::new(&mut b, recipe)?;
    let values: Vec<ValueId> = trained.iter().map(|&(_, v)| v).collect();
    gradients(&mut b, loss, &values, |b, i, gradient| updates.add(b, trained[i], gradient))?;
    Ok(b.finish())
}
