//! Writes a spec as YAML: the form that `netc dump --stage spec` shows.

use super::{Data, Map, Spec, Value};
use std::fmt::Write;

/// The spec as YAML that reads back to the same tree: sections in their order, `layers` before `train` and `preprocess`, a line a
/// layer, every layer with its settings in braces. Comments and line breaks of the source are not kept.
pub fn print(spec: &Spec) -> String {
    let mut out = String::new();
    let late = |key: &str| matches!(key, "train" | "preprocess");
    for setting in spec.sections.entries.iter().filter(|s| !late(&s.key.text)) {
        section(&mut out, &setting.key.text, &setting.value);
    }
    out.push_str("layers:\n");
    for layer in &spec.layers {
        let mut settings = Vec::new();
        if layer.named {
            settings.push(format!("name: {}", word(&layer.name.text)));
        }
        settings.extend(layer.settings.entries.iter().map(|s| format!("{}: {}", word(&s.key.text), flow(&s.value))));
        let kind = word(&layer.kind.text);
        let _ = match settings.is_empty() {
            true => writeln!(out, "  - {kind}"),
            false => writeln!(out, "  - {kind}: {{{}}}", settings.join(", ")),
        };
    }
    for setting in spec.sections.entries.iter().filter(|s| late(&s.key.text)) {
        section(&mut out, &setting.key.text, &setting.value);
    }
    out
}

fn section(out: &mut String, key: &str, value: &Value) {
    let spread = matches!(key, "train" | "preprocess" | "init");
    match &value.data {
        Data::Map(map) if key == "blocks" => {
            let _ = writeln!(out, "{key}:");
            for block in &map.entries {
                print_block(out, &word(&block.key.text), &block.value);
            }
        }
        Data::Map(map) if spread && !map.entries.is_empty() => {
            let _ = writeln!(out, "{key}:");
            for setting in &map.entries {
                let _ = writeln!(out, "  {}: {}", word(&setting.key.text), flow(&setting.value));
            }
        }
        _ => {
            let _ = writeln!(out, "{key}: {}", flow(value));
        }
    }
}

fn print_block(out: &mut String, name: &str, value: &Value) {
    let Data::Map(body) = &value.data else {
        let _ = writeln!(out, "  {name}: {}", flow(value));
        return;
    };
    let _ = writeln!(out, "  {name}:");
    for setting in &body.entries {
        match &setting.value.data {
            Data::List(layers) if !layers.is_empty() => {
                let _ = writeln!(out, "    {}:", word(&setting.key.text));
                for layer in layers {
                    let text = match &layer.data {
                        Data::Map(map) if map.entries.len() == 1 => {
                            format!("{}: {}", word(&map.entries[0].key.text), flow(&map.entries[0].value))
                        }
                        _ => flow(layer),
                    };
                    let _ = writeln!(out, "      - {text}");
                }
            }
            _ => {
                let _ = writeln!(out, "    {}: {}", word(&setting.key.text), flow(&setting.value));
            }
        }
    }
}

fn flow(value: &Value) -> String {
    match &value.data {
        Data::Null => "null".to_string(),
        Data::Flag(flag) => flag.to_string(),
        Data::Integer(number) => number.to_string(),
        Data::Real(number) => real(*number),
        Data::Text(text) => word(text),
        Data::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Data::Map(Map { entries, .. }) => {
            let entries: Vec<String> =
                entries.iter().map(|s| format!("{}: {}", word(&s.key.text), flow(&s.value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// A number that reads back as one that is not whole: with a point.
fn real(number: f64) -> String {
    if number.is_nan() {
        return ".nan".to_string();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_string();
    }
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        _ => text,
    }
}

/// A word plain if that reads back as the same text, else in quotes.
fn word(text: &str) -> String {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let plain = text.chars().all(letters)
        && text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && !matches!(text.to_ascii_lowercase().as_str(), "null" | "true" | "false");
    if plain { text.to_string() } else { serde_json::Value::from(text).to_string() }
}
