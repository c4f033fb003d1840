//! From a checked network to the graphs of its functions.
//!
//! `init` writes every state, `preprocess` does the arithmetic from pixels to input, `infer` is the network with
//! running statistics and without dropout, and gives every layer's result if asked for, `train` is the forward pass of a training step with its loss, ready to be
//! differentiated. All of a program's functions list the same states.

use super::{Bug, Builder, ConvGeometry, Graph, Initializer, LrnGeometry, Op, State, StateId, Type, ValueId};
use crate::check::{Init, Layer, LayerId, LayerKind, Loss, Network, Optimizer, Param};
use netc_runtime::program::StateRole;
use std::collections::{BTreeMap, BTreeSet};

/// Which function of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// First contents of every state from a seed.
    Init,
    /// Bytes of an image to the network's input.
    Preprocess,
    /// The network's result for a batch.
    Infer,
    /// As `Infer`, and what every layer gives besides, called by [`layer_output`].
    Layers,
    /// A training step up to the loss.
    Train,
}

/// Random streams of dropout layers start here; those of parameters at 0.
const FIRST_DROPOUT_STREAM: u32 = 1 << 31;

/// A random stream for what is called `name`: that of its name, so that variants of a network have the same random numbers
/// where they agree; the next one if another thing has it already.
fn stream_of(name: &str, first: u32, taken: &mut BTreeSet<u32>) -> u32 {
    // FNV-1a.
    let hash = name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let mut stream = first | hash & (FIRST_DROPOUT_STREAM - 1);
    while !taken.insert(stream) {
        stream = first | stream.wrapping_add(1) & (FIRST_DROPOUT_STREAM - 1);
    }
    stream
}

/// What the result of the layer called `name` is called where every layer's result is given.
pub fn layer_output(name: &str) -> String {
    format!("{name}.y")
}

/// The graph of one function for batches of `batch`. `train` says whether the program can train: its functions then
/// list the optimizer's states.
///
/// # Errors
/// Only through a bug in an earlier stage.
pub fn lower(network: &Network, mode: Mode, batch: usize, train: bool) -> Result<Graph, Bug> {
    let states = states(network, train);
    match mode {
        Mode::Init => init(network, &states),
        Mode::Preprocess => preprocess(network, &states, batch),
        Mode::Infer | Mode::Layers | Mode::Train => forward(network, &states, batch, mode),
    }
}

/// Whether an optimizer changes a parameter.
pub fn is_trained(param: &Param) -> bool {
    param.trainable && param.lr_mult != 0.0
}

/// Names of the states that an optimizer keeps for parameter `name`.
pub fn moment_names(optimizer: &Optimizer, name: &str) -> Vec<String> {
    let words: &[&str] = match optimizer {
        Optimizer::Sgd { momentum, .. } if *momentum == 0.0 => &[],
        Optimizer::Sgd { .. } => &["momentum"],
        Optimizer::Adam { .. } => &["exp_avg", "exp_avg_sq"],
    };
    words.iter().map(|word| format!("optimizer.{name}.{word}")).collect()
}

/// Names of the scalar states of an optimizer.
pub fn scalar_names(optimizer: &Optimizer) -> &'static [&'static str] {
    match optimizer {
        Optimizer::Sgd { .. } => &[],
        Optimizer::Adam { .. } => &["optimizer.beta1_correction", "optimizer.beta2_correction"],
    }
}

/// The states of a program: parameters and buffers layer by layer, then the optimizer's if it can `train`.
pub fn states(network: &Network, train: bool) -> Vec<State> {
    let state = |name: String, shape: &[usize], role| State { name, shape: shape.to_vec(), role, value: None };
    let mut list = vec![];
    let mut moments = vec![];
    let optimizer = network.train.as_ref().filter(|_| train).map(|t| &t.optimizer);
    for (_, layer) in network.layers() {
        for param in &layer.params {
            let name = format!("{}.{}", layer.name, param.name);
            if let Some(optimizer) = optimizer.filter(|_| is_trained(param)) {
                let names = moment_names(optimizer, &name).into_iter();
                moments.extend(names.map(|n| state(n, &param.shape, StateRole::Optimizer)));
            }
            let role = if param.trainable { StateRole::Parameter } else { StateRole::Buffer };
            list.push(state(name, &param.shape, role));
        }
    }
    list.append(&mut moments);
    if let Some(optimizer) = optimizer {
        list.extend(scalar_names(optimizer).iter().map(|n| state((*n).to_owned(), &[], StateRole::Optimizer)));
    }
    list
}

fn init(network: &Network, states: &[State]) -> Result<Graph, Bug> {
    let mut b = Builder::new("init", states);
    let seed = b.input("seed", Type::i32([2]));
    let params = network.layers().flat_map(|(_, layer)| layer.params.iter().map(move |p| (layer, p)));
    let mut first = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (layer, param) in params {
        let name = format!("{}.{}", layer.name, param.name);
        let stream = stream_of(&name, 0, &mut taken);
        let init = match param.init {
            Init::Constant(value) => Initializer::Constant(value),
            Init::Normal { mean, std } => Initializer::Normal { mean, std, stream },
            Init::Uniform { low, high } => Initializer::Uniform { low, high, stream },
        };
        first.insert(name, (layer, init));
    }
    for (i, state) in states.iter().enumerate() {
        let init = match first.get(&state.name) {
            Some((layer, init)) => {
                b.at(&layer.name, layer.span);
                *init
            }
            None => {
                b.at("", crate::source::Span::default());
                Initializer::Constant(0.0)
            }
        };
        let operands: &[ValueId] = if matches!(init, Initializer::Constant(_)) { &[] } else { &[seed] };
        let value = one(&mut b, Op::Initialize(init), operands, Some(&state.shape), &state.name)?;
        b.update(StateId(i as u32), value);
    }
    Ok(b.finish())
}

fn preprocess(network: &Network, states: &[State], batch: usize) -> Result<Graph, Bug> {
    let mut b = Builder::new("preprocess", states);
    let Some((_, layer)) = network.layers().next() else { return Err(Bug("the network is empty".to_owned())) };
    let x = b.input(&layer.name, Type::u8(batched(batch, &layer.shape)));
    b.at(&layer.name, layer.span);
    let channels = layer.shape.first().copied().unwrap_or(1);
    let by_channel = |list: &[f64], default: f64| -> Vec<f64> {
        (0..channels).map(|c| list.get(c).or(list.last()).copied().unwrap_or(default)).collect()
    };
    let (mean, std) = (by_channel(&network.preprocess.mean, 0.0), by_channel(&network.preprocess.std, 1.0));
    let unit = if network.preprocess.unit_range { 255.0 } else { 1.0 };
    let scale = std.iter().map(|s| 1.0 / (unit * s)).collect();
    let shift = mean.iter().zip(&std).map(|(m, s)| -m / s).collect();
    let y = one(&mut b, Op::Normalize { scale, shift }, &[x], None, &format!("{}.normalized", layer.name))?;
    b.output(&layer.name, y);
    Ok(b.finish())
}

fn forward(network: &Network, states: &[State], batch: usize, mode: Mode) -> Result<Graph, Bug> {
    let train = mode == Mode::Train;
    let mut lowering = Lowering {
        b: Builder::new(if train { "train" } else { "infer" }, states),
        network,
        batch,
        train,
        values: BTreeMap::new(),
        random: None,
        streams: BTreeSet::new(),
    };
    let last = network.output().ok_or_else(|| Bug("the network is empty".to_owned()))?;
    let loss = match (&network.train, train) {
        (Some(recipe), true) => Some(recipe.loss),
        (None, true) => return Err(Bug("a network without a recipe cannot train".to_owned())),
        (_, false) => None,
    };
    for (id, layer) in network.layers() {
        lowering.b.at(&layer.name, layer.span);
        let value = match (layer.kind == LayerKind::Input, loss) {
            (true, _) => lowering.input(layer, loss, last),
            // The loss takes the logits, and gives the probabilities.
            (false, Some(Loss::CrossEntropy { .. })) if id == last && layer.kind == LayerKind::Softmax => {
                lowering.operands(id)?[0]
            }
            (false, _) => lowering.layer(id, layer)?,
        };
        lowering.values.insert(id, value);
    }
    if mode == Mode::Layers {
        for (id, layer) in network.layers() {
            let value = lowering.values.get(&id).ok_or_else(|| Bug(format!("layer {} has no value", layer.name)))?;
            lowering.b.output(&layer_output(&layer.name), *value);
        }
    }
    lowering.results(last, loss)
}

/// Input names other than the image's: the runtime knows them.
const LABELS: &str = "labels";
const TARGETS: &str = "targets";

struct Lowering<'a> {
    b: Builder,
    network: &'a Network,
    batch: usize,
    train: bool,
    values: BTreeMap<LayerId, ValueId>,
    /// `step` and `seed`, once something is random.
    random: Option<(ValueId, ValueId)>,
    /// Random streams that dropout layers have.
    streams: BTreeSet<u32>,
}

impl Lowering<'_> {
    /// Declares the image and what the loss compares with.
    fn input(&mut self, layer: &Layer, loss: Option<Loss>, last: LayerId) -> ValueId {
        let x = self.b.input(&layer.name, Type::f32(batched(self.batch, &layer.shape)));
        match loss {
            Some(Loss::CrossEntropy { .. }) => {
                self.b.input(LABELS, Type::i32([self.batch]));
            }
            Some(Loss::Mse) => {
                let shape = batched(self.batch, &self.network.layer(last).shape);
                self.b.input(TARGETS, Type::f32(shape));
            }
            None => {}
        }
        x
    }

    fn operands(&self, id: LayerId) -> Result<Vec<ValueId>, Bug> {
        let inputs = self.network.inputs(id);
        let name = &self.network.layer(id).name;
        if inputs.is_empty() {
            return Err(Bug(format!("layer {name} reads nothing")));
        }
        let value = |i: &LayerId| self.values.get(i).copied();
        inputs.iter().map(|i| value(i).ok_or_else(|| Bug(format!("{name} stands before a layer it reads")))).collect()
    }

    fn layer(&mut self, id: LayerId, layer: &Layer) -> Result<ValueId, Bug> {
        let operands = self.operands(id)?;
        let x = operands[0];
        let y = format!("{}.y", layer.name);
        let op = match &layer.kind {
            LayerKind::Input => return Ok(x),
            LayerKind::Conv { stride, padding, dilation, groups, bias, .. } => {
                let geometry =
                    ConvGeometry { stride: *stride, padding: *padding, dilation: *dilation, groups: *groups };
                return self.weighted(layer, Op::Conv(geometry), x, *bias, "conv");
            }
            LayerKind::Linear { bias, .. } => {
                let x = self.flat(layer, x)?;
                let op = Op::MatMul { transpose_a: false, transpose_b: true };
                return self.weighted(layer, op, x, *bias, "product");
            }
            LayerKind::Flatten => {
                let shape = batched(self.batch, &layer.shape);
                return one(&mut self.b, Op::Reshape, &[x], Some(&shape), &y);
            }
            LayerKind::Dropout { p } => return self.dropout(*p, x, &y),
            LayerKind::BatchNorm { epsilon, momentum } => return self.batchnorm(layer, x, *epsilon, *momentum),
            LayerKind::Add => {
                let mut sum = x;
                for &term in &operands[1..] {
                    sum = one(&mut self.b, Op::Add, &[sum, term], None, &y)?;
                }
                return Ok(sum);
            }
            LayerKind::Concat => return one(&mut self.b, Op::Concat, &operands, None, &y),
            LayerKind::Relu => Op::Relu,
            LayerKind::Sigmoid => Op::Sigmoid,
            LayerKind::Tanh => Op::Tanh,
            LayerKind::Softmax => Op::Softmax,
            LayerKind::Lrn { region, size, alpha, beta, k, divide_by_size } => {
                // The window of PyTorch: for even sizes the extra channel is before the centre.
                let (before, after) = (size / 2, size.saturating_sub(1) / 2);
                let scale = if *divide_by_size { alpha / region.window(*size) } else { *alpha };
                Op::Lrn(LrnGeometry { region: *region, before, after, scale, beta: *beta, k: *k })
            }
            LayerKind::MaxPool(pool) => Op::MaxPool(*pool),
            LayerKind::AvgPool { pool, count_include_pad } => {
                Op::AvgPool { pool: *pool, count_include_pad: *count_include_pad }
            }
            LayerKind::AdaptiveAvgPool { output } => Op::AdaptiveAvgPool { output: *output },
        };
        one(&mut self.b, op, &[x], None, &y)
    }

    /// A linear layer reads an image as a vector in C, H, W order.
    fn flat(&mut self, layer: &Layer, x: ValueId) -> Result<ValueId, Bug> {
        let shape = &self.b.graph().value(x).shape;
        if shape.len() == 2 {
            return Ok(x);
        }
        let shape = [self.batch, shape.iter().skip(1).product()];
        one(&mut self.b, Op::Reshape, &[x], Some(&shape), &format!("{}.x", layer.name))
    }

    /// A product with the layer's weight, then its bias.
    fn weighted(&mut self, layer: &Layer, op: Op, x: ValueId, bias: bool, word: &str) -> Result<ValueId, Bug> {
        let weight = self.read(layer, "weight")?;
        let y = format!("{}.y", layer.name);
        if !bias {
            return one(&mut self.b, op, &[x, weight], None, &y);
        }
        let product = one(&mut self.b, op, &[x, weight], None, &format!("{}.{word}", layer.name))?;
        let bias = self.read(layer, "bias")?;
        one(&mut self.b, Op::AddBias, &[product, bias], None, &y)
    }

    fn dropout(&mut self, p: f64, x: ValueId, y: &str) -> Result<ValueId, Bug> {
        if !self.train || p == 0.0 {
            return Ok(x);
        }
        let (step, seed) = match self.random {
            Some(random) => random,
            None => (self.b.input("step", Type::i32([])), self.b.input("seed", Type::i32([2]))),
        };
        self.random = Some((step, seed));
        let stream = stream_of(y, FIRST_DROPOUT_STREAM, &mut self.streams);
        one(&mut self.b, Op::Dropout { p, stream }, &[x, seed, step], None, y)
    }

    fn batchnorm(&mut self, layer: &Layer, x: ValueId, epsilon: f64, momentum: f64) -> Result<ValueId, Bug> {
        let (gamma, beta) = (self.read(layer, "weight")?, self.read(layer, "bias")?);
        let (mean, variance) = (self.read(layer, "running_mean")?, self.read(layer, "running_var")?);
        let y = format!("{}.y", layer.name);
        if !self.train {
            let op = Op::BatchNormInfer { epsilon };
            return one(&mut self.b, op, &[x, gamma, beta, mean, variance], None, &y);
        }
        let shape = &self.b.graph().value(x).shape;
        let samples = (shape[0] * shape.iter().skip(2).product::<usize>()) as f64;
        let unbiased = if samples > 1.0 { samples / (samples - 1.0) } else { 1.0 };
        let op = Op::BatchNormTrain { epsilon };
        let results = self.b.try_node(op, &[x, gamma, beta], None, &y).map_err(Bug)?;
        let [y, batch_mean, batch_variance] = results[..] else {
            return Err(Bug("batch normalisation has three results".to_owned()));
        };
        for (word, running, batch, correction) in
            [("running_mean", mean, batch_mean, 1.0), ("running_var", variance, batch_variance, unbiased)]
        {
            let name = format!("{}.{word}", layer.name);
            let op = Op::RunningUpdate { momentum, correction };
            let next = one(&mut self.b, op, &[running, batch], None, &format!("{name}.next"))?;
            let state = self.state(&name)?;
            self.b.update(state, next);
        }
        Ok(y)
    }

    fn state(&self, name: &str) -> Result<StateId, Bug> {
        self.b.graph().find_state(name).ok_or_else(|| Bug(format!("there is no state {name}")))
    }

    fn read(&mut self, layer: &Layer, param: &str) -> Result<ValueId, Bug> {
        let state = self.state(&format!("{}.{param}", layer.name))?;
        Ok(self.b.read(state))
    }

    fn results(mut self, last: LayerId, loss: Option<Loss>) -> Result<Graph, Bug> {
        let prediction = *self.values.get(&last).ok_or_else(|| Bug("the last layer has no value".to_owned()))?;
        let operand = |b: &Builder, name: &str| b.graph().inputs.get(1).copied().ok_or(Bug(format!("{name} missing")));
        let mut output = prediction;
        match loss {
            Some(Loss::CrossEntropy { label_smoothing }) => {
                let labels = operand(&self.b, LABELS)?;
                let op = Op::CrossEntropy { label_smoothing };
                let results = self.b.try_node(op, &[prediction, labels], None, "loss").map_err(Bug)?;
                self.b.output("loss", results[0]);
                if self.network.layer(last).kind == LayerKind::Softmax {
                    output = results[1];
                }
            }
            Some(Loss::Mse) => {
                let targets = operand(&self.b, TARGETS)?;
                let loss = one(&mut self.b, Op::Mse, &[prediction, targets], None, "loss")?;
                self.b.output("loss", loss);
            }
            None => {}
        }
        self.b.output("output", output);
        Ok(self.b.finish())
    }
}

fn batched(batch: usize, shape: &[usize]) -> Vec<usize> {
    [&[batch], shape].concat()
}

/// A node of which only the first result matters.
fn one(b: &mut Builder, op: Op, inputs: &[ValueId], shape: Option<&[usize]>, name: &str) -> Result<ValueId, Bug> {
    Ok(b.try_node(op, inputs, shape, name).map_err(Bug)?[0])
}
