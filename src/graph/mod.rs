//! The tensor IR: layer-level operations on values of known shape, in execution order.
//!
//! Takes a [`Network`](crate::check::Network) ([`lower()`]), gives a [`Graph`] a function: `init`, `preprocess`,
//! `infer`, and `train` once [`grad`](crate::grad) has differentiated it. The graph is in static single assignment
//! form: nodes stand in an order in which every operand is defined before its use. It prints and parses back
//! ([`text`]), has a [verifier](mod@verify) whose doc lists its invariants, and an [interpreter](interpret) in f32 and f64
//! that is the oracle of everything after it. Never blames the user: a graph that does not verify is a bug in netc.
//!
//! Image tensors are `[N, C, H, W]`, vectors `[N, F]`, scalars `[]`. Convolution weights are
//! `[out, in/groups, kh, kw]`, linear weights `[out, in]`: PyTorch's shapes.

pub mod build;
pub mod interpret;
pub mod lower;
pub mod ops;
mod parse;
#[doc(hidden)]
pub mod random;
pub mod shapes;
pub mod text;
pub mod verify;

pub use crate::geometry::{LrnRegion, Padding, PoolGeometry};
use crate::source::Span;
pub use build::Builder;
pub use lower::{Mode, layer_output, lower};
pub use shapes::{Type, result_types};
pub use verify::verify;

/// A function over tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Its name: `init`, `preprocess`, `infer` or `train`.
    pub name: String,
    /// Every value, by [`ValueId`].
    pub values: Vec<Value>,
    /// What the caller hands over, in order.
    pub inputs: Vec<ValueId>,
    /// The state tensors that exist, the same in every function of a program. A function that reads none of one still
    /// lists it, so that [`StateId`]s mean the same everywhere.
    pub states: Vec<State>,
    /// Operations in execution order.
    pub nodes: Vec<Node>,
    /// What the caller gets back, in order, by name.
    pub outputs: Vec<(String, ValueId)>,
    /// New contents of states, assigned together when the function is done.
    pub updates: Vec<(StateId, ValueId)>,
}

/// Names a value; displays as `%name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// Names a node by its place in [`Graph::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// Names a state by its place in [`Graph::states`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateId(pub u32);

/// A tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Unique in the graph; letters, digits, `_` and `.`.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Sizes.
    pub shape: Vec<usize>,
    /// Where it comes from.
    pub def: Def,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Def {
    /// The caller: index into [`Graph::inputs`].
    Input(u32),
    /// The contents of a state when the function starts.
    State(StateId),
    /// The n-th result of a node.
    Node(NodeId, u32),
}

/// Element types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE single (double in the f64 interpreter).
    F32,
    /// Two's complement, 32 bits.
    I32,
    /// Unsigned byte.
    U8,
}

/// A tensor that outlives a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// PyTorch's name: `conv1.weight`; optimizer states are `optimizer.conv1.weight.momentum`.
    pub name: String,
    /// Shape; f32.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: netc_runtime::program::StateRole,
    /// Its value at the function's start, if the function reads it.
    pub value: Option<ValueId>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Operands.
    pub inputs: Vec<ValueId>,
    /// Results.
    pub outputs: Vec<ValueId>,
    /// The layer whose work it is (backward operations belong to their forward layer); empty for none.
    pub layer: String,
    /// Where the layer is written.
    pub span: Span,
}

/// Geometry of a convolution. Output size is `floor((W − F_eff + P)/S) + 1` a dimension; `rounding: ceil` has been
/// turned into more padding after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvGeometry {
    /// Height, width.
    pub stride: [usize; 2],
    /// By side.
    pub padding: Padding,
    /// Height, width.
    pub dilation: [usize; 2],
    /// Channel groups.
    pub groups: usize,
}

/// Local response normalisation, b = a·(k + s·Σ a²)^−β. The sum is over channels `c − before ..= c + after` of a group, or over
/// the rows `h − before ..= h + after` and the columns `w − before ..= w + after` of one channel; what lies beyond is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LrnGeometry {
    /// Whether windows hold channels or pixels.
    pub region: LrnRegion,
    /// Channels, rows and columns before the centre.
    pub before: usize,
    /// Channels, rows and columns after the centre.
    pub after: usize,
    /// s: α, divided by the numbers in a window if the spec's convention divides.
    pub scale: f64,
    /// β.
    pub beta: f64,
    /// k.
    pub k: f64,
}

/// Numbers that a parameter starts from. `stream` keeps parameters' random numbers apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initializer {
    /// All elements alike.
    Constant(f64),
    /// Independent normal numbers.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
        /// Random stream.
        stream: u32,
    },
    /// Independent uniform numbers in [low, high).
    Uniform {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
        /// Random stream.
        stream: u32,
    },
}

/// Stochastic gradient descent; g is the gradient plus weight_decay·w, the rate is lr·lr_scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// μ; 0 means no velocity state.
    pub momentum: f64,
    /// Use g + μv in place of v.
    pub nesterov: bool,
    /// Added to the gradient times w.
    pub weight_decay: f64,
    /// Multiplies the learning rate.
    pub lr_scale: f64,
    /// False: v = μv + g, w −= lr·v (PyTorch). True: v = μv + lr·g, w −= v (Caffe, and the 2012 paper with its sign).
    pub rate_in_velocity: bool,
}

/// Adam (Kingma, Ba 2015) and AdamW (Loshchilov, Hutter 2019).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// β₁.
    pub beta1: f64,
    /// β₂.
    pub beta2: f64,
    /// ε, added to the square root of the corrected second moment.
    pub epsilon: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Multiplies the learning rate.
    pub lr_scale: f64,
    /// Decay the weights directly (AdamW) instead of through the gradient.
    pub decoupled: bool,
}

/// The operations: a closed set. `(operands) → (results)`.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// (seed `i32[2]`) → (x): initial contents of a parameter. Constants take no operand.
    Initialize(Initializer),
    /// (image `u8[N,C,H,W]`) → (x): x = image·`scale[c]` + `shift[c]`.
    Normalize {
        /// By channel.
        scale: Vec<f64>,
        /// By channel.
        shift: Vec<f64>,
    },
    /// (x, weight) → (y): cross-correlation, zero padding.
    Conv(ConvGeometry),
    /// (dy, weight) → (dx).
    ConvInputGrad(ConvGeometry),
    /// (x, dy) → (dweight), summed over the batch.
    ConvWeightGrad(ConvGeometry),
    /// (a, b) → (a·b), each transposed first if so marked. y = x·Wᵀ is `transpose_b`.
    MatMul {
        /// Use aᵀ.
        transpose_a: bool,
        /// Use bᵀ.
        transpose_b: bool,
    },
    /// (x, `bias[C]`) → (y): adds along dimension 1.
    AddBias,
    /// (dy) → (`dbias[C]`): sums over all dimensions but 1.
    BiasGrad,
    /// (x) → (y): max(0, x), NaN stays NaN.
    Relu,
    /// (y, dy) → (dx): dy where y > 0, else 0.
    ReluGrad,
    /// (x) → (y).
    Sigmoid,
    /// (y, dy) → (dx).
    SigmoidGrad,
    /// (x) → (y).
    Tanh,
    /// (y, dy) → (dx).
    TanhGrad,
    /// (x) → (y).
    Lrn(LrnGeometry),
    /// (x, dy) → (dx).
    LrnGrad(LrnGeometry),
    /// (x) → (y, index i32): index is row·kernel_width + column of the first maximum in its window, counted from the
    /// window's unclipped corner. One result, y, if nothing needs the index.
    MaxPool(PoolGeometry),
    /// (index, dy) → (dx).
    MaxPoolGrad(PoolGeometry),
    /// (x) → (y).
    AvgPool {
        /// Window.
        pool: PoolGeometry,
        /// Whether padding counts in the divisor (PyTorch: windows clipped to the padded image).
        count_include_pad: bool,
    },
    /// (dy) → (dx).
    AvgPoolGrad {
        /// Window.
        pool: PoolGeometry,
        /// As in [`Op::AvgPool`].
        count_include_pad: bool,
    },
    /// (x) → (y): output cell (i, j) is the mean of rows floor(i·H/h) .. ceil((i+1)·H/h), columns alike. `[1, 1]` is
    /// global average pooling.
    AdaptiveAvgPool {
        /// h, w.
        output: [usize; 2],
    },
    /// (dy) → (dx).
    AdaptiveAvgPoolGrad {
        /// h, w.
        output: [usize; 2],
    },
    /// (x, seed `i32[2]`, step `i32[]`) → (y): element i (row-major in N, C, H, W) is kept if
    /// `unit_interval(philox(seed, [i, i >> 32, step, stream])[0]) ≥ p` and then scaled by 1/(1 − p), else 0. Its
    /// gradient is itself, on dy.
    Dropout {
        /// Probability of dropping.
        p: f64,
        /// Keeps layers apart.
        stream: u32,
    },
    /// (x) → (y): the same elements in the same row-major order, another shape.
    Reshape,
    /// (x, gamma, beta) → (y, mean, variance): statistics of the batch by channel; biased variance.
    BatchNormTrain {
        /// ε, added to the variance.
        epsilon: f64,
    },
    /// (x, gamma, beta, mean, variance) → (y).
    BatchNormInfer {
        /// ε, added to the variance.
        epsilon: f64,
    },
    /// (x, gamma, mean, variance, dy) → (dx, dgamma, dbeta).
    BatchNormGrad {
        /// ε, added to the variance.
        epsilon: f64,
    },
    /// (running, batch) → (running'): (1 − m)·running + m·correction·batch.
    RunningUpdate {
        /// m.
        momentum: f64,
        /// n/(n − 1) for variances (PyTorch keeps the unbiased one), 1 for means.
        correction: f64,
    },
    /// (a, b) → (a + b), same shape.
    Add,
    /// (x…) → (y): along dimension 1.
    Concat,
    /// (x) → (y): channels `start..start + C` of dimension 1, C from the result's shape.
    Slice {
        /// First channel.
        start: usize,
    },
    /// (x) → (y): along dimension 1.
    Softmax,
    /// (y, dy) → (dx).
    SoftmaxGrad,
    /// (`logits[N,C]`, labels `i32[N]`) → (`loss[]`, `probabilities[N,C]`): mean over the batch.
    CrossEntropy {
        /// Share of the target spread evenly over all classes.
        label_smoothing: f64,
    },
    /// (probabilities, labels) → (dlogits), divided by N.
    CrossEntropyGrad {
        /// As in [`Op::CrossEntropy`].
        label_smoothing: f64,
    },
    /// (prediction, target) → (`loss[]`): mean of squares over all elements.
    Mse,
    /// (prediction, target) → (dprediction).
    MseGrad,
    /// (w, g, v, `lr[]`) → (w', v'); without v and v' if momentum is 0.
    SgdUpdate(Sgd),
    /// (w, g, m, v, `c1[]`, `c2[]`, `lr[]`) → (w', m', v'); c are 1 − βᵗ of this step.
    AdamUpdate(Adam),
    /// (`c[]`) → (`c'[]`): β·c + (1 − β); from 0, after t steps, 1 − βᵗ without cancellation.
    BiasCorrection {
        /// β.
        beta: f64,
    },
}

/// The functions of a program over one set of states.
#[derive(Debug, Clone, PartialEq)]
pub struct Functions {
    /// `init`, `preprocess`, `infer`, `train`; those asked for, in this order.
    pub graphs: Vec<Graph>,
}

impl Graph {
    /// A value of this graph.
    ///
    /// # Panics
    /// If the graph has no such value, which no verified graph comes to.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// The node that defines a value, if one does.
    pub fn producer(&self, id: ValueId) -> Option<NodeId> {
        match self.value(id).def {
            Def::Node(node, _) => Some(node),
            Def::Input(_) | Def::State(_) => None,
        }
    }

    /// The state called `name`.
    pub fn find_state(&self, name: &str) -> Option<StateId> {
        self.states.iter().position(|s| s.name == name).map(|i| StateId(i as u32))
    }

    /// The output called `name`.
    pub fn find_output(&self, name: &str) -> Option<ValueId> {
        self.outputs.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }
}

/// Something that a stage promised and another found not to hold: a bug in netc.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Bug(pub String);

impl From<verify::Malformed> for Bug {
    fn from(malformed: verify::Malformed) -> Self {
        Bug(malformed.to_string())
    }
}
