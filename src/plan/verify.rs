//! Checks that a plan is one: what schedules and code generation rely on.

use super::{Buffer, BufferId, Halo, Images, Layout, Place, Plan, Step, Work};

/// Checks the invariants of a plan; the errors say where each is broken.
///
/// 1. Steps' names are unique and valid in C identifiers.
/// 2. Buffers lie within the arena or the state block, at multiples of 64 bytes.
/// 3. Buffers of the arena that are alive at the same step do not overlap.
/// 4. A step reads a buffer of the arena only after a step has written it; of a buffer with a halo, only after the halo
///    was cleared.
/// 5. A part of a buffer lies in it.
/// 6. The operands of convolutions are channels-last, in a halo at least as wide as the taps reach.
pub fn verify(plan: &Plan) -> Result<(), Vec<String>> {
    let mut errors = Vec::new();
    names(plan, &mut errors);
    places(plan, &mut errors);
    order(plan, &mut errors);
    for step in &plan.steps {
        halos(plan, step, &mut errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn names(plan: &Plan, errors: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    for step in &plan.steps {
        let clean = step.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !step.name.is_empty();
        if !clean || !seen.insert(&step.name) {
            errors.push(format!("step {} is not named uniquely by an identifier", step.name));
        }
    }
}

fn places(plan: &Plan, errors: &mut Vec<String>) {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; plan.buffers.len()];
    for (i, step) in plan.steps.iter().enumerate() {
        for &b in step.inputs.iter().chain(&step.outputs) {
            lives[plan.whole(b).0 as usize].get_or_insert((i, i)).1 = i;
        }
    }
    let mut arena: Vec<(usize, usize, (usize, usize), &Buffer)> = Vec::new();
    for (buffer, life) in plan.buffers.iter().zip(lives) {
        if let Some((whole, distance)) = buffer.part_of {
            let whole = &plan.buffers[whole.0 as usize];
            let place = match (whole.place, buffer.place) {
                (Place::Arena(a), Place::Arena(b)) | (Place::State(a), Place::State(b)) => b.checked_sub(a),
                _ => None,
            };
            if place != Some(distance) || distance + buffer.len() * 4 > whole.bytes() {
                errors.push(format!("buffer {} does not lie in {}", buffer.name, whole.name));
            }
            continue;
        }
        let (offset, block, bytes) = match buffer.place {
            Place::Arena(offset) => (offset, "arena", plan.arena_bytes),
            Place::State(offset) => (offset, "state block", plan.state_bytes),
            Place::Port(_) => continue,
        };
        // What no step touches takes no place.
        let Some(life) = life else { continue };
        let end = offset + buffer.bytes();
        if offset % 64 != 0 || end > bytes {
            errors.push(format!("buffer {} does not lie in the {block}", buffer.name));
        }
        if block == "arena" {
            for (start, stop, other, neighbour) in &arena {
                if other.0 <= life.1 && life.0 <= other.1 && *start < end && offset < *stop {
                    errors.push(format!("buffers {} and {} overlap", neighbour.name, buffer.name));
                }
            }
            arena.push((offset, end, life, buffer));
        }
    }
}

fn order(plan: &Plan, errors: &mut Vec<String>) {
    let mut written = vec![false; plan.buffers.len()];
    let mut cleared = vec![false; plan.buffers.len()];
    for step in &plan.steps {
        for &id in &step.inputs {
            let BufferId(b) = plan.whole(id);
            let buffer = &plan.buffers[b as usize];
            let framed = !matches!(
                buffer.layout,
                Layout::Rows | Layout::ChannelsLast(Halo { top: 0, bottom: 0, left: 0, right: 0 })
            );
            if matches!(buffer.place, Place::Arena(_)) && !(written[b as usize] && (cleared[b as usize] || !framed)) {
                errors.push(format!("step {} reads {} before it is whole", step.name, buffer.name));
            }
        }
        for &id in &step.outputs {
            let BufferId(b) = plan.whole(id);
            match step.work {
                Work::ClearHalo => cleared[b as usize] = true,
                _ => written[b as usize] = true,
            }
        }
    }
}

fn halos(plan: &Plan, step: &Step, errors: &mut Vec<String>) {
    let buffer = |id: &BufferId| &plan.buffers[id.0 as usize];
    let size = |b: &Buffer| [b.dims[2], b.dims[3]];
    let forward = |g: &crate::graph::ConvGeometry, x: &Buffer, kernel: [usize; 2], y: &Buffer| {
        super::forward_halo(g, &x.dims, kernel, &y.dims)
    };
    let wanted = match (&step.work, &step.inputs[..], &step.outputs[..]) {
        (Work::Conv(work), [x, ..], [y]) => Some((x, forward(&work.geometry, buffer(x), work.kernel, buffer(y)))),
        (Work::ConvWeightGrad { geometry, .. }, [x, dy], [dweight]) => {
            let w = &buffer(dweight).dims;
            Some((x, forward(geometry, buffer(x), [w[2], w[3]], buffer(dy))))
        }
        (Work::ConvInputGrad(work), [dy, ..], [dx]) => {
            let (from, to) = (&buffer(dx).dims, &buffer(dy).dims);
            let [top, bottom, left, right] =
                super::input_grad_halo(&work.geometry, work.kernel, [from[2], from[3]], [to[2], to[3]]);
            Some((dy, Halo { top, bottom, left, right }))
        }
        (Work::Winograd(work), [x, ..], [_]) => Some((x, work.form.halo(size(buffer(x)), work.before))),
        (Work::TransformImages { form, images: Images::Input { before } }, [x], [_]) => {
            Some((x, form.halo(size(buffer(x)), *before)))
        }
        (Work::TransformImages { form, images: Images::Gradient }, [dy], [_]) => {
            Some((dy, form.result_halo(size(buffer(dy)))))
        }
        (Work::Polyphase { phases, before }, [x], [y]) => {
            Some((x, phases.halo(size(buffer(x)), *before, size(buffer(y)))))
        }
        _ => None,
    };
    if let Some((operand, wanted)) = wanted {
        let operand = buffer(operand);
        let wide_enough = match operand.layout {
            Layout::ChannelsLast(halo) => halo.union(wanted) == halo,
            Layout::Rows => false,
        };
        if !wide_enough {
            errors.push(format!("step {} reads beyond the halo of {}", step.name, operand.name));
        }
    }
}
