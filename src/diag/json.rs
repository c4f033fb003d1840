//! Diagnostics for programs.

use super::{Applicability, Diagnostic, Severity};
use crate::source::{Sources, Span};
use serde_json::{Value, json};

/// The diagnostics as a JSON array. Offsets are bytes from the start of the named file; lines and columns count from 1,
/// columns in characters.
pub fn json(diagnostics: &[Diagnostic], sources: &Sources) -> Value {
    diagnostics.iter().map(|d| one(d, sources)).collect()
}

fn one(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let labels: Vec<Value> = diagnostic
        .labels
        .iter()
        .map(|label| {
            let mut value = place(label.span, sources);
            value["text"] = json!(label.text);
            value
        })
        .collect();
    let fixes: Vec<Value> = diagnostic
        .fixes
        .iter()
        .map(|fix| {
            let edits: Vec<Value> = fix
                .edits
                .iter()
                .map(|edit| {
                    let mut value = place(edit.span, sources);
                    value["replacement"] = json!(edit.text);
                    value
                })
                .collect();
            json!({
                "title": fix.title,
                "effect": fix.effect,
                "sure": fix.applicability == Applicability::Sure,
                "edits": edits,
            })
        })
        .collect();
    json!({
        "code": diagnostic.code.as_str(),
        "severity": match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "message": diagnostic.message,
        "labels": labels,
        "derivation": diagnostic.derivation.as_ref().map(|d| json!({
            "what": d.what, "formula": d.formula, "numbers": d.numbers, "result": d.result,
        })),
        "notes": diagnostic.notes,
        "fixes": fixes,
    })
}

fn place(span: Span, sources: &Sources) -> Value {
    let Some(file) = sources.file(span) else { return json!({}) };
    let range = file.range(span);
    let start = file.position(range.start);
    let end = file.position(range.end);
    json!({
        "file": file.name,
        "start": range.start, "end": range.end,
        "line": start.line, "column": start.column,
        "end_line": end.line, "end_column": end.column,
    })
}
