//! `adaptive_avgpool`: means over regions so that the result has a given size.

use super::{Definition, Inputs, Operand, Resolved, elements, image, window};
use crate::check::LayerKind;
use crate::check::init::Defaults;
use crate::check::reader::Reader;
use crate::check::vocabulary::Setting;

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "adaptive_avgpool",
    synonyms: &["adaptive_avg_pool", "adaptiveavgpool2d", "adaptive_avg_pool2d", "adaptive_pool"],
    inputs: Inputs::One,
    about: "Means over regions so that the result has a given size",
    settings: SETTINGS,
    resolve,
};

const SETTINGS: &[Setting] =
    &[Setting::required("output", window::PAIR, "Height and width of the result: one number or `[height, width]`")];

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    reader.at_most = None;
    let output = reader.pair("output");
    let (_, [channels, ..]) = image(reader, operands?.first()?)?;
    let output = output?;
    let shape = vec![channels, output[0], output[1]];
    elements(reader, "the result", &shape)?;
    Some(Resolved::plain(LayerKind::AdaptiveAvgPool { output }, shape))
}
