//! Diagnostics for people, in rustc's format.

use super::{Derivation, Diagnostic, Fix, Severity};
use crate::source::{SourceFile, Sources};
use annotate_snippets::{AnnotationKind, Element, Group, Level, Renderer, Snippet};

/// How diagnostics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Plain text.
    #[default]
    Plain,
    /// With ANSI colours.
    Colour,
}

/// Characters of a message.
const LONGEST: usize = 400;

/// Columns that notes and fixes keep to, with what stands before them.
const COLUMNS: usize = 80;
/// Columns before a note: line numbers of three digits and ` = `.
const GUTTER: usize = 6;

/// Characters of a fix's title behind which effects stand below each other.
const WIDEST: usize = 34;

/// Diagnostics shown; the others are counted.
const MOST: usize = 100;

/// The diagnostics as text, a blank line between two, with a line feed at the end. Of very many the first are shown.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, style: Style) -> String {
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Colour => Renderer::styled(),
    };
    let mut texts: Vec<String> = diagnostics.iter().take(MOST).map(|d| one(d, sources, &renderer)).collect();
    if let Some(more) = diagnostics.len().checked_sub(MOST).filter(|&n| n > 0) {
        texts.push(format!("and {more} more"));
    }
    let mut out = texts.join("\n\n");
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

fn one(diagnostic: &Diagnostic, sources: &Sources, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(printable(&diagnostic.message)).id(diagnostic.code.as_str());
    let mut elements: Vec<Element<'_>> = Vec::new();
    for file in sources.files() {
        if let Some(snippet) = snippet(diagnostic, file, sources) {
            elements.push(snippet.into());
        }
    }
    let remark = |text: String| Element::from(Level::NOTE.no_name().message(text));
    if let Some(derivation) = &diagnostic.derivation {
        elements.push(remark(wrapped(&arithmetic(derivation), 2)));
    }
    for note in &diagnostic.notes {
        elements.push(remark(wrapped(&format!("note: {}", printable(note)), 6)));
    }
    let titles = diagnostic.fixes.iter().filter(|f| !f.effect.is_empty()).map(|f| f.title.chars().count());
    let width = titles.filter(|&width| width <= WIDEST).max();
    for fix in &diagnostic.fixes {
        elements.push(remark(fix_line(fix, width.unwrap_or(0))));
    }
    renderer.render(&[Group::with_title(title).elements(elements)]).to_string()
}

/// Formula, numbers and result as one equation.
fn arithmetic(derivation: &Derivation) -> String {
    format!("{}: {} = {} = {}", derivation.what, derivation.formula, derivation.numbers, derivation.result)
}

fn fix_line(fix: &Fix, width: usize) -> String {
    let title = printable(&fix.title);
    if fix.effect.is_empty() {
        return wrapped(&format!("fix: {title}"), 5);
    }
    let width = width.max(title.chars().count());
    let indent = if width <= WIDEST { 5 + width + 4 } else { 7 };
    wrapped(&format!("fix: {title:width$}  → {}", fix.effect), indent)
}

/// The text in lines that fit, broken at blanks; all but the first are indented.
fn wrapped(text: &str, indent: usize) -> String {
    let most = COLUMNS - GUTTER;
    let (mut out, mut column) = (String::new(), 0);
    for word in text.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if column > indent && column + length > most {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        }
        out.push_str(word);
        column += word.chars().count();
    }
    out
}

/// The lines of `file` that the diagnostic points to. A span of several lines is shown by its first one.
fn snippet<'a>(
    diagnostic: &'a Diagnostic,
    file: &'a SourceFile,
    sources: &'a Sources,
) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let mut snippet = Snippet::source(file.text.as_str()).path(file.name.as_str());
    let mut any = false;
    for (index, label) in diagnostic.labels.iter().enumerate() {
        if sources.file(label.span).is_none_or(|f| f.span() != file.span()) {
            continue;
        }
        any = true;
        let mut range = file.range(label.span);
        if let Some(line_end) = file.text[range.clone()].find('\n') {
            range.end = range.start + line_end;
        }
        let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
        let mut annotation = kind.span(range);
        if !label.text.is_empty() {
            annotation = annotation.label(printable(&label.text));
        }
        snippet = snippet.annotation(annotation);
    }
    any.then_some(snippet)
}

/// The text without control characters and no longer than a few lines: it may quote any file.
fn printable(text: &str) -> String {
    let mut out: String = text.chars().take(LONGEST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}
