//! What inference does with states alone is done once: a function `prepare` keeps it behind the states.

use super::convolution::Algorithm;
use super::{BufferId, Place, Plan, arena, plan};
use crate::graph::Graph;
use crate::target::Target;
use std::collections::{BTreeMap, BTreeSet};

/// The function's name.
pub const PREPARE: &str = "prepare";

/// Plans of a program's functions. If `infer` does work that depends on states alone, a plan of the function [`PREPARE`] stands
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
    let mut writers = vec![0; plan.buffers.len()];
    plan.steps.iter().flat_map(|step| &step.outputs).for_each(|b| writers[plan.whole(*b).0 as usize] += 1);
    // What a step alone makes of states, in memory that is its own, stays as it is for as long as they do.
    let own = |plan: &Plan, b: BufferId| {
        let buffer = &plan.buffers[b.0 as usize];
        matches!(buffer.place, Place::Arena(_)) && buffer.part_of.is_none() && writers[b.0 as usize] == 1
    };
    let in_state = |plan: &Plan, b: BufferId| matches!(plan.buffers[b.0 as usize].place, Place::State(_));
    let (mut early, mut late) = (Vec::new(), Vec::new());
    let mut kept: BTreeSet<BufferId> = BTreeSet::new();
    for step in std::mem::take(&mut plan.steps) {
        let known = step.inputs.iter().all(|b| in_state(&plan, *b) || kept.contains(b));
        if known && !step.inputs.is_empty() && step.outputs.iter().all(|b| own(&plan, *b)) {
            kept.extend(&step.outputs);
            plan.stacks.iter_mut().for_each(|stack| stack.step_removed(late.len()));
            early.push(step);
        } else {
            late.push(step);
        }
    }
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
    plan.arena_bytes = arena::place(&mut plan.buffers, &plan.steps, &in_arena, &plan.stacks);
    arena::place_parts(&mut plan.buffers);
    let mut buffers = Vec::new();
    let mut numbers = BTreeMap::new();
    for id in early.iter_mut().flat_map(|step| step.inputs.iter_mut().chain(&mut step.outputs)) {
        *id = *numbers.entry(*id).or_insert_with(|| {
            buffers.push(plan.buffers[id.0 as usize].clone());
            BufferId(buffers.len() as u32 - 1)
        });
    }
    let prepare = Plan {
        function: PREPARE.to_owned(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        buffers,
        steps: early,
        stacks: Vec::new(),
        not_fused: Vec::new(),
        arena_bytes: 0,
        state_bytes: plan.state_bytes,
    };
    vec![prepare, plan]
}
