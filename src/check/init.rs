//! First contents of parameters: rules as written, resolved to numbers by fan-in and fan-out.

use super::reader::{Bounds, Pick, Reader, choice};
use super::{Init, Param};
use crate::diag::{Code, Diagnostic, Fix};
use crate::source::Span;
use crate::spec::{Data, Value};
use std::collections::BTreeMap;

/// A rule as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rule {
    what: Distribution,
    span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Distribution {
    Fixed(Init),
    Xavier { uniform: bool, gain: f64 },
    Kaiming { uniform: bool, fan_out: bool, gain: f64 },
}

/// Rules for weight and bias.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rules {
    weight: Option<Rule>,
    bias: Option<Rule>,
}

/// Rules by kind of layer: the section `init`.
pub(super) type Defaults = BTreeMap<&'static str, Rules>;

/// The kinds of layers that have parameters.
pub(super) const KINDS: &[&str] = &["conv", "linear", "batchnorm"];

/// What a layer says about its parameters.
pub(super) struct ParamSettings {
    rules: Rules,
    lr_mult: [f64; 2],
    decay_mult: [f64; 2],
    own_bias: Option<Span>,
}

/// Reads the section `init`.
pub(super) fn defaults(value: Option<&Value>, problems: &mut Vec<Diagnostic>) -> Defaults {
    let mut defaults = Defaults::new();
    let Some(value) = value else { return defaults };
    let Data::Map(map) = &value.data else {
        let message = format!("`init` must be rules by kind of layer, but is {}", value.data.describe());
        problems.push(Diagnostic::error(Code::WrongType, value.span, message).note("as `conv: {weight: zeros}`"));
        return defaults;
    };
    let mut reader = Reader::new("init", value.span, map, problems);
    for kind in KINDS {
        if let Some(value) = reader.get(kind) {
            defaults.insert(kind, rules(&mut reader, kind, value));
        }
    }
    reader.finish();
    defaults
}

/// Reads `init`, `lr_mult` and `decay_mult` of a layer of this kind.
pub(super) fn settings(reader: &mut Reader<'_, '_>, kind: &str, defaults: &Defaults) -> Option<ParamSettings> {
    let own = match reader.get("init") {
        Some(value) => rules(reader, "init", value),
        None => Rules::default(),
    };
    let general = defaults.get(kind).copied().unwrap_or_default();
    let rules = Rules { weight: own.weight.or(general.weight), bias: own.bias.or(general.bias) };
    let lr_mult = multiplier(reader, "lr_mult");
    let decay_mult = multiplier(reader, "decay_mult");
    Some(ParamSettings { rules, lr_mult: lr_mult?, decay_mult: decay_mult?, own_bias: own.bias.map(|r| r.span) })
}

/// Weight and bias of a layer, with PyTorch's names. `bias`: its length, if the layer has one.
pub(super) fn params(
    reader: &mut Reader<'_, '_>,
    settings: &ParamSettings,
    weight: Vec<usize>,
    bias: Option<usize>,
) -> Option<Vec<Param>> {
    // As PyTorch counts them: input and output channels of the weight times the window.
    let window: usize = weight.iter().skip(2).product();
    let fan_in = weight.get(1).copied().unwrap_or(1) as f64 * window as f64;
    let fan_out = weight.first().copied().unwrap_or(1) as f64 * window as f64;
    let bound = 1.0 / fan_in.sqrt();
    let usual = Init::Uniform { low: -bound, high: bound };
    let weight_init = settings.rules.weight.map_or(usual, |rule| numbers(rule.what, fan_in, fan_out));
    let [weight_lr, bias_lr] = settings.lr_mult;
    let [weight_decay, bias_decay] = settings.decay_mult;
    let mut params = vec![Param {
        name: "weight".to_string(),
        shape: weight,
        init: weight_init,
        trainable: true,
        lr_mult: weight_lr,
        decay_mult: weight_decay,
    }];
    if let Some(length) = bias {
        let init = match settings.rules.bias {
            Some(rule) => fixed(reader, rule, "bias")?,
            None => usual,
        };
        params.push(Param {
            name: "bias".to_string(),
            shape: vec![length],
            init,
            trainable: true,
            lr_mult: bias_lr,
            decay_mult: bias_decay,
        });
    } else if let Some(span) = settings.own_bias {
        let message = format!("{} has no bias, so that this has no effect", reader.owner);
        let fix = choice("bias: true".to_string(), String::new(), reader.edit("bias", "true"));
        reader.report(Diagnostic::error(Code::UnusedSetting, span, message).fix(fix));
        return None;
    }
    Some(params)
}

/// Scale, shift and running statistics of batch normalisation.
pub(super) fn norm_params(
    reader: &mut Reader<'_, '_>,
    settings: &ParamSettings,
    channels: usize,
) -> Option<Vec<Param>> {
    let mut first = |rule: Option<Rule>, name, usual| match rule {
        Some(rule) => fixed(reader, rule, name),
        None => Some(Init::Constant(usual)),
    };
    let weight = first(settings.rules.weight, "weight", 1.0);
    let bias = first(settings.rules.bias, "bias", 0.0);
    let param = |name: &str, init, trainable, i: usize| Param {
        name: name.to_string(),
        shape: vec![channels],
        init,
        trainable,
        lr_mult: if trainable { settings.lr_mult[i] } else { 1.0 },
        decay_mult: if trainable { settings.decay_mult[i] } else { 1.0 },
    };
    Some(vec![
        param("weight", weight?, true, 0),
        param("bias", bias?, true, 1),
        param("running_mean", Init::Constant(0.0), false, 0),
        param("running_var", Init::Constant(1.0), false, 0),
    ])
}

/// A rule that does without fans, for a vector has none.
fn fixed(reader: &mut Reader<'_, '_>, rule: Rule, name: &str) -> Option<Init> {
    if let Distribution::Fixed(init) = rule.what {
        return Some(init);
    }
    let message = format!("the {name} of {} is a vector, which has no fan-in and fan-out", reader.owner);
    let diagnostic = Diagnostic::error(Code::InitMismatch, rule.span, message);
    let number = if name == "weight" { "1" } else { "0" };
    let fix = Fix::maybe(format!("{name}: {number}"), rule.span, number);
    reader.report(diagnostic.note("use a number, `normal` or `uniform`").fix(fix));
    None
}

fn numbers(what: Distribution, fan_in: f64, fan_out: f64) -> Init {
    let around_zero = |std: f64, uniform: bool| match uniform {
        true => Init::Uniform { low: -(3f64.sqrt() * std), high: 3f64.sqrt() * std },
        false => Init::Normal { mean: 0.0, std },
    };
    match what {
        Distribution::Fixed(init) => init,
        Distribution::Xavier { uniform, gain } => around_zero(gain * (2.0 / (fan_in + fan_out)).sqrt(), uniform),
        Distribution::Kaiming { uniform, fan_out: out, gain } => {
            around_zero(gain / if out { fan_out } else { fan_in }.sqrt(), uniform)
        }
    }
}

fn rules(reader: &mut Reader<'_, '_>, owner: &str, value: &Value) -> Rules {
    let Data::Map(map) = &value.data else {
        reader.wrong_type(owner, value, "rules for `weight` and `bias`");
        return Rules::default();
    };
    let mut inner = reader.nested(owner, value.span, map);
    let mut one = |key| inner.get(key).and_then(|value| rule(&mut inner, key, value));
    let rules = Rules { weight: one("weight"), bias: one("bias") };
    inner.finish();
    rules
}

const WORDS: &[&str] =
    &["zeros", "constant", "normal", "uniform", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"];

fn rule(reader: &mut Reader<'_, '_>, key: &str, value: &Value) -> Option<Rule> {
    let span = value.span;
    if matches!(value.data, Data::Integer(_) | Data::Real(_)) {
        let number = reader.number_of(key, value, Bounds::Finite)?;
        return Some(Rule { what: Distribution::Fixed(Init::Constant(number)), span });
    }
    if let Data::Map(map) = &value.data
        && let [only] = map.entries.as_slice()
        && only.key.text == "constant"
    {
        let number = reader.number_of("constant", &only.value, Bounds::Finite)?;
        return Some(Rule { what: Distribution::Fixed(Init::Constant(number)), span });
    }
    let pick = reader.pick_of(key, value, WORDS)?;
    let what = distribution(reader, &pick)?;
    Some(Rule { what, span })
}

fn distribution(reader: &mut Reader<'_, '_>, pick: &Pick) -> Option<Distribution> {
    let mut inner = reader.nested(pick.word, pick.span, &pick.map);
    let uniform = pick.word.ends_with("uniform");
    let what = match pick.word {
        "zeros" => Some(Distribution::Fixed(Init::Constant(0.0))),
        "constant" => {
            let message = "`constant` needs its number";
            let diagnostic = Diagnostic::error(Code::MissingKey, pick.span, message);
            inner.report(diagnostic.note("as `{constant: 0.1}`, or the number alone"));
            None
        }
        "normal" => {
            let mean = inner.number_or("mean", Bounds::Finite, 0.0);
            let std = inner.number("std", Bounds::NotNegative);
            mean.zip(std).map(|(mean, std)| Distribution::Fixed(Init::Normal { mean, std }))
        }
        "uniform" => {
            let low = inner.number("low", Bounds::Finite);
            let high = inner.number("high", Bounds::Finite);
            low.zip(high).and_then(|(low, high)| {
                if low <= high {
                    return Some(Distribution::Fixed(Init::Uniform { low, high }));
                }
                let message = format!("`low` ({low}) is greater than `high` ({high})");
                inner.report(Diagnostic::error(Code::OutOfRange, pick.span, message));
                None
            })
        }
        "xavier_uniform" | "xavier_normal" => {
            inner.number_or("gain", Bounds::Positive, 1.0).map(|gain| Distribution::Xavier { uniform, gain })
        }
        _ => {
            let fan_out = inner.word_or("mode", &["fan_in", "fan_out"], "fan_in").map(|mode| mode == "fan_out");
            let words = ["relu", "leaky_relu", "tanh", "sigmoid", "linear"];
            let nonlinearity = inner.word_or("nonlinearity", &words, "relu");
            let a = inner.number_or("a", Bounds::Finite, 0.0);
            let gain = nonlinearity.zip(a).map(|(word, a)| match word {
                "relu" => 2f64.sqrt(),
                "leaky_relu" => (2.0 / (1.0 + a * a)).sqrt(),
                "tanh" => 5.0 / 3.0,
                _ => 1.0,
            });
            fan_out.zip(gain).map(|(fan_out, gain)| Distribution::Kaiming { uniform, fan_out, gain })
        }
    };
    inner.finish();
    what
}

/// A number for weight and bias, or `{weight, bias}`.
fn multiplier(reader: &mut Reader<'_, '_>, key: &'static str) -> Option<[f64; 2]> {
    let Some(value) = reader.get(key) else { return Some([1.0, 1.0]) };
    match &value.data {
        Data::Map(map) => {
            let mut inner = reader.nested(key, value.span, map);
            let weight = inner.number_or("weight", Bounds::NotNegative, 1.0);
            let bias = inner.number_or("bias", Bounds::NotNegative, 1.0);
            inner.finish();
            Some([weight?, bias?])
        }
        _ => reader.number_of(key, value, Bounds::NotNegative).map(|x| [x, x]),
    }
}
