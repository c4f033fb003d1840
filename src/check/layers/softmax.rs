//! `softmax`: along the channels.

use super::{Definition, Inputs, Operand, Resolved};
use crate::check::LayerKind;
use crate::check::init::Defaults;
use crate::check::reader::Reader;

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "softmax",
    synonyms: &["soft_max", "softmax_layer"],
    inputs: Inputs::One,
    about: "eˣ over its sum along the channels: numbers that add up to 1",
    settings: &[],
    resolve,
};

fn resolve(_: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    Some(Resolved::plain(LayerKind::Softmax, operands?.first()?.shape.clone()))
}
