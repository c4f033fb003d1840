//! Small random networks, for tests that compare two ways of running a graph.
//!
//! Every forward operation turns up, with odd sizes, groups, dilation, uneven padding, overlapping and ceiling pools,
//! even windows, branches that meet again. The same seed gives the same graph.

use super::interpret::Tensor;
use super::{
    Bug, Builder, ConvGeometry, DType, Graph, Initializer, LrnGeometry, LrnRegion, Op, Padding, PoolGeometry, StateId,
    Type, ValueId,
};
use netc_runtime::program::StateRole;
use netc_runtime::random::Stream;

/// A valid training forward pass: inputs `image`, `labels` or `targets`, and `step` and `seed` if something drops out;
/// outputs `loss` and `output`; running statistics are updated.
///
/// # Errors
/// Never, unless the generator is wrong.
pub fn random_graph(seed: u64) -> Result<Graph, Bug> {
    network(seed, true)
}

/// The inference of the same network: input `image`, output `output`, running statistics, no dropout.
///
/// # Errors
/// Never, unless the generator is wrong.
pub fn random_inference(seed: u64) -> Result<Graph, Bug> {
    network(seed, false)
}

/// First contents of every state of the same network, each initialiser in turn.
///
/// # Errors
/// Never, unless the generator is wrong.
pub fn random_init(seed: u64) -> Result<Graph, Bug> {
    let network = random_graph(seed)?;
    let mut b = Builder::new("init", &network.states);
    let key = b.input("seed", Type::i32([2]));
    for (i, state) in network.states.iter().enumerate() {
        let stream = i as u32;
        let (init, operands) = match (i as u64 + seed) % 3 {
            0 => (Initializer::Constant(0.25), vec![]),
            1 => (Initializer::Normal { mean: 0.5, std: 0.1, stream }, vec![key]),
            _ => (Initializer::Uniform { low: -0.5, high: 1.5, stream }, vec![key]),
        };
        let op = Op::Initialize(init);
        let value = b.try_node(op, &operands, Some(&state.shape), &state.name).map_err(Bug)?[0];
        b.update(StateId(stream), value);
    }
    Ok(b.finish())
}

/// Pixels to the input of the same network.
///
/// # Errors
/// Never, unless the generator is wrong.
pub fn random_preprocess(seed: u64) -> Result<Graph, Bug> {
    let network = random_graph(seed)?;
    let shape = network.value(network.inputs[0]).shape.clone();
    let channels = shape[1];
    let mut b = Builder::new("preprocess", &network.states);
    let image = b.input("image", Type::u8(shape));
    let scale = (0..channels).map(|c| 0.01 + 0.001 * c as f64).collect();
    let shift = (0..channels).map(|c| -1.0 + 0.3 * c as f64).collect();
    let y = b.try_node(Op::Normalize { scale, shift }, &[image], None, "image.normalized").map_err(Bug)?[0];
    b.output("image", y);
    Ok(b.finish())
}

fn network(seed: u64, train: bool) -> Result<Graph, Bug> {
    let stream = Stream::new(seed, [0x6e65_7463, 0, 0]);
    let name = if train { "train" } else { "infer" };
    let mut r = Random { stream, b: Builder::new(name, &[]), layers: 0, train };
    let shape = [r.between(1, 3), r.between(1, 6), r.between(5, 12), r.between(5, 12)];
    let image = r.b.input("image", Type::f32(shape));
    let entropy = r.coin();
    let classes = r.between(2, 7);
    let target = match (train, entropy) {
        (false, _) => None,
        (true, true) => Some(r.b.input("labels", Type::i32([shape[0]]))),
        (true, false) => Some(r.b.input("targets", Type::f32([shape[0], classes]))),
    };
    let mut x = r.conv(image)?;
    for _ in 0..r.between(2, 6) {
        x = r.step(x)?;
    }
    let output = r.head(x, classes)?;
    if let Some(target) = target {
        r.b.at("", Default::default());
        let op = if entropy { Op::CrossEntropy { label_smoothing: *r.pick(&[0.0, 0.1]) } } else { Op::Mse };
        let loss = r.b.try_node(op, &[output, target], None, "loss").map_err(Bug)?[0];
        r.b.output("loss", loss);
    }
    r.b.output("output", output);
    Ok(r.b.finish())
}

/// Inputs and states for a graph: numbers of moderate size, variances positive, labels within the classes.
pub fn random_arguments(graph: &Graph, seed: u64) -> (Vec<Tensor>, Vec<Tensor>) {
    let mut stream = Stream::new(seed, [0x6172_6773, 0, 0]);
    let classes = graph.find_output("output").and_then(|v| graph.value(v).shape.get(1).copied()).unwrap_or(1);
    let mut tensor = |name: &str, of: Type| {
        let count = of.shape.iter().product();
        // A sum of three uniform numbers, about normal; rounded so that it is exact in single precision.
        let mut normal = || f64::from(((0..3).map(|_| stream.unit()).sum::<f32>() - 1.5) * 2.0);
        let positive = name.ends_with("running_var") || name.ends_with("exp_avg_sq") || name.ends_with("correction");
        let small = name.ends_with(".weight") || name.ends_with(".bias");
        match of.dtype {
            DType::F32 if name == "learning_rate" => Tensor::f32(of.shape, &[0.05]),
            DType::F32 if positive => {
                Tensor::real(of.shape, (0..count).map(|_| f64::from((normal().abs() * 0.2 + 0.3) as f32)).collect())
            }
            DType::F32 if small => Tensor::real(of.shape, (0..count).map(|_| normal() * 0.5).collect()),
            DType::F32 => Tensor::real(of.shape, (0..count).map(|_| normal()).collect()),
            DType::I32 if name == "labels" => {
                Tensor::i32(of.shape, (0..count).map(|_| stream.below(classes as u32) as i32).collect())
            }
            DType::I32 => Tensor::i32(of.shape, (0..count).map(|_| stream.below(100) as i32).collect()),
            DType::U8 => Tensor::u8(of.shape, (0..count).map(|_| stream.below(256) as u8).collect()),
        }
    };
    let inputs = graph.inputs.iter().map(|&v| tensor(&graph.value(v).name, graph.value(v).into())).collect();
    let states = graph.states.iter().map(|s| tensor(&s.name, Type::f32(s.shape.clone()))).collect();
    (inputs, states)
}

struct Random {
    stream: Stream,
    b: Builder,
    layers: usize,
    /// A training step and not inference. Draws the same random numbers either way.
    train: bool,
}

impl Random {
    /// A number in low..=high.
    fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.stream.below((high - low + 1) as u32) as usize
    }

    fn coin(&mut self) -> bool {
        self.between(0, 1) == 1
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.between(0, list.len() - 1)]
    }

    fn pair(&mut self, low: usize, high: usize) -> [usize; 2] {
        [self.between(low, high), self.between(low, high)]
    }

    fn padding(&mut self, most: usize) -> Padding {
        let [top, bottom] = self.pair(0, most);
        let [left, right] = self.pair(0, most);
        Padding { top, bottom, left, right }
    }

    fn shape(&self, x: ValueId) -> [usize; 4] {
        let mut shape = [1; 4];
        for (to, from) in shape.iter_mut().zip(&self.b.graph().value(x).shape) {
            *to = *from;
        }
        shape
    }

    fn name(&mut self, kind: &str) -> String {
        self.layers += 1;
        let name = format!("{kind}{}", self.layers);
        self.b.at(&name, Default::default());
        name
    }

    fn node(&mut self, op: Op, inputs: &[ValueId], name: &str) -> Result<ValueId, Bug> {
        Ok(self.b.try_node(op, inputs, None, name).map_err(Bug)?[0])
    }

    fn unary(&mut self, op: Op, x: ValueId) -> Result<ValueId, Bug> {
        let name = self.name(op.mnemonic());
        self.node(op, &[x], &format!("{name}.y"))
    }

    fn parameter(&mut self, name: String, shape: &[usize]) -> ValueId {
        let state = self.b.state(&name, shape, StateRole::Parameter);
        self.b.read(state)
    }

    /// One layer, or a branch that ends where it began.
    fn step(&mut self, x: ValueId) -> Result<ValueId, Bug> {
        match self.between(0, 12) {
            0 | 1 => self.conv(x),
            2 => self.unary(Op::Relu, x),
            3 => {
                let op = self.pick(&[Op::Sigmoid, Op::Tanh, Op::Softmax, Op::Relu]).clone();
                self.unary(op, x)
            }
            4 => self.lrn(x),
            5 | 6 => self.max_pool(x),
            7 => self.average_pool(x),
            8 => self.adaptive(x),
            9 => self.batchnorm(x),
            10 => self.dropout(x),
            11 => self.residual(x),
            _ => self.concatenation(x),
        }
    }

    fn conv(&mut self, x: ValueId) -> Result<ValueId, Bug> {
        let [_, channels, height, width] = self.shape(x);
        let groups = match self.between(0, 2) {
            0 => (1..=channels).rev().find(|g| channels.is_multiple_of(*g) && *g <= 4).unwrap_or(1),
            _ => 1,
        };
        let kernels = groups * self.between(1, 4);
        let dilation = if self.between(0, 3) == 0 { self.pair(1, 2) } else { [1, 1] };
        let fits = |size: usize, d: usize| size.div_ceil(d).clamp(1, 3);
        let kernel = [self.between(1, fits(height, dilation[0])), self.between(1, fits(width, dilation[1]))];
        let stride = if self.coin() { [1, 1] } else { self.pair(1, 3) };
        let geometry = ConvGeometry { stride, padding: self.padding(2), dilation, groups };
        self.conv_with(x, geometry, [kernels, channels / groups, kernel[0], kernel[1]])
    }

    /// A convolution with or without bias.
    fn conv_with(&mut self, x: ValueId, geometry: ConvGeometry, weight: [usize; 4]) -> Result<ValueId, Bug> {
        let name = self.name("conv");
        let w = self.parameter(format!("{name}.weight"), &weight);
        let y = self.node(Op::Conv(geometry), &[x, w], &format!("{name}.conv"))?;
        if self.between(0, 3) == 0 {
            return Ok(y);
        }
        let bias = self.parameter(format!("{name}.bias"), &weight[..1]);
        self.node(Op::AddBias, &[y, bias], &format!("{name}.y"))
    }

    /// A convolution that keeps the size of the image.
    fn same_conv(&mut self, x: ValueId, kernels: usize) -> Result<ValueId, Bug> {
        let padding = Padding { top: 1, bottom: 1, left: 0, right: 1 };
        let geometry = ConvGeometry { stride: [1, 1], padding, dilation: [1, 1], groups: 1 };
        let channels = self.shape(x)[1];
        self.conv_with(x, geometry, [kernels, channels, 3, 2])
    }

    fn lrn(&mut self, x: ValueId) -> Result<ValueId, Bug> {
        let channels = self.shape(x)[1];
        let region = match self.between(0, 2) {
            0 => LrnRegion::Map,
            1 if channels.is_multiple_of(2) => LrnRegion::Channels { groups: 2 },
            _ => LrnRegion::Channels { groups: 1 },
        };
        let size = self.between(1, 5);
        let (scale, beta) = (*self.pick(&[0.02, 0.5]), *self.pick(&[0.75, 0.5, 1.0]));
        let k = *self.pick(&[1.0, 2.0]);
        self.unary(Op::Lrn(LrnGeometry { region, before: size / 2, after: (size - 1) / 2, scale, beta, k }), x)
    }

    /// A pooling window that fits the image.
    fn pool(&mut self, x: ValueId) -> PoolGeometry {
        let [_, _, height, width] = self.shape(x);
        let kernel = [self.between(1, height.min(3)), self.between(1, width.min(3))];
        let (most, stride) = (kernel[0].min(kernel[1]) / 2, self.pair(1, 3));
        PoolGeometry { kernel, stride, padding: self.padding(most), ceil: self.coin() }
    }

    fn max_pool(&mut self, x: ValueId) -> Result<ValueId, Bug> {
        let pool = self.pool(x);
        self.unary(Op::MaxPool(pool), x)
    }

    fn average_pool(&mut self, x: ValueId) -> Result<ValueId, Bug> {
        let (pool, count_include_pad) = (self.pool(x), self.coin());
        self.unary(Op::AvgPool { pool, count_include_pad }, x)
    }

    fn adaptive(&mut self, x: ValueId) -> Result<ValueId, Bug> {
        let output = self.pair(1, 4);
        self.unary(Op::AdaptiveAvgPool { output }, x)
    }

    fn batchnorm(&mut self, x: ValueId) -> Result<ValueId, Bug> {
        let name = self.name("bn");
        let shape = self.shape(x);
        let c = [shape[1]];
        let gamma = self.parameter(format!("{name}.weight"), &c);
        let beta = self.parameter(format!("{name}.bias"), &c);
        let mean = self.b.state(&format!("{name}.running_mean"), c, StateRole::Buffer);
        let variance = self.b.state(&format!("{name}.running_var"), c, StateRole::Buffer);
        if !self.train {
            let operands = [x, gamma, beta, self.b.read(mean), self.b.read(variance)];
            return self.node(Op::BatchNormInfer { epsilon: 1e-3 }, &operands, &format!("{name}.y"));
        }
        let op = Op::BatchNormTrain { epsilon: 1e-3 };
        let results = self.b.try_node(op, &[x, gamma, beta], None, &format!("{name}.y")).map_err(Bug)?;
        let n = (shape[0] * shape[2] * shape[3]) as f64;
        let unbiased = if n > 1.0 { n / (n - 1.0) } else { 1.0 };
        self.running(mean, results[1], 1.0)?;
        self.running(variance, results[2], unbiased)?;
        Ok(results[0])
    }

    fn running(&mut self, state: StateId, batch: ValueId, correction: f64) -> Result<(), Bug> {
        let running = self.b.read(state);
        let op = Op::RunningUpdate { momentum: 0.1, correction };
        let name = format!("{}.next", self.b.graph().value(running).name);
        let next = self.node(op, &[running, batch], &name)?;
        self.b.update(state, next);
        Ok(())
    }

    fn dropout(&mut self, x: ValueId) -> Result<ValueId, Bug> {
        let p = *self.pick(&[0.25, 0.5]);
        let name = self.name("dropout");
        if !self.train {
            return Ok(x);
        }
        let (step, seed) = match (self.b.find_input("step"), self.b.find_input("seed")) {
            (Some(step), Some(seed)) => (step, seed),
            _ => (self.b.input("step", Type::i32([])), self.b.input("seed", Type::i32([2]))),
        };
        let op = Op::Dropout { p, stream: self.layers as u32 };
        self.node(op, &[x, seed, step], &format!("{name}.y"))
    }

    fn residual(&mut self, x: ValueId) -> Result<ValueId, Bug> {
        let channels = self.shape(x)[1];
        let mut branch = self.same_conv(x, channels)?;
        if self.coin() {
            branch = self.unary(Op::Relu, branch)?;
        }
        let name = self.name("add");
        self.node(Op::Add, &[x, branch], &format!("{name}.y"))
    }

    fn concatenation(&mut self, x: ValueId) -> Result<ValueId, Bug> {
        let kernels = self.between(1, 3);
        let branch = self.same_conv(x, kernels)?;
        let other = self.unary(Op::Tanh, x)?;
        let mut parts = vec![branch, other];
        if self.coin() {
            parts.insert(0, x);
        }
        let name = self.name("concat");
        self.node(Op::Concat, &parts, &format!("{name}.y"))
    }

    fn head(&mut self, x: ValueId, classes: usize) -> Result<ValueId, Bug> {
        let shape = self.shape(x);
        let name = self.name("flatten");
        let features = shape[1..].iter().product();
        let flat = [shape[0], features];
        let mut x = self.b.try_node(Op::Reshape, &[x], Some(&flat), &format!("{name}.y")).map_err(Bug)?[0];
        if self.coin() {
            let hidden = self.between(2, 9);
            x = self.linear(x, hidden)?;
            if self.coin() {
                x = self.batchnorm(x)?;
            }
            x = self.unary(Op::Relu, x)?;
            if self.coin() {
                x = self.dropout(x)?;
            }
        }
        self.linear(x, classes)
    }

    fn linear(&mut self, x: ValueId, features: usize) -> Result<ValueId, Bug> {
        let inputs = self.shape(x)[1];
        let name = self.name("fc");
        let w = self.parameter(format!("{name}.weight"), &[features, inputs]);
        let op = Op::MatMul { transpose_a: false, transpose_b: true };
        let y = self.node(op, &[x, w], &format!("{name}.product"))?;
        let bias = self.parameter(format!("{name}.bias"), &[features]);
        self.node(Op::AddBias, &[y, bias], &format!("{name}.y"))
    }
}
