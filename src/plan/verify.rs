//! Checks that a plan is one: what schedules and code generation rely on.

use super::{Buffer, BufferId, Epilogue, Halo, Images, Layout, Place, Plan, Reach, Step, Work};
use std::ops::Range;

/// Checks the invariants of a plan; the errors say where each is broken.
///
/// 1. Steps' names are unique and valid in C identifiers.
/// 2. Buffers lie within the arena or the state block, at multiples of 64 bytes.
/// 3. Buffers of the arena that are alive at the same step do not overlap.
/// 4. A step reads a buffer of the arena only after steps have written all channels of all of its images; of a buffer
///    with a halo, only after the halo was cleared.
/// 5. A part of a buffer lies in it, pixel in pixel: whole images, or some channels of them, in the same halo.
/// 6. What a step writes it does not read or write as another part of the same buffer.
/// 7. The operands of convolutions are channels-last, in a halo at least as wide as the taps reach.
/// 8. Only operations that take something along have an epilogue. It has all operands that its steps read, of the shape
///    of the result or one element a channel; an update, what it reads behind them, and it writes over each state that
///    it reads.
/// 9. A stack's groups do the same, in as many steps, one after the other, each with its part of every tensor.
pub fn verify(plan: &Plan) -> Result<(), Vec<String>> {
    let mut errors = Vec::new();
    names(plan, &mut errors);
    places(plan, &mut errors);
    order(plan, &mut errors);
    stacks(plan, &mut errors);
    for step in &plan.steps {
        apart(plan, step, &mut errors);
        halos(plan, step, &mut errors);
        epilogues(plan, step, &mut errors);
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
        if let Some(part) = buffer.part_of {
            let whole = &plan.buffers[part.whole.0 as usize];
            let place = match (whole.place, buffer.place) {
                (Place::Arena(a), Place::Arena(b)) | (Place::State(a), Place::State(b)) => b.checked_sub(a),
                (Place::Port(a), Place::Port(b)) => (a == b).then_some(part.bytes),
                _ => None,
            };
            let end = part.bytes + buffer.len() * buffer.element_bytes();
            let like = part.pitch == whole.pitch() && buffer.layout == whole.layout && buffer.dtype == whole.dtype;
            let inside = end <= whole.bytes() && Extent::of(buffer).channels.end <= part.pitch;
            if place != Some(part.bytes) || whole.part_of.is_some() || !like || !inside {
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

/// What a buffer is of the whole that it is a part of.
#[derive(PartialEq)]
struct Extent {
    images: Range<usize>,
    channels: Range<usize>,
}

impl Extent {
    /// Of a buffer by itself all of it; of one in rows, whose elements are not told apart, one channel of one image.
    fn of(buffer: &Buffer) -> Extent {
        let (Layout::ChannelsLast(_), Some(image)) = (buffer.layout, buffer.strides().first().copied()) else {
            return Extent { images: 0..1, channels: 0..1 };
        };
        let start = buffer.part_of.map_or(0, |part| part.bytes / buffer.element_bytes());
        let (first_image, first_channel) = (start / image.max(1), start % buffer.pitch().max(1));
        Extent {
            images: first_image..first_image + buffer.dims[0],
            channels: first_channel..first_channel + buffer.dims[1],
        }
    }

    /// Its images' channels, of a whole with so many.
    fn planes(&self, channels: usize) -> impl Iterator<Item = usize> + use<> {
        let own = self.channels.clone();
        self.images.clone().flat_map(move |image| own.clone().map(move |channel| image * channels + channel))
    }

    fn meets(&self, other: &Extent) -> bool {
        let meet = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        meet(&self.images, &other.images) && meet(&self.channels, &other.channels)
    }
}

/// What a step writes of an output.
fn written(plan: &Plan, step: &Step, output: BufferId) -> Extent {
    let buffer = |id: BufferId| &plan.buffers[id.0 as usize];
    let mut extent = Extent::of(buffer(output));
    if let (Work::CopyInto { start, .. }, [input]) = (&step.work, &step.inputs[..])
        && buffer(output).layout != Layout::Rows
    {
        let first = extent.channels.start + start;
        extent.channels = first..first + buffer(*input).dims[1];
    }
    extent
}

fn apart(plan: &Plan, step: &Step, errors: &mut Vec<String>) {
    let buffer = |id: BufferId| &plan.buffers[id.0 as usize];
    for (at, &output) in step.outputs.iter().enumerate() {
        let extent = written(plan, step, output);
        let others = step.inputs.iter().chain(&step.outputs[at + 1..]);
        for &other in others.filter(|&&b| b != output && plan.whole(b) == plan.whole(output)) {
            if extent.meets(&Extent::of(buffer(other))) {
                let (a, b) = (&buffer(output).name, &buffer(other).name);
                errors.push(format!("step {} writes {a}, which is in part {b}", step.name));
            }
        }
    }
}

fn order(plan: &Plan, errors: &mut Vec<String>) {
    // By image and channel, of each whole buffer.
    let extents: Vec<Extent> = plan.buffers.iter().map(Extent::of).collect();
    let mut made: Vec<Vec<bool>> = extents.iter().map(|e| vec![false; e.images.end * e.channels.end]).collect();
    let mut cleared = vec![false; plan.buffers.len()];
    for step in &plan.steps {
        for &id in &step.inputs {
            let BufferId(whole) = plan.whole(id);
            let buffer = &plan.buffers[whole as usize];
            let framed = !matches!(
                buffer.layout,
                Layout::Rows | Layout::ChannelsLast(Halo { top: 0, bottom: 0, left: 0, right: 0 })
            );
            let mut planes = extents[id.0 as usize].planes(extents[whole as usize].channels.end);
            let whole_there = planes.all(|plane| made[whole as usize].get(plane) == Some(&true));
            if matches!(buffer.place, Place::Arena(_)) && !(whole_there && (cleared[whole as usize] || !framed)) {
                let name = &plan.buffers[id.0 as usize].name;
                errors.push(format!("step {} reads {name} before it is whole", step.name));
            }
        }
        for &id in &step.outputs {
            let BufferId(whole) = plan.whole(id);
            match step.work {
                Work::ClearHalo => cleared[whole as usize] = true,
                _ => {
                    let channels = extents[whole as usize].channels.end;
                    for plane in written(plan, step, id).planes(channels) {
                        if let Some(made) = made[whole as usize].get_mut(plane) {
                            *made = true;
                        }
                    }
                }
            }
        }
    }
}

fn stacks(plan: &Plan, errors: &mut Vec<String>) {
    let mut end = 0;
    for stack in &plan.stacks {
        let Some(steps) = plan.steps.get(stack.steps.clone()).filter(|_| stack.steps.start >= end) else {
            errors.push("a stack of steps that are not the plan's, or another stack's".to_owned());
            continue;
        };
        end = stack.steps.end;
        let body = steps.len() / stack.groups.max(1);
        if body * stack.groups != steps.len() || body == 0 {
            errors.push(format!("{} steps in {} groups", steps.len(), stack.groups));
            continue;
        }
        for (i, step) in steps.iter().enumerate().skip(body) {
            let (first, group) = (&steps[i % body], i / body);
            let pairs = || first.inputs.iter().zip(&step.inputs).chain(first.outputs.iter().zip(&step.outputs));
            let alike = first.work == step.work
                && (first.inputs.len(), first.outputs.len()) == (step.inputs.len(), step.outputs.len())
                && pairs().all(|(a, b)| stands_for(plan, stack.images, *a, *b, group));
            if !alike {
                errors.push(format!("step {} does other work than {}", step.name, first.name));
            }
        }
    }
}

/// Whether buffer `b` is to a group of a stack what `a` is to the first: the same, another like it, or its images of what
/// `a` is the first images of.
fn stands_for(plan: &Plan, images: usize, a: BufferId, b: BufferId, group: usize) -> bool {
    let buffer = |id: BufferId| &plan.buffers[id.0 as usize];
    let alike = buffer(a).dims == buffer(b).dims && buffer(a).layout == buffer(b).layout;
    match (buffer(a).part_of, buffer(b).part_of) {
        (Some(a_part), Some(b_part)) if a_part.whole == b_part.whole => {
            let (first, own) = (Extent::of(buffer(a)), Extent::of(buffer(b)));
            let rows = buffer(a).layout == Layout::Rows;
            let moved = a_part.bytes + group * buffer(a).strides()[0] * images * buffer(a).element_bytes();
            alike && b_part.bytes == moved && (rows || first.channels == own.channels)
        }
        _ => a == b || alike,
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
        (Work::ConvWeightGrad { geometry, .. }, [x, dy, ..], [dweight, ..]) => {
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
        (Work::TransformImages { form, images: Images::Input { before, halo: true } }, [x], [_]) => {
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

fn epilogues(plan: &Plan, step: &Step, errors: &mut Vec<String>) {
    let (steps, update): (&[Epilogue], _) = match &step.work {
        Work::Conv(work) | Work::ConvInputGrad(work) => (&work.epilogue, None),
        Work::Winograd(work) | Work::WinogradProduct(work) => (&work.epilogue, None),
        Work::MatMul(work) => (&work.epilogue, work.update),
        Work::ConvWeightGrad { update, .. } | Work::WinogradGradientWeights { update, .. } => (&[], *update),
        Work::Then { epilogue, .. } => (epilogue, None),
        _ => return,
    };
    let updated: &[(&str, Reach)] = update.as_ref().map_or(&[], |update| update.operands());
    let dims = |id: &BufferId| plan.buffers[id.0 as usize].dims.as_slice();
    let Some(result) = step.outputs.first().map(dims) else { return };
    let read = steps.iter().flat_map(|step| step.operands()).chain(updated);
    let wanted: Vec<&[usize]> = read
        .map(|(_, reach)| match reach {
            Reach::Channel => &result[1..2],
            Reach::Element => result,
            Reach::Single => &[],
        })
        .collect();
    let before = match &step.work {
        Work::Then { op, .. } if !super::takes_along(op) => {
            errors.push(format!("step {} takes along what it does not do", step.name));
            return;
        }
        Work::Then { .. } => step.inputs.len().saturating_sub(wanted.len()),
        Work::WinogradGradientWeights { .. } => 1,
        _ => 2,
    };
    if !wanted.into_iter().eq(step.inputs.iter().skip(before).map(dims)) {
        return errors.push(format!("step {} has other operands than its epilogue reads", step.name));
    }
    let states = updated.iter().zip(&step.inputs[step.inputs.len() - updated.len()..]);
    let states = states.filter(|((_, reach), _)| *reach == Reach::Element).map(|(_, state)| state);
    if !updated.is_empty() && !states.eq(&step.outputs) {
        errors.push(format!("step {} does not write over the states that it updates", step.name));
    }
}
