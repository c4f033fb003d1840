//! Names and attributes of the operations, as the text form writes them.

use super::{Adam, ConvGeometry, Initializer, LrnGeometry, LrnRegion, Op, Padding, PoolGeometry, Sgd};
use std::fmt;

/// The value of an attribute in braces.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// `groups=2`.
    Int(usize),
    /// `stride=[4,4]`.
    Ints(Vec<usize>),
    /// `p=0.5`: always with a point or an exponent.
    Float(f64),
    /// `scale=[0.5,1.0]`.
    Floats(Vec<f64>),
    /// `ceil=true`.
    Flag(bool),
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Int(n) => write!(f, "{n}"),
            Attribute::Ints(list) => write!(f, "{}", bracketed(list.iter().map(usize::to_string))),
            Attribute::Float(x) => write!(f, "{x:?}"),
            Attribute::Floats(list) => write!(f, "{}", bracketed(list.iter().map(|x| format!("{x:?}")))),
            Attribute::Flag(b) => write!(f, "{b}"),
        }
    }
}

fn bracketed(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

type Attributes = Vec<(&'static str, Attribute)>;

impl Op {
    /// Its name in the text form.
    pub fn mnemonic(&self) -> &'static str {
        match self {
            Op::Initialize(Initializer::Constant(_)) => "constant",
            Op::Initialize(Initializer::Normal { .. }) => "normal",
            Op::Initialize(Initializer::Uniform { .. }) => "uniform",
            Op::Normalize { .. } => "normalize",
            Op::Conv(_) => "conv",
            Op::ConvInputGrad(_) => "conv_input_grad",
            Op::ConvWeightGrad(_) => "conv_weight_grad",
            Op::MatMul { .. } => "matmul",
            Op::AddBias => "add_bias",
            Op::BiasGrad => "bias_grad",
            Op::Relu => "relu",
            Op::ReluGrad => "relu_grad",
            Op::Sigmoid => "sigmoid",
            Op::SigmoidGrad => "sigmoid_grad",
            Op::Tanh => "tanh",
            Op::TanhGrad => "tanh_grad",
            Op::Lrn(LrnGeometry { region: LrnRegion::Channels { .. }, .. }) => "lrn",
            Op::Lrn(LrnGeometry { region: LrnRegion::Map, .. }) => "lrn_map",
            Op::LrnGrad(LrnGeometry { region: LrnRegion::Channels { .. }, .. }) => "lrn_grad",
            Op::LrnGrad(LrnGeometry { region: LrnRegion::Map, .. }) => "lrn_map_grad",
            Op::MaxPool(_) => "maxpool",
            Op::MaxPoolGrad(_) => "maxpool_grad",
            Op::AvgPool { .. } => "avgpool",
            Op::AvgPoolGrad { .. } => "avgpool_grad",
            Op::AdaptiveAvgPool { .. } => "adaptive_avgpool",
            Op::AdaptiveAvgPoolGrad { .. } => "adaptive_avgpool_grad",
            Op::Dropout { .. } => "dropout",
            Op::Reshape => "reshape",
            Op::BatchNormTrain { .. } => "batchnorm_train",
            Op::BatchNormInfer { .. } => "batchnorm_infer",
            Op::BatchNormGrad { .. } => "batchnorm_grad",
            Op::RunningUpdate { .. } => "running_update",
            Op::Add => "add",
            Op::Concat => "concat",
            Op::Slice { .. } => "slice",
            Op::Softmax => "softmax",
            Op::SoftmaxGrad => "softmax_grad",
            Op::CrossEntropy { .. } => "cross_entropy",
            Op::CrossEntropyGrad { .. } => "cross_entropy_grad",
            Op::Mse => "mse",
            Op::MseGrad => "mse_grad",
            Op::SgdUpdate(_) => "sgd_update",
            Op::AdamUpdate(_) => "adam_update",
            Op::BiasCorrection { .. } => "bias_correction",
        }
    }

    /// What its results are called, by position.
    pub fn result_words(&self) -> [&'static str; 3] {
        match self {
            Op::Initialize(_) | Op::Normalize { .. } => ["x", "", ""],
            Op::MaxPool(_) => ["y", "index", ""],
            Op::BatchNormTrain { .. } => ["y", "mean", "variance"],
            Op::BatchNormGrad { .. } => ["dx", "dgamma", "dbeta"],
            Op::CrossEntropy { .. } => ["loss", "probabilities", ""],
            Op::Mse => ["loss", "", ""],
            Op::SgdUpdate(_) => ["weight", "velocity", ""],
            Op::AdamUpdate(_) => ["weight", "first_moment", "second_moment"],
            Op::BiasCorrection { .. } => ["correction", "", ""],
            Op::RunningUpdate { .. } => ["running", "", ""],
            Op::ConvWeightGrad(_) => ["dweight", "", ""],
            Op::BiasGrad => ["dbias", "", ""],
            Op::Conv(_)
            | Op::MatMul { .. }
            | Op::AddBias
            | Op::Relu
            | Op::Sigmoid
            | Op::Tanh
            | Op::Lrn(_)
            | Op::AvgPool { .. }
            | Op::AdaptiveAvgPool { .. }
            | Op::Dropout { .. }
            | Op::Reshape
            | Op::BatchNormInfer { .. }
            | Op::Add
            | Op::Concat
            | Op::Slice { .. }
            | Op::Softmax => ["y", "", ""],
            Op::ConvInputGrad(_)
            | Op::ReluGrad
            | Op::SigmoidGrad
            | Op::TanhGrad
            | Op::LrnGrad(_)
            | Op::MaxPoolGrad(_)
            | Op::AvgPoolGrad { .. }
            | Op::AdaptiveAvgPoolGrad { .. }
            | Op::SoftmaxGrad
            | Op::CrossEntropyGrad { .. }
            | Op::MseGrad => ["dx", "", ""],
        }
    }

    /// Its attributes, in the order in which they are written.
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        use Attribute::{Flag, Float, Floats, Int};
        match self {
            Op::Initialize(Initializer::Constant(value)) => vec![("value", Float(*value))],
            Op::Initialize(Initializer::Normal { mean, std, stream }) => {
                vec![("mean", Float(*mean)), ("std", Float(*std)), ("stream", Int(*stream as usize))]
            }
            Op::Initialize(Initializer::Uniform { low, high, stream }) => {
                vec![("low", Float(*low)), ("high", Float(*high)), ("stream", Int(*stream as usize))]
            }
            Op::Normalize { scale, shift } => {
                vec![("scale", Floats(scale.clone())), ("shift", Floats(shift.clone()))]
            }
            Op::Conv(g) | Op::ConvInputGrad(g) | Op::ConvWeightGrad(g) => conv_attributes(g),
            Op::MatMul { transpose_a, transpose_b } => {
                vec![("transpose_a", Flag(*transpose_a)), ("transpose_b", Flag(*transpose_b))]
            }
            Op::Lrn(g) | Op::LrnGrad(g) => lrn_attributes(g),
            Op::MaxPool(pool) | Op::MaxPoolGrad(pool) => pool_attributes(pool),
            Op::AvgPool { pool, count_include_pad } | Op::AvgPoolGrad { pool, count_include_pad } => {
                let mut list = pool_attributes(pool);
                list.push(("count_include_pad", Flag(*count_include_pad)));
                list
            }
            Op::AdaptiveAvgPool { output } | Op::AdaptiveAvgPoolGrad { output } => {
                vec![("output", Attribute::Ints(output.to_vec()))]
            }
            Op::Dropout { p, stream } => vec![("p", Float(*p)), ("stream", Int(*stream as usize))],
            Op::BatchNormTrain { epsilon } | Op::BatchNormInfer { epsilon } | Op::BatchNormGrad { epsilon } => {
                vec![("epsilon", Float(*epsilon))]
            }
            Op::RunningUpdate { momentum, correction } => {
                vec![("momentum", Float(*momentum)), ("correction", Float(*correction))]
            }
            Op::Slice { start } => vec![("start", Int(*start))],
            Op::CrossEntropy { label_smoothing } | Op::CrossEntropyGrad { label_smoothing } => {
                vec![("label_smoothing", Float(*label_smoothing))]
            }
            Op::SgdUpdate(sgd) => vec![
                ("momentum", Float(sgd.momentum)),
                ("nesterov", Flag(sgd.nesterov)),
                ("weight_decay", Float(sgd.weight_decay)),
                ("lr_scale", Float(sgd.lr_scale)),
                ("rate_in_velocity", Flag(sgd.rate_in_velocity)),
            ],
            Op::AdamUpdate(adam) => vec![
                ("beta1", Float(adam.beta1)),
                ("beta2", Float(adam.beta2)),
                ("epsilon", Float(adam.epsilon)),
                ("weight_decay", Float(adam.weight_decay)),
                ("lr_scale", Float(adam.lr_scale)),
                ("decoupled", Flag(adam.decoupled)),
            ],
            Op::BiasCorrection { beta } => vec![("beta", Float(*beta))],
            Op::AddBias
            | Op::BiasGrad
            | Op::Relu
            | Op::ReluGrad
            | Op::Sigmoid
            | Op::SigmoidGrad
            | Op::Tanh
            | Op::TanhGrad
            | Op::Reshape
            | Op::Add
            | Op::Concat
            | Op::Softmax
            | Op::SoftmaxGrad
            | Op::Mse
            | Op::MseGrad => vec![],
        }
    }

    /// The operation that the text form names, the inverse of [`Op::mnemonic`] and [`Op::attributes`].
    ///
    /// # Errors
    /// If there is no such operation, or its attributes are others.
    pub fn from_text(mnemonic: &str, attributes: Vec<(String, Attribute)>) -> Result<Op, String> {
        let mut a = Reader(attributes);
        let op = match mnemonic {
            "constant" => Op::Initialize(Initializer::Constant(a.float("value")?)),
            "normal" => Op::Initialize(Initializer::Normal {
                mean: a.float("mean")?,
                std: a.float("std")?,
                stream: a.stream()?,
            }),
            "uniform" => Op::Initialize(Initializer::Uniform {
                low: a.float("low")?,
                high: a.float("high")?,
                stream: a.stream()?,
            }),
            "normalize" => Op::Normalize { scale: a.floats("scale")?, shift: a.floats("shift")? },
            "conv" => Op::Conv(a.conv()?),
            "conv_input_grad" => Op::ConvInputGrad(a.conv()?),
            "conv_weight_grad" => Op::ConvWeightGrad(a.conv()?),
            "matmul" => Op::MatMul { transpose_a: a.flag("transpose_a")?, transpose_b: a.flag("transpose_b")? },
            "add_bias" => Op::AddBias,
            "bias_grad" => Op::BiasGrad,
            "relu" => Op::Relu,
            "relu_grad" => Op::ReluGrad,
            "sigmoid" => Op::Sigmoid,
            "sigmoid_grad" => Op::SigmoidGrad,
            "tanh" => Op::Tanh,
            "tanh_grad" => Op::TanhGrad,
            "lrn" => Op::Lrn(a.lrn_of_channels()?),
            "lrn_grad" => Op::LrnGrad(a.lrn_of_channels()?),
            "lrn_map" => Op::Lrn(a.lrn(LrnRegion::Map)?),
            "lrn_map_grad" => Op::LrnGrad(a.lrn(LrnRegion::Map)?),
            "maxpool" => Op::MaxPool(a.pool()?),
            "maxpool_grad" => Op::MaxPoolGrad(a.pool()?),
            "avgpool" => Op::AvgPool { pool: a.pool()?, count_include_pad: a.flag("count_include_pad")? },
            "avgpool_grad" => Op::AvgPoolGrad { pool: a.pool()?, count_include_pad: a.flag("count_include_pad")? },
            "adaptive_avgpool" => Op::AdaptiveAvgPool { output: a.sizes("output")? },
            "adaptive_avgpool_grad" => Op::AdaptiveAvgPoolGrad { output: a.sizes("output")? },
            "dropout" => Op::Dropout { p: a.float("p")?, stream: a.stream()? },
            "reshape" => Op::Reshape,
            "batchnorm_train" => Op::BatchNormTrain { epsilon: a.float("epsilon")? },
            "batchnorm_infer" => Op::BatchNormInfer { epsilon: a.float("epsilon")? },
            "batchnorm_grad" => Op::BatchNormGrad { epsilon: a.float("epsilon")? },
            "running_update" => {
                Op::RunningUpdate { momentum: a.float("momentum")?, correction: a.float("correction")? }
            }
            "add" => Op::Add,
            "concat" => Op::Concat,
            "slice" => Op::Slice { start: a.int("start")? },
            "softmax" => Op::Softmax,
            "softmax_grad" => Op::SoftmaxGrad,
            "cross_entropy" => Op::CrossEntropy { label_smoothing: a.float("label_smoothing")? },
            "cross_entropy_grad" => Op::CrossEntropyGrad { label_smoothing: a.float("label_smoothing")? },
            "mse" => Op::Mse,
            "mse_grad" => Op::MseGrad,
            "sgd_update" => Op::SgdUpdate(Sgd {
                momentum: a.float("momentum")?,
                nesterov: a.flag("nesterov")?,
                weight_decay: a.float("weight_decay")?,
                lr_scale: a.float("lr_scale")?,
                rate_in_velocity: a.flag("rate_in_velocity")?,
            }),
            "adam_update" => Op::AdamUpdate(Adam {
                beta1: a.float("beta1")?,
                beta2: a.float("beta2")?,
                epsilon: a.float("epsilon")?,
                weight_decay: a.float("weight_decay")?,
                lr_scale: a.float("lr_scale")?,
                decoupled: a.flag("decoupled")?,
            }),
            "bias_correction" => Op::BiasCorrection { beta: a.float("beta")? },
            _ => return Err(format!("no operation is called {mnemonic}")),
        };
        match a.0.first() {
            Some((key, _)) => Err(format!("{mnemonic} has no attribute {key}")),
            None => Ok(op),
        }
    }
}

fn conv_attributes(g: &ConvGeometry) -> Attributes {
    vec![
        ("stride", Attribute::Ints(g.stride.to_vec())),
        ("padding", padding_attribute(&g.padding)),
        ("dilation", Attribute::Ints(g.dilation.to_vec())),
        ("groups", Attribute::Int(g.groups)),
    ]
}

fn pool_attributes(pool: &PoolGeometry) -> Attributes {
    vec![
        ("kernel", Attribute::Ints(pool.kernel.to_vec())),
        ("stride", Attribute::Ints(pool.stride.to_vec())),
        ("padding", padding_attribute(&pool.padding)),
        ("ceil", Attribute::Flag(pool.ceil)),
    ]
}

fn lrn_attributes(g: &LrnGeometry) -> Attributes {
    let mut list = vec![
        ("before", Attribute::Int(g.before)),
        ("after", Attribute::Int(g.after)),
        ("scale", Attribute::Float(g.scale)),
        ("beta", Attribute::Float(g.beta)),
        ("k", Attribute::Float(g.k)),
    ];
    match g.region {
        LrnRegion::Channels { groups } => list.push(("groups", Attribute::Int(groups))),
        LrnRegion::Map => {}
    }
    list
}

/// Top, bottom, left, right.
fn padding_attribute(p: &Padding) -> Attribute {
    Attribute::Ints(vec![p.top, p.bottom, p.left, p.right])
}

/// Attributes not yet read.
struct Reader(Vec<(String, Attribute)>);

impl Reader {
    fn next(&mut self, key: &str) -> Result<Attribute, String> {
        match self.0.iter().position(|(k, _)| k == key) {
            Some(i) => Ok(self.0.remove(i).1),
            None => Err(format!("attribute {key} is missing")),
        }
    }

    fn int(&mut self, key: &str) -> Result<usize, String> {
        match self.next(key)? {
            Attribute::Int(n) => Ok(n),
            other => Err(format!("attribute {key} is {other}, not a whole number")),
        }
    }

    fn stream(&mut self) -> Result<u32, String> {
        self.int("stream")?.try_into().map_err(|_| "the stream has more than 32 bits".to_owned())
    }

    fn ints<const N: usize>(&mut self, key: &str) -> Result<[usize; N], String> {
        match self.next(key)? {
            Attribute::Ints(list) => list.try_into().map_err(|_| format!("attribute {key} has {N} numbers")),
            other => Err(format!("attribute {key} is {other}, not {N} whole numbers")),
        }
    }

    fn sizes(&mut self, key: &str) -> Result<[usize; 2], String> {
        self.ints(key)
    }

    fn float(&mut self, key: &str) -> Result<f64, String> {
        match self.next(key)? {
            Attribute::Float(x) => Ok(x),
            other => Err(format!("attribute {key} is {other}, not a number with a point")),
        }
    }

    fn floats(&mut self, key: &str) -> Result<Vec<f64>, String> {
        match self.next(key)? {
            Attribute::Floats(list) => Ok(list),
            Attribute::Ints(list) if list.is_empty() => Ok(vec![]),
            other => Err(format!("attribute {key} is {other}, not a list of numbers with a point")),
        }
    }

    fn flag(&mut self, key: &str) -> Result<bool, String> {
        match self.next(key)? {
            Attribute::Flag(b) => Ok(b),
            other => Err(format!("attribute {key} is {other}, not true or false")),
        }
    }

    fn padding(&mut self) -> Result<Padding, String> {
        let [top, bottom, left, right] = self.ints("padding")?;
        Ok(Padding { top, bottom, left, right })
    }

    fn conv(&mut self) -> Result<ConvGeometry, String> {
        Ok(ConvGeometry {
            stride: self.sizes("stride")?,
            padding: self.padding()?,
            dilation: self.sizes("dilation")?,
            groups: self.int("groups")?,
        })
    }

    fn pool(&mut self) -> Result<PoolGeometry, String> {
        Ok(PoolGeometry {
            kernel: self.sizes("kernel")?,
            stride: self.sizes("stride")?,
            padding: self.padding()?,
            ceil: self.flag("ceil")?,
        })
    }

    fn lrn_of_channels(&mut self) -> Result<LrnGeometry, String> {
        let region = LrnRegion::Channels { groups: self.int("groups")? };
        self.lrn(region)
    }

    fn lrn(&mut self, region: LrnRegion) -> Result<LrnGeometry, String> {
        Ok(LrnGeometry {
            region,
            before: self.int("before")?,
            after: self.int("after")?,
            scale: self.float("scale")?,
            beta: self.float("beta")?,
            k: self.float("k")?,
        })
    }
}
