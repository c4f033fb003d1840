//! `relu`, `sigmoid`, `tanh`: functions of each element, with no settings.

use super::{Definition, Inputs, Operand, Resolved};
use crate::check::LayerKind;
use crate::check::init::Defaults;
use crate::check::reader::Reader;

/// max(0, x).
pub(super) const RELU: Definition = Definition {
    word: "relu",
    synonyms: &["rectifier", "relu6"],
    inputs: Inputs::One,
    about: "max(0, x)",
    settings: &[],
    resolve: |_, operands, _| resolve(LayerKind::Relu, operands),
};

/// 1/(1 + e⁻ˣ).
pub(super) const SIGMOID: Definition = Definition {
    word: "sigmoid",
    synonyms: &["logistic"],
    inputs: Inputs::One,
    about: "1/(1 + e⁻ˣ)",
    settings: &[],
    resolve: |_, operands, _| resolve(LayerKind::Sigmoid, operands),
};

/// tanh x.
pub(super) const TANH: Definition = Definition {
    word: "tanh",
    synonyms: &[],
    inputs: Inputs::One,
    about: "The hyperbolic tangent",
    settings: &[],
    resolve: resolve_tanh,
};

fn resolve_tanh(_: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    resolve(LayerKind::Tanh, operands)
}

fn resolve(kind: LayerKind, operands: Option<&[Operand]>) -> Option<Resolved> {
    Some(Resolved::plain(kind, operands?.first()?.shape.clone()))
}
