//! Edits a spec as `--set` says.

use super::format::flow;
use super::read::SECTIONS;
use super::{Data, LayerEntry, Layout, Map, Name, Setting, Spec, Value, expand, recover};
use crate::diag::{Code, Diagnostic, Fix, closest};
use crate::source::{Sources, Span};

const FORM: &str = "write `layer.field=value` or `section.field=value`, as `conv1.stride=2` or `train.batch=32`";

/// Carries out one `--set` argument: `conv1.stride=2`, `input.shape=[1, 28, 28]`, `train.optimizer.sgd.lr=0.1`,
/// `net=small`. The value is YAML. The argument is added to `sources` as `--set`, so that whatever is wrong with the
/// value is reported there. What is set need not have been written before, but its layer or section must be known. To set
/// something within a block the spec is unfolded first; parameters can no longer be set then.
pub fn apply_set(spec: &mut Spec, sources: &mut Sources, argument: &str) -> Result<(), Vec<Diagnostic>> {
    let whole = sources.add("--set", argument);
    let wrong = |span: Span, message: String| vec![Diagnostic::error(Code::InvalidSet, span, message).note(FORM)];
    let Some((path, text)) = argument.split_once('=') else {
        return Err(wrong(whole, "this has no `=`".to_string()));
    };
    let offset = |bytes: usize| whole.start.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    let path_span = Span { start: whole.start, end: offset(path.len()) };
    let (value, mut problems) = recover::read_all(text, offset(path.len() + 1)).map_err(|d| vec![*d])?;
    if !problems.is_empty() {
        return Err(std::mem::take(&mut problems));
    }
    let value_span = Span { start: offset(path.len() + 1), end: whole.end };
    let value = value.unwrap_or(Value { data: Data::Null, span: value_span });
    set(spec, path, path_span, value)
}

/// Puts `value` where `path` leads, which is written at `path_span`.
pub(super) fn set(spec: &mut Spec, path: &str, path_span: Span, value: Value) -> Result<(), Vec<Diagnostic>> {
    let wrong = |span: Span, message: String| vec![Diagnostic::error(Code::InvalidSet, span, message).note(FORM)];
    if path.split('.').any(|word| word.trim().is_empty()) {
        return Err(wrong(path_span, "a name is missing here".to_string()));
    }
    let words = words(path, path_span);
    if is_inner(spec, &words) && !spec.expanded {
        *spec = expand(spec);
    }
    if let Some((entry, depth)) = find_layer(&mut spec.layers, &words) {
        let Some(rest) = words.get(depth..).filter(|r| !r.is_empty()) else {
            return Err(wrong(path_span, format!("`{path}` is a layer; say which of its fields to set")));
        };
        if rest.len() == 1 && rest[0].text == "name" {
            return Err(wrong(path_span, "layers cannot be renamed".to_string()));
        }
        return assign(&mut entry.settings, rest, value);
    }
    let sections = SECTIONS;
    let known = |w: &Name| sections.contains(&w.text.as_str());
    if let Some(diagnostic) = other_word(&spec.sections, &words, &value).or_else(|| undefined(&spec.sections, &words)) {
        return Err(vec![diagnostic]);
    }
    match words.first() {
        Some(first) if spec.expanded && matches!(first.text.as_str(), "params" | "blocks") => {
            Err(wrong(path_span, format!("set `{}` before layers within blocks", first.text)))
        }
        Some(first) if known(first) => assign(&mut spec.sections, &words, value),
        _ => {
            let first = words.first().map_or("", |w| w.text.as_str());
            let names = spec.layers.iter().map(|l| l.name.text.as_str());
            let mut diagnostic =
                Diagnostic::error(Code::InvalidSet, path_span, format!("there is no layer or section `{first}`"));
            if let Some(known) = closest(first, names.chain(sections.iter().copied())) {
                diagnostic = meant(diagnostic, words.first(), known);
            }
            Err(vec![diagnostic])
        }
    }
}

/// The words of a path. In a path that is quoted and escaped, all of them stand at its place.
pub(super) fn words(path: &str, span: Span) -> Vec<Name> {
    let exact = (span.end - span.start) as usize == path.len();
    let mut words = Vec::new();
    let mut at = span.start;
    for word in path.split('.') {
        let end = at.saturating_add(u32::try_from(word.len()).unwrap_or(u32::MAX));
        let span = if exact { Span { start: at, end } } else { span };
        words.push(Name { text: word.trim().to_string(), span });
        at = end.saturating_add(1);
    }
    words
}

/// Whether the path leads to a layer within a use of a block.
pub(super) fn is_inner(spec: &mut Spec, words: &[Name]) -> bool {
    let found = find_layer(&mut spec.layers, words);
    found.is_some_and(|(entry, depth)| is_block(entry, &spec.sections) && words.len() > depth + 1)
}

/// A refusal if the path leads to a parameter that the spec, or the block, does not define: nothing could use it.
fn undefined(sections: &Map, path: &[Name]) -> Option<Diagnostic> {
    let words: Vec<&str> = path.iter().map(|w| w.text.as_str()).collect();
    let inside = |map: &Map, key: &str| match map.get(key).map(|s| &s.value.data) {
        Some(Data::Map(inner)) => inner.clone(),
        _ => Map::absent(map.span),
    };
    let (params, name, whose) = match words.as_slice() {
        ["params", _, ..] => (inside(sections, "params"), &path[1], "the spec".to_string()),
        ["blocks", block, "params", _, ..] => {
            (inside(&inside(&inside(sections, "blocks"), block), "params"), &path[3], format!("the block `{block}`"))
        }
        _ => return None,
    };
    if params.get(&name.text).is_some() {
        return None;
    }
    let message = format!("{whose} has no parameter `{}`", name.text);
    let diagnostic = Diagnostic::error(Code::InvalidSet, name.span, message);
    let known: Vec<&str> = params.entries.iter().map(|s| s.key.text.as_str()).collect();
    Some(match closest(&name.text, known.iter().copied()) {
        Some(known) => meant(diagnostic, Some(name), known),
        None if known.is_empty() => diagnostic.note("`--set` changes parameters that the section `params` defines"),
        None => diagnostic.note(format!("parameters are `{}`", known.join("`, `"))),
    })
}

/// Says what a wrong word must have meant, as a fix if the word stands in its own place.
pub(super) fn meant(diagnostic: Diagnostic, word: Option<&Name>, known: &str) -> Diagnostic {
    let title = format!("did you mean `{known}`?");
    let exact = |word: &&Name| (word.span.end - word.span.start) as usize == word.text.len();
    match word.filter(exact) {
        Some(word) => diagnostic.fix(Fix::maybe(title, word.span, known)),
        None => diagnostic.note(title),
    }
}

/// Settings of the section `train` that are one word of several with settings of its own, as `optimizer: {sgd: …}`.
const CHOICES: &[&str] = &["optimizer", "loss", "schedule"];

/// A refusal if the path goes through a word that another one stands in the place of.
fn other_word(sections: &Map, path: &[Name], value: &Value) -> Option<Diagnostic> {
    let [train, key, word, rest @ ..] = path else { return None };
    if train.text != "train" || !CHOICES.contains(&key.text.as_str()) {
        return None;
    }
    let Some(Data::Map(recipe)) = sections.get("train").map(|s| &s.value.data) else { return None };
    let chosen = match &recipe.get(&key.text)?.value.data {
        Data::Text(word) => word,
        Data::Map(map) => match map.entries.as_slice() {
            [only] => &only.key.text,
            _ => return None,
        },
        _ => return None,
    };
    if *chosen == word.text {
        return None;
    }
    let key = &key.text;
    let diagnostic = Diagnostic::error(Code::InvalidSet, word.span, format!("`{key}` is `{chosen}`"));
    let text = flow(value);
    Some(if rest.is_empty() && !matches!(value.data, Data::Map(_)) {
        diagnostic.note(format!("to set something of it: `--set train.{key}.{chosen}.{}={text}`", word.text))
    } else {
        let inner = rest.iter().rev().fold(text, |inner, name| format!("{{{}: {inner}}}", name.text));
        diagnostic.note(format!("to change it: `--set 'train.{key}={{{}: {inner}}}'`", word.text))
    })
}

/// Whether the layer is a use of a block.
pub(super) fn is_block(entry: &LayerEntry, sections: &Map) -> bool {
    match sections.get("blocks").map(|s| &s.value.data) {
        Some(Data::Map(blocks)) => blocks.get(&entry.kind.text).is_some(),
        _ => false,
    }
}

/// The layer that the first words name, and how many words that took: names may have dots.
fn find_layer<'a>(layers: &'a mut [LayerEntry], words: &[Name]) -> Option<(&'a mut LayerEntry, usize)> {
    for depth in (1..=words.len()).rev() {
        let name = words[..depth].iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(".");
        if let Some(at) = layers.iter().position(|l| l.name.text == name) {
            return Some((&mut layers[at], depth));
        }
    }
    None
}

/// Puts `value` where `path` leads, making the settings on the way.
fn assign(map: &mut Map, path: &[Name], value: Value) -> Result<(), Vec<Diagnostic>> {
    let Some((key, rest)) = path.split_first() else { return Ok(()) };
    let at = map.entries.iter().position(|s| s.key.text == key.text);
    if rest.is_empty() {
        let setting = Setting { key: key.clone(), value };
        match at {
            Some(at) => map.entries[at] = setting,
            None => map.entries.push(setting),
        }
        return Ok(());
    }
    let at = at.unwrap_or_else(|| {
        let empty = Map { entries: Vec::new(), span: key.span, layout: Layout::Braces };
        map.entries.push(Setting { key: key.clone(), value: Value { data: Data::Map(empty), span: key.span } });
        map.entries.len() - 1
    });
    let target = &mut map.entries[at].value;
    match &mut target.data {
        Data::Map(inner) => assign(inner, rest, value),
        Data::List(items) => {
            let item = rest[0].text.parse::<usize>().ok().and_then(|i| items.get_mut(i));
            match (item, &mut rest.iter()) {
                (Some(item), _) if rest.len() == 1 => {
                    *item = value;
                    Ok(())
                }
                _ => {
                    let message = format!("`{}` is a list; it has no `{}`", key.text, rest[0].text);
                    Err(vec![Diagnostic::error(Code::InvalidSet, rest[0].span, message)])
                }
            }
        }
        other => {
            // A word that could have settings, as the loss `cross_entropy` or the optimizer `adam`.
            if let Data::Text(word) = other
                && *word == rest[0].text
            {
                let empty = Map { entries: Vec::new(), span: target.span, layout: Layout::Braces };
                *other = Data::Map(empty);
                return assign_into(target, rest, value);
            }
            let message = format!("`{}` is {}; it has no `{}`", key.text, other.describe(), rest[0].text);
            Err(vec![Diagnostic::error(Code::InvalidSet, rest[0].span, message)])
        }
    }
}

fn assign_into(target: &mut Value, path: &[Name], value: Value) -> Result<(), Vec<Diagnostic>> {
    match &mut target.data {
        Data::Map(map) => assign(map, path, value),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{parse, print};

    fn set(argument: &str) -> Result<String, String> {
        let mut sources = Sources::new();
        let text = "net: t\ninput: {shape: [3, 8, 8]}\nlayers:\n- conv: {name: b.conv1, kernels: 2}\n- relu\ntrain: {loss: mse}\n";
        let mut spec = parse(&mut sources, "t.yaml", text);
        assert_eq!(spec.problems, []);
        match apply_set(&mut spec, &mut sources, argument) {
            Ok(()) => Ok(print(&spec)),
            Err(problems) => Err(problems[0].message.clone()),
        }
    }

    #[test]
    fn fields_of_layers_and_sections_are_set() {
        assert!(set("b.conv1.kernels=7").unwrap().contains("kernels: 7"));
        assert!(set("b.conv1.padding=[1, 2]").unwrap().contains("padding: [1, 2]"));
        assert!(set("input.shape=[1,28,28]").unwrap().contains("shape: [1, 28, 28]"));
        assert!(set("input.shape.0=1").unwrap().contains("shape: [1, 8, 8]"));
        assert!(set("train.optimizer.sgd.lr=0.1").unwrap().contains("sgd: {lr: 0.1}"));
        assert!(set("train.loss.mse.x=1").unwrap().contains("loss: {mse: {x: 1}}"));
        assert!(set("net=other").unwrap().starts_with("net: other"));
        assert!(set("relu1.from=b.conv1").unwrap().contains("relu: {from: b.conv1}"));
    }

    #[test]
    fn wrong_arguments_are_refused() {
        assert_eq!(set("conv").unwrap_err(), "this has no `=`");
        assert_eq!(set("conf1.x=2").unwrap_err(), "there is no layer or section `conf1`");
        assert_eq!(set("b.conv1=2").unwrap_err(), "`b.conv1` is a layer; say which of its fields to set");
        assert_eq!(set("net.x=2").unwrap_err(), "`net` is text; it has no `x`");
        assert_eq!(set("input.shape.7=2").unwrap_err(), "`shape` is a list; it has no `7`");
        assert_eq!(set("..=2").unwrap_err(), "a name is missing here");
        assert!(set("input.shape=[1,").is_err());
    }

    /// The message and the notes of what is said against `argument` on a spec with these sections.
    fn refusal(sections: &str, argument: &str) -> String {
        let mut sources = Sources::new();
        let text = format!("net: t\ninput: {{shape: [3, 8, 8]}}\n{sections}\nlayers:\n- relu\n");
        let mut spec = parse(&mut sources, "t.yaml", &text);
        let problems = apply_set(&mut spec, &mut sources, argument).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let fixes = problems[0].fixes.iter().map(|fix| &fix.title);
        std::iter::once(&problems[0].message)
            .chain(&problems[0].notes)
            .chain(fixes)
            .cloned()
            .collect::<Vec<_>>()
            .join("; ")
    }

    #[test]
    fn parameters_that_nothing_defines_are_refused() {
        let known = "params: {width: 8, depth: 2}";
        assert_eq!(refusal(known, "params.widht=4"), "the spec has no parameter `widht`; did you mean `width`?");
        assert_eq!(refusal(known, "params.x=4"), "the spec has no parameter `x`; parameters are `width`, `depth`");
        assert_eq!(
            refusal("", "params.width=4"),
            "the spec has no parameter `width`; `--set` changes parameters that the section `params` defines"
        );
        let block = "blocks: {b: {params: {channels: 4}, layers: [relu]}}";
        assert_eq!(
            refusal(block, "blocks.b.params.chanels=4"),
            "the block `b` has no parameter `chanels`; did you mean `channels`?"
        );
        let mut sources = Sources::new();
        let mut spec = parse(&mut sources, "t.yaml", &format!("{block}\n{known}"));
        for argument in ["params.width=4", "blocks.b.params.channels=8", "params={x: 1}"] {
            assert_eq!(apply_set(&mut spec, &mut sources, argument), Ok(()), "{argument}");
        }
    }

    #[test]
    fn another_optimizer_is_set_as_a_whole() {
        let recipe = "train: {loss: mse, optimizer: {sgd: {lr: 0.1}}}";
        assert_eq!(
            refusal(recipe, "train.optimizer.adam.lr=0.1"),
            "`optimizer` is `sgd`; to change it: `--set 'train.optimizer={adam: {lr: 0.1}}'`"
        );
        assert_eq!(
            refusal(recipe, "train.optimizer.adam={lr: 0.1}"),
            "`optimizer` is `sgd`; to change it: `--set 'train.optimizer={adam: {lr: 0.1}}'`"
        );
        assert_eq!(
            refusal(recipe, "train.optimizer.lr=0.1"),
            "`optimizer` is `sgd`; to set something of it: `--set train.optimizer.sgd.lr=0.1`"
        );
        assert_eq!(
            refusal(recipe, "train.loss.cross_entropy.label_smoothing=0.1"),
            "`loss` is `mse`; to change it: `--set 'train.loss={cross_entropy: {label_smoothing: 0.1}}'`"
        );
    }
}
