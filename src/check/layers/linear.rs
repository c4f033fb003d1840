//! `linear`: fully connected.

use super::{Definition, Inputs, Operand, Resolved, elements, flatten};
use crate::check::LayerKind;
use crate::check::init::{self, Defaults};
use crate::check::reader::Reader;

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "linear",
    synonyms: &["fc", "dense", "fully_connected", "inner_product", "innerproduct", "gemm", "affine", "fullyconnected"],
    inputs: Inputs::One,
    resolve,
};

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, defaults: &Defaults) -> Option<Resolved> {
    reader.at_most = None;
    let features = reader.count("features");
    let bias = reader.flag_or("bias", true);
    let settings = init::settings(reader, "linear", defaults);
    let operand = operands?.first()?;
    let (features, bias, settings) = (features?, bias?, settings?);
    let inputs = elements(reader, "the input", &operand.shape)?;
    let weight = vec![features, inputs];
    let macs = elements(reader, "the weight", &weight)? as u64;
    let params = init::params(reader, &settings, weight, bias.then_some(features))?;
    Some(Resolved {
        kind: LayerKind::Linear { features, bias },
        shape: vec![features],
        derivations: flatten::derivation("inputs", &operand.shape),
        params,
        macs,
    })
}
