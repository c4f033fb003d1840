//! The lines of a YAML text, and which of them belong together by their indentation.

use std::ops::Range;

/// A line: where it starts, and its text without its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// Where.
    pub start: usize,
    /// What stands on it.
    pub text: &'a str,
}

impl<'a> Line<'a> {
    /// Columns before its first word; a tab is one.
    pub fn indent(self) -> usize {
        self.text.len() - self.text.trim_start_matches([' ', '\t']).len()
    }

    /// Without a comment.
    pub fn code(self) -> &'a str {
        let comment = self.text.match_indices('#').find(|&(i, _)| i == 0 || self.text[..i].ends_with([' ', '\t']));
        self.text[..comment.map_or(self.text.len(), |(i, _)| i)].trim_end()
    }

    /// Where its first word starts.
    pub fn first(self) -> usize {
        self.start + self.indent()
    }

    /// Where its text ends, before a comment.
    pub fn last(self) -> usize {
        self.start + self.code().len()
    }

    pub fn is_blank(self) -> bool {
        self.code().trim().is_empty()
    }

    /// Whether it begins an entry of a list.
    pub fn is_item(self) -> bool {
        let code = self.code().trim_start();
        code == "-" || code.starts_with("- ")
    }

    /// The word at its beginning, behind a dash, if it is plain or quoted.
    pub fn word(self) -> &'a str {
        let code = self.code().trim_start();
        let code = code.strip_prefix('-').filter(|rest| rest.starts_with(' ')).unwrap_or(code).trim_start();
        let length = code.find(|c: char| !(c.is_ascii_alphanumeric() || "_.".contains(c))).unwrap_or(code.len());
        &code[..length]
    }
}

/// All lines of a text.
pub(super) struct Lines<'a>(Vec<Line<'a>>);

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Self {
        let mut start = 0;
        let lines = text.split_inclusive('\n').map(|whole| {
            let line = Line { start, text: whole.trim_end_matches('\n').trim_end_matches('\r') };
            start += whole.len();
            line
        });
        Lines(lines.collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = Line<'a>> + '_ {
        self.0.iter().copied()
    }

    pub fn get(&self, number: usize) -> Option<Line<'a>> {
        self.0.get(number).copied()
    }

    /// The number of the line that a place is in, or of the nearest before that has something on it.
    pub fn at(&self, place: usize) -> Option<usize> {
        let number = self.0.partition_point(|line| line.start <= place).checked_sub(1)?;
        if self.0[number].is_blank() { self.before(number) } else { Some(number) }
    }

    /// The nearest line before that has something on it.
    pub fn before(&self, number: usize) -> Option<usize> {
        (0..number).rev().find(|&i| !self.0[i].is_blank())
    }

    /// The nearest line behind that has something on it.
    pub fn behind(&self, number: usize) -> Option<usize> {
        (number + 1..self.0.len()).find(|&i| !self.0[i].is_blank())
    }

    /// The line of the entry or key that this one is within.
    pub fn parent(&self, number: usize) -> Option<usize> {
        let line = self.get(number)?;
        (0..number).rev().find(|&i| {
            let other = self.0[i];
            let list = line.is_item() && !other.is_item() && other.indent() == line.indent();
            !other.is_blank() && (other.indent() < line.indent() || list)
        })
    }

    /// The line and those that it is within, the innermost first.
    pub fn around(&self, number: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(number), |&i| self.parent(i))
    }

    /// What belongs to a line: from its first word to the end of the last line that is indented further.
    pub fn block(&self, number: usize) -> Range<usize> {
        let Some(line) = self.get(number) else { return 0..0 };
        let mut end = number;
        for (i, other) in self.0.iter().enumerate().skip(number + 1).filter(|(_, line)| !line.is_blank()) {
            let level = other.indent() == line.indent();
            let closes = level && other.text.trim_start().starts_with(['}', ']']);
            let list = level && other.is_item() && !line.is_item() && line.code().ends_with(':');
            if other.indent() <= line.indent() && !closes && !list {
                break;
            }
            end = i;
        }
        line.first()..self.0[end].start + self.0[end].text.len()
    }
}
