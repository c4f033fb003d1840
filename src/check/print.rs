//! The text form of a network: what `netc dump --stage network` shows.

use super::{Init, Layer, LayerId, LayerKind, Loss, Network, Optimizer, Param};
use crate::geometry::{Padding, PoolGeometry};
use std::fmt::Write;

/// The whole network, a line a layer with its settings, and below it its arithmetic and parameters.
pub fn print(network: &Network) -> String {
    let mut out = format!("network {}\n", network.name);
    for (id, layer) in network.layers() {
        print_layer(&mut out, network, id, layer);
    }
    if !network.classes.is_empty() {
        let _ = writeln!(out, "classes {:?}", network.classes);
    }
    let preprocess = &network.preprocess;
    let geometry = &preprocess.geometry;
    let _ = writeln!(
        out,
        "preprocess resize {:?} crop {:?} flip {} bgr {} unit_range {} mean {:?} std {:?}",
        geometry.resize,
        geometry.crop,
        geometry.flip,
        geometry.bgr,
        preprocess.unit_range,
        preprocess.mean,
        preprocess.std
    );
    if let Some(train) = &network.train {
        let _ = writeln!(
            out,
            "train {} {} lr {:?} warmup {} decay {:?} batch {} epochs {} shuffle {}",
            loss(&train.loss),
            optimizer(&train.optimizer),
            train.schedule.base,
            train.schedule.warmup_steps,
            train.schedule.decay,
            train.batch,
            train.epochs,
            train.shuffle
        );
    }
    out
}

fn print_layer(out: &mut String, network: &Network, id: LayerId, layer: &Layer) {
    let inputs: Vec<&str> = network.inputs(id).iter().map(|&i| network.layer(i).name.as_str()).collect();
    let call = match layer.kind {
        LayerKind::Input => "input".to_string(),
        _ => format!("{}({})", layer.kind.word(), inputs.join(", ")),
    };
    let _ = writeln!(out, "{} {:?} = {call}{}", layer.name, layer.shape, settings(&layer.kind));
    for d in &layer.derivations {
        let _ = writeln!(out, "  {}: {} = {} = {}", d.what, d.formula, d.numbers, d.result);
    }
    for param in &layer.params {
        let _ = writeln!(out, "  {}", param_text(param));
    }
    if layer.macs > 0 {
        let _ = writeln!(out, "  macs {}", layer.macs);
    }
}

fn settings(kind: &LayerKind) -> String {
    match kind {
        LayerKind::Input
        | LayerKind::Relu
        | LayerKind::Sigmoid
        | LayerKind::Tanh
        | LayerKind::Flatten
        | LayerKind::Add
        | LayerKind::Concat
        | LayerKind::Softmax => String::new(),
        LayerKind::Conv { kernels, kernel_size, stride, padding, dilation, groups, bias } => format!(
            " kernels {kernels} kernel_size {kernel_size:?} stride {stride:?} padding {} dilation {dilation:?} groups \
             {groups} bias {bias}",
            sides(padding)
        ),
        LayerKind::Linear { features, bias } => format!(" features {features} bias {bias}"),
        LayerKind::Lrn { region, size, alpha, beta, k, divide_by_size } => format!(
            " region {} size {size} alpha {alpha:?} beta {beta:?} k {k:?} divide_by_size {divide_by_size} groups {}",
            region.word(),
            region.groups()
        ),
        LayerKind::MaxPool(pool) => window(pool),
        LayerKind::AvgPool { pool, count_include_pad } => {
            format!("{} count_include_pad {count_include_pad}", window(pool))
        }
        LayerKind::AdaptiveAvgPool { output } => format!(" output {output:?}"),
        LayerKind::Dropout { p } => format!(" p {p:?}"),
        LayerKind::BatchNorm { epsilon, momentum } => format!(" epsilon {epsilon:?} momentum {momentum:?}"),
    }
}

fn window(pool: &PoolGeometry) -> String {
    let PoolGeometry { kernel, stride, padding, ceil } = pool;
    format!(" kernel_size {kernel:?} stride {stride:?} padding {} ceil {ceil}", sides(padding))
}

fn sides(padding: &Padding) -> String {
    let Padding { top, bottom, left, right } = padding;
    format!("{{top {top} bottom {bottom} left {left} right {right}}}")
}

fn param_text(param: &Param) -> String {
    let init = match param.init {
        Init::Constant(value) => format!("constant {value:?}"),
        Init::Normal { mean, std } => format!("normal mean {mean:?} std {std:?}"),
        Init::Uniform { low, high } => format!("uniform {low:?}..{high:?}"),
    };
    let rest = match param.trainable {
        true => format!("lr_mult {:?} decay_mult {:?}", param.lr_mult, param.decay_mult),
        false => "not trained".to_string(),
    };
    format!("{} {:?} {init}, {rest}", param.name, param.shape)
}

fn loss(loss: &Loss) -> String {
    match loss {
        Loss::CrossEntropy { label_smoothing } => format!("cross_entropy label_smoothing {label_smoothing:?}"),
        Loss::Mse => "mse".to_string(),
    }
}

fn optimizer(optimizer: &Optimizer) -> String {
    match optimizer {
        Optimizer::Sgd { momentum, nesterov, weight_decay, rate_in_velocity } => format!(
            "sgd momentum {momentum:?} nesterov {nesterov} weight_decay {weight_decay:?} rate_in_velocity \
             {rate_in_velocity}"
        ),
        Optimizer::Adam { beta1, beta2, epsilon, weight_decay, decoupled } => format!(
            "adam beta1 {beta1:?} beta2 {beta2:?} epsilon {epsilon:?} weight_decay {weight_decay:?} decoupled {decoupled}"
        ),
    }
}
