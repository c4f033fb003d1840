//! The checked network: layers resolved, shapes inferred, every size with its derivation.
//!
//! Takes a [`Spec`](crate::spec), gives a [`Network`] or diagnostics. This is the wall: the last stage that may blame
//! the user. A `Network` that exists is right; what fails after it is a bug in netc.

pub use crate::geometry::{Padding, PoolGeometry};
use crate::source::Span;
use netc_runtime::program::{PreprocessInfo, ScheduleInfo};
use petgraph::graph::{DiGraph, NodeIndex};

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
        /// Channels in the window.
        size: usize,
        /// α.
        alpha: f64,
        /// β.
        beta: f64,
        /// k.
        k: f64,
        /// s = α/size (PyTorch, Caffe, ONNX) and not α (the 2012 paper's text).
        divide_by_size: bool,
        /// Windows do not cross group boundaries.
        groups: usize,
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

/// How one size came about, with the numbers in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Derivation {
    /// What is derived, as `height` or `height and width`.
    pub what: String,
    /// The rule, as `(W − F + P)/S + 1`.
    pub formula: String,
    /// The rule with the numbers, as `(224 − 11 + (1 + 2))/4 + 1`.
    pub numbers: String,
    /// The result, exact: `55` or `54.75`.
    pub result: String,
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
}
