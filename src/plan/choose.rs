//! From a graph to a plan: fusion, algorithms, layouts, places.
//!
//! - Image batches are channels-last, inside a halo as wide as the convolutions that read them need. Ports and states
//!   are row-major, as the program contract says.
//! - A kernel takes along what can be done to its result before it is stored (see [`fuse`](super::fuse)), or to some rows
//!   of it (see [`rows`](super::rows)).
//! - The operands of a concatenation of images are made in their places in it, and slices of images are parts of them
//!   (see [`views`](super::views)).
//! - An operation that updates a state writes it in place if nothing reads the old contents later.
//! - Runs of image operations are done for some images at a time (see [`super::walk`]).

use super::arena;
use super::convolution::{Algorithm, Filtered, Method, method, wanted_halos};
use super::views::Views;
use super::walk::{self, Walk, Walking};
use super::{Buffer, BufferId, Halo, Layout, Part, Place, Plan, Reason, Stack, Step, Work};
use crate::graph::{DType, Def, Graph, Node, NodeId, Op, State, StateId, Value, ValueId};
use crate::target::Target;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Byte offsets of the states in the state block, and its size.
pub fn state_layout(states: &[State]) -> (Vec<usize>, usize) {
    let mut offsets = Vec::new();
    let mut end = 0;
    for state in states {
        offsets.push(end);
        end += (4 * state.shape.iter().product::<usize>()).next_multiple_of(64);
    }
    (offsets, end)
}

/// Plans a verified graph for `target`.
pub fn plan(graph: &Graph, target: &Target, algorithm: Algorithm) -> Plan {
    let mut plain = Planner::new(graph, target, algorithm, &[]);
    plain.nodes();
    let walks = walk::walks(&plain);
    if walks.is_empty() {
        return plain.finish();
    }
    let mut planner = Planner::new(graph, target, algorithm, &walks);
    planner.nodes();
    planner.finish()
}

pub(super) struct Planner<'a> {
    /// The graph, for the images that are planned for.
    pub graph: &'a Graph,
    /// The graph, for the whole batch.
    pub whole: &'a Graph,
    /// The stacks, in order.
    pub walks: &'a [Walk],
    /// The stack that is planned, if it is one.
    pub walking: Option<Walking<'a>>,
    /// The stacks that are planned.
    pub stacks: Vec<Stack>,
    pub target: &'a Target,
    pub algorithm: Algorithm,
    pub readers: Vec<Vec<NodeId>>,
    halos: Vec<Halo>,
    /// How each node that is a convolution is computed.
    pub methods: Vec<Option<Method>>,
    /// Phases of the inputs of strided convolutions.
    pub phased: Vec<((ValueId, Filtered), BufferId)>,
    pub buffers: Vec<Buffer>,
    /// Whether a buffer is to get a place in the arena.
    pub in_arena: Vec<bool>,
    pub steps: Vec<Step>,
    /// Names of steps, each with the last number that one got for want of another.
    names: HashMap<String, usize>,
    /// Where a value is, once it is made.
    homes: BTreeMap<ValueId, BufferId>,
    /// Image batches that came as rows, laid out channels-last, and those that others are parts of.
    images: BTreeMap<ValueId, BufferId>,
    /// Which values are parts of others.
    pub views: Views,
    /// Nodes that the kernel of an earlier node has taken along.
    pub fused: BTreeMap<NodeId, NodeId>,
    /// Why the kernel of a node does not take another along.
    pub refused: BTreeMap<(NodeId, NodeId), Reason>,
    /// The step that makes a node's results.
    pub made_by: BTreeMap<NodeId, usize>,
    /// The steps of each node that has a kernel of its own, in order.
    pub ranges: Vec<(NodeId, Range<usize>)>,
    offsets: Vec<usize>,
    state_bytes: usize,
}

impl<'a> Planner<'a> {
    fn new(graph: &'a Graph, target: &'a Target, algorithm: Algorithm, walks: &'a [Walk]) -> Self {
        let mut readers = vec![Vec::new(); graph.values.len()];
        for (i, node) in graph.nodes.iter().enumerate() {
            for input in &node.inputs {
                readers[input.0 as usize].push(NodeId(i as u32));
            }
        }
        let mut halos = vec![Halo::default(); graph.values.len()];
        let methods: Vec<_> = (0..graph.nodes.len())
            .map(|n| {
                let walk = walks.iter().find(|walk| walk.nodes.contains(&n));
                let (graph, groups) = walk.map_or((graph, 1), |walk| (&walk.graph, walk.stack.groups));
                method(graph, &graph.nodes[n], groups, target, algorithm)
            })
            .collect();
        for (node, method) in graph.nodes.iter().zip(&methods) {
            for (value, halo) in wanted_halos(graph, node, *method) {
                let own = &mut halos[value.0 as usize];
                *own = own.union(halo);
            }
        }
        let views = Views::of_graph(graph, &mut halos);
        let (offsets, state_bytes) = state_layout(&graph.states);
        Planner {
            graph,
            whole: graph,
            walks,
            walking: None,
            stacks: Vec::new(),
            target,
            algorithm,
            readers,
            halos,
            methods,
            phased: Vec::new(),
            buffers: Vec::new(),
            in_arena: Vec::new(),
            steps: Vec::new(),
            names: HashMap::new(),
            homes: BTreeMap::new(),
            images: BTreeMap::new(),
            views,
            fused: BTreeMap::new(),
            refused: BTreeMap::new(),
            made_by: BTreeMap::new(),
            ranges: Vec::new(),
            offsets,
            state_bytes,
        }
    }

    /// Plans every node.
    fn nodes(&mut self) {
        self.ports();
        for node in (0..self.graph.nodes.len()).map(|n| NodeId(n as u32)) {
            if self.fused.contains_key(&node) {
                continue;
            }
            self.go_to(node.0 as usize);
            let before = self.steps.len();
            self.node(node);
            if self.steps.len() > before {
                self.made_by.insert(node, self.steps.len() - 1);
            }
            self.ranges.push((node, before..self.steps.len()));
        }
        self.go_to(self.graph.nodes.len());
    }

    pub(super) fn shape(&self, value: ValueId) -> &'a [usize] {
        &self.graph.values[value.0 as usize].shape
    }

    pub(super) fn buffer(
        &mut self,
        name: &str,
        dtype: DType,
        dims: &[usize],
        layout: Layout,
        place: Option<Place>,
    ) -> BufferId {
        self.in_arena.push(place.is_none());
        let place = place.unwrap_or(Place::Arena(0));
        self.buffers.push(Buffer { name: name.to_owned(), dtype, dims: dims.to_vec(), layout, place, part_of: None });
        BufferId(self.buffers.len() as u32 - 1)
    }

    fn ports(&mut self) {
        for (i, &input) in self.graph.inputs.iter().enumerate() {
            let value = &self.graph.values[input.0 as usize];
            let home = self.buffer(&value.name, value.dtype, &value.shape, Layout::Rows, Some(Place::Port(i)));
            self.homes.insert(input, home);
        }
        for (i, state) in self.graph.states.iter().enumerate() {
            if let Some(value) = state.value {
                let place = Some(Place::State(self.offsets[i]));
                let home = self.buffer(&state.name, DType::F32, &state.shape, Layout::Rows, place);
                self.homes.insert(value, home);
            }
        }
    }

    /// The buffer of a value that has been made, for the images that are planned for.
    pub(super) fn home(&mut self, value: ValueId) -> BufferId {
        let stored = self.stored(value);
        self.here(stored, value)
    }

    /// The buffer of a value that has been made, with as many images as are kept of it.
    pub(super) fn stored(&self, value: ValueId) -> BufferId {
        match self.homes.get(&value) {
            Some(home) => *home,
            None => panic!("bug in netc: value {} is read before it is made", self.graph.values[value.0 as usize].name),
        }
    }

    /// The buffer that an operation on image batches reads: channels-last if the value is an image batch.
    pub(super) fn operand(&mut self, value: ValueId) -> BufferId {
        let home = self.home(value);
        let is_image = self.shape(value).len() == 4 && self.buffers[home.0 as usize].layout == Layout::Rows;
        let is_input = matches!(self.graph.values[value.0 as usize].def, Def::Input(_));
        if !(is_image && is_input) {
            return home;
        }
        if let Some(&image) = self.images.get(&value) {
            return self.here(image, value);
        }
        let v = self.kept(value);
        let from = if v.shape == self.shape(value) { home } else { self.stored(value) };
        let layout = Layout::ChannelsLast(self.halos[value.0 as usize]);
        let image = self.buffer(&format!("{}.image", v.name), v.dtype, &v.shape, layout, None);
        self.clear_halo(image, &v.name);
        self.step(&format!("{}_image", v.name), &[], [0, 0], Work::Copy, vec![from], vec![image]);
        self.images.insert(value, image);
        self.here(image, value)
    }

    /// A value with as many images as are kept of it: those of a group if only the stack that is planned needs it.
    fn kept(&self, value: ValueId) -> &'a Value {
        let inside = self.walking.as_ref().is_some_and(|walking| walking.walk.keeps.contains(&value));
        let graph = if inside { self.graph } else { self.whole };
        &graph.values[value.0 as usize]
    }

    fn clear_halo(&mut self, buffer: BufferId, name: &str) {
        if let Layout::ChannelsLast(halo) = self.buffers[buffer.0 as usize].layout
            && halo != Halo::default()
        {
            self.step(&format!("{name}_halo"), &[], [0, 0], Work::ClearHalo, vec![], vec![buffer]);
        }
    }

    /// Makes the buffer for a result, and clears its halo.
    pub(super) fn result(&mut self, node: NodeId, value: ValueId) -> BufferId {
        self.result_at(node, node, value)
    }

    /// As [`Self::result`], for a result of `node` that is made where `head` stands.
    pub(super) fn result_at(&mut self, head: NodeId, node: NodeId, value: ValueId) -> BufferId {
        let v = &self.graph.values[value.0 as usize];
        let place = self.state_place(head, node, value).or_else(|| self.port_place(node, value));
        let layout = if v.shape.len() == 4 && place.is_none() && makes_images(&self.graph.nodes[node.0 as usize].op) {
            Layout::ChannelsLast(self.halos[value.0 as usize])
        } else {
            Layout::Rows
        };
        // A state that the function also reads has its buffer already.
        let existing = self.buffers.iter().zip(&self.in_arena).position(|(b, arena)| !arena && Some(b.place) == place);
        if let Some(existing) = existing {
            let home = BufferId(existing as u32);
            self.homes.insert(value, home);
            return home;
        }
        let home = match layout {
            Layout::ChannelsLast(_) => self.images_of(value),
            Layout::Rows => self.buffer(&v.name, v.dtype, &v.shape, layout, place),
        };
        self.homes.insert(value, home);
        self.here(home, value)
    }

    /// The channels-last buffer of a value: a new one, with a cleared halo, or its part of the value that it is in.
    fn images_of(&mut self, value: ValueId) -> BufferId {
        let v = self.kept(value);
        let Some((root, start)) = self.views.of(value) else {
            if let Some(&images) = self.images.get(&value) {
                return images;
            }
            let layout = Layout::ChannelsLast(self.halos[value.0 as usize]);
            let images = self.buffer(&v.name, v.dtype, &v.shape, layout, None);
            self.clear_halo(images, &v.name);
            self.images.insert(value, images);
            return images;
        };
        let whole = self.images_of(root);
        let mut part = self.buffers[whole.0 as usize].clone();
        let pitch = part.pitch();
        part.name.clone_from(&v.name);
        part.dims.clone_from(&v.shape);
        part.part_of = Some(Part { whole, bytes: start * part.element_bytes(), pitch });
        self.buffers.push(part);
        self.in_arena.push(false);
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// The state that a result can be written to directly.
    pub(super) fn state_place(&self, head: NodeId, node: NodeId, value: ValueId) -> Option<Place> {
        let (state, _) = self.graph.updates.iter().find(|(_, v)| *v == value)?;
        let old = self.graph.states[state.0 as usize].value;
        let free = match old {
            None => true,
            // Only this operation, element by element, may still read the old contents.
            Some(old) => {
                let elementwise = updates_in_place(&self.graph.nodes[node.0 as usize].op);
                let by_outputs = self.graph.outputs.iter().any(|(_, v)| *v == old)
                    || self.graph.updates.iter().any(|(_, v)| *v == old);
                let readers = &self.readers[old.0 as usize];
                !by_outputs && readers.iter().all(|&r| r < head || (r == node && elementwise))
            }
        };
        let twice = self.graph.updates.iter().filter(|(_, v)| *v == value).count() > 1;
        (free && !twice).then(|| Place::State(self.offsets[state.0 as usize]))
    }

    /// The output port that a result can be written to directly: row-major results only.
    fn port_place(&self, node: NodeId, value: ValueId) -> Option<Place> {
        let mut ports = self.graph.outputs.iter().enumerate().filter(|(_, (_, v))| *v == value);
        let (port, _) = ports.next()?;
        let rows = self.shape(value).len() != 4 || !makes_images(&self.graph.nodes[node.0 as usize].op);
        (ports.next().is_none() && rows).then(|| Place::Port(self.graph.inputs.len() + port))
    }

    /// Appends a step; its multiply-adds are those of the definition, and those that are done.
    pub(super) fn step(
        &mut self,
        name: &str,
        layers: &[&str],
        [macs, done]: [u64; 2],
        work: Work,
        inputs: Vec<BufferId>,
        outputs: Vec<BufferId>,
    ) {
        let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let mut count = self.names.get(&clean).copied().unwrap_or(0);
        let mut unique = clean.clone();
        while self.names.contains_key(&unique) {
            count += 1;
            unique = format!("{clean}_{count}");
        }
        self.names.insert(clean, count.max(1));
        self.names.entry(unique.clone()).or_insert(1);
        let mut names: Vec<String> = Vec::new();
        for layer in layers {
            if !layer.is_empty() && !names.iter().any(|n| n == layer) {
                names.push((*layer).to_owned());
            }
        }
        self.steps.push(Step { name: unique, layers: names, macs, done, work, inputs, outputs });
    }

    fn node(&mut self, id: NodeId) {
        let graph = self.graph;
        let node = &graph.nodes[id.0 as usize];
        let name = step_name(node);
        match &node.op {
            Op::Conv(geometry) => self.conv(id, node, geometry, &name, false),
            Op::ConvInputGrad(geometry) => self.conv(id, node, geometry, &name, true),
            Op::ConvWeightGrad(geometry) => self.weight_grad(id, node, geometry, &name),
            Op::MatMul { transpose_a, transpose_b } => self.product(id, node, [*transpose_a, *transpose_b], &name),
            Op::Reshape => {
                let input = self.home(node.inputs[0]);
                let output = self.result(id, node.outputs[0]);
                self.step(&name, &[&node.layer], [0, 0], Work::Copy, vec![input], vec![output]);
            }
            Op::Lrn(lrn) => self.normalization(id, lrn),
            Op::Add | Op::BatchNormTrain { .. } | Op::Dropout { .. } | Op::LrnGrad(_) | Op::MaxPoolGrad(_) => {
                self.then(id)
            }
            Op::Normalize { .. } => {
                let input = self.home(node.inputs[0]);
                let output = self.result(id, node.outputs[0]);
                self.step(&name, &[&node.layer], [0, 0], Work::Op(node.op.clone()), vec![input], vec![output]);
            }
            Op::Concat => {
                let inputs: Vec<BufferId> = node.inputs.iter().map(|&v| self.operand(v)).collect();
                let output = self.result(id, node.outputs[0]);
                let mut start = 0;
                for (part, input) in inputs.into_iter().enumerate() {
                    if let Some(because) = self.views.elsewhere(id, part) {
                        let work = Work::CopyInto { start, because };
                        self.step(&format!("{name}_{part}"), &[&node.layer], [0, 0], work, vec![input], vec![output]);
                    }
                    start += self.buffers[input.0 as usize].dims[1];
                }
            }
            Op::Slice { .. } if self.views.of(node.outputs[0]).is_some() => {
                self.operand(node.inputs[0]);
                let part = self.images_of(node.outputs[0]);
                self.homes.insert(node.outputs[0], part);
            }
            Op::Initialize(_)
            | Op::AddBias
            | Op::BiasGrad
            | Op::Relu
            | Op::ReluGrad
            | Op::Sigmoid
            | Op::SigmoidGrad
            | Op::Tanh
            | Op::TanhGrad
            | Op::MaxPool(_)
            | Op::AvgPool { .. }
            | Op::AvgPoolGrad { .. }
            | Op::AdaptiveAvgPool { .. }
            | Op::AdaptiveAvgPoolGrad { .. }
            | Op::BatchNormInfer { .. }
            | Op::BatchNormGrad { .. }
            | Op::RunningUpdate { .. }
            | Op::Slice { .. }
            | Op::Softmax
            | Op::SoftmaxGrad
            | Op::CrossEntropy { .. }
            | Op::CrossEntropyGrad { .. }
            | Op::Mse
            | Op::MseGrad
            | Op::SgdUpdate(_)
            | Op::AdamUpdate(_)
            | Op::BiasCorrection { .. } => {
                let inputs: Vec<BufferId> = node.inputs.iter().map(|&v| self.operand(v)).collect();
                let outputs: Vec<BufferId> = node.outputs.iter().map(|&v| self.result(id, v)).collect();
                self.step(&name, &[&node.layer], [0, 0], Work::Op(node.op.clone()), inputs, outputs);
            }
        }
    }

    pub(super) fn fused_result(&mut self, head: NodeId, last: NodeId) -> BufferId {
        let value = self.graph.nodes[last.0 as usize].outputs[0];
        self.result_at(head, last, value)
    }

    /// All results of `last`, made where `head` stands.
    pub(super) fn fused_results(&mut self, head: NodeId, last: NodeId) -> Vec<BufferId> {
        let node = &self.graph.nodes[last.0 as usize];
        node.outputs.iter().map(|&value| self.result_at(head, last, value)).collect()
    }

    fn finish(mut self) -> Plan {
        let graph = self.whole;
        let mut outputs = Vec::new();
        for (i, (name, value)) in graph.outputs.iter().enumerate() {
            let port = Place::Port(graph.inputs.len() + i);
            let home = self.home(*value);
            let buffer = if self.buffers[home.0 as usize].place == port && !self.in_arena[home.0 as usize] {
                home
            } else {
                let v = &graph.values[value.0 as usize];
                let copy = self.buffer(&format!("{name}.port"), v.dtype, &v.shape, Layout::Rows, Some(port));
                self.step(&format!("{name}_out"), &[], [0, 0], Work::Copy, vec![home], vec![copy]);
                copy
            };
            outputs.push((name.clone(), buffer));
        }
        let updates: Vec<(StateId, ValueId)> = graph.updates.clone();
        for (state, value) in updates {
            let place = Place::State(self.offsets[state.0 as usize]);
            let home = self.home(value);
            if self.buffers[home.0 as usize].place == place && !self.in_arena[home.0 as usize] {
                continue;
            }
            let info = &graph.states[state.0 as usize];
            let existing = info.value.and_then(|v| self.homes.get(&v).copied());
            let to = match existing {
                Some(to) => to,
                None => self.buffer(&info.name, DType::F32, &info.shape, Layout::Rows, Some(place)),
            };
            self.step(&format!("{}_keep", info.name), &[], [0, 0], Work::Copy, vec![home], vec![to]);
        }
        let arena_bytes = arena::place(&mut self.buffers, &self.steps, &self.in_arena, &self.stacks);
        arena::place_parts(&mut self.buffers);
        let inputs = graph.inputs.iter().map(|v| (graph.values[v.0 as usize].name.clone(), self.home(*v))).collect();
        let not_fused = self.not_fused();
        Plan {
            function: graph.name.clone(),
            inputs,
            outputs,
            buffers: self.buffers,
            steps: self.steps,
            stacks: self.stacks,
            not_fused,
            arena_bytes,
            state_bytes: self.state_bytes,
        }
    }
}

pub(super) fn step_name(node: &Node) -> String {
    let op = node.op.mnemonic();
    match &node.op {
        Op::Initialize(_) | Op::SgdUpdate(_) | Op::AdamUpdate(_) if node.layer.is_empty() => op.to_owned(),
        _ if node.layer.is_empty() || node.layer == op => op.to_owned(),
        _ => format!("{}_{op}", node.layer),
    }
}

/// Whether an operation's four-dimensional results are laid out channels-last: image batches inside a function, not
/// weights, nor the result of preprocessing, which goes to the caller.
pub(super) fn makes_images(op: &Op) -> bool {
    !matches!(
        op,
        Op::Normalize { .. } | Op::ConvWeightGrad(_) | Op::SgdUpdate(_) | Op::AdamUpdate(_) | Op::Initialize(_)
    )
}

/// Whether an operation writes element i of a result after reading element i of the operand that it replaces, and no
/// other.
fn updates_in_place(op: &Op) -> bool {
    matches!(op, Op::SgdUpdate(_) | Op::AdamUpdate(_) | Op::BiasCorrection { .. } | Op::RunningUpdate { .. })
}
