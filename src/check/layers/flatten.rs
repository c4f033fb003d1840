//! `flatten`: an image to a vector, in the order channels, rows, columns.

use super::{Definition, Inputs, Operand, Resolved, elements};
use crate::check::init::Defaults;
use crate::check::reader::Reader;
use crate::check::{Derivation, LayerKind};

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "flatten",
    synonyms: &["reshape", "view", "flat"],
    inputs: Inputs::One,
    about: "An image to a vector, in the order channels, rows, columns",
    settings: &[],
    resolve,
};

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    reader.at_most = None;
    let operand = operands?.first()?;
    let length = elements(reader, "the result", &operand.shape)?;
    let derivations = derivation("features", &operand.shape);
    Some(Resolved { derivations, ..Resolved::plain(LayerKind::Flatten, vec![length]) })
}

/// How many elements an image has; nothing for a vector.
pub(super) fn derivation(what: &str, shape: &[usize]) -> Vec<Derivation> {
    let [channels, height, width] = shape[..] else { return Vec::new() };
    vec![Derivation {
        what: what.to_string(),
        formula: "C·H·W".to_string(),
        numbers: format!("{channels}·{height}·{width}"),
        result: (channels * height * width).to_string(),
    }]
}
