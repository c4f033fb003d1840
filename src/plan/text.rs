//! The plan as text: buffers with layout and place, steps with their work, in order, and what was not fused. Of a stack,
//! the steps of the first group; those of the others do the same, in the same places, for their images.

use super::{
    Buffer, BufferId, Division, Elsewhere, Epilogue, Halo, Images, Layout, Place, Plan, Stack, Step, Tile, Update,
    Winograd, Work,
};
use std::fmt::Write;

/// The plan as text.
pub fn print(plan: &Plan) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "plan {} {{\n  arena {} bytes, state {} bytes, {} steps",
        plan.function,
        plan.arena_bytes,
        plan.state_bytes,
        plan.steps.len()
    );
    let repeated = |i: &usize| plan.stacks.iter().any(|s| (s.steps.start + s.body()..s.steps.end).contains(i));
    let mut hidden = vec![false; plan.buffers.len()];
    let operands = |i: usize| plan.steps[i].inputs.iter().chain(&plan.steps[i].outputs);
    (0..plan.steps.len()).filter(repeated).flat_map(operands).for_each(|b| hidden[b.0 as usize] = true);
    (0..plan.steps.len()).filter(|i| !repeated(i)).flat_map(operands).for_each(|b| hidden[b.0 as usize] = false);
    for (buffer, _) in plan.buffers.iter().zip(hidden).filter(|(_, hidden)| !hidden) {
        let _ = writeln!(out, "  {}", print_buffer(buffer));
    }
    for (i, step) in plan.steps.iter().enumerate().filter(|(i, _)| !repeated(i)) {
        if let Some(stack) = plan.stacks.iter().find(|stack| stack.steps.start == i) {
            let _ = writeln!(out, "  {}", self::stack(stack));
        }
        let inside = plan.stacks.iter().any(|stack| stack.steps.contains(&i));
        let _ = writeln!(out, "  {}{}", if inside { "  " } else { "" }, self::step(plan, step));
    }
    for not in &plan.not_fused {
        let _ = writeln!(out, "  not fused: {} into {}: {}", not.step, not.into, not.reason);
    }
    for (name, buffer) in &plan.outputs {
        let _ = writeln!(out, "  output {name} = %{}", plan.buffers[buffer.0 as usize].name);
    }
    out.push_str("}\n");
    out
}

/// `stack of 9 steps, 4 times for 4 images: …`.
fn stack(stack: &Stack) -> String {
    format!(
        "stack of {} steps, {} times for {} {}: {} bytes of weights and {} of tensors in a cache, {} bytes not moved",
        stack.body(),
        stack.groups,
        stack.images,
        if stack.images == 1 { "image" } else { "images" },
        stack.weights,
        stack.alive,
        stack.saved
    )
}

fn print_buffer(buffer: &Buffer) -> String {
    let dims: Vec<String> = buffer.dims.iter().map(usize::to_string).collect();
    let layout = match buffer.layout {
        Layout::Rows => "rows".to_owned(),
        Layout::ChannelsLast(Halo { top: 0, bottom: 0, left: 0, right: 0 }) => "channels-last".to_owned(),
        Layout::ChannelsLast(h) => format!("channels-last halo {},{},{},{}", h.top, h.bottom, h.left, h.right),
    };
    let place = match buffer.place {
        Place::Arena(offset) => format!("arena+{offset}"),
        Place::State(offset) => format!("state+{offset}"),
        Place::Port(port) => format!("port {port}"),
    };
    let part = match buffer.part_of {
        Some(part) if part.pitch != buffer.dims[1] => format!(", part of {} channels", part.pitch),
        Some(_) => ", part".to_owned(),
        None => String::new(),
    };
    format!("buffer %{}: {}[{}] {layout} at {place}{part}", buffer.name, buffer.dtype, dims.join(","))
}

/// A step as text.
pub fn step(plan: &Plan, step: &Step) -> String {
    let names = |ids: &[BufferId]| -> String {
        let names: Vec<String> = ids.iter().map(|b| format!("%{}", plan.buffers[b.0 as usize].name)).collect();
        names.join(", ")
    };
    let layers = if step.layers.is_empty() { String::new() } else { format!(" ({})", step.layers.join(", ")) };
    format!("{}: {} = {}({}){layers}", step.name, names(&step.outputs), work(&step.work), names(&step.inputs))
}

/// `F(4, 3)` or, with other rows than columns, `F(4×5, 3×3)`; and how many tiles are computed at a time.
fn winograd(form: &Winograd) -> String {
    let ([mh, mw], [rh, rw]) = (form.outputs, form.taps);
    let size = if mh == mw && rh == rw { format!("F({mh}, {rh})") } else { format!("F({mh}×{mw}, {rh}×{rw})") };
    let [down, across] = form.tiles;
    let [high, wide] = form.mosaic.images;
    let single = form.mosaic.count() == 1;
    let of = if single { String::new() } else { format!(" of {high}×{wide} images") };
    match form.division {
        Division::Tiles { mosaics: 1, rows } => format!("{size} {rows} of {down}×{across} tiles{of}"),
        Division::Tiles { mosaics, .. } if single => format!("{size} {down}×{across} tiles of {mosaics} images"),
        Division::Tiles { mosaics, .. } => format!("{size} {down}×{across} tiles{of}, {mosaics} times"),
        Division::Channels => format!("{size} {down}×{across} tiles{of}"),
    }
}

/// What a step does, as text.
pub fn work(work: &Work) -> String {
    let tile = |t: &Tile| format!("tile {}x{}", t.rows, t.columns());
    let after = |steps: &[Epilogue]| {
        let names = steps.iter().map(|s| match s {
            Epilogue::Bias => " + bias",
            Epilogue::Normalize => " + batchnorm",
            Epilogue::Add => " + add",
            Epilogue::Relu => " + relu",
            Epilogue::ReluMask => " + relu mask",
        });
        names.collect::<String>()
    };
    let then = |update: &Option<Update>| match update {
        Some(Update::Sgd(_)) => " + sgd",
        Some(Update::Adam(_)) => " + adam",
        None => "",
    };
    match work {
        Work::Op(op) => op.mnemonic().to_owned(),
        Work::Then { op, epilogue } => format!("{}{}", op.mnemonic(), after(epilogue)),
        Work::LrnMaxPool { bands: 1, .. } => "lrn + maxpool".to_owned(),
        Work::LrnMaxPool { bands, .. } => format!("lrn + maxpool in {bands} bands an image"),
        Work::Copy => "copy".to_owned(),
        Work::CopyInto { start, because } => {
            let because = match because {
                Elsewhere::Given => "the caller has it",
                Elsewhere::Taken => "it is made in another place",
                Elsewhere::Cut => "it is cut from a whole",
                Elsewhere::Rows => "it is no image",
            };
            format!("copy into channel {start}: {because}")
        }
        Work::ClearHalo => "clear halo".to_owned(),
        Work::Conv(w) => format!("direct conv [{}]{}", tile(&w.tile), after(&w.epilogue)),
        Work::ConvInputGrad(w) => format!("direct conv input grad [{}]{}", tile(&w.tile), after(&w.epilogue)),
        Work::ConvWeightGrad { tile: t, update, .. } => {
            format!("direct conv weight grad [{}]{}", tile(t), then(update))
        }
        Work::PackWeights { transposed: false, columns, .. } => format!("pack weights by {columns}"),
        Work::PackWeights { transposed: true, columns, .. } => format!("pack weights transposed by {columns}"),
        Work::TransformWeights { form, phases, transposed, .. } => {
            let turned = if *transposed { "turned " } else { "" };
            let phases = if phases.is_needed() { format!(" of {} phases", phases.phases()) } else { String::new() };
            format!("{turned}weights{phases} at the points of {}", winograd(form))
        }
        Work::BatchNormScale { .. } => "batchnorm scale".to_owned(),
        Work::Polyphase { phases, .. } => format!("{} phases", phases.phases()),
        Work::Winograd(w) => format!("{} conv [{}]{}", winograd(&w.form), tile(&w.tile), after(&w.epilogue)),
        Work::TransformImages { form, images: Images::Input { .. } } => {
            format!("input at the points of {}", winograd(form))
        }
        Work::TransformImages { form, images: Images::Gradient } => {
            format!("gradient at the points of {}", winograd(form))
        }
        Work::WinogradProduct(w) => {
            format!("{} conv of points [{}]{}", winograd(&w.form), tile(&w.tile), after(&w.epilogue))
        }
        Work::WinogradGradient { tile: t, .. } => format!("weight grad at points [{}]", tile(t)),
        Work::WinogradGradientWeights { form, update, .. } => {
            format!("weight grad of {}{}", winograd(form), then(update))
        }
        Work::PackMatrix { transposed: false, columns } => format!("pack matrix by {columns}"),
        Work::PackMatrix { transposed: true, columns } => format!("pack matrix transposed by {columns}"),
        Work::MatMul(w) => {
            let left = if w.transposed { "aᵀ" } else { "a" };
            let right = if w.packed { "packed b" } else { "b" };
            let product = format!("{left}·{right}");
            let product = if w.turned { format!("({product})ᵀ") } else { product };
            format!("matmul {product} [{}]{}{}", tile(&w.tile), after(&w.epilogue), then(&w.update))
        }
    }
}
