//! A spec as an editor has it open, with all that is known of it.

use super::lines::Lines;
use super::place::Place;
use super::{place_dsl, place_yaml};
use crate::check::{self, Layer, Outline};
use crate::diag::{Code, Diagnostic, Severity};
use crate::source::{Sources, Span};
use crate::spec::{self, Data, LayerEntry, Load, Map, Setting, Spec, Syntax};
use lsp_types::{Position, Range, TextEdit};
use std::collections::BTreeMap;

/// A text that is open.
pub struct Document {
    /// Its name, whose end says the syntax.
    pub name: String,
    /// Its contents.
    pub text: String,
    pub(super) lines: Lines,
    pub(super) sources: Sources,
    /// As written.
    pub(super) spec: Spec,
    /// With what other files say.
    pub(super) whole: Spec,
    pub(super) outline: Outline,
    /// Layers by where they are written; those of a block are many at one place.
    by_span: BTreeMap<Span, Vec<usize>>,
}

/// A place that a word stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The file, if it is another one.
    pub file: Option<String>,
    /// Where in it.
    pub range: Range,
}

/// Layers in a text: where they are, and the blocks' name if they are in one.
pub(super) struct Layers<'a> {
    /// The block.
    pub block: Option<&'a Setting>,
    /// The layers.
    pub entries: Vec<LayerEntry>,
}

impl Document {
    /// Reads and checks a text. `load`: finds the files that it includes.
    pub fn new(name: impl Into<String>, text: impl Into<String>, load: Load<'_>) -> Document {
        let (name, text) = (name.into(), text.into());
        let mut sources = Sources::new();
        let spec = spec::parse(&mut sources, &name, &text);
        let mut whole = spec.clone();
        spec::include(&mut whole, &mut sources, load);
        let mut outline = check::outline(&whole);
        // What has neither a name nor layers is a part that others include: it need not have everything, nor use it.
        if spec.sections.get("net").is_none() && spec.layers_span.is_none() && !spec.sections.entries.is_empty() {
            // A section that is missing has no extent, a setting that is has that of its section's word.
            let missing = |d: &Diagnostic| match d.code {
                Code::MissingKey => d.span().is_some_and(|s| s.start == s.end),
                Code::UnusedSetting => d.severity == Severity::Warning,
                _ => false,
            };
            outline.problems.retain(|d| !missing(d));
        }
        let mut by_span: BTreeMap<Span, Vec<usize>> = BTreeMap::new();
        for (i, layer) in outline.layers.iter().enumerate() {
            by_span.entry(layer.span).or_default().push(i);
        }
        Document { lines: Lines::of(&text), name, text, sources, spec, whole, outline, by_span }
    }

    /// The edit that writes the text in canonical form: none if it is, or if it cannot be read.
    pub fn formatting(&self) -> Vec<TextEdit> {
        match spec::format(&mut Sources::new(), &self.name, &self.text, None) {
            Ok(new_text) if new_text != self.text => {
                let end = self.lines.position(&self.text, self.text.len());
                vec![TextEdit { range: Range { start: Position::default(), end }, new_text }]
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn range(&self, span: Span) -> Range {
        self.lines.range(&self.text, span)
    }

    pub(super) fn byte(&self, position: Position) -> usize {
        self.lines.byte(&self.text, position)
    }

    /// A place in this text, or in a file that it includes: that file's name, and the range.
    pub(super) fn target(&self, span: Span) -> Option<Target> {
        if self.has(span) {
            return Some(Target { file: None, range: self.range(span) });
        }
        let file = self.sources.file(span)?;
        let bytes = file.range(span);
        let lines = Lines::of(&file.text);
        let (start, end) = (lines.position(&file.text, bytes.start), lines.position(&file.text, bytes.end));
        Some(Target { file: Some(file.name.clone()), range: Range { start, end } })
    }

    /// Whether a span lies in this text, and not in another that was read with it.
    pub(super) fn has(&self, span: Span) -> bool {
        span.end as usize <= self.text.len()
    }

    pub(super) fn place(&self, position: Position) -> Place {
        match self.spec.syntax {
            Syntax::Yaml => place_yaml::place(&self.text, self.byte(position)),
            Syntax::Dsl => place_dsl::place(&self.text, self.byte(position)),
        }
    }

    /// The word at a place.
    pub(super) fn word(&self, place: &Place) -> &str {
        self.text.get(place.word.clone()).unwrap_or("")
    }

    /// What is resolved of the layer that is written at `entry`: several of a block's, one otherwise.
    pub(super) fn resolved(&self, entry: &LayerEntry) -> Vec<&Layer> {
        let found = self.by_span.get(&entry.span).into_iter().flatten();
        found.filter_map(|&i| self.outline.layers.get(i)).collect()
    }

    /// The layers that the use of a block stands for, by the name that is before theirs: one group for a use outside of
    /// blocks; within a block a group for each use of that.
    pub(super) fn unfolded(&self, entry: &LayerEntry, within: bool) -> Vec<Vec<&Layer>> {
        let prefix = format!("{}.", entry.name.text);
        let inner = format!(".{prefix}");
        let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
        let mut found: Vec<Vec<&Layer>> = Vec::new();
        for layer in &self.outline.layers {
            let length = match within {
                false => layer.name.starts_with(&prefix).then_some(prefix.len()),
                true => layer.name.find(&inner).map(|at| at + inner.len()),
            };
            let Some(before) = length.and_then(|length| layer.name.get(..length)) else { continue };
            let group = *groups.entry(before).or_insert(found.len());
            found.resize_with(found.len().max(group + 1), Vec::new);
            found[group].push(layer);
        }
        found
    }

    /// The layers of the spec, then those of each block.
    pub(super) fn layers(&self) -> Vec<Layers<'_>> {
        let mut all = vec![Layers { block: None, entries: self.whole.layers.clone() }];
        for block in self.blocks() {
            if let Data::Map(body) = &block.value.data
                && let Some(list) = body.get("layers")
            {
                all.push(Layers { block: Some(block), entries: spec::layers_of(&list.value) });
            }
        }
        all
    }

    /// The blocks by name.
    pub(super) fn blocks(&self) -> &[Setting] {
        self.map("blocks").map_or(&[], |map| &map.entries)
    }

    pub(super) fn block(&self, name: &str) -> Option<&Setting> {
        self.blocks().iter().find(|block| block.key.text == name)
    }

    /// The parameters that are known in a block, or outside of all: those of the spec come last.
    pub(super) fn parameters(&self, block: Option<&str>) -> Vec<&Setting> {
        let own = block.and_then(|name| self.block(name)).and_then(block_parameters);
        let general = self.map("params");
        own.into_iter().chain(general).flat_map(|map| &map.entries).collect()
    }

    fn map(&self, section: &str) -> Option<&Map> {
        match &self.whole.sections.get(section)?.value.data {
            Data::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The name and the place of the network's input.
    pub(super) fn input(&self) -> Option<(String, Span)> {
        let section = self.whole.sections.get("input")?;
        let name = self.map("input").and_then(|map| map.get("name"));
        match name.map(|s| (&s.value.data, s.value.span)) {
            Some((Data::Text(name), span)) => Some((name.clone(), span)),
            _ => Some(("input".to_string(), section.key.span)),
        }
    }
}

/// The parameters of a block.
pub(super) fn block_parameters(block: &Setting) -> Option<&Map> {
    let Data::Map(body) = &block.value.data else { return None };
    match body.get("params").map(|s| &s.value.data) {
        Some(Data::Map(params)) => Some(params),
        _ => None,
    }
}
