//! Unfolds what is written short: parameters and arithmetic become numbers, blocks become their layers.
//!
//! A block is a named list of layers with parameters of its own. Where it is used, its layers stand in its place, called
//! `use.layer`; within it `from: input` is what the use reads, and `from: use` outside is its last layer. `repeat: n`
//! puts n of them one after the other, called `use.1`, `use.2`, ….

use super::expression::{Scope, evaluate, words};
use super::read::entries;
use super::{Data, LayerEntry, Map, Name, Setting, Spec, Value};
use crate::diag::{Code, Diagnostic, Fix, closest};
use crate::source::Span;
use std::collections::{BTreeMap, BTreeSet};

/// Layers of a spec, those of unfolded blocks included.
const MOST_LAYERS: usize = 10_000;
/// Blocks within blocks.
const DEEPEST: usize = 16;

/// Words that mean something as a value, so that no parameter can be called so.
const TAKEN: &[&str] = &[
    "same",
    "floor",
    "ceil",
    "zeros",
    "constant",
    "normal",
    "uniform",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "fan_in",
    "fan_out",
    "relu",
    "leaky_relu",
    "tanh",
    "sigmoid",
    "linear",
    "cross_entropy",
    "mse",
    "sgd",
    "adam",
    "adamw",
    "torch",
    "caffe",
    "step",
    "milestones",
    "cosine",
    "plateau",
    "none",
    "center",
    "random",
    "rgb",
    "bgr",
    "input",
    "true",
    "false",
    "null",
];

struct Block {
    params: Map,
    layers: Vec<LayerEntry>,
    span: Span,
}

struct Expander {
    blocks: BTreeMap<String, Block>,
    globals: Scope,
    problems: Vec<Diagnostic>,
    layers: Vec<LayerEntry>,
    /// The first of the layers of a name, and where it is written.
    names: BTreeMap<String, Span>,
    /// Blocks that were reported to contain themselves.
    endless: BTreeSet<String>,
    /// The layer that a name of a use stands for, and where the use is written.
    aliases: BTreeMap<String, (String, Span)>,
    /// Words of expressions: the parameters that something uses are among them.
    used: BTreeSet<String>,
}

/// The spec with every expression evaluated and every block unfolded. What is wrong is added to its problems.
pub fn expand(spec: &Spec) -> Spec {
    let mut out = spec.clone();
    if spec.broken || spec.expanded {
        return out;
    }
    out.expanded = true;
    let mut expander = Expander {
        blocks: BTreeMap::new(),
        globals: Scope::new(),
        problems: std::mem::take(&mut out.problems),
        layers: Vec::new(),
        names: BTreeMap::new(),
        endless: BTreeSet::new(),
        aliases: BTreeMap::new(),
        used: BTreeSet::new(),
    };
    if let Some(setting) = spec.sections.get("include") {
        let message = "files can be included only where a spec is read from a file";
        expander.error(Code::FailedInclude, setting.key.span, message.to_string());
        out.broken = true;
    }
    if let Some(setting) = spec.sections.get("params") {
        expander.globals = expander.parameters(&setting.value, &Scope::new());
    }
    if let Some(setting) = spec.sections.get("blocks") {
        expander.read_blocks(&setting.value);
    }
    for setting in &mut out.sections.entries {
        if matches!(setting.key.text.as_str(), "input" | "init" | "train" | "preprocess") {
            let globals = expander.globals.clone();
            expander.value(&mut setting.value, &globals);
        }
    }
    let input = input_name(&out);
    let globals = expander.globals.clone();
    expander.list(&out.layers, "", &globals, &input, None, &mut Vec::new());
    if let Some(Data::Map(params)) = spec.sections.get("params").map(|s| &s.value.data) {
        expander.unused(params, spec.span);
    }
    let Expander { problems, mut layers, aliases, .. } = expander;
    for layer in &mut layers {
        for setting in &mut layer.settings.entries {
            if setting.key.text == "from" {
                rename(&mut setting.value, &|name| resolve(name, &aliases));
            }
        }
    }
    out.layers = layers;
    out.problems = problems;
    out
}

/// Where `expanded` has a value that was an expression or a parameter in `spec`.
pub(crate) fn computed(spec: &Spec, expanded: &Spec) -> BTreeSet<Span> {
    fn texts(value: &Value, spans: &mut BTreeSet<Span>) {
        match &value.data {
            Data::Text(_) => drop(spans.insert(value.span)),
            Data::List(items) => items.iter().for_each(|item| texts(item, spans)),
            Data::Map(map) => map.entries.iter().for_each(|s| texts(&s.value, spans)),
            Data::Null | Data::Flag(_) | Data::Integer(_) | Data::Real(_) => {}
        }
    }
    let of = |spec: &Spec, sections: &dyn Fn(&str) -> bool| {
        let mut spans = BTreeSet::new();
        let layers = spec.layers.iter().flat_map(|layer| &layer.settings.entries);
        let sections = spec.sections.entries.iter().filter(|s| sections(&s.key.text));
        sections.chain(layers).for_each(|setting| texts(&setting.value, &mut spans));
        spans
    };
    let (written, left) = (of(spec, &|_| true), of(expanded, &|key| !matches!(key, "blocks" | "params")));
    &written - &left
}

pub(super) fn input_name(spec: &Spec) -> String {
    let Some(Data::Map(map)) = spec.sections.get("input").map(|s| &s.value.data) else { return "input".to_string() };
    match map.get("name").map(|s| &s.value.data) {
        Some(Data::Text(name)) => name.clone(),
        _ => "input".to_string(),
    }
}

/// The layer behind a name; a block's last layer may itself be a use.
fn resolve(name: &str, aliases: &BTreeMap<String, (String, Span)>) -> String {
    let mut name = name;
    for _ in 0..=DEEPEST * 2 {
        match aliases.get(name) {
            Some((layer, _)) => name = layer,
            None => break,
        }
    }
    name.to_string()
}

/// Applies `change` to every name of a `from`.
pub(super) fn rename(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match &mut value.data {
        Data::Text(name) => *name = change(name),
        Data::List(items) => items.iter_mut().for_each(|item| rename(item, change)),
        Data::Null | Data::Flag(_) | Data::Integer(_) | Data::Real(_) | Data::Map(_) => {}
    }
}

impl Expander {
    fn error(&mut self, code: Code, span: Span, message: String) {
        self.problems.push(Diagnostic::error(code, span, message));
    }

    /// Evaluates a value and what is in it, names excepted.
    fn value(&mut self, value: &mut Value, scope: &Scope) {
        match &mut value.data {
            Data::Text(text) => {
                self.used.extend(words(text).map(str::to_string));
                match evaluate(text, value.span, scope) {
                    Ok(Some(data)) => value.data = data,
                    Ok(None) => {}
                    Err(diagnostic) => self.problems.push(*diagnostic),
                }
            }
            Data::List(items) => items.iter_mut().for_each(|item| self.value(item, scope)),
            Data::Map(map) => self.settings(map, scope),
            Data::Null | Data::Flag(_) | Data::Integer(_) | Data::Real(_) => {}
        }
    }

    fn settings(&mut self, map: &mut Map, scope: &Scope) {
        for setting in &mut map.entries {
            if !matches!(setting.key.text.as_str(), "name" | "from") {
                self.value(&mut setting.value, scope);
            }
        }
    }

    /// Values by name, each of which may use those before it and `outer`.
    fn parameters(&mut self, value: &Value, outer: &Scope) -> Scope {
        let mut scope = outer.clone();
        let Data::Map(map) = &value.data else {
            let message = format!("`params` must be values by name, but is {}", value.data.describe());
            self.error(Code::WrongType, value.span, message);
            return scope;
        };
        for setting in &map.entries {
            if self.good_parameter(&setting.key) {
                let mut value = setting.value.clone();
                self.value(&mut value, &scope);
                scope.insert(setting.key.text.clone(), value.data);
            }
        }
        scope
    }

    /// Warns of parameters of the spec's own file that no expression names.
    fn unused(&mut self, params: &Map, own: Span) {
        for Setting { key, .. } in params.entries.iter().filter(|s| own.to(s.key.span) == own) {
            if self.globals.contains_key(&key.text) && !self.used.contains(&key.text) {
                let message = format!("nothing uses the parameter `{}`", key.text);
                let fix = params.removal(&key.text).map(|span| Fix::maybe("remove it", span, ""));
                self.problems.push(Diagnostic::warning(Code::UnusedSetting, key.span, message).fixes(fix));
            }
        }
    }

    fn good_parameter(&mut self, name: &Name) -> bool {
        let text = name.text.as_str();
        let word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !word || !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let message = format!("`{text}` is no name for a parameter: use letters, digits and `_`");
            self.error(Code::InvalidName, name.span, message);
            return false;
        }
        if TAKEN.contains(&text) {
            self.error(Code::InvalidName, name.span, format!("a parameter cannot be called `{text}`: that is a value"));
            return false;
        }
        true
    }

    fn read_blocks(&mut self, value: &Value) {
        let Data::Map(map) = &value.data else {
            let message = format!("`blocks` must be blocks by name, but is {}", value.data.describe());
            self.error(Code::WrongType, value.span, message);
            return;
        };
        for setting in &map.entries {
            let name = &setting.key;
            let Data::Map(body) = &setting.value.data else {
                let message =
                    format!("the block `{}` must be settings, but is {}", name.text, setting.value.data.describe());
                self.error(Code::WrongType, setting.value.span, message);
                continue;
            };
            for part in body.entries.iter().filter(|s| !matches!(s.key.text.as_str(), "params" | "layers")) {
                let message = format!("the block `{}` has no setting `{}`", name.text, part.key.text);
                let mut diagnostic = Diagnostic::error(Code::UnknownKey, part.key.span, message);
                if let Some(known) = closest(&part.key.text, ["params", "layers"]) {
                    diagnostic = diagnostic.fix(Fix::maybe(format!("did you mean `{known}`?"), part.key.span, known));
                }
                self.problems.push(diagnostic);
            }
            let params = match body.get("params").map(|s| &s.value) {
                Some(Value { data: Data::Map(params), .. }) => params.clone(),
                Some(other) => {
                    let message = format!("`params` must be values by name, but is {}", other.data.describe());
                    self.error(Code::WrongType, other.span, message);
                    continue;
                }
                None => Map::absent(name.span),
            };
            let layers = match body.get("layers").map(|s| s.value.clone()) {
                Some(value) => entries(value, &mut self.problems).unwrap_or_default(),
                None => Vec::new(),
            };
            if layers.is_empty() {
                self.error(Code::MissingKey, name.span, format!("the block `{}` has no layers", name.text));
            }
            self.blocks.insert(name.text.clone(), Block { params, layers, span: name.span });
        }
    }

    /// Unfolds a list of layers whose names begin with `prefix` and whose first layer reads `source`, or by default the
    /// layer before. Gives the name of the last one. `within`: the blocks around.
    fn list(
        &mut self,
        list: &[LayerEntry],
        prefix: &str,
        scope: &Scope,
        source: &str,
        explicit: Option<&Value>,
        within: &mut Vec<String>,
    ) -> String {
        let mut last = source.to_string();
        for (i, entry) in list.iter().enumerate() {
            if self.layers.len() >= MOST_LAYERS {
                if self.layers.len() == MOST_LAYERS {
                    let message = format!("the spec has more than {MOST_LAYERS} layers");
                    self.error(Code::SizeLimit, entry.span, message);
                    self.push(entry.clone());
                }
                return last;
            }
            let mut entry = entry.clone();
            self.settings(&mut entry.settings, scope);
            if !prefix.is_empty() {
                entry.name.text = format!("{prefix}{}", entry.name.text);
                entry.named = true;
                if let Some(from) = entry.settings.entries.iter_mut().find(|s| s.key.text == "from") {
                    rename(&mut from.value, &|name| match name {
                        "input" => source.to_string(),
                        name => format!("{prefix}{name}"),
                    });
                } else if let (0, Some(value)) = (i, explicit) {
                    let key = Name { text: "from".to_string(), span: value.span };
                    entry.settings.entries.push(Setting { key, value: value.clone() });
                }
            }
            last = match self.blocks.contains_key(&entry.kind.text) {
                true => self.unfold(&entry, &last, within),
                false => {
                    let name = entry.name.text.clone();
                    self.push(entry);
                    name
                }
            };
        }
        last
    }

    /// Unfolds the use of a block. Gives the name of its last layer.
    fn unfold(&mut self, entry: &LayerEntry, before: &str, within: &mut Vec<String>) -> String {
        let (kind, name) = (&entry.kind.text, &entry.name.text);
        if within.contains(kind) || within.len() >= DEEPEST {
            if self.endless.insert(kind.clone()) {
                self.error(Code::Cycle, entry.kind.span, format!("the block `{kind}` contains itself"));
            }
            return self.stand_in(entry);
        }
        let first = self.aliases.get(name).map(|a| a.1);
        if let Some(first) = first.or(self.names.get(name).copied()) {
            let message = format!("two layers are called `{name}`");
            let diagnostic = Diagnostic::error(Code::DuplicateName, entry.name.span, message);
            let taken = |name: &String| self.names.contains_key(name) || self.aliases.contains_key(name);
            let free = (2..).map(|n| format!("{name}_{n}")).find(|name| !taken(name));
            let fix = free
                .filter(|_| within.is_empty() && entry.named)
                .map(|free| Fix::maybe(free.clone(), entry.name.span, free));
            self.problems.push(diagnostic.at("again here").label(first, "first here").fixes(fix));
            return self.stand_in(entry);
        }
        let Some((arguments, times)) = self.arguments(entry) else { return self.stand_in(entry) };
        let from = entry.settings.get("from").map(|s| s.value.clone());
        let source = match from.as_ref().map(|v| &v.data) {
            None => before.to_string(),
            Some(Data::Text(name)) => name.clone(),
            Some(other) => {
                let message = format!("a block reads one layer, but `from` of {name} is {}", other.describe());
                let span = from.as_ref().map_or(entry.span, |v| v.span);
                self.error(Code::InputCount, span, message);
                return self.stand_in(entry);
            }
        };
        let layers = self.blocks.get(kind).map(|b| b.layers.clone()).unwrap_or_default();
        within.push(kind.clone());
        let mut last = source;
        let mut explicit = from;
        for copy in 1..=times {
            let prefix = if times == 1 { format!("{name}.") } else { format!("{name}.{copy}.") };
            let source = last;
            last = self.list(&layers, &prefix, &arguments, &source, explicit.as_ref(), within);
            explicit = None;
        }
        within.pop();
        self.aliases.insert(name.clone(), (last.clone(), entry.name.span));
        last
    }

    /// Something of the same name for other layers to read, after a reported error.
    fn stand_in(&mut self, entry: &LayerEntry) -> String {
        let kind = Name { text: String::new(), span: entry.kind.span };
        self.push(LayerEntry { kind, settings: Map::absent(entry.span), ..entry.clone() });
        entry.name.text.clone()
    }

    fn push(&mut self, layer: LayerEntry) {
        self.names.entry(layer.name.text.clone()).or_insert(layer.name.span);
        self.layers.push(layer);
    }

    /// The scope within a block and how often it stands there. The settings of the use are evaluated already.
    fn arguments(&mut self, entry: &LayerEntry) -> Option<(Scope, usize)> {
        let block = self.blocks.get(&entry.kind.text)?;
        let (params, defined) = (block.params.clone(), block.span);
        let mut given: Vec<&Setting> = Vec::new();
        let mut times = Some(1);
        let mut good = true;
        for setting in &entry.settings.entries {
            match setting.key.text.as_str() {
                "from" => {}
                "repeat" => {
                    times = match setting.value.data {
                        Data::Integer(n) => usize::try_from(n).ok().filter(|n| (1..=MOST_LAYERS).contains(n)),
                        _ => None,
                    };
                    if times.is_none() {
                        let message = format!("`repeat` must be a whole number from 1 to {MOST_LAYERS}");
                        self.error(Code::OutOfRange, setting.value.span, message);
                    }
                }
                key if params.get(key).is_some() => given.push(setting),
                key => {
                    let message = format!("the block `{}` has no parameter `{key}`", entry.kind.text);
                    let mut diagnostic = Diagnostic::error(Code::UnknownKey, setting.key.span, message);
                    let names = params.entries.iter().map(|s| s.key.text.as_str());
                    if let Some(known) = closest(key, names.chain(["name", "from", "repeat"])) {
                        let title = format!("did you mean `{known}`?");
                        diagnostic = diagnostic.fix(Fix::maybe(title, setting.key.span, known));
                    }
                    self.problems.push(diagnostic.label(defined, "defined here"));
                    good = false;
                }
            }
        }
        let mut scope = self.globals.clone();
        for param in &params.entries {
            if !self.good_parameter(&param.key) {
                return None;
            }
            let data = match given.iter().find(|s| s.key.text == param.key.text) {
                Some(setting) => setting.value.data.clone(),
                None => {
                    let mut value = param.value.clone();
                    self.value(&mut value, &scope);
                    value.data
                }
            };
            if data == Data::Null {
                let message = format!("{} needs `{}`", entry.name.text, param.key.text);
                let diagnostic = Diagnostic::error(Code::MissingKey, entry.kind.span, message);
                self.problems.push(diagnostic.label(param.key.span, "has no default"));
                good = false;
            }
            scope.insert(param.key.text.clone(), data);
        }
        if good { times.map(|times| (scope, times)) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;
    use crate::spec::{parse, print};

    fn expanded(text: &str) -> (String, Vec<String>) {
        let spec = expand(&parse(&mut Sources::new(), "t", text));
        let layers: Vec<String> =
            print(&spec).lines().filter(|l| l.starts_with("  - ")).map(|l| l[4..].to_string()).collect();
        (layers.join("\n"), spec.problems.iter().map(|d| d.message.clone()).collect())
    }

    #[test]
    fn parameters_and_arithmetic_become_numbers() {
        let (layers, problems) = expanded(
            "params: {width: 96, half: width//2}\nlayers:\n  - conv: {kernels: half*3, kernel_size: [3, half], name: width}\n",
        );
        assert_eq!((layers.as_str(), problems.len()), ("conv: {name: width, kernels: 144, kernel_size: [3, 48]}", 0));
    }

    #[test]
    fn blocks_become_their_layers() {
        let (layers, problems) = expanded(
            "params: {base: 8}\nblocks:\n  residual:\n    params: {channels: base, stride: 1}\n    layers:\n    - conv: {name: a, kernels: channels}\n    - relu\n    - add: {from: [relu1, input]}\n\
             layers:\n  - residual: {name: one}\n  - residual: {name: two, channels: base*2, repeat: 2}\n  - residual: {from: one, name: three}\n  - concat: {from: [two, three]}\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(
            layers,
            "conv: {name: one.a, kernels: 8}\nrelu: {name: one.relu1}\nadd: {name: one.add1, from: [one.relu1, input]}\n\
             conv: {name: two.1.a, kernels: 16}\nrelu: {name: two.1.relu1}\nadd: {name: two.1.add1, from: [two.1.relu1, one.add1]}\n\
             conv: {name: two.2.a, kernels: 16}\nrelu: {name: two.2.relu1}\nadd: {name: two.2.add1, from: [two.2.relu1, two.1.add1]}\n\
             conv: {name: three.a, from: one.add1, kernels: 8}\nrelu: {name: three.relu1}\nadd: {name: three.add1, from: [three.relu1, one.add1]}\n\
             concat: {from: [two.2.add1, three.add1]}"
        );
    }

    #[test]
    fn wrong_uses_are_reported() {
        let text = "params: {same: 1, x y: 2}\nblocks:\n  b: {params: {n: null}, layers: [relu, b: {n: 1}]}\n  c: {layer: []}\nlayers:\n  - b\n  - b: {n: 1, m: 2}\n  - b: {n: 1, repeat: 0}\n  - b: {n: 2, name: z}\n  - b: {n: 2, name: z}\n";
        let (_, problems) = expanded(text);
        assert_eq!(
            problems,
            [
                "a parameter cannot be called `same`: that is a value",
                "`x y` is no name for a parameter: use letters, digits and `_`",
                "the block `c` has no setting `layer`",
                "the block `c` has no layers",
                "b1 needs `n`",
                "the block `b` has no parameter `m`",
                "`repeat` must be a whole number from 1 to 10000",
                "the block `b` contains itself",
                "two layers are called `z`",
            ]
        );
    }

    #[test]
    fn parameters_that_nothing_uses_are_pointed_out() {
        let (_, problems) = expanded(
            "params: {width: 8, half: width//2, rate: 0.1, idle: 1}\ntrain: {optimizer: {sgd: {lr: rate}}}\nlayers: [relu]\n",
        );
        assert_eq!(problems, ["nothing uses the parameter `half`", "nothing uses the parameter `idle`"]);
    }

    #[test]
    fn unfolding_has_a_limit() {
        let mut text = String::from("blocks:\n  b0: {layers: [relu]}\n");
        for i in 1..10 {
            text.push_str(&format!("  b{i}: {{layers: [b{}: {{repeat: 100}}]}}\n", i - 1));
        }
        text.push_str("layers: [b9]\n");
        let spec = expand(&parse(&mut Sources::new(), "t", &text));
        assert_eq!(spec.problems[0].code, Code::SizeLimit);
        assert!(spec.layers.len() <= MOST_LAYERS + 1);
    }
}
