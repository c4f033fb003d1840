//! What is right but seldom meant: warnings about a network that checks.
//!
//! Each has a code of its own, which the section `allow` keeps silent.

use super::{Init, Layer, LayerId, LayerKind, Network, Optimizer, reader, remedy};
use crate::diag::{Code, Diagnostic, Fix};
use crate::source::Span;
use crate::spec::{Data, LayerEntry, Spec, Value};
use netc_runtime::program::DecayInfo;
use std::collections::BTreeMap;

/// The lints of a network and the spec that it was made from.
pub(super) fn lint(network: &Network, spec: &Spec, problems: &mut Vec<Diagnostic>) {
    let mut readers: BTreeMap<LayerId, Vec<LayerId>> = BTreeMap::new();
    for (id, _) in network.layers() {
        for source in network.inputs(id) {
            readers.entry(source).or_default().push(id);
        }
    }
    let entries = spec.layers.iter().enumerate().map(|(i, entry)| (entry.name.text.as_str(), (i, entry))).collect();
    let lint = Lint { network, spec, readers, entries, removal: remedy::Removal::new(spec) };
    for (id, layer) in network.layers() {
        problems.extend(lint.repeated_relu(id, layer));
        problems.extend(lint.lrn_before_relu(id, layer));
        problems.extend(lint.bias_before_batchnorm(id, layer));
        problems.extend(lint.dropout_before_batchnorm(id, layer));
        problems.extend(lint.batchnorm_of_one(layer));
    }
    problems.extend(lint.stalling_init());
    lint.unusual_rates(problems);
}

struct Lint<'a> {
    network: &'a Network,
    spec: &'a Spec,
    readers: BTreeMap<LayerId, Vec<LayerId>>,
    /// The layers as they are written, with their places in the list.
    entries: BTreeMap<&'a str, (usize, &'a LayerEntry)>,
    removal: remedy::Removal<'a>,
}

impl Lint<'_> {
    /// The only reader of a layer.
    fn reader(&self, id: LayerId) -> Option<(LayerId, &Layer)> {
        match self.readers.get(&id)?.as_slice() {
            [only] => Some((*only, self.network.layer(*only))),
            _ => None,
        }
    }

    /// The word for the layer's kind, where it is written.
    fn place(&self, layer: &Layer) -> Span {
        self.entries.get(layer.name.as_str()).map_or(layer.span, |(_, entry)| entry.kind.span)
    }

    fn repeated_relu(&self, id: LayerId, layer: &Layer) -> Option<Diagnostic> {
        let source = self.network.inputs(id).first().map(|&source| self.network.layer(source))?;
        if layer.kind != LayerKind::Relu || source.kind != LayerKind::Relu {
            return None;
        }
        let message = format!("{} changes nothing: {} gives no negative number", layer.name, source.name);
        let diagnostic = Diagnostic::warning(Code::RepeatedRelu, self.place(layer), message);
        let fix = self.entries.get(layer.name.as_str()).and_then(|(index, _)| self.removal.of(*index));
        let diagnostic = diagnostic.label(self.place(source), format!("{} is a ReLU already", source.name));
        Some(diagnostic.fixes(fix.map(|edit| remedy::fix("remove it", edit))))
    }

    /// The normalisation of what a ReLU will see, pooling apart.
    fn lrn_before_relu(&self, id: LayerId, layer: &Layer) -> Option<Diagnostic> {
        let LayerKind::Lrn { .. } = layer.kind else { return None };
        let mut next = self.reader(id)?;
        while let LayerKind::MaxPool(_) = next.1.kind {
            next = self.reader(next.0)?;
        }
        if next.1.kind != LayerKind::Relu {
            return None;
        }
        let message = format!("{} normalises before {}", layer.name, next.1.name);
        let diagnostic = Diagnostic::warning(Code::LrnBeforeRelu, self.place(layer), message);
        let diagnostic = diagnostic.label(self.place(next.1), "the ReLU comes after");
        Some(diagnostic.note("so does the program of 2012; the paper and other tools normalise what the ReLU gives"))
    }

    fn bias_before_batchnorm(&self, id: LayerId, layer: &Layer) -> Option<Diagnostic> {
        let (LayerKind::Conv { bias: true, .. } | LayerKind::Linear { bias: true, .. }) = layer.kind else {
            return None;
        };
        let (_, reader) = self.reader(id).filter(|(_, reader)| matches!(reader.kind, LayerKind::BatchNorm { .. }))?;
        let (_, entry) = self.entries.get(layer.name.as_str())?;
        let message = format!("the bias of {} has no effect: {} subtracts it again", layer.name, reader.name);
        let edit = reader::edit(&entry.settings, entry.kind.span, "bias", "false");
        let fix = reader::choice("bias: false".to_string(), "one parameter a channel less".to_string(), edit);
        let diagnostic = Diagnostic::warning(Code::BiasBeforeBatchnorm, entry.kind.span, message);
        Some(diagnostic.label(self.place(reader), format!("{} subtracts the mean", reader.name)).fix(fix))
    }

    /// Dropout whose thinned values a batch normalisation sees, through layers that keep them apart or mix them.
    fn dropout_before_batchnorm(&self, id: LayerId, layer: &Layer) -> Option<Diagnostic> {
        let LayerKind::Dropout { p } = layer.kind else { return None };
        if p == 0.0 {
            return None;
        }
        let mut next = self.reader(id)?;
        let mut steps = 0;
        while !matches!(next.1.kind, LayerKind::BatchNorm { .. }) {
            next = self.reader(next.0)?;
            steps += 1;
            if steps > 8 {
                return None;
            }
        }
        let message = format!("{} thins what {} takes the variance of", layer.name, next.1.name);
        let diagnostic = Diagnostic::warning(Code::DropoutBeforeBatchnorm, self.place(layer), message);
        let diagnostic = diagnostic.label(self.place(next.1), "keeps the variance of training for inference");
        Some(
            diagnostic
                .note("inference sees values of another variance; put dropout after the last batch normalisation"),
        )
    }

    fn batchnorm_of_one(&self, layer: &Layer) -> Option<Diagnostic> {
        let LayerKind::BatchNorm { .. } = layer.kind else { return None };
        let one = layer.shape.iter().skip(1).all(|&size| size == 1);
        if !one || self.network.train.as_ref()?.batch != 1 {
            return None;
        }
        let message = format!("{} sees one number a channel: in training its result is 0", layer.name);
        let diagnostic = Diagnostic::warning(Code::BatchnormOfOne, self.place(layer), message);
        Some(match self.setting(&["batch"]) {
            Some(value) => {
                let fix = Fix::maybe("batch: 32", value.span, "32");
                diagnostic.label(value.span, "batches of one image").fix(fix)
            }
            None => diagnostic,
        })
    }

    /// Biases of 1 with weights of 0.01 or less in several layers, at a rate of 0.01 or more from the first step.
    fn stalling_init(&self) -> Option<Diagnostic> {
        let train = self.network.train.as_ref()?;
        let Optimizer::Sgd { .. } = train.optimizer else { return None };
        if train.schedule.base < 0.01 || train.schedule.warmup_steps > 0 {
            return None;
        }
        let high = |layer: &&Layer| {
            let of = |name: &str| layer.params.iter().find(|p| p.name == name).map(|p| p.init);
            matches!(of("weight"), Some(Init::Normal { std, .. }) if std <= 0.01)
                && matches!(of("bias"), Some(Init::Constant(bias)) if bias >= 0.5)
        };
        let layers: Vec<&Layer> = self.network.layers().map(|(_, layer)| layer).filter(high).collect();
        let first = layers.first().filter(|_| layers.len() >= 3)?;
        let names: Vec<&str> = layers.iter().map(|l| l.name.as_str()).collect();
        let classes = self.network.output().map_or(0, |id| self.network.layer(id).shape[0]);
        let message = format!("training may not start: biases of 1 outweigh the weights of {}", names.join(", "));
        let mut diagnostic = Diagnostic::warning(Code::StallingInit, self.place(first), message);
        if let Some(value) = self.rate() {
            diagnostic = diagnostic.label(value.span, format!("rate {} from the first step", train.schedule.base));
        }
        let loss = (classes as f64).ln();
        diagnostic = diagnostic.note(format!("the sign is a loss that stays at ln {classes} = {loss:.2}"));
        if let Some(Data::Map(map)) = self.spec.sections.get("train").map(|s| &s.value.data)
            && map.get("warmup").is_none()
        {
            let edit = reader::edit(map, map.span, "warmup", "500");
            diagnostic =
                diagnostic.fix(reader::choice("warmup: 500".to_string(), "the rate rises gently".to_string(), edit));
        }
        Some(diagnostic.note("weights that suit their fan-in (`kaiming_normal`) with biases of 0 do not need it"))
    }

    fn unusual_rates(&self, problems: &mut Vec<Diagnostic>) {
        let Some(train) = &self.network.train else { return };
        let (word, rates, decays) = match train.optimizer {
            Optimizer::Sgd { .. } => ("sgd", 1e-5..=1.0, 0.01),
            Optimizer::Adam { decoupled: false, .. } => ("adam", 1e-6..=0.01, 0.01),
            Optimizer::Adam { decoupled: true, .. } => ("adamw", 1e-6..=0.01, 0.5),
        };
        let rate = train.schedule.base;
        if let Some(value) = self.rate().filter(|_| !rates.contains(&rate)) {
            let message = format!("a learning rate of {rate} is unusual for {word}");
            let usual = format!("usual are {} to {}", plain(*rates.start()), plain(*rates.end()));
            let rate = if word == "sgd" { "0.01" } else { "0.001" };
            problems.push(unusual(value, message, format!("lr: {rate}"), rate).note(usual));
        }
        let (Optimizer::Sgd { weight_decay, .. } | Optimizer::Adam { weight_decay, .. }) = train.optimizer;
        if let Some(value) = self.setting(&["optimizer", word, "weight_decay"]).filter(|_| weight_decay > decays) {
            let message = format!("a weight decay of {weight_decay} is unusual for {word}");
            let usual = format!("usual are 0 to {}", plain(decays));
            let decay = if word == "adamw" { "0.01" } else { "5.0e-4" };
            problems.push(unusual(value, message, format!("weight_decay: {decay}"), decay).note(usual));
        }
        if let Optimizer::Sgd { momentum, .. } = train.optimizer
            && let Some(value) = self.setting(&["optimizer", word, "momentum"]).filter(|_| momentum > 0.99)
        {
            let message =
                format!("with a momentum of {momentum} steps add up to {:.0} times the rate", 1.0 / (1.0 - momentum));
            let diagnostic = unusual(value, message, "momentum: 0.9".to_string(), "0.9");
            problems.push(diagnostic.note("usual are 0 to 0.99"));
        }
        if let DecayInfo::Step { gamma, .. } = &train.schedule.decay
            && let Some(value) = self.setting(&["schedule", "step", "gamma"]).filter(|_| *gamma > 1.0)
        {
            let message = format!("a gamma of {gamma} makes the learning rate rise");
            problems.push(unusual(value, message, "gamma: 0.1".to_string(), "0.1"));
        }
    }

    fn rate(&self) -> Option<&Value> {
        ["sgd", "adam", "adamw"].iter().find_map(|word| self.setting(&["optimizer", word, "lr"]))
    }

    /// A setting of the section `train`.
    fn setting(&self, path: &[&str]) -> Option<&Value> {
        let mut value = &self.spec.sections.get("train")?.value;
        for key in path {
            let Data::Map(map) = &value.data else { return None };
            value = &map.get(key)?.value;
        }
        Some(value)
    }
}

/// The warning about a number with one that is usual.
fn unusual(value: &Value, message: String, title: String, number: &str) -> Diagnostic {
    Diagnostic::warning(Code::UnusualRate, value.span, message).fix(Fix::maybe(title, value.span, number))
}

/// A number as people write it: `0.00001`, `1`.
fn plain(number: f64) -> String {
    format!("{number}")
}
