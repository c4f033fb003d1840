//! Where a text that is no YAML was meant otherwise: a parser notices a mistake behind its place, often a line later.

use crate::diag::{Code, Diagnostic, Fix};
use crate::source::Span;

/// What is wrong with a text in which a parser stumbled at byte `at`, saying `told`. `offset` is where the text starts in the
/// sources.
pub(super) fn diagnose(text: &str, at: usize, offset: u32, told: &str) -> Diagnostic {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let stumble = Stumble { text, at, offset };
    stumble
        .tab()
        .or_else(|| stumble.bracket())
        .or_else(|| stumble.colon())
        .or_else(|| stumble.indent())
        .unwrap_or_else(|| stumble.wrong(stumble.span(at, at), "this is not valid YAML", told))
}

/// Where a parser stumbled.
struct Stumble<'a> {
    text: &'a str,
    at: usize,
    offset: u32,
}

/// A line: where it starts, and its text without its end.
#[derive(Clone, Copy)]
struct Line<'a> {
    start: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn indent(self) -> usize {
        self.text.len() - self.text.trim_start_matches(' ').len()
    }

    /// Without a comment.
    fn code(self) -> &'a str {
        let comment = self.text.match_indices('#').find(|&(i, _)| i == 0 || self.text[..i].ends_with([' ', '\t']));
        self.text[..comment.map_or(self.text.len(), |(i, _)| i)].trim_end()
    }
}

impl<'a> Stumble<'a> {
    fn span(&self, start: usize, end: usize) -> Span {
        let place = |at: usize| self.offset.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
        Span { start: place(start), end: place(end) }
    }

    fn wrong(&self, span: Span, message: &str, label: &str) -> Diagnostic {
        Diagnostic::error(Code::InvalidYaml, span, message).at(label)
    }

    /// The line at a place.
    fn line(&self, at: usize) -> Line<'a> {
        let start = self.text[..at].rfind('\n').map_or(0, |n| n + 1);
        let end = self.text[at..].find('\n').map_or(self.text.len(), |n| at + n);
        Line { start, text: self.text[start..end.max(start)].trim_end_matches('\r') }
    }

    /// The nearest line before that has something on it.
    fn before(&self, line: Line<'a>) -> Option<Line<'a>> {
        let mut start = line.start;
        while let Some(end) = start.checked_sub(1) {
            let line = self.line(end);
            if !line.code().trim().is_empty() {
                return Some(line);
            }
            start = line.start;
        }
        None
    }

    /// A tab in the indentation of the line or the two after it.
    fn tab(&self) -> Option<Diagnostic> {
        let start = self.line(self.at).start;
        let mut from = start;
        for line in self.text[start..].split_inclusive('\n').take(3) {
            let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
            if let Some(tab) = line[..blank].find('\t') {
                let span = self.span(from + tab, from + blank);
                return Some(self.wrong(span, "a tab cannot indent a line", "use spaces here"));
            }
            from += line.len();
        }
        None
    }

    /// The innermost bracket on a line before that is open where the parser stumbled.
    fn bracket(&self) -> Option<Diagnostic> {
        let (mut open, mut quote, mut before) = (Vec::new(), None, ' ');
        let mut comment = false;
        for (i, c) in self.text[..self.at].char_indices() {
            match (c, quote) {
                ('\n', _) => comment = false,
                _ if comment => {}
                (_, Some(sign)) => quote = (c != sign).then_some(sign),
                ('"' | '\'', None) if " [{,:".contains(before) => quote = Some(c),
                ('#', None) if before.is_whitespace() => comment = true,
                ('{' | '[', None) => open.push((i, c)),
                ('}' | ']', None) => drop(open.pop()),
                _ => {}
            }
            before = c;
        }
        let &(place, sign) = open.last()?;
        let line = self.line(place);
        if self.at < self.text.trim_end().len() && line.start == self.line(self.at).start {
            return None;
        }
        let closing: String = open
            .iter()
            .rev()
            .take_while(|(place, _)| *place >= line.start)
            .map(|(_, sign)| if *sign == '{' { '}' } else { ']' })
            .collect();
        let end = self.span(line.start + line.code().len(), line.start + line.code().len());
        let message = format!("this `{sign}` is not closed");
        let mut diagnostic = self.wrong(self.span(place, place + 1), &message, "opened here");
        if !line.code().ends_with(['{', '[', ',']) {
            diagnostic = diagnostic.fix(Fix::maybe(format!("end the line with `{closing}`"), end, closing.as_str()));
        }
        Some(diagnostic)
    }

    /// A line, this one or the one before, that has no colon where a key must be.
    fn colon(&self) -> Option<Diagnostic> {
        let line = self.line(self.at);
        let candidates = [Some(line), self.before(line)];
        candidates.into_iter().flatten().find_map(|line| {
            let code = line.code().trim_start();
            let code = code.strip_prefix("- ").unwrap_or(code);
            let key = code.chars().take_while(|c| c.is_ascii_alphanumeric() || "_.".contains(*c)).count();
            let rest = &code[key..];
            if key == 0
                || !(rest.starts_with([' ', '{', '[']) || rest.starts_with(':') && rest.len() > 1)
                || code.contains(": ") && !rest.trim_start().starts_with(['{', '['])
            {
                return None;
            }
            let end = line.start + line.code().len() - rest.len();
            let (message, title, insert) = if rest.starts_with(": ") || rest == ":" {
                return None;
            } else if rest.starts_with(':') {
                ("a colon needs a space after it", "put a space after the colon", (end + 1, " "))
            } else if rest.starts_with(' ') {
                ("a key needs a colon after it", "put a colon after the key", (end, ":"))
            } else {
                ("a key needs a colon and a space after it", "put a colon after the key", (end, ": "))
            };
            let place = self.span(end - key, end);
            Some(self.wrong(place, message, "").fix(Fix::maybe(title, self.span(insert.0, insert.0), insert.1)))
        })
    }

    /// A line that is indented in another way than the one before.
    fn indent(&self) -> Option<Diagnostic> {
        let line = self.line(self.at);
        if self.text[line.start..self.at].trim() != "" && self.text[line.start..self.at].trim() != "-" {
            return None;
        }
        let before = self.before(line)?;
        let (now, then) = (line.indent(), before.indent());
        if now == then {
            return None;
        }
        let place = |line: Line<'_>| self.span(line.start, line.start + line.text.len());
        let message = "the indentation of these lines does not fit together";
        Some(
            self.wrong(place(line), message, &format!("indented by {now}"))
                .label(place(before), format!("indented by {then}"))
                .note("entries of one list, and settings of one thing, begin in the same column"),
        )
    }
}
