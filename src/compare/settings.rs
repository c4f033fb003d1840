//! A layer's settings and a recipe as lists that can be compared.

use super::Effect;
use crate::check::{Init, Layer, LayerKind, Loss, Network, Optimizer, Train};
use crate::geometry::{LrnRegion, Padding, PoolGeometry};
use netc_runtime::program::{CropInfo, DecayInfo, PreprocessInfo, ResizeInfo};

/// A setting of a layer.
pub(super) struct Setting {
    pub name: &'static str,
    /// For people.
    pub text: String,
    /// Equal where two texts mean the same.
    pub same: String,
    /// What another value can change.
    pub effect: Effect,
}

fn setting(name: &'static str, text: impl ToString, effect: Effect) -> Setting {
    let text = text.to_string();
    Setting { name, same: text.clone(), text, effect }
}

/// The settings of a layer, those of one kind always in the same order.
pub(super) fn settings(network: &Network, layer: &Layer) -> Vec<Setting> {
    use Effect::{Results, Shapes, Training};
    match &layer.kind {
        LayerKind::Input => vec![setting("shape", super::sizes(&layer.shape), Shapes)],
        LayerKind::Conv { kernels, kernel_size, stride, padding, dilation, groups, bias } => vec![
            setting("kernels", kernels, Shapes),
            setting("kernel_size", pair(*kernel_size), Shapes),
            setting("stride", pair(*stride), Results),
            setting("padding", sides(padding), Results),
            setting("dilation", pair(*dilation), Results),
            setting("groups", groups, Shapes),
            setting("bias", bias, Shapes),
        ],
        LayerKind::Linear { features, bias } => {
            vec![setting("features", features, Shapes), setting("bias", bias, Shapes)]
        }
        LayerKind::Lrn { region, size, alpha, beta, k, divide_by_size } => {
            let scale = if *divide_by_size { alpha / region.window(*size) } else { *alpha };
            let (window, area) = match region {
                LrnRegion::Channels { .. } => (size.to_string(), "size"),
                LrnRegion::Map => (format!("{size}×{size}"), "size²"),
            };
            let text = if *divide_by_size { format!("α/{area} = {scale:e}") } else { format!("α = {scale:e}") };
            vec![
                setting("size", window, Results),
                Setting { name: "s", same: format!("{scale:.12e}"), text, effect: Results },
                setting("beta", beta, Results),
                setting("k", k, Results),
                setting("groups", region.groups(), Results),
            ]
        }
        LayerKind::MaxPool(pool) => pooling(network, layer, pool),
        LayerKind::AvgPool { pool, count_include_pad } => {
            let mut all = pooling(network, layer, pool);
            let padded = pool.padding != Padding::default();
            let same = if padded { count_include_pad.to_string() } else { "no padding".to_string() };
            all.push(Setting { same, ..setting("count_include_pad", count_include_pad, Results) });
            all
        }
        LayerKind::AdaptiveAvgPool { output } => vec![setting("output", pair(*output), Results)],
        LayerKind::Dropout { p } => vec![setting("p", p, Training)],
        LayerKind::BatchNorm { epsilon, momentum } => {
            vec![setting("epsilon", epsilon, Results), setting("momentum", momentum, Training)]
        }
        LayerKind::Relu
        | LayerKind::Sigmoid
        | LayerKind::Tanh
        | LayerKind::Flatten
        | LayerKind::Add
        | LayerKind::Concat
        | LayerKind::Softmax => Vec::new(),
    }
}

fn pooling(network: &Network, layer: &Layer, pool: &PoolGeometry) -> Vec<Setting> {
    let source =
        network.layers().find(|(_, l)| l.name == layer.name).and_then(|(id, _)| network.inputs(id).first().copied());
    let image = source.map_or([0, 0], |id| match network.layer(id).shape[..] {
        [_, height, width] => [height, width],
        _ => [0, 0],
    });
    let padding = [pool.padding.top + pool.padding.bottom, pool.padding.left + pool.padding.right];
    let exact =
        (0..2).all(|i| (image[i] + padding[i]).checked_sub(pool.kernel[i]).is_some_and(|t| t % pool.stride[i] == 0));
    let rounding = setting("rounding", if pool.ceil { "ceil" } else { "floor" }, Effect::Results);
    vec![
        setting("kernel_size", pair(pool.kernel), Effect::Results),
        setting("stride", pair(pool.stride), Effect::Results),
        setting("padding", sides(&pool.padding), Effect::Results),
        // Where the windows tile the image it does not matter how to round.
        Setting { same: if exact { "exact".to_string() } else { rounding.text.clone() }, ..rounding },
    ]
}

fn pair([height, width]: [usize; 2]) -> String {
    if height == width { height.to_string() } else { format!("[{height}, {width}]") }
}

fn sides(p: &Padding) -> String {
    match (p.top == p.left && p.bottom == p.right, p.top == p.bottom) {
        (true, true) => p.top.to_string(),
        (true, false) => format!("[{}, {}]", p.top, p.bottom),
        (false, _) => format!("top {}, bottom {}, left {}, right {}", p.top, p.bottom, p.left, p.right),
    }
}

/// A recipe by setting.
pub(super) fn recipe(train: &Train) -> Vec<(&'static str, String)> {
    let loss = match train.loss {
        Loss::CrossEntropy { label_smoothing: 0.0 } => "cross_entropy".to_string(),
        Loss::CrossEntropy { label_smoothing } => format!("cross_entropy, label_smoothing {label_smoothing}"),
        Loss::Mse => "mse".to_string(),
    };
    let mut lines = vec![("loss", loss)];
    match train.optimizer {
        Optimizer::Sgd { momentum, nesterov, weight_decay, rate_in_velocity } => lines.extend([
            ("optimizer", "sgd".to_string()),
            ("momentum", momentum.to_string()),
            ("nesterov", nesterov.to_string()),
            ("weight_decay", weight_decay.to_string()),
            ("form", if rate_in_velocity { "caffe" } else { "torch" }.to_string()),
        ]),
        Optimizer::Adam { beta1, beta2, epsilon, weight_decay, decoupled } => lines.extend([
            ("optimizer", if decoupled { "adamw" } else { "adam" }.to_string()),
            ("beta1", beta1.to_string()),
            ("beta2", beta2.to_string()),
            ("epsilon", format!("{epsilon:e}")),
            ("weight_decay", weight_decay.to_string()),
        ]),
    }
    lines.extend([
        ("lr", train.schedule.base.to_string()),
        ("schedule", schedule(&train.schedule.decay)),
        ("warmup", train.schedule.warmup_steps.to_string()),
        ("batch", train.batch.to_string()),
        ("epochs", train.epochs.to_string()),
        ("shuffle", train.shuffle.to_string()),
    ]);
    lines
}

fn schedule(decay: &DecayInfo) -> String {
    match decay {
        DecayInfo::None => "constant".to_string(),
        DecayInfo::Step { every, gamma } => format!("step every {every}, gamma {gamma}"),
        DecayInfo::Milestones { epochs, gamma } => format!("milestones {epochs:?}, gamma {gamma}"),
        DecayInfo::Cosine { minimum } => format!("cosine to {minimum}"),
        DecayInfo::Plateau { gamma, patience, times } => {
            format!("plateau gamma {gamma}, patience {patience}, times {times}")
        }
    }
}

/// How images are resized.
pub(super) fn resize(geometry: &PreprocessInfo) -> String {
    match geometry.resize {
        None => String::new(),
        Some(ResizeInfo::Exact { height, width }) => format!("[{height}, {width}]"),
        Some(ResizeInfo::ShorterSide(side)) => side.to_string(),
    }
}

/// How images are cropped.
pub(super) fn crop(geometry: &PreprocessInfo) -> String {
    match geometry.crop {
        CropInfo::None => "none".to_string(),
        CropInfo::Center => "center".to_string(),
        CropInfo::Random => "random".to_string(),
        CropInfo::PaddedRandom(padding) => format!("random, padding {padding}"),
    }
}

/// First contents of a parameter.
pub(super) fn init(init: &Init) -> String {
    match init {
        Init::Constant(value) => value.to_string(),
        Init::Normal { mean: 0.0, std } => format!("normal, std {std:.4}"),
        Init::Normal { mean, std } => format!("normal, mean {mean:.4}, std {std:.4}"),
        Init::Uniform { low, high } => format!("uniform, {low:.4} to {high:.4}"),
    }
}
