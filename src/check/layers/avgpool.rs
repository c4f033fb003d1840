//! `avgpool`: the mean of each window.

use super::{Definition, Inputs, Operand, Resolved, image, maxpool, window};
use crate::check::LayerKind;
use crate::check::init::Defaults;
use crate::check::reader::Reader;
use crate::check::vocabulary::{Form, Setting};

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "avgpool",
    synonyms: &["avg_pool", "avgpool2d", "average_pool", "averagepool", "avg_pool2d", "averagepooling2d", "meanpool"],
    inputs: Inputs::One,
    about: "The mean of each window",
    settings: SETTINGS,
    resolve,
};

const SETTINGS: &[Setting] = &[
    window::POOL_SETTINGS[0],
    window::POOL_SETTINGS[1],
    window::POOL_SETTINGS[2],
    window::POOL_SETTINGS[3],
    Setting::optional("count_include_pad", Form::Flag, "true", "Whether padding counts in the divisor"),
];

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    let window = window::read(reader, true);
    let count_include_pad = reader.flag_or("count_include_pad", true);
    let (operand, [channels, height, width]) = image(reader, operands?.first()?)?;
    let window = window?;
    let tiling = window::tile(reader, &window, operand, [height, width])?;
    let pool = maxpool::geometry(&window, &tiling);
    maxpool::pooled(reader, LayerKind::AvgPool { pool, count_include_pad: count_include_pad? }, channels, tiling)
}
