//! Where the brackets, commas, colons and quotes of a YAML text do not fit together.

use super::lines::{Line, Lines};
use std::ops::Range;

/// Something that does not fit. Places are bytes of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Defect {
    /// A bracket that nothing closes before `end`, and what would close it and those around it.
    Unclosed { open: usize, end: usize, closing: String },
    /// A sign that closes nothing or separates nothing.
    Extra { at: usize },
    /// A closing bracket after which its settings go on.
    Early { at: usize },
    /// A closing bracket of another kind than the innermost open one.
    Mismatch { open: usize, at: usize },
    /// Two things with no comma between, which would stand at `after`.
    Comma { after: usize, next: Range<usize> },
    /// A key with no colon between it and its value.
    Colon { key: Range<usize> },
    /// A quote that is not closed on its line, and where it may end.
    Quote { at: usize, ends: Vec<usize> },
}

impl Defect {
    /// Where it is.
    pub fn place(&self) -> usize {
        match self {
            Defect::Unclosed { open: at, .. }
            | Defect::Extra { at }
            | Defect::Early { at }
            | Defect::Mismatch { at, .. }
            | Defect::Quote { at, .. } => *at,
            Defect::Comma { next, .. } => next.start,
            Defect::Colon { key } => key.start,
        }
    }
}

/// What closes a bracket.
pub(super) fn closer(open: char) -> char {
    if open == '{' { '}' } else { ']' }
}

/// The first thing that does not fit.
pub(super) fn defect(text: &str) -> Option<Defect> {
    let lines = Lines::new(text);
    let mut scanner = Scanner { text, stack: Vec::new(), closed: None, ended: 0 };
    for line in lines.iter().filter(|line| !line.is_blank()) {
        if let Some(defect) = scanner.line(line) {
            return Some(defect);
        }
    }
    scanner.unclosed()
}

struct Open {
    sign: char,
    at: usize,
    /// Columns before the first word of its line.
    indent: usize,
    /// The plain words since the last comma or colon.
    words: Option<Range<usize>>,
    /// Where the last thing in quotes or brackets since then ended.
    done: Option<usize>,
    /// Whether there was a colon since the last comma.
    colon: bool,
}

struct Scanner<'a> {
    text: &'a str,
    stack: Vec<Open>,
    /// The bracket that closed the last one open, on this line.
    closed: Option<usize>,
    /// Where the text before ended.
    ended: usize,
}

impl Scanner<'_> {
    fn unclosed(&self) -> Option<Defect> {
        let open = self.stack.last()?;
        let closing = self.stack.iter().rev().map(|open| closer(open.sign)).collect();
        Some(Defect::Unclosed { open: open.at, end: self.ended, closing })
    }

    fn line(&mut self, line: Line<'_>) -> Option<Defect> {
        self.closed = None;
        let closes = line.text.trim_start().starts_with(['}', ']']);
        let late = |open: &Open| line.indent() < open.indent || line.indent() == open.indent && !closes;
        if self.stack.last().is_some_and(late) {
            return self.unclosed();
        }
        let last = line.start + line.text.len();
        let mut at = line.first();
        let mut blank = true;
        while let Some(c) = self.text.get(at..last).and_then(|rest| rest.chars().next()) {
            if c == '#' && blank {
                break;
            }
            if c.is_whitespace() {
                blank = true;
                at += c.len_utf8();
                continue;
            }
            let next = at + c.len_utf8();
            let end = match c {
                '"' | '\'' if self.value_starts(line, at) => match self.quoted(line, at) {
                    Ok(end) => end,
                    Err(defect) => return Some(defect),
                },
                _ => next,
            };
            let found = if self.stack.is_empty() { self.outside(line, c, at) } else { self.within(line, c, at..end) };
            if found.is_some() {
                return found;
            }
            self.ended = end;
            (at, blank) = (end, false);
        }
        None
    }

    /// Whether a quote here begins a text, and is not part of one.
    fn value_starts(&self, line: Line<'_>, at: usize) -> bool {
        match self.stack.last() {
            Some(open) => open.words.is_none(),
            None => begins_value(line, at),
        }
    }

    /// Where a text in quotes ends.
    fn quoted(&self, line: Line<'_>, at: usize) -> Result<usize, Defect> {
        let quote = self.text.as_bytes()[at];
        let rest = &self.text.as_bytes()[at + 1..line.start + line.text.len()];
        let mut i = 0;
        while let Some(&b) = rest.get(i) {
            match b {
                b'\\' if quote == b'"' => i += 1,
                _ if b == quote && quote == b'\'' && rest.get(i + 1) == Some(&quote) => i += 1,
                _ if b == quote => return Ok(at + 1 + i + 1),
                _ => {}
            }
            i += 1;
        }
        let code = self.text.get(at..line.last().max(at + 1)).unwrap_or("");
        let mut ends: Vec<usize> = Vec::new();
        if !self.stack.is_empty() {
            ends.extend(code.match_indices([',', '}', ']']).map(|(i, _)| at + i));
        }
        ends.push(at + code.len());
        Err(Defect::Quote { at, ends })
    }

    /// A sign that is in no brackets.
    fn outside(&mut self, line: Line<'_>, c: char, at: usize) -> Option<Defect> {
        if let Some(closed) = self.closed {
            let ends = at + c.len_utf8() == line.last();
            return match c {
                ':' => None,
                '}' | ']' => Some(Defect::Extra { at }),
                ',' if ends => Some(Defect::Extra { at }),
                _ => Some(Defect::Early { at: closed }),
            };
        }
        if matches!(c, '{' | '[') && begins_value(line, at) {
            self.open(line, c, at);
        }
        None
    }

    fn open(&mut self, line: Line<'_>, sign: char, at: usize) {
        self.stack.push(Open { sign, at, indent: line.indent(), words: None, done: None, colon: false });
    }

    /// A sign or a text in quotes within brackets.
    fn within(&mut self, line: Line<'_>, c: char, place: Range<usize>) -> Option<Defect> {
        let open = self.stack.last_mut()?;
        let behind = self.text[place.end..].chars().next();
        match c {
            ',' => (open.words, open.done, open.colon) = (None, None, false),
            ':' if open.done.is_some() || behind.is_none_or(|c| c.is_whitespace() || ",{}[]".contains(c)) => {
                if open.colon {
                    return second_key(self.text, open.words.clone()?);
                }
                (open.words, open.done, open.colon) = (None, None, true);
            }
            '}' | ']' if closer(open.sign) != c => return Some(Defect::Mismatch { open: open.at, at: place.start }),
            '}' | ']' => {
                self.stack.pop();
                match self.stack.last_mut() {
                    Some(open) => open.done = Some(place.end),
                    None => self.closed = Some(place.start),
                }
            }
            '{' | '[' | '"' | '\'' if open.words.is_none() || matches!(c, '{' | '[') => {
                if let (Some(words), false, '{') = (&open.words, open.colon, open.sign) {
                    return Some(Defect::Colon { key: words.clone() });
                }
                if let Some(after) = open.words.as_ref().map(|w| w.end).or(open.done) {
                    return Some(Defect::Comma { after, next: place });
                }
                match c {
                    '{' | '[' => self.open(line, c, place.start),
                    _ => open.done = Some(place.end),
                }
            }
            _ => match (open.done, &mut open.words) {
                (Some(after), _) => {
                    let length = self.text[place.start..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
                    let end = length.map_or(self.text.len(), |n| place.start + n).max(place.end);
                    return Some(Defect::Comma { after, next: place.start..end });
                }
                (None, Some(words)) => words.end = place.end,
                (None, words) => *words = Some(place),
            },
        }
        None
    }
}

/// `96 kernel_size: 11` after a key: the last word is a key of its own.
fn second_key(text: &str, words: Range<usize>) -> Option<Defect> {
    let written = &text[words.clone()];
    let (blank, c) = written.char_indices().rev().find(|(_, c)| c.is_whitespace())?;
    let key = blank + c.len_utf8();
    let after = words.start + written[..key].trim_end().len();
    Some(Defect::Comma { after, next: words.start + key..words.end })
}

/// Whether a value begins here: outside of brackets only there do brackets and quotes mean something.
fn begins_value(line: Line<'_>, at: usize) -> bool {
    let before = &line.text[..at - line.start];
    let written = before.trim_end();
    let spaced = before.len() > written.len();
    written.is_empty()
        || spaced
            && (written.ends_with([':', '-', '?']) || written.rsplit(' ').next().is_some_and(|w| w.starts_with('&')))
}
