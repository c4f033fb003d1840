//! What is said of the word under the cursor.

use super::Document;
use super::meaning::{self, Meaning};
use super::place::{Place, Role, Step};
use super::shapes::{layer_text, markdown};
use crate::check::vocabulary::{self, Default, SECTIONS, Setting, Word};
use crate::spec::{Data, LayerEntry};
use lsp_types::{Hover, HoverContents, Position};

impl Document {
    /// A layer with its arithmetic, a key or a word with what it means, or a parameter with its value.
    pub fn hover(&self, position: Position) -> Option<Hover> {
        let place = self.place(position);
        if place.word.is_empty() {
            return None;
        }
        let text = self.hover_text(&place)?;
        let (start, end) = (place.word.start, place.word.end);
        let range = lsp_types::Range {
            start: self.lines.position(&self.text, start),
            end: self.lines.position(&self.text, end),
        };
        Some(Hover { contents: HoverContents::Markup(markdown(text)), range: Some(range) })
    }

    fn hover_text(&self, place: &Place) -> Option<String> {
        let word = self.word(place);
        if let Some(entry) = self.entry_at(place) {
            return Some(self.describe(&entry, meaning::block(place).is_some()));
        }
        if place.role == Role::Nothing {
            return None;
        }
        match (meaning::meaning(place), place.role) {
            // In a text that cannot be read there are no layers, but kinds are known.
            (Meaning::Layer, _) if vocabulary::kind(word).is_some() => {
                vocabulary::kind(word).map(|kind| format!("**{word}** · {}.", kind.about))
            }
            (meaning, Role::Key | Role::Statement) => {
                if let Some(setting) = meaning::keys(&meaning).into_iter().find(|s| s.name == word) {
                    return Some(setting_text(setting));
                }
                if let Meaning::Use(block) = &meaning {
                    return self.parameter_text(Some(block), word);
                }
                let words = match &meaning {
                    Meaning::Value(form) => meaning::words(form),
                    _ => Vec::new(),
                };
                match words.into_iter().find(|(w, _)| w.text == word) {
                    Some((found, _)) => Some(word_text(found)),
                    // A value without its key.
                    None => self.section_text(place, word).or_else(|| self.parameter_text(meaning::block(place), word)),
                }
            }
            (Meaning::Value(form), _) => {
                if meaning::names_layer(&form)
                    && let Some(entry) = self.named(place, word)
                {
                    return Some(self.describe(&entry, meaning::block(place).is_some()));
                }
                if meaning::names_layer(&form) && self.input().is_some_and(|(name, _)| name == word) {
                    let mut text = String::new();
                    layer_text(&mut text, self.outline.layers.first()?);
                    return Some(text);
                }
                if let Some((found, _)) = meaning::words(&form).into_iter().find(|(w, _)| w.text == word) {
                    return Some(word_text(found));
                }
                self.parameter_text(meaning::block(place), word)
            }
            _ => None,
        }
    }

    /// The layer whose kind or name the cursor is on.
    pub(super) fn entry_at(&self, place: &Place) -> Option<LayerEntry> {
        let at = place.word.start;
        let holds = |span: crate::source::Span| span.start as usize <= at && place.word.end <= span.end as usize;
        let all = self.layers().into_iter().flat_map(|layers| layers.entries);
        let mut all = all.filter(|entry| self.has(entry.span));
        all.find(|entry| holds(entry.kind.span) || entry.named && holds(entry.name.span))
    }

    /// The layer called `name` as it is known at a place.
    pub(super) fn named(&self, place: &Place, name: &str) -> Option<LayerEntry> {
        let block = meaning::block(place);
        let mut layers = self.layers().into_iter();
        let here = layers.find(|layers| layers.block.map(|b| b.key.text.as_str()) == block)?;
        here.entries.into_iter().find(|entry| entry.name.text == name)
    }

    /// A section's word at the start of a statement.
    fn section_text(&self, place: &Place, word: &str) -> Option<String> {
        let section = SECTIONS.iter().find(|s| place.role == Role::Statement && s.name == word)?;
        Some(setting_text(section))
    }

    fn parameter_text(&self, block: Option<&str>, name: &str) -> Option<String> {
        let parameter = self.parameters(block).into_iter().find(|s| s.key.text == name)?;
        let written = self.sources.text(parameter.value.span);
        let value = match parameter.value.data {
            Data::Null => "must be given".to_string(),
            _ => format!("`{written}`"),
        };
        Some(format!("**{name}** · parameter · {value}"))
    }
}

/// A setting with its form and default.
pub(super) fn setting_text(setting: &Setting) -> String {
    let default = match setting.default {
        Default::Required => "must be given".to_string(),
        Default::Value(value) => format!("default `{value}`"),
        Default::Described(without) => format!("default: {without}"),
    };
    format!("**{}** · {}.\n\n{} · {default}", setting.name, setting.about, setting.form)
}

pub(super) fn word_text(word: &Word) -> String {
    format!("**{}** · {}.", word.text, word.about)
}

/// Whether the innermost key of a place is this one.
pub(super) fn under(place: &Place, key: &str) -> bool {
    place.path.iter().rev().find_map(|step| match step {
        Step::Key(name) => Some(name == key),
        Step::Item => None,
    }) == Some(true)
}
