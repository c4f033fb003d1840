//! What is wrong with a statement that the grammar does not match, in plain words.

use super::Rule;
use super::scan::Mended;
use crate::diag::{Code, Diagnostic, Fix};
use pest::error::{Error, ErrorVariant, InputLocation};

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
        return wrong.note("layers are written `conv conv1(96, 11, stride: 4)`; lists with dashes are YAML, in a file that ends in `.yaml`");
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
        (true, _, _) if !within => return report("a layer is missing before this arrow"),
        (_, true, true) => return report("a layer is missing after the arrow"),
        _ => {}
    }
    if !within && rest.starts_with('[') {
        return report("settings of a layer stand in parentheses").note("as `conv conv1(96, 11, stride: 4)`");
    }
    if !within && word > 0 && text.starts_with("from ") && !text[..at].contains("->") {
        return report(&format!("an arrow must stand before `{}`", &rest[..length])).note("as `from conv1 -> relu`");
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
    if after_word {
        diagnostic = diagnostic.note("text of several words needs quotes: `\"Ankle boot\"`");
    }
    diagnostic
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
