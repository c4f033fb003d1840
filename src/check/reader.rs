//! Reads settings by key and keeps book of what was asked for, so that unknown and missing keys come out by themselves.

use super::remedy;
use crate::diag::{Applicability, Code, Diagnostic, Edit, Fix, closest};
use crate::source::Span;
use crate::spec::{Data, Layout, Map, Value};

/// The largest size or count that a spec can hold.
pub(super) const LARGEST: usize = i32::MAX as usize;

/// Settings of one layer or section.
pub(super) struct Reader<'a, 'p> {
    /// Whose they are, for messages: `conv1`, `train`.
    pub owner: &'a str,
    /// Where the owner is written.
    pub span: Span,
    /// What the height and width that a layer reads cannot exceed, where something before is wrong so that they are
    /// unknown; what it leaves here is what its result cannot exceed.
    pub at_most: Option<[usize; 2]>,
    /// Whether [`at_most`](Self::at_most) is all that is known.
    pub unknown: bool,
    /// Whether the owner is a word among settings, as an optimizer.
    inner: bool,
    map: &'a Map,
    known: Vec<&'static str>,
    missing: Vec<&'static str>,
    /// Where what is wrong goes.
    pub problems: &'p mut Vec<Diagnostic>,
}

/// One of several words, alone or with settings of its own.
pub(super) struct Pick {
    /// The word.
    pub word: &'static str,
    /// Where.
    pub span: Span,
    /// Its settings.
    pub map: Map,
}

/// The numbers that make sense for a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    /// Any but infinity.
    Finite,
    /// x > 0.
    Positive,
    /// x ≥ 0.
    NotNegative,
    /// 0 ≤ x < 1.
    BelowOne,
    /// 0 ≤ x ≤ 1.
    Unit,
}

impl Bounds {
    /// Whether a number is within.
    pub fn holds(self, x: f64) -> bool {
        x.is_finite()
            && match self {
                Bounds::Finite => true,
                Bounds::Positive => x > 0.0,
                Bounds::NotNegative => x >= 0.0,
                Bounds::BelowOne => (0.0..1.0).contains(&x),
                Bounds::Unit => (0.0..=1.0).contains(&x),
            }
    }

    /// In words, as `greater than 0`.
    pub fn describe(self) -> &'static str {
        match self {
            Bounds::Finite => "finite",
            Bounds::Positive => "greater than 0",
            Bounds::NotNegative => "0 or more",
            Bounds::BelowOne => "at least 0 and less than 1",
            Bounds::Unit => "between 0 and 1",
        }
    }
}

impl<'a, 'p> Reader<'a, 'p> {
    pub fn new(owner: &'a str, span: Span, map: &'a Map, problems: &'p mut Vec<Diagnostic>) -> Self {
        let (known, missing) = (Vec::new(), Vec::new());
        Reader { owner, span, at_most: None, unknown: false, inner: false, map, known, missing, problems }
    }

    /// A reader of settings within these.
    pub fn nested<'b>(&'b mut self, owner: &'b str, span: Span, map: &'b Map) -> Reader<'b, 'b> {
        Reader { inner: true, ..Reader::new(owner, span, map, self.problems) }
    }

    /// Reports what is wrong.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.problems.push(diagnostic);
    }

    /// Marks a key as known without reading it.
    pub fn know(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// The value of an optional setting.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.map.get(key).map(|s| &s.value)
    }

    /// The value of a setting that must be there.
    pub fn require(&mut self, key: &'static str) -> Option<&'a Value> {
        let value = self.get(key);
        if value.is_none() {
            self.missing.push(key);
        }
        value
    }

    /// Where the value of `key` is written, if it is.
    pub fn span_of(&self, key: &str) -> Option<Span> {
        self.map.get(key).map(|s| s.value.span)
    }

    /// The edit that gives `key` this value, whether or not it is there.
    pub fn edit(&self, key: &str, value: &str) -> Edit {
        edit(self.map, self.span, key, value)
    }

    /// The edit that takes a setting out, if it is written beside others.
    pub fn removal(&self, key: &str) -> Option<Edit> {
        let all = self.map.span;
        let written = self.map.entries.iter().map(|s| (s, s.key.span.to(s.value.span)));
        let written: Vec<_> = written.filter(|(_, span)| all.start <= span.start && span.end <= all.end).collect();
        let at = written.iter().position(|(setting, _)| setting.key.text == key)?;
        let own = written[at].1;
        let span = match (written.get(at + 1), at.checked_sub(1)) {
            (Some((_, next)), _) => Span { start: own.start, end: next.start },
            (None, Some(before)) => Span { start: written[before].1.end, end: own.end },
            (None, None) => return None,
        };
        Some(Edit { span, text: String::new() })
    }

    /// Reports unknown and missing keys. Every key must have been asked for by now.
    pub fn finish(mut self) {
        let mut missing = std::mem::take(&mut self.missing);
        for setting in &self.map.entries {
            let key = &setting.key;
            if key.text.is_empty() || self.known.contains(&key.text.as_str()) {
                continue;
            }
            let message = format!("{} has no setting `{}`", self.owner, key.text);
            let mut diagnostic = Diagnostic::error(Code::UnknownKey, key.span, message);
            let free = |k: &&'static str| self.map.get(k).is_none();
            let synonym = synonyms(&key.text).iter().copied().filter(|s| self.known.contains(s)).find(free);
            let similar = || closest(&key.text, self.known.iter().copied());
            match (synonym, similar()) {
                (Some(known), _) => {
                    missing.retain(|m| *m != known);
                    diagnostic = diagnostic.fix(Fix::sure(format!("the word is `{known}`"), key.span, known));
                }
                (None, Some(known)) => {
                    missing.retain(|m| *m != known);
                    diagnostic = diagnostic.fix(Fix::maybe(format!("did you mean `{known}`?"), key.span, known));
                }
                (None, None) if self.known.is_empty() => {}
                (None, None) => {
                    let mut words: Vec<String> = Vec::new();
                    for key in &self.known {
                        let word = format!("`{key}`");
                        if !words.contains(&word) {
                            words.push(word);
                        }
                    }
                    diagnostic = diagnostic.note(format!("its settings are {}", words.join(", ")));
                }
            }
            self.problems.push(diagnostic);
        }
        if let Some((last, rest)) = missing.split_last() {
            let words = match rest {
                [] => format!("`{last}`"),
                _ => format!("{} and `{last}`", listed(rest)),
            };
            let message = format!("{} needs {words}", self.owner);
            let fix = self.usual(&missing);
            self.problems.push(Diagnostic::error(Code::MissingKey, self.span, message).fixes(fix));
        }
    }

    /// The fix that gives what is missing its usual values.
    fn usual(&self, missing: &[&'static str]) -> Option<Fix> {
        let usual = |key: &'static str| Some((key, remedy::usual(self.owner, key, &self.known)?));
        let settings: Vec<(&str, &str)> = missing.iter().map(|key| usual(key)).collect::<Option<_>>()?;
        let title = settings.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(", ");
        let edit = match self.map.layout {
            Layout::Absent if self.inner => Edit { span: self.span, text: format!("{{{}: {{{title}}}}}", self.owner) },
            _ => remedy::insertion(self.map, self.span, &settings)?,
        };
        Some(remedy::fix(title, edit))
    }

    /// Reports a value of the wrong type.
    pub fn wrong_type(&mut self, key: &str, value: &Value, expected: &str) {
        let message = format!("`{key}` must be {expected}, but is {}", value.data.describe());
        self.problems.push(Diagnostic::error(Code::WrongType, value.span, message));
    }

    /// Reports a number out of range.
    pub fn out_of_range(&mut self, key: &str, value: &Value, expected: &str, meant: impl IntoIterator<Item = Fix>) {
        let message = match &value.data {
            Data::Integer(n) => format!("`{key}` must be {expected}, but is {n}"),
            Data::Real(x) => format!("`{key}` must be {expected}, but is {x:?}"),
            _ => format!("`{key}` must be {expected}"),
        };
        self.problems.push(Diagnostic::error(Code::OutOfRange, value.span, message).fixes(meant));
    }

    /// A whole number of at least `least`.
    pub fn whole(&mut self, key: &str, value: &Value, least: usize) -> Option<usize> {
        let range = format!("a whole number from {least} to {LARGEST}");
        match &value.data {
            Data::Integer(n) => match usize::try_from(*n) {
                Ok(n) if (least..=LARGEST).contains(&n) => return Some(n),
                _ => {
                    let meant = remedy::whole(key, *n, least).map(|n| n.to_string());
                    self.out_of_range(key, value, &range, meant.map(|n| Fix::maybe(n.clone(), value.span, n)));
                }
            },
            Data::Real(x) if x.fract() == 0.0 && x.abs() < LARGEST as f64 => {
                let message = format!("`{key}` must be a whole number, but is written with a point");
                let diagnostic = Diagnostic::error(Code::WrongType, value.span, message);
                self.problems.push(diagnostic.fix(Fix::sure(format!("{x:.0}"), value.span, format!("{x:.0}"))));
            }
            Data::Real(x) if x.abs() >= LARGEST as f64 => self.out_of_range(key, value, &range, None),
            Data::Real(x) => {
                let message = format!("`{key}` must be a whole number, but is {x:?}");
                self.problems.push(Diagnostic::error(Code::WrongType, value.span, message));
            }
            Data::Text(text) => {
                let message = format!("`{key}` must be a whole number, but is text");
                let mut diagnostic = Diagnostic::error(Code::WrongType, value.span, message);
                if let Ok(number) = text.parse::<u32>() {
                    diagnostic = diagnostic.fix(Fix::sure(number.to_string(), value.span, number.to_string()));
                }
                self.problems.push(diagnostic);
            }
            _ => self.wrong_type(key, value, "a whole number"),
        }
        None
    }

    /// A whole number that must be there.
    pub fn count(&mut self, key: &'static str) -> Option<usize> {
        let value = self.require(key)?;
        self.whole(key, value, 1)
    }

    /// A whole number of at least `least`, or the default.
    pub fn count_or(&mut self, key: &'static str, least: usize, default: usize) -> Option<usize> {
        match self.get(key) {
            Some(value) => self.whole(key, value, least),
            None => Some(default),
        }
    }

    /// One number for both axes or `[height, width]`, each at least 1.
    pub fn pair_of(&mut self, key: &str, value: &Value) -> Option<[usize; 2]> {
        match &value.data {
            Data::List(items) => match items.as_slice() {
                [height, width] => {
                    let (height, width) = (self.whole(key, height, 1), self.whole(key, width, 1));
                    Some([height?, width?])
                }
                _ => {
                    let message =
                        format!("`{key}` must be one number or [height, width], but has {} values", items.len());
                    let alone = alone(value).map(|n| Fix::maybe(n.clone(), value.span, n));
                    self.problems.push(Diagnostic::error(Code::WrongType, value.span, message).fixes(alone));
                    None
                }
            },
            Data::Map(_) | Data::Null | Data::Flag(_) => {
                self.wrong_type(key, value, "one number or [height, width]");
                None
            }
            Data::Integer(_) | Data::Real(_) | Data::Text(_) => self.whole(key, value, 1).map(|n| [n, n]),
        }
    }

    /// As [`pair_of`](Self::pair_of), for a setting that must be there.
    pub fn pair(&mut self, key: &'static str) -> Option<[usize; 2]> {
        let value = self.require(key)?;
        self.pair_of(key, value)
    }

    /// As [`pair_of`](Self::pair_of), or the default.
    pub fn pair_or(&mut self, key: &'static str, default: [usize; 2]) -> Option<[usize; 2]> {
        match self.get(key) {
            Some(value) => self.pair_of(key, value),
            None => Some(default),
        }
    }

    /// A number within `bounds`.
    pub fn number_of(&mut self, key: &str, value: &Value, bounds: Bounds) -> Option<f64> {
        let number = match &value.data {
            Data::Integer(n) => *n as f64,
            Data::Real(x) => *x,
            Data::Text(text) => {
                let message = format!("`{key}` must be a number, but is text");
                let mut diagnostic = Diagnostic::error(Code::WrongType, value.span, message);
                if text.parse::<f64>().is_ok_and(f64::is_finite) {
                    diagnostic = diagnostic.fix(Fix::sure(text.clone(), value.span, text.clone()));
                }
                self.problems.push(diagnostic);
                return None;
            }
            Data::Flag(flag) if key == "flip" => {
                let number = if *flag { "0.5" } else { "0" };
                let message = format!("`{key}` must be a number, but is {flag}");
                let diagnostic = Diagnostic::error(Code::WrongType, value.span, message);
                let fix = Fix::maybe(number, value.span, number).effect("the share of images that are flipped");
                self.problems.push(diagnostic.fix(fix));
                return None;
            }
            _ => {
                self.wrong_type(key, value, "a number");
                return None;
            }
        };
        if bounds.holds(number) {
            return Some(number);
        }
        let meant = remedy::number(number, bounds).map(|(x, effect)| {
            let title = format!("{x}");
            Fix::maybe(title.clone(), value.span, title).effect(effect)
        });
        self.out_of_range(key, value, bounds.describe(), meant);
        None
    }

    /// A number that must be there.
    pub fn number(&mut self, key: &'static str, bounds: Bounds) -> Option<f64> {
        let value = self.require(key)?;
        self.number_of(key, value, bounds)
    }

    /// A number, or the default.
    pub fn number_or(&mut self, key: &'static str, bounds: Bounds, default: f64) -> Option<f64> {
        match self.get(key) {
            Some(value) => self.number_of(key, value, bounds),
            None => Some(default),
        }
    }

    /// True or false, or the default.
    pub fn flag_or(&mut self, key: &'static str, default: bool) -> Option<bool> {
        let Some(value) = self.get(key) else { return Some(default) };
        let word = match &value.data {
            Data::Flag(flag) => return Some(*flag),
            Data::Text(text) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" => "true",
                "no" | "off" | "n" => "false",
                _ => "",
            },
            Data::Integer(1) => "true",
            Data::Integer(0) => "false",
            _ => "",
        };
        let message = format!("`{key}` must be true or false, but is {}", value.data.describe());
        let mut diagnostic = Diagnostic::error(Code::WrongType, value.span, message);
        if !word.is_empty() {
            diagnostic = diagnostic.fix(Fix::sure(word, value.span, word));
        }
        self.problems.push(diagnostic);
        None
    }

    /// One of `words`, alone or as the only key of settings.
    pub fn pick_of(&mut self, key: &str, value: &Value, words: &[&'static str]) -> Option<Pick> {
        let (text, span, map) = match &value.data {
            Data::Text(text) => (text, value.span, Map::absent(value.span)),
            Data::Map(map) => match map.entries.as_slice() {
                [only] => {
                    let inner = match &only.value.data {
                        Data::Map(inner) => inner.clone(),
                        Data::Null => Map::absent(only.key.span),
                        other => {
                            let message = format!(
                                "the settings of `{}` must be by key, but are {}",
                                only.key.text,
                                other.describe()
                            );
                            self.problems.push(Diagnostic::error(Code::WrongType, only.value.span, message));
                            return None;
                        }
                    };
                    (&only.key.text, only.key.span, inner)
                }
                entries => {
                    let message =
                        format!("`{key}` must be one of its kinds with settings, but has {} keys", entries.len());
                    let diagnostic = Diagnostic::error(Code::WrongType, value.span, message);
                    self.problems.push(diagnostic.note(format!("kinds are {}", listed(words))));
                    return None;
                }
            },
            other => {
                let message = format!("`{key}` must be one of {}, but is {}", listed(words), other.describe());
                let diagnostic = Diagnostic::error(Code::WrongType, value.span, message);
                self.problems.push(diagnostic.fixes(each_of(words, value.span)));
                return None;
            }
        };
        match words.iter().find(|w| **w == text.as_str()) {
            Some(word) => Some(Pick { word, span, map }),
            None => {
                let message = format!("`{text}` is no `{key}`");
                let mut diagnostic = Diagnostic::error(Code::UnknownWord, span, message);
                diagnostic = match synonyms(text).iter().find(|s| words.contains(s)).copied() {
                    Some(word) => diagnostic.fix(Fix::maybe(format!("the word is `{word}`"), span, word)),
                    None => match closest(text, words.iter().copied()) {
                        Some(word) => diagnostic.fix(Fix::maybe(format!("did you mean `{word}`?"), span, word)),
                        None => {
                            let diagnostic = diagnostic.note(format!("possible are {}", listed(words)));
                            diagnostic.fixes(each_of(words, span).filter(|_| map.layout == Layout::Absent))
                        }
                    },
                };
                self.problems.push(diagnostic);
                None
            }
        }
    }

    /// One of `words` alone, or the default.
    pub fn word_or(
        &mut self,
        key: &'static str,
        words: &[&'static str],
        default: &'static str,
    ) -> Option<&'static str> {
        let Some(value) = self.get(key) else { return Some(default) };
        if matches!(value.data, Data::Map(_)) {
            self.wrong_type(key, value, &format!("one of {}", listed(words)));
            return None;
        }
        self.pick_of(key, value, words).map(|p| p.word)
    }
}

/// The edit of the settings of `owner`, a word in the text, that gives `key` this value, whether or not it is there.
pub(super) fn edit(map: &Map, owner: Span, key: &str, value: &str) -> Edit {
    if let Some(setting) = map.get(key) {
        return Edit { span: setting.value.span, text: value.to_string() };
    }
    // What a layer of the netc language reads stands before it.
    let within = map.entries.iter().rev().map(|s| s.key.span.to(s.value.span));
    let last = within.into_iter().find(|s| s.start >= map.span.start);
    match (map.layout, last) {
        (Layout::Bare, _) => Edit { span: map.span.after(), text: format!("({key}: {value})") },
        (Layout::Parentheses, None) => Edit { span: map.span, text: format!("({key}: {value})") },
        (Layout::Braces | Layout::Parentheses, Some(last)) => {
            Edit { span: last.after(), text: format!(", {key}: {value}") }
        }
        (Layout::Lines(indent), Some(last)) => {
            Edit { span: last.after(), text: format!("\n{:indent$}{key}: {value}", "", indent = indent as usize) }
        }
        (Layout::Absent, _) => Edit { span: owner.after(), text: format!(": {{{key}: {value}}}") },
        (_, None) => Edit { span: map.span, text: format!("{{{key}: {value}}}") },
    }
}

/// A fix for each word of a few.
fn each_of(words: &[&'static str], span: Span) -> impl Iterator<Item = Fix> {
    let few = if words.len() <= 3 { words } else { &[] };
    few.iter().map(move |&word| Fix::maybe(word, span, word))
}

/// The number of a list of numbers that are all alike.
pub(super) fn alone(list: &Value) -> Option<String> {
    let Data::List(items) = &list.data else { return None };
    let first = &items.first()?.data;
    let alike = matches!(first, Data::Integer(_) | Data::Real(_)) && items.iter().all(|item| item.data == *first);
    alike.then(|| crate::spec::flow(&items[0]))
}

/// A fix of one edit that the user must choose.
pub(super) fn choice(title: String, effect: String, edit: Edit) -> Fix {
    Fix { title, effect, edits: vec![edit], applicability: Applicability::Maybe }
}

/// Words for a message.
pub(super) fn listed(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

/// What netc calls that which other tools call `word`: the candidates, of which a place knows one or none.
pub(super) fn synonyms(word: &str) -> &'static [&'static str] {
    match word.to_ascii_lowercase().as_str() {
        "filters" | "out_channels" | "channels" | "out_planes" | "planes" | "num_filters" | "n_filters"
        | "output_channels" | "out_ch" | "filter" | "nout" => &["kernels", "features"],
        "num_output" | "outputs" | "n_out" => &["kernels", "features"],
        "units" | "out_features" | "neurons" | "nodes" | "hidden" | "hidden_units" | "width" | "dim" => &["features"],
        "kernel" | "ksize" | "window" | "window_size" | "pool_size" | "filter_size" | "kernel_shape" | "kernelsize"
        | "k_size" | "size" => &["kernel_size", "size", "shape", "output", "features"],
        "pad" | "pads" | "paddings" => &["padding"],
        "strides" | "step" | "subsample" => &["stride", "every"],
        "dilation_rate" | "dilations" | "dilate" | "rate" => &["dilation", "p", "lr"],
        "group" | "num_groups" | "feature_group_count" => &["groups"],
        "use_bias" | "bias_term" | "with_bias" => &["bias"],
        "ceil_mode" | "round_mode" | "auto_pad" => &["rounding"],
        "include_pad" => &["count_include_pad"],
        "dropout_ratio" | "prob" | "probability" | "drop_prob" | "dropout" | "drop" | "ratio" => &["p"],
        "local_size" | "n" | "depth_radius" | "nsize" => &["size"],
        "eps" => &["epsilon"],
        "output_size" | "out_size" => &["output"],
        "dims" | "dimensions" | "input_shape" | "input_size" => &["shape"],
        "id" | "label" | "title" => &["name"],
        "inputs" | "input" | "bottom" | "in" | "source" | "sources" => &["from"],
        "initializer" | "kernel_initializer" | "weight_filler" | "filler" | "weight_init" => &["init", "weight"],
        "kernel_init" | "weights" | "w" => &["weight"],
        "bias_filler" | "bias_init" | "bias_initializer" | "b" => &["bias"],
        "learning_rate" | "base_lr" | "lr_rate" | "eta" | "step_length" => &["lr"],
        "decay" | "l2" | "wd" | "regularization" => &["weight_decay"],
        "beta_1" | "b1" => &["beta1"],
        "beta_2" | "b2" => &["beta2"],
        "batch_size" | "batchsize" | "minibatch" => &["batch"],
        "num_epochs" | "n_epochs" | "max_epochs" | "epoch" => &["epochs"],
        "lr_schedule" | "scheduler" | "lr_scheduler" | "lr_policy" | "policy" => &["schedule"],
        "warmup_steps" | "warm_up" | "warmup_iters" => &["warmup"],
        "criterion" | "objective" | "loss_function" => &["loss"],
        "optim" | "solver" | "optimiser" => &["optimizer"],
        "smoothing" => &["label_smoothing"],
        "factor" | "lr_decay" => &["gamma"],
        "step_size" | "interval" | "period" => &["every"],
        "eta_min" | "min_lr" | "min" => &["minimum", "low"],
        "milestones" | "steps" | "stepvalue" => &["epochs"],
        "max_times" => &["times"],
        "mean_value" | "means" | "mu" => &["mean"],
        "sigma" | "stddev" | "stds" | "scale" => &["std", "gain"],
        "mirror" | "horizontal_flip" | "hflip" => &["flip"],
        "crop_size" | "random_crop" => &["crop"],
        "channel_order" | "color" | "colour" | "order" => &["channels"],
        "lr_multiplier" => &["lr_mult"],
        "decay_multiplier" | "wd_mult" => &["decay_mult"],
        "softmax_cross_entropy"
        | "crossentropy"
        | "categorical_crossentropy"
        | "sparse_categorical_crossentropy"
        | "ce"
        | "nll"
        | "softmax_loss"
        | "crossentropyloss" => &["cross_entropy"],
        "mean_squared_error" | "l2_loss" | "euclidean" | "mseloss" => &["mse"],
        "momentum_sgd" | "nesterov" => &["sgd"],
        "he" | "he_normal" | "msra" | "kaiming" => &["kaiming_normal"],
        "he_uniform" => &["kaiming_uniform"],
        "glorot" | "xavier" | "glorot_uniform" => &["xavier_uniform"],
        "glorot_normal" => &["xavier_normal"],
        "gaussian" | "random_normal" | "truncated_normal" => &["normal"],
        "random_uniform" => &["uniform"],
        "zero" => &["zeros"],
        "ones" | "one" => &["constant"],
        "center_crop" | "centre" | "centercrop" => &["center"],
        "multistep" | "multi_step" => &["milestones"],
        "reduce_on_plateau" => &["plateau"],
        "cosine_annealing" | "cos" => &["cosine"],
        "fixed" | "none" | "const" => &["constant", "none"],
        "up" | "round_up" => &["ceil"],
        "down" | "round_down" | "truncate" => &["floor"],
        "middle" => &["center"],
        _ => &[],
    }
}
