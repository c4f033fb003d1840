//! `dropout`: zeroes elements at random in training.

use super::{Definition, Inputs, Operand, Resolved};
use crate::check::LayerKind;
use crate::check::init::Defaults;
use crate::check::reader::{Bounds, Reader};
use crate::check::vocabulary::{Form, Setting};

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "dropout",
    synonyms: &["drop", "dropout2d"],
    inputs: Inputs::One,
    about: "Zeroes elements at random in training and scales the others by 1/(1 − p); nothing otherwise",
    settings: &[Setting::optional("p", Form::Number(Bounds::BelowOne), "0.5", "Probability of zeroing an element")],
    resolve,
};

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    let p = reader.number_or("p", Bounds::BelowOne, 0.5);
    Some(Resolved::plain(LayerKind::Dropout { p: p? }, operands?.first()?.shape.clone()))
}
