//! `batchnorm`: batch normalisation by channel.

use super::{Definition, Inputs, Operand, Resolved};
use crate::check::LayerKind;
use crate::check::init::{self, Defaults};
use crate::check::reader::{Bounds, Reader};

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "batchnorm",
    synonyms: &["bn", "batch_norm", "batchnorm2d", "batch_normalization", "batchnormalization", "batchnorm1d"],
    inputs: Inputs::One,
    resolve,
};

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, defaults: &Defaults) -> Option<Resolved> {
    let epsilon = reader.number_or("epsilon", Bounds::Positive, 1e-5);
    let momentum = reader.number_or("momentum", Bounds::Unit, 0.1);
    let settings = init::settings(reader, "batchnorm", defaults);
    let operand = operands?.first()?;
    let params = init::norm_params(reader, &settings?, *operand.shape.first()?)?;
    let kind = LayerKind::BatchNorm { epsilon: epsilon?, momentum: momentum? };
    Some(Resolved { params, ..Resolved::plain(kind, operand.shape.clone()) })
}
