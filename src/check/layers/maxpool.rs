//! `maxpool`: the maximum of each window.

use super::window::{Rounding, Tiling, Window};
use super::{Definition, Inputs, Operand, Resolved, elements, image, window};
use crate::check::init::Defaults;
use crate::check::reader::Reader;
use crate::check::{LayerKind, PoolGeometry};

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "maxpool",
    synonyms: &[
        "max_pool",
        "maxpool2d",
        "max_pooling2d",
        "maxpooling2d",
        "pool",
        "pooling",
        "max_pool2d",
        "maxpooling",
    ],
    inputs: Inputs::One,
    about: "The maximum of each window",
    settings: window::POOL_SETTINGS,
    resolve,
};

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    let window = window::read(reader, true);
    let (operand, [channels, height, width]) = image(reader, operands?.first()?)?;
    let window = window?;
    let tiling = window::tile(reader, &window, operand, [height, width])?;
    let kind = LayerKind::MaxPool(geometry(&window, &tiling));
    pooled(reader, kind, channels, tiling)
}

/// The window as later stages see it.
pub(super) fn geometry(window: &Window, tiling: &Tiling) -> PoolGeometry {
    PoolGeometry {
        kernel: window.kernel,
        stride: window.stride,
        padding: tiling.padding,
        ceil: window.rounding == Some(Rounding::Ceil),
    }
}

/// A pooling layer with its shape.
pub(super) fn pooled(
    reader: &mut Reader<'_, '_>,
    kind: LayerKind,
    channels: usize,
    tiling: Tiling,
) -> Option<Resolved> {
    let shape = vec![channels, tiling.size[0], tiling.size[1]];
    elements(reader, "the result", &shape)?;
    Some(Resolved { derivations: tiling.derivations, ..Resolved::plain(kind, shape) })
}
