//! Reads YAML into a tree of [`Value`]s with spans.
//!
//! Works on parser events because those have both ends of every node. Accepts YAML 1.2's core schema, aliases and merge
//! keys (`<<`). Depth, length and the unfolding of aliases are limited, so that no text can exhaust memory or stack.

use super::{Data, Gathering, Layout, Map, Name, Setting, Value};
use crate::diag::{Applicability, Code, Diagnostic, Edit, Fix};
use crate::source::Span;
use serde_yaml::granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, StructureStyle, options};
use std::collections::BTreeMap;
use std::ops::Range;

/// Nested lists and maps.
const DEEPEST: usize = 40;
/// Nodes of the tree, those that aliases repeat included.
const MOST_NODES: usize = 500_000;

/// Why a text cannot be read to its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is too large.
    Limit(Box<Diagnostic>),
    /// It is no YAML.
    Syntax {
        /// The byte where the parser stumbled.
        at: usize,
        /// Over what.
        kind: ErrorKind,
    },
}

/// The value that `text` holds, or `None` if it holds nothing. `offset` is where the text starts in the sources. The
/// problems are those of meaning.
pub(super) fn tree(text: &str, offset: u32) -> Result<(Option<Value>, Vec<Diagnostic>), Stop> {
    let mut builder = Builder { text, offset, problems: Vec::new(), nodes: 0, anchors: BTreeMap::new() };
    let tree = builder.document()?;
    Ok((tree, builder.problems))
}

/// The byte where reading stops because what is there is no YAML, if it does.
pub(super) fn stumbles(text: &str) -> Option<usize> {
    match tree(text, 0) {
        Err(Stop::Syntax { at, .. }) => Some(at),
        Ok(_) | Err(Stop::Limit(_)) => None,
    }
}

/// The comments of a text, without the ends of their lines. The text must be valid.
pub(super) fn comments(text: &str) -> Vec<Range<usize>> {
    let at = |marker: Marker| marker.byte_offset().unwrap_or(text.len()).min(text.len());
    let mut found = Vec::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        if let Event::Comment(..) = event {
            let (start, end) = (at(span.start), at(span.end));
            found.push(start..start + text[start..end].trim_end().len());
        }
    }
    found.sort_by_key(|place| place.start);
    found
}

struct Builder<'t> {
    text: &'t str,
    offset: u32,
    problems: Vec<Diagnostic>,
    nodes: usize,
    anchors: BTreeMap<usize, (Value, usize)>,
}

/// A list or map that is not closed yet.
struct Open {
    start: Span,
    anchor: usize,
    nodes_before: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Value>),
    /// `merged`: what merge keys bring, which gives way to what is written.
    Map {
        entries: Gathering,
        merged: Vec<Setting>,
        key: Option<Name>,
        layout: Layout,
    },
}

impl Builder<'_> {
    fn document(&mut self) -> Result<Option<Value>, Stop> {
        let mut stack: Vec<Open> = Vec::new();
        let mut root = None;
        let options = options! { emit_comments: false };
        for event in Parser::new_from_str_with_options(self.text, options) {
            let (event, span) = event.map_err(|e| self.stop(&e))?;
            let place = Span { start: self.at(span.start), end: self.at(span.end) };
            let tag_place = span.tag_span().map_or(place, |t| Span { start: self.at(t.start), end: self.at(t.end) });
            let complete = match event {
                Event::Scalar(word, style, anchor, tag) => {
                    let plain = style == ScalarStyle::Plain && tag.as_ref().is_none_or(|t| t.is_yaml_core_schema());
                    self.refuse_tag(tag.is_some_and(|t| !t.is_yaml_core_schema()), tag_place);
                    if let Some(dash) = dash_within(self.written(place)).filter(|_| style == ScalarStyle::Plain) {
                        // YAML takes an entry that is indented too far for more words of the one before.
                        let at = place.start.saturating_sub(self.offset) as usize + dash;
                        return Err(Stop::Syntax { at, kind: ErrorKind::InvalidIndentation });
                    }
                    // The parser stands for a value that is not written by `~` with an empty span.
                    let empty = place.start == place.end;
                    let data =
                        if plain { resolve(if empty { "" } else { &word }) } else { Data::Text(word.into_owned()) };
                    self.complete(Value { data, span: place }, anchor, 1)
                }
                Event::Alias(anchor) => self.alias(anchor, place)?,
                Event::SequenceStart(_, anchor, tag) => {
                    self.refuse_tag(tag.is_some_and(|t| !t.is_yaml_core_schema()), tag_place);
                    self.open(&mut stack, place, anchor, OpenKind::List(Vec::new()))?;
                    continue;
                }
                Event::MappingStart(style, anchor, tag) => {
                    self.refuse_tag(tag.is_some_and(|t| !t.is_yaml_core_schema()), tag_place);
                    let layout = match style {
                        StructureStyle::Flow => Layout::Braces,
                        _ => Layout::Lines(u32::try_from(span.start.col()).unwrap_or(0)),
                    };
                    self.open(
                        &mut stack,
                        place,
                        anchor,
                        OpenKind::Map { entries: Gathering::default(), merged: Vec::new(), key: None, layout },
                    )?;
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                    Some(open) => self.close(open, place),
                    None => continue,
                },
                Event::DocumentStart(..) if root.is_some() => {
                    let message = "a spec is one document, but a second one starts here";
                    self.problems.push(Diagnostic::error(Code::InvalidYaml, place, message));
                    break;
                }
                _ => continue,
            };
            if self.nodes > MOST_NODES {
                return Err(self.too_much(complete.span, format!("the spec has more than {MOST_NODES} values")));
            }
            match stack.last_mut() {
                Some(parent) => self.put(parent, complete)?,
                None => root = Some(complete),
            }
        }
        Ok(root)
    }

    fn at(&self, marker: Marker) -> u32 {
        let byte = marker.byte_offset().unwrap_or(self.text.len()).min(self.text.len());
        self.offset.saturating_add(u32::try_from(byte).unwrap_or(u32::MAX))
    }

    fn stop(&self, error: &ScanError) -> Stop {
        let at = self.at(*error.marker());
        match error.kind() {
            ErrorKind::RecursionLimitExceeded => self.too_deep(Span { start: at, end: at }),
            kind => Stop::Syntax { at: at.saturating_sub(self.offset) as usize, kind: kind.clone() },
        }
    }

    fn too_deep(&self, span: Span) -> Stop {
        self.too_much(span, format!("lists and settings are nested more than {DEEPEST} deep"))
    }

    fn too_much(&self, span: Span, message: String) -> Stop {
        Stop::Limit(Box::new(Diagnostic::error(Code::TooMuch, span, message)))
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            self.problems.push(Diagnostic::error(Code::InvalidYaml, span, "a spec cannot have YAML tags"));
        }
    }

    fn open(&mut self, stack: &mut Vec<Open>, start: Span, anchor: usize, kind: OpenKind) -> Result<(), Stop> {
        if stack.len() >= DEEPEST {
            return Err(self.too_deep(start));
        }
        stack.push(Open { start, anchor, nodes_before: self.nodes, kind });
        Ok(())
    }

    /// Counts a finished node and keeps it if it has an anchor.
    fn complete(&mut self, value: Value, anchor: usize, nodes: usize) -> Value {
        self.nodes += 1;
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), nodes));
        }
        value
    }

    /// A copy of the anchored value that points at the alias.
    fn alias(&mut self, anchor: usize, place: Span) -> Result<Value, Stop> {
        let Some((value, nodes)) = self.anchors.get(&anchor) else {
            let message = "an alias cannot stand within what it names";
            self.problems.push(Diagnostic::error(Code::InvalidYaml, place, message));
            return Ok(Value { data: Data::Null, span: place });
        };
        self.nodes = self.nodes.saturating_add(*nodes);
        if self.nodes > MOST_NODES {
            let message = format!("aliases unfold to more than {MOST_NODES} values");
            return Err(self.too_much(place, message));
        }
        Ok(Value { data: value.data.clone(), span: place })
    }

    fn close(&mut self, open: Open, end: Span) -> Value {
        let start = open.start;
        // The end of a block is reported where the next token is; its last part's end is what the reader sees.
        let block_end = |last: Option<Span>| last.map_or(start, |last| start.to(last));
        let (data, span) = match open.kind {
            OpenKind::List(items) => {
                let flow = start.end > start.start;
                let span = if flow { start.to(end) } else { block_end(items.last().map(|v| v.span)) };
                (Data::List(items), span)
            }
            OpenKind::Map { entries: Gathering { mut entries, mut keys, .. }, merged, layout, .. } => {
                let span = match layout {
                    Layout::Braces => start.to(end),
                    _ => block_end(entries.last().map(|s| s.key.span.to(s.value.span))),
                };
                for setting in merged {
                    if keys.insert(setting.key.text.clone(), setting.key.span).is_none() {
                        entries.push(setting);
                    }
                }
                (Data::Map(Map { entries, span, layout }), span)
            }
        };
        let nodes = self.nodes - open.nodes_before + 1;
        self.complete(Value { data, span }, open.anchor, nodes)
    }

    fn put(&mut self, parent: &mut Open, value: Value) -> Result<(), Stop> {
        match &mut parent.kind {
            OpenKind::List(items) => match &value.data {
                Data::Text(text) if text.contains(' ') => match self.numbers(text, value.span) {
                    Some(numbers) => items.extend(numbers),
                    None => items.push(value),
                },
                _ => items.push(value),
            },
            OpenKind::Map { entries, merged, key, layout } => match (key.take(), value.data) {
                (None, Data::Text(text)) if *layout != Layout::Braces && runs_on(&text) => {
                    // YAML takes `conv:{kernels: 8}` for the key `conv:{kernels`.
                    let at = value.span.start.saturating_sub(self.offset) as usize;
                    return Err(Stop::Syntax { at, kind: ErrorKind::SimpleKeyExpected });
                }
                (None, data) => *key = Some(self.key(Value { data, span: value.span })),
                (Some(name), Data::Map(map)) if name.text == "<<" => merged.extend(map.entries),
                (Some(key), data) => {
                    let setting = Setting { key, value: Value { data, span: value.span } };
                    let setting = if *layout == Layout::Braces { self.separated(setting) } else { setting };
                    let fix = entries.entries.last().and_then(|before| self.removal(before, &setting));
                    let fix = fix.filter(|_| setting.value.data != Data::Null);
                    let first = entries.entries.iter().find(|s| s.key.text == setting.key.text);
                    let nothing = first.is_some_and(|s| s.value.data == Data::Null);
                    let same = first.is_some_and(|s| self.written(s.value.span) == self.written(setting.value.span));
                    let before = self.problems.len();
                    entries.insert(setting, &mut self.problems);
                    if let Some(problem) = self.problems.get_mut(before).filter(|_| !nothing) {
                        let sure =
                            |fix: Fix| if same { Fix { applicability: Applicability::Sure, ..fix } } else { fix };
                        problem.fixes = fix.map(sure).into_iter().collect();
                    }
                }
            },
        }
        Ok(())
    }

    /// What is written in a place.
    fn written(&self, span: Span) -> &str {
        let range = span.start.saturating_sub(self.offset) as usize..span.end.saturating_sub(self.offset) as usize;
        self.text.get(range).unwrap_or("")
    }

    /// The numbers of a list that have blanks but no comma between them.
    fn numbers(&mut self, text: &str, span: Span) -> Option<Vec<Value>> {
        let number = |word: &str| matches!(resolve(word), Data::Integer(_) | Data::Real(_));
        if self.written(span) != text || !text.split(' ').all(|word| word.is_empty() || number(word)) {
            return None;
        }
        let mut at = span.start;
        let mut found = Vec::new();
        for word in text.split(' ') {
            let end = at.saturating_add(u32::try_from(word.len()).unwrap_or(u32::MAX));
            if !word.is_empty() {
                found.push(Value { data: resolve(word), span: Span { start: at, end } });
            }
            at = end.saturating_add(1);
        }
        let mut fix = Fix::maybe("put a comma between them", span, "");
        let ends = found.iter().take(found.len().saturating_sub(1)).map(|value| value.span.after());
        fix.edits = ends.map(|span| Edit { span, text: ",".to_string() }).collect();
        let diagnostic = Diagnostic::error(Code::InvalidYaml, span, "a comma is missing between these numbers");
        self.problems.push(diagnostic.fix(fix));
        Some(found)
    }

    /// A setting in braces of which only a key was read, `kernels:96` or `kernels 96`: both were meant.
    fn separated(&mut self, setting: Setting) -> Setting {
        let Setting { key, value } = &setting;
        let absent = value.data == Data::Null && value.span.start == value.span.end;
        let length = key.text.find(|c: char| !(c.is_ascii_alphanumeric() || "_.".contains(c))).unwrap_or(0);
        let rest = &key.text[length..];
        let written = rest.trim_start_matches([':', ' ']);
        if !absent || length == 0 || written.is_empty() || self.written(key.span) != key.text {
            return setting;
        }
        let at = |bytes: usize| key.span.start.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        let place = Span { start: key.span.start, end: at(length) };
        let (message, fix) = if rest.starts_with(':') {
            let behind = Span { start: at(length + 1), end: at(length + 1) };
            ("a colon needs a space after it", Fix::sure("put a space after the colon", behind, " "))
        } else if rest.starts_with(' ') {
            ("a key needs a colon after it", Fix::maybe("put a colon after the key", place.after(), ":"))
        } else {
            return setting;
        };
        self.problems.push(Diagnostic::error(Code::InvalidYaml, place, message).fix(fix));
        let span = Span { start: at(key.text.len() - written.len()), end: key.span.end };
        let key = Name { text: key.text[..length].to_string(), span: place };
        Setting { key, value: Value { data: resolve(written), span } }
    }

    /// The fix that takes away a setting behind another one, unless there is a comment between.
    fn removal(&self, before: &Setting, setting: &Setting) -> Option<Fix> {
        let end = before.key.span.to(before.value.span).end;
        let between = self.written(Span { start: end, end: setting.key.span.start });
        let whole = Span { start: end, end: setting.key.span.to(setting.value.span).end };
        let plain = between.chars().all(|c| c.is_whitespace() || c == ',');
        (end <= setting.key.span.start && plain).then(|| Fix::maybe("remove this one", whole, ""))
    }

    fn key(&mut self, value: Value) -> Name {
        let text = match value.data {
            Data::Text(text) => text,
            Data::Integer(n) => n.to_string(),
            Data::Flag(flag) => flag.to_string(),
            Data::Null | Data::Real(_) | Data::List(_) | Data::Map(_) => {
                let message = format!("a key must be a word, but this is {}", value.data.describe());
                self.problems.push(Diagnostic::error(Code::InvalidYaml, value.span, message));
                String::new()
            }
        };
        Name { text, span: value.span }
    }
}

/// Where a further line of plain words begins with a dash.
fn dash_within(words: &str) -> Option<usize> {
    let ends = words.match_indices('\n').map(|(end, _)| end + 1);
    ends.map(|start| start + words[start..].len() - words[start..].trim_start().len())
        .find(|&first| words[first..].starts_with("- "))
}

/// Whether a key goes on after a colon, with what must be its value.
fn runs_on(key: &str) -> bool {
    let rest = key.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_.".contains(c));
    rest.len() < key.len() && (rest.starts_with(":{") || rest.starts_with(":["))
}

/// A plain scalar by YAML 1.2's core schema.
pub(super) fn resolve(word: &str) -> Data {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Flag(true),
        "false" | "False" | "FALSE" => return Data::Flag(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" => return Data::Real(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Data::Real(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Data::Real(f64::NAN),
        _ => {}
    }
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    if let Some(hex) = word.strip_prefix("0x")
        && let Ok(number) = i64::from_str_radix(hex, 16)
    {
        return Data::Integer(number);
    }
    if !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && let Ok(number) = word.parse()
    {
        return Data::Integer(number);
    }
    let numeric = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        && digits.bytes().any(|b| b.is_ascii_digit());
    match word.parse() {
        Ok(number) if numeric => Data::Real(number),
        _ => Data::Text(word.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        let (value, problems) = tree(text, 0).expect("valid YAML");
        assert_eq!(problems, []);
        value.expect("a value")
    }

    #[test]
    fn spans_cover_whole_nodes() {
        let text = "a: {b: [1, 2], c: 'x y'}\nd:\n  - 1.5\n  - e: 1e-4\nf:\n";
        let Data::Map(map) = value(text).data else { panic!("a map") };
        let slice = |span: Span| &text[span.start as usize..span.end as usize];
        assert_eq!(slice(map.span), "a: {b: [1, 2], c: 'x y'}\nd:\n  - 1.5\n  - e: 1e-4\nf");
        assert_eq!(slice(map.entries[0].value.span), "{b: [1, 2], c: 'x y'}");
        let Data::Map(inner) = &map.entries[0].value.data else { panic!("a map") };
        assert_eq!(slice(inner.entries[0].value.span), "[1, 2]");
        assert_eq!(slice(inner.entries[1].value.span), "'x y'");
        assert_eq!(slice(map.entries[1].value.span), "- 1.5\n  - e: 1e-4");
        let Data::List(items) = &map.entries[1].value.data else { panic!("a list") };
        assert_eq!(items[0].data, Data::Real(1.5));
        let Data::Map(e) = &items[1].data else { panic!("a map") };
        assert_eq!((e.layout, &e.entries[0].value.data), (Layout::Lines(4), &Data::Real(1e-4)));
        assert_eq!(map.entries[2].value.data, Data::Null);
    }

    #[test]
    fn aliases_and_merge_keys_unfold() {
        let Data::Map(map) = value("a: &x {p: 1, q: 2}\nb: *x\nc: {<<: *x, q: 3}\n").data else { panic!("a map") };
        let keys = |i: usize| match &map.entries[i].value.data {
            Data::Map(m) => m.entries.iter().map(|s| (s.key.text.as_str(), s.value.data.clone())).collect::<Vec<_>>(),
            other => panic!("a map, not {other:?}"),
        };
        assert_eq!(keys(1), [("p", Data::Integer(1)), ("q", Data::Integer(2))]);
        assert_eq!(keys(2), [("q", Data::Integer(3)), ("p", Data::Integer(1))]);
    }

    #[test]
    fn deep_nesting_and_unfolding_aliases_are_refused() {
        let deep = "[".repeat(10_000);
        let code = |text: &str| match tree(text, 0) {
            Err(Stop::Limit(diagnostic)) => diagnostic.code,
            other => panic!("a limit, not {other:?}"),
        };
        assert_eq!(code(&deep), Code::TooMuch);
        let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..20 {
            let list = vec![format!("*a{}", i - 1); 10].join(", ");
            laughs.push_str(&format!("a{i}: &a{i} [{list}]\n"));
        }
        assert_eq!(code(&laughs), Code::TooMuch);
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        for (word, data) in [
            ("12", Data::Integer(12)),
            ("-3", Data::Integer(-3)),
            ("0x1F", Data::Integer(31)),
            ("1.0e-4", Data::Real(1e-4)),
            ("5e3", Data::Real(5000.0)),
            ("99999999999999999999", Data::Real(1e20)),
            ("yes", Data::Text("yes".into())),
            ("1.2.3", Data::Text("1.2.3".into())),
            ("inf", Data::Text("inf".into())),
            ("~", Data::Null),
            ("True", Data::Flag(true)),
        ] {
            assert_eq!(resolve(word), data, "{word}");
        }
    }
}
