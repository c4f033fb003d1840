//! `add`: the sum of its inputs.

use super::{Definition, Inputs, Operand, Resolved, with_source};
use crate::check::init::Defaults;
use crate::check::reader::Reader;
use crate::check::{LayerKind, shape_text};
use crate::diag::{Code, Diagnostic};

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "add",
    synonyms: &["sum", "residual", "eltwise", "shortcut", "plus"],
    inputs: Inputs::Many,
    about: "The sum of its inputs, which have equal shapes",
    settings: &[],
    resolve,
};

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    let operands = operands?;
    let first = operands.first()?;
    if let Some(other) = operands.iter().find(|o| o.shape != first.shape) {
        let (a, b) = (shape_text(&first.shape), shape_text(&other.shape));
        let message = format!("{} adds {a} of {} and {b} of {}", reader.owner, first.name, other.name);
        let span = reader.span_of("from").unwrap_or(reader.span);
        let mut diagnostic = Diagnostic::error(Code::ShapeMismatch, span, message).at("the shapes must be equal");
        for operand in [first, other] {
            diagnostic = with_source(diagnostic, operand);
        }
        reader.report(diagnostic);
        return None;
    }
    Some(Resolved::plain(LayerKind::Add, first.shape.clone()))
}
