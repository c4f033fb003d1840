//! The spec as written: a tree in which every key and value knows its place.
//!
//! Takes text in either [`Syntax`] ([`parse`], [`parse_bytes`]), gives a [`Spec`]; [`apply_set`] edits one as `--set`
//! says, [`print()`] writes one as YAML, [`format()`] writes a text in canonical form in either syntax, [`include()`]
//! takes in the files that it names, [`vary`] derives variants, [`expand()`] evaluates expressions and unfolds blocks.
//! The tree has the shape of a spec (sections, layers with kind and name) but its settings are unchecked: what they mean
//! is for [`check`](crate::check) to say. Reading never stops at the first error: what it finds is in
//! [`Spec::problems`], which `check` reports together with its own.

mod dsl;
mod expand;
mod expression;
mod flow;
mod format;
mod include;
mod lines;
mod mistake;
mod read;
mod recover;
mod set;
pub mod vary;
mod yaml;

pub(crate) use expand::computed;
pub use expand::expand;
pub(crate) use format::flow;
pub use format::{format, print};
pub use include::{Load, include};
pub use read::{layers_of, parse, parse_bytes};
pub use set::apply_set;

use crate::diag::{Code, Diagnostic, Fix};
use crate::source::Span;
use std::collections::BTreeMap;

/// How a spec is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// YAML, in files that end in `.yaml` or `.yml`.
    Yaml,
    /// The netc language, in files that end in `.netc`.
    Dsl,
}

impl Syntax {
    /// By the end of the file's name, else by the look of the text: a YAML spec begins with a key and its colon.
    pub fn of(name: &str, text: &str) -> Syntax {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        match extension.as_deref() {
            Some("yaml" | "yml") => return Syntax::Yaml,
            Some("netc") => return Syntax::Dsl,
            _ => {}
        }
        let first = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        match first.into_iter().find(|line| !line.is_empty() && !line.starts_with('#')) {
            Some(line) => dsl::looks_like(line),
            None => Syntax::Yaml,
        }
    }
}

/// A spec as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// How.
    pub syntax: Syntax,
    /// The whole text.
    pub span: Span,
    /// `net:`, `input:`, `classes:`, `init:`, `params:`, `blocks:`, `train:`, `preprocess:`, `vary:` in the order written.
    pub sections: Map,
    /// `layers:`.
    pub layers: Vec<LayerEntry>,
    /// Where the word `layers` is written.
    pub layers_span: Option<Span>,
    /// What reading it found wrong.
    pub problems: Vec<Diagnostic>,
    /// What could not be read while the rest was.
    pub damage: Vec<Damage>,
    /// The text could not be read to its end, so that nothing can be said about what is missing.
    pub broken: bool,
    /// Whether [`expand()`] has evaluated its expressions and unfolded its blocks.
    pub expanded: bool,
}

/// A piece of a text that could not be read, which [`Spec::problems`] reports. Nothing is known of what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub span: Span,
    /// The entry of a list, or else the section, that it is in.
    pub within: Span,
    /// The section's word.
    pub section: String,
    /// Whether it is an entry of a list.
    pub item: bool,
    /// What it seems to be called, or empty.
    pub name: String,
}

impl Damage {
    /// Whether something is in it.
    pub fn touches(&self, span: Span) -> bool {
        span.start < self.span.end && self.span.start < span.end
            || span.start == span.end && (self.span.start..=self.span.end).contains(&span.start)
    }
}

/// One entry of `layers:`. An entry that could not be read, which [`Spec::problems`] reports, has empty kind and name.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerEntry {
    /// The word for the kind, as `conv`.
    pub kind: Name,
    /// Its name: given, or made from the kind and a running number; then its span is the kind's.
    pub name: Name,
    /// Whether the name is written in the spec.
    pub named: bool,
    /// All settings but the name.
    pub settings: Map,
    /// The whole entry.
    pub span: Span,
}

/// A word of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The word.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// What it is.
    pub data: Data,
    /// Where.
    pub span: Span,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Nothing written, or `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Settings by key.
    Map(Map),
}

/// Settings by key, in the order written. Keys are unique.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// The settings.
    pub entries: Vec<Setting>,
    /// From the first key (or the brace) to the last value (or the brace).
    pub span: Span,
    /// How a further setting is written.
    pub layout: Layout,
}

/// How a map is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `{a: 1, b: 2}`.
    Braces,
    /// A line each, indented by this many columns.
    Lines(u32),
    /// Not at all: a layer's kind alone, at the map's span.
    Absent,
    /// `(1, b: 2)`, as the netc language writes the settings of a layer.
    Parentheses,
    /// Not at all, in the netc language: a layer's kind and name, at the map's span.
    Bare,
}

/// The settings of a map that is being read; a key that comes twice is reported.
#[derive(Debug, Default)]
struct Gathering {
    entries: Vec<Setting>,
    keys: BTreeMap<String, Span>,
    /// Where the setting before ends.
    end: Option<u32>,
    /// Other things may stand between two settings.
    apart: bool,
}

impl Gathering {
    fn insert(&mut self, setting: Setting, problems: &mut Vec<Diagnostic>) {
        let key = &setting.key;
        let end = setting.value.span.end.max(key.span.end);
        let empty = setting.value.data == Data::Null;
        match self.keys.get(&key.text) {
            Some(_) if key.text.is_empty() => {}
            Some(&first) => {
                let diagnostic =
                    Diagnostic::error(Code::DuplicateKey, key.span, format!("`{}` appears twice", key.text));
                let fix = self.without_one(&setting);
                problems.push(diagnostic.at("again here").label(first, "first here").fixes(fix));
            }
            None => {
                self.keys.insert(key.text.clone(), key.span);
                self.entries.push(setting);
            }
        }
        self.end = Some(end).filter(|_| !empty);
    }

    /// The fix that leaves one of two settings with one key; nothing can be cut out where only a key is written.
    fn without_one(&self, again: &Setting) -> Option<Fix> {
        let written = again.key.span.to(again.value.span);
        let first = self.entries.iter().find(|s| s.key.text == again.key.text)?;
        if first.value.data == Data::Null {
            let next = self.entries.last().is_some_and(|last| last.key.text == again.key.text) && !self.apart;
            let span = Span { start: first.key.span.start, end: written.start };
            return (next && span.start < span.end)
                .then(|| Fix::maybe("remove the first, which says nothing", span, ""));
        }
        if again.value.data == Data::Null {
            return None;
        }
        let start = self.end.filter(|&end| !self.apart && end <= written.start).unwrap_or(written.start);
        let span = Span { start, end: written.end };
        Some(match alike(&first.value.data, &again.value.data) {
            true => Fix::sure("remove the second, which says the same", span, ""),
            false => Fix::maybe("remove the second", span, ""),
        })
    }
}

/// Whether two values are the same number, word or flag.
fn alike(a: &Data, b: &Data) -> bool {
    !matches!(a, Data::List(_) | Data::Map(_)) && a == b
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The key.
    pub key: Name,
    /// The value.
    pub value: Value,
}

impl Map {
    /// A map that is not written; a setting added to it goes to `span`.
    pub fn absent(span: Span) -> Self {
        Map { entries: Vec::new(), span, layout: Layout::Absent }
    }

    /// What to take out of the text so that the setting called `key` is gone, if others stay.
    pub fn removal(&self, key: &str) -> Option<Span> {
        let own = |s: &&Setting| self.span.start <= s.key.span.start && s.value.span.end <= self.span.end;
        let mut entries: Vec<&Setting> = self.entries.iter().filter(own).collect();
        entries.sort_by_key(|s| s.key.span);
        let at = entries.iter().position(|s| s.key.text == key)?;
        let written = entries[at].key.span.to(entries[at].value.span);
        if let Some(next) = entries.get(at + 1) {
            return Some(Span { start: written.start, end: next.key.span.start });
        }
        let before = entries[..at].last()?;
        Some(Span { start: before.key.span.to(before.value.span).end, end: written.end })
    }

    /// The setting called `key`.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.entries.iter().find(|s| s.key.text == key)
    }
}

impl Data {
    /// What to call it in a message.
    pub fn describe(&self) -> &'static str {
        match self {
            Data::Null => "nothing",
            Data::Flag(_) => "true or false",
            Data::Integer(_) => "a whole number",
            Data::Real(_) => "a number",
            Data::Text(_) => "text",
            Data::List(_) => "a list",
            Data::Map(_) => "settings",
        }
    }
}

/// A value as both syntaxes write it: a number, a word, a list or a map in one line.
pub(crate) fn parse_value(text: &str) -> Option<Data> {
    yaml::tree(text, 0).ok().filter(|(_, problems)| problems.is_empty())?.0.map(|value| value.data)
}

/// The words that sections and parts of a program have; layers cannot be called so.
pub const RESERVED: &[&str] = &[
    "net",
    "include",
    "input",
    "classes",
    "init",
    "params",
    "blocks",
    "layers",
    "train",
    "preprocess",
    "vary",
    "optimizer",
];
