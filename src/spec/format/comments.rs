//! Which comment belongs to what.
//!
//! A comment at the end of a line belongs to what ends there; any other to what begins next. What begins and ends are the
//! items that get a line of their own: sections, their settings, blocks, layers.

use super::SPREAD;
use super::block_layers;
use crate::source::Span;
use crate::spec::{Data, Setting, Spec, Syntax, Value};
use std::collections::BTreeMap;

/// What stands around an item.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// Comments before it, each with whether a blank line stands before it.
    pub before: Vec<(bool, String)>,
    /// Whether a blank line stands right before the item.
    pub blank: bool,
    /// The comment at the end of its line.
    pub trailing: Option<String>,
}

/// Comments by the place where their item starts in the sources.
#[derive(Debug, Default)]
pub(super) struct Comments {
    items: BTreeMap<u32, Around>,
    /// Comments after the last item.
    pub end: Vec<(bool, String)>,
}

impl Comments {
    /// The comments of a text that starts at `offset` in the sources.
    pub fn of(spec: &Spec, text: &str, offset: usize) -> Comments {
        let items = items(spec);
        let places = match spec.syntax {
            Syntax::Yaml => crate::spec::yaml::comments(text),
            Syntax::Dsl => crate::spec::dsl::comments(text),
        };
        let local = |at: u32| (at as usize).saturating_sub(offset);
        let mut found = Comments::default();
        for &Span { start, .. } in &items {
            found.items.entry(start).or_default().blank = blank_before(text, local(start));
        }
        for place in places {
            let words = normal(&text[place.clone()]);
            let before = items.partition_point(|item| local(item.start) < place.start);
            let same_line = |end: usize| end <= place.start && !text[end..place.start].contains('\n');
            // Of the items that start before the comment those of its line matter, and the one it stands in.
            let holder = items[..before].iter().rev().take(64).find(|i| local(i.end) > place.start);
            let ended = items[..before].iter().rev().take(64).find(|i| same_line(local(i.end)));
            let (key, trailing) = match (holder, ended, items.get(before)) {
                (Some(item), None, _) => (Some(item.start), false),
                (_, Some(item), _) => (Some(item.start), true),
                (None, None, Some(item)) => (Some(item.start), false),
                (None, None, None) => (None, false),
            };
            let blank = blank_before(text, place.start);
            let around = key.map(|key| found.items.entry(key).or_default());
            match (around, trailing) {
                (Some(around), true) if around.trailing.is_none() => around.trailing = Some(words),
                (Some(around), _) => around.before.push((blank, words)),
                (None, _) => found.end.push((blank, words)),
            }
        }
        found
    }

    /// What stands around the item that starts there; asked for once.
    pub fn take(&mut self, start: u32) -> Around {
        self.items.remove(&start).unwrap_or_default()
    }

    /// Whether a blank line stands before an item and its comments; from now on none does.
    pub fn take_blank(&mut self, start: u32) -> bool {
        match self.items.get_mut(&start) {
            Some(Around { before, blank, .. }) => match before.first_mut() {
                Some((blank, _)) => std::mem::take(blank),
                None => std::mem::take(blank),
            },
            None => false,
        }
    }

    /// Whether nothing stands before an item.
    pub fn leads_plain(&self, start: u32) -> bool {
        self.items.get(&start).is_none_or(|a| a.before.is_empty() && !a.blank)
    }

    /// Whether an item has no comments, and no blank line before it.
    pub fn is_plain(&self, start: u32) -> bool {
        self.items.get(&start).is_none_or(|a| a.before.is_empty() && !a.blank && a.trailing.is_none())
    }
}

/// A comment as it is written: a blank after its sign.
fn normal(text: &str) -> String {
    let words = text.trim_start_matches('#');
    let signs = &text[..text.len() - words.len()];
    let words = words.trim_end();
    match words.starts_with(' ') || words.is_empty() || words.starts_with('!') {
        true => format!("{signs}{words}"),
        false => format!("{signs} {words}"),
    }
}

/// Whether the line before that of `at` is blank, if nothing but a dash stands before `at` in its own.
fn blank_before(text: &str, at: usize) -> bool {
    let line = text[..at].rfind('\n').map_or(0, |n| n + 1);
    if !text[line..at].chars().all(|c| c.is_whitespace() || c == '-') {
        return false;
    }
    let Some(before) = text[..line].strip_suffix('\n') else { return false };
    before.rsplit('\n').next().is_some_and(|last| last.trim().is_empty()) && !before.trim().is_empty()
}

/// The places of all items, in the order of the text.
fn items(spec: &Spec) -> Vec<Span> {
    let mut items = Vec::new();
    for setting in &spec.sections.entries {
        let key = setting.key.text.as_str();
        let whole = setting.key.span.to(setting.value.span);
        match &setting.value.data {
            Data::Map(map) if SPREAD.contains(&key) => {
                items.push(setting.key.span);
                items.extend(map.entries.iter().map(|s| s.key.span.to(s.value.span)));
            }
            Data::Map(map) if key == "blocks" => {
                if spec.syntax == Syntax::Yaml {
                    items.push(setting.key.span);
                }
                for block in &map.entries {
                    items.push(Span { end: block.key.span.end, ..block_start(block) });
                    if let Data::Map(body) = &block.value.data {
                        items.extend(
                            body.entries.iter().flat_map(|part| block_part(&part.key.text, part.key.span, &part.value)),
                        );
                    }
                }
            }
            _ => items.push(whole),
        }
    }
    if let (Some(span), Syntax::Yaml) = (spec.layers_span, spec.syntax) {
        items.push(span);
    }
    items.extend(spec.layers.iter().map(|layer| layer.span));
    items.sort();
    items.dedup();
    items
}

/// Where a block begins: its name in YAML, the word before it in the netc language.
pub(super) fn block_start(block: &Setting) -> Span {
    block.key.span.to(block.value.span).start_only()
}

fn block_part(key: &str, span: Span, value: &Value) -> Vec<Span> {
    match block_layers(value).filter(|_| key == "layers") {
        Some(layers) => std::iter::once(span).chain(layers.into_iter().map(|l| l.span)).collect(),
        None => vec![span.to(value.span)],
    }
}
