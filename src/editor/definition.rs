//! Where what a word names is defined: layers, blocks, parameters.

use super::document::block_parameters;
use super::hover::under;
use super::meaning::{self, Meaning};
use super::{Document, Target};
use crate::source::Span;
use crate::spec::{Data, Value};
use lsp_types::{Position, Range};

impl Document {
    /// The place that the word under the cursor names.
    pub fn definition(&self, position: Position) -> Option<Target> {
        if let Some(file) = self.included(self.byte(position)) {
            return Some(Target { file: Some(file), range: Range::default() });
        }
        let place = self.place(position);
        let word = self.word(&place);
        if word.is_empty() {
            return None;
        }
        let block = meaning::block(&place);
        let span = if under(&place, "from") {
            self.source(&place, word)
        } else if let Some(entry) = self.entry_at(&place) {
            // The kind of a block's use; a layer is defined where it stands.
            self.block(&entry.kind.text).map_or(Some(entry.name.span), |block| Some(block.key.span))
        } else if let Meaning::Use(used) = meaning::meaning(&place) {
            let parameters = self.block(&used).and_then(block_parameters)?;
            parameters.get(word).map(|s| s.key.span)
        } else {
            self.parameters(block).into_iter().find(|s| s.key.text == word).map(|s| s.key.span)
        };
        span.and_then(|span| self.target(span))
    }

    /// The file whose name is written at a byte of the section `include`.
    fn included(&self, at: usize) -> Option<String> {
        let value = &self.spec.sections.get("include")?.value;
        let names = match &value.data {
            Data::List(items) => items.as_slice(),
            _ => std::slice::from_ref(value),
        };
        let here = |value: &&Value| (value.span.start as usize..=value.span.end as usize).contains(&at);
        let Data::Text(name) = &names.iter().find(here)?.data else { return None };
        let end = name.rsplit("./").next().unwrap_or(name);
        let files = self.sources.files().iter().skip(1);
        files.map(|file| &file.name).find(|name| name.ends_with(end)).cloned()
    }

    /// What a name in `from` stands for.
    fn source(&self, place: &super::place::Place, word: &str) -> Option<Span> {
        if let Some(entry) = self.named(place, word) {
            return Some(entry.name.span);
        }
        match meaning::block(place).and_then(|name| self.block(name)) {
            Some(block) if word == "input" => Some(block.key.span),
            Some(_) => None,
            None => {
                let (name, span) = self.input()?;
                if name == word {
                    return Some(span);
                }
                // A layer of a block's use, as `stage1.conv1`.
                let layer = self.outline.layers.iter().find(|l| l.name == word)?;
                Some(layer.span)
            }
        }
    }
}
