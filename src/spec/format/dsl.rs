//! Canonical netc language: statements in their order, chains of layers on one line as far as they go.

use super::comments::block_start;
use super::scalar::{Writer, fill, quoted};
use super::{SPREAD, WIDTH, block_layers, settings};
use crate::spec::dsl::POSITIONAL;
use crate::spec::read::SECTIONS;
use crate::spec::{Data, LayerEntry, Map, Name, Setting, Spec, Syntax};

/// Blocks by name with their parameters in order.
type Blocks = Vec<(String, Vec<String>)>;

/// The spec in the netc language.
pub(super) fn write(writer: &mut Writer<'_>, spec: &Spec) -> String {
    let first_layer = spec.layers_span.map_or(u32::MAX, |span| span.start);
    let late = |setting: &&Setting| setting.key.span.start > first_layer;
    let blocks = blocks(spec);
    for setting in spec.sections.entries.iter().filter(|s| !late(s)) {
        section(writer, setting, &blocks);
    }
    if let (Some(span), Syntax::Yaml) = (spec.layers_span, spec.syntax) {
        // The head of the list is not written; what was said of it is.
        if let Some(trailing) = writer.before(span, 0) {
            writer.comment(false, &trailing, 0);
        }
    }
    chains(writer, &spec.layers, 0, &blocks);
    for setting in spec.sections.entries.iter().filter(late) {
        section(writer, setting, &blocks);
    }
    writer.finish()
}

fn blocks(spec: &Spec) -> Blocks {
    let Some(Data::Map(map)) = spec.sections.get("blocks").map(|s| &s.value.data) else { return Vec::new() };
    let keys = |block: &Setting| match &block.value.data {
        Data::Map(body) => match body.get("params").map(|s| &s.value.data) {
            Some(Data::Map(params)) => params.entries.iter().map(|p| p.key.text.clone()).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    map.entries.iter().map(|block| (block.key.text.clone(), keys(block))).collect()
}

fn section(writer: &mut Writer<'_>, setting: &Setting, blocks: &Blocks) {
    let key = setting.key.text.as_str();
    match &setting.value.data {
        Data::Map(map) if key == "blocks" => {
            let own = map.entries.first().is_none_or(|b| b.key.span.start > setting.key.span.end);
            if own && let Some(trailing) = writer.before(setting.key.span, 0) {
                writer.comment(false, &trailing, 0);
            }
            for block in &map.entries {
                print_block(writer, block, blocks);
            }
        }
        Data::Map(map) if SPREAD.contains(&key) && !map.entries.is_empty() => {
            let trailing = writer.before(setting.key.span, 0);
            let line = format!("{key} {}", writer.flow(&setting.value));
            // No blank line stands after the brace.
            map.entries.first().map(|first| writer.comments.take_blank(first.key.span.start));
            let plain = map.entries.iter().all(|s| writer.comments.is_plain(s.key.span.start));
            if plain && trailing.is_none() && line.chars().count() <= WIDTH {
                return writer.line(0, &line, None);
            }
            writer.line(0, &format!("{key} {{"), trailing);
            for entry in &map.entries {
                let trailing = writer.before(entry.key.span, 2);
                let key = writer.key(&entry.key.text);
                let value = writer.wrapped(&entry.value, key.chars().count() + 4, 2);
                writer.line(2, &format!("{key}: {value}"), trailing);
            }
            writer.line(0, "}", None);
        }
        data => {
            let trailing = writer.before(setting.key.span, 0);
            let text = match data {
                Data::Map(map) if key == "input" => named(writer, map),
                _ => None,
            };
            let text = text.unwrap_or_else(|| writer.wrapped(&setting.value, key.chars().count() + 1, 0));
            writer.line(0, &format!("{key} {text}"), trailing);
        }
    }
}

/// `image [3, 224, 224]` for a name and a shape.
fn named(writer: &Writer<'_>, map: &Map) -> Option<String> {
    let [name, shape] = map.entries.as_slice() else { return None };
    match (name.key.text.as_str(), &name.value.data, shape.key.text.as_str(), &shape.value.data) {
        ("name", Data::Text(text), "shape", Data::List(_)) => {
            Some(format!("{} {}", plain_name(text), writer.flow(&shape.value)))
        }
        _ => None,
    }
}

/// A name plain if it reads back as one, else in quotes.
fn plain_name(text: &str) -> String {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let plain = !text.is_empty() && text.split('-').all(|part| !part.is_empty() && part.chars().all(inner));
    if plain { text.to_string() } else { quoted(text) }
}

/// A kind of layer so that it does not read as the start of another statement.
fn plain_kind(text: &str) -> String {
    let taken = SECTIONS.contains(&text) || matches!(text, "layers" | "block" | "from");
    if taken { quoted(text) } else { plain_name(text) }
}

fn print_block(writer: &mut Writer<'_>, block: &Setting, blocks: &Blocks) {
    let trailing = writer.before(block_start(block), 0);
    let name = plain_name(&block.key.text);
    let Data::Map(body) = &block.value.data else {
        return writer.line(0, &format!("block {name} {}", writer.flow(&block.value)), trailing);
    };
    let mut params = String::new();
    if let Some(setting) = body.get("params") {
        let _ = writer.before(setting.key.span, 0).map(|comment| writer.comment(false, &comment, 0));
        if let Data::Map(map) = &setting.value.data {
            let one = |s: &Setting| match s.value.data {
                Data::Null => writer.key(&s.key.text),
                _ => format!("{}: {}", writer.key(&s.key.text), writer.flow(&s.value)),
            };
            let items = map.entries.iter().map(one).collect();
            params = fill("(", items, ")", name.chars().count() + 6, 4);
        }
    }
    let layers = body.get("layers").and_then(|s| block_layers(&s.value)).unwrap_or_default();
    let mut within = None;
    if let Some(head) = body.get("layers").filter(|s| layers.first().is_some_and(|l| l.span.start > s.key.span.end)) {
        within = Some(head.key.span);
    }
    writer.line(0, &format!("block {name}{params} {{"), trailing);
    if let Some(trailing) = within.and_then(|span| writer.before(span, 2)) {
        writer.comment(false, &trailing, 2);
    }
    chains(writer, &layers, 2, blocks);
    writer.line(0, "}", None);
}

/// Layers, as many on a line as belong together and fit.
fn chains(writer: &mut Writer<'_>, layers: &[LayerEntry], indent: usize, blocks: &Blocks) {
    let mut line = String::new();
    let mut end: Option<String> = None;
    for layer in layers {
        let (from, text) = layer_text(writer, layer, indent, blocks);
        let around = writer.comments.is_plain(layer.span.start);
        let joins = !line.is_empty()
            && !layer.named
            && from.is_none()
            && end.is_none()
            && writer.comments.leads_plain(layer.span.start)
            && !line.contains('\n')
            && indent + line.chars().count() + 4 + text.chars().count() <= WIDTH;
        if joins {
            line.push_str(" -> ");
            line.push_str(&text);
            end = if around { None } else { writer.before(layer.span, indent) };
            continue;
        }
        if !line.is_empty() {
            writer.line(indent, &line, end.take());
        }
        end = writer.before(layer.span, indent);
        line = match from {
            Some(from) => format!("from {from} -> {text}"),
            None => text,
        };
    }
    if !line.is_empty() {
        writer.line(indent, &line, end);
    }
}

/// What a layer reads, if it says so, and the layer.
fn layer_text(writer: &Writer<'_>, layer: &LayerEntry, indent: usize, blocks: &Blocks) -> (Option<String>, String) {
    let mut head = plain_kind(&layer.kind.text);
    if layer.named {
        head = format!("{head} {}", plain_name(&layer.name.text));
    }
    let mut from = None;
    let kind = layer.kind.text.as_str();
    let keys: Vec<&str> = match blocks.iter().find(|(name, _)| name == kind) {
        Some((_, keys)) => keys.iter().map(String::as_str).collect(),
        None => POSITIONAL.iter().find(|(word, _)| *word == kind).map_or(Vec::new(), |(_, keys)| keys.to_vec()),
    };
    let mut items = Vec::new();
    let mut positional = true;
    for setting in settings(layer) {
        let key = setting.key.text.as_str();
        match &setting.value.data {
            Data::Text(name) if key == "from" && from.is_none() => from = Some(plain_name(name)),
            Data::List(_) if key == "from" && from.is_none() => from = Some(writer.flow(&setting.value)),
            _ => {
                positional = positional && keys.get(items.len()) == Some(&key);
                let Name { text: key, .. } = &setting.key;
                let value = writer.wrapped(&setting.value, indent + 4 + key.chars().count() + 2, indent + 2);
                items.push(if positional { value } else { format!("{}: {value}", writer.key(key)) });
            }
        }
    }
    if items.is_empty() {
        return (from, head);
    }
    let line = format!("{head}({})", items.join(", "));
    let lead = from.as_ref().map_or(0, |from| from.chars().count() + 9);
    match indent + lead + line.chars().count() <= WIDTH {
        true => (from, line),
        false => {
            let column = indent + lead + head.chars().count();
            (from, format!("{head}{}", fill("(", items, ")", column, indent + 2)))
        }
    }
}
