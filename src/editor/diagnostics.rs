//! What is wrong, as an editor underlines it, and the fixes as its quick fixes.

use super::Document;
use crate::diag::{self, Applicability, Code, Edit, Severity};
use crate::source::Span;
use crate::spec::{Data, Syntax};
use lsp_types::{
    CodeAction, CodeActionKind, Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, DocumentChanges,
    Location, NumberOrString, OneOf, OptionalVersionedTextDocumentIdentifier, Range, TextDocumentEdit, TextEdit, Uri,
    WorkspaceEdit,
};

/// How many further uses of a block a diagnostic tells of.
const MOST: usize = 3;

impl Document {
    /// Everything that is wrong or worth knowing. `uri`: the document's own.
    pub fn diagnostics(&self, uri: &Uri) -> Vec<Diagnostic> {
        let mut all: Vec<(Diagnostic, usize)> = Vec::new();
        for problem in &self.outline.problems {
            let diagnostic = self.diagnostic(problem, uri);
            // What is wrong in a block is wrong in each use of it, and underlined once.
            let same = |(d, _): &&mut (Diagnostic, usize)| d.range == diagnostic.range && d.code == diagnostic.code;
            match all.last_mut().filter(same) {
                Some((first, further)) => {
                    *further += 1;
                    if *further <= MOST {
                        first.message.push_str(&format!("\nalso: {}", problem.message));
                    }
                }
                None => all.push((diagnostic, 0)),
            }
        }
        for (diagnostic, further) in all.iter_mut().filter(|(_, further)| *further > MOST) {
            diagnostic.message.push_str(&format!("\nand {} more", *further - MOST));
        }
        all.into_iter().map(|(diagnostic, _)| diagnostic).collect()
    }

    fn diagnostic(&self, problem: &diag::Diagnostic, uri: &Uri) -> Diagnostic {
        let primary = problem.labels.first();
        let mut message = problem.message.clone();
        if let Some(label) = primary.filter(|l| !l.text.is_empty()) {
            message.push_str(&format!(": {}", label.text));
        }
        if let Some(d) = &problem.derivation {
            message.push_str(&format!("\n{}: {} = {} = {}", d.what, d.formula, d.numbers, d.result));
        }
        for note in &problem.notes {
            message.push_str(&format!("\n{note}"));
        }
        let here = |label: &&diag::Label| self.has(label.span);
        // What is wrong in an included file is shown where it is included.
        let foreign = primary.filter(|label| !here(label));
        let related: Vec<DiagnosticRelatedInformation> =
            foreign.into_iter().chain(problem.labels.iter().skip(1)).filter_map(|l| self.related(l, uri)).collect();
        if let Some(file) = foreign.and_then(|label| self.sources.file(label.span)) {
            message = format!("in {}: {message}", file.name);
        }
        Diagnostic {
            range: match primary.filter(here) {
                Some(label) => self.visible(label.span),
                None => self.spec.sections.get("include").map_or(Range::default(), |s| self.range(s.value.span)),
            },
            severity: Some(match problem.severity {
                Severity::Error => DiagnosticSeverity::ERROR,
                Severity::Warning => DiagnosticSeverity::WARNING,
            }),
            code: Some(NumberOrString::String(problem.code.as_str().to_string())),
            code_description: None,
            source: Some("netc".to_string()),
            message,
            related_information: (!related.is_empty()).then_some(related),
            tags: None,
            data: None,
        }
    }

    /// A further place of a diagnostic, in this text or in a file that it includes.
    fn related(&self, label: &diag::Label, uri: &Uri) -> Option<DiagnosticRelatedInformation> {
        let target = self.target(label.span)?;
        let uri = match target.file {
            Some(file) => super::uri::of_path(&file)?,
            None => uri.clone(),
        };
        Some(DiagnosticRelatedInformation {
            location: Location { uri, range: target.range },
            message: label.text.clone(),
        })
    }

    /// A range that can be seen: an empty one takes in the character after it, or the one before at the end of a line.
    fn visible(&self, span: Span) -> Range {
        let mut span = span;
        if span.start == span.end {
            let at = super::lines::boundary(&self.text, span.start as usize);
            let next = self.text[at..].chars().next().filter(|c| !matches!(c, '\n' | '\r'));
            let before = self.text[..at].chars().next_back().filter(|c| *c != '\n');
            match (next, before) {
                (Some(c), _) => span.end += c.len_utf8() as u32,
                (None, Some(c)) => span.start -= c.len_utf8() as u32,
                (None, None) => {}
            }
        }
        self.range(span)
    }

    /// The fixes of what is wrong within `range`, the sure ones first. `version`: of the document, which the edits are for.
    pub fn code_actions(&self, uri: &Uri, version: Option<i32>, range: Range) -> Vec<CodeAction> {
        let (mut actions, mut silent) = (Vec::new(), Vec::new());
        for problem in &self.outline.problems {
            let diagnostic = self.diagnostic(problem, uri);
            if diagnostic.range.end < range.start || range.end < diagnostic.range.start {
                continue;
            }
            let only = problem.fixes.len() == 1;
            for fix in problem.fixes.iter().filter(|fix| fix.edits.iter().all(|edit| self.has(edit.span))) {
                let effect = if fix.effect.is_empty() { String::new() } else { format!("  → {}", fix.effect) };
                let title = format!("{}{effect}", fix.title);
                let mut action = self.action(title, &fix.edits, &diagnostic, uri, version);
                action.is_preferred = Some(fix.applicability == Applicability::Sure || only);
                actions.push(action);
            }
            if let Some(edit) = self.allowing(problem.code) {
                let title = format!("allow {}", problem.code.as_str());
                silent.push(self.action(title, &[edit], &diagnostic, uri, version));
            }
        }
        actions.sort_by_key(|action| action.is_preferred != Some(true));
        silent.dedup_by(|a, b| a.title == b.title);
        actions.append(&mut silent);
        actions
    }

    fn action(
        &self,
        title: String,
        edits: &[Edit],
        diagnostic: &Diagnostic,
        uri: &Uri,
        version: Option<i32>,
    ) -> CodeAction {
        let edit = |edit: &Edit| TextEdit { range: self.range(edit.span), new_text: edit.text.clone() };
        let edit = TextDocumentEdit {
            text_document: OptionalVersionedTextDocumentIdentifier { uri: uri.clone(), version },
            edits: edits.iter().map(edit).map(OneOf::Left).collect(),
        };
        let changes = Some(DocumentChanges::Edits(vec![edit]));
        CodeAction {
            title,
            kind: Some(CodeActionKind::QUICKFIX),
            diagnostics: Some(vec![diagnostic.clone()]),
            edit: Some(WorkspaceEdit { document_changes: changes, ..WorkspaceEdit::default() }),
            ..CodeAction::default()
        }
    }

    /// The edit that keeps a warning silent: its code in the section `allow`.
    fn allowing(&self, code: Code) -> Option<Edit> {
        if !code.is_lint() {
            return None;
        }
        let code = code.as_str();
        let Some(setting) = self.spec.sections.get("allow") else {
            let net = self.spec.sections.get("net").filter(|net| self.has(net.value.span))?;
            let end = u32::try_from(self.lines.end_of_line(&self.text, net.value.span.end as usize)).ok()?;
            let colon = if self.spec.syntax == Syntax::Yaml { ":" } else { "" };
            return Some(Edit { span: Span { start: end, end }, text: format!("\nallow{colon} [{code}]") });
        };
        let span = setting.value.span;
        match &setting.value.data {
            Data::List(items) if self.sources.text(span).starts_with('[') => {
                let last = items.last()?.span.after();
                Some(Edit { span: last, text: format!(", {code}") })
            }
            Data::Text(word) => Some(Edit { span, text: format!("[{word}, {code}]") }),
            _ => None,
        }
    }
}
