//! Output shapes after each layer, and what a layer comes to in words.

use super::Document;
use crate::check::report::{grouped, scaled};
use crate::check::{Layer, LayerKind, vocabulary};
use crate::spec::LayerEntry;
use lsp_types::{InlayHint, InlayHintLabel, InlayHintTooltip, MarkupContent, MarkupKind, Range};
use std::fmt::Write;

impl Document {
    /// The output shape of every layer within `range`, at the end of where it is written.
    pub fn inlay_hints(&self, range: Range) -> Vec<InlayHint> {
        let mut hints = Vec::new();
        for layers in self.layers() {
            for entry in &layers.entries {
                let position = self.lines.position(&self.text, self.end_of_entry(entry));
                if position < range.start || range.end < position || !self.has(entry.span) {
                    continue;
                }
                let block = self.block(&entry.kind.text).is_some() && vocabulary::kind(&entry.kind.text).is_none();
                let resolved = if block { self.unfolded(entry) } else { self.resolved(entry) };
                let Some(label) = label(&resolved, block) else { continue };
                hints.push(InlayHint {
                    position,
                    label: InlayHintLabel::String(label),
                    kind: None,
                    text_edits: None,
                    tooltip: Some(InlayHintTooltip::MarkupContent(markdown(self.describe(entry)))),
                    padding_left: Some(true),
                    padding_right: None,
                    data: None,
                });
            }
        }
        hints
    }

    /// Where an entry ends: its bracket, or the line of its kind if its settings have lines of their own.
    fn end_of_entry(&self, entry: &LayerEntry) -> usize {
        let whole = self.text.get(entry.span.start as usize..entry.span.end as usize).unwrap_or("");
        match whole.trim_end().contains('\n') && !whole.trim_end().ends_with(['}', ')']) {
            true => self.lines.end_of_line(&self.text, entry.kind.span.end as usize),
            false => entry.span.start as usize + whole.trim_end().len(),
        }
    }

    /// What a layer is and comes to, in Markdown.
    pub(super) fn describe(&self, entry: &LayerEntry) -> String {
        let kind = vocabulary::kind(&entry.kind.text);
        let mut out = String::new();
        if kind.is_none() && self.block(&entry.kind.text).is_some() {
            let layers = self.unfolded(entry);
            let _ = write!(out, "**{}** · {} of {} layers", entry.name.text, entry.kind.text, layers.len());
            if let Some(last) = layers.last() {
                let _ = write!(out, " · {}", shape(last));
            }
            let params = layers.iter().map(|l| l.param_count()).sum();
            let macs = layers.iter().fold(0u64, |sum, l| sum.saturating_add(l.macs));
            out.push_str(&costs(params, macs));
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
                for (i, layer) in many.iter().take(8).enumerate() {
                    out.push_str(if i > 0 { "\n\n" } else { "" });
                    layer_text(&mut out, layer);
                }
                if many.len() > 8 {
                    let _ = write!(out, "\n\n… and {} more", many.len() - 8);
                }
            }
        }
        if let Some(kind) = kind {
            let _ = write!(out, "\n\n{}.", kind.about);
        }
        out
    }
}

/// Shapes in short: the last of a block's use; otherwise one, or the first and the last of several.
fn label(layers: &[&Layer], block: bool) -> Option<String> {
    let last = layers.last()?;
    let first = layers.first().filter(|first| !block && first.shape != last.shape);
    Some(first.map_or_else(|| shape(last), |first| format!("{} … {}", shape(first), shape(last))))
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
