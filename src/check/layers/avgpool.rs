//! `avgpool`: the mean of each window.

use super::{Definition, Inputs, Operand, Resolved, image, maxpool, window};
use crate::check::LayerKind;
use crate::check::init::Defaults;
use crate::check::reader::Reader;

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "avgpool",
    synonyms: &["avg_pool", "avgpool2d", "average_pool", "averagepool", "avg_pool2d", "averagepooling2d", "meanpool"],
    inputs: Inputs::One,
    resolve,
};

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    let window = window::read(reader, true);
    let count_include_pad = reader.flag_or("count_include_pad", true);
    let (operand, [channels, height, width]) = image(reader, operands?.first()?)?;
    let window = window?;
    let tiling = window::tile(reader, &window, operand, [height, width])?;
    let pool = maxpool::geometry(&window, &tiling);
    maxpool::pooled(reader, LayerKind::AvgPool { pool, count_include_pad: count_include_pad? }, channels, tiling)
}
