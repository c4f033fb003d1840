//! Cuts a text of the netc language into statements: quotes and brackets are balanced first, so that a mistake stays
//! within its own statement.

use crate::diag::{Code, Diagnostic, Edit, Fix};
use crate::source::Span;
use std::ops::Range;

/// Brackets within brackets.
const DEEPEST: usize = 40;

/// A text in which every bracket and quote is closed.
pub(super) struct Mended {
    /// The text; what was missing is added, what was too much is blank.
    pub text: String,
    /// Where in `text` something was added, in order; a byte each.
    added: Vec<usize>,
    /// Where the original starts in the sources.
    offset: u32,
    /// What was wrong.
    pub problems: Vec<Diagnostic>,
}

/// A statement; places are in [`Mended::text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// All of it.
    pub range: Range<usize>,
    /// Of a block: what is between its braces.
    pub body: Option<Range<usize>>,
}

struct Open {
    bracket: u8,
    at: usize,
    /// Columns before the first word of its line.
    indent: usize,
}

impl Mended {
    /// The place in the sources of a range of the mended text.
    pub fn span(&self, range: Range<usize>) -> Span {
        Span { start: self.at(range.start), end: self.at(range.end) }
    }

    fn at(&self, mended: usize) -> u32 {
        let original = mended - self.added.partition_point(|&a| a < mended);
        self.offset.saturating_add(u32::try_from(original).unwrap_or(u32::MAX))
    }
}

/// A piece of text as the scanner sees it.
enum Piece {
    /// A comment to the end of its line.
    Comment,
    /// Text in quotes; whether the closing quote is missing.
    Quoted {
        open: bool,
    },
    /// An opening or closing bracket.
    Bracket(u8),
    /// The end of a line.
    Line,
    /// An arrow.
    Arrow,
    Blank,
    Other,
}

/// The piece that starts at `at` and its length.
fn piece(text: &str, at: usize) -> (Piece, usize) {
    let rest = &text[at..];
    let bytes = rest.as_bytes();
    match bytes[0] {
        b'#' => (Piece::Comment, rest.find('\n').unwrap_or(rest.len())),
        b'"' => {
            let mut i = 1;
            while i < bytes.len() && bytes[i] != b'\n' {
                match bytes[i] {
                    b'"' => return (Piece::Quoted { open: false }, i + 1),
                    b'\\' if bytes.get(i + 1).is_some_and(|&b| b != b'\n') => i += 1,
                    _ => {}
                }
                i += 1;
            }
            while !rest.is_char_boundary(i) {
                i += 1;
            }
            (Piece::Quoted { open: true }, i)
        }
        bracket @ (b'(' | b')' | b'[' | b']' | b'{' | b'}') => (Piece::Bracket(bracket), 1),
        b'\n' => (Piece::Line, 1),
        b' ' | b'\t' | b'\r' => (Piece::Blank, 1),
        b'-' if bytes.get(1) == Some(&b'>') => (Piece::Arrow, 2),
        _ if rest.starts_with('→') => (Piece::Arrow, '→'.len_utf8()),
        _ => (Piece::Other, rest.chars().next().map_or(1, char::len_utf8)),
    }
}

fn closer(bracket: u8) -> u8 {
    match bracket {
        b'(' => b')',
        b'[' => b']',
        _ => b'}',
    }
}

/// Whether all brackets match and all quotes close.
fn balanced(text: &str) -> bool {
    let mut open = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let (piece, length) = piece(text, at);
        match piece {
            Piece::Quoted { open: true } => return false,
            Piece::Bracket(b @ (b'(' | b'[' | b'{')) => open.push(closer(b)),
            Piece::Bracket(b) if open.pop() != Some(b) => return false,
            _ => {}
        }
        at += length;
    }
    open.is_empty()
}

/// Balances a text. An error: nesting too deep to read at all.
pub(super) fn mend(text: &str, offset: u32) -> Result<Mended, Box<Diagnostic>> {
    let place = |range: Range<usize>| {
        let at = |byte: usize| offset.saturating_add(u32::try_from(byte).unwrap_or(u32::MAX));
        Span { start: at(range.start), end: at(range.end) }
    };
    let whole = balanced(text);
    let mut mended =
        Mended { text: String::with_capacity(text.len()), added: Vec::new(), offset, problems: Vec::new() };
    let mut stack: Vec<Open> = Vec::new();
    let (mut at, mut indent, mut column, mut fresh) = (0, 0, 0, true);
    // Where the text that a line has ended, before blanks and comments: in the original and in the mended text.
    let mut ended = (0, 0);
    while at < text.len() {
        let (piece, mut length) = piece(text, at);
        let significant = !matches!(piece, Piece::Comment | Piece::Line | Piece::Blank);
        // No arrow stands within parentheses or a list.
        while !whole && matches!(piece, Piece::Arrow) && stack.last().is_some_and(|o| o.bracket != b'{') {
            let Some(open) = stack.pop() else { break };
            close(text, &mut mended, &open, ended, &place);
            ended.1 += 1;
        }
        if significant && fresh {
            (indent, fresh) = (column, false);
            let closes = matches!(piece, Piece::Bracket(b')' | b']' | b'}'));
            let joins = matches!(piece, Piece::Arrow);
            let late = |o: &Open| indent < o.indent || indent == o.indent && !closes && !joins;
            while !whole && stack.last().is_some_and(late) {
                let Some(open) = stack.pop() else { break };
                close(text, &mut mended, &open, ended, &place);
                ended.1 += 1;
            }
        }
        match piece {
            Piece::Line => (fresh, column) = (true, 0),
            Piece::Blank => column += 1,
            Piece::Quoted { open: true } => {
                // The brackets at the end of the line that are waited for are not part of the text.
                let mut end = at + text[at..at + length].trim_end().len();
                let waited = stack.iter().map(|o| closer(o.bracket)).collect::<Vec<u8>>();
                let closing = (1..=waited.len()).rev().find(|&n| {
                    let tail: Vec<u8> = waited.iter().rev().take(n).copied().collect();
                    end - at > n && text.as_bytes()[..end].ends_with(&tail)
                });
                end -= closing.unwrap_or(0);
                length = end - at;
                let quote = place(at..at + 1);
                let problem = Diagnostic::error(Code::InvalidSyntax, quote, "this text is never closed");
                let fix =
                    Fix { edits: vec![insertion(place(end..end), "\"")], ..Fix::maybe("close it: `\"`", quote, "") };
                mended.problems.push(problem.at("opened here").fix(fix));
            }
            Piece::Bracket(bracket @ (b'(' | b'[' | b'{')) => {
                if stack.len() >= DEEPEST {
                    let message = format!("brackets are nested more than {DEEPEST} deep");
                    return Err(Box::new(Diagnostic::error(Code::TooMuch, place(at..at + 1), message)));
                }
                stack.push(Open { bracket, at, indent });
            }
            Piece::Bracket(bracket) => {
                // One that closes an outer bracket closes those within.
                let outer = stack.iter().rposition(|o| closer(o.bracket) == bracket);
                let inner = outer.map_or(0, |i| stack.len() - i - 1);
                if outer.is_none() || inner > 1 {
                    let sign = place(at..at + 1);
                    let problem = Diagnostic::error(
                        Code::InvalidSyntax,
                        sign,
                        format!("this `{}` closes nothing", bracket as char),
                    );
                    let problem = match stack.last() {
                        Some(open) => problem
                            .label(place(open.at..open.at + 1), format!("`{}` is open here", open.bracket as char)),
                        None => problem,
                    };
                    mended.problems.push(problem.fix(Fix::maybe(
                        format!("remove the `{}`", bracket as char),
                        sign,
                        "",
                    )));
                    mended.text.push(' ');
                    at += length;
                    continue;
                }
                if let (1, Some(open)) = (inner, stack.pop_if(|_| inner == 1)) {
                    close(text, &mut mended, &open, ended, &place);
                }
                stack.pop();
            }
            Piece::Comment | Piece::Quoted { .. } | Piece::Arrow | Piece::Other => {}
        }
        mended.text.push_str(&text[at..at + length]);
        if let Piece::Quoted { open: true } = piece {
            mended.added.push(mended.text.len());
            mended.text.push('"');
        }
        at += length;
        if significant {
            ended = (at, mended.text.len());
        }
    }
    while let Some(open) = stack.pop() {
        close(text, &mut mended, &open, ended, &place);
        ended.1 += 1;
    }
    mended.added.sort_unstable();
    Ok(mended)
}

fn insertion(span: Span, text: &str) -> Edit {
    Edit { span, text: text.to_string() }
}

/// Reports a bracket that is never closed and closes it where the text before ended: in the original, in the mended.
fn close(text: &str, mended: &mut Mended, open: &Open, ended: (usize, usize), place: &dyn Fn(Range<usize>) -> Span) {
    let sign = closer(open.bracket) as char;
    let bracket = place(open.at..open.at + 1);
    let problem =
        Diagnostic::error(Code::InvalidSyntax, bracket, format!("this `{}` is never closed", open.bracket as char));
    let fix = Fix::maybe(format!("close it: `{sign}`"), bracket, "");
    let fix = Fix { edits: vec![insertion(place(ended.0..ended.0), &sign.to_string())], ..fix };
    let mut problem = problem.at("opened here").fix(fix);
    if text[open.at..ended.0].contains('\n') {
        problem = problem.label(place(ended.0..ended.0), "still open here");
    }
    mended.problems.push(problem);
    mended.text.insert(ended.1, sign);
    mended.added.push(ended.1);
}

/// The statements of a part of a mended text.
pub(super) fn statements(text: &str, part: Range<usize>) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut current: Option<Statement> = None;
    let mut depth = 0usize;
    let mut at = part.start;
    let mut arrow = false;
    let is_block = |start: usize| {
        let word = text[start..part.end].split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
        word == Some("block")
    };
    while at < part.end {
        let (piece, length) = piece(text, at);
        let end = at + length;
        match piece {
            Piece::Line if depth == 0 && !arrow => {
                if current.is_some() && !arrow_follows(text, end, part.end) {
                    statements.extend(current.take());
                }
            }
            Piece::Other if text.as_bytes()[at] == b';' && depth == 0 => statements.extend(current.take()),
            Piece::Line | Piece::Blank | Piece::Comment => {}
            Piece::Bracket(_) | Piece::Arrow | Piece::Quoted { .. } | Piece::Other => {
                arrow = matches!(piece, Piece::Arrow);
                let statement = current.get_or_insert(Statement { range: at..end, body: None });
                statement.range.end = end;
                match piece {
                    Piece::Bracket(b'{')
                        if depth == 0 && statement.body.is_none() && is_block(statement.range.start) =>
                    {
                        statement.body = Some(end..end);
                        depth += 1;
                    }
                    Piece::Bracket(b'(' | b'[' | b'{') => depth += 1,
                    Piece::Bracket(bracket) => {
                        depth = depth.saturating_sub(1);
                        if let (0, b'}', Some(body)) = (depth, bracket, &mut statement.body) {
                            body.end = at;
                            statements.extend(current.take());
                        }
                    }
                    _ => {}
                }
            }
        }
        at = end;
    }
    statements.extend(current);
    statements
}

/// Whether the next thing after `from`, comments apart, is an arrow: then the statement goes on.
fn arrow_follows(text: &str, from: usize, end: usize) -> bool {
    let mut at = from;
    while at < end {
        match piece(text, at) {
            (Piece::Blank | Piece::Line | Piece::Comment, length) => at += length,
            (Piece::Arrow, _) => return true,
            _ => return false,
        }
    }
    false
}

/// Bytes of a text before the blanks and comments at its end.
pub(super) fn significant(text: &str) -> usize {
    let (mut at, mut ended) = (0, 0);
    while at < text.len() {
        let (piece, length) = piece(text, at);
        at += length;
        if !matches!(piece, Piece::Comment | Piece::Line | Piece::Blank) {
            ended = at;
        }
    }
    ended
}

/// Comments of a text and where they are: without the line's end.
pub(super) fn comments(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let (piece, length) = piece(text, at);
        if matches!(piece, Piece::Comment) {
            found.push(at..at + text[at..at + length].trim_end().len());
        }
        at += length;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        statements(text, 0..text.len()).into_iter().map(|s| text[s.range].to_string()).collect()
    }

    #[test]
    fn statements_end_with_their_lines() {
        assert_eq!(
            cut("net a\n\nrelu # x\n  -> tanh ->\n # y\n sigmoid\nconv(1,\n 2); relu"),
            ["net a", "relu # x\n  -> tanh ->\n # y\n sigmoid", "conv(1,\n 2)", "relu"]
        );
        let text = "block b(c) {\n  relu\n  conv(c)\n}\nb(1)";
        let blocks = statements(text, 0..text.len());
        assert_eq!((blocks.len(), &text[blocks[0].body.clone().unwrap()]), (2, "\n  relu\n  conv(c)\n"));
    }

    #[test]
    fn open_brackets_close_where_their_line_ends() {
        let mended = |text: &str| mend(text, 0).map(|m| (m.text, m.problems.len())).unwrap();
        assert_eq!(mended("conv(1, 2 # x\nrelu\n"), ("conv(1, 2) # x\nrelu\n".into(), 1));
        assert_eq!(mended("train {\n  a: {b: 1\n  c: 2\n}\nrelu"), ("train {\n  a: {b: 1}\n  c: 2\n}\nrelu".into(), 1));
        assert_eq!(mended("conv(1))\nrelu"), ("conv(1) \nrelu".into(), 1));
        assert_eq!(mended("conv(1, [1, 2)\nrelu"), ("conv(1, [1, 2])\nrelu".into(), 1));
        assert_eq!(mended("net \"a\nrelu"), ("net \"a\"\nrelu".into(), 1));
        assert_eq!(mended("conv(1\n"), ("conv(1)\n".into(), 1));
        assert_eq!(mended("conv(1, [2 -> relu\n"), ("conv(1, [2]) -> relu\n".into(), 2));
        assert_eq!(mended("classes [a, \"b]\nx"), ("classes [a, \"b\"]\nx".into(), 1));
        let ok = "conv(1,\n2\n)\ninit {\nconv: 1\n}";
        assert_eq!(mended(ok), (ok.to_string(), 0));
        assert_eq!(mend(&"[".repeat(10_000), 0).err().unwrap().code, Code::TooMuch);
    }
}
