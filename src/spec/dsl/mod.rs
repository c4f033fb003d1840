//! Reads the netc language. The grammar is `grammar/netc.pest`; this turns what it matches into the tree.
//!
//! A mistake stays within its statement: the statements around it are read, and a layer that could not be read leaves
//! one without a kind behind, so that nothing is said of its neighbours.

mod scan;
mod wrong;

use super::yaml::resolve;
use super::{Data, Gathering, LayerEntry, Layout, Map, Name, Setting, Spec, Syntax, Value};
use crate::diag::{Code, Diagnostic, Fix};
use crate::source::Span;
use pest::Parser;
use pest::iterators::Pair;
use scan::{Mended, Statement};
use std::ops::Range;

/// The parser that pest makes of the grammar.
mod grammar {
    #![allow(missing_docs, reason = "pest derives an enum of the grammar's rules, which has no docs")]

    /// The grammar's rules.
    #[derive(pest_derive::Parser)]
    #[grammar = "grammar/netc.pest"]
    pub(super) struct Netc;
}

use grammar::{Netc, Rule};

/// What may be written without its key, in this order. Of a block, its parameters.
pub(super) const POSITIONAL: &[(&str, &[&str])] = &[
    ("conv", &["kernels", "kernel_size"]),
    ("linear", &["features"]),
    ("maxpool", &["kernel_size", "stride"]),
    ("avgpool", &["kernel_size", "stride"]),
    ("adaptive_avgpool", &["output"]),
    ("dropout", &["p"]),
    ("lrn", &["size"]),
];

/// The syntax of a text by its first line that is no comment.
pub(super) fn looks_like(line: &str) -> Syntax {
    let key = line.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    let yaml = key.starts_with(':') || line.starts_with(['{', '-', '%', '?', '&', '!', '[']) || line == "---";
    if yaml { Syntax::Yaml } else { Syntax::Dsl }
}

/// The words of comments and where they stand.
pub(super) fn comments(text: &str) -> Vec<Range<usize>> {
    scan::comments(text)
}

/// The value that a text is, if it is one.
pub(super) fn value(text: &str) -> Option<Data> {
    if text.contains(['\n', '#']) {
        return None;
    }
    let mended = scan::mend(text, 0).ok().filter(|m| m.problems.is_empty())?;
    let pair = Netc::parse(Rule::value_only, text).ok()?.next()?;
    let mut reader = Reader { text: &mended, start: 0, problems: Vec::new(), blocks: Vec::new() };
    let value = reader.value(pair);
    reader.problems.is_empty().then_some(value.data)
}

/// Reads a text that starts at `whole` in the sources.
pub(super) fn read(text: &str, whole: Span) -> Spec {
    let mut spec = Spec {
        syntax: Syntax::Dsl,
        span: whole,
        sections: Map { entries: Vec::new(), span: whole, layout: Layout::Lines(0) },
        layers: Vec::new(),
        layers_span: None,
        problems: Vec::new(),
        damage: Vec::new(),
        broken: false,
        expanded: false,
    };
    // A byte order mark is no part of the text; a blank in its place keeps all places.
    let plain = text.replace('\u{feff}', "   ");
    let mut mended = match scan::mend(&plain, whole.start) {
        Ok(mended) => mended,
        Err(problem) => {
            spec.problems.push(*problem);
            spec.broken = true;
            return spec;
        }
    };
    let mut problems = std::mem::take(&mut mended.problems);
    let statements = scan::statements(&mended.text, 0..mended.text.len());
    if statements.is_empty() {
        let start = Span { end: whole.start, ..whole };
        let diagnostic = Diagnostic::error(Code::EmptySpec, start, "the spec is empty");
        problems.push(diagnostic.note("a spec needs `net`, `input` and layers"));
        spec.broken = true;
        spec.problems = problems;
        return spec;
    }
    let mut reader = Reader { text: &mended, start: 0, problems, blocks: Vec::new() };
    let mut parts = Parts { sections: Gathering { apart: true, ..Gathering::default() }, ..Parts::default() };
    // Blocks first: the order of their parameters says what arguments without a key mean.
    for statement in statements.iter().filter(|s| s.body.is_some()) {
        reader.block_head(statement);
    }
    for statement in &statements {
        reader.statement(statement, &mut parts);
    }
    let Parts { sections, blocks, mut layers, layers_span, lost, .. } = parts;
    spec.sections.entries = sections.entries;
    if let Some((at, blocks, span)) = blocks {
        let map = Map { entries: blocks.entries, span, layout: Layout::Lines(0) };
        let key = Name { text: "blocks".to_string(), span };
        let at = at.min(spec.sections.entries.len());
        spec.sections.entries.insert(at, Setting { key, value: Value { data: Data::Map(map), span } });
    }
    super::read::name_layers(&mut layers);
    spec.layers = layers;
    spec.layers_span = layers_span;
    spec.broken = lost;
    spec.problems = reader.problems;
    spec
}

/// What the statements of a text come to.
#[derive(Default)]
struct Parts {
    sections: Gathering,
    /// The blocks, how many sections stand before the first, and where that is.
    blocks: Option<(usize, Gathering, Span)>,
    layers: Vec<LayerEntry>,
    layers_span: Option<Span>,
    /// A section could not be read, so that nothing can be said to be missing.
    lost: bool,
    /// Within a block: sections are out of place.
    inner: bool,
}

struct Reader<'a> {
    text: &'a Mended,
    /// Where the statement that is being read starts in the mended text.
    start: usize,
    problems: Vec<Diagnostic>,
    /// Blocks by name: their parameters.
    blocks: Vec<(String, Vec<String>)>,
}

type Matched<'a> = Pair<'a, Rule>;

impl Reader<'_> {
    fn span(&self, pair: &Matched<'_>) -> Span {
        // What the grammar matches may reach over blanks and comments to what follows.
        let start = self.start + pair.as_span().start();
        self.text.span(start..start + scan::significant(pair.as_str()))
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.problems.push(diagnostic);
    }

    fn statement(&mut self, statement: &Statement, parts: &mut Parts) {
        if let Some(body) = &statement.body {
            return self.block(statement, body.clone(), parts);
        }
        let whole = self.text;
        let text = &whole.text[statement.range.clone()];
        self.start = statement.range.start;
        let pair = match Netc::parse(Rule::statement, text) {
            Ok(mut pairs) => pairs.next(),
            Err(error) => {
                let diagnostic = wrong::statement(whole, self.start, text, &error);
                self.report(diagnostic);
                return self.salvage(statement, parts);
            }
        };
        match pair {
            Some(pair) if pair.as_rule() == Rule::section => self.section(pair, parts),
            Some(pair) if pair.as_rule() == Rule::braces => self.braces(pair, parts),
            Some(pair) => self.chain(pair, parts),
            None => {}
        }
    }

    /// What is left of a statement that cannot be read: layers of a chain that can, others without a kind.
    fn salvage(&mut self, statement: &Statement, parts: &mut Parts) {
        let text = &self.text.text[statement.range.clone()];
        let first = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("");
        if super::read::SECTIONS.contains(&first) || matches!(first, "layers" | "block") {
            parts.lost = true;
            return;
        }
        let span = self.text.span(statement.range.clone());
        parts.layers_span.get_or_insert(span);
        for part in text.split("->").flat_map(|part| part.split('→')) {
            let mut words =
                part.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.'))).filter(|w| !w.is_empty());
            let (kind, name) = (words.next(), words.next());
            let named =
                part.trim_start().split(['(', ')']).next().is_some_and(|head| head.split_whitespace().count() > 1);
            let nothing = Name { text: String::new(), span };
            if kind == Some("from") || kind.is_none() {
                continue;
            }
            let name = Name { text: name.filter(|_| named).unwrap_or("").to_string(), span };
            parts.layers.push(LayerEntry { kind: nothing, name, named: true, settings: Map::absent(span), span });
        }
    }

    fn section(&mut self, pair: Matched<'_>, parts: &mut Parts) {
        let whole = self.span(&pair);
        let mut inner = pair.into_inner();
        let Some(word) = inner.next() else { return };
        let key = Name { text: word.as_str().to_string(), span: self.span(&word) };
        let mut written = inner.next();
        if let Some(colon) = written.as_ref().filter(|p| p.as_rule() == Rule::colon) {
            let span = self.span(colon);
            let diagnostic =
                Diagnostic::error(Code::InvalidSyntax, span, format!("no colon stands after `{}`", key.text));
            self.report(diagnostic.fix(Fix::sure("remove the colon", span, "")));
            written = inner.next();
        }
        if parts.inner {
            let message = format!("a block has layers only, but here is the section `{}`", key.text);
            self.report(Diagnostic::error(Code::InvalidSyntax, whole, message));
            return;
        }
        let Some(written) = written else { return };
        let value = match written.as_rule() {
            Rule::named => self.named(written),
            _ => self.value(written),
        };
        if key.text == "layers" {
            let message = "layers stand on lines of their own here, not in a list";
            self.report(
                Diagnostic::error(Code::InvalidSyntax, key.span, message).note("as `conv conv1(96, 11) -> relu`"),
            );
            parts.lost = true;
            return;
        }
        parts.sections.insert(Setting { key, value }, &mut self.problems);
    }

    /// `image [3, 224, 224]`: a name and a shape.
    fn named(&mut self, pair: Matched<'_>) -> Value {
        let span = self.span(&pair);
        let mut entries = Vec::new();
        for part in pair.into_inner() {
            let place = self.span(&part);
            let (word, value) = match part.as_rule() {
                Rule::name => ("name", Value { data: Data::Text(self.name(part).text), span: place }),
                _ => ("shape", self.listed(part)),
            };
            entries.push(Setting { key: Name { text: word.to_string(), span: place }, value });
        }
        Value { data: Data::Map(Map { entries, span, layout: Layout::Bare }), span }
    }

    /// What looks like a section: a wrong word for one, or a layer with its settings in braces.
    fn braces(&mut self, pair: Matched<'_>, parts: &mut Parts) {
        let whole = self.span(&pair);
        let mut inner = pair.into_inner();
        let (Some(name), Some(mut written)) = (inner.next(), inner.next()) else { return };
        let key = self.name(name);
        if written.as_rule() == Rule::colon {
            match inner.next() {
                Some(value) => written = value,
                None => return,
            }
        }
        let bare = written.as_rule() == Rule::map;
        let value = if bare { self.map(written) } else { self.value(written) };
        let (known, fix) = super::read::section_meant(&key);
        let settings = match value.data {
            Data::Map(map) if bare && known.is_none() => map,
            data => {
                let diagnostic =
                    Diagnostic::error(Code::UnknownKey, key.span, format!("a spec has no section `{}`", key.text));
                self.report(match fix {
                    Some(fix) => diagnostic.fix(fix),
                    None => diagnostic.note(super::read::sections_note()),
                });
                let value = Value { data, span: value.span };
                if let Some(known) = known {
                    let key = Name { text: known.to_string(), span: key.span };
                    parts.sections.insert(Setting { key, value }, &mut self.problems);
                }
                return;
            }
        };
        let (open, close) = (
            Span { end: settings.span.start + 1, ..settings.span },
            Span { start: settings.span.end - 1, ..settings.span },
        );
        let diagnostic = Diagnostic::error(Code::InvalidSyntax, open, "settings of a layer stand in parentheses");
        let mut fix = Fix::sure(format!("{}(…)", key.text), open, "(");
        fix.edits.push(crate::diag::Edit { span: close, text: ")".to_string() });
        self.report(diagnostic.fix(fix));
        parts.layers_span.get_or_insert(whole);
        parts.layers.push(LayerEntry { name: key.clone(), kind: key, named: false, settings, span: whole });
    }

    fn chain(&mut self, pair: Matched<'_>, parts: &mut Parts) {
        let whole = self.span(&pair);
        parts.layers_span.get_or_insert(whole);
        let mut from: Option<Setting> = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::from => {
                    let key = Name { text: "from".to_string(), span: self.span(&part) };
                    from = Some(Setting { value: Value { data: Data::Null, span: key.span }, key });
                }
                Rule::source => {
                    let span = self.span(&part);
                    let value = part.into_inner().next().map(|inner| match inner.as_rule() {
                        Rule::list => self.listed(inner),
                        _ => Value { span, data: Data::Text(self.name(inner).text) },
                    });
                    if let (Some(from), Some(value)) = (&mut from, value) {
                        from.value = value;
                    }
                }
                _ => {
                    let start = from.as_ref().map(|from| from.key.span);
                    let mut layer = self.layer(part, from.take());
                    layer.span = start.map_or(layer.span, |start| start.to(layer.span));
                    parts.layers.push(layer);
                }
            }
        }
    }

    fn layer(&mut self, pair: Matched<'_>, from: Option<Setting>) -> LayerEntry {
        let span = self.span(&pair);
        let mut kind = Name { text: String::new(), span };
        let (mut title, mut arguments) = (None, None);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::kind => kind = part.into_inner().next().map_or(kind, |name| self.name(name)),
                Rule::title => title = part.into_inner().next().map(|name| self.name(name)),
                _ => arguments = Some(part),
            }
        }
        let head = title.as_ref().map_or(kind.span, |title| kind.span.to(title.span));
        let mut settings = match arguments {
            Some(arguments) => self.arguments(arguments, &kind.text),
            None => Map { entries: Vec::new(), span: head, layout: Layout::Bare },
        };
        if let Some(from) = from {
            match settings.get("from").map(|s| s.key.span) {
                Some(again) => {
                    let diagnostic = Diagnostic::error(Code::DuplicateKey, again, "`from` appears twice");
                    self.report(diagnostic.at("again here").label(from.key.span, "first here"));
                }
                None => settings.entries.insert(0, from),
            }
        }
        let (name, named) = match title {
            Some(name) => (name, true),
            None => {
                let (name, named, rest) = super::read::take_name(&kind, settings);
                settings = rest;
                (name, named)
            }
        };
        LayerEntry { kind, name, named, settings, span }
    }

    fn arguments(&mut self, pair: Matched<'_>, kind: &str) -> Map {
        let span = self.span(&pair);
        let known = POSITIONAL.iter().find(|(word, _)| *word == kind).map(|&(_, keys)| keys);
        let block = self.blocks.iter().find(|(name, _)| name == kind).map(|(_, keys)| keys.clone());
        let keys: Vec<String> = match (block, known) {
            (Some(keys), _) => keys,
            (None, Some(keys)) => keys.iter().map(|k| k.to_string()).collect(),
            (None, None) => Vec::new(),
        };
        let mut gathering = Gathering::default();
        let (mut position, mut keyed) = (0, None);
        for part in self.separated(pair, Rule::argument, "settings") {
            let mut inner = part.into_inner();
            let Some(first) = inner.next() else { continue };
            if first.as_rule() == Rule::key {
                let key = self.key(first);
                keyed.get_or_insert(key.span);
                let Some(value) = inner.find(|p| p.as_rule() == Rule::value) else { continue };
                let value = self.value(value);
                gathering.insert(Setting { key, value }, &mut self.problems);
                continue;
            }
            let value = self.value(first);
            let key = keys.get(position).cloned();
            position += 1;
            match (key, keyed) {
                (Some(text), None) => {
                    let key = Name { text, span: value.span };
                    gathering.insert(Setting { key, value }, &mut self.problems);
                }
                (_, Some(first)) => {
                    let message = "settings without a key come before those with one";
                    let diagnostic =
                        Diagnostic::error(Code::InvalidSyntax, value.span, message).at("which setting is this?");
                    self.report(diagnostic.label(first, "a key"));
                }
                (None, None) => {
                    let message = match keys.as_slice() {
                        [] => format!("settings of `{kind}` need their key: `key: value`"),
                        keys => format!("`{kind}` takes {} without a key, in this order", keys.join(", ")),
                    };
                    self.report(
                        Diagnostic::error(Code::InvalidSyntax, value.span, message).at("which setting is this?"),
                    );
                }
            }
        }
        Map { entries: gathering.entries, span, layout: Layout::Parentheses }
    }

    /// The items of something in brackets; between two there must be a comma, in braces a new line will do.
    fn separated<'p>(&mut self, pair: Matched<'p>, rule: Rule, what: &str) -> Vec<Matched<'p>> {
        let lines = pair.as_rule() == Rule::map;
        let mut items: Vec<Matched<'p>> = Vec::new();
        let mut comma = true;
        for part in pair.into_inner() {
            if part.as_rule() != rule {
                comma = true;
                continue;
            }
            if let (false, Some(before)) = (comma, items.last()) {
                let end = self.start + before.as_span().start() + scan::significant(before.as_str());
                let new_line = self.text.text[end..self.start + part.as_span().start()].contains('\n');
                if !(lines && new_line) {
                    let span = self.text.span(end..end);
                    let diagnostic = Diagnostic::error(
                        Code::InvalidSyntax,
                        self.span(&part),
                        format!("a comma is missing between two {what}"),
                    );
                    self.report(diagnostic.fix(Fix::maybe("put a comma", span, ",")));
                }
            }
            comma = false;
            items.push(part);
        }
        items
    }

    fn map(&mut self, pair: Matched<'_>) -> Value {
        let span = self.span(&pair);
        let mut gathering = Gathering::default();
        for part in self.separated(pair, Rule::entry, "settings") {
            let end = self.span(&part).after();
            let mut inner = part.into_inner();
            let Some(key) = inner.next() else { continue };
            let key = self.key(key);
            let value = match inner.find(|p| p.as_rule() == Rule::value) {
                Some(value) => self.value(value),
                None => Value { data: Data::Null, span: end },
            };
            gathering.insert(Setting { key, value }, &mut self.problems);
        }
        Value { data: Data::Map(Map { entries: gathering.entries, span, layout: Layout::Braces }), span }
    }

    fn listed(&mut self, pair: Matched<'_>) -> Value {
        let span = self.span(&pair);
        let items = self.separated(pair, Rule::value, "values");
        Value { data: Data::List(items.into_iter().map(|item| self.value(item)).collect()), span }
    }

    fn value(&mut self, pair: Matched<'_>) -> Value {
        let span = self.span(&pair);
        let Some(inner) = pair.into_inner().next() else { return Value { data: Data::Null, span } };
        match inner.as_rule() {
            Rule::map => self.map(inner),
            Rule::list => self.listed(inner),
            Rule::string => Value { data: Data::Text(self.string(&inner)), span },
            _ => {
                let text = &inner.as_str()[..scan::significant(inner.as_str())];
                let one_line = match text.contains(['\n', '#']) {
                    false => text.to_string(),
                    true => {
                        text.lines().map(|l| l.split('#').next().unwrap_or("").trim()).collect::<Vec<_>>().join(" ")
                    }
                };
                Value { data: resolve(&one_line), span }
            }
        }
    }

    fn key(&mut self, pair: Matched<'_>) -> Name {
        let span = self.span(&pair);
        let text = pair.as_str().to_string();
        match pair.into_inner().next() {
            Some(inner) if inner.as_rule() == Rule::string => Name { text: self.string(&inner), span },
            _ => Name { text, span },
        }
    }

    fn name(&mut self, pair: Matched<'_>) -> Name {
        let span = self.span(&pair);
        let text = pair.as_str().to_string();
        match pair.into_inner().next() {
            Some(inner) if inner.as_rule() == Rule::string => Name { text: self.string(&inner), span },
            _ => Name { text, span },
        }
    }

    /// What is in quotes; escapes are JSON's.
    fn string(&mut self, pair: &Matched<'_>) -> String {
        match serde_json::from_str(pair.as_str()) {
            Ok(text) => text,
            Err(_) => {
                let diagnostic =
                    Diagnostic::error(Code::InvalidSyntax, self.span(pair), "this text has an escape that is none");
                self.report(diagnostic.note("escapes are those of JSON: `\\\"`, `\\\\`, `\\n`, `\\u00e4`"));
                String::new()
            }
        }
    }

    /// Notes the name and the parameters of a block; what is wrong with its head is told later.
    fn block_head(&mut self, statement: &Statement) {
        let Some(body) = &statement.body else { return };
        let head = &self.text.text[statement.range.start..body.start - 1];
        let Ok(pairs) = Netc::parse(Rule::block, head) else { return };
        let (mut name, mut keys) = (String::new(), Vec::new());
        for part in pairs {
            match part.as_rule() {
                Rule::name => name = part.as_str().trim_matches('"').to_string(),
                Rule::parameters => {
                    let parameters = part.into_inner().filter(|p| p.as_rule() == Rule::parameter);
                    let words =
                        parameters.filter_map(|p| p.into_inner().next()).map(|key| key.as_str().trim().to_string());
                    keys.extend(words);
                }
                _ => {}
            }
        }
        self.blocks.push((name, keys));
    }

    fn block(&mut self, statement: &Statement, body: Range<usize>, parts: &mut Parts) {
        let whole = self.text;
        let span = whole.span(statement.range.clone());
        if parts.inner {
            self.report(Diagnostic::error(Code::InvalidSyntax, span, "a block cannot be defined within a block"));
            return;
        }
        let head = &whole.text[statement.range.start..body.start - 1];
        self.start = statement.range.start;
        let pairs = match Netc::parse(Rule::block, head) {
            Ok(pairs) => pairs,
            Err(error) => {
                let diagnostic = wrong::statement(whole, self.start, head, &error);
                self.report(diagnostic);
                parts.lost = true;
                return;
            }
        };
        let mut name = Name { text: String::new(), span };
        let mut params = None;
        for part in pairs {
            match part.as_rule() {
                Rule::name => name = self.name(part),
                Rule::parameters => params = Some(self.parameters(part)),
                _ => {}
            }
        }
        let mut inner = Parts { inner: true, ..Parts::default() };
        for statement in scan::statements(&whole.text, body.clone()) {
            self.statement(&statement, &mut inner);
        }
        let body_span = whole.span(body);
        let list = inner.layers.into_iter().map(layer_value).collect();
        let mut entries = Vec::new();
        let mut put = |text: &str, span: Span, data: Data| {
            entries.push(Setting { key: Name { text: text.to_string(), span }, value: Value { data, span } });
        };
        if let Some(params) = params.filter(|p| !p.entries.is_empty()) {
            put("params", params.span, Data::Map(params));
        }
        put("layers", inner.layers_span.unwrap_or(body_span), Data::List(list));
        let data = Data::Map(Map { entries, span: body_span, layout: Layout::Braces });
        let sections = parts.sections.entries.len();
        let none = Gathering { apart: true, ..Gathering::default() };
        let (_, blocks, _) = parts.blocks.get_or_insert((sections, none, span));
        blocks.insert(Setting { key: name, value: Value { data, span } }, &mut self.problems);
    }

    fn parameters(&mut self, pair: Matched<'_>) -> Map {
        let span = self.span(&pair);
        let mut gathering = Gathering::default();
        for part in self.separated(pair, Rule::parameter, "parameters") {
            let mut inner = part.into_inner();
            let Some(key) = inner.next() else { continue };
            let key = self.key(key);
            let value = match inner.find(|p| p.as_rule() == Rule::value) {
                Some(value) => self.value(value),
                None => Value { data: Data::Null, span: key.span },
            };
            gathering.insert(Setting { key, value }, &mut self.problems);
        }
        Map { entries: gathering.entries, span, layout: Layout::Parentheses }
    }
}

/// A layer as the value that YAML would have for it: blocks keep their layers so until they are unfolded.
fn layer_value(layer: LayerEntry) -> Value {
    let LayerEntry { kind, name, named, mut settings, span } = layer;
    if named {
        let key = Name { text: "name".to_string(), span: name.span };
        settings.entries.insert(0, Setting { key, value: Value { data: Data::Text(name.text), span: name.span } });
    }
    let value = Value { span: settings.span, data: Data::Map(settings) };
    let map = Map { entries: vec![Setting { key: kind, value }], span, layout: Layout::Bare };
    Value { data: Data::Map(map), span }
}
