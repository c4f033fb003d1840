//! Who is charged with a kernel's time, and in which pass.
//!
//! - A kernel is charged to one layer: the first that it names, around whose operation it is built. The others are what it
//!   took along.
//! - The loss and its gradient are charged to the loss. The optimizer's step is charged to the layer whose parameters it
//!   changes, or to the optimizer where it changes none of a layer's.
//! - A kernel that does no layer's work (zeros around an image, another layout) is charged as the first that reads what it
//!   wrote; where nothing reads that, as the one that wrote what it reads.
//! - The backward pass begins with the loss's gradient. What reads its results belongs to it, and so does what is read by
//!   nothing else.

use crate::graph::Op;
use crate::plan::{BufferId, Place, Plan, Step, Work, text};

/// Who is charged with a kernel's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Who.
    pub to: Payer,
    /// In which pass.
    pub pass: Pass,
    /// The other layers whose work the kernel does.
    pub along: Vec<String>,
}

/// What work is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Payer {
    /// A layer, by name.
    Layer(String),
    /// The loss and its gradient.
    Loss,
    /// What the optimizer does for all layers together.
    Optimizer,
    /// None of these.
    Other,
}

/// A pass through the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// From the input to the result, and to the loss.
    Forward,
    /// From the loss to the gradients, and the optimizer's step.
    Backward,
}

/// The charge of each step.
pub(super) fn charges(plan: &Plan) -> Vec<Charge> {
    let flow = Flow::of(plan);
    let passes = passes(plan, &flow);
    let payers = payers(plan, &flow);
    let charges = plan.steps.iter().zip(passes.into_iter().zip(payers));
    charges
        .map(|(step, (pass, to))| {
            let others = step.layers.iter().filter(|layer| !matches!(&to, Payer::Layer(name) if name == *layer));
            let along = if to == Payer::Loss { Vec::new() } else { others.cloned().collect() };
            Charge { to, pass, along }
        })
        .collect()
}

/// For each step the first that does alike: the same work for the same layers, into tensors of the same names, as those of
/// several groups of images have them.
pub(super) fn alike(plan: &Plan) -> Vec<usize> {
    let mut first = std::collections::BTreeMap::new();
    let steps = plan.steps.iter().enumerate();
    steps
        .map(|(i, step)| {
            let name = |b: &BufferId| plan.buffers[plan.whole(*b).0 as usize].name.as_str();
            let outputs: Vec<&str> = step.outputs.iter().map(name).collect();
            *first.entry((text::work(&step.work), &step.layers, outputs)).or_insert(i)
        })
        .collect()
}

/// Which steps read and write each buffer, or a part of it.
struct Flow {
    reads: Vec<Vec<usize>>,
    writes: Vec<Vec<usize>>,
}

impl Flow {
    fn of(plan: &Plan) -> Flow {
        let mut flow =
            Flow { reads: vec![Vec::new(); plan.buffers.len()], writes: vec![Vec::new(); plan.buffers.len()] };
        for (i, step) in plan.steps.iter().enumerate() {
            step.inputs.iter().for_each(|&b| flow.reads[plan.whole(b).0 as usize].push(i));
            step.outputs.iter().for_each(|&b| flow.writes[plan.whole(b).0 as usize].push(i));
        }
        flow
    }

    /// The steps after step `i` that read what it wrote.
    fn readers<'a>(&'a self, plan: &'a Plan, i: usize) -> impl Iterator<Item = usize> + 'a {
        let written = plan.steps[i].outputs.iter();
        written.flat_map(move |&b| {
            let reads = &self.reads[plan.whole(b).0 as usize];
            reads[reads.partition_point(|&reader| reader <= i)..].iter().copied()
        })
    }

    /// The last step before step `i` that wrote something that it reads.
    fn writer(&self, plan: &Plan, i: usize) -> Option<usize> {
        let read = plan.steps[i].inputs.iter().filter_map(|&b| {
            let writes = &self.writes[plan.whole(b).0 as usize];
            writes[..writes.partition_point(|&writer| writer < i)].last().copied()
        });
        read.max()
    }
}

fn passes(plan: &Plan, flow: &Flow) -> Vec<Pass> {
    let mut backward = vec![false; plan.steps.len()];
    for (i, step) in plan.steps.iter().enumerate() {
        let begins = matches!(step.work, Work::Op(Op::CrossEntropyGrad { .. } | Op::MseGrad));
        if begins || backward[i] {
            backward[i] = true;
            flow.readers(plan, i).for_each(|reader| backward[reader] = true);
        }
    }
    for (i, step) in plan.steps.iter().enumerate().rev() {
        let given = step.outputs.iter().any(|&b| matches!(plan.buffers[b.0 as usize].place, Place::Port(_)));
        let mut readers = flow.readers(plan, i).peekable();
        if !given && readers.peek().is_some() && readers.all(|reader| backward[reader]) {
            backward[i] = true;
        }
    }
    backward.into_iter().map(|backward| if backward { Pass::Backward } else { Pass::Forward }).collect()
}

fn payers(plan: &Plan, flow: &Flow) -> Vec<Payer> {
    let mut payers: Vec<Option<Payer>> = plan.steps.iter().map(payer).collect();
    for i in (0..payers.len()).rev() {
        if payers[i].is_none() {
            payers[i] = flow.readers(plan, i).min().and_then(|reader| payers[reader].clone());
        }
    }
    for i in 0..payers.len() {
        if payers[i].is_none() {
            payers[i] = flow.writer(plan, i).and_then(|writer| payers[writer].clone());
        }
    }
    payers.into_iter().map(|payer| payer.unwrap_or(Payer::Other)).collect()
}

/// Whose work a step does by itself.
fn payer(step: &Step) -> Option<Payer> {
    match (&step.work, step.layers.first()) {
        (Work::Op(Op::CrossEntropy { .. } | Op::CrossEntropyGrad { .. } | Op::Mse | Op::MseGrad), _) => {
            Some(Payer::Loss)
        }
        (_, Some(layer)) => Some(Payer::Layer(layer.clone())),
        (Work::Op(Op::SgdUpdate(_) | Op::AdamUpdate(_) | Op::BiasCorrection { .. }), None) => Some(Payer::Optimizer),
        (_, None) => None,
    }
}
