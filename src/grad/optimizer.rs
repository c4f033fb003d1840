//! The optimizer's step as operations.

use super::Recipe;
use crate::check::Optimizer;
use crate::graph::lower::{moment_names, scalar_names};
use crate::graph::{Adam, Bug, Builder, Op, Sgd, StateId, Type, ValueId};

/// Inputs before the learning rate: the image and what the result is compared with.
const INPUTS_BEFORE_RATE: usize = 2;

/// Adds the update of one parameter after the other.
pub(super) struct Updates<'a> {
    recipe: &'a Recipe,
    learning_rate: ValueId,
    /// 1 − β₁ᵗ and 1 − β₂ᵗ, for Adam.
    corrections: Vec<ValueId>,
}

impl<'a> Updates<'a> {
    pub(super) fn new(b: &mut Builder, recipe: &'a Recipe) -> Result<Self, Bug> {
        let learning_rate = b.input_at(INPUTS_BEFORE_RATE, "learning_rate", Type::f32([]));
        let betas: &[f64] = match &recipe.optimizer {
            Optimizer::Sgd { .. } => &[],
            Optimizer::Adam { beta1, beta2, .. } => &[*beta1, *beta2],
        };
        b.at("", Default::default());
        let mut corrections = vec![];
        for (&beta, name) in betas.iter().zip(scalar_names(&recipe.optimizer)) {
            let state = state(b, name)?;
            let old = b.read(state);
            let new = b.try_node(Op::BiasCorrection { beta }, &[old], None, &format!("{name}.next")).map_err(Bug)?[0];
            b.update(state, new);
            corrections.push(new);
        }
        Ok(Updates { recipe, learning_rate, corrections })
    }

    /// The update of a parameter under the layer that the builder is at.
    pub(super) fn add(
        &mut self,
        b: &mut Builder,
        (parameter, value): (StateId, ValueId),
        gradient: ValueId,
    ) -> Result<(), Bug> {
        let name = b.graph().states[parameter.0 as usize].name.clone();
        let scales = self.recipe.params.get(&name).ok_or_else(|| Bug(format!("{name} is not trained")))?;
        let op = match self.recipe.optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay, rate_in_velocity } => Op::SgdUpdate(Sgd {
                momentum,
                nesterov,
                weight_decay: weight_decay * scales.decay,
                lr_scale: scales.rate,
                rate_in_velocity,
            }),
            Optimizer::Adam { beta1, beta2, epsilon, weight_decay, decoupled } => Op::AdamUpdate(Adam {
                beta1,
                beta2,
                epsilon,
                weight_decay: weight_decay * scales.decay,
                lr_scale: scales.rate,
                decoupled,
            }),
        };
        let mut states = vec![parameter];
        let mut operands = vec![value, gradient];
        for moment in moment_names(&self.recipe.optimizer, &name) {
            let moment = state(b, &moment)?;
            states.push(moment);
            operands.push(b.read(moment));
        }
        operands.extend(&self.corrections);
        operands.push(self.learning_rate);
        let results = b.try_node(op, &operands, None, &format!("{name}.next")).map_err(Bug)?;
        states.into_iter().zip(results).for_each(|(state, value)| b.update(state, value));
        Ok(())
    }
}

fn state(b: &Builder, name: &str) -> Result<StateId, Bug> {
    b.graph().find_state(name).ok_or_else(|| Bug(format!("there is no state {name}")))
}
