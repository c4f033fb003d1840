//! Canonical YAML: sections before and after the layers where they are, a line a layer with its settings in braces.

use super::comments::block_start;
use super::scalar::{Writer, word};
use super::{SPREAD, block_layers, settings};
use crate::spec::{Data, LayerEntry, Map, Setting, Spec, Value};

/// The spec as YAML.
pub(super) fn write(writer: &mut Writer<'_>, spec: &Spec) -> String {
    let first_layer = spec.layers_span.map_or(u32::MAX, |span| span.start);
    // Without a text to go by, `train` and `preprocess` stand after the layers.
    let late = |setting: &Setting, source: bool| match source {
        true => setting.key.span.start > first_layer,
        false => matches!(setting.key.text.as_str(), "train" | "preprocess"),
    };
    let source = writer.has_source();
    for setting in spec.sections.entries.iter().filter(|s| !late(s, source)) {
        section(writer, setting);
    }
    if spec.layers_span.is_some() || !spec.layers.is_empty() || !source {
        // In the netc language the layers have no head: the comment before the first is its own.
        let head = spec.layers_span.filter(|_| spec.syntax == crate::spec::Syntax::Yaml);
        let trailing = head.and_then(|span| writer.before(span, 0));
        if let (None, Some(first)) = (head, spec.layers.first()) {
            writer.blank(first.span);
        }
        let text = if spec.layers.is_empty() && source { "layers: []" } else { "layers:" };
        writer.line(0, text, trailing);
    }
    for entry in &spec.layers {
        layer(writer, entry, 2);
    }
    for setting in spec.sections.entries.iter().filter(|s| late(s, source)) {
        section(writer, setting);
    }
    writer.finish()
}

fn section(writer: &mut Writer<'_>, setting: &Setting) {
    let key = setting.key.text.as_str();
    match &setting.value.data {
        Data::Map(map) if key == "blocks" => {
            let head = Some(setting.key.span).filter(|s| map.entries.first().is_none_or(|b| b.key.span.start > s.end));
            let trailing = head.and_then(|span| writer.before(span, 0));
            if let (None, Some(first)) = (head, map.entries.first()) {
                writer.blank(block_start(first));
            }
            writer.line(0, if map.entries.is_empty() { "blocks: {}" } else { "blocks:" }, trailing);
            for block in &map.entries {
                print_block(writer, block);
            }
        }
        Data::Map(map) if SPREAD.contains(&key) && !map.entries.is_empty() => {
            let trailing = writer.before(setting.key.span, 0);
            writer.line(0, &format!("{key}:"), trailing);
            for entry in &map.entries {
                pair(writer, entry, 2);
            }
        }
        _ => pair(writer, setting, 0),
    }
}

/// A setting on a line of its own.
fn pair(writer: &mut Writer<'_>, setting: &Setting, indent: usize) {
    let trailing = writer.before(setting.key.span, indent);
    let key = word(&setting.key.text);
    let value = writer.wrapped(&setting.value, indent + key.chars().count() + 2, indent);
    writer.line(indent, &format!("{key}: {value}"), trailing);
}

fn print_block(writer: &mut Writer<'_>, block: &Setting) {
    let Data::Map(body) = &block.value.data else { return pair(writer, block, 2) };
    let trailing = writer.before(block_start(block), 2);
    writer.line(2, &format!("{}:", word(&block.key.text)), trailing);
    for part in &body.entries {
        match block_layers(&part.value).filter(|layers| part.key.text == "layers" && !layers.is_empty()) {
            Some(layers) => {
                let inner = layers.first().is_some_and(|l| part.key.span.start < l.span.start);
                let trailing = if inner { writer.before(part.key.span, 4) } else { None };
                writer.line(4, "layers:", trailing);
                for entry in &layers {
                    layer(writer, entry, 6);
                }
            }
            None => pair(writer, part, 4),
        }
    }
}

fn layer(writer: &mut Writer<'_>, layer: &LayerEntry, indent: usize) {
    let trailing = writer.before(layer.span, indent);
    let kind = word(&layer.kind.text);
    let mut entries: Vec<Setting> = settings(layer).into_iter().cloned().collect();
    if layer.named {
        let value = Value { data: Data::Text(layer.name.text.clone()), span: layer.name.span };
        let key = crate::spec::Name { text: "name".to_string(), span: layer.name.span };
        entries.insert(0, Setting { key, value });
    }
    let text = if entries.is_empty() {
        format!("- {kind}")
    } else {
        let span = layer.settings.span;
        let map = Value { data: Data::Map(Map { entries, span, layout: layer.settings.layout }), span };
        let column = indent + 2 + kind.chars().count() + 2;
        format!("- {kind}: {}", writer.wrapped(&map, column, indent + 2))
    };
    writer.line(indent, &text, trailing);
}
