//! Values as text, broken into lines where they are too long.

use super::WIDTH;
use super::comments::Comments;
use crate::source::{Sources, Span};
use crate::spec::{Data, Map, Syntax, Value, dsl, yaml};

/// Writes values in a syntax.
pub(super) struct Writer<'a> {
    /// The syntax.
    pub syntax: Syntax,
    /// The text that is being formatted, whose spelling is kept, and its syntax.
    source: Option<(Syntax, &'a Sources)>,
    /// Its comments.
    pub comments: Comments,
    /// What is written so far.
    pub out: String,
}

impl<'a> Writer<'a> {
    pub fn new(syntax: Syntax, source: Option<(Syntax, &'a Sources)>, comments: Comments) -> Self {
        Writer { syntax, source, comments, out: String::new() }
    }

    /// Whether places of the values are places of the text that is being formatted.
    pub fn has_source(&self) -> bool {
        self.source.is_some()
    }

    /// Writes what stands before an item; gives the comment that ends its line.
    pub fn before(&mut self, span: Span, indent: usize) -> Option<String> {
        let around = self.comments.take(span.start);
        for (blank, comment) in around.before {
            self.comment(blank, &comment, indent);
        }
        self.separate(around.blank);
        around.trailing
    }

    /// Writes the blank line before what begins with this item, which then has none.
    pub fn blank(&mut self, span: Span) {
        let blank = self.comments.take_blank(span.start);
        self.separate(blank);
    }

    /// Writes a blank line, if one is wanted and would not be the first of what it stands in.
    fn separate(&mut self, blank: bool) {
        let first = self.out.is_empty() || [":\n", "{\n", "\n\n"].iter().any(|end| self.out.ends_with(end));
        if blank && !first {
            self.out.push('\n');
        }
    }

    /// Writes a comment as a line.
    pub fn comment(&mut self, blank: bool, text: &str, indent: usize) {
        self.separate(blank);
        self.out.push_str(&" ".repeat(indent));
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// Writes a line and the comment at its end.
    pub fn line(&mut self, indent: usize, text: &str, trailing: Option<String>) {
        self.out.push_str(&" ".repeat(indent));
        self.out.push_str(text);
        if let Some(trailing) = trailing {
            self.out.push_str("  ");
            self.out.push_str(&trailing);
        }
        self.out.push('\n');
    }

    /// Writes the comments after the last item.
    pub fn finish(&mut self) -> String {
        for (blank, comment) in std::mem::take(&mut self.comments.end) {
            self.comment(blank, &comment, 0);
        }
        std::mem::take(&mut self.out)
    }

    /// A value on one line.
    pub fn flow(&self, value: &Value) -> String {
        match &value.data {
            Data::List(items) => format!("[{}]", self.joined(items.iter().map(|item| self.flow(item)))),
            Data::Map(Map { entries, .. }) => {
                let entries = entries.iter().map(|s| format!("{}: {}", self.key(&s.key.text), self.flow(&s.value)));
                format!("{{{}}}", self.joined(entries))
            }
            _ => self.scalar(value),
        }
    }

    fn joined(&self, items: impl Iterator<Item = String>) -> String {
        items.collect::<Vec<_>>().join(", ")
    }

    /// A value that starts in `column` of a line that is indented by `indent`.
    pub fn wrapped(&self, value: &Value, column: usize, indent: usize) -> String {
        let line = self.flow(value);
        if column + line.chars().count() <= WIDTH {
            return line;
        }
        match &value.data {
            Data::List(items) => {
                let items = items.iter().map(|item| self.wrapped(item, indent + 2, indent + 2));
                fill("[", items.collect(), "]", column, indent + 2)
            }
            Data::Map(map) => fill("{", self.pairs(map, indent + 2), "}", column, indent + 2),
            _ => line,
        }
    }

    fn pairs(&self, map: &Map, indent: usize) -> Vec<String> {
        let pair = |s: &crate::spec::Setting| {
            let key = self.key(&s.key.text);
            format!("{key}: {}", self.wrapped(&s.value, indent + key.chars().count() + 2, indent))
        };
        map.entries.iter().map(pair).collect()
    }

    /// A key.
    pub fn key(&self, text: &str) -> String {
        match self.syntax {
            Syntax::Yaml => word(text),
            Syntax::Dsl => {
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
                if !text.is_empty() && text.chars().all(plain) { text.to_string() } else { quoted(text) }
            }
        }
    }

    fn scalar(&self, value: &Value) -> String {
        let spelt = self.source.map(|(syntax, sources)| (syntax, sources.text(value.span)));
        if let Some((syntax, text)) = spelt.filter(|(_, text)| !text.is_empty()) {
            let kept = match &value.data {
                // Quotes differ between the syntaxes.
                Data::Text(_) => syntax == self.syntax,
                Data::Integer(_) | Data::Real(_) => true,
                _ => false,
            };
            if kept && self.reads_as(text, &value.data) {
                return text.to_string();
            }
        }
        match &value.data {
            Data::Flag(flag) => flag.to_string(),
            Data::Integer(number) => number.to_string(),
            Data::Real(number) => real(*number),
            Data::Text(text) if self.source.is_none() => word(text),
            Data::Text(text) if self.reads_as(text, &value.data) => text.clone(),
            Data::Text(text) => quoted(text),
            Data::Null | Data::List(_) | Data::Map(_) => "null".to_string(),
        }
    }

    /// Whether the text reads back as this value, among other values.
    fn reads_as(&self, text: &str, data: &Data) -> bool {
        let alike = |other: &Data| match (data, other) {
            (Data::Real(a), Data::Real(b)) => a.to_bits() == b.to_bits(),
            (data, other) => data == other,
        };
        let simple = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        if !text.is_empty() && text.chars().all(simple) {
            return alike(&yaml::resolve(text));
        }
        match self.syntax {
            Syntax::Dsl => dsl::value(text).is_some_and(|other| alike(&other)),
            Syntax::Yaml => {
                if text.contains(['\n', '&', '*'])
                    && !text.chars().all(|c| c.is_ascii_alphanumeric() || " _.+-*/()".contains(c))
                {
                    return false;
                }
                let read = yaml::tree(&format!("[{text}]"), 0).ok().filter(|(_, problems)| problems.is_empty());
                match read.and_then(|(value, _)| value).map(|value| value.data) {
                    Some(Data::List(items)) => matches!(items.as_slice(), [only] if alike(&only.data)),
                    _ => false,
                }
            }
        }
    }
}

/// Items in brackets, as many on a line as fit.
pub(super) fn fill(open: &str, items: Vec<String>, close: &str, column: usize, indent: usize) -> String {
    let mut out = open.to_string();
    let mut at = column + open.chars().count();
    let last = items.len().saturating_sub(1);
    for (i, item) in items.into_iter().enumerate() {
        let length = item.lines().next().map_or(0, |line| line.chars().count());
        let after = if i == last { close.len() } else { 1 };
        if i > 0 {
            if at + 1 + length + after > WIDTH {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                at = indent;
            } else {
                out.push(' ');
                at += 1;
            }
        }
        out.push_str(&item);
        at = match item.rsplit_once('\n') {
            Some((_, tail)) => tail.chars().count(),
            None => at + length,
        };
        if i < last {
            out.push(',');
            at += 1;
        }
    }
    out.push_str(close);
    out
}

/// Text in quotes, with JSON's escapes, which both syntaxes read.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A number that reads back as one that is not whole: with a point.
fn real(number: f64) -> String {
    if number.is_nan() {
        return ".nan".to_string();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_string();
    }
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        _ => text,
    }
}

/// A word plain if that surely reads back as the same text, else in quotes.
pub(super) fn word(text: &str) -> String {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let plain = text.chars().all(letters)
        && text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && !matches!(text.to_ascii_lowercase().as_str(), "null" | "true" | "false");
    if plain { text.to_string() } else { quoted(text) }
}
