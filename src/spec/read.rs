//! From text to [`Spec`]: finds the sections and the layers, and names the layers.

use super::recover::{self, Reading};
use super::{Damage, Data, LayerEntry, Layout, Map, Name, Setting, Spec, Syntax, Value, dsl};
use crate::diag::{Code, Diagnostic, Fix, closest};
use crate::source::{Sources, Span};
use std::collections::{BTreeMap, BTreeSet};

/// The longest spec in bytes.
const LONGEST: usize = 4 << 20;

/// The sections besides `layers`.
pub(super) const SECTIONS: &[&str] =
    &["net", "include", "input", "classes", "init", "params", "blocks", "train", "preprocess", "allow", "vary"];

/// What other tools call the sections.
const SYNONYMS: &[(&str, &str)] = &[
    ("name", "net"),
    ("network", "net"),
    ("model", "net"),
    ("layer", "layers"),
    ("nodes", "layers"),
    ("inputs", "input"),
    ("image", "input"),
    ("labels", "classes"),
    ("class_names", "classes"),
    ("solver", "train"),
    ("training", "train"),
    ("trainer", "train"),
    ("transform", "preprocess"),
    ("transforms", "preprocess"),
    ("transform_param", "preprocess"),
    ("preprocessing", "preprocess"),
    ("initializer", "init"),
    ("filler", "init"),
    ("parameters", "params"),
    ("variables", "params"),
    ("vars", "params"),
    ("includes", "include"),
    ("import", "include"),
    ("base", "include"),
    ("extends", "include"),
    ("modules", "blocks"),
    ("macros", "blocks"),
    ("ignore", "allow"),
    ("suppress", "allow"),
    ("variants", "vary"),
    ("sweep", "vary"),
    ("grid", "vary"),
];

/// Reads a spec from the bytes of a file, which is added to `sources` under `name`.
pub fn parse_bytes(sources: &mut Sources, name: &str, bytes: &[u8]) -> Spec {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) => return parse(sources, name, text),
        Err(error) => error,
    };
    let shown = &bytes[..bytes.len().min(LONGEST)];
    let whole = sources.add(name, String::from_utf8_lossy(shown));
    let at = whole.start.saturating_add(u32::try_from(error.valid_up_to()).unwrap_or(u32::MAX)).min(whole.end);
    let mut diagnostic = Diagnostic::error(Code::NotUtf8, Span { start: at, end: at }, "the spec is not UTF-8 text");
    diagnostic = diagnostic.at(format!("byte {} does not belong to any character", error.valid_up_to()));
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        diagnostic = diagnostic.note("it looks like UTF-16: convert it to UTF-8");
    }
    Spec { problems: vec![diagnostic], ..broken(whole) }
}

/// Reads a spec from a text, which is added to `sources` under `name`.
pub fn parse(sources: &mut Sources, name: &str, text: &str) -> Spec {
    if text.len() > LONGEST {
        let whole = sources.add(name, String::new());
        let message = format!("the spec is {} bytes long; the longest netc reads is {LONGEST}", text.len());
        return Spec { problems: vec![Diagnostic::error(Code::TooMuch, whole, message)], ..broken(whole) };
    }
    let whole = sources.add(name, text);
    if Syntax::of(name, text) == Syntax::Dsl {
        return dsl::read(text, whole);
    }
    let Reading { tree, problems, damage, lost } = recover::read(text, whole.start);
    match tree {
        _ if lost => Spec { problems, ..broken(whole) },
        None | Some(Value { data: Data::Null, .. }) if damage.is_empty() => {
            let diagnostic =
                Diagnostic::error(Code::EmptySpec, Span { end: whole.start, ..whole }, "the spec is empty");
            Spec { problems: vec![diagnostic.note("a spec needs `net`, `input` and `layers`")], ..broken(whole) }
        }
        Some(Value { data: Data::Map(map), .. }) => {
            let mut spec = Spec {
                syntax: Syntax::Yaml,
                span: whole,
                sections: Map { entries: Vec::new(), span: map.span, layout: map.layout },
                layers: Vec::new(),
                layers_span: None,
                problems,
                broken: damage.iter().any(leaves_nothing),
                damage,
                expanded: false,
            };
            let meant: Vec<Setting> = map.entries.into_iter().filter_map(|s| section(&mut spec, s)).collect();
            // What is wrong in it is told in the same run, and nothing is said to be missing.
            for setting in meant {
                match setting.key.text.as_str() {
                    "layers" if spec.layers_span.is_some() => {}
                    key if spec.sections.get(key).is_some() => {}
                    _ => drop(section(&mut spec, setting)),
                }
            }
            name_damaged(&mut spec);
            spec
        }
        _ if !damage.is_empty() => Spec { problems, ..broken(whole) },
        tree => {
            let what = tree.as_ref().map_or("nothing", |value| value.data.describe());
            let span = tree.as_ref().map_or(whole, |value| value.span);
            let message = format!("a spec is settings by key (`net: …`, `layers: …`), but this is {what}");
            let mut spec = Spec { problems, ..broken(whole) };
            spec.problems.push(Diagnostic::error(Code::WrongType, span, message));
            spec
        }
    }
}

/// Whether nothing can be said of a spec because of some damage: what it holds may matter anywhere.
fn leaves_nothing(damage: &Damage) -> bool {
    match damage.section.as_str() {
        "layers" | "blocks" => !damage.item,
        "params" | "include" | "allow" => true,
        section => !is_section(section),
    }
}

/// Whether a section is called so.
pub(super) fn is_section(word: &str) -> bool {
    word == "layers" || SECTIONS.contains(&word)
}

/// Gives damaged layers the names that they seem to have, so that others may read them.
fn name_damaged(spec: &mut Spec) {
    for layer in spec.layers.iter_mut().filter(|layer| layer.kind.text.is_empty()) {
        if let Some(damage) = spec.damage.iter().find(|d| d.item && d.touches(layer.span)) {
            layer.name.text.clone_from(&damage.name);
        }
    }
}

/// A spec of which nothing is known.
fn broken(span: Span) -> Spec {
    Spec {
        syntax: Syntax::Yaml,
        span,
        sections: Map::absent(span),
        layers: Vec::new(),
        layers_span: None,
        problems: Vec::new(),
        damage: Vec::new(),
        broken: true,
        expanded: false,
    }
}

/// Files a section. Gives back one with a wrong key under the key that must have been meant, where a spec cannot do
/// without that.
fn section(spec: &mut Spec, setting: Setting) -> Option<Setting> {
    let mut meant = None;
    let key = setting.key.text.as_str();
    if key == "layers" {
        spec.layers_span = Some(setting.key.span);
        layers(spec, setting.value);
        return None;
    } else if SECTIONS.contains(&key) {
        spec.sections.entries.push(setting);
        return None;
    } else if !key.is_empty() {
        let diagnostic =
            Diagnostic::error(Code::UnknownKey, setting.key.span, format!("a spec has no section `{key}`"));
        let (known, fix) = section_meant(&setting.key);
        meant = known.filter(|known| matches!(*known, "net" | "input" | "layers"));
        spec.problems.push(match fix {
            Some(fix) => diagnostic.fix(fix),
            None => diagnostic.note(sections_note()),
        });
    }
    let Setting { key, value } = setting;
    meant.map(|known| Setting { key: Name { text: known.to_string(), span: key.span }, value })
}

/// The section that a wrong word must have meant, and the fix that says so.
pub(super) fn section_meant(key: &Name) -> (Option<&'static str>, Option<Fix>) {
    let synonym = SYNONYMS.iter().find(|(word, _)| *word == key.text).map(|&(_, known)| known);
    let known = synonym.or_else(|| closest(&key.text, SECTIONS.iter().copied().chain(["layers"])));
    (known, known.map(|known| Fix::maybe(format!("did you mean `{known}`?"), key.span, known)))
}

/// The sections there are, for a note.
pub(super) fn sections_note() -> String {
    let known: Vec<String> = SECTIONS.iter().copied().chain(["layers"]).map(|s| format!("`{s}`")).collect();
    format!("sections are {}", known.join(", "))
}

fn layers(spec: &mut Spec, value: Value) {
    match entries(value, &mut spec.problems) {
        Some(entries) => spec.layers = entries,
        None => spec.broken = true,
    }
}

/// The layers of a list, all with names; `None` if it is none.
pub(super) fn entries(value: Value, problems: &mut Vec<Diagnostic>) -> Option<Vec<LayerEntry>> {
    let items = match value.data {
        Data::List(items) => items,
        Data::Null => return Some(Vec::new()),
        other => {
            let message = format!("`layers` is a list, but this is {}", other.describe());
            let diagnostic = Diagnostic::error(Code::WrongType, value.span, message);
            problems.push(diagnostic.note("write a line for each layer that starts with `- `, as `- relu`"));
            return None;
        }
    };
    let mut layers = Vec::new();
    for item in items {
        let span = item.span;
        layers.push(entry(item).unwrap_or_else(|diagnostic| {
            problems.push(*diagnostic);
            let nothing = Name { text: String::new(), span };
            LayerEntry { kind: nothing.clone(), name: nothing, named: true, settings: Map::absent(span), span }
        }));
    }
    name_layers(&mut layers);
    Some(layers)
}

/// One entry: a kind alone, or one kind with its settings.
fn entry(item: Value) -> Result<LayerEntry, Box<Diagnostic>> {
    let wrong = |span, message: String| Err(Box::new(Diagnostic::error(Code::WrongType, span, message)));
    let expected = "a layer is a kind alone (`relu`) or one kind with its settings (`conv: {kernels: 96, …}`)";
    match item.data {
        Data::Text(text) if !text.is_empty() => {
            let kind = Name { text, span: item.span };
            Ok(LayerEntry { name: kind.clone(), named: false, settings: Map::absent(item.span), span: item.span, kind })
        }
        Data::Map(map) => {
            let mut entries = map.entries.into_iter();
            let (Some(first), second) = (entries.next(), entries.next()) else {
                return wrong(map.span, format!("{expected}, but these settings are empty"));
            };
            if let Some(second) = second {
                let indented = matches!(first.value.data, Data::Null) && matches!(map.layout, Layout::Lines(_));
                let mut diagnostic = Diagnostic::error(Code::WrongType, second.key.span, expected);
                diagnostic = diagnostic.at("a second key").label(first.key.span, "the kind");
                if indented {
                    diagnostic = diagnostic.note(format!("indent the settings below `{}` further", first.key.text));
                }
                return Err(Box::new(diagnostic));
            }
            let settings = match first.value.data {
                Data::Map(settings) => settings,
                Data::Null => Map::absent(first.key.span.to(first.value.span)),
                other => {
                    let message = format!("the settings of `{}` are {}", first.key.text, other.describe());
                    return wrong(first.value.span, format!("{message}, but must be by key: `{{key: value}}`"));
                }
            };
            let (name, named, settings) = take_name(&first.key, settings);
            Ok(LayerEntry { kind: first.key, name, named, settings, span: map.span })
        }
        other => wrong(item.span, format!("{expected}, but this is {}", other.describe())),
    }
}

/// The name among the settings and the other settings. A name that is no text stays among them for `check` to refuse.
pub(super) fn take_name(kind: &Name, mut settings: Map) -> (Name, bool, Map) {
    let text = |s: &Setting| s.key.text == "name" && matches!(s.value.data, Data::Text(_));
    if let Some(at) = settings.entries.iter().position(text) {
        let setting = settings.entries.remove(at);
        if let Data::Text(text) = setting.value.data {
            return (Name { text, span: setting.value.span }, true, settings);
        }
    }
    (kind.clone(), false, settings)
}

/// Gives layers without a name their kind and a running number: the first that is free, counting from how many layers
/// of the kind there are so far.
pub(super) fn name_layers(layers: &mut [LayerEntry]) {
    let mut taken: BTreeSet<String> = layers.iter().filter(|l| l.named).map(|l| l.name.text.clone()).collect();
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for layer in layers {
        let kind = &layer.kind;
        let (count, next) = counts.entry(kind.text.clone()).or_default();
        *count += 1;
        if layer.named {
            continue;
        }
        // Of the numbers before `next`, those from the last count on are taken.
        let mut number = (*count).max(*next);
        let mut text = format!("{}{number}", kind.text);
        while taken.contains(&text) {
            number += 1;
            text = format!("{}{number}", kind.text);
        }
        *next = number + 1;
        taken.insert(text.clone());
        layer.name = Name { text, span: kind.span };
    }
}

/// The layers that a list holds as a block's `layers` does, all with names; those that cannot be read are left out.
pub fn layers_of(list: &Value) -> Vec<LayerEntry> {
    let mut layers = entries(list.clone(), &mut Vec::new()).unwrap_or_default();
    layers.retain(|layer| !layer.kind.text.is_empty());
    layers
}
