//! The JSON Schema (2020-12) of a spec in YAML, made from the vocabulary.
//!
//! It knows keys, words, types and bounds. It takes arithmetic and parameters where a number, a flag or a list may stand,
//! but not for words. What depends on other parts of the spec is for the checker: shapes, names of layers, parameters of
//! blocks.

use crate::check::vocabulary::{
    self, Bounds, Default, Form, Kind, Lengths, SECTIONS, Setting, USE_SETTINGS, With, Word,
};
use serde_json::{Map, Value, json};

/// Characters of arithmetic.
const ARITHMETIC: &str = "[A-Za-z0-9_ .+*/()-]";

/// The schema.
pub fn schema() -> Value {
    let kinds: Vec<Kind> = vocabulary::kinds().collect();
    let mut definitions = Map::new();
    definitions.insert("layers".into(), json!({"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/layer"}}));
    definitions.insert("layer".into(), layer(&kinds));
    for kind in &kinds {
        definitions.insert(kind.word.into(), kind_settings(kind));
    }
    definitions.insert("use".into(), block_use());
    definitions.insert("arithmetic".into(), arithmetic());
    let Value::Object(mut spec) = settings(SECTIONS.iter()) else { return Value::Null };
    let mut schema = Map::new();
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!("A neural network for netc"));
    let missing = required_here(&mut spec);
    schema.append(&mut spec);
    // What must be there may come from a file that the spec includes.
    schema.insert("if".into(), json!({"required": ["include"]}));
    schema.insert("else".into(), missing);
    schema.insert("$defs".into(), Value::Object(definitions));
    Value::Object(schema)
}

/// Takes what must be there, sections and settings of sections, out of the schema: what is left, as a schema of its own.
fn required_here(spec: &mut Map<String, Value>) -> Value {
    let mut inner = Map::new();
    if let Some(Value::Object(sections)) = spec.get_mut("properties") {
        for (name, section) in sections {
            if let Some(required) = section.as_object_mut().and_then(|section| section.remove("required")) {
                inner.insert(name.clone(), json!({"required": required}));
            }
        }
    }
    json!({"required": spec.remove("required"), "properties": inner})
}

/// An entry of `layers`: a kind alone, or one kind with its settings. A word that is no kind is a block of the spec's.
fn layer(kinds: &[Kind]) -> Value {
    let words: Vec<&str> = kinds.iter().map(|k| k.word).collect();
    let mut properties = Map::new();
    for kind in kinds {
        properties.insert(kind.word.into(), json!({"$ref": format!("#/$defs/{}", kind.word)}));
    }
    let mut alone: Vec<Value> = Vec::new();
    for kind in kinds.iter().filter(|k| k.alone()) {
        alone.push(json!({"const": kind.word, "description": sentence(kind.about)}));
    }
    alone.push(json!({
        "type": "string",
        "not": {"enum": words},
        "pattern": "^[A-Za-z][A-Za-z0-9_]*$",
        "description": "The use of a block.",
    }));
    json!({
        "if": {"type": "string"},
        "then": {"anyOf": alone},
        "else": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "properties": properties,
            "additionalProperties": {"$ref": "#/$defs/use"},
        },
    })
}

fn kind_settings(kind: &Kind) -> Value {
    let mut schema = settings(kind.all_settings());
    if kind.alone() {
        schema["type"] = json!(["object", "null"]);
    }
    if kind.inputs == vocabulary::Inputs::Many {
        schema["properties"]["from"] = json!({
            "type": "array",
            "minItems": 2,
            "items": {"type": "string"},
            "description": "The layers that it reads, two or more.",
        });
        schema["required"] = json!(["from"]);
    }
    schema["description"] = json!(sentence(kind.about));
    schema
}

fn block_use() -> Value {
    let mut schema = settings(USE_SETTINGS.iter());
    schema["type"] = json!(["object", "null"]);
    schema["additionalProperties"] = json!(true);
    schema["description"] = json!("The use of a block: its parameters, `name`, `from` and `repeat`.");
    schema
}

/// Text that may be arithmetic: a parameter, or something with a sign.
fn arithmetic() -> Value {
    json!({
        "type": "string",
        "pattern": format!("^([A-Za-z(+-]{ARITHMETIC}*|[0-9. ]+[+*/-]{ARITHMETIC}+)$"),
        "not": {"enum": ["yes", "no", "on", "off", "y", "n"]},
        "description": "A parameter or arithmetic: `width*2`, `kernel//2`.",
    })
}

/// Settings by key and no others.
fn settings<'a>(settings: impl Iterator<Item = &'a Setting>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for setting in settings {
        properties.insert(setting.name.into(), self::setting(setting));
        if setting.default == Default::Required {
            required.push(setting.name);
        }
    }
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn setting(setting: &Setting) -> Value {
    let mut schema = form(&setting.form);
    let mut about = sentence(setting.about);
    match setting.default {
        Default::Required => {}
        Default::Value(value) => schema["default"] = serde_json::from_str(value).unwrap_or_else(|_| json!(value)),
        Default::Described(without) => about.push_str(&format!(" Default: {without}.")),
    }
    schema["description"] = json!(about);
    schema
}

fn form(form: &Form) -> Value {
    match form {
        Form::Whole(least, most) => or_arithmetic(json!({"type": "integer", "minimum": least, "maximum": most})),
        Form::Number(bounds) => or_arithmetic(number(*bounds)),
        Form::Flag => or_arithmetic(json!({"type": "boolean"})),
        Form::Text | Form::Layer => json!({"type": "string"}),
        Form::Words(words) => json!({"anyOf": words.iter().map(constant).collect::<Vec<_>>()}),
        Form::Choice(words) => choice(words),
        Form::Settings(settings) => self::settings(settings.iter()),
        Form::List(of, Lengths { least, most }) => {
            let mut list = json!({"type": "array", "items": self::form(of), "minItems": least});
            if let Some(most) = most {
                list["maxItems"] = json!(most);
            }
            or_arithmetic(list)
        }
        Form::Either(forms) => {
            let mut any: Vec<Value> = Vec::new();
            for schema in forms.iter().map(self::form) {
                // Alternatives of alternatives are flat, and arithmetic stands once.
                let nested = match schema {
                    Value::Object(mut map) if map.len() == 1 && map.contains_key("anyOf") => {
                        match map.remove("anyOf") {
                            Some(Value::Array(inner)) => inner,
                            _ => Vec::new(),
                        }
                    }
                    other => vec![other],
                };
                for schema in nested {
                    if !any.contains(&schema) {
                        any.push(schema);
                    }
                }
            }
            json!({"anyOf": any})
        }
        Form::Named(of) => json!({"type": "object", "additionalProperties": self::form(of)}),
        Form::Layers => json!({"$ref": "#/$defs/layers"}),
        Form::Any => json!({}),
    }
}

fn or_arithmetic(schema: Value) -> Value {
    json!({"anyOf": [schema, {"$ref": "#/$defs/arithmetic"}]})
}

fn number(bounds: Bounds) -> Value {
    match bounds {
        Bounds::Finite => json!({"type": "number"}),
        Bounds::Positive => json!({"type": "number", "exclusiveMinimum": 0}),
        Bounds::NotNegative => json!({"type": "number", "minimum": 0}),
        Bounds::BelowOne => json!({"type": "number", "minimum": 0, "exclusiveMaximum": 1}),
        Bounds::Unit => json!({"type": "number", "minimum": 0, "maximum": 1}),
    }
}

fn constant(word: &Word) -> Value {
    json!({"const": word.text, "description": sentence(word.about)})
}

/// Words alone, or one of them as the only key.
fn choice(words: &[Word]) -> Value {
    let mut any: Vec<Value> = words.iter().filter(|w| w.alone()).map(constant).collect();
    let mut properties = Map::new();
    for word in words {
        let mut inner = match word.with {
            With::Nothing => json!({"type": ["object", "null"], "maxProperties": 0}),
            With::Settings(settings) => {
                let mut inner = self::settings(settings.iter());
                if word.alone() {
                    inner["type"] = json!(["object", "null"]);
                }
                inner
            }
            With::Value(of) => form(of),
        };
        inner["description"] = json!(sentence(word.about));
        properties.insert(word.text.into(), inner);
    }
    any.push(json!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": properties,
        "additionalProperties": false,
    }));
    json!({"anyOf": any})
}

/// A description with its full stop.
fn sentence(about: &str) -> String {
    format!("{about}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::vocabulary::LAYER_SETTINGS;

    #[test]
    fn every_layer_has_its_common_settings() {
        let schema = schema();
        for kind in vocabulary::kinds() {
            for setting in LAYER_SETTINGS {
                let known = &schema["$defs"][kind.word]["properties"][setting.name];
                assert!(known.is_object(), "{}: {}", kind.word, setting.name);
            }
        }
    }
}
