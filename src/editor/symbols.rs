//! The outline of a spec: sections, layers with their shapes, blocks, parameters.

use super::Document;
use super::shapes::shape;
use crate::source::Span;
use crate::spec::{Data, LayerEntry};
use lsp_types::{DocumentSymbol, SymbolKind};

impl Document {
    /// Sections in the order of the text, with what is in them.
    pub fn symbols(&self) -> Vec<DocumentSymbol> {
        let layers = self.layers();
        let mut symbols = Vec::new();
        for section in &self.spec.sections.entries {
            if !self.has(section.value.span) {
                continue;
            }
            let mut children = Vec::new();
            if let ("params" | "vary", Data::Map(map)) = (section.key.text.as_str(), &section.value.data) {
                for s in &map.entries {
                    let detail = self.sources.text(s.value.span).to_string();
                    children.push(self.symbol(&s.key.text, detail, SymbolKind::CONSTANT, s.key.span, s.value.span));
                }
            }
            if section.key.text == "blocks" {
                for body in layers.iter().skip(1) {
                    let Some(block) = body.block.filter(|block| self.has(block.value.span)) else { continue };
                    let name = &block.key;
                    let whole = block.value.span;
                    let mut symbol = self.symbol(&name.text, String::new(), SymbolKind::CLASS, name.span, whole);
                    symbol.children = Some(body.entries.iter().map(|entry| self.layer(entry)).collect());
                    children.push(symbol);
                }
            }
            let detail = match &section.value.data {
                Data::Text(text) => text.clone(),
                _ => String::new(),
            };
            let key = &section.key;
            let mut symbol = self.symbol(&key.text, detail, SymbolKind::MODULE, key.span, section.value.span);
            symbol.children = (!children.is_empty()).then_some(children);
            symbols.push(symbol);
        }
        let entries: Vec<DocumentSymbol> =
            self.spec.layers.iter().filter(|entry| self.has(entry.span)).map(|entry| self.layer(entry)).collect();
        match (self.spec.layers_span, self.spec.layers.last()) {
            (Some(span), Some(last)) if self.has(span) && span.start < last.span.start => {
                let mut symbol = self.symbol("layers", String::new(), SymbolKind::MODULE, span, last.span);
                symbol.children = Some(entries);
                symbols.push(symbol);
            }
            _ => symbols.extend(entries),
        }
        symbols.sort_by_key(|symbol| symbol.range.start);
        symbols
    }

    fn layer(&self, entry: &LayerEntry) -> DocumentSymbol {
        let resolved = self.resolved(entry);
        let shapes = resolved.last().map_or(String::new(), |layer| format!(" {}", shape(layer)));
        let detail = format!("{}{shapes}", entry.kind.text);
        let mut symbol = self.symbol(&entry.name.text, detail, SymbolKind::OBJECT, entry.kind.span, entry.span);
        if entry.named && self.has(entry.name.span) {
            symbol.selection_range = self.range(entry.name.span);
        }
        symbol
    }

    #[allow(deprecated, reason = "a field of the protocol's type that must be given, though nothing reads it")]
    fn symbol(&self, name: &str, detail: String, kind: SymbolKind, key: Span, value: Span) -> DocumentSymbol {
        let name = if name.is_empty() { "?" } else { name };
        DocumentSymbol {
            name: name.to_string(),
            detail: (!detail.is_empty()).then_some(detail),
            kind,
            tags: None,
            deprecated: None,
            range: self.range(key.to(value)),
            selection_range: self.range(key),
            children: None,
        }
    }
}
