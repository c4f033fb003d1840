//! What may be written at the cursor.

use super::Document;
use super::document::block_parameters;
use super::hover::{setting_text, under, word_text};
use super::meaning::{self, Meaning};
use super::place::{Place, Role};
use super::shapes::markdown;
use crate::check::vocabulary::{self, Default, Form, Inputs, Kind, SECTIONS, Setting};
use crate::diag::Code;
use crate::spec::Syntax;
use lsp_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, InsertTextFormat, Position, TextEdit,
};

/// One thing that may be written.
struct Item {
    label: String,
    kind: CompletionItemKind,
    detail: String,
    about: String,
    /// The text with `$1` where the cursor goes, if that is not the label.
    insert: Option<String>,
}

impl Item {
    fn new(label: impl Into<String>, kind: CompletionItemKind, about: String) -> Item {
        Item { label: label.into(), kind, detail: String::new(), about, insert: None }
    }

    fn detail(mut self, detail: impl Into<String>) -> Item {
        self.detail = detail.into();
        self
    }

    fn insert(mut self, text: String) -> Item {
        self.insert = Some(text);
        self
    }
}

impl Document {
    /// What may stand at the cursor. `snippets`: whether the editor understands places to jump to.
    pub fn completion(&self, position: Position, snippets: bool) -> Vec<CompletionItem> {
        let place = self.place(position);
        let items = match place.role {
            Role::Nothing => Vec::new(),
            Role::Key => self.keys(&place),
            Role::Value => self.values(&place),
            Role::Statement => self.statements(&place),
        };
        let range = lsp_types::Range {
            start: self.lines.position(&self.text, place.word.start),
            end: self.lines.position(&self.text, place.word.end),
        };
        let finish = |(i, item): (usize, Item)| {
            let mut text = item.insert.unwrap_or_else(|| item.label.clone());
            if !snippets {
                text = without_places(&text);
            }
            CompletionItem {
                label: item.label,
                kind: Some(item.kind),
                detail: (!item.detail.is_empty()).then_some(item.detail),
                documentation: (!item.about.is_empty()).then(|| Documentation::MarkupContent(markdown(item.about))),
                sort_text: Some(format!("{i:04}")),
                insert_text_format: snippets.then_some(InsertTextFormat::SNIPPET),
                text_edit: Some(CompletionTextEdit::Edit(TextEdit { range, new_text: text })),
                ..CompletionItem::default()
            }
        };
        items.into_iter().enumerate().map(finish).collect()
    }

    /// Keys that are not there yet.
    fn keys(&self, place: &Place) -> Vec<Item> {
        let meaning = meaning::meaning(place);
        let free = |name: &str| !place.keys.iter().any(|key| key == name);
        let mut items = Vec::new();
        if let Meaning::Use(block) = &meaning {
            let parameters = self.block(block).and_then(block_parameters).map_or(&[][..], |map| &map.entries);
            for parameter in parameters.iter().filter(|p| free(&p.key.text)) {
                let key = &parameter.key.text;
                let item = Item::new(key, CompletionItemKind::FIELD, format!("A parameter of the block `{block}`."));
                items.push(item.detail(self.sources.text(parameter.value.span)).insert(format!("{key}: $1")));
            }
        }
        if matches!(meaning, Meaning::Layer) {
            return self.kinds(place);
        }
        items.extend(meaning::keys(&meaning).into_iter().filter(|s| free(s.name)).map(key_item));
        if let (Meaning::Value(form), true) = (&meaning, place.keys.is_empty()) {
            for (word, _) in meaning::words(form) {
                let item = Item::new(word.text, CompletionItemKind::ENUM_MEMBER, word_text(word));
                items.push(item.insert(format!("{}: {{$1}}", word.text)));
            }
        }
        items
    }

    fn values(&self, place: &Place) -> Vec<Item> {
        let form = match meaning::meaning(place) {
            Meaning::Layer => return self.kinds(place),
            Meaning::Value(form) => form,
            // A map that begins on the next line.
            settings @ (Meaning::Settings(_) | Meaning::Use(_)) => {
                return match meaning::keys(&settings) {
                    keys if place.keys.is_empty() => keys.into_iter().map(key_item).collect(),
                    _ => Vec::new(),
                };
            }
            Meaning::Unknown => return Vec::new(),
        };
        let mut items = Vec::new();
        for (word, map) in meaning::words(&form) {
            let item = Item::new(word.text, CompletionItemKind::ENUM_MEMBER, word_text(word));
            items.push(match map && !word.alone() {
                true => item.insert(format!("{{{}: {}}}", word.text, needed(word.with))),
                false => item,
            });
        }
        if meaning::flag(&form) {
            items.extend(["true", "false"].map(|w| Item::new(w, CompletionItemKind::VALUE, String::new())));
        }
        if under(place, "allow") {
            let codes = Code::ALL.iter().filter(|code| code.is_lint());
            items.extend(codes.map(|code| {
                let page = code.page();
                let about = format!("**{}**\n\n{}", page.title, page.paragraphs.join("\n\n"));
                Item::new(code.as_str(), CompletionItemKind::ENUM_MEMBER, about)
            }));
        }
        if meaning::names_layer(&form) {
            items.extend(self.sources_at(place));
        }
        if meaning::arithmetic(&form) {
            for parameter in self.parameters(meaning::block(place)) {
                let name = &parameter.key.text;
                let item = Item::new(name, CompletionItemKind::VARIABLE, "A parameter.".to_string());
                items.push(item.detail(self.sources.text(parameter.value.span)));
            }
        }
        let own = place.path.last().is_none_or(|step| *step != super::place::Step::Item);
        if own && matches!(form, Form::Settings(_)) {
            items.extend(meaning::keys(&Meaning::Value(form)).into_iter().map(key_item));
        }
        items
    }

    /// What a statement of the netc language may begin with.
    fn statements(&self, place: &Place) -> Vec<Item> {
        let mut items = self.kinds(place);
        let from =
            Item::new("from", CompletionItemKind::KEYWORD, "Another layer than the one before is read.".to_string());
        items.push(from.insert("from $1 -> ".to_string()));
        if meaning::block(place).is_some() {
            return items;
        }
        let written = |name: &str| self.spec.sections.get(name).is_some();
        for section in SECTIONS.iter().filter(|s| !written(s.name) && !matches!(s.name, "layers" | "blocks")) {
            let value = match (section.name, section.form) {
                ("input", _) => "${1:image} [$2]",
                (_, Form::Settings(_) | Form::Named(_)) => "{\n  $1\n}",
                (_, Form::List(..)) => "[$1]",
                _ => "$1",
            };
            let item = Item::new(section.name, CompletionItemKind::MODULE, setting_text(section));
            items.push(item.insert(format!("{} {value}", section.name)));
        }
        let about = "Layers that stand wherever the block's name is used as a kind of layer.".to_string();
        let block = Item::new("block", CompletionItemKind::MODULE, about);
        items.push(block.insert("block $1($2) {\n  $3\n}".to_string()));
        items
    }

    /// Kinds of layers, then blocks.
    fn kinds(&self, place: &Place) -> Vec<Item> {
        let mut items: Vec<Item> = vocabulary::kinds().map(|kind| kind_item(&kind, self.spec.syntax)).collect();
        for block in self.blocks() {
            let name = &block.key.text;
            if meaning::block(place) == Some(name) {
                continue;
            }
            let parameters = block_parameters(block).map_or(&[][..], |map| &map.entries);
            let open = parameters.iter().filter(|p| p.value.data == crate::spec::Data::Null);
            let open: Vec<String> = open.enumerate().map(|(i, p)| format!("{}: ${}", p.key.text, i + 1)).collect();
            let item = Item::new(name, CompletionItemKind::MODULE, "A block of this spec.".to_string());
            items.push(match open.is_empty() {
                true => item,
                false if self.spec.syntax == Syntax::Dsl => item.insert(format!("{name}({})", open.join(", "))),
                false => item.insert(format!("{name}: {{{}}}", open.join(", "))),
            });
        }
        items
    }

    /// The layers that can be read at a place: the nearest first.
    fn sources_at(&self, place: &Place) -> Vec<Item> {
        let block = meaning::block(place);
        let here = self.layers().into_iter().find(|l| l.block.map(|b| b.key.text.as_str()) == block);
        let mut items = Vec::new();
        let entries = here.map(|layers| layers.entries).unwrap_or_default();
        let before = |entry: &&crate::spec::LayerEntry| (entry.span.end as usize) < place.word.start;
        for entry in entries.iter().rev().filter(before) {
            let shapes = self.resolved(entry).last().map_or(String::new(), |layer| super::shapes::shape(layer));
            let item =
                Item::new(&entry.name.text, CompletionItemKind::REFERENCE, self.describe(entry, block.is_some()));
            items.push(item.detail(format!("{} {shapes}", entry.kind.text).trim_end().to_string()));
        }
        let input = if block.is_some() { Some("input".to_string()) } else { self.input().map(|(name, _)| name) };
        items.extend(input.map(|name| Item::new(name, CompletionItemKind::REFERENCE, "The input.".to_string())));
        items
    }
}

fn key_item(setting: &'static Setting) -> Item {
    let value = match setting.form {
        Form::Settings(_) => "{$1}",
        Form::Layers => "\n  - $1",
        _ => "$1",
    };
    let value = if matches!(setting.form, Form::Named(_)) { "\n  $1" } else { value };
    let gap = if value.starts_with('\n') { "" } else { " " };
    let default = match setting.default {
        Default::Required => "required",
        Default::Value(value) => value,
        Default::Described(_) => "",
    };
    Item::new(setting.name, CompletionItemKind::FIELD, setting_text(setting))
        .detail(default)
        .insert(format!("{}:{gap}{value}", setting.name))
}

/// A kind with what it needs.
fn kind_item(kind: &Kind, syntax: Syntax) -> Item {
    let needed = kind.settings.iter().filter(|s| s.default == Default::Required).map(|s| s.name);
    let mut needed: Vec<&str> = needed.collect();
    // In the netc language what a layer reads stands before it.
    if kind.inputs == Inputs::Many && syntax == Syntax::Yaml {
        needed.push("from");
    }
    let setting = |(i, name): (usize, &&str)| match (*name, syntax) {
        ("from", _) => format!("from: [${}]", i + 1),
        (_, Syntax::Dsl) => format!("${}", i + 1),
        (name, Syntax::Yaml) => format!("{name}: ${}", i + 1),
    };
    let settings: Vec<String> = needed.iter().enumerate().map(setting).collect();
    let settings = settings.join(", ");
    let item = Item::new(kind.word, CompletionItemKind::CLASS, format!("{}.", kind.about));
    match syntax {
        _ if needed.is_empty() => item,
        Syntax::Dsl => item.detail(needed.join(", ")).insert(format!("{}({settings})", kind.word)),
        Syntax::Yaml => item.detail(needed.join(", ")).insert(format!("{}: {{{settings}}}", kind.word)),
    }
}

/// What must stand with a word.
fn needed(with: vocabulary::With) -> String {
    match with {
        vocabulary::With::Nothing => String::new(),
        vocabulary::With::Value(_) => "$1".to_string(),
        vocabulary::With::Settings(settings) => {
            let needed = settings.iter().filter(|s| s.default == Default::Required).enumerate();
            let needed: Vec<String> = needed.map(|(i, s)| format!("{}: ${}", s.name, i + 1)).collect();
            format!("{{{}}}", needed.join(", "))
        }
    }
}

/// The text without `$1`, `$2`, ….
fn without_places(text: &str) -> String {
    let mut out = String::new();
    let mut parts = text.split('$');
    out.push_str(parts.next().unwrap_or(""));
    for part in parts {
        // `$1`, or `${1:image}` with what stands there at first.
        match part.strip_prefix('{').and_then(|part| part.split_once(':')) {
            Some((_, named)) => out.push_str(&named.replacen('}', "", 1)),
            None => out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit())),
        }
    }
    out
}
