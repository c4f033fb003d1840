//! Output shapes after each layer, and what a layer comes to in words.

use super::Document;
use crate::check::report::{grouped, scaled};
use crate::check::{Layer, LayerKind, vocabulary};
use crate::spec::LayerEntry;
use lsp_types::{InlayHint, InlayHintLabel, InlayHintTooltip, MarkupContent, MarkupKind, Range};
use std::fmt::Write;

/// What is told of the uses of a block in full.
const MOST: usize = 4;

impl Document {
    /// The output shape of every layer within `range`, at the end of where it is written. Of layers on one line that have
    /// one shape the last shows it.
    pub fn inlay_hints(&self, range: Range) -> Vec<InlayHint> {
        let mut hints: Vec<(InlayHint, String)> = Vec::new();
        for layers in self.layers() {
            let mut before: Option<u32> = None;
            for entry in layers.entries.iter().filter(|entry| self.has(entry.span)) {
                let position = self.lines.position(&self.text, self.end_of_entry(entry));
                let same_line = before.replace(position.line) == Some(position.line);
                if position < range.start || range.end < position {
                    continue;
                }
                let Some(label) = self.label(entry, layers.block.is_some()) else { continue };
                if same_line && hints.last().is_some_and(|(_, shown)| *shown == label) {
                    hints.pop();
                }
                let tooltip = markdown(self.describe(entry, layers.block.is_some()));
                let hint = InlayHint {
                    position,
                    label: InlayHintLabel::String(label.clone()),
                    kind: None,
                    text_edits: None,
                    tooltip: Some(InlayHintTooltip::MarkupContent(tooltip)),
                    padding_left: Some(true),
                    padding_right: None,
                    data: None,
                };
                hints.push((hint, label));
            }
        }
        hints.into_iter().map(|(hint, _)| hint).collect()
    }

    /// The shape that a layer gives, or the first and the last of several. `within`: it is a block's.
    fn label(&self, entry: &LayerEntry, within: bool) -> Option<String> {
        let block = vocabulary::kind(&entry.kind.text).is_none() && self.block(&entry.kind.text).is_some();
        let resolved = match block {
            true => self.unfolded(entry, within).into_iter().filter_map(|layers| layers.last().copied()).collect(),
            false => self.resolved(entry),
        };
        let (first, last) = (shape(resolved.first()?), shape(resolved.last()?));
        Some(if first == last { last } else { format!("{first} … {last}") })
    }

    /// Where an entry ends: its bracket, or the line of its kind if its settings have lines of their own.
    fn end_of_entry(&self, entry: &LayerEntry) -> usize {
        let whole = self.text.get(entry.span.start as usize..entry.span.end as usize).unwrap_or("");
        match whole.trim_end().contains('\n') && !whole.trim_end().ends_with(['}', ')']) {
            true => self.lines.end_of_line(&self.text, entry.kind.span.end as usize),
            false => entry.span.start as usize + whole.trim_end().len(),
        }
    }

    /// What a layer is and comes to, in Markdown. `within`: it is a block's.
    pub(super) fn describe(&self, entry: &LayerEntry, within: bool) -> String {
        let kind = vocabulary::kind(&entry.kind.text);
        let mut out = String::new();
        if kind.is_none() && self.block(&entry.kind.text).is_some() {
            let groups = self.unfolded(entry, within);
            for layers in groups.iter().take(MOST) {
                if !out.is_empty() {
                    out.push_str("\n\n");
                }
                let name = &entry.name.text;
                let _ = write!(out, "**{name}** · {} of {} layers", entry.kind.text, layers.len());
                if let Some(last) = layers.last() {
                    let _ = write!(out, " · {}", shape(last));
                }
                let params = layers.iter().map(|l| l.param_count()).sum();
                let macs = layers.iter().fold(0u64, |sum, l| sum.saturating_add(l.macs));
                out.push_str(&costs(params, macs));
            }
            if out.is_empty() {
                let _ = write!(out, "**{}** · {}", entry.name.text, entry.kind.text);
            }
            more(&mut out, groups.len());
            return out;
        }
        let resolved = self.resolved(entry);
        match resolved.as_slice() {
            [] => {
                let _ = write!(out, "**{}** · {}", entry.name.text, entry.kind.text);
            }
            [layer] => layer_text(&mut out, layer),
            // A block's layer comes to something else in each use.
            many => {
                for (i, layer) in many.iter().take(MOST).enumerate() {
                    out.push_str(if i > 0 { "\n\n" } else { "" });
                    layer_text(&mut out, layer);
                }
                more(&mut out, many.len());
            }
        }
        if let Some(kind) = kind {
            let _ = write!(out, "\n\n{}.", kind.about);
        }
        out
    }
}

/// A layer with the arithmetic behind its shape, its parameters and its multiply-adds.
pub(super) fn layer_text(out: &mut String, layer: &Layer) {
    let word = if layer.kind == LayerKind::Input { "input" } else { layer.kind.word() };
    let _ = write!(out, "**{}** · {word} · {}", layer.name, shape(layer));
    for d in &layer.derivations {
        let _ = write!(out, "\n\n{}: {} = {} = **{}**", d.what, d.formula, d.numbers, d.result);
    }
    let trained = layer.params.iter().filter(|p| p.trainable);
    let params: Vec<String> = trained.map(|p| format!("{} {}", p.name, sizes(&p.shape))).collect();
    if !params.is_empty() {
        let _ = write!(out, "\n\n{}", params.join(", "));
    }
    out.push_str(&costs(layer.param_count(), layer.macs));
}

fn more(out: &mut String, count: usize) {
    if count > MOST {
        let _ = write!(out, "\n\n… and {} more", count - MOST);
    }
}

fn costs(params: u64, macs: u64) -> String {
    match (params, macs) {
        (0, 0) => String::new(),
        (params, 0) => format!("\n\n{} params", grouped(params)),
        (params, macs) => format!("\n\n{} params, {} MACs per image", grouped(params), scaled(macs)),
    }
}

pub(super) fn shape(layer: &Layer) -> String {
    sizes(&layer.shape)
}

fn sizes(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

pub(super) fn markdown(value: String) -> MarkupContent {
    MarkupContent { kind: MarkupKind::Markdown, value }
}
