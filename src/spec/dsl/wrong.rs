//! What is wrong with a statement that the grammar does not match, in plain words.

use super::scan::Mended;
use super::{Netc, POSITIONAL, Rule};
use crate::diag::{Code, Diagnostic, Edit, Fix};
use pest::Parser;
use pest::error::{Error, ErrorVariant, InputLocation};
use std::ops::Range;

/// The report of a statement that starts at `start` of the mended text.
pub(super) fn statement(mended: &Mended, start: usize, text: &str, error: &Error<Rule>) -> Diagnostic {
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at.min(text.len()),
    };
    let rest = &text[at..];
    let word = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').map(char::len_utf8).sum::<usize>();
    let length = word.max(rest.chars().next().map_or(0, char::len_utf8));
    let span = mended.span(start + at..start + at + length);
    let report = |message: &str| Diagnostic::error(Code::InvalidSyntax, span, message);
    let first = mended.span(start..start + 1);
    if text.starts_with("- ") || text.starts_with("-\n") {
        let wrong = Diagnostic::error(Code::InvalidSyntax, first, "no dash stands before a layer here");
        let fix = repaired(mended, start, text, "remove the dash", &[(0..2, "")]);
        return wrong.fixes(fix).note("layers are written `conv conv1(96, 11, stride: 4)`; lists with dashes are YAML, in a file that ends in `.yaml`");
    }
    match rest.chars().next() {
        Some('=') => return report("a setting is written `key: value`").fix(Fix::maybe("`:` for `=`", span, ":")),
        Some('\'' | '`') => return report("text is quoted with `\"`"),
        Some('&' | '*' | '|' | '<' | '>') if text[..at].trim().is_empty() => {
            return report("a statement cannot start so");
        }
        _ => {}
    }
    let before = text[..at].trim_end();
    let within = before.matches(['(', '[', '{']).count() > before.matches([')', ']', '}']).count();
    let arrow = rest.starts_with("->") || rest.starts_with('→');
    match (arrow, before.ends_with("->") || before.ends_with('→'), rest.trim().is_empty()) {
        (true, _, _) if !within => {
            let length = if rest.starts_with('-') { 2 } else { '→'.len_utf8() };
            let fix = repaired(mended, start, text, "remove the arrow", &[(at..at + length, "")]);
            return report("a layer is missing before this arrow").fixes(fix);
        }
        (_, true, true) => {
            let length = if before.ends_with('>') { 2 } else { '→'.len_utf8() };
            let arrow = before.len() - length..before.len();
            let fix = repaired(mended, start, text, "remove the arrow", &[(arrow, "")]);
            return report("a layer is missing after the arrow").fixes(fix);
        }
        _ => {}
    }
    if !within && rest.starts_with('[') {
        let close = rest.find(']').map_or(text.len(), |i| at + i);
        let brackets = [(at..at + 1, "("), (close..(close + 1).min(text.len()), ")")];
        let word = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("");
        let layer = POSITIONAL.iter().any(|(kind, _)| *kind == word);
        let fix = repaired(mended, start, text, "put them in parentheses", &brackets).filter(|_| layer);
        let report = report("settings of a layer stand in parentheses");
        return report.note("as `conv conv1(96, 11, stride: 4)`").fixes(fix);
    }
    if !within && word > 0 && text.starts_with("from ") && !text[..at].contains("->") {
        let fix = repaired(mended, start, text, "put an arrow", &[(at..at, "-> ")]);
        let report = report(&format!("an arrow must stand before `{}`", &rest[..length]));
        return report.note("as `from conv1 -> relu`").fixes(fix);
    }
    let wanted = wanted(error);
    let found = match rest.trim_start().chars().next() {
        None => "the statement ends".to_string(),
        Some(_) => format!("`{}` is", &rest[..length]),
    };
    let message = match wanted.is_empty() {
        true => "this cannot be read here".to_string(),
        false => format!("{} must stand where {found}", wanted.join(" or ")),
    };
    let mut diagnostic = report(&message);
    let after_word = within && before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && word > 0;
    let written = |word: &str| wanted.contains(&word);
    if written("`:`") && (rest.starts_with(' ') || word > 0) {
        diagnostic =
            diagnostic.fixes(repaired(mended, start, text, "put a colon", &[(before.len()..before.len(), ":")]));
    }
    if after_word {
        diagnostic = diagnostic.note("text of several words needs quotes: `\"Ankle boot\"`");
    }
    diagnostic
}

/// The fix of these edits of a statement that starts at `start` of the mended text, if it can be read then.
fn repaired(mended: &Mended, start: usize, text: &str, title: &str, edits: &[(Range<usize>, &str)]) -> Option<Fix> {
    let edits = edits.iter().map(|(range, new)| {
        let span = mended.span(start + range.start..start + range.end);
        (range.clone(), Edit { span, text: new.to_string() })
    });
    let edits: Vec<(Range<usize>, Edit)> = edits.collect();
    let mut new = text.to_string();
    for (range, edit) in edits.iter().rev() {
        new.replace_range(range.clone(), &edit.text);
    }
    let first = edits.first().map(|(_, edit)| edit.span)?;
    Netc::parse(Rule::statement, &new).ok()?;
    Some(Fix { edits: edits.into_iter().map(|(_, edit)| edit).collect(), ..Fix::maybe(title, first, "") })
}

/// What the grammar would have taken, in words.
fn wanted(error: &Error<Rule>) -> Vec<&'static str> {
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else { return Vec::new() };
    let mut words: Vec<&'static str> = Vec::new();
    for rule in positives {
        let word = match rule {
            Rule::layer | Rule::kind => "a layer",
            Rule::title | Rule::name | Rule::dashed | Rule::block_word => "a name",
            Rule::source => "the name of a layer",
            Rule::value | Rule::expression | Rule::number | Rule::word | Rule::list | Rule::string => "a value",
            Rule::argument | Rule::entry | Rule::key | Rule::parameter => "a setting",
            Rule::arguments | Rule::parameters => "`(`",
            Rule::map => "`{`",
            Rule::colon => "`:`",
            Rule::comma => "`,`",
            Rule::arrow => "`->`",
            Rule::EOI => "the end of the statement",
            Rule::operator => "an operator",
            _ => continue,
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}
