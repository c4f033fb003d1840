//! The section `train`.

use super::layers::given;
use super::limits::LARGEST_BATCH;
use super::reader::{Bounds, Pick, Reader, choice};
use super::{Layer, LayerKind, Loss, Optimizer, Train, remedy, shape_text};
use crate::diag::{Code, Diagnostic, Fix};
use crate::source::Span;
use crate::spec::{Data, Spec, Value};
use netc_runtime::program::{DecayInfo, ScheduleInfo};

/// Reads the section: `Some(None)` if there is none, `None` if it is wrong. `output`: the network's last layer, if it
/// is known.
pub(super) fn train(spec: &Spec, output: Option<&Layer>, problems: &mut Vec<Diagnostic>) -> Option<Option<Train>> {
    let Some(setting) = spec.sections.get("train") else { return Some(None) };
    let Data::Map(map) = &setting.value.data else {
        let message = format!("`train` must be settings, but is {}", setting.value.data.describe());
        problems.push(Diagnostic::error(Code::WrongType, setting.value.span, message));
        return None;
    };
    let mut reader = Reader::new("train", setting.key.span, map, problems);
    let loss = reader.require("loss").and_then(|value| loss(&mut reader, value));
    let optimizer = reader.require("optimizer").and_then(|value| optimizer(&mut reader, value));
    let decay = match reader.get("schedule") {
        Some(value) => decay(&mut reader, value),
        None => Some(DecayInfo::None),
    };
    let warmup = reader.count_or("warmup", 0, 0);
    let batch = reader.count("batch");
    let epochs = reader.count("epochs");
    let shuffle = reader.flag_or("shuffle", true);
    let loss = loss.and_then(|(loss, span)| fits(&mut reader, loss, span, output, spec));
    let batch = batch.and_then(|batch| {
        if batch <= LARGEST_BATCH {
            return Some(batch);
        }
        let span = reader.span_of("batch").unwrap_or(reader.span);
        reader.report(Diagnostic::error(Code::SizeLimit, span, format!("a batch has at most {LARGEST_BATCH} images")));
        None
    });
    reader.finish();
    let (optimizer, base) = optimizer?;
    Some(Some(Train {
        loss: loss?,
        optimizer,
        batch: batch?,
        epochs: epochs?,
        schedule: ScheduleInfo { base, warmup_steps: warmup? as u64, decay: decay? },
        shuffle: shuffle?,
    }))
}

fn loss(reader: &mut Reader<'_, '_>, value: &Value) -> Option<(Loss, Span)> {
    let Pick { word, span, map } = reader.pick_of("loss", value, &["cross_entropy", "mse"])?;
    let mut inner = reader.nested(word, span, &map);
    let loss = match word {
        "mse" => Some(Loss::Mse),
        _ => inner
            .number_or("label_smoothing", Bounds::BelowOne, 0.0)
            .map(|label_smoothing| Loss::CrossEntropy { label_smoothing }),
    };
    inner.finish();
    loss.map(|loss| (loss, span))
}

/// Whether the loss can judge the network's result.
fn fits(reader: &mut Reader<'_, '_>, loss: Loss, span: Span, output: Option<&Layer>, spec: &Spec) -> Option<Loss> {
    let Some(output) = output else { return Some(loss) };
    let at = spec.layers.last().map_or(span, |l| l.kind.span);
    match loss {
        Loss::Mse => Some(loss),
        Loss::CrossEntropy { .. } if output.shape.len() != 1 => {
            let shape = shape_text(&output.shape);
            let message = format!("cross_entropy needs one number a class, but {} gives {shape}", output.name);
            let diagnostic = Diagnostic::error(Code::LossMismatch, span, message);
            let label = given(&output.name, &output.shape, &output.derivations);
            reader.report(diagnostic.label(at, label).note("end with `flatten` or `linear`"));
            None
        }
        Loss::CrossEntropy { .. } if output.kind == LayerKind::Softmax => {
            let message = format!("cross_entropy contains a softmax, so that {} would be a second one", output.name);
            let diagnostic = Diagnostic::error(Code::LossMismatch, span, message);
            let diagnostic = diagnostic.label(at, "the network ends in a softmax");
            let last = spec.layers.len().checked_sub(1).and_then(|last| remedy::Removal::new(spec).of(last));
            let fix = last.map(|edit| remedy::fix("remove the softmax", edit));
            reader.report(diagnostic.note("leave it out: `netc run` prints probabilities all the same").fixes(fix));
            None
        }
        Loss::CrossEntropy { .. } => Some(loss),
    }
}

/// The optimizer and its base learning rate.
fn optimizer(reader: &mut Reader<'_, '_>, value: &Value) -> Option<(Optimizer, f64)> {
    let Pick { word, span, map } = reader.pick_of("optimizer", value, &["sgd", "adam", "adamw"])?;
    let mut inner = reader.nested(word, span, &map);
    let lr = inner.number("lr", Bounds::Positive);
    let optimizer = match word {
        "sgd" => sgd(&mut inner),
        _ => adam(&mut inner, word == "adamw"),
    };
    inner.finish();
    optimizer.zip(lr)
}

fn sgd(reader: &mut Reader<'_, '_>) -> Option<Optimizer> {
    let momentum = reader.number_or("momentum", Bounds::BelowOne, 0.0);
    let weight_decay = reader.number_or("weight_decay", Bounds::NotNegative, 0.0);
    let nesterov = reader.flag_or("nesterov", false);
    let form = reader.word_or("form", &["torch", "caffe"], "torch");
    let (momentum, nesterov) = (momentum?, nesterov?);
    if nesterov && momentum == 0.0 {
        let span = reader.span_of("nesterov").unwrap_or(reader.span);
        let message = "`nesterov` has no effect without momentum";
        let edit = |key: &str, value: &str| choice(format!("{key}: {value}"), String::new(), reader.edit(key, value));
        let fixes = [edit("momentum", "0.9"), edit("nesterov", "false")];
        reader.report(Diagnostic::error(Code::UnusedSetting, span, message).fixes(fixes));
        return None;
    }
    let rate_in_velocity = form? == "caffe";
    Some(Optimizer::Sgd { momentum, nesterov, weight_decay: weight_decay?, rate_in_velocity })
}

fn adam(reader: &mut Reader<'_, '_>, decoupled: bool) -> Option<Optimizer> {
    let beta1 = reader.number_or("beta1", Bounds::BelowOne, 0.9);
    let beta2 = reader.number_or("beta2", Bounds::BelowOne, 0.999);
    let epsilon = reader.number_or("epsilon", Bounds::Positive, 1e-8);
    let usual = if decoupled { 0.01 } else { 0.0 };
    let weight_decay = reader.number_or("weight_decay", Bounds::NotNegative, usual);
    Some(Optimizer::Adam { beta1: beta1?, beta2: beta2?, epsilon: epsilon?, weight_decay: weight_decay?, decoupled })
}

fn decay(reader: &mut Reader<'_, '_>, value: &Value) -> Option<DecayInfo> {
    let words = ["constant", "step", "milestones", "cosine", "plateau"];
    let Pick { word, span, map } = reader.pick_of("schedule", value, &words)?;
    let mut inner = reader.nested(word, span, &map);
    let decay = match word {
        "constant" => Some(DecayInfo::None),
        "step" => {
            let (every, gamma) = (inner.count("every"), inner.number_or("gamma", Bounds::Positive, 0.1));
            every.zip(gamma).map(|(every, gamma)| DecayInfo::Step { every: every as u64, gamma })
        }
        "milestones" => {
            let epochs = inner.require("epochs").and_then(|value| ascending(&mut inner, value));
            let gamma = inner.number_or("gamma", Bounds::Positive, 0.1);
            epochs.zip(gamma).map(|(epochs, gamma)| DecayInfo::Milestones { epochs, gamma })
        }
        "cosine" => inner.number_or("minimum", Bounds::NotNegative, 0.0).map(|minimum| DecayInfo::Cosine { minimum }),
        _ => {
            let gamma = inner.number_or("gamma", Bounds::Positive, 0.1);
            let (patience, times) = (inner.count("patience"), inner.count("times"));
            gamma.zip(patience).zip(times).map(|((gamma, patience), times)| DecayInfo::Plateau {
                gamma,
                patience: patience as u64,
                times: times as u64,
            })
        }
    };
    inner.finish();
    decay
}

fn ascending(reader: &mut Reader<'_, '_>, value: &Value) -> Option<Vec<u64>> {
    let Data::List(items) = &value.data else {
        reader.wrong_type("epochs", value, "a list of epochs");
        return None;
    };
    let epochs: Vec<Option<usize>> = items.iter().map(|item| reader.whole("epochs", item, 1)).collect();
    let epochs: Vec<u64> = epochs.into_iter().map(|e| e.map(|e| e as u64)).collect::<Option<_>>()?;
    if let Some(at) = epochs.windows(2).position(|pair| pair[0] >= pair[1]) {
        let message = format!("milestones must ascend, but {} follows {}", epochs[at + 1], epochs[at]);
        let mut sorted = epochs.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let text = format!("{sorted:?}");
        let fix = Fix::maybe(format!("epochs: {text}"), value.span, text);
        reader.report(Diagnostic::error(Code::OutOfRange, items[at + 1].span, message).fix(fix));
        return None;
    }
    Some(epochs)
}
