//! Convolutions and their gradients: by the definition, or by Winograd's minimal filtering where that is cheaper.

use super::choose::Planner;
use super::fuse::Fusion;
use super::winograd::{
    Division, Extent, Images, Polyphase, TransformedWeights, WeightSums, Winograd, before, divisors,
};
use super::{BufferId, ConvWork, Halo, Layout, PackedWeights, Part, Tile, WinogradWork, Work, input_grad_halo};
use crate::graph::{ConvGeometry, DType, Graph, Node, NodeId, Op, ValueId};
use crate::target::Target;

/// Which algorithms a plan may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// The cheapest for each convolution.
    #[default]
    Auto,
    /// The definition only.
    Direct,
    /// Minimal filtering wherever it can be done, cheaper or not.
    Winograd,
    /// What this number draws from all that can be done for a convolution, cheaper or not: for tests, since all of it
    /// gives the same.
    Drawn(u64),
}

/// How a convolution or one of its gradients is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Direct,
    Winograd(Filtered),
}

/// By Winograd's minimal filtering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filtered {
    form: Winograd,
    phases: Polyphase,
    /// Padding before the image: rows, columns.
    before: [usize; 2],
}

impl Method {
    /// Whether the weights are read again for some of the tiles of a batch after the others; else once.
    pub fn reads_weights_again(&self) -> bool {
        match self {
            Method::Direct => true,
            Method::Winograd(filtered) => filtered.form.division != Division::Channels,
        }
    }
}

impl Filtered {
    /// Height and width of the phases that all tiles together read.
    fn phase_size(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.form.tiles[axis] * self.form.outputs[axis] + self.form.taps[axis] - 1)
    }

    /// Whether the zeros around an image are read from memory. A kernel that does nothing but transform the input, of
    /// images one by one, leaves them out: a clear halo costs small batches more.
    fn reads_halo(&self) -> bool {
        self.phases.is_needed() || self.form.division != Division::Channels || self.form.mosaic.count() > 1
    }

    /// The zeros around an image of this height and width that are read.
    fn halo(&self, image: [usize; 2]) -> Halo {
        if !self.phases.is_needed() {
            return self.form.halo(image, self.before);
        }
        self.phases.halo(image, self.before, self.phase_size())
    }
}

/// How a node is computed, `times` times one after the other; none if it is no convolution.
pub(super) fn method(
    graph: &Graph,
    node: &Node,
    times: usize,
    target: &Target,
    algorithm: Algorithm,
) -> Option<Method> {
    let shape = |v: ValueId| graph.values[v.0 as usize].shape.as_slice();
    let (g, input, weights, result, gradient) = match &node.op {
        Op::Conv(g) => (g, shape(node.inputs[0]), shape(node.inputs[1]), shape(node.outputs[0]), false),
        Op::ConvInputGrad(g) => (g, shape(node.inputs[0]), shape(node.inputs[1]), shape(node.outputs[0]), true),
        Op::ConvWeightGrad(g) => (g, shape(node.inputs[0]), shape(node.outputs[0]), shape(node.inputs[1]), false),
        _ => return None,
    };
    let filtered = || {
        if algorithm == Algorithm::Direct || g.dilation != [1, 1] {
            return None;
        }
        let phases = Polyphase { stride: g.stride, kernel: [weights[2], weights[3]] };
        if phases.is_needed() && (g.groups > 1 || gradient) {
            return None;
        }
        let taps = phases.taps();
        let padding = before(g, taps, gradient)?;
        let extent = Extent {
            batch: result[0],
            times,
            inner: input[1] * phases.phases(),
            outer: result[1],
            image: [input[2], input[3]],
            before: padding,
            result: [result[2], result[3]],
            taps,
            // Phases are made of one image.
            apart: phases.is_needed(),
            groups: g.groups,
            definition: input[1] / g.groups * weights[2] * weights[3],
        };
        let form = match algorithm {
            Algorithm::Drawn(number) => Winograd::drawn(&extent, number)?,
            Algorithm::Auto | Algorithm::Direct => Winograd::choose(target, &extent, false)?,
            Algorithm::Winograd => Winograd::choose(target, &extent, true)?,
        };
        Some(Filtered { form, phases, before: padding })
    };
    Some(filtered().map_or(Method::Direct, Method::Winograd))
}

/// The zeros that a convolution wants around its operands.
pub(super) fn wanted_halos(graph: &Graph, node: &Node, method: Option<Method>) -> Vec<(ValueId, Halo)> {
    let shape = |v: ValueId| graph.values[v.0 as usize].shape.as_slice();
    let size = |v: ValueId| [shape(v)[2], shape(v)[3]];
    match (&node.op, method) {
        (Op::ConvWeightGrad(_), Some(Method::Winograd(filtered))) => {
            let [x, dy] = [node.inputs[0], node.inputs[1]];
            vec![(x, filtered.halo(size(x))), (dy, filtered.form.result_halo(size(dy)))]
        }
        (_, Some(Method::Winograd(filtered))) if filtered.reads_halo() => {
            vec![(node.inputs[0], filtered.halo(size(node.inputs[0])))]
        }
        (_, Some(Method::Winograd(_))) => Vec::new(),
        (Op::Conv(g), _) => {
            let w = shape(node.inputs[1]);
            vec![(node.inputs[0], forward_halo(g, shape(node.inputs[0]), [w[2], w[3]], shape(node.outputs[0])))]
        }
        (Op::ConvWeightGrad(g), _) => {
            let w = shape(node.outputs[0]);
            vec![(node.inputs[0], forward_halo(g, shape(node.inputs[0]), [w[2], w[3]], shape(node.inputs[1])))]
        }
        (Op::ConvInputGrad(g), _) => {
            let w = shape(node.inputs[1]);
            let [top, bottom, left, right] =
                input_grad_halo(g, [w[2], w[3]], size(node.outputs[0]), size(node.inputs[0]));
            vec![(node.inputs[0], Halo { top, bottom, left, right })]
        }
        _ => Vec::new(),
    }
}

/// The zeros that a convolution of `x` by a kernel of this size reads to make `y`.
pub(super) fn forward_halo(g: &ConvGeometry, x: &[usize], kernel: [usize; 2], y: &[usize]) -> Halo {
    let reach = |i: usize, before: usize| {
        ((y[i + 2] - 1) * g.stride[i] + (kernel[i] - 1) * g.dilation[i] + 1).saturating_sub(before + x[i + 2])
    };
    Halo { top: g.padding.top, bottom: reach(0, g.padding.top), left: g.padding.left, right: reach(1, g.padding.left) }
}

/// Multiply-adds of a convolution with this result and these weights; the largest number if they are more.
fn conv_macs(result: &[usize], weights: &[usize]) -> u64 {
    result.iter().chain(&weights[1..]).fold(1, |product: u64, &size| product.saturating_mul(size as u64))
}

/// Parts that a batch is divided into, at most: a plan of few steps for a batch of any size.
pub(super) const MOST_PARTS: usize = 64;

impl Planner<'_> {
    /// A convolution or, `backward`, the gradient of its input.
    pub(super) fn conv(&mut self, id: NodeId, node: &Node, geometry: &ConvGeometry, name: &str, backward: bool) {
        match self.methods[id.0 as usize] {
            Some(Method::Winograd(filtered)) => self.filtered_conv(id, node, &filtered, name, backward),
            _ => self.direct_conv(id, node, geometry, name, backward),
        }
    }

    fn direct_conv(&mut self, id: NodeId, node: &Node, geometry: &ConvGeometry, name: &str, backward: bool) {
        let Fusion { last, epilogue, operands, layers, .. } = self.fuse(id);
        let (result, weights) = (self.shape(node.outputs[0]), self.shape(node.inputs[1]));
        let kernel = [weights[2], weights[3]];
        let groups = geometry.groups;
        let (tile, packed, macs) = if backward {
            let tile = Tile::for_input_grad(self.target, result, geometry);
            let packed = PackedWeights::new(groups, result[1], weights[0] / groups, kernel, tile.columns());
            (tile, packed, conv_macs(self.shape(node.inputs[0]), weights))
        } else {
            let tile = Tile::for_conv(self.target, result, groups);
            let packed = PackedWeights::new(groups, weights[0], weights[1], kernel, tile.columns());
            (tile, packed, conv_macs(result, weights))
        };
        let weights_home = self.home(node.inputs[1]);
        let weights_name = self.buffers[weights_home.0 as usize].name.clone();
        let packed = self.numbers(&format!("{weights_name}.packed"), packed.len());
        let work = Work::PackWeights { groups, transposed: backward, columns: tile.columns() };
        self.step(&format!("{name}_pack"), &[&node.layer], [0, 0], work, vec![weights_home], vec![packed]);
        let mut inputs = vec![self.operand(node.inputs[0]), packed];
        inputs.extend(operands);
        let output = self.fused_result(id, last);
        let work = ConvWork { geometry: *geometry, kernel, tile, epilogue };
        let work = if backward { Work::ConvInputGrad(work) } else { Work::Conv(work) };
        self.step(name, &layers, [macs, macs], work, inputs, vec![output]);
    }

    fn filtered_conv(&mut self, id: NodeId, node: &Node, filtered: &Filtered, name: &str, backward: bool) {
        let Fusion { last, epilogue, operands, layers, .. } = self.fuse(id);
        let Filtered { form, phases, before } = *filtered;
        let (result, weights) = (self.shape(node.outputs[0]), self.shape(node.inputs[1]));
        let read = if backward { self.shape(node.inputs[0]) } else { result };
        let macs = conv_macs(read, weights);
        let x = self.phased(node.inputs[0], filtered);
        let inner = self.buffers[x.0 as usize].dims[1];
        let at_once = form.tiles_at_once(result[0]);
        let tile = Tile::choose(self.target, at_once, result[1] / form.groups);
        let transformed = TransformedWeights::new(&form, result[1], inner / form.groups, tile);
        let weights_home = self.home(node.inputs[1]);
        let weights_name = self.buffers[weights_home.0 as usize].name.clone();
        let points = self.numbers(&format!("{weights_name}.points"), transformed.len());
        let work = Work::TransformWeights { form, phases, transposed: backward, tile };
        self.step(&format!("{name}_weights"), &[&node.layer], [0, 0], work, vec![weights_home], vec![points]);
        let work =
            WinogradWork { form, before: if phases.is_needed() { [0, 0] } else { before }, inner, tile, epilogue };
        let tiles = form.tiles_of(result[0]);
        let done = (tiles * form.area() * (inner / form.groups) * result[1]) as u64;
        let (first, work) = match form.division {
            Division::Tiles { .. } => (x, Work::Winograd(work)),
            Division::Channels => {
                let images = Images::Input { before: work.before, halo: filtered.reads_halo() };
                (self.points(name, &node.layer, x, &form, images), Work::WinogradProduct(work))
            }
        };
        let mut inputs = vec![first, points];
        inputs.extend(operands);
        let output = self.fused_result(id, last);
        self.step(name, &layers, [macs, done], work, inputs, vec![output]);
    }

    /// The gradient of a convolution's weights.
    pub(super) fn weight_grad(&mut self, id: NodeId, node: &Node, geometry: &ConvGeometry, name: &str) {
        let dweight = self.shape(node.outputs[0]);
        let macs = conv_macs(self.shape(node.inputs[1]), dweight);
        let Some(Method::Winograd(filtered)) = self.methods[id.0 as usize] else {
            let tile = Tile::for_weight_grad(self.target, dweight, geometry);
            let mut inputs = vec![self.operand(node.inputs[0]), self.operand(node.inputs[1])];
            let Fusion { last, update, operands, layers, .. } = self.fuse(id);
            inputs.extend(operands);
            let outputs = self.fused_results(id, last);
            let work = Work::ConvWeightGrad { geometry: *geometry, tile, update };
            return self.step(name, &layers, [macs, macs], work, inputs, outputs);
        };
        let Filtered { form, phases, before } = filtered;
        let x = self.phased(node.inputs[0], &filtered);
        let dy = self.operand(node.inputs[1]);
        let [inner, outer] = [x, dy].map(|b| self.buffers[b.0 as usize].dims[1]);
        let batch = self.shape(node.inputs[1])[0];
        let cache = self.target.cache;
        // As many images at a time as stay in a cache, but a plan of few steps for a batch of any size.
        let fits = |images: &usize| form.area() * form.tiles_of(*images) * (inner + outer) <= cache / 4;
        let few = |images: &usize| batch / images <= MOST_PARTS && images.is_multiple_of(form.mosaic.count());
        let images = divisors(batch).filter(few).rfind(fits).or_else(|| divisors(batch).find(few)).unwrap_or(batch);
        let parts = batch / images;
        let [of_input, of_result] = [inner, outer].map(|channels| channels / form.groups);
        let tile = Tile::choose(self.target, of_input, of_result);
        let layout = WeightSums {
            groups: form.groups,
            points: form.area(),
            inner: of_input,
            outer: of_result,
            columns: tile.columns(),
        };
        let tiles = form.tiles_of(images);
        let sums = self.numbers(&format!("{name}.sums"), layout.len());
        let input = Images::Input { before: if phases.is_needed() { [0, 0] } else { before }, halo: true };
        for part in 0..parts {
            let [x, dy] = [x, dy].map(|whole| self.images(whole, part, parts));
            let x = self.points(name, &node.layer, x, &form, input);
            let dy = self.points(name, &node.layer, dy, &form, Images::Gradient);
            let work = Work::WinogradGradient { sums: layout, tile, tiles };
            let done = (tiles * layout.sums()) as u64;
            let mut inputs = vec![x, dy];
            if part > 0 {
                inputs.push(sums);
            }
            self.step(name, &[&node.layer], [macs / parts as u64, done], work, inputs, vec![sums]);
        }
        let Fusion { last, update, operands, layers, .. } = self.fuse(id);
        let mut inputs = vec![sums];
        inputs.extend(operands);
        let outputs = self.fused_results(id, last);
        let work = Work::WinogradGradientWeights { form, phases, sums: layout, update };
        self.step(&format!("{name}_sum"), &layers, [0, 0], work, inputs, outputs);
    }

    /// The image batch that a convolution reads: of a strided one, the phases of its input.
    fn phased(&mut self, value: ValueId, filtered: &Filtered) -> BufferId {
        let x = self.operand(value);
        if !filtered.phases.is_needed() {
            return x;
        }
        let key = (value, *filtered);
        if let Some((_, phases)) = self.phased.iter().find(|(k, _)| *k == key) {
            return *phases;
        }
        let shape = self.shape(value);
        let [height, width] = filtered.phase_size();
        let dims = [shape[0], shape[1] * filtered.phases.phases(), height, width];
        let name = format!("{}.phases", self.graph.values[value.0 as usize].name);
        let layout = Layout::ChannelsLast(Halo::default());
        let phases = self.buffer(&name, DType::F32, &dims, layout, None);
        let work = Work::Polyphase { phases: filtered.phases, before: filtered.before };
        self.step(&name, &[], [0, 0], work, vec![x], vec![phases]);
        self.phased.push((key, phases));
        phases
    }

    /// An image batch at the points of its tiles.
    fn points(&mut self, name: &str, layer: &str, x: BufferId, form: &Winograd, images: Images) -> BufferId {
        let buffer = &self.buffers[x.0 as usize];
        let tiles = form.tiles_of(buffer.dims[0]);
        let len = form.groups * form.area() * Winograd::plane(tiles, buffer.dims[1] / form.groups);
        let what = match images {
            Images::Input { .. } => "input",
            Images::Gradient => "gradient",
        };
        let points = self.numbers(&format!("{name}.{what}"), len);
        let work = Work::TransformImages { form: *form, images };
        self.step(&format!("{name}_{what}"), &[layer], [0, 0], work, vec![x], vec![points]);
        points
    }

    /// A buffer of plain numbers.
    pub(super) fn numbers(&mut self, name: &str, len: usize) -> BufferId {
        self.buffer(name, DType::F32, &[len], Layout::Rows, None)
    }

    /// Images `part` of `parts` equal parts of a batch.
    pub(super) fn images(&mut self, whole: BufferId, part: usize, parts: usize) -> BufferId {
        if parts == 1 {
            return whole;
        }
        let mut buffer = self.buffers[whole.0 as usize].clone();
        buffer.dims[0] /= parts;
        buffer.name = format!("{}.part{part}", buffer.name);
        let distance = part * buffer.dims[0] * buffer.strides()[0] * buffer.element_bytes();
        let (whole, before) = buffer.part_of.map_or((whole, 0), |outer| (outer.whole, outer.bytes));
        buffer.part_of = Some(Part { whole, bytes: before + distance, pitch: buffer.pitch() });
        self.buffers.push(buffer);
        self.in_arena.push(false);
        BufferId(self.buffers.len() as u32 - 1)
    }
}
