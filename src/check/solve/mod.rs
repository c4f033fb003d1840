//! Finds edits that make a shape exact or equal.
//!
//! Takes a spec with errors of shape and gives their reports at most four fixes each. Every fix that it gives was tried: the
//! spec with the edit was checked, and its error was gone and no other there.

mod apply;
mod candidates;

use super::{Layer, examine_once};
use crate::diag::{Code, Diagnostic, Fix, Label, Severity};
use crate::source::Span;
use crate::spec::{self, Spec};
use candidates::{Candidate, candidates};
use std::collections::BTreeSet;

/// Fixes of a report.
const MOST_FIXES: usize = 4;
/// Reports that are worked on; what is wrong first is likeliest what is wrong.
const MOST_REPORTS: usize = 3;
/// Edits that are tried for a report.
const MOST_TRIES: usize = 160;
/// Guesses that are offered for a report.
const MOST_GUESSES: usize = 3;
/// What it costs a fix that other errors are left or come.
const PARTLY: u32 = 14;
/// Layers of a spec that is small enough to be checked so often.
const MOST_LAYERS: usize = 400;

/// Whether a report is about shapes.
fn of_shapes(code: Code) -> bool {
    matches!(
        code,
        Code::InexactSize
            | Code::WindowTooLarge
            | Code::PaddingTooLarge
            | Code::ShapeMismatch
            | Code::GroupMismatch
            | Code::WrongRank
            | Code::ClassCount
            | Code::LossMismatch
            | Code::PreprocessSize
    )
}

/// Gives the reports on shapes the fixes that mend them.
pub(super) fn solve(spec: &Spec, problems: &mut [Diagnostic]) {
    let expanded = spec::expand(spec);
    keep_expressions(spec, &expanded, problems);
    let unreadable = keep_from_unreadable(&expanded, problems);
    if spec.broken || spec.expanded || expanded.layers.len() > MOST_LAYERS {
        problems.iter_mut().filter(|d| is_guess(d)).for_each(|d| d.fixes.clear());
        return;
    }
    confirm(spec, problems);
    let before: Vec<Diagnostic> = problems.to_vec();
    let errors = |problems: &[Diagnostic]| problems.iter().filter(|d| d.severity == Severity::Error).count();
    let reports = problems.iter_mut().filter(|d| d.severity == Severity::Error && of_shapes(d.code)).take(MOST_REPORTS);
    for report in reports {
        let Some(place) = report.span() else { continue };
        if unreadable.iter().any(|&layer| holds(layer, place)) {
            continue;
        }
        // A layer of a block stands in one place and has many names.
        let named = |name: &str| report.message.split([' ', ':']).any(|word| word == name);
        let there = |l: &spec::LayerEntry| holds(l.span, place) || holds(l.kind.span, place);
        let mut failing = expanded.layers.iter().position(|l| there(l) && named(&l.name.text));
        failing = failing.or_else(|| expanded.layers.iter().position(there));
        if matches!(report.code, Code::ClassCount | Code::LossMismatch) {
            failing = expanded.layers.len().checked_sub(1);
        }
        let last = expanded.layers.len().saturating_sub(1);
        let failing = failing.unwrap_or(if report.code == Code::PreprocessSize { 0 } else { last });
        let trial = Trial { spec, before: &before, errors: errors(&before), report };
        let mut good: Vec<(u32, Fix)> = Vec::new();
        let mut tries = 0;
        // What the layer offers itself comes with its arithmetic.
        for (i, fix) in report.fixes.iter().enumerate() {
            let cost = u32::try_from(i).unwrap_or(9) * 3 + 6;
            match trial.of(fix) {
                Verdict::Good(_) | Verdict::Unknown => good.push((cost, fix.clone())),
                Verdict::Partly => good.push((cost + PARTLY, fix.clone())),
                Verdict::Bad => {}
            }
        }
        let name = expanded.layers.get(failing).map_or("", |l| l.name.text.as_str());
        let key = |fix: &Fix| fix.title.split(':').next().unwrap_or("").to_string();
        for candidate in candidates(spec, &expanded, failing, &numbers(report)) {
            let better = good.iter().filter(|(cost, _)| *cost <= candidate.cost).map(|(_, fix)| key(fix));
            if tries >= MOST_TRIES || better.collect::<BTreeSet<String>>().len() >= MOST_FIXES {
                break;
            }
            tries += 1;
            if good.iter().any(|(_, fix)| fix.edits == candidate.fix.edits) {
                continue;
            }
            if let Verdict::Good(layers) = trial.of(&candidate.fix) {
                let Candidate { cost, fix, layer } = candidate;
                good.push((cost, effect(fix, &layers, if layer.is_empty() { name } else { &layer })));
            }
        }
        good.sort_by_key(|(cost, _)| *cost);
        // One value of a setting, the likeliest.
        let mut seen = BTreeSet::new();
        let mut fixes: Vec<Fix> = good.into_iter().map(|(_, fix)| fix).filter(|fix| seen.insert(key(fix))).collect();
        fixes.truncate(MOST_FIXES);
        let own = expanded.layers.get(failing).map_or(place, |l| l.span);
        let input = spec.sections.get("input").map(|s| s.value.span);
        point_at_others(report, &fixes, own.to(place), input);
        report.fixes = fixes;
    }
    problems.iter_mut().filter(|d| of_shapes(d.code)).for_each(|d| d.fixes.truncate(MOST_FIXES));
}

/// Whether the fixes of a report are guesses, which must be tried.
fn is_guess(report: &Diagnostic) -> bool {
    match report.code {
        Code::OutOfRange | Code::InputCount => true,
        Code::UnknownWord | Code::WrongType => report.fixes.len() > 1,
        Code::MissingKey => report.fixes.iter().all(|fix| fix.edits.iter().all(|e| e.text.matches(": ").count() == 1)),
        _ => false,
    }
}

/// Leaves guesses that mend their report and bring nothing new.
fn confirm(spec: &Spec, problems: &mut [Diagnostic]) {
    let before: Vec<Diagnostic> = problems.to_vec();
    let errors = before.iter().filter(|d| d.severity == Severity::Error).count();
    let mut tries = 0;
    for report in problems.iter_mut().filter(|d| is_guess(d)) {
        let fixes = std::mem::take(&mut report.fixes);
        let trial = Trial { spec, before: &before, errors, report };
        let mut good = Vec::new();
        for fix in fixes {
            if good.len() >= MOST_GUESSES || tries >= MOST_TRIES {
                break;
            }
            tries += 1;
            if matches!(trial.of(&fix), Verdict::Good(_) | Verdict::Unknown) {
                good.push(fix);
            }
        }
        report.fixes = good;
    }
}

/// Takes back fixes that would put a number in the place of an expression: what is wrong is what it is computed from.
fn keep_expressions(spec: &Spec, expanded: &Spec, problems: &mut [Diagnostic]) {
    let of_value = |d: &Diagnostic| matches!(d.code, Code::WrongType | Code::OutOfRange) && !d.fixes.is_empty();
    if !problems.iter().any(of_value) {
        return;
    }
    let computed = spec::computed(spec, expanded);
    for report in problems.iter_mut().filter(|d| of_value(d)) {
        report.fixes.retain(|fix| fix.edits.iter().all(|edit| !computed.contains(&edit.span)));
    }
}

/// Takes back fixes of layers that were read in part only, for the edit may stand at a wrong place; gives these layers.
fn keep_from_unreadable(expanded: &Spec, problems: &mut [Diagnostic]) -> Vec<Span> {
    let unreadable = |d: &&Diagnostic| matches!(d.code, Code::InvalidSyntax | Code::InvalidYaml);
    let places: Vec<Span> = problems.iter().filter(unreadable).filter_map(Diagnostic::span).collect();
    let unread = |layer: &&spec::LayerEntry| places.iter().any(|&place| holds(layer.span, place));
    let layers: Vec<Span> = expanded.layers.iter().filter(unread).map(|layer| layer.span).collect();
    for report in problems.iter_mut().filter(|d| of_shapes(d.code) || is_guess(d) || d.code == Code::MissingKey) {
        report.fixes.retain(|fix| {
            let meets = |edit: &crate::diag::Edit| layers.iter().any(|&layer| holds(layer, edit.span));
            !fix.edits.iter().any(meets)
        });
    }
    layers
}

/// Shows the places of fixes that lie outside of the layer that the report is about: what is wrong may be there.
fn point_at_others(report: &mut Diagnostic, fixes: &[Fix], own: Span, input: Option<Span>) {
    for fix in fixes {
        let Some(edit) = fix.edits.first() else { continue };
        let near = |label: &Label| {
            let both = input.is_some_and(|input| holds(input, edit.span) && holds(input, label.span));
            both || holds(label.span, edit.span) || holds(edit.span, label.span)
        };
        let known = report.labels.iter().any(near);
        if !holds(own, edit.span) && !known {
            let what = match fix.title.rsplit_once(": ") {
                Some((_, value)) => format!("with {value} here it would fit"),
                None => "another size here would fit".to_string(),
            };
            report.labels.push(Label { span: edit.span, text: what });
        }
    }
}

/// A report and what its spec is like with an edit.
struct Trial<'a> {
    spec: &'a Spec,
    before: &'a [Diagnostic],
    errors: usize,
    report: &'a Diagnostic,
}

enum Verdict {
    /// No such error any more, and fewer errors: the layers as they are then.
    Good(Vec<Layer>),
    /// Its own error is gone, but others are not fewer.
    Partly,
    /// The error stays.
    Bad,
    /// The edit is of a kind that only reading the text can judge.
    Unknown,
}

impl Trial<'_> {
    fn of(&self, fix: &Fix) -> Verdict {
        let Some(edited) = apply::apply(self.spec, fix) else { return Verdict::Unknown };
        let mut layers = Vec::new();
        let (_, after) = examine_once(&edited, Some(&mut layers));
        let own = |d: &&Diagnostic| d.code == self.report.code && d.span() == self.report.span();
        if after.iter().filter(own).count() >= self.before.iter().filter(own).count().max(1) {
            return Verdict::Bad;
        }
        let errors = after.iter().filter(|d| d.severity == Severity::Error).count();
        let new = |d: &Diagnostic| {
            d.severity == Severity::Error && !self.before.iter().any(|b| b.code == d.code && b.span() == d.span())
        };
        if errors < self.errors && !after.iter().any(new) { Verdict::Good(layers) } else { Verdict::Partly }
    }
}

/// The numbers that a report speaks of.
fn numbers(report: &Diagnostic) -> BTreeSet<i64> {
    let texts = report
        .labels
        .iter()
        .map(|l| l.text.as_str())
        .chain([report.message.as_str()])
        .chain(report.notes.iter().map(String::as_str));
    let words = texts.flat_map(|text| text.split(|c: char| !c.is_ascii_digit()));
    words.filter_map(|word| word.parse().ok()).filter(|&n| n > 0).take(24).collect()
}

fn holds(outer: Span, inner: Span) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// Says what the layer gives then.
fn effect(fix: Fix, layers: &[Layer], name: &str) -> Fix {
    match layers.iter().find(|layer| layer.name == name) {
        Some(layer) => {
            let shape: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
            fix.effect(format!("{name} gives {}", shape.join("×")))
        }
        None => fix,
    }
}
