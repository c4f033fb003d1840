//! The sections `net`, `input` and `classes`.

use super::layers::{Operand, given};
use super::reader::{LARGEST, Reader, listed};
use super::remedy;
use crate::diag::{Code, Diagnostic, Fix, closest};
use crate::source::Span;
use crate::spec::{Data, Layout, Name, RESERVED, Spec, Syntax, Value, flow};
use std::collections::BTreeMap;

/// The network's name.
pub(super) fn net(spec: &Spec, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let Some(setting) = spec.sections.get("net") else {
        let (place, label) = belongs(spec, "net");
        let (title, insert) = match (spec.syntax, spec.sections.layout) {
            (Syntax::Dsl, _) => ("net mynet", "net mynet\n"),
            (Syntax::Yaml, Layout::Braces) => ("net: mynet", "net: mynet, "),
            (Syntax::Yaml, _) => ("net: mynet", "net: mynet\n"),
        };
        let diagnostic = Diagnostic::error(Code::MissingKey, place, "the spec does not name its network");
        problems.push(diagnostic.at(label).fix(Fix::maybe(title, place, insert)));
        return None;
    };
    let Data::Text(text) = &setting.value.data else {
        let message = format!("`net` must be a name, but is {}", setting.value.data.describe());
        problems.push(Diagnostic::error(Code::WrongType, setting.value.span, message));
        return None;
    };
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let good = text.chars().all(letters) && text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.len() <= 64;
    if !good {
        let message = "a network's name is up to 64 letters, digits, `_` and `-`, the first of them a letter";
        let mut better: String = text.chars().map(|c| if letters(c) { c } else { '-' }).collect();
        if !better.starts_with(|c: char| c.is_ascii_alphabetic()) {
            better.insert_str(0, "net-");
        }
        better.truncate(64);
        let fix = Fix::maybe(better.clone(), setting.value.span, better);
        problems.push(Diagnostic::error(Code::InvalidName, setting.value.span, message).fix(fix));
        return None;
    }
    Some(text.clone())
}

/// Where a section that is missing belongs, and what to say there: sections have a customary order.
fn belongs(spec: &Spec, missing: &str) -> (Span, &'static str) {
    let order = ["net", "include", "allow", "input"];
    let rank = |word: &str| order.iter().position(|known| *known == word).unwrap_or(order.len());
    let sections = spec.sections.entries.iter().map(|s| (s.key.text.as_str(), s.key.span));
    let layers = spec.layers_span.map(|span| ("layers", span));
    let own = |span: Span| spec.span.to(span) == spec.span;
    let behind = sections.chain(layers).filter(|&(word, span)| rank(word) > rank(missing) && own(span));
    match behind.map(|(_, span)| span).min() {
        Some(place) => (Span { end: place.start, ..place }, "it belongs before this"),
        None => (Span { start: spec.span.start, end: spec.span.start }, ""),
    }
}

/// Channels or features that an input may have: a program holds two constants for each.
const MOST_CHANNELS: usize = 1 << 16;

/// Names of a program's ports other than the network's input, which cannot be called so.
pub const PORT_NAMES: [&str; 7] = ["seed", "labels", "targets", "learning_rate", "step", "loss", "output"];

/// Whether layers may be called so.
pub(super) fn good_layer_name(name: &Name, is_input: bool, problems: &mut Vec<Diagnostic>) -> bool {
    let word = |w: &str| !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let text = name.text.as_str();
    if !text.split('.').all(word) || text.len() > 64 || text.starts_with(|c: char| c.is_ascii_digit()) {
        let message = format!("`{text}` is no name for a layer");
        let rule = "a name is up to 64 letters, digits and `_`, not starting with a digit; dots may join words";
        let mut diagnostic = Diagnostic::error(Code::InvalidName, name.span, message).note(rule);
        let sound = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let better: String = remedy::written(text, name.span).chars().map(sound).take(64).collect();
        if better.starts_with(|c: char| c.is_ascii_alphabetic()) {
            diagnostic = diagnostic.fix(Fix::maybe(better.clone(), name.span, better));
        }
        problems.push(diagnostic);
        return false;
    }
    let first = text.split('.').next().unwrap_or(text);
    if RESERVED.contains(&first) && !is_input {
        let message = format!("a layer cannot be called `{text}`: `{first}` names a part of the spec");
        let better = text.replacen(first, &format!("{first}1"), 1);
        let fix = Fix::maybe(better.clone(), name.span, better);
        problems.push(Diagnostic::error(Code::InvalidName, name.span, message).fix(fix));
        return false;
    }
    true
}

/// The network's input. Its shape is `None` if that is wrong.
pub(super) struct Input {
    /// Its name and where it is written.
    pub name: Name,
    /// Shape and where its sizes are written.
    pub operand: Option<Operand>,
}

/// Reads the section `input`.
pub(super) fn input(spec: &Spec, problems: &mut Vec<Diagnostic>) -> Input {
    let unnamed = |span| Input { name: Name { text: "input".to_string(), span }, operand: None };
    let Some(setting) = spec.sections.get("input") else {
        let (place, label) = belongs(spec, "input");
        let form = match spec.syntax {
            Syntax::Yaml => "as `input: {name: image, shape: [3, 224, 224]}`: channels, height, width",
            Syntax::Dsl => "as `input image [3, 224, 224]`: channels, height, width",
        };
        let diagnostic = Diagnostic::error(Code::MissingKey, place, "the spec does not say what its input is");
        problems.push(diagnostic.at(label).note(form));
        return unnamed(place);
    };
    let Data::Map(map) = &setting.value.data else {
        let message = format!("`input` must be settings, but is {}", setting.value.data.describe());
        let mut diagnostic = Diagnostic::error(Code::WrongType, setting.value.span, message);
        if let Data::List(items) = &setting.value.data {
            // The first of four is the batch.
            let own = if items.len() == 4 { &items[1..] } else { items };
            let text = format!("{{shape: [{}]}}", own.iter().map(flow).collect::<Vec<_>>().join(", "));
            diagnostic = diagnostic.fix(Fix::maybe(text.clone(), setting.value.span, text));
        }
        problems.push(diagnostic.note("as `input: {name: image, shape: [3, 224, 224]}`"));
        return unnamed(setting.key.span);
    };
    let mut reader = Reader::new("input", setting.key.span, map, problems);
    let mut name = Name { text: "input".to_string(), span: setting.key.span };
    if let Some(value) = reader.get("name") {
        match &value.data {
            Data::Text(text) => name = Name { text: text.clone(), span: value.span },
            _ => reader.wrong_type("name", value, "a word"),
        }
    }
    let sizes = reader.require("shape").and_then(|value| shape(&mut reader, value));
    reader.finish();
    if !good_layer_name(&name, true, problems) {
        name.text = "input".to_string();
    } else if PORT_NAMES.contains(&name.text.as_str()) {
        let message = format!("an input cannot be called `{0}`: a program has a port `{0}` of its own", name.text);
        let better = if sizes.as_ref().is_some_and(|s| s.len() == 1) { "features" } else { "image" };
        let diagnostic = Diagnostic::error(Code::InvalidName, name.span, message);
        problems.push(diagnostic.fix(Fix::maybe(better, name.span, better)));
    }
    let operand = sizes.map(|sizes| Operand {
        name: name.text.clone(),
        origin: name.text.clone(),
        derivations: Vec::new(),
        shape: sizes.iter().map(|s| s.0).collect(),
        size_spans: sizes.iter().map(|s| s.1).collect(),
        is_input: true,
    });
    Input { name, operand }
}

fn shape(reader: &mut Reader<'_, '_>, value: &Value) -> Option<Vec<(usize, Span)>> {
    let Data::List(items) = &value.data else {
        reader.wrong_type("shape", value, "a list of sizes, as [3, 224, 224]");
        return None;
    };
    let sizes: Vec<Option<usize>> = items.iter().map(|item| reader.whole("shape", item, 1)).collect();
    if !matches!(items.len(), 1 | 3) {
        let message =
            format!("an input is [channels, height, width] or [features], but this has {} sizes", items.len());
        let mut diagnostic = Diagnostic::error(Code::WrongRank, value.span, message);
        match items.len() {
            4 => diagnostic = diagnostic.note("leave the batch out: `train: {batch: …}` and `--batch` say it"),
            2 => diagnostic = diagnostic.note("a grey image has one channel: [1, height, width]"),
            _ => {}
        }
        let better = match sizes.as_slice() {
            [_, rest @ ..] if rest.len() == 3 => rest.iter().copied().collect::<Option<Vec<usize>>>(),
            &[height, width] => height.zip(width).map(|(height, width)| vec![1, height, width]),
            _ => None,
        };
        if let Some(text) = better.map(|sizes| format!("{sizes:?}")) {
            diagnostic = diagnostic.fix(Fix::maybe(format!("shape: {text}"), value.span, text));
        }
        reader.report(diagnostic);
        return None;
    }
    let sizes: Vec<usize> = sizes.into_iter().collect::<Option<_>>()?;
    if sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size)).is_none_or(|n| n > LARGEST) {
        let message = format!("the input has more than {LARGEST} elements");
        reader.report(Diagnostic::error(Code::SizeLimit, value.span, message));
        return None;
    }
    if sizes[0] > MOST_CHANNELS {
        let what = if sizes.len() == 1 { "features" } else { "channels" };
        let message = format!("the input has more than {MOST_CHANNELS} {what}");
        let diagnostic = Diagnostic::error(Code::SizeLimit, items[0].span, message);
        reader.report(diagnostic.note("each has a mean and a standard deviation in the program"));
        return None;
    }
    Some(sizes.into_iter().zip(items.iter().map(|i| i.span)).collect())
}

/// The lints that the spec keeps silent.
pub(super) fn allowed(spec: &Spec, problems: &mut Vec<Diagnostic>) -> Vec<Code> {
    let Some(setting) = spec.sections.get("allow") else { return Vec::new() };
    let items = match &setting.value.data {
        Data::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&setting.value),
    };
    let lints = || Code::ALL.iter().copied().filter(|code| code.is_lint());
    let mut allowed = Vec::new();
    for item in items {
        let Data::Text(word) = &item.data else {
            let message = format!("`allow` is a list of warnings' codes, but this is {}", item.data.describe());
            problems.push(Diagnostic::error(Code::WrongType, item.span, message));
            continue;
        };
        if let Some(code) = lints().find(|code| code.as_str() == word) {
            allowed.push(code);
            continue;
        }
        let error = Code::ALL.iter().any(|code| code.as_str() == word);
        let message = match error {
            true => format!("`{word}` is an error, which cannot be allowed"),
            false => format!("there is no warning `{word}`"),
        };
        let diagnostic = Diagnostic::error(Code::UnknownWord, item.span, message);
        problems.push(match closest(word, lints().map(Code::as_str)).filter(|_| !error) {
            Some(known) => diagnostic.fix(Fix::maybe(format!("did you mean `{known}`?"), item.span, known)),
            None => diagnostic.note(format!("warnings are {}", listed(&lints().map(Code::as_str).collect::<Vec<_>>()))),
        });
    }
    allowed
}

/// Class names in label order; empty if the spec gives none. `output`: the last layer's name and shape, if they are known.
pub(super) fn classes(
    spec: &Spec,
    output: Option<(&str, &[usize], Span)>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let Some(setting) = spec.sections.get("classes") else { return Vec::new() };
    let value = &setting.value;
    let Data::List(items) = &value.data else {
        let message = format!("`classes` must be a list of names, but is {}", value.data.describe());
        problems.push(Diagnostic::error(Code::WrongType, value.span, message));
        return Vec::new();
    };
    let mut names = Vec::new();
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    let one_too_many = output.is_some_and(|(_, shape, _)| shape == [items.len().saturating_sub(1)]);
    let mut before = value.span;
    for item in items {
        let removed = Span { start: before.end, end: item.span.end };
        before = item.span;
        let name = match &item.data {
            Data::Text(text) => text.clone(),
            Data::Integer(number) => number.to_string(),
            Data::Flag(flag) => flag.to_string(),
            other => {
                let message = format!("a class name must be text, but this is {}", other.describe());
                problems.push(Diagnostic::error(Code::WrongType, item.span, message));
                continue;
            }
        };
        if let Some(first) = seen.insert(name.clone(), item.span) {
            let message = format!("two classes are called `{name}`");
            let diagnostic = Diagnostic::error(Code::DuplicateName, item.span, message);
            let diagnostic = diagnostic.at("again here").label(first, "first here");
            let fix = one_too_many.then(|| Fix::maybe("remove the second", removed, ""));
            problems.push(diagnostic.fixes(fix));
        }
        names.push(name);
    }
    let Some((layer, shape, span)) = output else { return names };
    if shape != [items.len()] {
        let message = format!("there are {} class names, but {layer} gives {}", items.len(), super::shape_text(shape));
        let diagnostic = Diagnostic::error(Code::ClassCount, value.span, message);
        problems.push(diagnostic.at(format!("{} names", items.len())).label(span, given(layer, shape, &[])));
    }
    names
}
