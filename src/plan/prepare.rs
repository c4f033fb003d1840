//! What inference does with weights alone is done once: a function `prepare` keeps it behind the states.

use super::convolution::Algorithm;
use super::{Place, Plan, arena, plan};
use crate::graph::Graph;
use crate::target::Target;

/// The function's name.
pub const PREPARE: &str = "prepare";

/// Plans of a program's functions. If `infer` brings weights into other forms, a plan of the function [`PREPARE`] stands
/// before it: it has no ports, and must be called when the states have changed and before `infer` is.
pub fn plans(graphs: &[Graph], target: &Target, algorithm: Algorithm) -> Vec<Plan> {
    let mut plans = Vec::new();
    for graph in graphs {
        let plan = plan(graph, target, algorithm);
        if graph.name == "infer" { plans.extend(divided(plan)) } else { plans.push(plan) }
    }
    plans
}

/// A plan without the steps that depend on states alone, and before it one of those steps, if there are any.
fn divided(mut plan: Plan) -> Vec<Plan> {
    let in_state = |plan: &Plan, b: super::BufferId| matches!(plan.buffers[b.0 as usize].place, Place::State(_));
    let (early, late): (Vec<_>, Vec<_>) = std::mem::take(&mut plan.steps)
        .into_iter()
        .partition(|step| step.work.rearranges() && step.inputs.iter().all(|&b| in_state(&plan, b)));
    plan.steps = late;
    if early.is_empty() {
        return vec![plan];
    }
    for &output in early.iter().flat_map(|step| &step.outputs) {
        let buffer = &mut plan.buffers[output.0 as usize];
        buffer.place = Place::State(plan.state_bytes);
        plan.state_bytes += buffer.bytes();
    }
    let in_arena: Vec<bool> =
        plan.buffers.iter().map(|b| b.part_of.is_none() && matches!(b.place, Place::Arena(_))).collect();
    plan.arena_bytes = arena::place(&mut plan.buffers, &plan.steps, &in_arena);
    arena::place_parts(&mut plan.buffers);
    let used = |b: usize| early.iter().any(|s| s.inputs.iter().chain(&s.outputs).any(|id| id.0 as usize == b));
    // Buffers are named by their number: those that it does not use stay, without a place in its arena.
    let mut buffers = plan.buffers.clone();
    for (b, buffer) in buffers.iter_mut().enumerate() {
        if !used(b) && !matches!(buffer.place, Place::State(_)) {
            buffer.place = Place::Arena(0);
        }
    }
    let prepare = Plan {
        function: PREPARE.to_owned(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        buffers,
        steps: early,
        arena_bytes: 0,
        state_bytes: plan.state_bytes,
    };
    vec![prepare, plan]
}
