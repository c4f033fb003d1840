//! Carries out the edits of a fix on the tree of a spec, as if the edited text had been read.

use crate::check::reader;
use crate::diag::{Edit, Fix};
use crate::source::Span;
use crate::spec::{Data, Map, Name, Setting, Spec, Value};

/// The spec after the fix; `None` if an edit is not of a value or a setting.
pub(super) fn apply(spec: &Spec, fix: &Fix) -> Option<Spec> {
    let mut spec = spec.clone();
    for edit in &fix.edits {
        let done = if edit.span.start < edit.span.end && value_of(&edit.text).is_some() {
            let data = value_of(&edit.text)?;
            replace(&mut spec, edit.span, &data)
        } else {
            let (key, data) = setting_of(&edit.text)?;
            insert(&mut spec, edit, &key, &data)
        };
        if !done {
            return None;
        }
    }
    Some(spec)
}

/// A value as both syntaxes write it.
fn value_of(text: &str) -> Option<Data> {
    crate::spec::parse_value(text).filter(|data| !matches!(data, Data::Null))
}

/// What is inserted with brackets and commas around it, as `, padding: 2`.
fn setting_of(text: &str) -> Option<(String, Data)> {
    let inner = text.trim_start_matches([',', ' ', '\n', ':', '(']);
    let inner = inner.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(inner);
    let inner = if text.starts_with('(') { inner.strip_suffix(')').unwrap_or(inner) } else { inner };
    let (key, value) = inner.split_once(": ")?;
    Some((key.to_string(), value_of(value)?))
}

/// Puts `data` wherever a value of this span stands.
fn replace(spec: &mut Spec, span: Span, data: &Data) -> bool {
    let mut done = false;
    each_value(spec, &mut |value| {
        if value.span == span {
            value.data = data.clone();
            done = true;
        }
    });
    done
}

fn each_value(spec: &mut Spec, change: &mut dyn FnMut(&mut Value)) {
    let layers = spec.layers.iter_mut().flat_map(|layer| &mut layer.settings.entries);
    for setting in spec.sections.entries.iter_mut().chain(layers) {
        within(&mut setting.value, change);
    }
}

fn within(value: &mut Value, change: &mut dyn FnMut(&mut Value)) {
    change(value);
    match &mut value.data {
        Data::List(items) => items.iter_mut().for_each(|item| within(item, change)),
        Data::Map(map) => map.entries.iter_mut().for_each(|setting| within(&mut setting.value, change)),
        Data::Null | Data::Flag(_) | Data::Integer(_) | Data::Real(_) | Data::Text(_) => {}
    }
}

/// Adds a setting to the map where the edit would write it.
fn insert(spec: &mut Spec, edit: &Edit, key: &str, data: &Data) -> bool {
    let written = edit.text.clone();
    let value = written.split_once(": ").map_or("", |(_, value)| value).trim_end_matches([')', '}']).to_string();
    let fits = |map: &Map, owner: Span| {
        let made = reader::edit(map, owner, key, &value);
        made.span == edit.span && map.get(key).is_none()
    };
    let setting = || Setting {
        key: Name { text: key.to_string(), span: edit.span },
        value: Value { data: data.clone(), span: edit.span },
    };
    let mut done = false;
    for layer in &mut spec.layers {
        if fits(&layer.settings, layer.kind.span) {
            layer.settings.entries.push(setting());
            done = true;
        }
    }
    // Layers of blocks are still values: one kind with its settings.
    each_value(spec, &mut |value| {
        let Data::Map(outer) = &mut value.data else { return };
        for entry in &mut outer.entries {
            let owner = entry.key.span;
            if let Data::Map(map) = &mut entry.value.data
                && fits(map, owner)
            {
                map.entries.push(setting());
                done = true;
            }
        }
    });
    done
}
