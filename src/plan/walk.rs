//! Stacks: image operations that are done for a few images at a time, one after the other, so that what lies between them
//! stays in a cache.
//!
//! Done for a whole batch, an operation's result goes out to memory and comes back to the next. A *stack* is a run of
//! operations that treat every image by itself; it is done for a *group* of images, then for the next group. What is made
//! and read in the stack is only ever as large as a group's; what comes from before it or is read after it is of the whole
//! batch, and each group has its images of that. Of functions that change states there are no stacks: the backward pass
//! reads what lies in between.
//!
//! 1. A group's tensors, all that are alive at the same time, and the weights that the stack reads in the form that it
//!    reads them in take at most half of the cache that the target gives: for the groups after the first, weights come from
//!    there. The other half is for what passes through.
//! 2. A group is the most images for which that holds and that divide the batch into at most [`MOST_PARTS`] groups.
//! 3. A convolution by filtering that reads its weights once for all tiles of the batch, or would for those of a group, is
//!    in no stack: it has too few tiles, or too many weights, to read them again.
//! 4. A stack saves what is made in it, written once and read by each reader, where the whole batch does not fit into the
//!    cache while it is alive. It costs, for each step of each group after the first, what memory moves in the time in which
//!    a step starts and ends on all threads: the cache's size is [`STARTS`] such times.
//! 5. The runs are cut where all stacks together save most. An operation is in none if that saves nothing.

use super::choose::Planner;
use super::convolution::{MOST_PARTS, method};
use super::winograd::divisors;
use super::{BufferId, Layout, Place, Step};
use crate::graph::{Def, Graph, Node, NodeId, Op, ValueId};
use crate::target::Target;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Steps that start and end in the time in which memory moves as much as the cache holds.
const STARTS: usize = 96;

/// Steps of a plan that are done for one group of a batch's images after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// The steps of all groups, those of the first group first.
    pub steps: Range<usize>,
    /// Groups.
    pub groups: usize,
    /// Images of a group.
    pub images: usize,
    /// Bytes of the weights that each group reads.
    pub weights: usize,
    /// Bytes of a group's tensors, the most that are alive at the same time.
    pub alive: usize,
    /// Bytes that are not written to memory and read from it.
    pub saved: usize,
}

impl Stack {
    /// Steps of a group.
    pub fn body(&self) -> usize {
        self.steps.len() / self.groups
    }

    /// The life of a tensor, from its first to its last step, of which no group's steps are a part.
    pub(super) fn widen(&self, life: &mut (usize, usize)) {
        let Range { start, end } = self.steps;
        let meets = life.0 < end && start <= life.1;
        let group = |i: usize| (i >= start).then(|| (i - start) / self.body().max(1)).filter(|g| *g < self.groups);
        if meets && (group(life.0).is_none() || group(life.0) != group(life.1)) {
            *life = (life.0.min(start), life.1.max(end - 1));
        }
    }

    /// Step `at`, which is no group's, is taken out of the plan.
    pub(super) fn step_removed(&mut self, at: usize) {
        if at < self.steps.start {
            self.steps = self.steps.start - 1..self.steps.end - 1;
        }
    }
}

/// A stack before it is planned.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    /// Its nodes; those of them that earlier kernels take along are not done here, and later ones that its own take along
    /// are.
    pub nodes: Range<usize>,
    /// What is known of it; not its steps.
    pub stack: Stack,
    /// The graph for the images of a group.
    pub graph: Graph,
    /// The values that nothing outside of it makes or reads, not even as a part of another.
    pub keeps: BTreeSet<ValueId>,
}

/// The values that have an element of each image: those made of the function's inputs.
fn of_images(graph: &Graph) -> Vec<bool> {
    let mut found = vec![false; graph.values.len()];
    graph.inputs.iter().for_each(|v| found[v.0 as usize] = true);
    for node in &graph.nodes {
        if node.inputs.iter().any(|v| found[v.0 as usize]) {
            node.outputs.iter().for_each(|v| found[v.0 as usize] = true);
        }
    }
    found
}

/// The graph for so many images.
fn rebatched(graph: &Graph, images: usize) -> Graph {
    let mut graph = graph.clone();
    for (value, batched) in of_images(&graph).into_iter().enumerate() {
        if let (true, Some(batch)) = (batched, graph.values[value].shape.first_mut()) {
            *batch = images;
        }
    }
    graph
}

/// Whether an operation does the same to every image, and nothing else. One that is not named here is in no stack.
fn by_image(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv(_)
            | Op::AddBias
            | Op::Relu
            | Op::Sigmoid
            | Op::Tanh
            | Op::Lrn(_)
            | Op::MaxPool(_)
            | Op::AvgPool { .. }
            | Op::AdaptiveAvgPool { .. }
            | Op::BatchNormInfer { .. }
            | Op::Add
            | Op::Concat
            | Op::Slice { .. }
    )
}

/// What one kernel's node does, with all that it takes along and what is laid out for it, planned for the whole batch.
struct Unit {
    head: NodeId,
    steps: Range<usize>,
    /// The sizes of groups for which it can be in a stack.
    sizes: Vec<usize>,
    /// Bytes of the weights that it reads.
    weights: usize,
    /// Bytes of an image's tensors, the most that are alive at one of its steps.
    alive: usize,
    /// Steps that each group has.
    starts: usize,
}

/// A tensor of all images, planned for the whole batch: the units in which it is alive, and what it moves to and from
/// memory unless all of them are in one stack.
struct Tensor {
    first: usize,
    last: usize,
    moved: usize,
}

/// The stacks of a function, given the plan that has none.
pub(super) fn walks(plain: &Planner) -> Vec<Walk> {
    let graph = plain.graph;
    let batch = graph.inputs.first().and_then(|v| graph.value(*v).shape.first()).copied().unwrap_or(1);
    if !graph.updates.is_empty() || batch == 1 {
        return Vec::new();
    }
    let (units, tensors) = survey(plain, batch);
    let chosen = cut(&units, &tensors, batch, plain.target);
    let head = |unit: usize| units.get(unit).map_or(graph.nodes.len(), |unit| unit.head.0 as usize);
    let walk = |(range, stack): (Range<usize>, Stack)| {
        let nodes = head(range.start)..head(range.end);
        Walk { keeps: keeps(plain, &nodes), nodes, graph: rebatched(graph, stack.images), stack }
    };
    chosen.into_iter().map(walk).collect()
}

/// The values that only these nodes make and read, themselves and whatever lies in the same buffer.
fn keeps(plain: &Planner, nodes: &Range<usize>) -> BTreeSet<ValueId> {
    let graph = plain.graph;
    let inside = |node: &NodeId| nodes.contains(&(node.0 as usize));
    let root = |v: ValueId| plain.views.of(v).map_or(v, |(root, _)| root);
    let (mut kept, mut outside) = (BTreeSet::new(), BTreeSet::new());
    for v in (0..graph.values.len()).map(|v| ValueId(v as u32)) {
        let made = match graph.value(v).def {
            Def::Node(node, _) => inside(&node),
            Def::Input(_) => true,
            Def::State(_) => false,
        };
        let given = graph.outputs.iter().any(|(_, output)| *output == v);
        if made && !given && plain.readers[v.0 as usize].iter().all(inside) {
            kept.insert(v);
        } else {
            outside.insert(root(v));
        }
    }
    kept.retain(|v| !outside.contains(&root(*v)));
    kept
}

/// What is alive when, and what is read.
fn survey(plain: &Planner, batch: usize) -> (Vec<Unit>, Vec<Tensor>) {
    let (graph, buffers, steps) = (plain.graph, &plain.buffers, &plain.steps);
    let whole = |b: BufferId| buffers[b.0 as usize].part_of.map_or(b, |part| part.whole).0 as usize;
    let ours = |b: usize| plain.in_arena[b];
    // Which buffers hold something of each image, and the steps that make or read that.
    let mut batched: Vec<bool> = buffers.iter().map(|b| matches!(b.place, Place::Port(_))).collect();
    let mut repeated = vec![false; steps.len()];
    for (i, step) in steps.iter().enumerate() {
        if step.inputs.iter().any(|b| batched[whole(*b)]) {
            repeated[i] = true;
            step.outputs.iter().for_each(|b| batched[whole(*b)] = true);
        }
    }
    for (i, step) in steps.iter().enumerate() {
        repeated[i] |= step.outputs.iter().any(|b| batched[whole(*b)]);
    }
    let mut lives: Vec<Option<[usize; 2]>> = vec![None; buffers.len()];
    let mut reads = vec![0; buffers.len()];
    for (i, step) in steps.iter().enumerate() {
        for &b in step.inputs.iter().chain(&step.outputs) {
            lives[whole(b)].get_or_insert([i, i])[1] = i;
        }
        step.inputs.iter().for_each(|b| reads[whole(*b)] += buffers[b.0 as usize].own_bytes());
    }
    // The function's results are alive to the end.
    for (_, value) in &graph.outputs {
        if let Some(life) = lives[whole(plain.stored(*value))].as_mut() {
            life[1] = steps.len();
        }
    }
    let alive_at = |i: usize| -> usize {
        let alive = lives
            .iter()
            .enumerate()
            .filter(|(b, life)| ours(*b) && batched[*b] && life.is_some_and(|[f, l]| f <= i && i <= l));
        alive.map(|(b, _)| buffers[b].bytes()).sum()
    };
    let alive: Vec<usize> = (0..steps.len()).map(alive_at).collect();
    let weights = |range: &Range<usize>| -> usize {
        let read = range.clone().filter(|i| repeated[*i]).flat_map(|i| &steps[i].inputs);
        let read: BTreeSet<usize> = read.map(|b| whole(*b)).filter(|b| !batched[*b]).collect();
        read.into_iter().map(|b| buffers[b].bytes()).sum()
    };
    let groups: Vec<(usize, Graph)> = divisors(batch)
        .filter(|images| *images < batch && batch / images <= MOST_PARTS)
        .map(|images| (images, rebatched(graph, images)))
        .collect();
    let sizes = |head: NodeId| -> Vec<usize> {
        let again = |(images, graph): &&(usize, Graph)| {
            let node = &graph.nodes[head.0 as usize];
            let method = method(graph, node, batch / images, plain.target, plain.algorithm);
            method.is_none_or(|method| method.reads_weights_again())
        };
        groups.iter().filter(again).map(|(images, _)| *images).collect()
    };
    let images = of_images(graph);
    let units: Vec<Unit> = plain
        .ranges
        .iter()
        .map(|(head, range)| Unit {
            head: *head,
            steps: range.clone(),
            sizes: if in_images(plain, &images, *head, batch) { sizes(*head) } else { Vec::new() },
            weights: weights(range),
            alive: range.clone().map(|i| alive[i].div_ceil(batch)).max().unwrap_or(0),
            starts: range.clone().filter(|i| repeated[*i]).count(),
        })
        .collect();
    let unit_at = |i: usize| units.partition_point(|unit| unit.steps.end <= i);
    let cache = plain.target.cache;
    let mut tensors = Vec::new();
    for (b, life) in lives.iter().enumerate() {
        let Some([first, last]) = life.filter(|_| ours(b) && batched[b]) else { continue };
        let crowded = (first..=last).any(|i| alive.get(i).is_some_and(|alive| *alive > cache));
        let moved = if crowded { buffers[b].bytes() + reads[b] } else { 0 };
        tensors.push(Tensor { first: unit_at(first), last: unit_at(last), moved });
    }
    (units, tensors)
}

/// Whether a node and all that it takes along treats every image by itself, and has images only.
fn in_images(plain: &Planner, of_images: &[bool], head: NodeId, batch: usize) -> bool {
    let graph = plain.graph;
    let is_images = |v: &ValueId| {
        let shape = &graph.value(*v).shape;
        !of_images[v.0 as usize] || (shape.len() == 4 && shape[0] == batch)
    };
    let weights_are_given = |node: &Node| matches!(node.op, Op::Conv(_)) && of_images[node.inputs[1].0 as usize];
    let along = plain.fused.iter().filter(|(_, by)| **by == head).map(|(node, _)| *node);
    std::iter::once(head).chain(along).map(|id| &graph.nodes[id.0 as usize]).all(|node| {
        by_image(&node.op) && !weights_are_given(node) && node.inputs.iter().chain(&node.outputs).all(is_images)
    })
}

/// The stacks that together save most: ranges of units.
fn cut(units: &[Unit], tensors: &[Tensor], batch: usize, target: &Target) -> Vec<(Range<usize>, Stack)> {
    let mut ending: Vec<Vec<&Tensor>> = vec![Vec::new(); units.len() + 1];
    tensors.iter().for_each(|tensor| ending[tensor.last.min(units.len())].push(tensor));
    // What the stacks that begin at a unit or later save, and the first of them.
    let mut best: Vec<(usize, Option<(usize, Stack)>)> = vec![(0, None); units.len() + 1];
    for start in (0..units.len()).rev() {
        best[start] = (best[start + 1].0, None);
        let (mut weights, mut alive, mut starts, mut saved) = (0, 0, 0, 0);
        let mut sizes = units[start].sizes.clone();
        for (end, unit) in units.iter().enumerate().skip(start) {
            sizes.retain(|images| unit.sizes.contains(images));
            if sizes.is_empty() {
                break;
            }
            weights += unit.weights;
            alive = alive.max(unit.alive);
            starts += unit.starts;
            saved += ending[end].iter().filter(|t| t.first >= start).map(|t| t.moved).sum::<usize>();
            let fits = |images: &&usize| 2 * (weights + *images * alive) <= target.cache;
            let Some(&images) = sizes.iter().rfind(fits) else { continue };
            let groups = batch / images;
            let gain = saved.saturating_sub((groups - 1) * starts * (target.cache / STARTS));
            let after = best[end + 1].0;
            if gain > 0 && gain + after > best[start].0 {
                let stack = Stack { steps: 0..0, groups, images, weights, alive: images * alive, saved };
                best[start] = (gain + after, Some((end + 1, stack)));
            }
        }
    }
    let (mut found, mut at) = (Vec::new(), 0);
    while at < units.len() {
        at = match best[at].1.take() {
            Some((end, stack)) => {
                found.push((at..end, stack));
                end
            }
            None => at + 1,
        };
    }
    found
}

/// A stack of which the first group is planned.
pub(super) struct Walking<'a> {
    pub walk: &'a Walk,
    /// The first of its steps, and of the buffers that are made for it.
    steps: usize,
    buffers: usize,
    /// Buffers of the whole batch, and their images of the first group.
    views: BTreeMap<BufferId, BufferId>,
}

impl Planner<'_> {
    /// Ends the stack that a node is not in, and begins the one that it is in.
    pub(super) fn go_to(&mut self, node: usize) {
        if let Some(walking) = self.walking.take_if(|walking| !walking.walk.nodes.contains(&node)) {
            self.leave(walking);
        }
        let walk = self.walks.iter().find(|walk| walk.nodes.contains(&node)).filter(|_| self.walking.is_none());
        if let Some(walk) = walk {
            self.graph = &walk.graph;
            self.phased.clear();
            let (steps, buffers) = (self.steps.len(), self.buffers.len());
            self.walking = Some(Walking { walk, steps, buffers, views: BTreeMap::new() });
        }
    }

    /// A buffer of a value, for the images that are planned for.
    pub(super) fn here(&mut self, stored: BufferId, value: ValueId) -> BufferId {
        let Some(walking) = &self.walking else { return stored };
        if self.buffers[stored.0 as usize].dims == *self.shape(value) {
            return stored;
        }
        if let Some(view) = walking.views.get(&stored) {
            return *view;
        }
        let view = self.images(stored, 0, walking.walk.stack.groups);
        if let Some(walking) = &mut self.walking {
            walking.views.insert(stored, view);
        }
        view
    }

    /// Does for the other groups of a stack what is planned for the first.
    fn leave(&mut self, walking: Walking) {
        let stack = walking.walk.stack.clone();
        let grouped = self.grouped(&walking);
        let is_repeated = |step: &Step| step.inputs.iter().chain(&step.outputs).any(|b| grouped.contains(b));
        let planned = self.steps.split_off(walking.steps);
        let mut order: Vec<usize> = (0..planned.len()).collect();
        order.sort_by_key(|&i| is_repeated(&planned[i]));
        for step in self.made_by.values_mut().filter(|step| **step >= walking.steps) {
            let place = order.iter().position(|i| walking.steps + i == *step);
            *step = walking.steps + place.unwrap_or_default();
        }
        let (body, once): (Vec<Step>, Vec<Step>) = planned.into_iter().partition(is_repeated);
        self.steps.extend(once);
        let start = self.steps.len();
        self.steps.extend(body.iter().cloned());
        for group in 1..stack.groups {
            let mut copies = BTreeMap::new();
            for step in &body {
                let mut of_group = |ids: &[BufferId]| -> Vec<BufferId> {
                    ids.iter().map(|b| self.of_group(*b, group, &grouped, &mut copies)).collect()
                };
                let (inputs, outputs) = (of_group(&step.inputs), of_group(&step.outputs));
                let layers: Vec<&str> = step.layers.iter().map(String::as_str).collect();
                self.step(&step.name, &layers, [step.macs, step.done], step.work.clone(), inputs, outputs);
            }
        }
        self.stacks.push(Stack { steps: start..self.steps.len(), ..stack });
        self.graph = self.whole;
        self.phased.clear();
    }

    /// The buffers made for a stack that hold something of a group's images.
    fn grouped(&self, walking: &Walking) -> BTreeSet<BufferId> {
        let images = walking.walk.stack.images;
        let of_group = |id: &BufferId| {
            let buffer = &self.buffers[id.0 as usize];
            (buffer.part_of.is_some() || matches!(buffer.layout, Layout::ChannelsLast(_))) && buffer.dims[0] == images
        };
        let made = (walking.buffers..self.buffers.len()).map(|b| BufferId(b as u32));
        let mut grouped: BTreeSet<BufferId> = made.filter(of_group).collect();
        for step in &self.steps[walking.steps..] {
            if step.inputs.iter().any(|b| grouped.contains(b)) {
                grouped.extend(&step.outputs);
            }
        }
        grouped
    }

    /// What a group has in the place of a buffer of the first group.
    fn of_group(
        &mut self,
        first: BufferId,
        group: usize,
        grouped: &BTreeSet<BufferId>,
        copies: &mut BTreeMap<BufferId, BufferId>,
    ) -> BufferId {
        if !grouped.contains(&first) {
            return first;
        }
        if let Some(copy) = copies.get(&first) {
            return *copy;
        }
        let mut buffer = self.buffers[first.0 as usize].clone();
        if let Some(mut part) = buffer.part_of {
            if grouped.contains(&part.whole) {
                part.whole = self.of_group(part.whole, group, grouped, copies);
            } else {
                part.bytes += group * buffer.dims[0] * buffer.strides()[0] * buffer.element_bytes();
                let name = buffer.name.strip_suffix(".part0").unwrap_or(&buffer.name);
                buffer.name = format!("{name}.part{group}");
            }
            buffer.part_of = Some(part);
        }
        self.in_arena.push(self.in_arena[first.0 as usize]);
        self.buffers.push(buffer);
        let copy = BufferId(self.buffers.len() as u32 - 1);
        copies.insert(first, copy);
        copy
    }
}
