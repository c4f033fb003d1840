//! `concat`: its inputs one after the other along the channels.

use super::{Definition, Inputs, Operand, Resolved, elements, with_source};
use crate::check::init::Defaults;
use crate::check::reader::Reader;
use crate::check::{Derivation, LayerKind, shape_text};
use crate::diag::{Code, Diagnostic};

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "concat",
    synonyms: &["concatenate", "cat", "route", "depth_concat", "join"],
    inputs: Inputs::Many,
    about: "Its inputs one after the other along the channels",
    settings: &[],
    resolve,
};

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    let operands = operands?;
    let first = operands.first()?;
    if let Some(other) =
        operands.iter().find(|o| o.shape[1..] != first.shape[1..] || o.shape.len() != first.shape.len())
    {
        let (a, b) = (shape_text(&first.shape), shape_text(&other.shape));
        let message = format!("{} joins {a} of {} and {b} of {}", reader.owner, first.name, other.name);
        let span = reader.span_of("from").unwrap_or(reader.span);
        let mut diagnostic = Diagnostic::error(Code::ShapeMismatch, span, message);
        diagnostic = diagnostic.at("the shapes may differ in the channels only");
        for operand in [first, other] {
            diagnostic = with_source(diagnostic, operand);
        }
        reader.report(diagnostic);
        return None;
    }
    let counts: Vec<usize> = operands.iter().filter_map(|o| o.shape.first().copied()).collect();
    let total = counts.iter().try_fold(0usize, |sum, &n| sum.checked_add(n))?;
    let mut shape = first.shape.clone();
    shape[0] = total;
    elements(reader, "the result", &shape)?;
    let derivation = Derivation {
        what: if shape.len() == 3 { "channels" } else { "features" }.to_string(),
        formula: (1..=counts.len()).map(|i| format!("C{i}")).collect::<Vec<_>>().join(" + "),
        numbers: counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + "),
        result: total.to_string(),
    };
    Some(Resolved { derivations: vec![derivation], ..Resolved::plain(LayerKind::Concat, shape) })
}
