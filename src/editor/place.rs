//! Where in a spec a cursor stands: within which keys, at a key or at a value, among which others.
//!
//! Read from the text and not from its tree, so that it is known while something is half written.

use std::ops::Range;

/// A place in a spec.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// From the outside in.
    pub path: Vec<Step>,
    /// What may stand there.
    pub role: Role,
    /// The word at the cursor, which may be empty.
    pub word: Range<usize>,
    /// The keys of the map that the cursor is in, but for the word itself.
    pub keys: Vec<String>,
}

/// A step inwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// To the value of a key.
    Key(String),
    /// To an entry of a list.
    Item,
}

/// What may stand at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Role {
    /// A key of a map.
    #[default]
    Key,
    /// A value; in a block of lines it may also be the first key of a map.
    Value,
    /// In the netc language, the start of a statement: a section, a block, `from`, or a layer.
    Statement,
    /// Nothing that netc knows: a comment, a name.
    Nothing,
}

/// What is open around a place.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub kind: OpenKind,
    /// The key whose value is being read, and where it stands.
    pub key: Option<String>,
    /// Keys so far, with their places.
    pub keys: Vec<(String, usize)>,
    /// Steps that lead into it besides the keys of those around it.
    pub into: Vec<Step>,
    /// Whether the path begins anew with it.
    pub root: bool,
    number: usize,
}

/// How something open is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenKind {
    /// A map of lines at this column.
    Lines(usize),
    /// A list of lines with dashes at this column.
    Dashes(usize),
    /// `{…}` or `(…)`.
    Braces,
    /// `[…]`.
    Brackets,
    /// `{…}` with statements in it.
    Body,
}

/// Follows a text to its end and remembers what was open at the cursor.
pub(super) struct Tracker {
    pub stack: Vec<Open>,
    /// The word at the cursor.
    pub word: Range<usize>,
    found: Option<(Place, Option<usize>)>,
    numbers: usize,
}

impl Tracker {
    pub fn new(text: &str, cursor: usize) -> Self {
        Tracker { stack: Vec::new(), word: word_at(text, cursor), found: None, numbers: 0 }
    }

    pub fn push(&mut self, kind: OpenKind, into: Vec<Step>) {
        self.numbers += 1;
        self.stack.push(Open { kind, key: None, keys: Vec::new(), into, root: false, number: self.numbers });
    }

    /// Closes the innermost; its keys are those among which the cursor stands if it stood there.
    pub fn pop(&mut self) {
        let Some(open) = self.stack.pop() else { return };
        if let Some((place, number)) = &mut self.found
            && *number == Some(open.number)
        {
            place.keys = open.keys.into_iter().filter(|(_, at)| *at != place.word.start).map(|(key, _)| key).collect();
            *number = None;
        }
    }

    pub fn key(&mut self, key: &str, at: usize) {
        if let Some(open) = self.stack.last_mut() {
            open.key = Some(key.to_string());
            open.keys.push((key.to_string(), at));
        }
    }

    /// Remembers the state if what starts at `at` is what the cursor stands on or the first thing after it.
    pub fn reach(&mut self, at: usize, role: Role) {
        if self.found.is_none() && at >= self.word.start {
            self.remember(role);
        }
    }

    pub fn remember(&mut self, role: Role) {
        if self.found.is_some() {
            return;
        }
        let mut path = Vec::new();
        for open in &self.stack {
            if open.root {
                path.clear();
            }
            path.extend(open.into.iter().cloned());
            match open.kind {
                OpenKind::Dashes(_) => path.push(Step::Item),
                // `[conv: {…}]`: an item may be a key with its value.
                OpenKind::Brackets => {
                    path.push(Step::Item);
                    path.extend(open.key.iter().map(|key| Step::Key(key.clone())));
                }
                OpenKind::Lines(_) | OpenKind::Braces | OpenKind::Body => {
                    path.extend(open.key.iter().map(|key| Step::Key(key.clone())));
                }
            }
        }
        let innermost = self.stack.last().map(|open| open.number);
        self.found = Some((Place { path, role, word: self.word.clone(), keys: Vec::new() }, innermost));
    }

    pub fn finish(mut self) -> Place {
        self.remember(Role::Key);
        while !self.stack.is_empty() {
            self.pop();
        }
        self.found.map(|(place, _)| place).unwrap_or_default()
    }
}

/// The word around a byte: letters, digits, `_` and the dots in names.
pub(super) fn word_at(text: &str, cursor: usize) -> Range<usize> {
    let part = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let cursor = super::lines::boundary(text, cursor);
    let before: usize = text[..cursor].chars().rev().take_while(part).map(char::len_utf8).sum();
    let after: usize = text[cursor..].chars().take_while(part).map(char::len_utf8).sum();
    cursor - before..cursor + after
}
