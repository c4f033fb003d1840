//! The checked network: layers resolved, shapes inferred, every size with its derivation.
//!
//! Takes a [`Spec`](crate::spec), gives a [`Network`] or diagnostics. This is the wall: the last stage that may blame
//! the user. A `Network` that exists is right; what fails after it is a bug in netc.

mod init;
mod layers;
mod limits;
mod lint;
mod preprocess;
mod print;
mod reader;
mod remedy;
pub mod report;
mod sections;
mod solve;
mod train;
pub mod vocabulary;
mod wiring;

pub use crate::diag::Derivation;
use crate::diag::{Code, Diagnostic, Severity};
pub use crate::geometry::{LrnRegion, Padding, PoolGeometry};
use crate::source::{Sources, Span};
use crate::spec::{self, Spec};
use layers::{Operand, Resolved};
pub use limits::{LARGEST_BATCH, LARGEST_NETWORK};
use netc_runtime::program::{PreprocessInfo, ScheduleInfo};
use petgraph::graph::{DiGraph, NodeIndex};
pub use print::print;
pub use sections::PORT_NAMES;

/// A network in which every layer has a shape.
#[derive(Debug, Clone)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Layers and who feeds whom; edge weights are operand positions.
    graph: DiGraph<Layer, usize>,
    /// Layers in the order of the spec made topological; the first is the input.
    order: Vec<NodeIndex>,
    /// Class names in label order, or empty.
    pub classes: Vec<String>,
    /// From image file to input tensor.
    pub preprocess: Preprocess,
    /// How to train it, if the spec says.
    pub train: Option<Train>,
}

/// A layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Unique; given in the spec or made from the kind (`relu1`).
    pub name: String,
    /// What it does.
    pub kind: LayerKind,
    /// Shape of its result without the batch: `[C, H, W]` or `[F]`.
    pub shape: Vec<usize>,
    /// How the shape came about; empty where it is the input's.
    pub derivations: Vec<Derivation>,
    /// Trainable parameters, in PyTorch's order (weight, bias).
    pub params: Vec<Param>,
    /// Multiply-adds for one image.
    pub macs: u64,
    /// Where it is written.
    pub span: Span,
}

/// What a layer does.
#[derive(Debug, Clone, PartialEq)]
pub enum LayerKind {
    /// The network's input.
    Input,
    /// Convolution.
    Conv {
        /// Output channels.
        kernels: usize,
        /// Height, width.
        kernel_size: [usize; 2],
        /// Height, width.
        stride: [usize; 2],
        /// By side; `rounding: ceil` has already added what it needs to bottom and right.
        padding: Padding,
        /// Height, width.
        dilation: [usize; 2],
        /// Channel groups.
        groups: usize,
        /// Whether it has a bias.
        bias: bool,
    },
    /// Fully connected; an image is flattened first (C, H, W order).
    Linear {
        /// Outputs.
        features: usize,
        /// Whether it has a bias.
        bias: bool,
    },
    /// max(0, x).
    Relu,
    /// 1/(1 + e⁻ˣ).
    Sigmoid,
    /// tanh x.
    Tanh,
    /// Local response normalisation.
    Lrn {
        /// Whether the window holds channels or pixels.
        region: LrnRegion,
        /// Channels in the window, or pixels along each of its sides.
        size: usize,
        /// α.
        alpha: f64,
        /// β.
        beta: f64,
        /// k.
        k: f64,
        /// s = α over the numbers in a window (PyTorch, Caffe, ONNX) and not α (the 2012 paper's text).
        divide_by_size: bool,
    },
    /// Maximum of each window.
    MaxPool(PoolGeometry),
    /// Mean of each window.
    AvgPool {
        /// The window.
        pool: PoolGeometry,
        /// Whether padding counts in the divisor.
        count_include_pad: bool,
    },
    /// Mean over regions so that the result has this height and width; `[1, 1]` for global pooling.
    AdaptiveAvgPool {
        /// Height, width.
        output: [usize; 2],
    },
    /// Zeroes elements in training with probability p and scales the others by 1/(1 − p).
    Dropout {
        /// Probability of zeroing.
        p: f64,
    },
    /// `[C, H, W]` to `[C·H·W]`.
    Flatten,
    /// Batch normalisation over a channel.
    BatchNorm {
        /// Added to the variance.
        epsilon: f64,
        /// Weight of the new batch in the running statistics.
        momentum: f64,
    },
    /// Sum of its inputs.
    Add,
    /// Its inputs one after the other along the channels.
    Concat,
    /// Along the channels.
    Softmax,
}

/// A trainable parameter or a running statistic.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// PyTorch's name within the layer: `weight`, `bias`, `running_mean`, `running_var`.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// First contents: fan, gain and distribution resolved to numbers.
    pub init: Init,
    /// Trained by gradients (false: running statistics).
    pub trainable: bool,
    /// Multiplies the learning rate.
    pub lr_mult: f64,
    /// Multiplies the weight decay.
    pub decay_mult: f64,
}

/// First contents of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All alike.
    Constant(f64),
    /// Normal.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
    },
    /// Uniform in [low, high).
    Uniform {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
}

/// From image file to input tensor: geometry for the runtime, arithmetic for the compiled `preprocess` function
/// x = (v/255 − mean)/std by channel (`range: 255` leaves out the division by 255; then mean and std are in 0..255).
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    /// Resize, crop, flip, channel order.
    pub geometry: PreprocessInfo,
    /// True: pixel values are divided by 255 first.
    pub unit_range: bool,
    /// By channel.
    pub mean: Vec<f64>,
    /// By channel.
    pub std: Vec<f64>,
}

/// The training recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Train {
    /// What is minimised.
    pub loss: Loss,
    /// How parameters follow the gradient.
    pub optimizer: Optimizer,
    /// Images a step.
    pub batch: usize,
    /// Passes over the data.
    pub epochs: usize,
    /// Learning rate by step.
    pub schedule: ScheduleInfo,
    /// New order each epoch.
    pub shuffle: bool,
}

/// Loss functions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Softmax and negative log likelihood of the label; mean over the batch.
    CrossEntropy {
        /// Share of the target spread evenly over all classes.
        label_smoothing: f64,
    },
    /// Mean of squared differences over all elements.
    Mse,
}

/// Optimizers with their settings; the rate is in [`Train::schedule`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd {
        /// μ.
        momentum: f64,
        /// Look-ahead.
        nesterov: bool,
        /// In the gradient.
        weight_decay: f64,
        /// Caffe's and the 2012 paper's form (`form: caffe`), v = μv + lr·g, and not PyTorch's.
        rate_in_velocity: bool,
    },
    /// Adam or AdamW.
    Adam {
        /// β₁.
        beta1: f64,
        /// β₂.
        beta2: f64,
        /// ε.
        epsilon: f64,
        /// Decay.
        weight_decay: f64,
        /// AdamW.
        decoupled: bool,
    },
}

/// Names a layer of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerId(NodeIndex);

/// Checks a spec: the network and warnings, or everything that is wrong (what reading the spec found included), in the
/// order of the text.
pub fn check(spec: &Spec) -> Result<(Network, Vec<Diagnostic>), Vec<Diagnostic>> {
    match examine(spec, None) {
        (Some(network), problems) if problems.iter().all(|d| d.severity != Severity::Error) => Ok((network, problems)),
        (_, problems) => Err(problems),
    }
}

/// What is known of a spec, right or wrong.
#[derive(Debug, Clone, Default)]
pub struct Outline {
    /// The input and the layers whose shapes are known, in execution order.
    pub layers: Vec<Layer>,
    /// Everything that is wrong or worth knowing, in the order of the text.
    pub problems: Vec<Diagnostic>,
}

/// Checks a spec as [`check`] does, and gives what is known of its layers even if something is wrong.
pub fn outline(spec: &Spec) -> Outline {
    let mut layers = Vec::new();
    let (_, problems) = examine(spec, Some(&mut layers));
    Outline { layers, problems }
}

/// Checks a spec once, and looks for fixes if shapes are wrong.
fn examine(spec: &Spec, known: Option<&mut Vec<Layer>>) -> (Option<Network>, Vec<Diagnostic>) {
    let (network, mut problems) = examine_once(spec, known);
    if problems.iter().any(|d| d.severity == Severity::Error || !d.fixes.is_empty()) {
        solve::solve(spec, &mut problems);
    }
    (network, problems)
}

fn examine_once(spec: &Spec, known: Option<&mut Vec<Layer>>) -> (Option<Network>, Vec<Diagnostic>) {
    // A path may lead to what could not be read.
    let varied = if spec.broken || !spec.damage.is_empty() { Vec::new() } else { spec::vary::axes(spec).1 };
    let spec = &spec::expand(spec);
    let mut problems = spec.problems.clone();
    problems.extend(varied);
    let network = if spec.broken { None } else { resolve(spec, &mut problems, known) };
    // An expression without a value is text where a number should be, which need not be said twice.
    let without_value = |d: &Diagnostic| matches!(d.code, Code::UnknownParameter | Code::BadExpression);
    let mut said: Vec<Span> = problems.iter().filter(|d| without_value(d)).filter_map(Diagnostic::span).collect();
    said.sort();
    // Values do not overlap: if any lies within the outer one, the first after its start does.
    let holds_none = |outer: Span| {
        let next = said.partition_point(|inner| inner.start < outer.start);
        said.get(next).is_none_or(|inner| inner.end > outer.end)
    };
    problems.retain(|d| d.code != Code::WrongType || d.span().is_none_or(holds_none));
    problems.retain(|d| !follows_from_damage(d, spec));
    let allowed = sections::allowed(spec, &mut problems);
    problems.retain(|d| d.severity == Severity::Error || !allowed.contains(&d.code));
    problems.sort_by_key(Diagnostic::span);
    // What is wrong in a block is wrong in each of its uses.
    problems.dedup();
    (network, problems)
}

/// Whether a report is of what could not be read, which was told, or may come of it.
fn follows_from_damage(diagnostic: &Diagnostic, spec: &Spec) -> bool {
    let code = diagnostic.code;
    if matches!(code, Code::InvalidYaml | Code::TooMuch) {
        return false;
    }
    // What a setting is says nothing of the others; whether one is missing or fits may hang on any.
    let of_one =
        matches!(code, Code::UnknownKey | Code::DuplicateKey | Code::WrongType | Code::OutOfRange | Code::UnknownWord);
    spec.damage.iter().any(|damage| {
        let within = |span: Span| span.start < damage.within.end && damage.within.start < span.end;
        diagnostic.labels.iter().any(|l| damage.touches(l.span) || !of_one && within(l.span))
            || code == Code::UnknownFrom && damage.section == "input"
    })
}

/// Reads and checks a text: the network and warnings, or everything that is wrong.
pub fn network_from_text(name: &str, text: &str) -> Result<(Network, Vec<Diagnostic>), Vec<Diagnostic>> {
    check(&spec::parse(&mut Sources::new(), name, text))
}

/// A shape as `[96, 55, 55]`.
pub fn shape_text(shape: &[usize]) -> String {
    format!("{shape:?}")
}

/// The network as far as it can be made; `None` means that an error was reported. `known` gets the layers that are right.
fn resolve(spec: &Spec, problems: &mut Vec<Diagnostic>, known: Option<&mut Vec<Layer>>) -> Option<Network> {
    let name = sections::net(spec, problems);
    let input = sections::input(spec, problems);
    let init = init::defaults(spec.sections.get("init").map(|s| &s.value), problems);
    if spec.layers.is_empty() {
        let start = Span { start: spec.span.start, end: spec.span.start };
        let span = spec.layers_span.unwrap_or(start);
        let message = "the spec has no layers";
        let diagnostic = Diagnostic::error(Code::MissingKey, span, message);
        problems.push(diagnostic.note("as `layers: [conv: {kernels: 8, kernel_size: 3}, relu]`, or a line for each"));
    }
    let wiring = wiring::wire(spec, &input.name, problems);

    // Results by number: the input, then the entries in execution order. None: something before is wrong.
    let mut operands: Vec<Option<Operand>> = vec![None; spec.layers.len() + 1];
    operands[0] = input.operand.clone();
    let mut layers: Vec<Option<Layer>> = vec![None; spec.layers.len()];
    let image = |shape: &[usize]| match *shape {
        [_, height, width] => Some([height, width]),
        _ => None,
    };
    // What the height and width of a result cannot exceed, whether or not the result is known.
    let mut at_most: Vec<Option<[usize; 2]>> = vec![None; spec.layers.len() + 1];
    at_most[0] = input.operand.as_ref().and_then(|o| image(&o.shape));
    for &i in &wiring.order {
        let entry = &spec.layers[i];
        let Some(definition) = wiring.definitions[i] else { continue };
        let sources = wiring.operands[i].as_deref();
        let given: Option<Vec<Operand>> = sources.and_then(|s| s.iter().map(|&s| operands[s].clone()).collect());
        let mut reader = reader::Reader::new(&entry.name.text, entry.kind.span, &entry.settings, problems);
        reader.know("name");
        reader.know("from");
        reader.unknown = given.is_none();
        let limits: Option<Vec<[usize; 2]>> = sources.and_then(|s| s.iter().map(|&s| at_most[s]).collect());
        reader.at_most = limits.and_then(|all| all.into_iter().reduce(|a, b| [a[0].max(b[0]), a[1].max(b[1])]));
        let resolved = (definition.resolve)(&mut reader, given.as_deref(), &init);
        at_most[i + 1] = resolved.as_ref().map_or(reader.at_most, |r| image(&r.shape));
        reader.finish();
        if let Some(Resolved { kind, shape, derivations, params, macs }) = resolved {
            let name = entry.name.text.clone();
            let source = given.as_deref().and_then(|given| if let [only] = given { Some(only) } else { None });
            let sized = matches!(kind, LayerKind::AdaptiveAvgPool { .. }) || !derivations.is_empty();
            operands[i + 1] = Some(match source.filter(|source| !sized && source.shape == shape) {
                // What gives the size is told of, not what passes it on.
                Some(source) => Operand { name: name.clone(), ..source.clone() },
                None => Operand {
                    name: name.clone(),
                    shape: shape.clone(),
                    size_spans: vec![entry.kind.span; shape.len()],
                    is_input: false,
                    origin: name.clone(),
                    derivations: derivations.clone(),
                },
            });
            layers[i] = Some(Layer { name, kind, shape, derivations, params, macs, span: entry.span });
        }
    }

    let output = layers.last().and_then(Option::as_ref);
    let output_span = spec.layers.last().map_or(spec.span, |l| l.kind.span);
    let result = output.map(|l| (l.name.as_str(), l.shape.as_slice(), output_span));
    let classes = sections::classes(spec, result, problems);
    let train = train::train(spec, output, problems);
    let preprocess = preprocess::preprocess(spec, input.operand.as_ref().map(|o| o.shape.as_slice()), problems);

    let input = input.operand.map(|operand| Layer {
        name: operand.name,
        kind: LayerKind::Input,
        shape: operand.shape,
        derivations: Vec::new(),
        params: Vec::new(),
        macs: 0,
        span: input.name.span,
    });
    if let Some(known) = known {
        known.extend(input.iter().chain(wiring.order.iter().filter_map(|&i| layers[i].as_ref())).cloned());
    }
    let mut graph = DiGraph::new();
    let mut nodes = vec![graph.add_node(input?)];
    for layer in layers {
        nodes.push(graph.add_node(layer?));
    }
    for (i, sources) in wiring.operands.iter().enumerate() {
        for (position, &source) in sources.as_ref()?.iter().enumerate() {
            graph.add_edge(nodes[source], nodes[i + 1], position);
        }
    }
    let order = std::iter::once(nodes[0]).chain(wiring.order.iter().map(|&i| nodes[i + 1])).collect();
    let network = Network { name: name?, graph, order, classes, preprocess: preprocess?, train: train? };
    limits::limits(&network, problems);
    if problems.iter().all(|d| d.severity != Severity::Error) {
        lint::lint(&network, spec, problems);
    }
    Some(network)
}

impl Network {
    /// Layers in execution order: the input first, every layer after those that feed it.
    pub fn layers(&self) -> impl Iterator<Item = (LayerId, &Layer)> {
        self.order.iter().map(|&n| (LayerId(n), &self.graph[n]))
    }

    /// A layer.
    pub fn layer(&self, id: LayerId) -> &Layer {
        &self.graph[id.0]
    }

    /// The layers that feed `id`, in operand order.
    pub fn inputs(&self, id: LayerId) -> Vec<LayerId> {
        use petgraph::visit::EdgeRef;
        let mut edges: Vec<_> = self.graph.edges_directed(id.0, petgraph::Direction::Incoming).collect();
        edges.sort_by_key(|e| *e.weight());
        edges.into_iter().map(|e| LayerId(e.source())).collect()
    }

    /// The layer whose result is the network's: the last of the spec.
    pub fn output(&self) -> Option<LayerId> {
        self.order.last().map(|&n| LayerId(n))
    }

    /// Numbers of all trainable parameters together.
    pub fn param_count(&self) -> u64 {
        self.layers().map(|(_, layer)| layer.param_count()).sum()
    }

    /// Multiply-adds for one image.
    pub fn macs(&self) -> u64 {
        self.layers().fold(0, |sum: u64, (_, layer)| sum.saturating_add(layer.macs))
    }
}

impl LayerKind {
    /// Its word in a spec.
    pub fn word(&self) -> &'static str {
        match self {
            LayerKind::Input => "input",
            LayerKind::Conv { .. } => "conv",
            LayerKind::Linear { .. } => "linear",
            LayerKind::Relu => "relu",
            LayerKind::Sigmoid => "sigmoid",
            LayerKind::Tanh => "tanh",
            LayerKind::Lrn { .. } => "lrn",
            LayerKind::MaxPool(_) => "maxpool",
            LayerKind::AvgPool { .. } => "avgpool",
            LayerKind::AdaptiveAvgPool { output: [1, 1] } => "global_avgpool",
            LayerKind::AdaptiveAvgPool { .. } => "adaptive_avgpool",
            LayerKind::Dropout { .. } => "dropout",
            LayerKind::Flatten => "flatten",
            LayerKind::BatchNorm { .. } => "batchnorm",
            LayerKind::Add => "add",
            LayerKind::Concat => "concat",
            LayerKind::Softmax => "softmax",
        }
    }
}

impl Layer {
    /// Numbers of its trainable parameters together.
    pub fn param_count(&self) -> u64 {
        self.params.iter().filter(|p| p.trainable).map(|p| p.shape.iter().product::<usize>() as u64).sum()
    }
}
