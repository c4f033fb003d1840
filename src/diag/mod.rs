//! Diagnostics: what is wrong with the user's text, as data.
//!
//! A [`Diagnostic`] has a [`Code`], places in the text, the arithmetic behind it and edits that mend it. Text is made at
//! the edge: [`render()`] writes rustc's format, [`json()`] the same for programs. Nothing here prints.

mod apply;
mod code;
mod json;
mod page;
mod render;
mod suggest;

pub use apply::{apply, edited};
pub use code::Code;
pub use json::json;
pub use page::{Example, Page};
pub use render::{Style, render};
pub use suggest::closest;

use crate::source::Span;

/// One thing that is wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// What sort of thing.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub message: String,
    /// Places; the first is the primary one.
    pub labels: Vec<Label>,
    /// The arithmetic that failed.
    pub derivation: Option<Derivation>,
    /// Further sentences.
    pub notes: Vec<String>,
    /// Edits that mend it, the best first.
    pub fixes: Vec<Fix>,
}

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The spec is refused.
    Error,
    /// The spec is accepted but does something that is easily overlooked.
    Warning,
}

/// A place with a remark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// The remark, or empty.
    pub text: String,
}

/// How one size came about, with the numbers in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Derivation {
    /// What is derived, as `height` or `height and width`.
    pub what: String,
    /// The rule, as `(W − F + P)/S + 1`.
    pub formula: String,
    /// The rule with the numbers, as `(224 − 11 + (1 + 2))/4 + 1`.
    pub numbers: String,
    /// The result, exact: `55` or `54.75`; a rounded one as `54.75 → 54`.
    pub result: String,
}

/// An edit of the text that mends a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// What the text becomes, as `padding: [1, 2]`.
    pub title: String,
    /// What follows from it, as `55, exact`; or empty.
    pub effect: String,
    /// The replacements.
    pub edits: Vec<Edit>,
    /// Whether a program may apply it unasked.
    pub applicability: Applicability,
}

/// A replacement of a piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; empty to insert.
    pub span: Span,
    /// What it becomes.
    pub text: String,
}

/// Whether a fix certainly makes its diagnostic go away without a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applicability {
    /// Certainly, and it is what the user meant as far as anyone can tell.
    Sure,
    /// The user must choose.
    Maybe,
}

impl Diagnostic {
    /// An error with its primary place.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: vec![Label { span, text: String::new() }],
            derivation: None,
            notes: Vec::new(),
            fixes: Vec::new(),
        }
    }

    /// A warning with its primary place.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// An error that has no place in a text, as a file that cannot be read.
    pub fn placeless(code: Code, message: impl Into<String>) -> Self {
        Diagnostic { labels: Vec::new(), ..Self::error(code, Span::default(), message) }
    }

    /// Says something at the primary place.
    pub fn at(mut self, text: impl Into<String>) -> Self {
        if let Some(label) = self.labels.first_mut() {
            label.text = text.into();
        }
        self
    }

    /// Says something at another place.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds a sentence.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Adds the arithmetic.
    pub fn because(mut self, derivation: Derivation) -> Self {
        self.derivation = Some(derivation);
        self
    }

    /// Adds a fix.
    pub fn fix(mut self, fix: Fix) -> Self {
        self.fixes.push(fix);
        self
    }

    /// Adds fixes.
    pub fn fixes(mut self, fixes: impl IntoIterator<Item = Fix>) -> Self {
        self.fixes.extend(fixes);
        self
    }

    /// The primary place, if it has one.
    pub fn span(&self) -> Option<Span> {
        self.labels.first().map(|l| l.span)
    }
}

impl Fix {
    /// A fix of one replacement that the user must choose.
    pub fn maybe(title: impl Into<String>, span: Span, text: impl Into<String>) -> Self {
        Fix {
            title: title.into(),
            effect: String::new(),
            edits: vec![Edit { span, text: text.into() }],
            applicability: Applicability::Maybe,
        }
    }

    /// A fix of one replacement that is certain.
    pub fn sure(title: impl Into<String>, span: Span, text: impl Into<String>) -> Self {
        Fix { applicability: Applicability::Sure, ..Self::maybe(title, span, text) }
    }

    /// Says what follows from it.
    pub fn effect(mut self, text: impl Into<String>) -> Self {
        self.effect = text.into();
        self
    }
}
