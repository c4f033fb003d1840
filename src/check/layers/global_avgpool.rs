//! `global_avgpool`: the mean of each channel.

use super::{Definition, Inputs, Operand, Resolved, image};
use crate::check::LayerKind;
use crate::check::init::Defaults;
use crate::check::reader::Reader;

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "global_avgpool",
    synonyms: &["gap", "global_avg_pool", "globalaveragepool", "global_average_pooling2d", "global_pool"],
    inputs: Inputs::One,
    about: "The mean of each channel",
    settings: &[],
    resolve,
};

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    reader.at_most = None;
    let (_, [channels, ..]) = image(reader, operands?.first()?)?;
    Some(Resolved::plain(LayerKind::AdaptiveAvgPool { output: [1, 1] }, vec![channels, 1, 1]))
}
