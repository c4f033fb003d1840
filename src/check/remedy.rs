//! Edits that mend what is wrong, written as the text around them is.

use super::reader::{self, Bounds};
use crate::diag::{Edit, Fix};
use crate::source::Span;
use crate::spec::{Data, LayerEntry, Layout, Map, Spec, Syntax};
use std::collections::BTreeSet;

/// The edit that gives all of these settings, which are not there, to `owner`, a word in the text.
pub(super) fn insertion(map: &Map, owner: Span, settings: &[(&str, &str)]) -> Option<Edit> {
    let (&(key, value), rest) = settings.split_first()?;
    let mut text = value.to_string();
    for (key, value) in rest {
        match map.layout {
            Layout::Lines(indent) if !map.entries.is_empty() => {
                text.push_str(&format!("\n{:indent$}", "", indent = indent as usize));
            }
            _ => text.push_str(", "),
        }
        text.push_str(&format!("{key}: {value}"));
    }
    Some(reader::edit(map, owner, key, &text))
}

/// What a setting that is missing usually is, where anything is usual.
pub(super) fn usual(owner: &str, key: &str, known: &[&str]) -> Option<&'static str> {
    match (owner, key) {
        ("train", "loss") => Some("cross_entropy"),
        ("train", "optimizer") => Some("{sgd: {lr: 0.01, momentum: 0.9}}"),
        ("train", "batch") => Some("32"),
        ("train", "epochs") => Some("10"),
        ("sgd", "lr") => Some("0.01"),
        ("adam" | "adamw", "lr") => Some("0.001"),
        ("normal", "std") => Some("0.01"),
        (_, "kernel_size") if known.contains(&"kernels") => Some("3"),
        (_, "kernel_size") => Some("2"),
        _ => None,
    }
}

/// The number of at least `least` that was meant by `n`, which is less: one without its sign, or that of no effect.
pub(super) fn whole(key: &str, n: i64, least: usize) -> Option<i64> {
    let positive = n.checked_neg().filter(|&m| m > 0 && m <= i64::from(i32::MAX));
    let least = i64::try_from(least).ok()?;
    match key {
        "stride" | "dilation" | "groups" if n == 0 => Some(1),
        _ => positive.filter(|&m| m >= least),
    }
}

/// The number within `bounds` that was meant by `x`, which is not: one without its sign, or a share written in percent.
pub(super) fn number(x: f64, bounds: Bounds) -> Option<(f64, &'static str)> {
    let share = matches!(bounds, Bounds::Unit | Bounds::BelowOne) && x >= 10.0 && bounds.holds(x / 100.0);
    match share {
        true => Some((x / 100.0, "of 1, not of 100")),
        false if x < 0.0 && bounds.holds(-x) => Some((-x, "")),
        false => None,
    }
}

/// A name like `base` that is not taken: the number at its end counts on.
pub(super) fn free_name(base: &str, taken: impl Fn(&str) -> bool) -> String {
    let word = base.trim_end_matches(|c: char| c.is_ascii_digit());
    let first = base[word.len()..].parse::<u32>().ok().and_then(|n| n.checked_add(1)).unwrap_or(2);
    let mut names = (first..).map(|n| format!("{word}{n}"));
    names.find(|name| !taken(name)).unwrap_or_else(|| format!("{word}_"))
}

/// What of a layer's name is written in its place: a layer of a block has the names of its uses before it.
pub(super) fn written(name: &str, span: Span) -> &str {
    let length = (span.end - span.start) as usize;
    name.len().checked_sub(length).and_then(|start| name.get(start..)).unwrap_or(name)
}

/// Names of layers that `from` gives, with their places.
pub(super) fn references(entry: &LayerEntry) -> Vec<(&str, Span)> {
    let Some(setting) = entry.settings.get("from") else { return Vec::new() };
    let items = match &setting.value.data {
        Data::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&setting.value),
    };
    items
        .iter()
        .filter_map(|item| if let Data::Text(text) = &item.data { Some((text.as_str(), item.span)) } else { None })
        .collect()
}

/// Takes layers out of the text.
pub(super) struct Removal<'a> {
    spec: &'a Spec,
    /// Names that `from` gives somewhere.
    read: BTreeSet<&'a str>,
    /// Kinds of which a layer without a name of its own is read by name.
    counted: BTreeSet<&'a str>,
}

impl<'a> Removal<'a> {
    pub fn new(spec: &'a Spec) -> Removal<'a> {
        let read: BTreeSet<&str> = spec.layers.iter().flat_map(references).map(|(name, _)| name).collect();
        let unnamed = spec.layers.iter().filter(|entry| !entry.named && read.contains(entry.name.text.as_str()));
        let counted = unnamed.map(|entry| entry.kind.text.as_str()).collect();
        Removal { spec, read, counted }
    }

    /// The edit that takes out a layer, if that can be done without touching anything else.
    pub fn of(&self, index: usize) -> Option<Edit> {
        let spec = self.spec;
        let entry = spec.layers.get(index)?;
        let block = |entry: &LayerEntry| entry.name.text.contains('.') && !entry.named;
        let inner = |entry: &LayerEntry| written(&entry.name.text, entry.name.span) != entry.name.text && entry.named;
        // Without it, the layers of its kind that have no name of their own would be called otherwise.
        let named = self.read.contains(entry.name.text.as_str()) || self.counted.contains(entry.kind.text.as_str());
        if block(entry) || inner(entry) || named {
            return None;
        }
        let span = match (index.checked_sub(1).and_then(|i| spec.layers.get(i)), spec.layers.get(index + 1)) {
            (Some(before), _) => Span { start: before.span.end, end: entry.span.end },
            (None, Some(next)) if spec.syntax == Syntax::Yaml => Span { start: entry.span.start, end: next.span.start },
            _ => return None,
        };
        let within = |other: Span| span.start <= other.start && other.start < span.end;
        let apart = spec.sections.entries.iter().all(|s| !within(s.key.span) && !within(s.value.span));
        (span.start < span.end && apart).then(|| Edit { span, text: String::new() })
    }
}

/// A fix of one edit with nothing to choose but whether to have it.
pub(super) fn fix(title: impl Into<String>, edit: Edit) -> Fix {
    Fix { edits: vec![edit], ..Fix::maybe(title, Span::default(), "") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_names_count_on() {
        let taken = ["conv1", "conv2", "a"];
        let free = |base: &str| free_name(base, |name| taken.contains(&name));
        assert_eq!(
            (free("conv1"), free("conv2"), free("a"), free("b")),
            ("conv3".into(), "conv3".into(), "a2".into(), "b2".into())
        );
    }

    #[test]
    fn numbers_out_of_range_are_guessed_only_where_one_is_meant() {
        assert_eq!((whole("kernels", -3, 1), whole("stride", 0, 1), whole("kernels", 0, 1)), (Some(3), Some(1), None));
        assert_eq!((whole("kernels", i64::MIN, 1), whole("padding", -1, 0)), (None, Some(1)));
        assert_eq!(number(50.0, Bounds::BelowOne).map(|n| n.0), Some(0.5));
        assert_eq!(number(-0.1, Bounds::Positive).map(|n| n.0), Some(0.1));
        assert_eq!(
            (number(0.0, Bounds::Positive), number(1.0, Bounds::BelowOne), number(1e9, Bounds::Unit)),
            (None, None, None)
        );
    }
}
