//! Fusion: what a kernel takes along, and why not.
//!
//! The kernel of a convolution, an input gradient, a matrix product or another operation that
//! [takes along](takes_along) applies to each element of its (first) result what comes after, before the element is stored,
//! to the bit as the operations would by themselves. It takes an operation along if
//!
//! 1. the operation is one of [`Epilogue`] and reads the result as what it changes;
//! 2. nothing else reads the result, the caller is not given it, and no state is;
//! 3. what else the operation reads is made before the kernel runs: of a sum, the kernel of the later operand takes the
//!    addition along.
//!
//! Then the same holds of the operation's own result, and so on. The kernel of a response normalisation takes the
//! max-pooling of its result along, if rule 2 holds and the windows are small enough (see [`rows`](super::rows)).
//!
//! The product, or the last step of the convolution, that makes a parameter's gradient takes the optimizer's step along
//! ([`Update`]), as the last: each element is used as soon as it is known, and the gradient is nowhere in memory. For
//! that,
//!
//! 4. every result of the step is written in place of the state that it follows: no operation behind the one that makes
//!    the gradient reads what was there before.
//!
//! Nothing else is done to the gradient of a convolution's weights before it is stored.
//!
//! Where a rule is broken, the plan says which ([`NotFused`]).

use super::choose::{Planner, step_name};
use super::{BufferId, Work};
use crate::graph::{Adam, Def, Node, NodeId, Op, Sgd, ValueId};
use std::fmt::{self, Display, Formatter};

/// What happens to an element of a result before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// Adds the channel's element of the next operand.
    Bias,
    /// (· − mean)·scale + shift, the channel's elements of the next three operands.
    Normalize,
    /// Adds the element in its place of the next operand.
    Add,
    /// max(0, ·).
    Relu,
    /// Zero where the next operand, of the result's shape, is not positive.
    ReluMask,
}

/// Which element of an operand an epilogue reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The channel's, of one a channel.
    Channel,
    /// The one in its place, of the result's shape.
    Element,
    /// The only one.
    Single,
}

/// What becomes of the element of a parameter, and of what the optimizer keeps for it, when its gradient is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Update {
    /// [`Op::SgdUpdate`].
    Sgd(Sgd),
    /// [`Op::AdamUpdate`].
    Adam(Adam),
}

impl Update {
    /// The operation, if it is one.
    pub fn of(op: &Op) -> Option<Update> {
        match op {
            Op::SgdUpdate(sgd) => Some(Update::Sgd(*sgd)),
            Op::AdamUpdate(adam) => Some(Update::Adam(*adam)),
            _ => None,
        }
    }

    /// The operands beside the gradient, with their names. Those that are read element by element are the parameter and
    /// what is kept for it: the results take their places, in this order.
    pub fn operands(&self) -> &'static [(&'static str, Reach)] {
        const W: (&str, Reach) = ("w", Reach::Element);
        const V: (&str, Reach) = ("v", Reach::Element);
        const LR: (&str, Reach) = ("lr", Reach::Single);
        match self {
            Update::Sgd(sgd) if sgd.momentum == 0.0 => &[W, LR],
            Update::Sgd(_) => &[W, V, LR],
            Update::Adam(_) => &[W, ("m", Reach::Element), V, ("c1", Reach::Single), ("c2", Reach::Single), LR],
        }
    }

    /// The names of what it changes.
    pub fn states(&self) -> impl Iterator<Item = &'static str> {
        self.operands().iter().filter(|(_, reach)| *reach == Reach::Element).map(|(name, _)| *name)
    }
}

impl Epilogue {
    /// The operands that it reads, with their names.
    pub fn operands(self) -> &'static [(&'static str, Reach)] {
        match self {
            Epilogue::Bias => &[("bias", Reach::Channel)],
            Epilogue::Normalize => &[("mean", Reach::Channel), ("scale", Reach::Channel), ("shift", Reach::Channel)],
            Epilogue::Add => &[("other", Reach::Element)],
            Epilogue::Relu => &[],
            Epilogue::ReluMask => &[("mask", Reach::Element)],
        }
    }
}

/// An operation that has a kernel of its own although the one that makes its operand could have taken it along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFused {
    /// The operation's step.
    pub step: String,
    /// The step that makes its operand.
    pub into: String,
    /// Why it does not take the operation along.
    pub reason: Reason,
}

/// Why an operation is not taken along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The result in between is read more than once.
    Read(usize),
    /// The result in between is the function's, or a state's.
    Kept,
    /// Another operand is made later.
    Later(String),
    /// Its windows hold too many rows of the result in between to keep them, or to share the work out.
    Windows,
    /// It would be written over what is read later, or is no state.
    Over(String),
    /// Kernels of the operation before it take nothing along that it could be.
    Alone(&'static str),
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            Reason::Read(times) => write!(f, "its result is read {times} times"),
            Reason::Kept => write!(f, "its result is kept"),
            Reason::Later(value) => write!(f, "%{value} is made later"),
            Reason::Windows => write!(f, "its windows are too high"),
            Reason::Over(value) => write!(f, "%{value} cannot be written where its state is"),
            Reason::Alone(op) => write!(f, "{op} takes nothing like it along"),
        }
    }
}

/// Whether the kernel of an operation by its own schedule takes along what happens to its first result.
pub fn takes_along(op: &Op) -> bool {
    matches!(op, Op::LrnGrad(_) | Op::MaxPoolGrad(_) | Op::Dropout { .. } | Op::BatchNormTrain { .. } | Op::Add)
}

/// What a kernel takes along.
pub(super) struct Fusion<'a> {
    /// The last operation that it does.
    pub last: NodeId,
    /// What it does to each element.
    pub epilogue: Vec<Epilogue>,
    /// What becomes of the states that the result is the gradient of, at last.
    pub update: Option<Update>,
    /// What both read.
    pub operands: Vec<BufferId>,
    /// Layers of all operations that it does.
    pub layers: Vec<&'a str>,
}

/// An operation as the end of a kernel.
#[derive(Debug, Clone, Copy)]
enum End {
    /// It changes the element.
    Change(Epilogue),
    /// The element is a gradient that states follow.
    Update(Update),
}

/// An operation as the end of the kernel that makes `x`, and what else it reads; none if it cannot be one.
fn as_end(node: &Node, x: ValueId) -> Option<(End, Vec<ValueId>)> {
    if let (Some(update), [w, g, others @ ..]) = (Update::of(&node.op), &node.inputs[..]) {
        let others = std::iter::once(w).chain(others).copied().collect();
        return (*g == x).then_some((End::Update(update), others));
    }
    let (epilogue, others) = as_epilogue(node, x)?;
    Some((End::Change(epilogue), others))
}

fn as_epilogue(node: &Node, x: ValueId) -> Option<(Epilogue, Vec<ValueId>)> {
    match (&node.op, &node.inputs[..]) {
        (Op::AddBias, [changed, bias]) if *changed == x => Some((Epilogue::Bias, vec![*bias])),
        (Op::BatchNormInfer { .. }, [changed, others @ ..]) if *changed == x => {
            Some((Epilogue::Normalize, others.to_vec()))
        }
        (Op::Add, [a, b]) if *a == x => Some((Epilogue::Add, vec![*b])),
        (Op::Add, [a, b]) if *b == x => Some((Epilogue::Add, vec![*a])),
        (Op::Relu, _) => Some((Epilogue::Relu, vec![])),
        (Op::ReluGrad, [y, changed]) if *changed == x => Some((Epilogue::ReluMask, vec![*y])),
        _ => None,
    }
}

impl<'a> Planner<'a> {
    /// Takes along what can be done to the result of `head` before it is stored.
    pub(super) fn fuse(&mut self, head: NodeId) -> Fusion<'a> {
        let graph = self.graph;
        let layer = graph.nodes[head.0 as usize].layer.as_str();
        let mut fusion =
            Fusion { last: head, epilogue: Vec::new(), update: None, operands: Vec::new(), layers: vec![layer] };
        while fusion.update.is_none() {
            let result = graph.nodes[fusion.last.0 as usize].outputs[0];
            let Some((next, end, others)) = self.next(head, result) else { break };
            let node = &graph.nodes[next.0 as usize];
            let operands = match (&node.op, &others[..]) {
                (Op::BatchNormInfer { epsilon }, [gamma, beta, mean, variance]) => {
                    let scale = self.scale(node, *epsilon, *gamma, *variance);
                    vec![self.home(*mean), scale, self.home(*beta)]
                }
                _ => others.iter().map(|v| self.operand(*v)).collect(),
            };
            match end {
                End::Change(step) => fusion.epilogue.push(step),
                End::Update(update) => fusion.update = Some(update),
            }
            fusion.operands.extend(operands);
            fusion.layers.push(&node.layer);
            fusion.last = next;
            self.fused.insert(next, head);
        }
        fusion
    }

    /// An operation by its own schedule, and what its kernel takes along.
    pub(super) fn then(&mut self, id: NodeId) {
        let graph = self.graph;
        let node = &graph.nodes[id.0 as usize];
        let mut inputs: Vec<BufferId> = node.inputs.iter().map(|&v| self.operand(v)).collect();
        let fusion = self.fuse(id);
        inputs.extend(fusion.operands);
        let mut outputs = vec![self.fused_result(id, fusion.last)];
        outputs.extend(node.outputs.iter().skip(1).map(|&v| self.result(id, v)));
        let (op, epilogue) = (node.op.clone(), fusion.epilogue);
        let work = if epilogue.is_empty() { Work::Op(op) } else { Work::Then { op, epilogue } };
        self.step(&step_name(node), &fusion.layers, [0, 0], work, inputs, outputs);
    }

    /// The operation that alone reads `result` and can be done before it is stored; those that cannot are remembered.
    fn next(&mut self, head: NodeId, result: ValueId) -> Option<(NodeId, End, Vec<ValueId>)> {
        let mut found = None;
        for reader in self.readers[result.0 as usize].clone() {
            let Some((end, others)) = as_end(&self.graph.nodes[reader.0 as usize], result) else { continue };
            let of_weights = matches!(self.graph.nodes[head.0 as usize].op, Op::ConvWeightGrad(_));
            let refused = match end {
                End::Change(_) if of_weights => Some(self.alone(head)),
                End::Change(_) => None,
                End::Update(_) => self.no_update(head, reader),
            };
            match self.obstacle(head, result, &others).or(refused) {
                None => found = Some((reader, end, others)),
                Some(reason) => {
                    self.refused.insert((head, reader), reason);
                }
            }
        }
        found
    }

    pub(super) fn obstacle(&self, head: NodeId, result: ValueId, others: &[ValueId]) -> Option<Reason> {
        let graph = self.graph;
        let later = |v: &&ValueId| matches!(graph.values[v.0 as usize].def, Def::Node(n, _) if n >= head);
        let kept = graph.outputs.iter().any(|(_, v)| *v == result) || graph.updates.iter().any(|(_, v)| *v == result);
        match self.readers[result.0 as usize].len() {
            _ if kept => Some(Reason::Kept),
            1 => others.iter().find(later).map(|v| Reason::Later(graph.values[v.0 as usize].name.clone())),
            times => Some(Reason::Read(times)),
        }
    }

    fn alone(&self, head: NodeId) -> Reason {
        Reason::Alone(self.graph.nodes[head.0 as usize].op.mnemonic())
    }

    /// Why the kernel of `head` does not change the states that `end` updates.
    fn no_update(&self, head: NodeId, end: NodeId) -> Option<Reason> {
        let [op, node] = [head, end].map(|node| &self.graph.nodes[node.0 as usize]);
        if !matches!(op.op, Op::MatMul { .. } | Op::ConvWeightGrad(_)) {
            return Some(self.alone(head));
        }
        let over = node.outputs.iter().find(|v| self.state_place(head, end, **v).is_none())?;
        Some(Reason::Over(self.graph.values[over.0 as usize].name.clone()))
    }

    /// What batch normalisation with given statistics multiplies each channel by.
    fn scale(&mut self, node: &Node, epsilon: f64, gamma: ValueId, variance: ValueId) -> BufferId {
        let operands = [gamma, variance].map(|v| self.home(v));
        let name = format!("{}.scale", self.graph.values[node.outputs[0].0 as usize].name);
        let scale = self.numbers(&name, self.shape(gamma).iter().product());
        let work = Work::BatchNormScale { epsilon };
        self.step(&format!("{}_scale", step_name(node)), &[&node.layer], [0, 0], work, operands.to_vec(), vec![scale]);
        scale
    }

    /// The operations that no kernel has taken along although they could be the end of one.
    pub(super) fn not_fused(&self) -> Vec<NotFused> {
        let graph = self.graph;
        let step = |node: NodeId| self.made_by.get(&node).map(|&step| self.steps[step].name.clone());
        let mut found = Vec::new();
        for (n, node) in graph.nodes.iter().enumerate() {
            let id = NodeId(n as u32);
            let Some(own) = step(id) else { continue };
            for (i, &x) in node.inputs.iter().enumerate() {
                let Def::Node(maker, _) = graph.values[x.0 as usize].def else { continue };
                let pools = matches!((&graph.nodes[maker.0 as usize].op, &node.op), (Op::Lrn(_), Op::MaxPool(_)));
                if node.inputs[..i].contains(&x) || !(pools || as_end(node, x).is_some()) {
                    continue;
                }
                let head = self.fused.get(&maker).copied().unwrap_or(maker);
                let Some(into) = step(head) else { continue };
                let alone = || Reason::Alone(graph.nodes[maker.0 as usize].op.mnemonic());
                let reason = self.refused.get(&(head, id)).cloned().unwrap_or_else(alone);
                found.push(NotFused { step: own.clone(), into, reason });
            }
        }
        found
    }
}
