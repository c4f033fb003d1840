//! `batchnorm`: batch normalisation by channel.

use super::{Definition, Inputs, Operand, Resolved};
use crate::check::LayerKind;
use crate::check::init::{self, Defaults};
use crate::check::reader::{Bounds, Reader};
use crate::check::vocabulary::{Form, Setting, VECTOR_PARAM_SETTINGS};

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "batchnorm",
    synonyms: &["bn", "batch_norm", "batchnorm2d", "batch_normalization", "batchnormalization", "batchnorm1d"],
    inputs: Inputs::One,
    about: "Batch normalisation by channel: mean and variance of the batch in training, running ones otherwise",
    settings: SETTINGS,
    resolve,
};

const SETTINGS: &[Setting] = &[
    Setting::optional("epsilon", Form::Number(Bounds::Positive), "1.0e-5", "Added to the variance"),
    Setting::optional(
        "momentum",
        Form::Number(Bounds::Unit),
        "0.1",
        "Weight of the new batch in the running mean and variance",
    ),
    VECTOR_PARAM_SETTINGS[0],
    VECTOR_PARAM_SETTINGS[1],
    VECTOR_PARAM_SETTINGS[2],
];

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, defaults: &Defaults) -> Option<Resolved> {
    let epsilon = reader.number_or("epsilon", Bounds::Positive, 1e-5);
    let momentum = reader.number_or("momentum", Bounds::Unit, 0.1);
    let settings = init::settings(reader, "batchnorm", defaults);
    let operand = operands?.first()?;
    let params = init::norm_params(reader, &settings?, *operand.shape.first()?)?;
    let kind = LayerKind::BatchNorm { epsilon: epsilon?, momentum: momentum? };
    Some(Resolved { params, ..Resolved::plain(kind, operand.shape.clone()) })
}
